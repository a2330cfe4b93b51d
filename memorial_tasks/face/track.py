"""A face followed through a home video: a row of plain numbers a picture, for learning a person's habits from."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo

COLUMNS = ("time", "eye_right", "eye_left", "mouth", "yaw", "pitch", "roll", "corner_right", "corner_left", "brow")
DETECT_EVERY = 12  # pictures; between two detections the face is looked for where it was
LEAST_SCORE = 0.5


def follow(frames: Iterable[tuple[float, NDArray[np.uint8]]], models: Any) -> list[list[float]]:
    """One row of `COLUMNS` for every picture that shows exactly one face.

    Times in seconds, angles in degrees, lid openings as shares of the eye's width, all else in distances between the
    eyes: the corners of the mouth upwards from the middle of the lips, the brows above the eyes.
    """
    rows: list[list[float]] = []
    face: Any = None
    for number, (time, rgb) in enumerate(frames):
        if face is None or number % DETECT_EVERY == 0:
            found = models.detect(rgb)
            face = found[0] if len(found) == 1 else None
        if face is None:
            continue
        mesh = models.mesh(rgb, face)
        if mesh.score < LEAST_SCORE:
            face = None
            continue
        rows.append([round(float(value), 5) for value in (time, *_measured(np.asarray(mesh.points, np.float32)))])
    return rows


def _measured(points: NDArray[np.float32]) -> tuple[float, ...]:
    right, left = geo.eye_centres(points)
    ipd = geo.interocular(points)
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    down = np.array([-across[1], across[0]])
    lids, turned = geo.eye_opening(points), geo.pose(points)
    lips = (points[13, :2] + points[14, :2]) / 2
    corners = [float((lips - points[index, :2]) @ down / ipd) for index in (61, 291)]
    brows = points[[*topo.RIGHT_BROW, *topo.LEFT_BROW], :2].mean(axis=0)
    brow = float(((right + left) / 2 - brows) @ down / ipd)
    return (*lids, geo.mouth_opening(points), turned.yaw, turned.pitch, turned.roll, *corners, brow)
