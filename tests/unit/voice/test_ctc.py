"""Our own model of phones: what it computes, and that it puts edges where the phones are."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors import safe_open

from memorial_tasks.domain.words import Language
from memorial_tasks.voice import ctc
from memorial_tasks.voice.align import MFCC, mfcc
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import PitchRange, analyse
from memorial_tasks.voice.phones import INDEX, PHONES, SILENCE, Phone
from memorial_tasks.voice.practice import Reading, read_words
from memorial_tasks.voice.practice_texts import ENGLISH, MANDARIN
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.settle import settle
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import PAUSE_NONE
from tests.support.placed import astray, errors

TEXTS = {Language.EN_US: ENGLISH[20:26], Language.ZH_CN: MANDARIN[20:26]}


def _spoken(espeak: Espeak, language: Language) -> list[Reading]:
    front = FrontEnd(espeak)
    found = [
        read_words(espeak, front.words(text, language), variant="f4", rate=150, pitch=60) for text in TEXTS[language]
    ]
    return [reading for reading in found if reading is not None]


def _utterances(readings: list[Reading]) -> list[Utterance]:
    out = []
    for number, reading in enumerate(readings):
        end = int(reading.timed.edges[-1])
        frames = analyse(reading.audio, PitchRange(), breath=False)[:end]
        edges = np.minimum(reading.timed.edges, len(frames))
        timed = TimedRow(reading.timed.row, edges)
        out.append(Utterance(f"u{number}", "", timed, frames, reading.audio, "A", 40.0))
    return out


def test_what_ships_is_small_free_and_made_for_these_phones() -> None:
    assert ctc.FILE.stat().st_size < 1e6
    with safe_open(ctc.FILE, "pt") as file:
        about = file.metadata()
    assert about["licence"] == "Apache-2.0"
    assert about["phones"].split(" ") == list(PHONES)


def test_a_frame_is_labelled_with_its_phone_and_the_third_of_it() -> None:
    row = PhoneRow((Phone(SILENCE), Phone("AA"), Phone(SILENCE)), (-1, 0, -1), ())
    labels = ctc.thirds(TimedRow(row, np.array([0, 2, 8, 11], np.int32)), 12)
    aa, rest = 3 * INDEX["AA"], 3 * INDEX[SILENCE]
    assert labels[2:8].tolist() == [aa, aa, aa + 1, aa + 1, aa + 2, aa + 2]
    assert labels[8:].tolist() == [rest, rest + 1, rest + 2, rest + 2]  # the last class goes on to the end


def test_the_loss_of_an_order_is_that_of_all_ways_to_say_it() -> None:
    """Against a sum over every segmentation, written out."""
    frames, order = 6, [4, 5, 9]
    likely = torch.log_softmax(torch.randn(1, frames, 3 * len(PHONES), generator=torch.Generator().manual_seed(0)), 2)
    ways = [
        sum(likely[0, t, order[sum(t >= cut for cut in cuts)]] for t in range(frames))
        for cuts in combinations(range(1, frames), 2)
    ]
    wanted = -torch.logsumexp(torch.stack([torch.as_tensor(way) for way in ways]), 0) / frames
    labels = torch.tensor([[4, 4, 5, 5, 5, 9]])
    assert torch.allclose(ctc.row_loss(likely, labels), wanted, atol=1e-4)


@pytest.mark.parametrize("language", list(TEXTS))
def test_what_ships_finds_phones_in_speech_it_has_not_heard(espeak: Espeak, language: Language) -> None:
    readings = _spoken(espeak, language)
    model, truth = ctc.shipped(), [reading.timed for reading in readings]
    moved = [astray(timed) for timed in truth]
    found = [ctc.place(model, mfcc(one.audio, 0.005), timed) for one, timed in zip(readings, moved, strict=True)]
    before, after = errors(moved, truth), errors(found, truth)
    assert after.mean() < 0.5 * before.mean()
    assert np.median(after) <= 10


def test_a_row_that_cannot_fit_stays_as_it_was(espeak: Espeak) -> None:
    timed = _spoken(espeak, Language.EN_US)[0].timed
    short = TimedRow(timed.row, np.arange(len(timed.row.phones) + 1, dtype=np.int32))
    heard = np.zeros((len(timed.row.phones), MFCC), np.float32)
    assert ctc.place(ctc.shipped(), heard, short) is short


def test_recordings_are_placed_better_than_they_came_and_the_same_every_time(
    espeak: Espeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctc, "_STEPS", 10)  # quicker, and enough for one clear voice
    truth = _utterances(_spoken(espeak, Language.ZH_CN))
    moved = [replace(one, timed=astray(one.timed)) for one in truth]
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    found = ctc.place_all(moved)
    assert torch.equal(torch.rand(3), wanted)  # nobody else's random numbers were touched
    before = errors([one.timed for one in moved], [one.timed for one in truth])
    after = errors([one.timed for one in found], [one.timed for one in truth])
    settled = errors([one.timed for one in settle(moved)], [one.timed for one in truth])
    assert after.mean() < 0.5 * before.mean()
    assert after.mean() < 0.8 * settled.mean()  # what it begins with is not what it ends with
    assert all((np.diff(one.timed.edges) >= 1).all() for one in found)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))  # two where there was one, one where there were two
    again = ctc.place_all(moved)
    torch.set_num_threads(threads)
    assert [one.timed.edges.tolist() for one in again] == [one.timed.edges.tolist() for one in found]


def test_a_pause_that_is_not_heard_is_taken_out(espeak: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc, "_STEPS", 10)
    truth = _utterances(_spoken(espeak, Language.ZH_CN))
    number, gone = next(
        (n, i)
        for n, one in enumerate(truth)
        for i in range(1, len(one.timed.row.phones) - 1)
        if one.timed.row.word[i] < 0
    )
    one = truth[number]
    cut = slice(int(one.timed.edges[gone]) + 1, int(one.timed.edges[gone + 1]))
    edges = one.timed.edges.copy()
    edges[gone + 1 :] -= cut.stop - cut.start
    wave = np.delete(one.wave, slice(cut.start * 120, cut.stop * 120))
    truth[number] = replace(
        one, wave=wave, frames=np.delete(one.frames, cut, axis=0), timed=TimedRow(one.timed.row, edges)
    )
    found = ctc.place_all(truth)[number].timed.row
    assert len(found.phones) == len(one.timed.row.phones) - 1
    assert found.words[one.timed.row.word[gone - 1]].pause == PAUSE_NONE


def test_teaching_makes_a_model_that_knows_more_than_chance(espeak: Espeak) -> None:
    readings = _spoken(espeak, Language.EN_US)
    model = ctc.taught(readings, steps=12)
    heard = torch.from_numpy(mfcc(readings[0].audio, 0.005)[None])
    labels = torch.from_numpy(ctc.thirds(readings[0].timed, heard.shape[1])[None])
    with torch.no_grad():
        assert ctc.frame_loss(model(heard), labels) < 0.9 * float(np.log(3 * len(PHONES)))


def test_nothing_is_placed_nowhere() -> None:
    assert ctc.place_all([]) == []
