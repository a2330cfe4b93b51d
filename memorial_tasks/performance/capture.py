"""The person's own ways, learned from home video: how often they blink, how the head sways, which way they smile.

Everything is a robust statistic of tracked numbers (`face.track`), compared with people's average, and pulled towards
it where there is little to learn from: half way after half a minute, for blinks after eight seconds. Nothing is learned
from less than eight seconds.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.performance.life import RESTING_BLINKS, SPEAKING_BLINKS
from memorial_tasks.performance.perform import Habits

LEAST_SECONDS: Final = 8.0
HALF_TRUST: Final = 30.0  # seconds after which what was seen counts as much as what is usual
# Likewise for blinks: a count of some 20 a minute is off by its own root, people differ by some 12 a minute.
HALF_BLINKS: Final = 20 * 60 / 12**2
MOST_BLINKS: Final = 60.0  # a minute
# People's average, measured with `face.track` on one clip each of ten speakers of the GRID corpus (medians).
USUAL_SWAY: Final = 7.0  # degrees a second: median speed of the head, the tracker's own unrest included
USUAL_BROW: Final = 0.0057  # ipd: spread of the brows' height over `WINDOW`, between blinks
USUAL_JAW: Final = 0.14  # ipd: 95th percentile of the lips' opening
WINDOW: Final = 3.0  # seconds: over longer times a head that turns looks like brows that move
NEAR: Final = 0.10  # seconds around a lid that falls in which the brows go with it
GAP: Final = 0.25  # seconds between two rows that are not one stretch any more
Column = NDArray[np.float64]


def learn(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> Habits | None:
    """Habits from tracked rows; None when there is too little. Stretches may be of several videos, times ascending
    within each."""
    table = np.array(rows, np.float64).reshape(-1, len(columns))
    if len(table) < 2:
        return None
    seen = {name: table[:, index] for index, name in enumerate(columns)}
    steps = np.diff(seen["time"])
    whole = (steps > 0) & (steps < GAP)
    seconds = float(steps[whole].sum())
    if seconds < LEAST_SECONDS:
        return None

    def towards(value: float, usual: float, half: float = HALF_TRUST) -> float:
        return usual + seconds / (seconds + half) * (value - usual)

    blinks = blink_count(seen, whole) / seconds * 60
    sway = np.hypot(np.diff(seen["yaw"]), np.diff(seen["pitch"]))[whole] / steps[whole]
    smiles = (seen["corner_left"] + seen["corner_right"]) / 2
    wide = smiles >= np.percentile(smiles, 75)
    lean = float(np.median((seen["corner_left"] - seen["corner_right"])[wide]))
    calm = float(np.median((seen["corner_left"] - seen["corner_right"])[~wide]))
    usual = (RESTING_BLINKS + SPEAKING_BLINKS) / 2
    return Habits(
        blinks_per_minute=round(float(np.clip(towards(blinks, usual, HALF_BLINKS), 4, MOST_BLINKS)), 2),
        head_gain=_gain(towards(float(np.median(sway)) / USUAL_SWAY, 1.0)),
        brow_gain=_gain(towards(_liveliness(seen, whole) / USUAL_BROW, 1.0)),
        jaw_gain=round(float(np.clip(towards(float(np.percentile(seen["mouth"], 95)) / USUAL_JAW, 1.0), 0.75, 1.2)), 3),
        # a smile that lifts one corner more: in corner heights, of which a full smile is 0.085
        smile_lean=round(float(np.clip(towards((lean - calm) / 0.085, 0.0), -0.6, 0.6)), 3),
    )


def blink_count(seen: dict[str, Column], whole: NDArray[np.bool_]) -> int:
    """Short closures of both eyes: under 60 % of their own usual opening, and back within half a second."""
    lids = (seen["eye_right"] + seen["eye_left"]) / 2
    usual = float(np.percentile(lids, 70))
    shut = lids < 0.6 * usual
    starts = np.flatnonzero(shut[1:] & ~shut[:-1] & whole) + 1
    count = 0
    for start in starts:
        opens = np.flatnonzero(~shut[start:])
        if len(opens) and seen["time"][start + opens[0]] - seen["time"][start] <= 0.5:
            count += 1
    return count


def save(habits: Habits, path: Path) -> None:
    """Writes habits as JSON."""
    path.write_text(json.dumps(asdict(habits), indent=1))


def load(path: Path) -> Habits:
    """Reads what `save` wrote."""
    return Habits(**json.loads(path.read_text()))


def _liveliness(seen: dict[str, Column], whole: NDArray[np.bool_]) -> float:
    """How far the brows move between blinks: the median over windows of what they spread in each."""
    lids = (seen["eye_right"] + seen["eye_left"]) / 2
    stretch = np.concatenate([[0], np.cumsum(~whole)])
    found = []
    for number in range(int(stretch[-1]) + 1):
        here = np.flatnonzero(stretch == number)
        time = seen["time"][here] - seen["time"][here[0]]
        fallen = time[lids[here] < 0.75 * np.percentile(lids[here], 70)]
        around = np.concatenate([[-np.inf], fallen, [np.inf]])
        place = np.searchsorted(around, time)
        calm = np.minimum(around[place] - time, time - around[place - 1]) > NEAR
        for begin in np.arange(0, time[-1] - 0.9 * WINDOW, WINDOW):
            inside = calm & (time >= begin) & (time < begin + WINDOW)
            if inside.sum() >= 10:
                found.append(_spread(seen["brow"][here[inside]]))
    return float(np.median(found)) if found else USUAL_BROW


def _spread(values: Column) -> float:
    low, high = np.percentile(values, [10, 90])
    return float(high - low) / 2.56


def _gain(value: float) -> float:
    return round(float(np.clip(value, 0.5, 1.5)), 3)
