"""Phone times settle on what is heard, whatever the first alignment was like."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import PitchRange, analyse
from memorial_tasks.voice.phones import SILENCE
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.practice_texts import MANDARIN
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.settle import settle
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import PAUSE_NONE, PAUSE_SHORT
from tests.support.placed import astray, errors


@pytest.fixture(scope="module")
def truth(espeak: Espeak) -> list[Utterance]:
    """Eight generated Mandarin sentences with the times that espeak-ng reports of its own speech."""
    front, out = FrontEnd(espeak), []
    for number, text in enumerate(MANDARIN[:8]):
        reading = read_words(espeak, front.words(text, Language.ZH_CN), variant="f3", rate=150)
        assert reading is not None
        frames = analyse(reading.audio, PitchRange(), breath=False)
        end = int(reading.timed.edges[-1])
        frames, edges = frames[:end], np.minimum(reading.timed.edges, len(frames))
        out.append(Utterance(f"u{number}", text, TimedRow(reading.timed.row, edges), frames, reading.audio, "A", 40.0))
    return out


def _errors(found: list[Utterance], truth: list[Utterance]) -> NDArray[np.int64]:
    return errors([one.timed for one in found], [one.timed for one in truth])


def test_edges_put_astray_come_back(truth: list[Utterance]) -> None:
    moved = [replace(utterance, timed=astray(utterance.timed)) for utterance in truth]
    before, after = _errors(moved, truth), _errors(settle(moved), truth)
    assert after.mean() < 0.6 * before.mean()
    assert np.median(after) <= 15


def test_true_edges_stay(truth: list[Utterance]) -> None:
    found = settle(truth)
    assert np.median(_errors(found, truth)) <= 10
    for one in found:
        assert one.timed.edges[0] == 0
        assert one.timed.edges[-1] == len(one.frames)
        assert (np.diff(one.timed.edges) >= 1).all()


def test_a_pause_that_is_not_heard_is_taken_out(truth: list[Utterance]) -> None:
    """One pause of the row is cut out of the sound; the others are still there."""
    first = truth[0]
    row, edges = first.timed.row, first.timed.edges
    gone = next(i for i in range(1, len(row.phones) - 1) if row.phones[i].name == SILENCE)
    cut = slice(int(edges[gone]) + 1, int(edges[gone + 1]))
    frames = np.delete(first.frames, cut, axis=0)
    shorter = edges.copy()
    shorter[gone + 1 :] -= cut.stop - cut.start
    silent = replace(first, frames=frames, timed=TimedRow(row, shorter))
    found = settle([silent, *truth[1:]])[0].timed.row
    word = row.word[gone - 1]
    assert len(found.phones) == len(row.phones) - 1
    assert found.words[word].pause == PAUSE_NONE
    rests = [found.word[i - 1] for i in range(1, len(found.phones) - 1) if found.word[i] < 0]
    assert all(found.words[number].pause >= PAUSE_SHORT for number in rests)


def test_nothing_settles_to_nothing() -> None:
    assert settle([]) == []
