"""Small pure functions on mesh points: scale, pose, mouth and eye opening, similarity fits, triangle areas.

Lengths are given in units of the inter-ocular distance ("ipd", eye centre to eye centre) wherever people differ in
size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import topology as topo

Points = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Head turn in degrees: yaw > 0 turns the nose to the picture's right, pitch > 0 lowers it, roll > 0 is
    clockwise."""

    yaw: float
    pitch: float
    roll: float


def eye_centres(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle between the corners of the right and of the left eye, (x, y) each."""
    right = points[[33, 133], :2].astype(np.float64).mean(axis=0)
    left = points[[362, 263], :2].astype(np.float64).mean(axis=0)
    return right, left


def interocular(points: Points) -> float:
    """Distance between the eye centres, corrected for yaw by the mesh depth."""
    ends = points[[33, 133, 362, 263]].astype(np.float64)
    return float(np.linalg.norm(ends[2:].mean(axis=0) - ends[:2].mean(axis=0)))


def pose(points: Points) -> Pose:
    """Head pose from the mesh's own depth. The forehead-chin line leans back by a few degrees in every face: taken
    off."""
    p = points.astype(np.float64)
    across = (p[263] - p[33]) + (p[454] - p[234]) + (p[356] - p[127])
    across /= np.linalg.norm(across)
    down = p[2] - p[10]
    down -= across * (down @ across)
    down /= np.linalg.norm(down)
    forward = -np.cross(across, down)
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return Pose(
        float(np.degrees(np.arcsin(forward[0].clip(-1, 1)))),
        float(np.degrees(np.arcsin(forward[1].clip(-1, 1)))),
        float(roll),
    )


def mouth_opening(points: Points) -> float:
    """Gap between the inner lips at the middle of the mouth, in ipd."""
    gaps = [np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in ((82, 87), (13, 14), (312, 317))]
    return float(np.mean(gaps) / max(interocular(points), 1e-6))


def mouth_width(points: Points) -> float:
    """Distance of the inner mouth corners, in ipd."""
    return float(np.linalg.norm(points[308, :2] - points[78, :2]) / max(interocular(points), 1e-6))


def eye_opening(points: Points) -> tuple[float, float]:
    """Lid gap over eye width, right and left (about 0.3 open, below 0.12 shut)."""
    result = []
    for upper, lower in ((topo.RIGHT_UPPER[0], topo.RIGHT_LOWER[0]), (topo.LEFT_UPPER[0], topo.LEFT_LOWER[0])):
        gap = np.mean(
            [np.linalg.norm(points[u, :2] - points[v, :2]) for u, v in zip(upper[2:5], lower[3:6], strict=True)]
        )
        result.append(float(gap / max(1e-6, np.linalg.norm(points[lower[0], :2] - points[lower[-1], :2]))))
    return result[0], result[1]


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Matrix:
    """Least-squares rotation + scale + shift taking `source` [N, 2] to `target` [N, 2], as a 2x3 matrix (Umeyama
    1991)."""
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    ma, mb = a.mean(axis=0), b.mean(axis=0)
    za, zb = (a - ma) @ (1, 1j), (b - mb) @ (1, 1j)
    factor = np.vdot(za, zb) / max(float(np.vdot(za, za).real), 1e-12)
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.hstack([matrix, (mb - matrix @ ma)[:, None]])


def affine(source: NDArray[np.floating], target: NDArray[np.floating]) -> Matrix:
    """Least-squares affine map taking `source` [N, 2] to `target` [N, 2], as a 2x3 matrix."""
    design = np.hstack([np.asarray(source, np.float64), np.ones((len(source), 1))])
    return np.asarray(np.linalg.lstsq(design, np.asarray(target, np.float64), rcond=None)[0].T)


def apply(matrix: Matrix, points: NDArray[np.floating]) -> Points:
    """Map points [N, 2 or 3] by a 2x3 matrix; a depth column is scaled with the picture."""
    result = np.array(points, np.float32)
    result[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    if result.shape[1] == 3:
        result[:, 2] = points[:, 2] * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return result


def signed_areas(points: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """Twice the signed area of each triangle [M, 3] over (x, y) of `points`: the sign tells which way round it lies."""
    a, b, c = (points[triangles[:, k], :2].astype(np.float64) for k in range(3))
    return np.asarray((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def smoothstep(low: float, high: float, value: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = ((np.asarray(value, np.float64) - low) / (high - low)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t))
