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
from scipy.fft import dct
from scipy.ndimage import median_filter

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
UNLIKE, WIDER = 2.4, 1.6  # distance to the core of the set: at least this, or this multiple of the usual
LIKE_THE_REST = 1.0  # below: perhaps another speaker. A hint, never a refusal


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
    music: float = NAN  # 0..1, lasting tones in it; above 0.5 music seems to play
    pitch: float = NAN  # Hz, median
    pitch_spread: float = NAN  # semitones, 10th to 90th percentile
    likeness: float = NAN  # above 1 like the rest of the set, below unlike; set by `measure_voices`
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
        music=music(samples, between, rate),
        pitch=pitch,
        pitch_spread=spread,
    )
    return replace(full, usable=float(usable(full))), VoicePrint(timbre(voice, rate), full.speech)


def measure_voices(measures: Mapping[str, VoiceMeasure], prints: Mapping[str, VoicePrint]) -> dict[str, VoiceMeasure]:
    """Fill in `likeness`: how far a voice may lie from the set's core, over how far each lies. Keys are material ids.

    The core is the half of the recordings around the most central one; recordings of many rooms and devices widen
    the limit themselves. Left NaN below four recordings with a second of speech.
    """
    names = [name for name, one in prints.items() if one.timbre is not None]
    if len(names) < 4:
        return dict(measures)
    points = np.array([prints[name].timbre for name in names])
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).mean(axis=2))
    centre = int(np.median(apart, axis=1).argmin())
    core = np.flatnonzero(apart[centre] <= np.median(apart[centre]))
    typical = np.array([np.median(np.delete(row[core], np.flatnonzero(core == i))) for i, row in enumerate(apart)])
    limit = max(UNLIKE, WIDER * float(np.median(typical)))
    likeness = {name: float(min(limit / max(value, 1e-6), 5.0)) for name, value in zip(names, typical, strict=True)}
    return {name: replace(one, likeness=likeness.get(name, NAN)) for name, one in measures.items()}


def timbre(voice: Samples, rate: int) -> NDArray[np.float64] | None:
    """Mean mel-cepstrum (15) of speech and its pitch, each in units of how much one person's vary; None below 1 s.

    Two utterances of one person in one room lie about 1.4 apart, of two people 3 (LibriSpeech, GRID): a hint.
    """
    if len(voice) < rate:
        return None
    sound = soxr.resample(voice[: 60 * rate], rate, VAD_RATE, quality="MQ")
    sound = np.append(sound[:1], sound[1:] - 0.97 * sound[:-1])
    windows = np.lib.stride_tricks.sliding_window_view(sound, 512)[::160]
    bands = (np.abs(np.fft.rfft(windows * np.hanning(512), axis=1)) ** 2) @ _mel_bands(24, 512, VAD_RATE).T
    energy = bands.sum(axis=1)
    cepstra = dct(np.log(bands[energy > np.percentile(energy, 30)] + 1e-9), norm="ortho", axis=1)[:, 1:16]
    pitch, _spread = pitch_of(voice[: 60 * rate], rate)
    semitones = 12 * np.log2(pitch) if np.isfinite(pitch) else 12 * np.log2(150.0)
    return np.asarray(np.append(cepstra.mean(axis=0), semitones) / _ONE_PERSON, np.float64)


# Standard deviation within a person of each number above, over utterances of 21 people.
_ONE_PERSON = np.array([1.8, 0.9, 0.8, 0.56, 0.43, 0.46, 0.37, 0.3, 0.33, 0.32, 0.24, 0.33, 0.26, 0.18, 0.2, 1.3])


@cache
def _mel_bands(count: int, size: int, rate: int) -> NDArray[np.float64]:
    """Triangular mel filters from 100 Hz to 7.6 kHz, [count, size / 2 + 1]."""
    low, high = (2595 * np.log10(1 + edge / 700) for edge in (100.0, 7600.0))
    edges = 700 * (10 ** (np.linspace(low, high, count + 2) / 2595) - 1)
    at = np.fft.rfftfreq(size, 1 / rate)
    rising = (at - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - at) / np.diff(edges)[1:, None]
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


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
    # The mean of the quieter half: a cough or a second of laughter between two sentences is no noise floor. And
    # noise is nowhere louder than the quietest moments of speech: where hardly any pause is, its edges are speech.
    floor = float(quiet)
    if len(noise) >= 10:
        floor = min(floor, float(np.sort(noise)[: max(len(noise) // 2, 1)].mean()))
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


def music(sound: Samples, between: Samples, rate: int) -> float:
    """0..1: whether music lies under the speech; above 0.5 it seems so.

    Speech never holds a tone for long, and between words it has none. So: spectral lines that stand out in three
    quarters of all frames, or that stand out on average where nobody speaks.
    """
    lasting, apart = _lines(sound, rate), _lines(between, rate)
    held = float(np.percentile(np.percentile(lasting, 25, axis=0), 99)) if len(lasting) else 0.0
    alone = float(np.percentile(apart.mean(axis=0), 99)) if len(apart) else 0.0
    return float(np.clip(max((held - 0.5) / 2, (alone - 4.0) / 14), 0, 1))


def _lines(sound: Samples, rate: int) -> NDArray[np.float64]:
    """How far each frequency (180 Hz to 6 kHz) stands out of its surroundings in each frame, dB, [frames, bins]."""
    size = 4096
    if len(sound) < 2 * size:
        return np.zeros((0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(sound, size)[:: size // 4][:400]
    first, last = round(180 * size / rate), round(6000 * size / rate)
    power = np.abs(np.fft.rfft(windows * np.hanning(size).astype(np.float32), axis=1))[:, first:last] ** 2
    level = 10 * np.log10(power + 1e-12)
    return np.asarray(level - median_filter(level, (1, 31)), np.float64)


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
