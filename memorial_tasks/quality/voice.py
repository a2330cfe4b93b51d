"""Recordings turned into numbers: how much of the person's speech there is, and how clean it is."""

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyloudnorm
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

NAN = float("nan")
VAD_RATE = 16_000
VAD_STEP = 512  # samples of one decision: 32 ms
_CONTEXT = 64

# A recording outside these is not learned from. Calibrated in tests/bench/bench_material.py.
USABLE_SPEECH = 0.6  # s
USABLE_SNR = 8.0  # dB
USABLE_CLIPPED = 0.02  # share of samples
USABLE_BANDWIDTH = 3_000.0  # Hz
LIKE_THE_REST = 0.25  # below: perhaps another speaker. A hint, never a refusal


@dataclass(frozen=True)
class VoiceMeasure:
    """What was measured on one recording. Measures of speech are NaN when there is none."""

    seconds: float
    rate: float  # Hz, as recorded
    speech: float  # s of speech
    speech_share: float
    segments: int
    snr: float = NAN  # dB, speech over what lies between
    clipped: float = 0.0  # share of samples that sit on a flat top
    bandwidth: float = NAN  # Hz, up to where speech rises above its own floor
    rolloff: float = NAN  # Hz, below which 95 % of the pre-emphasised energy lies
    loudness: float = NAN  # LUFS
    peak: float = 0.0  # 0..1
    dc: float = 0.0  # mean over peak
    dropouts: int = 0  # gaps of digital silence inside speech
    hum: float = NAN  # dB, mains tone and harmonics over their surroundings
    music: float = NAN  # 0..1, how tonal and loud what lies between the speech is
    pitch: float = NAN  # Hz, median
    pitch_spread: float = NAN  # semitones, 10th to 90th percentile
    likeness: float = NAN  # 1 like the rest of the set .. 0 unlike; set by `measure_set`
    usable: float = 0.0

    def numbers(self) -> dict[str, float]:
        """Every measure as a number; NaN where there is none."""
        return {key: float(value) for key, value in asdict(self).items()}


