"""Points set by hand take the place of the model's.

All 478 replace the mesh; the twenty move it: each goes exactly where it was set, and what lies between follows smoothly
(thin-plate spline, Bookstein 1989). The depth stays the model's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from memorial_tasks.domain.points import MESH, TWENTY, FacePoints
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.face import topology as topo
from memorial_tasks.face.landmarks import DetectedFace, FaceMesh

Points = NDArray[np.float32]


def placed(given: FacePoints, width: int, height: int, photo: str) -> Points:
    """The given points in a picture of `width` x `height`, float32 [20 or 478, 2]. `InputRefused` when they were
    measured in a picture of another shape."""
    factor = width / given.size[0]
    if abs(height / given.size[1] - factor) > 0.01 * factor:
        raise InputRefused(
            [
                Problem(
                    "points.size",
                    f"the points were measured in a picture of {given.size[0]} x {given.size[1]} pixels, not in this",
                    "measure them in the upright photo itself",
                    field="materials.photos",
                    file=photo,
                )
            ]
        )
    return np.asarray(given.points, np.float32) * np.float32(factor)


def corrected(mesh: Points, given: Points) -> Points:
    """The mesh float32 [478, 3] with the given points [20 or 478, 2] in place; both in pixels."""
    result = mesh.copy()
    if len(given) == MESH:
        result[:, :2] = given
        return result
    numbers = [number for _, number in TWENTY]
    spline = RBFInterpolator(
        mesh[numbers, :2].astype(np.float64), given - mesh[numbers, :2], kernel="thin_plate_spline"
    )
    result[:, :2] += spline(mesh[:, :2].astype(np.float64)).astype(np.float32)
    return result


def mesh_at(models: Any, rgb: NDArray[np.uint8], given: Points) -> FaceMesh:
    """The mesh of the face the points lie on, found or not by the detector, corrected."""
    seen = np.zeros((topo.POINTS, 2), np.float32)
    seen[[number for _, number in TWENTY] if len(given) == len(TWENTY) else slice(None)] = given
    eyes = [seen[[33, 133]].mean(axis=0), seen[[362, 263]].mean(axis=0)]
    ipd = float(np.linalg.norm(eyes[1] - eyes[0]))
    middle = (eyes[0] + eyes[1]) / 2 + (seen[152] - (eyes[0] + eyes[1]) / 2) * 0.35
    side = 2.3 * ipd  # the detector's box, from brows to chin
    keypoints = np.stack([*eyes, seen[1], (seen[61] + seen[291]) / 2, eyes[0], eyes[1]]).astype(np.float32)
    box = DetectedFace(float(middle[0] - side / 2), float(middle[1] - side / 2), side, side, 1.0, keypoints)
    found = models.mesh(rgb, box)
    return FaceMesh(corrected(found.points, given), max(found.score, 0.5))
