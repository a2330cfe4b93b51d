"""The judge of tones: right about contours drawn by program, whatever the voice, and at chance about chance."""

import numpy as np
import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.features import LF0, VUV, WIDTH, Frames
from memorial_tasks.voice.phones import Phone
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.text.units import Word
from tests.bench.tones import ToneJudge, left_out_accuracy, syllables

# Chao's tone letters (1930) as straight lines
DRAWN = {1: (5, 5), 2: (3, 5), 3: (2, 1), 4: (5, 1)}


def _said(
    tones: list[int], hertz: float, spread: float, noise: float = 0.0, drift: float = 0.0
) -> tuple[TimedRow, Frames]:
    """An utterance of syllables of 200 ms with drawn contours around `hertz`; `spread` in octaves for five letters."""
    rng = np.random.default_rng(len(tones))
    phones = [Phone("SIL"), *(Phone("a", 0.0, tone) for tone in tones), Phone("SIL")]
    words = tuple(Word("啊", (phone,), Language.ZH_CN) for phone in phones[1:-1])
    row = PhoneRow(tuple(phones), (-1, *range(len(tones)), -1), words)
    frames = np.zeros((40 * len(phones), WIDTH), np.float32)
    for number, tone in enumerate(tones, 1):
        line = np.linspace(*DRAWN.get(tone, (3, 3)), 40) + rng.normal(0, noise, 40).cumsum() * 0.1
        frames[40 * number : 40 * number + 40, LF0] = (
            np.log(hertz) + (line - 3) / 4 * spread * np.log(2) - drift * number
        )
        frames[40 * number : 40 * number + 40, VUV] = 1.0
    return TimedRow(row, np.arange(0, 40 * len(phones) + 1, 40, dtype=np.int32)), frames


MEANT = [1, 4, 2, 3, 4, 1, 3, 2, 2, 4, 1, 3]


@pytest.fixture(scope="module")
def judge() -> ToneJudge:
    """Fitted on one voice that says tones in an order of its own."""
    orders = ([1, 2, 3, 4, 1, 3, 2, 4], [4, 3, 2, 1, 3, 4, 2, 2, 1], [2, 2, 1, 1, 4, 4, 3, 3])
    return ToneJudge.fit([one for order in orders for one in syllables(*_said(order, 150.0, 0.8, noise=0.3))])


@pytest.mark.parametrize("hertz", [95.0, 230.0])
@pytest.mark.parametrize("spread", [0.5, 1.2])
@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_drawn_tones_are_heard_in_low_and_high_narrow_and_wide_voices_that_sink(
    judge: ToneJudge, hertz: float, spread: float, drift: float
) -> None:
    said = syllables(*_said(MEANT, hertz, spread, noise=0.3, drift=drift))
    assert [meant for meant, _ in said] == MEANT
    assert judge.accuracy(said) == 1.0


def test_swapped_tones_are_not_heard_as_meant(judge: ToneJudge) -> None:
    timed, frames = _said(MEANT, 150.0, 1.0)
    other, _ = _said([{1: 4, 4: 2, 2: 3, 3: 1}[tone] for tone in MEANT], 150.0, 1.0)
    assert judge.accuracy(syllables(other, frames)) == 0.0
    assert judge.accuracy(syllables(timed, frames)) == 1.0


def test_neutral_tones_and_voiceless_syllables_are_not_judged() -> None:
    timed, frames = _said([1, 5, 4, 2, 3], 150.0, 1.0)
    frames[40 * 3 : 40 * 4, VUV] = 0.0
    assert [meant for meant, _ in syllables(timed, frames)] == [1, 2, 3]


def test_what_was_fitted_on_is_not_judged_by_itself() -> None:
    rng = np.random.default_rng(0)
    chance = [[(int(tone), rng.normal(size=7)) for tone in rng.permutation([1, 2, 3, 4])] for _ in range(12)]
    everything = [one for group in chance for one in group]
    assert left_out_accuracy(chance) < 0.45 < ToneJudge.fit(everything).accuracy(everything)
    assert np.isnan(left_out_accuracy([]))
