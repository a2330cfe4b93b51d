"""Loudness and true peak of a stream of sound, a block at a time.

Integrated loudness after ITU-R BS.1770-4 / EBU R 128 (K weighting, 400 ms blocks with 75 % overlap, absolute gate
-70 LUFS, relative gate -10 LU); true peak by four-fold oversampling. Written here because memory must not grow with
the film; `pyloudnorm` wants the whole programme and is the oracle of the tests.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, lfilter, oaconvolve

Sound = NDArray[np.float32]
STEP: Final = 0.1


class LoudnessMeter:
    """Feed float32 [N, C] blocks at `rate`, then ask. Knows nothing louder than what it was fed."""

    def __init__(self, rate: int, channels: int = 2) -> None:
        self._stages = [(b, a, np.zeros((2, channels))) for b, a in _k_weighting(rate)]
        self._step = round(STEP * rate)
        self._left = np.zeros((0, channels))
        self._energy: list[float] = []

    def feed(self, sound: Sound) -> None:
        """Takes the next block."""
        signal = sound.astype(np.float64)
        stages = []
        for b, a, state in self._stages:
            signal, after = lfilter(b, a, signal, axis=0, zi=state)
            stages.append((b, a, after))
        self._stages = stages
        signal = np.concatenate([self._left, signal])
        whole = len(signal) // self._step
        steps = signal[: whole * self._step].reshape(whole, self._step, signal.shape[1])
        self._energy += list(np.square(steps).mean(axis=1).sum(axis=1))
        self._left = signal[whole * self._step :]

    def integrated(self) -> float:
        """LUFS, or -inf for silence or less than 400 ms."""
        steps = np.array(self._energy)
        if len(steps) < 4:
            return float("-inf")
        blocks = np.convolve(steps, np.full(4, 0.25), mode="valid")
        loud = blocks[_lufs(blocks) > -70]
        if len(loud) == 0:
            return float("-inf")
        gated = loud[_lufs(loud) > _lufs(loud.mean()) - 10]
        return float(_lufs(gated.mean()))


class TruePeakMeter:
    """Highest absolute value between the samples, in dBTP."""

    def __init__(self) -> None:
        self.highest = 0.0
        self._tail: NDArray[np.float64] | None = None

    def feed(self, sound: Sound) -> None:
        """Takes the next block, float32 [N, C]."""
        if len(sound) == 0:
            return
        peaks, self._tail = true_peaks(sound, self._tail)
        self.highest = max(self.highest, float(peaks.max()))

    def decibels(self) -> float:
        """dBTP so far, -inf for silence."""
        return float(20 * np.log10(self.highest)) if self.highest > 0 else float("-inf")


_TAPS: Final = 48
_PHASES: Final = (firwin(_TAPS * 4, 0.25 * 0.94) * 4).reshape(_TAPS, 4).T


def true_peaks(
    sound: Sound, tail: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest absolute value around every sample, float64 [N], over all channels and four phases.

    `tail` is the second return value of the call before: it makes blocks seamless. The value at a sample belongs
    to the sound 24 samples earlier (the filter's delay), the sample itself included.
    """
    if tail is None:
        tail = np.zeros((_TAPS - 1, sound.shape[1]))
    signal = np.concatenate([tail, sound.astype(np.float64)])
    peaks = np.abs(sound).max(axis=1).astype(np.float64)
    for phase in _PHASES:
        between = oaconvolve(signal, phase[:, None], mode="valid", axes=0)
        np.maximum(peaks, np.abs(between).max(axis=1), out=peaks)
    return peaks, signal[len(signal) - _TAPS + 1 :]


def _lufs(energy: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(energy, 1e-12)))


def _k_weighting(rate: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The two biquads of BS.1770 (a head-shaped shelf, then a high-pass) for any sample rate."""
    gain, quality, corner = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * corner / rate)
    high, middle = 10 ** (gain / 20), 10 ** (gain / 20 * 0.4996667741545416)
    scale = 1 + k / quality + k * k
    shelf_b = np.array([high + middle * k / quality + k * k, 2 * (k * k - high), high - middle * k / quality + k * k])
    shelf_a = np.array([scale, 2 * (k * k - 1), 1 - k / quality + k * k])
    quality, corner = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * corner / rate)
    scale_2 = 1 + k / quality + k * k
    pass_a = np.array([1, 2 * (k * k - 1) / scale_2, (1 - k / quality + k * k) / scale_2])
    return [(shelf_b / scale, shelf_a / scale), (np.array([1.0, -2.0, 1.0]), pass_a)]
