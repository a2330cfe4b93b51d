"""Clicks are filled in, noise and echo taken out where words become clearer by it, and clean speech is left alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import RATE, Wave, frame_levels, resample
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.prepare import prepare_voice
from memorial_tasks.voice.restore import echo_seconds, without_clicks, without_echo, without_noise

Recordings = tuple[list[Path], dict[str, str]]


@pytest.fixture(scope="module")
def speech(espeak: Espeak) -> Wave:
    said = espeak.say("The old boat drifted gently past the harbour while the children waved.", "en-us+f2", rate=140)
    return resample(np.pad(said.audio, said.rate // 4), said.rate, RATE)


def _power(wave: Wave) -> float:
    return float((wave.astype(np.float64) ** 2).mean())


def _room(wave: Wave, seconds: float) -> tuple[Wave, Wave]:
    """`wave` in a room of exponentially dying noise, and with its first 25 ms alone."""
    size = int(seconds * RATE)
    room = np.random.default_rng(2).normal(size=size) * np.exp(-6.9 * np.arange(size) / size)
    room *= 0.8 / np.sqrt((room**2).sum())
    room[0] = 1.0
    early = room.copy()
    early[600:] = 0.0
    return tuple(signal.fftconvolve(wave, one)[: wave.size].astype(np.float32) for one in (room, early))  # type: ignore[return-value]


def test_clicks_are_found_and_filled_in(speech: Wave) -> None:
    rng = np.random.default_rng(1)
    scratched = speech.copy()
    for at in range(9000, speech.size - 9000, 9000):
        size = int(rng.integers(3, 20))
        scratched[at : at + size] += rng.normal(0, 0.8, size).astype(np.float32)
    repaired, found = without_clicks(scratched, RATE)
    wanted = len(range(9000, speech.size - 9000, 9000))
    assert 0.8 * wanted <= found <= wanted
    assert _power(repaired - speech) < 0.5 * _power(scratched - speech)
    assert repaired.size == speech.size


def test_speech_without_clicks_stays(speech: Wave) -> None:
    same, found = without_clicks(speech, RATE)
    assert found <= 2
    assert _power(same - speech) < 1e-3 * _power(speech)
    assert without_clicks(np.zeros(500, np.float32), RATE)[1] == 0


def test_steady_noise_becomes_quieter_and_speech_does_not(speech: Wave) -> None:
    noisy = speech + np.random.default_rng(3).normal(0, 0.01, speech.size).astype(np.float32)
    done = without_noise(noisy, RATE)
    before, after = frame_levels(noisy, RATE), frame_levels(done, RATE)
    assert np.percentile(after, 5) < np.percentile(before, 5) - 8
    assert np.percentile(after, 95) == pytest.approx(np.percentile(before, 95), abs=1.0)
    assert _power(done - speech) < 0.5 * _power(noisy - speech)


def test_a_room_is_heard_and_made_smaller(speech: Wave) -> None:
    wet, early = _room(speech, 0.9)
    assert echo_seconds(speech, RATE) < 0.7 * echo_seconds(wet, RATE)
    assert _power(without_echo(wet, RATE) - early) < 0.75 * _power(wet - early)
    assert echo_seconds(speech[: RATE // 2], RATE) == 0.0


class _Ear:
    """A recogniser that hears what a test wants: what pocketsphinx makes of generated speech is chance."""

    def __init__(self, answers: Iterator[str]) -> None:
        self._answers = answers

    def words(self, wave: Wave, rate: int = RATE) -> str:
        return next(self._answers)


@pytest.mark.parametrize("helps", [True, False])
def test_noise_is_taken_out_only_where_a_recogniser_then_hears_more(
    helps: bool, recordings: Recordings, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, texts = recordings
    rng = np.random.default_rng(4)
    noisy = []
    for path in files:
        sound, rate = soundfile.read(path)
        noisy.append(tmp_path / path.name)
        soundfile.write(noisy[-1], sound + rng.normal(0, 0.012, sound.size), rate)
    right = [texts[path.stem] for path in sorted(files)]
    hears = iter([*([""] * len(right)), *(right if helps else [""] * len(right))])
    monkeypatch.setattr("memorial_tasks.voice.prepare.Recogniser", lambda: _Ear(hears))
    found = prepare_voice(noisy, texts, Language.EN_US)
    assert ("voice.noise_removed" in {finding.code for finding in found.findings}) is helps
    assert "voice.noise_removed" not in {finding.code for finding in corpus.findings}
