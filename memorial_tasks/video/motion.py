"""How body and camera move through a film: slowly, never the same twice, and a pure function of the picture's number.

A presenter who is nothing but a moving head before a photo looks cut out. The body sways with the slow part of the
head's motion and rises with the breath; the camera drifts, so that what is far behind moves against what is near.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float32]
SLOW: Final = 0.7  # seconds: what of the head's motion the body follows
SWAY: Final = 0.010  # of the picture's height at the top of the head, at most
LIFT: Final = 0.0028  # of the picture's height, from rest to a full chest
PERIODS: Final = (17.0, 29.0)  # seconds of the camera's two slow swings: they meet again after eight minutes
_YAW: Final = 0.012  # inter-ocular distances that the neck carries a head sideways for a degree of turning


@dataclass(frozen=True)
class Motion:
    """One value a picture, float32 [N]: `sway` of the head to the right and `lift` of the body upwards, both in picture
    heights, and where the `camera` is between its two ends, -1..1."""

    sway: Curve
    lift: Curve
    camera: Curve

    def at(self, number: int) -> tuple[float, float, float]:
        """(sway, lift, camera) of a picture; the last one's after the end."""
        index = min(number, len(self.sway) - 1)
        return float(self.sway[index]), float(self.lift[index]), float(self.camera[index])


def film_motion(frames: int, fps: float, curves: Mapping[str, NDArray[Any]] | None = None) -> Motion:
    """The motion of a film of `frames` pictures. `curves` are those of the performance score sampled at `fps`
    (`head_x`, `head_yaw`, `breath` are read); their last values hold to the end. Without them nothing but the camera
    moves: a body that breathes beside the voice is worse than one that does not."""
    clock = np.arange(frames) / fps
    camera = 0.7 * np.sin(2 * np.pi * clock / PERIODS[0]) + 0.3 * np.sin(2 * np.pi * clock / PERIODS[1] + 1.0)
    still = np.zeros(frames, np.float32)
    if curves is None:
        return Motion(still, still, camera.astype(np.float32))
    head = _held(curves["head_x"], frames) + _YAW * _held(curves["head_yaw"], frames)
    slow = _smoothed(head - head.mean(), SLOW * fps)
    sway = SWAY * np.tanh(slow / 0.03)
    lift = LIFT * _smoothed(_held(curves["breath"], frames), 0.08 * fps)
    return Motion(sway.astype(np.float32), lift.astype(np.float32), camera.astype(np.float32))


def _held(curve: NDArray[Any], frames: int) -> NDArray[np.float64]:
    """The curve at the film's length: its last value stays."""
    given = np.asarray(curve[:frames], np.float64)
    return np.concatenate([given, np.full(frames - len(given), given[-1] if len(given) else 0.0)])


def _smoothed(curve: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(curve, max(sigma, 1e-3), mode="nearest"), np.float64)
