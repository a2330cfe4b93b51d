"""The film's yardsticks: what is the same as a person scores like one, what is still or foreign does not."""

import numpy as np
import pytest

from memorial_tasks.domain.timing import LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from tests.bench import film_emotions, lifelike

RATE, SECONDS = 16000, 3.0
SPOKEN = ("B", 1.0, 1.2), ("AA", 1.2, 1.5), ("M", 1.5, 1.6), ("IY", 1.6, 2.0)


@pytest.fixture(scope="module")
def timing() -> SpeechTiming:
    line = LineTime(
        index=0, text="b", language=Language.EN_US, emotion=Emotion.NEUTRAL, intensity=0.5, start=1.0, end=2.0
    )
    phones = [PhoneTime(phone="SIL", start=0.0, end=1.0)]
    phones += [PhoneTime(phone=name, start=low, end=high) for name, low, high in SPOKEN]
    phones.append(PhoneTime(phone="SIL", start=2.0, end=SECONDS))
    word = WordTime(text="b", start=1.0, end=2.0)
    return SpeechTiming(sample_rate=RATE, duration=SECONDS, lines=(line,), words=(word,), phones=tuple(phones))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    time = np.arange(int(SECONDS * RATE)) / RATE
    loud = np.where((time > 1.2) & (time < 1.5) | (time > 1.6) & (time < 2.0), 1.0, 0.02)
    return (loud * np.sin(2 * np.pi * 140 * time)).astype(np.float32)


def clip(opening: np.ndarray) -> lifelike.Tracked:
    lips = np.zeros((len(opening), len(lifelike.LIPS), 2))
    lips[:, : len(lifelike.LIPS) // 2, 1] = opening[:, None]
    return lifelike.Tracked(opening, opening, lips, 0.3 + 0.1 * np.stack([opening, -opening], axis=1))


def following(sound: np.ndarray) -> np.ndarray:
    return 0.01 + 0.15 * lifelike.level(sound, RATE, 75) / 0.7


def test_a_mouth_that_follows_the_sound_differs_least(timing, sound) -> None:
    good = lifelike.measure(clip(following(sound)), sound, RATE, timing)
    late = lifelike.measure(clip(np.roll(following(sound), 8)), sound, RATE, timing)
    still = lifelike.measure(clip(np.full(75, 0.01)), sound, RATE, timing)
    assert good["lip_sync"] < 0.02
    assert good["sync_r"] > 0.99
    assert late["lip_sync"] > good["lip_sync"] + 0.2
    assert still["lip_sync"] > good["lip_sync"] + 0.2
    assert still["lip_dynamics"] == still["brow_dynamics"] == still["silent_lips"] == 0
    assert good["lip_dynamics"] > 0.01


def test_only_the_right_sound_fits(timing, sound) -> None:
    """The same mouth beside the wrong sound, or another's beside the right one; a mouth that fits nothing is as good
    with any."""
    said, loud = lifelike.speaking(timing, 75), lifelike.level(sound, RATE, 75)
    others = [np.roll(following(sound), shift) for shift in (9, 14, -11)]
    good = lifelike.against(following(sound), loud, said, others)
    assert good["told"] == 1.0
    assert good["lip_sync"] > 0.2
    assert good["sync_r"] < 0.5
    noise = [np.random.default_rng(seed).random(75) for seed in range(20)]
    assert 0.25 < np.mean([lifelike.against(each, loud, said, others)["told"] for each in noise]) < 0.75


def test_loudness_outside_of_speech_does_not_count(timing, sound) -> None:
    """A slammed door before the first word stretches nothing: levels are stretched over the speech alone."""
    door = sound.copy()
    door[: RATE // 4] += 5.0
    quiet, slammed = (lifelike.measure(clip(following(sound)), wave, RATE, timing) for wave in (sound, door))
    assert quiet["lip_sync"] == pytest.approx(slammed["lip_sync"], abs=1e-9)


def test_a_mesh_is_measured_upright_and_in_its_own_size() -> None:
    random = np.random.default_rng(0)
    mesh = random.random((3, 478, 3)).astype(np.float32)
    mesh[:, [33, 133]], mesh[:, [362, 263]] = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)
    mesh[:, list(lifelike.INNER[0]), 1], mesh[:, list(lifelike.INNER[1]), 1] = 2.0, 2.25
    turn = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]], np.float32)
    straight, tilted = lifelike.told(mesh), lifelike.told(mesh @ turn * np.float32(3))
    assert straight.opening == pytest.approx([0.25] * 3, abs=1e-5)
    for one, two in zip(vars(straight).values(), vars(tilted).values(), strict=True):
        if one.shape != straight.lips.shape:
            assert one == pytest.approx(two, rel=1e-4)


def test_unrest_in_silence_is_measured_in_silence_only(timing, sound) -> None:
    calm = following(sound)
    uneasy = calm.copy()
    silent = ~lifelike.speaking(timing, 75)
    uneasy[silent] += 0.02 * np.random.default_rng(0).standard_normal(silent.sum())
    found = [lifelike.measure(clip(each), sound, RATE, timing)["silent_lips"] for each in (calm, uneasy)]
    assert found[1] > found[0] + 0.002


def test_closures_are_looked_for_where_they_are_said(timing) -> None:
    shut = np.full(75, 0.1)
    shut[26:28] = 0.01  # in the b
    assert lifelike.closed(shut, timing) == 0.5
    shut[38] = 0.01  # in the m
    assert lifelike.closed(shut, timing) == 1.0
    assert lifelike.closed(shut, timing, late=0.9) == 0.0


def test_emotions_are_told_only_where_they_differ() -> None:
    random = np.random.default_rng(1)
    labels, groups = np.tile(np.arange(7), 6), np.repeat(np.arange(6), 7)
    noise = random.standard_normal((42, 4))
    assert film_emotions.told(noise + 4 * np.eye(7)[labels][:, :4] + labels[:, None], labels, groups) > 0.85
    assert film_emotions.told(noise, labels, groups) < 0.45
    assert film_emotions.spread(noise[:, 0] + labels, labels) > 3.4
