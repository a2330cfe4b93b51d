"""Old recordings made fit to learn from: clicks taken out, and noise and echo where that makes words clearer.

Clicks are told from speech by being alone: the pulses of a voice return every few milliseconds and a burst of a
consonant goes on, a scratch does neither. What it covered is filled in by linear prediction from both sides (least
squares, Janssen, Veldhuis & Vries 1986). Noise is taken out by a Wiener gain under the decision-directed estimate
(Ephraim & Malah 1984), echo by weighted prediction error (Nakatani et al. 2010, one channel). Both change the voice
too, so neither is done because it can be: `prepare` asks a recogniser whether the words are better understood.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import solve_toeplitz

from memorial_tasks.voice.audio import Wave, frame_levels

_ORDER = 24  # of the linear prediction
_BLOCK = 0.25  # seconds that share one prediction
_ALONE = 6.0  # how far a click stands above everything within 12 ms before and after it
_LOUD = 10.0  # and above the usual of its block
_NEAR, _AROUND = 0.002, 0.012  # seconds: the longest click, and how far round it is looked
_MARGIN = 3  # samples filled in beside it
_FFT, _HOP = 512, 128  # of the noise gain
_ECHO_FFT, _ECHO_HOP = 2048, 512
_SMOOTH, _LEAST_GAIN = 0.97, 0.18  # of the noise gain: the estimate's memory, and -15 dB
_TAPS, _DELAY, _ROUNDS = 12, 2, 3  # of the echo's prediction, in frames
_FLANK, _BELOW = 8, 20.0  # frames of 10 ms over which a fall is looked at, and dB under the loudest in which it begins
_Doubles = NDArray[np.float64]


def without_clicks(wave: Wave, rate: int) -> tuple[Wave, int]:
    """`wave` with its clicks filled in, and how many there were."""
    sound = wave.astype(np.float64)
    block, near, around = int(_BLOCK * rate), int(_NEAR * rate), int(_AROUND * rate)
    found: list[tuple[int, int]] = []
    for start in range(0, sound.size - 4 * around, block):
        first, last = max(0, start - around), min(sound.size, start + block + around)
        error = _prediction_error(sound[first:last])
        limit = _LOUD * (float(np.median(error)) + 1e-6)
        for peak in (int(index) for index in np.flatnonzero(error > limit)):
            inside = start <= first + peak < start + block
            if inside and (not found or first + peak >= found[-1][1]) and _alone(error, peak, near, around):
                end = peak + int(np.flatnonzero(error[peak : peak + near] > limit)[-1])
                found.append((first + peak - _MARGIN, first + end + _MARGIN + 1))
    for begin, end in found:
        _fill(sound, max(_ORDER, begin), min(sound.size - _ORDER, end))
    return np.asarray(sound, np.float32), len(found)


def _prediction_error(sound: _Doubles) -> _Doubles:
    """What neither the samples before nor those after foretell: a click blurs into the one side of each only."""
    taps = _predictor(sound)
    forward = np.abs(signal.lfilter(taps, [1.0], sound))
    backward = np.abs(signal.lfilter(taps, [1.0], sound[::-1])[::-1])
    forward[:_ORDER], backward[-_ORDER:] = 0.0, 0.0  # nothing stands there to foretell them
    return np.asarray(np.minimum(forward, backward), np.float64)


def _predictor(sound: _Doubles) -> _Doubles:
    """1 and the negative coefficients of linear prediction, by autocorrelation under a window."""
    size = sound.size
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(size), 2 * size)) ** 2
    correlation = np.fft.irfft(spectrum)[: _ORDER + 1]
    correlation[0] = correlation[0] * 1.0001 + 1e-9
    return np.asarray(np.r_[1.0, -solve_toeplitz(correlation[:-1], correlation[1:])], np.float64)


def _alone(error: _Doubles, peak: int, near: int, around: int) -> bool:
    top = error[peak : peak + near].max()
    sides = (error[max(0, peak - around) : max(0, peak - _MARGIN)], error[peak + near : peak + around])
    return all(side.size > 0 and top > _ALONE * side.max() for side in sides)


def _fill(sound: _Doubles, first: int, last: int) -> None:
    """Samples `first` to `last` from what stands around them, in place."""
    begin, end = max(0, first - 20 * _ORDER), min(sound.size, last + 20 * _ORDER)
    part = sound[begin:end].copy()
    hole = np.arange(first - begin, last - begin)
    part[hole] = np.interp(hole, [hole[0] - 1, hole[-1] + 1], [part[hole[0] - 1], part[hole[-1] + 1]])
    for _ in range(2):  # the prediction itself becomes better with the hole filled
        taps = _predictor(part)
        rows = np.arange(hole[0], min(part.size, hole[-1] + _ORDER + 1))
        matrix = np.zeros((rows.size, part.size))
        for lag, tap in enumerate(taps):
            matrix[np.arange(rows.size), rows - lag] = tap
        known = part.copy()
        known[hole] = 0.0
        part[hole] = np.linalg.lstsq(matrix[:, hole], -(matrix @ known), rcond=None)[0]
    sound[first:last] = part[hole]


def without_noise(wave: Wave, rate: int) -> Wave:
    """`wave` with its steady noise, as heard in the quietest tenth of it, at most 15 dB lower."""
    spectrum = signal.stft(wave, rate, nperseg=_FFT, noverlap=_FFT - _HOP)[2]
    power = np.abs(spectrum) ** 2
    quiet = np.argsort(power.sum(axis=0))[: max(4, power.shape[1] // 10)]
    noise = power[:, quiet].mean(axis=1) * 1.5 + 1e-14  # the quietest frames are quieter than the mean noise
    clean = np.zeros(len(noise))
    out = np.empty_like(spectrum)
    for frame in range(power.shape[1]):
        above = np.maximum(power[:, frame] / noise - 1.0, 0.0)
        estimate = _SMOOTH * clean / noise + (1 - _SMOOTH) * above
        gain = np.maximum(estimate / (1.0 + estimate), _LEAST_GAIN)
        clean = gain**2 * power[:, frame]
        out[:, frame] = gain * spectrum[:, frame]
    return _as_long(signal.istft(out, rate, nperseg=_FFT, noverlap=_FFT - _HOP)[1], wave.size)


def without_echo(wave: Wave, rate: int) -> Wave:
    """`wave` with what can be foretold from 40 to 300 ms ago taken out of every band."""
    spectrum = signal.stft(wave, rate, nperseg=_ECHO_FFT, noverlap=_ECHO_FFT - _ECHO_HOP)[2]
    frames = spectrum.shape[1]
    past = np.stack([np.pad(spectrum, ((0, 0), (lag, 0)))[:, :frames] for lag in range(_DELAY, _DELAY + _TAPS)], axis=2)
    dry = spectrum
    for _ in range(_ROUNDS):
        weight = 1.0 / np.maximum(np.abs(dry) ** 2, 1e-4 * (np.abs(spectrum) ** 2).mean(axis=1, keepdims=True) + 1e-12)
        weighted = past.conj() * weight[:, :, None]
        left = np.einsum("btk,btl->bkl", weighted, past)
        left += 1e-6 * np.trace(left, axis1=1, axis2=2).real[:, None, None] * np.eye(_TAPS) + 1e-12 * np.eye(_TAPS)
        right = np.einsum("btk,bt->bk", weighted, spectrum)
        dry = spectrum - np.einsum("btk,bk->bt", past, np.linalg.solve(left, right[:, :, None])[:, :, 0])
    return _as_long(signal.istft(dry, rate, nperseg=_ECHO_FFT, noverlap=_ECHO_FFT - _ECHO_HOP)[1], wave.size)


def _as_long(sound: _Doubles, size: int) -> Wave:
    return np.asarray(np.pad(sound[:size], (0, max(0, size - sound.size))), np.float32)


def echo_seconds(wave: Wave, rate: int) -> float:
    """How long the room goes on: the seconds in which sound would fall by 60 dB at the pace of the fastest falls within
    the speech; 0 for less than a second. Speech itself does not stop at once: measured on rooms of 0.4, 0.8 and 1.2 s
    around the same sentences 0.33, 0.45 and 0.49, without a room 0.2 (0.14 to 0.41 over fifty recordings)."""
    levels = frame_levels(wave, rate).astype(np.float64)
    if levels.size < 100:
        return 0.0
    drop = levels[:-_FLANK] - levels[_FLANK:]
    falls = drop[(levels[:-_FLANK] > np.percentile(levels, 95) - _BELOW) & (drop > 0)]
    return 60.0 * _FLANK * 0.01 / float(np.percentile(falls, 95)) if falls.size >= 10 else 0.0
