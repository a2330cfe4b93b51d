"""Is this the same person? Likeness from the shape of the bones and the texture of the face, without a pretrained
network.

Shape: distances between points that do not move with expression, on the turned-upright mesh. Texture: local binary
patterns (Ahonen 2006) on a grid over the aligned face. Weaker than a trained network: it separates a stranger from a
family's album, it is not a biometric.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2

Known = tuple[NDArray[np.float32], NDArray[np.float32]]  # one face: its texture (`likeness_features`) and its mesh
STRANGER = 0.9
_SHAPE = (33, 133, 362, 263, 168, 6, 4, 2, 98, 327, 10, 234, 454, 127, 356, 93, 323, 172, 397, 46, 276, 55, 285)


def likeness_features(crop: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Texture part: uniform LBP histograms, float32 [cells * 59], of the face aligned on eyes and nose base."""
    goal = np.array([[22, 26], [58, 26], [40, 54]], np.float32)
    right, left = geo.eye_centres(points)
    source = np.array([right, left, points[2, :2]], np.float32)
    matrix = geo.affine(source, goal)
    face = cv2.warpAffine(crop, matrix, (80, 88), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.int16)
    codes = np.zeros((84, 76), np.uint8)
    middle = grey[2:-2, 2:-2]
    for bit, (dy, dx) in enumerate(((-2, -1), (-2, 1), (-1, 2), (1, 2), (2, 1), (2, -1), (1, -2), (-1, -2))):
        other = grey[2 + dy : 86 + dy, 2 + dx : 78 + dx]
        codes |= ((other >= middle + 1).astype(np.uint8)) << bit
    labels = _UNIFORM[codes]
    histograms = []
    for rows in np.array_split(np.arange(4, 58), 5):  # brow to nose base: what speech does not move
        for columns in np.array_split(np.arange(8, 68), 5):
            cell = labels[np.ix_(rows, columns)].reshape(-1)
            histograms.append(np.sqrt(np.bincount(cell, minlength=59) / cell.size))
    return np.concatenate(histograms).astype(np.float32)


def _uniform_table() -> NDArray[np.uint8]:
    table = np.full(256, 58, np.uint8)
    label = 0
    for code in range(256):
        bits = [(code >> k) & 1 for k in range(8)]
        if sum(bits[k] != bits[(k + 1) % 8] for k in range(8)) <= 2:
            table[code] = label
            label += 1
    return table


_UNIFORM = _uniform_table()


def bone_shape(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Upright, turned-back coordinates of points on bone, float64 [K, 3], in ipd, centred."""
    p = points[list(_SHAPE)].astype(np.float64)
    across = (points[263] - points[33]) + (points[454] - points[234])
    across = across / np.linalg.norm(across)
    down = points[2] - points[10]
    down = down - across * (down @ across)
    down = down / np.linalg.norm(down)
    axes = np.stack([across, down, np.cross(across, down)])
    local = (p - points[topo.NOSE_BRIDGE]) @ axes.T / geo.interocular(points)
    return np.asarray(local - local.mean(axis=0))


def likeness(
    texture_a: NDArray[np.float32],
    points_a: NDArray[np.float32],
    texture_b: NDArray[np.float32],
    points_b: NDArray[np.float32],
) -> float:
    """Distance of two faces, 0 = the same picture; same person mostly below 1, other people mostly above."""
    cells = len(texture_a) // 59
    texture = 1 - float(texture_a @ texture_b) / max(cells, 1)  # Bhattacharyya distance, mean over the cells
    shape = float(np.sqrt(((bone_shape(points_a) - bone_shape(points_b))[:, :2] ** 2).sum(axis=1).mean()))
    return 0.5 * texture / 0.20 + 0.5 * shape / 0.04


def strangers(textures: Sequence[NDArray[np.float32]], points: Sequence[NDArray[np.float32]]) -> dict[int, float]:
    """Which faces (index -> median distance) do not belong to the largest group. Fewer than three photos: nobody."""
    count = len(textures)
    if count < 3:
        return {}
    distance = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            distance[i, j] = distance[j, i] = likeness(textures[i], points[i], textures[j], points[j])
    core = int(np.argmin(np.median(distance, axis=1)))
    group = np.flatnonzero(distance[core] <= np.median(distance[core]))
    typical = np.median(distance[group], axis=0)
    spread = float(np.median(np.abs(typical - np.median(typical)))) * 1.48
    limit = max(STRANGER, float(np.median(typical)) + 4 * spread)  # a varied album widens its own limit
    return {int(i): float(typical[i]) for i in np.flatnonzero(typical > limit)}


def equal_error(own: Sequence[float], others: Sequence[float]) -> float:
    """Equal error rate of distances, 0..1: at the limit where as large a share of the `own` lies beyond it as of the
    `others` below. 0.5 tells nothing."""
    mine, theirs = np.asarray(own, np.float64), np.asarray(others, np.float64)
    limits = np.unique(np.concatenate([mine, theirs, [np.inf]]))
    rates = [(float((mine >= limit).mean()), float((theirs < limit).mean())) for limit in limits]
    refused, taken = min(rates, key=lambda pair: (abs(pair[0] - pair[1]), sum(pair)))
    return (refused + taken) / 2
