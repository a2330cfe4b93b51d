"""What the sound says to the body: loudness and pitch of the speech track at the score's rate.

Works line by line, so that memory does not grow with the length of the film.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.timing import LineTime

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Prosody:
    """Curves float64 [T] at the score's rate, time zero being the start of the speech track.

    `loudness` is 0 in silence and about 1 at a line's loud syllables; `pitch` is in semitones from the speaker's
    median, held through unvoiced stretches, 0 in silence; `voiced` is 0 or 1.
    """

    loudness: NDArray[np.float64]
    pitch: NDArray[np.float64]
    voiced: NDArray[np.float64]


def measure(speech: FloatArray, sample_rate: int, lines: Sequence[LineTime], rate: int) -> Prosody:
    """Loudness and pitch of `speech` (mono, -1..1), looking only inside the lines."""
    ticks = round(len(speech) / sample_rate * rate)
    energy = _energy(speech, sample_rate, rate, ticks)
    loud = np.percentile(energy[energy > 1e-4], 90) if (energy > 1e-4).any() else 1.0
    loudness = np.clip((energy / max(loud, 1e-6)) ** 0.6, 0, 1.3)
    hertz = np.zeros(ticks)
    for line in lines:
        low, high = int(line.start * sample_rate), min(len(speech), int(line.end * sample_rate))
        if high - low < sample_rate // 10:
            continue
        found = _pitch(speech[low:high], sample_rate, rate)
        first = round(line.start * rate)
        room = min(len(found), ticks - first)
        hertz[first : first + room] = found[:room]
    voiced = hertz > 0
    pitch = np.zeros(ticks)
    if voiced.any():
        semitones = 12 * np.log2(hertz[voiced] / np.median(hertz[voiced]))
        pitch = np.interp(np.arange(ticks), np.flatnonzero(voiced), np.clip(semitones, -9, 9))
        pitch *= np.clip(loudness * 3, 0, 1)
    return Prosody(loudness, pitch, voiced.astype(np.float64))


def _energy(speech: FloatArray, sample_rate: int, rate: int, ticks: int) -> NDArray[np.float64]:
    """Root mean square over 50 ms around each tick."""
    edges = (np.arange(ticks + 1) / rate * sample_rate).astype(np.int64)
    power = np.zeros(ticks)
    for start in range(0, ticks, 6000):  # a minute at a time
        stop = min(ticks, start + 6000)
        piece = speech[edges[start] : edges[stop]].astype(np.float64) ** 2
        if len(piece):
            inside = np.minimum(edges[start:stop] - edges[start], len(piece) - 1)
            sums = np.add.reduceat(piece, inside)
            power[start:stop] = sums / np.maximum(np.diff(edges[start : stop + 1]), 1)
    width = max(1, round(0.05 * rate))
    return np.asarray(np.sqrt(np.convolve(power, np.ones(width) / width, mode="same")))


def _pitch(speech: FloatArray, sample_rate: int, rate: int) -> NDArray[np.float64]:
    """Fundamental frequency in Hz, 0 where unvoiced (WORLD's DIO, refined)."""
    import pyworld

    signal = np.ascontiguousarray(speech, np.float64)
    coarse, time = pyworld.dio(signal, sample_rate, f0_floor=60, f0_ceil=500, frame_period=1000 / rate)
    return np.asarray(pyworld.stonemask(signal, coarse, time, sample_rate), np.float64)
