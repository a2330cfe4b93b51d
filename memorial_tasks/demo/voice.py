"""The fictional person's own recordings: generated speech reshaped into an elderly woman's voice.

The words come from the espeak-ng process (a separate program, see `memorial_tasks.voice.espeak`); the WORLD vocoder
(Morise et al., 2016) takes them apart and puts them together again with another pitch, timbre, tempo and breath, so
that the demo has a voice that belongs to nobody.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, lfilter, resample_poly

from memorial_tasks.voice.espeak import Espeak

RATE = 24000
_FRAME_MS = 5.0
_VOICES = {"zh-CN": ("cmn+f3", 158, 60, 62), "en-US": ("en-us+f3", 150, 46, 58)}
Signal = NDArray[np.float64]


def _smooth_noise(rng: np.random.Generator, count: int, every: int) -> Signal:
    """Slow random wander around 0 with unit variance at its knots; `every` frames between knots."""
    knots = rng.standard_normal(count // every + 3)
    return np.interp(np.arange(count) / every, np.arange(len(knots)), knots)


def _stretch(values: NDArray[np.float64], at: Signal) -> NDArray[np.float64]:
    """Rows of `values` at the fractional positions `at`, linear in between."""
    low = np.clip(np.floor(at).astype(int), 0, len(values) - 2)
    part = (at - low).reshape((-1,) + (1,) * (values.ndim - 1))
    return np.asarray(values[low] * (1 - part) + values[low + 1] * part)


def _shift_formants(envelope: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Spectral envelope [T, F] with every formant moved to `factor` times its frequency."""
    bins = envelope.shape[1]
    source = np.clip(np.arange(bins) / factor, 0, bins - 1.001)
    low = source.astype(int)
    part = source - low
    logs = np.log(envelope)
    return np.asarray(np.exp(logs[:, low] * (1 - part) + logs[:, low + 1] * part))


