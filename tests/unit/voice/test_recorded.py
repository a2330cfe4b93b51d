"""A recording and its words: the times synthesis would know are found in the sound."""

import numpy as np
import pytest

from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.voice.audio import RATE
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.recorded import recording_timing
from memorial_tasks.voice.text.front import FrontEnd

ENGLISH, CHINESE = "My mother baked bread every morning.", "妈妈每天早上做面包。"


@pytest.fixture(scope="module")
def readings():
    """Both sentences read by espeak, which also says when it speaks each phone: the truth to be found again."""
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        return {
            language: read_words(espeak, front.line(text, language), variant="f3", pitch=60, rate=150)
            for text, language in ((ENGLISH, Language.EN_US), (CHINESE, Language.ZH_CN))
        }


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, Language.EN_US), (CHINESE, Language.ZH_CN)])
def test_every_word_is_found_where_it_is_said(readings, text, language) -> None:
    reading = readings[language]
    timing = recording_timing(reading.audio, text, language, emotion=Emotion.WARM, intensity=0.7)
    truth = {}
    for number, start in zip(reading.timed.row.word, reading.timed.edges, strict=False):
        truth.setdefault(number, start * 0.005)
    apart = [abs(word.start - truth[number]) for number, word in enumerate(timing.words)]
    assert np.median(apart) < 0.05
    assert max(apart) < 0.2
    assert timing.lines[0].source == "recorded"
    assert timing.lines[0].emotion is Emotion.WARM


def test_the_phones_cover_the_recording_without_gaps(readings) -> None:
    timing = recording_timing(readings[Language.EN_US].audio, ENGLISH, Language.EN_US)
    assert timing.phones[0].start == 0
    assert timing.phones[-1].end == pytest.approx(timing.duration, abs=0.02)
    assert all(abs(a.end - b.start) < 1e-6 for a, b in zip(timing.phones, timing.phones[1:], strict=False))
    names = {phone.phone for phone in timing.phones}
    assert {"M", "B", "SIL"} <= names, "what the face must close its lips at"


def test_other_words_and_long_recordings_are_refused(readings) -> None:
    wave = readings[Language.EN_US].audio
    with pytest.raises(InputRefused) as refusal:
        recording_timing(wave[: RATE // 2], ENGLISH * 4, Language.EN_US)
    assert refusal.value.problems[0].code == "recording.other_words"
    with pytest.raises(InputRefused) as refusal:
        recording_timing(np.zeros(61 * RATE, np.float32), ENGLISH, Language.EN_US)
    assert refusal.value.problems[0].code == "recording.too_long"