class SpeechDetector:
    """Silero VAD (MIT) by onnxruntime alone: no torch, no network; the model comes with the package."""

    def __init__(self, model: Path | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(model or _packaged_model()), options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, samples: Samples, rate: int) -> NDArray[np.float32]:
        """Probability of speech for every 32 ms of mono float32 `samples`."""
        sound = samples if rate == VAD_RATE else soxr.resample(samples, rate, VAD_RATE, quality="MQ")
        count = -(-len(sound) // VAD_STEP)
        padded = np.zeros(_CONTEXT + count * VAD_STEP, np.float32)
        padded[_CONTEXT : _CONTEXT + len(sound)] = sound
        state = np.zeros((2, 1, 128), np.float32)
        out = np.zeros(count, np.float32)
        sample_rate = np.array(VAD_RATE, np.int64)
        for index in range(count):
            start = index * VAD_STEP
            window = padded[None, start : start + _CONTEXT + VAD_STEP]
            probability, state = self._session.run(None, {"input": window, "state": state, "sr": sample_rate})
            out[index] = probability[0, 0]
        return out

    def speech(self, samples: Samples, rate: int) -> NDArray[np.bool_]:
        """Speech or not for every 32 ms, with hysteresis; islands under 0.1 s and holes under 0.15 s are closed."""
        probabilities = self.probabilities(samples, rate)
        active = np.zeros(len(probabilities), bool)
        on = False
        for index, value in enumerate(probabilities):
            on = value > (0.35 if on else 0.5)
            active[index] = on
        return _without_short_runs(_without_short_runs(active, True, 3), False, 5)


@cache
def _packaged_model() -> Path:
    spec = importlib.util.find_spec("silero_vad")  # found, not imported: importing it imports torch
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("silero_vad")
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "silero_vad.onnx"


def _without_short_runs(active: NDArray[np.bool_], value: bool, least: int) -> NDArray[np.bool_]:
    out = active.copy()
    for start, end in runs(active == value):
        if end - start < least and (value or (start > 0 and end < len(active))):
            out[start:end] = not value
    return out


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (exclusive) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(frozen=True)
class VoicePrint:
    """What is kept of a recording to compare it with others: never stored. None without enough speech."""

    timbre: NDArray[np.float64] | None  # mean mel-cepstrum of the voiced frames
    seconds: float = 0.0


def measure_voice(
    samples: Samples, rate: int, detector: SpeechDetector, source_rate: int = 0
) -> tuple[VoiceMeasure, VoicePrint]:
    """Measure a mono recording, float32 in -1..1, at `rate` Hz (16 kHz or more); `source_rate` as recorded.

    Returns the numbers and the print that `measure_voices` compares.
    """
    seconds = len(samples) / rate
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 1e-5:
        return VoiceMeasure(seconds, float(source_rate or rate), 0.0, 0.0, 0, peak=peak), VoicePrint(None)
    active = detector.speech(samples, rate)
    speech_s = float(active.sum()) * VAD_STEP / VAD_RATE
    per_sample = np.repeat(active, rate * VAD_STEP // VAD_RATE)[: len(samples)]
    per_sample = np.pad(per_sample, (0, len(samples) - len(per_sample)), mode="edge" if len(per_sample) else "constant")
    common: dict[str, Any] = {
        "seconds": seconds,
        "rate": float(source_rate or rate),
        "speech": min(speech_s, seconds),
        "speech_share": min(speech_s / max(seconds, 1e-6), 1.0),
        "segments": len(runs(active)),
        "clipped": clipped_share(samples),
        "loudness": loudness(samples, rate),
        "peak": peak,
        "dc": abs(float(samples.mean(dtype=np.float64))) / peak,
    }
    if speech_s < 0.25:
        return VoiceMeasure(**common), VoicePrint(None)
    voice, between = samples[per_sample], samples[~per_sample]
    bandwidth, rolloff = band(voice, rate)
    pitch, spread = pitch_of(voice[: 60 * rate], rate)
    full = VoiceMeasure(
        **common,
        snr=snr(samples, per_sample, rate),
        bandwidth=bandwidth,
        rolloff=rolloff,
        dropouts=dropouts(samples, per_sample, rate),
        hum=hum(between if len(between) > rate // 2 else samples, rate),
        music=music(voice, between, rate),
        pitch=pitch,
        pitch_spread=spread,
    )
    return replace(full, usable=float(usable(full))), VoicePrint(timbre(voice, rate), full.speech)


def measure_voices(
    measures: Mapping[str, VoiceMeasure], prints: Mapping[str, VoicePrint]
) -> dict[str, VoiceMeasure]:
    """Fill in `likeness`: how much each recording sounds like the others. Keys are material ids."""
    return dict(measures)


def timbre(voice: Samples, rate: int) -> NDArray[np.float64] | None:
    """Mean mel-cepstrum of speech, None for less than a second."""
    return None


def usable(measure: VoiceMeasure) -> bool:
    """True when the voice model may learn from the recording."""
    return (
        measure.speech >= USABLE_SPEECH
        and measure.snr >= USABLE_SNR
        and measure.clipped <= USABLE_CLIPPED
        and measure.bandwidth >= USABLE_BANDWIDTH
    )


def clipped_share(samples: Samples) -> float:
    """Share of samples that lie in flat tops: three or more in a row within 0.2 % of a side's own extreme."""
    total = 0
    for side in (samples, -samples):
        top = float(side.max(initial=0.0))
        if top < 0.05:
            continue
        total += sum(end - start for start, end in runs(side >= top * 0.998) if end - start >= 3)
    return total / max(len(samples), 1)


def loudness(samples: Samples, rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4), NaN for less than 0.4 s or silence."""
    if len(samples) < 0.4 * rate + 1:
        return NAN
    value = float(pyloudnorm.Meter(rate).integrated_loudness(samples.astype(np.float64)))
    return value if np.isfinite(value) else NAN


def frame_power(samples: Samples, rate: int, step_s: float = 0.02) -> NDArray[np.float64]:
    """Mean power of consecutive frames of `step_s` seconds."""
    step = int(rate * step_s)
    count = len(samples) // step
    power: NDArray[np.float64] = (samples[: count * step].reshape(count, step).astype(np.float64) ** 2).mean(axis=1)
    return power


def snr(samples: Samples, speech: NDArray[np.bool_], rate: int) -> float:
    """Signal-to-noise ratio in dB: power of speech frames over the quiet half of the frames between.

    Digital silence (a noise gate) says nothing about noise and is left out; when nothing lies between,
    the quietest tenth of the speech frames stands for the noise. Capped at 80.
    """
    power = frame_power(samples, rate)
    step = int(rate * 0.02)
    active = speech[: len(power) * step].reshape(len(power), step).mean(axis=1) > 0.5
    audible = power > 1e-11
    noise = power[~active & audible]
    quiet = np.quantile(power[active & audible], 0.05) if (active & audible).any() else 0.0
    # The mean of the quieter half: a cough or a second of laughter between two sentences is no noise floor.
    floor = float(np.sort(noise)[: max(len(noise) // 2, 1)].mean()) if len(noise) >= 10 else float(quiet)
    signal = float(power[active].mean()) if active.any() else 0.0
    return float(np.clip(10 * np.log10(max(signal - floor, 1e-14) / max(floor, 1e-14)), -20, 80))


def spectrum(samples: Samples, rate: int, size: int = 1024) -> tuple[NDArray[Any], NDArray[Any]]:
    """Frequencies in Hz and the mean power spectrum over half-overlapping Hann windows."""
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    windows = windows[: 20 * rate // (size // 2)]
    power = (np.abs(np.fft.rfft(windows * np.hanning(size).astype(np.float32), axis=1)) ** 2).mean(axis=0)
    return np.fft.rfftfreq(size, 1 / rate), power.astype(np.float64)


def band(voice: Samples, rate: int) -> tuple[float, float]:
    """Bandwidth and 95 % roll-off of speech in Hz.

    Bandwidth is the highest frequency whose smoothed, pre-emphasised spectrum lies within 45 dB of its
    maximum: a telephone ends at 3.4 kHz, a video cassette near 10 kHz. It cannot exceed half of `rate`.
    """
    frequencies, power = spectrum(np.append(voice[:1], voice[1:] - 0.97 * voice[:-1]).astype(np.float32), rate)
    smooth = np.convolve(power, np.ones(9) / 9, mode="same")
    above = np.flatnonzero(smooth > smooth.max() * 10**-4.5)
    cumulative = np.cumsum(power)
    rolloff = frequencies[int(np.searchsorted(cumulative, 0.95 * cumulative[-1]))]
    return float(frequencies[above[-1]]) if len(above) else 0.0, float(rolloff)


def dropouts(samples: Samples, speech: NDArray[np.bool_], rate: int) -> int:
    """Gaps of at least 5 ms of one constant value in the middle of speech: lost packets, torn tape, bad cuts."""
    still = np.abs(np.diff(samples, prepend=samples[:1])) < 1e-7
    margin = int(0.1 * rate)
    count = 0
    for start, end in runs(still):
        long_enough = 0.005 * rate <= end - start <= 0.5 * rate
        if long_enough and start > margin and end + margin < len(samples):
            # Sound falls off a cliff at a dropout; at a real pause it has faded before.
            around = np.abs(samples[start - margin // 20 : start]).max(initial=0.0)
            count += bool(speech[start - margin : end + margin].all() and around > 0.01)
    return count


def hum(quiet: Samples, rate: int) -> float:
    """Mains hum in dB: the lines at 50 or 60 Hz and three harmonics over their surroundings, whichever is more."""
    size = 1 << 14
    if len(quiet) < size:
        return NAN
    frequencies, power = spectrum(quiet, rate, size)
    best = 0.0
    for mains in (50.0, 60.0):
        excess = []
        for harmonic in (1, 2, 3, 4):
            at = mains * harmonic
            line = power[(frequencies > at - 3) & (frequencies < at + 3)].max()
            around = np.median(power[(frequencies > at - 22) & (frequencies < at + 22)])
            excess.append(10 * np.log10((line + 1e-12) / (around + 1e-12)))
        best = max(best, float(np.median(excess)))
    return best


def music(voice: Samples, between: Samples, rate: int) -> float:
    """0..1: whether music lies under the speech, from what is heard between the words.

    Music is loud (within 30 dB of the speech) and tonal (its spectrum has lasting peaks); noise is loud but flat.
    """
    if len(between) < rate // 2:
        return NAN
    quiet, loud_part = (float((part.astype(np.float64) ** 2).mean()) + 1e-12 for part in (between, voice))
    level = 10 * np.log10(quiet / loud_part)
    size = 4096
    if len(between) < 2 * size:
        return NAN
    windows = np.lib.stride_tricks.sliding_window_view(between, size)[:: size // 2][:400]
    power = np.abs(np.fft.rfft(windows * np.hanning(size), axis=1))[:, 40 : size // 4] ** 2
    power = power[power.sum(axis=1) > 1e-7]
    if len(power) < 2:
        return 0.0
    flatness = np.exp(np.log(power + 1e-12).mean(axis=1)) / (power.mean(axis=1) + 1e-12)
    tonal = float(np.clip((0.3 - np.median(flatness)) / 0.25, 0, 1))
    loud = float(np.clip((level + 35) / 15, 0, 1))
    return tonal * loud


def pitch_of(voice: Samples, rate: int) -> tuple[float, float]:
    """Median pitch in Hz and its 10th-to-90th percentile spread in semitones, by normalised autocorrelation."""
    sound = soxr.resample(voice, rate, 8000, quality="LQ")
    size, step = 400, 160
    if len(sound) < size:
        return NAN, NAN
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::step]
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = (frames**2).mean(axis=1)
    frames = frames[energy > 0.1 * energy.mean()]
    spectra = np.fft.rfft(frames * np.hanning(size), 1024, axis=1)
    correlation = np.fft.irfft(np.abs(spectra) ** 2, axis=1)[:, : size // 2]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(size), 1024)) ** 2)[: size // 2]
    correlation = correlation / (correlation[:, :1] + 1e-9) / (window / window[0])
    low, high = 8000 // 400, 8000 // 70
    lag = correlation[:, low:high].argmax(axis=1) + low
    strength = correlation[np.arange(len(lag)), lag]
    voiced = 8000.0 / lag[strength > 0.6]
    if len(voiced) < 5:
        return NAN, NAN
    p10, p50, p90 = np.percentile(voiced, (10, 50, 90))
    return float(p50), float(12 * np.log2(p90 / p10))
