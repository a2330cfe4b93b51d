"""Photos turned into numbers: one `PhotoMeasure` a photo, then what only the whole set shows.

The numbers say how much a photo can teach a face model; no pixel, name or date leaves this module.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.quality.faces import (
    LEFT_EYE,
    RIGHT_EYE,
    Face,
    FaceFinder,
    Points,
    eye_centre,
    eye_opening,
    find_faces,
    mouth_opening,
    pose_of,
)

Rgb = NDArray[Any]  # uint8 [H, W, 3]
Grey = NDArray[Any]

ALIGNED = 64  # side of the aligned face in pixels; its eyes are 26 px apart
NAN = float("nan")

# A photo outside these teaches the model nothing good and is left out. Calibrated in tests/bench/bench_material.py.
USABLE_INTER_OCULAR = 24.0
USABLE_SHARPNESS = 0.18
USABLE_LUMA = (30.0, 228.0)
USABLE_CONTRAST = 10.0
USABLE_YAW = 50.0
USABLE_IN_FRAME = 0.93
UNLIKE, WIDER = 0.95, 1.7  # distance to the core of the set: at least this, or this multiple of the usual
SAME_LAYOUT = 0.013  # of the face's width; measured: copies move less, other frames of one sitting more
LIKE_THE_REST = 1.0  # below: perhaps another person. A hint, never a refusal


@dataclass(frozen=True)
class PhotoMeasure:
    """What was measured on one photo. Values of the face are NaN when there is none."""

    width: int
    height: int
    faces: int
    face_width: float = NAN  # px
    inter_ocular: float = NAN  # px
    score: float = NAN  # detector, 0..1
    in_frame: float = NAN  # share of the mesh that lies inside the picture
    sharpness: float = NAN  # 0 blurred .. 1 crisp, at 40 px between the eyes
    luma: float = NAN  # mean brightness of the face, 0..255
    contrast: float = NAN  # standard deviation of it
    dark: float = NAN  # share of the face below 16
    burnt: float = NAN  # share of it above 245
    side_light: float = NAN  # difference of the halves of the face over its mean
    chroma: float = 0.0  # mean colourfulness of the picture, 0 grey
    dynamic: float = 0.0  # 2nd to 98th percentile of brightness of the picture, 0..255
    yaw: float = NAN
    pitch: float = NAN
    roll: float = NAN
    mouth: float = NAN  # opening over inter-ocular distance
    eyes: float = NAN  # lid gap over eye width
    likeness: float = NAN  # above 1 like the rest of the set, below unlike; set by `measure_set`
    duplicate: float = 0.0  # 1 when an earlier photo is the same picture; set by `measure_set`
    usable: float = 0.0  # 1 when the photo is used

    @property
    def grey(self) -> bool:
        """A black-and-white or sepia photo: hardly any colour."""
        return self.chroma < 8.0

    @property
    def faded(self) -> bool:
        """A print that has lost its darks or lights."""
        return self.dynamic < 130.0

    def numbers(self) -> dict[str, float]:
        """Every measure as a number; NaN where there is none."""
        return {key: float(value) for key, value in asdict(self).items()} | {
            "turned": abs(self.yaw),
            "grey": float(self.grey),
            "faded": float(self.faded),
        }


@dataclass(frozen=True)
class PhotoPrint:
    """What is kept of a photo to compare it with others: never stored."""

    picture: int  # 64-bit difference hash of the whole picture
    face: Grey | None  # aligned, light removed, [64, 64]
    shape: NDArray[np.float32] | None  # mesh turned upright and to the front, [468, 3]
    layout: NDArray[np.float32] | None = None  # where the mesh lies, in fractions of the picture, [468, 2]


def measure_photo(rgb: Rgb, models: FaceFinder) -> tuple[PhotoMeasure, PhotoPrint]:
    """Measure one photo, uint8 RGB [H, W, 3].

    Returns the numbers and the print that `measure_set` compares.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(grey[:: max(grey.shape[0] // 512, 1), :: max(grey.shape[1] // 512, 1)], (2, 98))
    base = PhotoMeasure(rgb.shape[1], rgb.shape[0], 0, chroma=_chroma(rgb), dynamic=float(high - low))
    faces = find_faces(rgb, models)
    if not faces:
        return base, PhotoPrint(_difference_hash(grey), None, None)
    face = faces[0]
    points = face.points
    aligned = align_face(grey, points, ALIGNED)
    pose = pose_of(points)
    luma, contrast, dark, burnt, side = _light(grey, points)
    measure = replace(
        base,
        faces=len(faces),
        face_width=face.width,
        inter_ocular=face.inter_ocular,
        score=face.score,
        in_frame=_in_frame(face, rgb.shape[1], rgb.shape[0]),
        sharpness=sharpness(grey, points),
        luma=luma,
        contrast=contrast,
        dark=dark,
        burnt=burnt,
        side_light=side,
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=pose.roll,
        mouth=mouth_opening(points),
        eyes=eye_opening(points),
    )
    return measure, PhotoPrint(
        _difference_hash(grey), _without_light(aligned), _front(points),
        np.asarray(points[:468, :2] / np.array([rgb.shape[1], rgb.shape[0]]), np.float32),
    )  # fmt: skip


def usable(measure: PhotoMeasure) -> bool:
    """True when a face model may learn from the photo: exactly one face, large, sharp, lit and whole enough."""
    return (
        measure.faces == 1
        and measure.inter_ocular >= USABLE_INTER_OCULAR
        and measure.sharpness >= USABLE_SHARPNESS
        and USABLE_LUMA[0] <= measure.luma <= USABLE_LUMA[1]
        and measure.contrast >= USABLE_CONTRAST
        and abs(measure.yaw) <= USABLE_YAW
        and measure.in_frame >= USABLE_IN_FRAME
        and measure.duplicate < 0.5
    )


def _chroma(rgb: Rgb) -> float:
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)[..., 1:]
    # Against the picture's own tint, so that sepia counts as grey.
    return float(np.linalg.norm(lab - lab.mean(axis=(0, 1)), axis=-1).mean())


def _in_frame(face: Face, width: int, height: int) -> float:
    points = face.points[:468]
    inside = (points[:, 0] >= 0) & (points[:, 0] < width) & (points[:, 1] >= 0) & (points[:, 1] < height)
    return float(inside.mean())


def _face_transform(points: Points, size: int) -> NDArray[np.float64]:
    """Similarity that puts the eye centres 0.4 * size apart on a line 0.38 * size from the top."""
    right, left = eye_centre(points, RIGHT_EYE)[:2], eye_centre(points, LEFT_EYE)[:2]
    across = (left - right).astype(np.float64)
    scale = 0.4 * size / max(float(np.hypot(*across)), 1e-3)
    angle = np.arctan2(across[1], across[0])
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle = (left + right) / 2
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, np.array([0.5 * size, 0.38 * size]) - turn @ middle])


