"""Lines are heard back from their sound: right words are found where they are, other words are not."""

from dataclasses import replace

import numpy as np
import pytest

from memorial_tasks.domain.timing import DirectedLine, DirectionPlan
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.listen import Listener, between, fit
from memorial_tasks.voice.practice_texts import ENGLISH
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.synthesize import (
    SpokenLine,
    hear_line,
    say_line,
    speak_in_parts,
    speak_line,
    unclear_words,
)
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import Trained

Rows = list[tuple[TimedRow, np.ndarray]]


def _line(text: str) -> DirectedLine:
    return DirectedLine(
        index=0, text=text, language=Language.EN_US, emotion=Emotion.WARM, intensity=0.5, pace=1.0, pause=0.4,
        gaze="camera",
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows(corpus: Corpus) -> Rows:
    frames = np.concatenate([u.frames for u in corpus.utterances])
    mean, spread = frames.mean(axis=0), frames.std(axis=0) + 1e-4
    return [(u.timed, (u.frames - mean) / spread) for u in corpus.utterances]


@pytest.fixture(scope="module")
def ear(rows: Rows) -> Listener:
    return fit(rows, rows)


def test_words_are_found_where_they_are_said(rows: Rows, ear: Listener) -> None:
    shifts, scores = [], []
    for timed, frames in rows:
        heard = ear.hear(frames, timed)
        shifts += [abs(word.shift) for word in heard]
        scores += [word.score for word in heard]
    assert np.median(shifts) < 0.03
    assert np.mean(np.array(scores) > ear.least) > 0.9


def test_other_words_are_told_from_what_was_said(rows: Rows, ear: Listener) -> None:
    own = [float(np.mean(ear.scores(frames, timed))) for timed, frames in rows]
    turned = [
        float(np.mean([word.score for word in ear.hear(frames, timed)]))
        for (timed, _), (_, frames) in zip(rows, [*rows[1:], rows[0]], strict=True)
    ]
    assert min(own) > max(turned)


def test_the_language_the_person_never_spoke_is_told_too(trained: Trained, espeak: Espeak) -> None:
    """Against practice speech such lines were never told, and were made three times, slower and slower."""
    front = FrontEnd(espeak)
    one, other = (
        speak_line(trained.model, _line("x"), front.words(text, Language.ZH_CN))
        for text in ("老师在学校等你们。", "下雨了，快回家吃饭。")
    )

    def told(line: SpokenLine, wave: np.ndarray) -> float:
        return float(np.median([word.score for word in hear_line(trained.model, wave, line.timed)]))

    for said, another in ((one, other), (other, one)):
        assert told(said, said.wave) > trained.model.listener.least
        assert told(said, said.wave) > told(said, np.resize(another.wave, said.wave.size)) + 3.0


def test_sounds_are_moved_to_where_recordings_stand(rows: Rows) -> None:
    recorded = np.concatenate([frames for _, frames in rows])
    made = (recorded - 0.7) / 1.3
    shift, stretch = between(made, recorded)
    assert np.allclose(stretch, 1.3, atol=0.01)
    assert np.allclose(shift, 0.7, atol=0.02)
    moved = Listener(np.zeros((1, 3, 24)), np.ones((1, 3, 24)), 0.0, np.stack([shift, stretch])).as_recorded(made)
    assert np.allclose(moved[:, 1:25], recorded[:, 1:25], atol=0.02)
    assert np.array_equal(moved[:, 25:], made[:, 25:])


def test_a_row_with_more_phones_than_frames_is_spread_evenly(rows: Rows, ear: Listener) -> None:
    timed, frames = rows[0]
    heard = ear.hear(frames[:20], timed)
    assert len(heard) == len(timed.row.words)


def test_noise_in_place_of_a_line_is_not_understood(trained: Trained, espeak: Espeak) -> None:
    words = FrontEnd(espeak).words("The garden looked beautiful this morning.", Language.EN_US)
    line = speak_line(trained.model, _line("x"), words)
    noise = np.random.default_rng(0).normal(0, 0.05, line.wave.size).astype(np.float32)
    assert unclear_words(trained.model, replace(line, wave=noise)) > 0.6 * len(words)


def test_a_line_that_is_not_understood_is_made_again_slower(
    trained: Trained, espeak: Espeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener is made deaf for the first try: a real failure cannot be had to order."""
    words = FrontEnd(espeak).words("Was it worth all the trouble?", Language.EN_US)
    answers = iter((len(words), 0))
    monkeypatch.setattr("memorial_tasks.voice.synthesize.unclear_words", lambda model, line: next(answers))
    made = say_line(trained.model, _line("x"), words)
    monkeypatch.undo()
    first = speak_line(trained.model, _line("x"), words)
    assert (made.tries, made.unclear) == (2, 0)
    assert made.wave.size > 1.02 * first.wave.size


def test_a_line_nobody_understands_keeps_its_best_try_and_says_so(
    trained: Trained, espeak: Espeak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener is made deaf throughout: a real failure cannot be had to order."""
    words = FrontEnd(espeak).words("Was it worth all the trouble?", Language.EN_US)
    answers = iter((6, 4, 5))
    monkeypatch.setattr("memorial_tasks.voice.synthesize.unclear_words", lambda model, line: next(answers))
    made: SpokenLine = say_line(trained.model, _line("x"), words)
    assert (made.tries, made.unclear) == (3, 4)


def test_a_long_script_needs_no_more_memory_than_a_short_one(trained: Trained) -> None:
    """What is handed out at once stays as small as one line, whatever the length of the script."""
    largest = []
    for count in (1, 3):
        lines = tuple(_line(ENGLISH[3 * number + 6]).model_copy(update={"index": number}) for number in range(count))
        sizes: list[int] = []
        plan = DirectionPlan(language=Language.EN_US, lines=lines)
        spoken = speak_in_parts(trained.model, plan, lambda wave, to=sizes: to.append(wave.size))  # type: ignore[misc]
        assert len(sizes) == count + 2
        assert spoken.timing.duration * 24000 == pytest.approx(sum(sizes))
        largest.append(max(sizes))
    assert largest[1] < 2 * largest[0]
