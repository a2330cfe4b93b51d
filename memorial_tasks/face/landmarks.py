"""Faces in a picture and their 478-point mesh, by the Apache-2.0 MediaPipe face models run in OpenCV.

Files are only used when their sha256 is the pinned one. Landmark order and regions of interest follow the models'
published graphs: detector 128x128 in -1..1 with 896 anchors, mesh 192x192 in 0..1 on 1.5 times the face box turned
upright, iris 64x64 on 2.3 times the eye width, whose lid contours replace the coarser ones of the mesh.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import ModelRefused
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

DIGESTS = {
    "face_detection_short_range.tflite": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "iris_landmark.tflite": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    "selfie_segmentation.tflite": "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
}
DETECTION_SCORE = 0.55
# Looks at a face from slightly different frames (shift in frames, scale, turn): their mean halves the points' noise.
_LOOKS = (
    (0, 0, 1.0, 0),
    (0.02, 0.01, 1.05, 0.03),
    (-0.02, 0.01, 0.96, -0.03),
    (0.01, -0.02, 1.02, -0.05),
    (-0.01, -0.01, 0.98, 0.05),
)
_REMEDY = "run `memorial init`, which fetches the face model files again and checks them"


@dataclass(frozen=True)
class DetectedFace:
    """One face: box `x, y, w, h` in pixels of the picture, `score` 0..1, six key points [6, 2] in pixels (right eye,
    left eye, nose tip, mouth, right ear, left ear)."""

    x: float
    y: float
    w: float
    h: float
    score: float
    keypoints: Points


@dataclass(frozen=True)
class FaceMesh:
    """478 points float32 [478, 3] in pixels (z grows away from the camera, in the unit of x), `score` 0..1."""

    points: Points
    score: float


def _verified(folder: Path, name: str) -> Any:
    path = folder / name
    if not path.is_file():
        raise ModelRefused("a face model file is missing", where=name, remedy=_REMEDY)
    if hashlib.sha256(path.read_bytes()).hexdigest() != DIGESTS[name]:
        raise ModelRefused("the file is not the pinned face model (sha256 differs)", where=name, remedy=_REMEDY)
    return cv2.dnn.readNetFromTFLite(str(path))


def _anchors() -> NDArray[np.float32]:
    centres = []
    for cells, per_cell in ((16, 2), (8, 6)):
        for row in range(cells):
            for column in range(cells):
                centres += [((column + 0.5) / cells, (row + 0.5) / cells)] * per_cell
    return np.array(centres, np.float32)


@dataclass(frozen=True)
class FaceModels:
    """The four networks, ready to run. Not thread-safe: one instance a thread."""

    detector: Any
    landmark: Any
    iris: Any
    segmenter: Any

    @staticmethod
    def load(assets: Path) -> "FaceModels":
        """Read the models from the folder `assets`; `ModelRefused` when one is missing or is another file."""
        return FaceModels(
            _verified(assets, "face_detection_short_range.tflite"),
            _verified(assets, "face_landmark.tflite"),
            _verified(assets, "iris_landmark.tflite"),
            _verified(assets, "selfie_segmentation.tflite"),
        )

    def detect(self, rgb: Image) -> list[DetectedFace]:
        """Every face in an RGB picture uint8 [H, W, 3], the largest first. Small faces of a group photo are found by
        looking again at overlapping tiles, because the detector sees 128 pixels only."""
        height, width = rgb.shape[:2]
        found = self._detect_window(rgb, 0, 0, max(height, width))
        side = int(max(height, width) * 0.5)
        if side >= 96:
            for top in range(0, max(1, height - side // 2), side // 2):
                for left in range(0, max(1, width - side // 2), side // 2):
                    found += self._detect_window(rgb, left, top, side, whole_only=True)
        return sorted(_suppress(found), key=lambda face: -face.w * face.h)

    def mesh(self, rgb: Image, face: DetectedFace) -> FaceMesh:
        """The mesh of one detected face of the RGB picture uint8 [H, W, 3]."""
        right_eye, left_eye = face.keypoints[0], face.keypoints[1]
        angle = float(np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))
        centre = np.array([face.x + face.w / 2, face.y + face.h / 2], np.float32)
        points, score = self._mesh_region(rgb, centre, max(face.w, face.h) * 1.5, angle)
        # A second look through the region the first mesh itself proposes steadies the points.
        flat = points[:, :2]
        eye_line = points[263, :2] - points[33, :2]
        angle = float(np.arctan2(eye_line[1], eye_line[0]))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        upright = flat @ turn.T
        low, high = upright.min(axis=0), upright.max(axis=0)
        centre = ((low + high) / 2) @ turn
        side = float((high - low).max()) * 1.5
        looks = [
            self._mesh_region(rgb, centre + side * np.array([dx, dy], np.float32), side * size, angle + turn_by)
            for dx, dy, size, turn_by in _LOOKS
        ]
        points, again = np.mean([look[0] for look in looks], axis=0), looks[0][1]
        full = np.zeros((topo.POINTS, 3), np.float32)
        full[: topo.SURFACE] = points
        self._refine_eyes(rgb, full)
        return FaceMesh(full, min(score, again))

    def person(self, rgb: Image) -> NDArray[np.float32]:
        """How much each pixel belongs to a person, float32 [H, W] in 0..1, as the segmenter sees it (256x256)."""
        blob = cv2.dnn.blobFromImage(rgb, 1 / 255.0, (256, 256))
        self.segmenter.setInput(blob)
        raw = np.squeeze(self.segmenter.forward())
        return np.asarray(
            cv2.resize(raw, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_CUBIC), np.float32
        ).clip(0, 1)

    def _detect_window(
        self, rgb: Image, left: int, top: int, side: int, whole_only: bool = False
    ) -> list[DetectedFace]:
        tile = rgb[top : top + side, left : left + side]
        square = np.zeros((side, side, 3), np.uint8)
        pad_y, pad_x = ((side - tile.shape[0]) // 2, (side - tile.shape[1]) // 2) if not whole_only else (0, 0)
        square[pad_y : pad_y + tile.shape[0], pad_x : pad_x + tile.shape[1]] = tile
        small = cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)
        self.detector.setInput(cv2.dnn.blobFromImage(small, 1 / 127.5, (128, 128), (127.5, 127.5, 127.5)))
        raw = {out.shape[-1]: out for out in self.detector.forward(["regressors", "classificators"])}
        logits = raw[1].reshape(-1)
        boxes = raw[16].reshape(-1, 16) / 128.0
        scores = 1 / (1 + np.exp(-logits.clip(-50, 50)))
        anchors = _anchors()
        faces = []
        for index in np.flatnonzero(scores >= DETECTION_SCORE):
            cx, cy = boxes[index, :2] + anchors[index]
            w, h = boxes[index, 2:4]
            keys = boxes[index, 4:].reshape(6, 2) + anchors[index]
            if whole_only and (min(cx - w / 2, cy - h / 2) < 0.02 or max(cx + w / 2, cy + h / 2) > 0.98):
                continue  # cut by the tile: a neighbouring tile sees it whole
            offset = np.array([left - pad_x, top - pad_y], np.float32)
            box = np.array([cx - w / 2, cy - h / 2]) * side + offset
            faces.append(
                DetectedFace(
                    float(box[0]),
                    float(box[1]),
                    float(w * side),
                    float(h * side),
                    float(scores[index]),
                    (keys * side + offset).astype(np.float32),
                )
            )
        return faces

    def _mesh_region(self, rgb: Image, centre: Points, side: float, angle: float) -> tuple[Points, float]:
        to_crop = _region_matrix(centre, side, angle, 192)
        crop = cv2.warpAffine(rgb, to_crop, (192, 192), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.landmark.setInput(cv2.dnn.blobFromImage(crop, 1 / 255.0, (192, 192)))
        outputs = self.landmark.forward(self.landmark.getUnconnectedOutLayersNames())
        sizes = {out.size: out.reshape(-1) for out in outputs}
        mesh = sizes[1404].reshape(topo.SURFACE, 3)
        flag = float(1 / (1 + np.exp(-float(sizes[1][0]))))
        back = cv2.invertAffineTransform(to_crop)
        points = np.empty((topo.SURFACE, 3), np.float32)
        points[:, :2] = mesh[:, :2] @ back[:, :2].T + back[:, 2]
        points[:, 2] = mesh[:, 2] * side / 192
        return points, flag

    def _refine_eyes(self, rgb: Image, points: Points) -> None:
        for upper, lower, iris, flip in (
            (topo.RIGHT_UPPER, topo.RIGHT_LOWER, topo.RIGHT_IRIS, False),
            (topo.LEFT_UPPER, topo.LEFT_LOWER, topo.LEFT_IRIS, True),
        ):
            outer, inner = points[lower[0][0], :2], points[lower[0][-1], :2]
            line = (inner - outer) if not flip else (outer - inner)
            angle = float(np.arctan2(line[1], line[0]))
            side = float(np.linalg.norm(line)) * 2.3
            looks = []
            for dx, dy, size, turn_by in _LOOKS:
                middle = (outer + inner) / 2 + side * np.array([dx, dy], np.float32)
                to_crop = _region_matrix(middle, side * size, angle + turn_by, 64)
                if flip:
                    to_crop = np.array([[-1, 0, 63], [0, 1, 0]], np.float64) @ np.vstack([to_crop, [0, 0, 1]])
                looks.append(self._eye_region(rgb, to_crop))
            contour, centre = (np.mean([look[k] for look in looks], axis=0) for k in (0, 1))
            for ring, start in zip(upper, (9, 25, 41), strict=True):
                points[list(ring), :2] = contour[start : start + 7]
            for ring, start in zip(lower, (0, 16, 32, 54), strict=True):
                points[list(ring), :2] = contour[start : start + 9]
            points[list(iris), :2] = centre
            points[list(iris), 2] = points[[lower[0][0], lower[0][-1]], 2].mean()

    def _eye_region(self, rgb: Image, to_crop: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lid contours [71, 2] and iris points [5, 2] in picture pixels."""
        crop = cv2.warpAffine(rgb, to_crop, (64, 64), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.iris.setInput(cv2.dnn.blobFromImage(crop, 1 / 255.0, (64, 64)))
        outputs = {out.size: out.reshape(-1, 3) for out in self.iris.forward(self.iris.getUnconnectedOutLayersNames())}
        back = cv2.invertAffineTransform(to_crop)
        return tuple(outputs[size][:, :2] @ back[:, :2].T + back[:, 2] for size in (213, 15))


def _region_matrix(centre: Points, side: float, angle: float, size: int) -> NDArray[np.float64]:
    """Affine map from picture pixels to a `size`-pixel square region turned by `angle`."""
    scale = size / max(side, 1.0)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]], np.float64)
    matrix[:, 2] = size / 2 - matrix[:, :2] @ np.asarray(centre, np.float64)
    return matrix


def _suppress(faces: list[DetectedFace]) -> list[DetectedFace]:
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda item: -item.score):
        if all(_overlap(face, other) < 0.3 for other in kept):
            kept.append(face)
    return kept


def _overlap(a: DetectedFace, b: DetectedFace) -> float:
    """Shared area over the smaller area: a tile may frame the same face tighter."""
    wide = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    high = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    return max(0.0, wide) * max(0.0, high) / max(1e-6, min(a.w * a.h, b.w * b.h))