def reshape_voice(speech: NDArray[np.float32], rate: int, rng: np.random.Generator, median_hz: float = 182.0) -> Signal:
    """Turn generated speech (float32 [N] at `rate`) into the person's voice, float64 [M] at 24 kHz."""
    import pyworld

    signal = resample_poly(speech.astype(np.float64), RATE // 150, rate // 150)
    pitch, times = pyworld.dio(signal, RATE, f0_floor=70.0, f0_ceil=420.0, frame_period=_FRAME_MS)
    pitch = pyworld.stonemask(signal, pitch, times, RATE)
    envelope = pyworld.cheaptrick(signal, pitch, times, RATE)
    aperiodicity = pyworld.d4c(signal, pitch, times, RATE)
    count = len(pitch)
    # Tempo: a pace of the day and a slow wander inside the sentence, never the machine's even clock.
    pace = 1.0 + 0.05 * rng.standard_normal() + 0.09 * _smooth_noise(rng, count, 70)
    clock = np.concatenate([[0.0], np.cumsum(1.0 / np.clip(pace, 0.75, 1.3))])
    at = np.interp(np.arange(0.0, clock[-1], 1.0), clock, np.arange(count + 1))
    at = np.clip(at, 0, count - 1.001)
    voiced = pitch[np.clip(np.round(at).astype(int), 0, count - 1)] > 0
    known = np.flatnonzero(pitch > 0)
    if len(known) == 0:
        return np.asarray(signal)
    logs = np.interp(np.arange(count), known, np.log(pitch[known]))
    logs = _stretch(logs, at)
    envelope, aperiodicity = _stretch(envelope, at), np.clip(_stretch(aperiodicity, at), 0.0, 1.0)
    frames = len(at)
    seconds = np.arange(frames) * _FRAME_MS / 1000.0
    centre = float(np.median(logs[voiced])) if voiced.any() else float(np.median(logs))
    reach = 1.12 + 0.1 * rng.standard_normal()
    tremor = (
        0.011
        * (1 + 0.5 * _smooth_noise(rng, frames, 90))
        * np.sin(2 * np.pi * (4.9 * seconds + 0.25 * _smooth_noise(rng, frames, 60)))
    )
    wander = 0.018 * _smooth_noise(rng, frames, 45) - 0.05 * (seconds / max(seconds[-1], 1e-3) - 0.5)
    jitter = 0.004 * rng.standard_normal(frames)
    level = np.log(median_hz) + 0.02 * rng.standard_normal()
    pitch_out = np.where(voiced, np.exp(level + reach * (logs - centre) + tremor + wander + jitter), 0.0)
    envelope = _shift_formants(envelope, 0.965)
    hertz = np.linspace(0, RATE / 2, envelope.shape[1])
    shimmer = np.exp(0.05 * rng.standard_normal(frames) + 0.16 * _smooth_noise(rng, frames, 60))
    tilt = 1.0 / (1.0 + (hertz / 5200.0) ** 2) ** 0.35
    envelope = envelope * (tilt**2)[None, :] * (shimmer**2)[:, None]
    breath = 0.10 + 0.04 * _smooth_noise(rng, frames, 50)
    high = np.clip((hertz - 900.0) / 4500.0, 0.0, 1.0)
    aperiodicity = np.clip(aperiodicity + np.clip(breath, 0.02, 0.3)[:, None] * high[None, :], 0.001, 1.0)
    return np.asarray(
        pyworld.synthesize(
            pitch_out, np.ascontiguousarray(envelope), np.ascontiguousarray(aperiodicity), RATE, _FRAME_MS
        )
    )


def _breath(rng: np.random.Generator, seconds: float) -> Signal:
    """One quiet breath taken in before speaking."""
    count = int(seconds * RATE)
    low, high = butter(2, [500 / (RATE / 2), 3800 / (RATE / 2)], "band")
    shape = np.sin(np.pi * np.linspace(0, 1, count) ** 0.7) ** 2
    return np.asarray(lfilter(low, high, rng.standard_normal(count)) * shape)


def _room(rng: np.random.Generator) -> Signal:
    """Impulse response of a small furnished room (0.22 s), direct sound first."""
    count = int(0.22 * RATE)
    tail = rng.standard_normal(count) * np.exp(-np.arange(count) / (0.035 * RATE))
    low, high = butter(1, 3500 / (RATE / 2))
    response = 0.010 * lfilter(low, high, tail)
    response[: int(0.004 * RATE)] = 0.0
    response[0] = 1.0
    return np.asarray(response)


def _quiet(seconds: float) -> Signal:
    return np.zeros(int(seconds * RATE))


def record(spoken: NDArray[np.float32], rate: int, rng: np.random.Generator, room: Signal) -> NDArray[np.float32]:
    """One finished recording, float32 [N] at 24 kHz: a breath, the sentence, the room, its quiet floor of noise."""
    voice = reshape_voice(spoken, rate, rng)
    loud = voice[np.abs(voice) > 0.02]
    voice = voice / max(float(np.sqrt(np.mean(loud**2))) if len(loud) else 1.0, 1e-6)
    voice *= 0.085 * np.exp(0.12 * rng.standard_normal())
    parts = [_quiet(0.12 + 0.1 * rng.random())]
    if rng.random() < 0.6:
        parts += [0.0075 * (0.6 + 0.6 * rng.random()) * _breath(rng, 0.28 + 0.2 * rng.random()), _quiet(0.06)]
    parts += [voice, _quiet(0.2 + 0.15 * rng.random())]
    dry = np.concatenate(parts)
    low, high = butter(1, 400 / (RATE / 2))
    floor = lfilter(low, high, rng.standard_normal(len(dry)))
    wet = fftconvolve(dry, room)[: len(dry)] + 0.0009 * floor
    return np.asarray(np.clip(wet, -0.98, 0.98), dtype=np.float32)


def _trim(audio: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Without the silence the generator puts around a sentence, 40 ms left on each side."""
    loud = np.flatnonzero(np.abs(audio) > 0.01)
    if len(loud) == 0:
        return audio
    edge = int(0.04 * rate)
    return audio[max(loud[0] - edge, 0) : loud[-1] + edge]


def record_voice(
    folder: Path, sentences: Sequence[str], language: str, seed: int, progress: Callable[[float, str], None]
) -> float:
    """Write one WAV (mono 24 kHz PCM16) a sentence and ``transcripts.csv`` (``file|text``); returns the seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    voice, words, pitch, spread = _VOICES[language]
    room = _room(np.random.default_rng([seed, 1]))
    seconds = 0.0
    rows: list[tuple[str, str]] = []
    with Espeak() as speaker:
        for number, sentence in enumerate(sentences):
            rng = np.random.default_rng([seed, 2, number])
            hurry = int(words * (1 + 0.06 * rng.standard_normal()))
            said = speaker.say(
                sentence, voice, rate=hurry, pitch=pitch, pitch_range=int(spread + 8 * rng.standard_normal())
            )
            sound = record(_trim(said.audio, said.rate), said.rate, rng, room)
            name = f"recording-{number + 1:03d}.wav"
            soundfile.write(folder / name, sound, RATE, subtype="PCM_16")
            rows.append((name, sentence))
            seconds += len(sound) / RATE
            progress((number + 1) / len(sentences), "speaking the recordings")
    with (folder / "transcripts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="|", lineterminator="\n")
        writer.writerow(("file", "text"))
        writer.writerows(rows)
    return seconds
