"""Recordings become numbers that move with what is wrong with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from memorial_tasks.quality.voice import (
    clipped_share,
    dropouts,
    hum,
    measure_voice,
    pitch_of,
    snr,
    usable,
)

RATE = 24_000
Speak = Callable[..., Any]


@pytest.fixture(scope="module")
def clean(speech: Speak) -> Any:
    return np.concatenate([np.zeros(RATE // 2, np.float32), speech(5.0, seed=3), np.zeros(RATE // 2, np.float32)])


def noise(count: int, level: float) -> Any:
    return (level * np.random.default_rng(7).standard_normal(count)).astype(np.float32)


def test_speech_is_found_and_silence_and_noise_are_not(clean: Any, detector: Any) -> None:
    measure, _ = measure_voice(clean, RATE, detector)
    assert 3.5 < measure.speech < 5.5
    assert measure.usable == 1
    assert measure_voice(np.zeros(RATE, np.float32), RATE, detector)[0].speech == 0
    assert measure_voice(noise(3 * RATE, 0.1), RATE, detector)[0].speech == 0


@pytest.mark.parametrize("wanted", [10.0, 20.0, 30.0])
def test_the_noise_is_measured_within_three_decibels(clean: Any, detector: Any, wanted: float) -> None:
    spoken = clean[RATE // 2 : -RATE // 2]
    level = float(np.sqrt((spoken.astype(float) ** 2).mean())) * 10 ** (-wanted / 20)
    measure, _ = measure_voice(clean + noise(len(clean), level), RATE, detector)
    assert measure.snr == pytest.approx(wanted, abs=3)


def test_a_noise_gate_does_not_pass_for_perfect_silence(clean: Any) -> None:
    noisy = clean + noise(len(clean), 0.02)
    mask = np.zeros(len(clean), bool)
    mask[RATE // 2 : -RATE // 2] = True
    gated = np.where(mask, noisy, 0).astype(np.float32)
    assert snr(gated, mask, RATE) < 45


def test_clipping_is_counted_even_when_turned_down_afterwards(clean: Any) -> None:
    assert clipped_share(clean) == 0
    hot = np.clip(clean * 6, -1, 1)
    assert clipped_share(hot) > 0.02
    assert clipped_share(hot * 0.4) == pytest.approx(clipped_share(hot), rel=0.01)


def test_a_telephone_has_no_highs(clean: Any, detector: Any) -> None:
    band = butter(16, [300, 3400], "bandpass", fs=RATE, output="sos")
    narrow = sosfilt(band, clean).astype(np.float32)
    wide, narrowed = (measure_voice(sound, RATE, detector)[0].bandwidth for sound in (clean, narrow))
    assert wide > 8000
    assert narrowed < 5000


def test_gaps_in_words_are_counted_and_pauses_are_not(clean: Any) -> None:
    mask = np.ones(len(clean), bool)
    assert dropouts(clean, mask, RATE) == 0
    torn = clean.copy()
    loud = [int(i) for i in np.flatnonzero(np.abs(clean) > 0.2) if RATE < i < len(clean) - RATE]
    for at in loud[:: len(loud) // 3][:3]:
        torn[at + 1 : at + 1 + RATE // 50] = 0
    assert dropouts(torn, mask, RATE) == 3


def test_hum_stands_out_at_its_harmonics() -> None:
    quiet = noise(3 * RATE, 0.001)
    time = np.arange(len(quiet)) / RATE
    tones = sum(0.003 / k * np.sin(2 * np.pi * 50 * k * time) for k in (1, 2, 3, 4))
    assert hum((quiet + tones).astype(np.float32), RATE) > 15
    assert hum(quiet, RATE) < 12


@pytest.mark.parametrize("pitch", [100.0, 180.0, 240.0])
def test_pitch_is_found(speech: Speak, pitch: float) -> None:
    median, spread = pitch_of(speech(3.0, pitch=pitch, pauses=0.0), RATE)
    assert median == pytest.approx(pitch, rel=0.12)
    assert 1 < spread < 12


def test_what_the_model_may_not_learn_from(clean: Any, detector: Any) -> None:
    measure, _ = measure_voice(clean, RATE, detector)
    assert usable(measure)
    assert not usable(measure_voice(clean + noise(len(clean), 0.2), RATE, detector)[0])
    assert not usable(measure_voice(np.clip(clean * 20, -1, 1).astype(np.float32), RATE, detector)[0])
