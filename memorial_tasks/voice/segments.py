"""Where somebody speaks, and how good that stretch of recording is."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import signal
from scipy.ndimage import uniform_filter1d

from memorial_tasks.errors import Unavailable
from memorial_tasks.voice.audio import Wave, frame_levels, resample
from memorial_tasks.voice.restore import echo_seconds

Grade = Literal["A", "B", "C"]
_VAD_RATE, _CHUNK, _CONTEXT = 16000, 512, 64


@dataclass(frozen=True)
class Quality:
    """Measured on one stretch: `snr` dB (speech level over the quietest parts), `bandwidth` Hz up to which speech
    stands out of the noise, `clipped` share of samples at full scale, `level` dBFS of speech, `echo` seconds the room
    goes on (`restore.echo_seconds`)."""

    snr: float
    bandwidth: float
    clipped: float
    level: float
    echo: float = 0.0

    @property
    def grade(self) -> Grade:
        """A: fit for everything. B: usable. C: teaches a model more noise than voice."""
        if self.snr >= 25 and self.bandwidth >= 6000 and self.clipped < 0.0005 and self.echo < 0.5:
            return "A"
        usable = self.snr >= 13 and self.bandwidth >= 3600 and self.clipped < 0.01 and self.echo < 0.8
        return "B" if usable else "C"


@cache
def _session() -> Any:
    import onnxruntime

    found = find_spec("silero_vad")
    if found is None or not found.submodule_search_locations:
        raise Unavailable("the voice activity model is missing", remedy="install silero-vad")
    path = Path(found.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def speech_probability(wave: Wave, rate: int) -> Wave:
    """Probability of speech every 32 ms, float32 [chunks] (silero VAD, MIT, run offline by onnxruntime)."""
    sound = resample(wave, rate, _VAD_RATE)
    level = np.abs(sound).max() if sound.size else 0.0
    if level < 1e-5:
        return np.zeros(max(1, sound.size // _CHUNK), np.float32)
    sound = sound * np.float32(0.5 / level)
    session = _session()
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(_CONTEXT, np.float32)
    out = []
    for start in range(0, sound.size, _CHUNK):
        chunk = np.zeros(_CHUNK, np.float32)
        piece = sound[start : start + _CHUNK]
        chunk[: piece.size] = piece
        feed = {"input": np.r_[context, chunk][None], "state": state, "sr": np.array(_VAD_RATE, np.int64)}
        probability, state = session.run(None, feed)
        context = chunk[-_CONTEXT:]
        out.append(float(probability[0, 0]))
    return np.array(out, np.float32)


def speech_spans(
    wave: Wave, rate: int, *, gap: float = 0.35, shortest: float = 0.25, margin: float = 0.12, longest: float = 12.0
) -> list[tuple[float, float]]:
    """Stretches of speech as (start, end) in seconds.

    Silences under `gap` are bridged, stretches under `shortest` dropped, `margin` added on both sides. A stretch
    over `longest` is cut at its quietest moments.
    """
    step = _CHUNK / _VAD_RATE
    active = speech_probability(wave, rate) > 0.5
    edges = np.flatnonzero(np.diff(np.r_[0, active.astype(np.int8), 0]))
    spans = [(edges[i] * step, edges[i + 1] * step) for i in range(0, len(edges), 2)]
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    total = wave.size / rate
    kept = [(max(0.0, s - margin), min(total, e + margin)) for s, e in joined if e - s >= shortest]
    levels = frame_levels(wave, rate)
    return [part for span in kept for part in _cut(span, levels, longest)]


def _cut(span: tuple[float, float], levels: Wave, longest: float) -> list[tuple[float, float]]:
    start, end = span
    if end - start <= longest:
        return [span]
    low, high = int((start + 1.5) * 100), int(min(end - 1.0, start + longest) * 100)
    quiet = np.convolve(levels, np.ones(9) / 9, "same")[low:high]
    middle = (low + int(np.argmin(quiet))) / 100 if quiet.size else start + longest
    return [(start, middle), *_cut((middle, end), levels, longest)]


def measure(wave: Wave, rate: int, original: Wave | None = None) -> Quality:
    """Quality of one stretch that holds speech. `original` is the same stretch before cleaning (for clipping)."""
    levels = frame_levels(wave, rate)
    speech = float(np.mean(np.sort(levels)[-max(1, levels.size // 3) :]))
    noise = float(np.percentile(levels, 5))
    raw = wave if original is None else original
    top = float(np.abs(raw).max(initial=0.0))
    clipped = float((np.abs(raw) >= 0.998).mean()) if top >= 0.998 else 0.0
    return Quality(min(speech - noise, 90.0), _bandwidth(wave, rate), clipped, speech, echo_seconds(wave, rate))


def _bandwidth(wave: Wave, rate: int) -> float:
    if wave.size < 1024:
        return 0.0
    freqs, _, frames = signal.stft(wave, rate, nperseg=1024, noverlap=512, boundary=None, padded=False)
    # averaged over 200 Hz: a single bin of plain noise varies as much as speech does
    power = 10 * np.log10(uniform_filter1d(np.abs(frames) ** 2, 9, axis=0) + 1e-16)
    loud, quiet = np.percentile(power, 95, axis=1), np.percentile(power, 10, axis=1)
    floor = loud.max() - 62
    stands_out = (loud - quiet > 8) & (loud > floor)
    smooth = np.convolve(stands_out, np.ones(9) / 9, "same") > 0.5
    return float(freqs[np.flatnonzero(smooth)[-1]]) if smooth.any() else 0.0
