"""One line in three emotions, made by a voice: what moves, what stays, and in which direction."""

import numpy as np
import pytest
from numpy.typing import NDArray

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.voice.audio import RATE
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import FRAME, LF0, VUV, PitchRange, analyse
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.sequence import PhoneRow, spoken_row
from memorial_tasks.voice.synthesize import AROUSAL, say_row, speak_line
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import Trained

TEXT = "We walked along the river, and my father told me about the old garden."
SEMITONE = np.log(2) / 12


@pytest.fixture(scope="module")
def row(espeak: Espeak) -> PhoneRow:
    return spoken_row(FrontEnd(espeak).words(TEXT, Language.EN_US))


def _said(model: VoiceModel, row: PhoneRow, arousal: float) -> dict[str, float]:
    """Level in nepers, pitch and its spread in semitones, and seconds of a row of phones said so excited."""
    timed, frames = say_row(model, row, arousal=arousal)
    spoken = np.repeat([index >= 0 for index in row.word], np.diff(timed.edges))
    pitch = frames[spoken & (frames[:, VUV] > 0.5), LF0] / SEMITONE
    return {
        "level": float(frames[spoken, 0].mean()),
        "timbre": float(frames[spoken, 1].mean()),
        "pitch": float(frames[spoken, LF0].mean() / SEMITONE),
        "spread": float(pitch.std()),
        "seconds": float(timed.edges[-1]) * FRAME,
    }


def test_excitement_moves_timbre_and_melody_and_leaves_pitch_and_length_to_the_plan(
    trained: Trained, row: PhoneRow
) -> None:
    assert trained.model.tier == 0
    assert trained.model.sizes.style == 1, "what ships knows excitement, and every voice has it from there"
    sad, plain, happy = (
        _said(trained.model, row, AROUSAL[word]) for word in (Emotion.SAD, Emotion.NEUTRAL, Emotion.HAPPY)
    )
    assert sad["level"] < plain["level"] < happy["level"]
    assert sad["spread"] < happy["spread"]
    assert sad["timbre"] != happy["timbre"]
    for moved in (sad, happy):
        assert moved["pitch"] == pytest.approx(plain["pitch"], abs=0.3)
        assert moved["seconds"] == pytest.approx(plain["seconds"], rel=0.05)


def test_the_same_words_sound_happy_sad_and_plain(trained: Trained, espeak: Espeak) -> None:
    emotions = (Emotion.SAD, Emotion.NEUTRAL, Emotion.HAPPY)
    plan = direct_script([ScriptLine(text=TEXT, emotion=one, intensity=1.0) for one in emotions], Language.EN_US)
    words = FrontEnd(espeak).words(TEXT, Language.EN_US)
    lines = [speak_line(trained.model, line, words) for line in plan.lines]
    heard = [_pitch(line.wave) for line in lines]
    assert np.median(heard[0]) + 1 < np.median(heard[1]) < np.median(heard[2]) - 1, "semitones"
    assert np.std(heard[0]) < np.std(heard[1]) < np.std(heard[2])
    lengths = [line.wave.size / RATE for line in lines]
    assert lengths[0] > 1.1 * lengths[1] > 1.1 * lengths[2]
    assert [line.energy for line in plan.lines] == sorted(line.energy for line in plan.lines)


def _pitch(wave: NDArray[np.float32]) -> NDArray[np.float64]:
    """Semitones of every voiced frame of a sound."""
    frames = analyse(wave, PitchRange(60, 400), breath=False)
    return np.asarray(frames[frames[:, VUV] > 0.5, LF0] / SEMITONE, np.float64)