def align_face(grey: Grey, points: Points, size: int) -> Grey:
    """The face turned upright and scaled to a square of `size` pixels, float32."""
    # Shrinking by a plain warp aliases, so a large face is first shrunk with an area filter.
    shrink = max(int(float(np.hypot(*(points[LEFT_EYE[0]] - points[RIGHT_EYE[0]])[:2])) / (0.55 * size)), 1)
    if shrink > 1:
        grey = cv2.resize(grey, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        points = points / np.float32(shrink)
    return cv2.warpAffine(
        grey.astype(np.float32),
        _face_transform(points, size),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def sharpness(grey: Grey, points: Points) -> float:
    """How much fine detail the face has: 0 blurred .. 1 crisp.

    The aligned face (40 px between the eyes) is blurred once more and compared with itself: a face that is
    sharp loses a large share of its gradient, one that was blurred already loses little (Crete et al. 2007,
    the no-reference blur metric). Independent of contrast, so that a faded print is not called blurred; the
    worse of the two directions counts, so that a shaken picture is.
    """
    face = align_face(grey, points, 100)[8:92, 12:88]
    detail = []
    for axis, (across, down) in enumerate(((0.01, 1.6), (1.6, 0.01))):
        own = np.abs(np.diff(face, axis=axis))
        left = np.abs(np.diff(cv2.GaussianBlur(face, (0, 0), across, sigmaY=down), axis=axis))
        detail.append(float(np.maximum(own - left, 0).sum()) / (float(own.sum()) + 1e-6))
    return min(detail)


def _light(grey: Grey, points: Points) -> tuple[float, float, float, float, float]:
    face = align_face(grey, points, ALIGNED)[12:60, 14:50]
    mean = float(face.mean())
    side = abs(float(face[:, :18].mean()) - float(face[:, 18:].mean())) / max(mean, 1.0)
    return mean, float(face.std()), float((face < 16).mean()), float((face > 245).mean()), side


def _difference_hash(grey: Grey) -> int:
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def _without_light(face: Grey) -> Grey:
    flat = face - cv2.GaussianBlur(face, (0, 0), 8)
    return (flat / (float(flat.std()) + 1e-3)).astype(np.float32)


def _front(points: Points) -> NDArray[np.float32]:
    """The mesh without place, size and head pose: a rough solid shape of the head."""
    own = points[:468].astype(np.float64)
    right, left = eye_centre(points, RIGHT_EYE), eye_centre(points, LEFT_EYE)
    across = (left - right).astype(np.float64)
    size = float(np.linalg.norm(across)) or 1.0
    x = across / size
    down = (points[152] - points[10]).astype(np.float64)
    y = down - x * float(down @ x)
    y /= float(np.linalg.norm(y)) or 1.0
    axes = np.stack([x, y, np.cross(x, y)])
    return np.asarray(((own - own.mean(axis=0)) / size) @ axes.T, np.float32)


def measure_set(measures: Mapping[str, PhotoMeasure], prints: Mapping[str, PhotoPrint]) -> dict[str, PhotoMeasure]:
    """Fill in what only the set shows (`duplicate`, `likeness`) and decide `usable`.

    Of several copies of a picture the largest is kept. Keys are material ids.
    """
    order = sorted(measures, key=lambda name: (-_of(measures[name].inter_ocular), name))
    copies: set[str] = set()
    for index, name in enumerate(order):
        if any(_same_picture(prints[name], prints[other]) for other in order[:index] if other not in copies):
            copies.add(name)
    likeness = _likeness({name: prints[name] for name in order if measures[name].faces == 1 and name not in copies})
    out = {}
    for name, measure in measures.items():
        # A turned head shows other edges and shorter bones: the further it is turned, the less that says.
        leniency = 1 + max(abs(_of(measure.yaw)) - 15, 0) / 20
        full = replace(measure, duplicate=float(name in copies), likeness=likeness.get(name, NAN) * leniency)
        out[name] = replace(full, usable=float(usable(full)))
    return out


def _of(value: float) -> float:
    return 0.0 if np.isnan(value) else value


def _same_picture(one: PhotoPrint, other: PhotoPrint) -> bool:
    """The same shot, rescaled or encoded again; in two shots of one sitting the face has moved."""
    if (one.picture ^ other.picture).bit_count() > 4:
        return False
    if one.face is None or other.face is None or one.layout is None or other.layout is None:
        return one.face is None and other.face is None
    return layout_change(one.layout, other.layout) < SAME_LAYOUT and _correlation(one.face, other.face) > 0.95


def layout_change(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean distance of the same mesh points in two pictures, as a fraction of the face's width."""
    width = float(one[:, 0].max() - one[:, 0].min()) or 1.0
    return float(np.linalg.norm(one - other, axis=1).mean()) / width


def _correlation(one: Grey, other: Grey) -> float:
    a, b = one[8:56, 8:56].ravel(), other[8:56, 8:56].ravel()
    return float(np.corrcoef(a, b)[0, 1])


def _likeness(prints: Mapping[str, PhotoPrint]) -> dict[str, float]:
    """For each face: how far a face may lie from the set's core, over how far it lies. Empty below three faces.

    The core is the half of the set around its most central face, so that a few strangers do not shift it; an
    album of many years and lights widens its own limit.
    """
    names = [name for name, photo in prints.items() if photo.shape is not None and photo.face is not None]
    if len(names) < 3:
        return {}
    textures = [_texture(prints[name].face) for name in names]
    apart = np.zeros((len(names), len(names)))
    for i, one in enumerate(names):
        for j in range(i):
            apart[i, j] = apart[j, i] = _apart(prints[one], prints[names[j]], float(textures[i] @ textures[j]))
    centre = int(np.median(apart, axis=1).argmin())
    core = np.flatnonzero(apart[centre] <= np.median(apart[centre]))
    typical = np.array([np.median(np.delete(row[core], np.flatnonzero(core == i))) for i, row in enumerate(apart)])
    limit = max(UNLIKE, WIDER * float(np.median(typical)))
    return {name: float(min(limit / max(value, 1e-6), 5.0)) for name, value in zip(names, typical, strict=True)}


# Brow, bridge and wings of the nose, eye corners, temples, ears: what no expression moves.
_RIGID = [10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 33, 133, 263, 362, 127, 356, 234, 454, 93, 323, 48, 278, 2]
_HOG = cv2.HOGDescriptor((ALIGNED, ALIGNED), (16, 16), (8, 8), (8, 8), 9)


def _texture(face: Grey | None) -> Grey:
    """Directions of the edges of the aligned face (Dalal and Triggs 2005), of unit length."""
    if face is None:
        return np.zeros(1, np.float32)
    scaled = (face - face.min()) / (float(np.ptp(face)) + 1e-6) * 255
    edges = np.asarray(_HOG.compute(scaled.astype(np.uint8))).ravel()
    return np.asarray(edges / (float(np.linalg.norm(edges)) + 1e-6), np.float32)


def _apart(one: PhotoPrint, other: PhotoPrint, same_texture: float) -> float:
    """Distance of two faces by texture and bone; about 0.5 within a person, 1.4 between people. No biometric."""
    if one.shape is None or other.shape is None:
        return 0.0
    bones = float(np.linalg.norm((one.shape[_RIGID] - other.shape[_RIGID])[:, :2], axis=1).mean())
    return 0.5 * (1 - same_texture) / 0.08 + 0.5 * bones / 0.04
