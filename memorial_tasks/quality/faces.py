"""What this room needs of a face detector, as a protocol: the step hands the real one in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]  # float32 [478, 3]

# Indices into the 478-point mesh (478 = 468 of the face + 5 of each iris).
RIGHT_EYE = (33, 133, 159, 145)  # outer corner, inner corner, upper lid, lower lid: of the person's right eye
LEFT_EYE = (263, 362, 386, 374)
LIPS_INNER = (13, 14)  # upper, lower
MOUTH_CORNERS = (78, 308)
FOREHEAD, CHIN, NOSE_TIP = 10, 152, 1

CHIN_SET_BACK = 6.0  # degrees by which the mesh's chin lies behind its forehead when the head is level
LOOK_AT = 1600  # px, long side of the picture in which faces are searched


class FaceFinder(Protocol):
    """Finds faces in uint8 RGB [H, W, 3]. Satisfied by ``memorial_tasks.face.landmarks.FaceModels``."""

    def detect(self, rgb: Any, /) -> Sequence[Any]:
        """Faces with a box in pixels and a `score` in 0..1."""

    def mesh(self, rgb: Any, face: Any, /) -> Any:
        """`points` float32 [478, 3] in pixels and a `score`."""


@dataclass(frozen=True)
class Face:
    """One face: its box in pixels, the detector's score, the mesh points [478, 3] and the mesh's score."""

    x: float
    y: float
    width: float
    height: float
    score: float
    points: Points
    mesh_score: float

    @property
    def inter_ocular(self) -> float:
        """Distance between the eye centres in pixels, foreshortening by turning of the head included."""
        return float(np.linalg.norm((eye_centre(self.points, LEFT_EYE) - eye_centre(self.points, RIGHT_EYE))[:2]))


def eye_centre(points: Points, eye: tuple[int, int, int, int]) -> Points:
    """Middle between the corners of an eye, [3]."""
    return np.asarray((points[eye[0]] + points[eye[1]]) / 2)


def box_of(face: Any) -> tuple[float, float, float, float]:
    """x, y, width, height of a detected face, whichever way the detector spells it."""
    if hasattr(face, "box"):
        x, y, w, h = face.box
        return float(x), float(y), float(w), float(h)
    return float(face.x), float(face.y), float(getattr(face, "w", 0)), float(getattr(face, "h", 0))


def find_faces(rgb: NDArray[Any], models: FaceFinder, least: float = 0.5) -> list[Face]:
    """Faces that both the detector and the mesh believe in, the largest first.

    A patterned curtain or a poster far behind is found now and then: what is less than a quarter as wide as
    the largest face is background, not a second person, and is left out.
    """
    # The networks see 128 and 192 pixels; from a large photo they would sample single pixels.
    shrink = max(rgb.shape[:2]) / LOOK_AT
    if shrink > 1:
        rgb = cv2.resize(rgb, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    shrink = max(shrink, 1.0)
    found = []
    for detected in models.detect(rgb):
        if detected.score < least:
            continue
        mesh = models.mesh(rgb, detected)
        if mesh is None or float(mesh.score) < least:
            continue
        x, y, width, height = (value * shrink for value in box_of(detected))
        points = np.asarray(mesh.points, np.float32) * np.float32(shrink)
        found.append(Face(x, y, width, height, float(detected.score), points, float(mesh.score)))
    found.sort(key=lambda face: -face.width)
    return [face for face in found if face.width >= found[0].width / 4]


@dataclass(frozen=True)
class Pose:
    """Head angles in degrees (0, 0, 0 looks into the camera), positive: to the image's right, down, clockwise."""

    yaw: float
    pitch: float
    roll: float


def pose_of(points: Points) -> Pose:
    """Head angles from the mesh's own depth: the eye line gives yaw and roll, forehead to chin the pitch."""
    across = points[LEFT_EYE[0]] - points[RIGHT_EYE[0]]
    down = points[CHIN] - points[FOREHEAD]
    flat = float(np.hypot(across[0], across[1])) or 1.0
    return Pose(
        yaw=float(np.degrees(np.arctan2(across[2], flat))),
        pitch=float(np.degrees(np.arctan2(-down[2], float(np.hypot(down[0], down[1])) or 1.0))) + CHIN_SET_BACK,
        roll=float(np.degrees(np.arctan2(across[1], across[0]))),
    )


def mouth_opening(points: Points) -> float:
    """Gap between the inner lips over the distance of the eye centres (in three dimensions)."""
    eyes = float(np.linalg.norm(eye_centre(points, LEFT_EYE) - eye_centre(points, RIGHT_EYE))) or 1.0
    return float(np.linalg.norm(points[LIPS_INNER[0]] - points[LIPS_INNER[1]])) / eyes


def eye_opening(points: Points) -> float:
    """Lid gap over eye width, mean of both eyes; about 0.3 open, below 0.12 shut."""
    ratios = []
    for outer, inner, upper, lower in (RIGHT_EYE, LEFT_EYE):
        width = float(np.linalg.norm(points[outer] - points[inner])) or 1.0
        ratios.append(float(np.linalg.norm(points[upper] - points[lower])) / width)
    return sum(ratios) / 2
