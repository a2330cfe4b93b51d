"""What a living face does besides speaking: blinks, gaze, small head motion, breath.

Every function takes its own random generator, so that a change in one curve leaves the others as they were.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
Random = np.random.Generator

SPEAKING_BLINKS: Final = 22.0  # a minute (Bentivoglio et al. 1997: 26 in conversation, 17 at rest)
RESTING_BLINKS: Final = 15.0
REFRACTORY: Final = 0.9  # seconds between two blinks at least
# The lid of 67 tracked blinks of one person and of 7 of nine others (GRID): down in two pictures of 25 a second, up by
# three quarters in three, and the rest over a third of a second.
BLINK_CLOSE, BLINK_HOLD, BLINK_OPEN, BLINK_SETTLE = 0.080, 0.022, 0.110, 0.360
SETTLING: Final = 0.28  # share of the way that is left to the slow part


def smooth(curve: Curve, seconds: float, rate: int) -> Curve:
    """Gaussian blur with a standard deviation of `seconds`, edges held."""
    sigma = max(seconds * rate, 1e-3)
    reach = max(1, int(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.concatenate([np.full(reach, curve[0]), curve, np.full(reach, curve[-1])])
    return _convolve(padded, kernel / kernel.sum())


def wander(ticks: int, rate: int, period: float, random: Random) -> Curve:
    """Smooth noise of unit variance that changes its mind about every `period` seconds."""
    step = max(1, int(period * rate / 3))
    knots = random.standard_normal(ticks // step + 8)
    positions = (np.arange(ticks) / step) + 2
    left = positions.astype(int)
    share = positions - left
    total: Curve = np.zeros(ticks)
    for shift, weight in zip((-1, 0, 1, 2), _spline(share), strict=True):
        total += weight * knots[left + shift]
    return total / 0.69  # the spline's own standard deviation of unit knots


def blink_times(
    speaking: Curve, ends: Sequence[float], rate: int, random: Random, per_minute: float | None = None
) -> list[float]:
    """Starts of blinks in seconds. People blink where a phrase ends: the chance is six times as high there.

    `speaking` is 0..1 [T]; `ends` are the ends of phrases in seconds; `per_minute` replaces both usual rates.
    """
    ticks = len(speaking)
    usual = RESTING_BLINKS + (SPEAKING_BLINKS - RESTING_BLINKS) * speaking
    hazard = usual if per_minute is None else np.full(ticks, per_minute)
    favour = np.ones(ticks)
    for end in ends:
        favour[max(0, int((end - 0.05) * rate)) : max(0, int((end + 0.25) * rate))] = 6.0
    favour[(speaking > 0.5) & (favour == 1.0)] = 0.7
    chance = _enough(hazard / 60 / rate * favour, float(hazard.mean()) / 60 * ticks / rate, round(REFRACTORY * rate))
    hits = np.flatnonzero(random.random(ticks) < chance)
    times: list[float] = []
    for hit in hits:
        time = hit / rate
        if (not times or time - times[-1] >= REFRACTORY) and 0.15 < time < ticks / rate - 0.4:
            times.append(float(time))
    longest = 9.0 if per_minute is None else max(9.0, 150 / max(per_minute, 1e-3))  # nobody stares longer
    filled: list[float] = []
    last: float
    for blink in [*times, ticks / rate]:
        last = filled[-1] if filled else 0.0
        while blink - last > longest:
            last += float(random.uniform(0.45, 0.75)) * longest
            filled.append(last)
        filled.append(blink)
    return filled[:-1]


def _enough(chance: Curve, wanted: float, deaf: int) -> Curve:
    """Chances a tick [T] scaled so that `wanted` of them come true, although each that does makes the `deaf` ticks
    after it impossible."""
    scale = wanted / max(float(chance.sum()), 1e-9)
    for _ in range(8):
        scaled = np.minimum(scale * chance, 1.0)
        true = scaled.copy()
        for _ in range(24):  # damped: where chances are high, the swallowed share would swing
            before = np.concatenate([[0.0], np.cumsum(true)])
            recent = before[:-1] - before[np.maximum(np.arange(len(true)) - deaf, 0)]
            true = 0.5 * (true + scaled * np.clip(1 - recent, 0, 1))
        scale *= wanted / max(float(true.sum()), 1e-9)
    return np.minimum(scale * chance, 1.0)


def blinks(times: Sequence[float], ticks: int, rate: int, random: Random) -> tuple[Curve, Curve]:
    """Left and right lid, 0 open .. 1 shut: fast down, hardly a hold, up, and slowly the rest; half a second in all."""
    left, right = np.zeros(ticks), np.zeros(ticks)
    for time in times:
        pace = float(random.uniform(0.9, 1.2))
        for lid, late in ((left, 0.0), (right, float(random.uniform(0, 0.008)))):
            clock = np.arange(max(0, int(time * rate)), min(ticks, int((time + 0.6) * rate))) / rate - time - late
            down = np.clip(clock / (BLINK_CLOSE * pace), 0, 1)
            since = clock - (BLINK_CLOSE + BLINK_HOLD) * pace
            fast, slow = (
                0.5 + 0.5 * np.cos(np.pi * np.clip(since / (part * pace), 0, 1)) for part in (BLINK_OPEN, BLINK_SETTLE)
            )
            shape = (0.5 - 0.5 * np.cos(np.pi * down)) * ((1 - SETTLING) * fast + SETTLING * slow)
            span = slice(max(0, int(time * rate)), max(0, int(time * rate)) + len(shape))
            lid[span] = np.maximum(lid[span], shape)
    return left, right


def gaze(target: NDArray[np.float64], ticks: int, rate: int, random: Random) -> tuple[Curve, Curve]:
    """Eyes: they rest on a point, jump a little (saccades under a degree) every second or so, and drift.

    `target` is [T, 2]: where the line wants the eyes (0, 0 is the camera).
    """
    eyes = np.zeros((ticks, 2))
    changes = [*(np.flatnonzero(np.abs(np.diff(target, axis=0)).sum(axis=1) > 0) + 1).tolist(), ticks]
    now = 0
    while now < ticks:
        stay = int(rate * float(random.gamma(3.0, 0.45)) + 0.25 * rate)
        stay = min(stay, changes[bisect_right(changes, now)] - now)  # a new aim is a new fixation
        offset = random.standard_normal(2) * (0.035, 0.022)
        away = float(np.hypot(*target[min(now, ticks - 1)])) > 0.1
        eyes[now : now + stay] = offset * (2.5 if away else 1.0)
        now += stay
    jump = smooth(eyes[:, 0] + target[:, 0], 0.014, rate), smooth(eyes[:, 1] + target[:, 1], 0.014, rate)
    return jump[0] + 0.006 * wander(ticks, rate, 0.7, random), jump[1] + 0.005 * wander(ticks, rate, 0.7, random)


def breath(speaking: Curve, rate: int, random: Random) -> Curve:
    """Chest between -1 and 1: at rest a breath every four seconds; speech is spoken on the way out, and air is
    taken in the pauses."""
    ticks = len(speaking)
    level, speed = 0.0, 0.0
    out = np.zeros(ticks)
    rising = True
    period = 4.0
    busy = speaking > 0.5
    for tick in range(ticks):
        if busy[tick]:
            wanted = -0.22 * (1.0 + level)  # empties slowly, never quite
            rising = True
        else:
            if rising and level > 0.75:
                rising, period = False, 4.0 + 0.5 * float(random.standard_normal())
            elif not rising and level < -0.75:
                rising, period = True, 4.0 + 0.5 * float(random.standard_normal())
            wanted = (1.0 if rising else -1.0) * 3.4 / max(period, 2.5)
        speed += (wanted - speed) * min(1.0, 6.0 / rate)
        level = min(1.0, max(-1.0, level + speed / rate))
        out[tick] = level
    return np.clip(smooth(out, 0.08, rate), -1, 1)


def bumps(times: Sequence[float], sizes: Sequence[float], rise: float, fall: float, ticks: int, rate: int) -> Curve:
    """Sum of rounded accents: each begins `rise` before its time and is over `fall` after it."""
    curve = np.zeros(ticks)
    for time, size in zip(times, sizes, strict=True):
        low, high = max(0, int((time - rise) * rate)), min(ticks, int((time + fall) * rate) + 1)
        clock = np.arange(low, high) / rate - time
        share = np.where(clock < 0, 1 + clock / rise, 1 - clock / fall)
        curve[low:high] += size * (0.5 - 0.5 * np.cos(np.pi * np.clip(share, 0, 1)))
    return curve


def _spline(share: Curve) -> tuple[Curve, Curve, Curve, Curve]:
    """Weights of the uniform cubic B-spline, which never overshoots its knots."""
    return (
        (1 - share) ** 3 / 6,
        (3 * share**3 - 6 * share**2 + 4) / 6,
        (-3 * share**3 + 3 * share**2 + 3 * share + 1) / 6,
        share**3 / 6,
    )


def _convolve(signal: Curve, kernel: Curve) -> Curve:
    if len(kernel) < 200:
        return np.convolve(signal, kernel, mode="valid")
    from scipy.signal import oaconvolve

    return np.asarray(oaconvolve(signal, kernel, mode="valid"), np.float64)
