"""The photo bank: which photos of the person are used, and for what.

One base photo (sharp, frontal, mouth closed, eyes open) is the picture that moves. The others teach the refiner; those
with an open mouth lend their teeth. Photos of somebody else, near-duplicates and unusable ones are left out, each with
a finding that says why. Everything is stored as pixels and points in one safetensors file, so that training needs no
decoder.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.points import FacePoints
from memorial_tasks.domain.words import Severity
from memorial_tasks.errors import InputRefused, ModelRefused, Problem
from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.corrected import mesh_at, placed
from memorial_tasks.face.halftone import without_dots
from memorial_tasks.face.identity import likeness_features, strangers
from memorial_tasks.face.landmarks import FaceMesh, FaceModels
from memorial_tasks.face.matte import soft_matte, without_gaps
from memorial_tasks.face.mouth import SHOWN, TEETH_OPENING, MouthExemplar
from memorial_tasks.face.parsing import TINTS, parse, tinted
from memorial_tasks.face.pixels import cv2
from memorial_tasks.tensors import save_arrays

Image = NDArray[np.uint8]
CROP, CROP_IPD = 384, 120.0  # pixels of a bank crop, and of the inter-ocular distance in it
VERSION = 1
SIDEWAYS = 16.0  # degrees from the base photo's yaw: from there on the far half of the mouth is hidden
DUPLICATE_BITS = 2
SAME = 3  # photos that are all one picture: from here on a mistake of whoever sent them
LOW_RESOLUTION = 28.0  # pixels between the eyes below which a photo cannot be the base


@dataclass(frozen=True)
class Photo:
    """One photo of the bank: its crop uint8 [384, 384, 3], mesh float32 [478, 3] in crop pixels, and measures."""

    name: str
    crop: Image
    points: NDArray[np.float32]
    sharpness: float
    eye_distance: float  # pixels in the photo as given
    grey: bool
    score: float = 0.0
    features: NDArray[np.float32] = field(default_factory=lambda: np.zeros(1, np.float32), repr=False)
    corrected: bool = False  # a person set its points by hand

    @property
    def opening(self) -> float:
        """Inner-lip gap in ipd."""
        return geo.mouth_opening(self.points)

    @property
    def pose(self) -> geo.Pose:
        """Head pose in degrees."""
        return geo.pose(self.points)

    @property
    def eyes(self) -> float:
        """The less open eye's gap over its width."""
        return min(geo.eye_opening(self.points))


@dataclass(frozen=True)
class PhotoBank:
    """What the trainer and the renderer read. `base` is the portrait at working size with its mesh and matte."""

    base: Image
    base_points: NDArray[np.float32]
    matte: NDArray[np.float32]
    crops: NDArray[np.uint8]
    points: NDArray[np.float32]
    names: tuple[str, ...]
    base_index: int
    facts: dict[str, Any]

    @property
    def shows_teeth(self) -> bool:
        """Whether at least one photo can lend the inside of the mouth."""
        return any(geo.mouth_opening(self.points[i]) >= SHOWN for i in self.teachers)

    @property
    def teachers(self) -> list[int]:
        """Photos that can show how the base photo would look: in colour like it, and not turned far from it."""
        photos = self.facts["photos"]
        base = photos[self.base_index]
        return [
            i
            for i, photo in enumerate(photos)
            if (base["grey"] or not photo["grey"]) and abs(photo["yaw"] - base["yaw"]) <= SIDEWAYS
        ]

    def mouths(self) -> list[MouthExemplar]:
        """The photos with an open mouth, widest first, at most twelve over the range of openings."""
        found = [MouthExemplar.of(self.crops[i], self.points[i]) for i in self.teachers]
        found = sorted((m for m in found if m.opening >= TEETH_OPENING), key=lambda m: -m.opening)
        if len(found) <= 12:
            return found
        return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, 12).round().astype(int))]


def measure(models: FaceModels, rgb: Image, name: str, by_hand: NDArray[np.float32] | None = None) -> Photo | Finding:
    """Find the face in one photo and measure it; a `Finding` says why it cannot be used. Points set `by_hand`, float32
    [20 or 478, 2] in pixels (see `corrected.py`), say where the face is and take the place of the model's."""
    if by_hand is not None:
        return _photo(rgb, name, mesh_at(models, rgb, by_hand), True)
    faces = models.detect(rgb)
    if not faces:
        return Finding(
            code="face.none",
            severity=Severity.WARNING,
            material=name,
            what="no face was found",
            remedy="bring a photo in which the face is larger and turned to the camera",
        )
    if len(faces) > 1 and faces[1].h > 0.6 * faces[0].h:
        return Finding(
            code="face.several",
            severity=Severity.WARNING,
            material=name,
            value=float(len(faces)),
            what="several faces of like size are in the photo",
            remedy="crop it to the person",
        )
    return _photo(rgb, name, models.mesh(rgb, faces[0]), False)


def _photo(rgb: Image, name: str, mesh: FaceMesh, by_hand: bool) -> Photo | Finding:
    ipd = geo.interocular(mesh.points)
    if mesh.score < 0.5 or ipd < 12:
        return Finding(
            code="face.unclear",
            severity=Severity.WARNING,
            material=name,
            value=float(mesh.score),
            what="the face is too small or unclear to measure",
            remedy="bring a larger or sharper photo",
        )
    to_crop = crop_matrix(mesh.points, CROP, CROP_IPD)
    inter = cv2.INTER_AREA if ipd > CROP_IPD else cv2.INTER_CUBIC
    source = rgb
    if ipd > 1.6 * CROP_IPD:  # shrink first: an affine warp alone would alias
        factor = 1.2 * CROP_IPD / ipd
        source = np.asarray(cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        to_crop = to_crop.copy()
        to_crop[:, :2] /= factor
        inter = cv2.INTER_LINEAR
    elif inter == cv2.INTER_AREA:
        inter = cv2.INTER_LINEAR
    crop = cv2.warpAffine(source, to_crop, (CROP, CROP), flags=inter, borderMode=cv2.BORDER_REPLICATE)
    points = geo.apply(crop_matrix(mesh.points, CROP, CROP_IPD), mesh.points)
    chroma = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)[96:288, 96:288, 1:].astype(np.float32)
    grey = bool(chroma.reshape(-1, 2).std(axis=0).max() < 2.2)
    sharp = _sharpness(crop, ipd)
    return Photo(name, crop, points, sharp, ipd, grey, float(mesh.score), likeness_features(crop, points), by_hand)


def crop_matrix(points: NDArray[np.float32], side: int, ipd: float) -> NDArray[np.float64]:
    """The upright map that puts the eyes on a horizontal line `ipd` apart, the face in the middle of a square."""
    right, left = geo.eye_centres(points)
    angle = np.arctan2(*(left - right)[::-1])
    scale = ipd / geo.interocular(points)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    matrix[:, 2] = np.array([side / 2, side * 0.40]) - matrix[:, :2] @ ((right + left) / 2)
    return matrix


def _sharpness(crop: Image, ipd: float) -> float:
    """Laplacian energy of the face at the resolution the photo really has, log scale."""
    factor = min(1.0, ipd / CROP_IPD)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[72:312, 72:312].astype(np.float32)
    if factor < 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return float(np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var()))


def _hash(crop: Image) -> NDArray[np.bool_]:
    """64-bit perceptual hash of the face (signs of the lowest DCT frequencies)."""
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(grey)[:8, :8].reshape(-1)
    return np.asarray(low > np.median(low[1:]))


def select(photos: Sequence[Photo], max_photos: int) -> tuple[list[Photo], list[Finding]]:
    """Choose the photos of one person: strangers, near-duplicates and surplus ones leave, each with a finding."""
    findings: list[Finding] = []
    alien = strangers([p.features for p in photos], [p.points for p in photos])
    kept = []
    for index, photo in enumerate(photos):
        if index in alien:
            findings.append(
                Finding(
                    code="face.stranger",
                    severity=Severity.WARNING,
                    material=photo.name,
                    value=alien[index],
                    what="the face does not look like the person on the other photos, so it was left out",
                    remedy="if it is the same person, bring more photos of that time of life",
                )
            )
        else:
            kept.append(photo)
    ranked = sorted(kept, key=lambda p: (-base_score(p), p.name))
    chosen: list[Photo] = []
    hashes: list[NDArray[np.bool_]] = []
    for photo in ranked:
        code = _hash(photo.crop)
        near = [int((code != other).sum()) for other in hashes]
        twin = any(
            bits <= DUPLICATE_BITS
            and abs(photo.opening - other.opening) < 0.012
            and abs(photo.eyes - other.eyes) < 0.03
            for bits, other in zip(near, chosen, strict=True)
        )
        if twin:
            findings.append(
                Finding(
                    code="face.duplicate",
                    severity=Severity.INFO,
                    material=photo.name,
                    what="nearly the same as a better photo",
                    remedy="",
                )
            )
            continue
        chosen.append(photo)
        hashes.append(code)
    if len(chosen) > max_photos:
        chosen, surplus = _varied(chosen, max_photos)
        findings += [
            Finding(
                code="face.surplus",
                severity=Severity.INFO,
                material=p.name,
                what="more photos than are used",
                remedy="",
            )
            for p in surplus
        ]
    return chosen, findings


def base_score(photo: Photo) -> float:
    """How well a photo serves as the picture that moves: sharp, large, frontal, mouth closed, eyes open, in colour."""
    turn = photo.pose
    score = 0.35 * photo.sharpness + 0.9 * min(1.0, photo.eye_distance / 90.0)
    score -= (abs(turn.yaw) / 10) ** 2 + (abs(turn.pitch) / 14) ** 2 + 0.3 * (abs(turn.roll) / 15) ** 2
    score -= 12.0 * max(0.0, photo.opening - 0.03) + 9.0 * max(0.0, 0.24 - photo.eyes)
    score -= 0.6 if photo.grey else 0.0
    corners = photo.points[[61, 291], 1].mean() - photo.points[[13, 14], 1].mean()
    score -= 0.4 * max(0.0, -float(corners) / CROP_IPD * 8)  # a broad smile is a frozen smile
    return float(score)


def _varied(ranked: list[Photo], count: int) -> tuple[list[Photo], list[Photo]]:
    """Keep the best base and then always the photo farthest from those kept, in opening, width, eyes and turn."""
    shape = np.array(
        [
            [p.opening / 0.05, geo.mouth_width(p.points) / 0.1, p.eyes / 0.06, p.pose.yaw / 8, p.pose.pitch / 8]
            for p in ranked
        ]
    )
    quality = np.array([base_score(p) for p in ranked])
    order = [0]
    nearest = np.linalg.norm(shape - shape[0], axis=1)
    while len(order) < count:
        gain = nearest + 0.15 * quality
        gain[order] = -np.inf
        order.append(int(np.argmax(gain)))
        nearest = np.minimum(nearest, np.linalg.norm(shape - shape[order[-1]], axis=1))
    return [ranked[i] for i in order], [p for i, p in enumerate(ranked) if i not in order]


def portrait_window(points: NDArray[np.float32], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of head and shoulders around a face, inside the photo."""
    face_height = float(np.linalg.norm(points[topo.CHIN, :2] - points[topo.FOREHEAD, :2]))
    centre = points[list(topo.OVAL), :2].mean(axis=0)
    left, right = centre[0] - 2.4 * face_height, centre[0] + 2.4 * face_height
    top, bottom = centre[1] - 1.7 * face_height, centre[1] + 2.3 * face_height
    return max(0, int(left)), max(0, int(top)), min(width, int(right) + 1), min(height, int(bottom) + 1)


def working_portrait(
    rgb: Image,
    models: FaceModels,
    by_hand: NDArray[np.float32] | None = None,
    tallest: int = 1080,
    least: int = 720,
) -> tuple[Image, NDArray[np.float32]]:
    """Head and shoulders at working size (even sides) and the mesh measured again at that size; points set `by_hand`
    are not measured again."""
    if by_hand is not None:
        points = mesh_at(models, rgb, by_hand).points
    else:
        points = models.mesh(rgb, models.detect(rgb)[0]).points
    left, top, right, bottom = portrait_window(points, rgb.shape[1], rgb.shape[0])
    cut = rgb[top:bottom, left:right]
    factor = min(tallest / cut.shape[0], 1.4 * tallest / cut.shape[1])
    if factor > 1:
        factor = min(factor, max(1.0, least / cut.shape[0]))
    size = (max(2, round(cut.shape[1] * factor / 2) * 2), max(2, round(cut.shape[0] * factor / 2) * 2))
    portrait = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    portrait = np.ascontiguousarray(portrait, np.uint8)
    again = models.detect(portrait) if by_hand is None else []
    if not again:
        return portrait, geo.apply(np.array([[factor, 0, -left * factor], [0, factor, -top * factor]]), points)
    return portrait, models.mesh(portrait, again[0]).points


def match_colours(crop: Image, points: NDArray[np.float32], goal: Image, goal_points: NDArray[np.float32]) -> Image:
    """Give a crop the skin colours of another (mean and spread in Lab, Reinhard 2001), so that light does not
    flicker."""
    (mean, spread), (want_mean, want_spread) = _skin_statistics(crop, points), _skin_statistics(goal, goal_points)
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    gain = (want_spread / np.maximum(spread, 1e-3)).clip(0.7, 1.45)
    gain[1:] = gain[1:] if spread[1:].min() > 1.0 else 1.0
    lab = (lab - mean) * gain + want_mean
    return np.asarray(cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


def _skin_statistics(crop: Image, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # All of the oval, not only what is like the cheeks in colour: the same pixels in every light. Measured, that brings
    # a face back to within 1 to 2.6 grey levels; bare skin alone, told by its colour, to within 2.3 to 9.5.
    mask = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(topo.polygon(points, topo.OVAL)).astype(np.int32)], 1)
    mask = cv2.erode(mask, np.ones((9, 9), np.uint8))
    for ring in (topo.OUTER_MOUTH, topo.RIGHT_EYE, topo.LEFT_EYE):
        cv2.fillPoly(mask, [np.round(topo.polygon(points, ring)).astype(np.int32)], 0)
    values = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)[mask > 0].astype(np.float32)
    if len(values) < 16:
        values = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
    low, high = np.percentile(values[:, 0], (5, 95))
    values = values[(values[:, 0] >= low) & (values[:, 0] <= high)]
    return values.mean(axis=0), values.std(axis=0)


class Candidates:
    """Gathers photos one at a time, keeping only face crops, so that 200 large scans never lie in memory together."""

    def __init__(self, models: FaceModels) -> None:
        self.models = models
        self.measured: list[Photo] = []
        self.findings: list[Finding] = []
        self.by_hand: dict[str, NDArray[np.float32]] = {}

    def add(self, name: str, rgb: Image, by_hand: FacePoints | None = None) -> None:
        """Measure one photo, RGB uint8 [H, W, 3], with the points a person set `by_hand`. `InputRefused` when those
        were measured in another picture."""
        if by_hand is not None:
            self.by_hand[name] = placed(by_hand, rgb.shape[1], rgb.shape[0], name)
        rgb, dots = without_dots(rgb)
        if dots is not None:
            self.findings.append(
                Finding(
                    code="face.printed",
                    severity=Severity.INFO,
                    material=name,
                    value=round(dots, 1),
                    what="the picture was printed in dots, which are smoothed out",
                    remedy="the photograph it was printed from would show more",
                )
            )
        result = measure(self.models, rgb, name, self.by_hand.get(name))
        if isinstance(result, Finding):
            self.findings.append(result)
        else:
            self.measured.append(result)

    def bank(
        self, max_photos: int, reload: Callable[[str], Image], copies: Sequence[str] = ()
    ) -> tuple[PhotoBank, list[Finding]]:
        """Choose, and build the bank; `reload(name)` gives the base photo again; `copies` were not added, being known
        as copies of another. `InputRefused` when none can be used, or all are one picture."""

        def again(name: str) -> Image:
            return without_dots(reload(name))[0]

        return _assemble(self.models, self.measured, self.findings, max_photos, again, self.by_hand, copies)


def build_bank(
    models: FaceModels, photos: Sequence[tuple[str, Image]], max_photos: int
) -> tuple[PhotoBank, list[Finding]]:
    """From RGB photos (name, uint8 [H, W, 3]) to a bank and findings. `InputRefused` when no photo can be used."""
    candidates = Candidates(models)
    for name, rgb in photos:
        candidates.add(name, rgb)
    return candidates.bank(max_photos, dict(photos).__getitem__)


def _assemble(
    models: FaceModels,
    measured: list[Photo],
    found: list[Finding],
    max_photos: int,
    reload: Callable[[str], Image],
    by_hand: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    copies: Sequence[str] = (),
) -> tuple[PhotoBank, list[Finding]]:
    findings = list(found)
    if not measured:
        raise InputRefused(
            [
                Problem(
                    "face.no_usable_photo",
                    "no photo shows a face that can be measured",
                    "bring at least one sharp photo of the person's face",
                    field="materials.photos",
                )
            ]
        )
    chosen, more = select(measured, max_photos)
    _not_all_same(measured, found, more, copies)
    findings += more
    base = chosen[0]
    portrait, points = working_portrait(reload(base.name), models, by_hand.get(base.name))
    if base.eye_distance < LOW_RESOLUTION:
        findings.append(
            Finding(
                code="face.low_resolution",
                severity=Severity.WARNING,
                material=base.name,
                value=base.eye_distance,
                limit=LOW_RESOLUTION,
                what="the best photo has few pixels in the face, so the film will look soft",
                remedy="scan the photo again at 600 dpi or bring a larger one",
            )
        )
    crops = np.stack([base.crop, *(match_colours(p.crop, p.points, base.crop, base.points) for p in chosen[1:])])
    facts = _facts(chosen)
    bank = PhotoBank(
        portrait,
        points,
        without_gaps(portrait, soft_matte(portrait, models.person(portrait)), points),
        crops,
        np.stack([p.points for p in chosen]),
        tuple(p.name for p in chosen),
        0,
        facts,
    )
    if not bank.shows_teeth:
        findings.append(
            Finding(
                code="face.no_teeth",
                severity=Severity.WARNING,
                value=max(p.opening for p in chosen),
                limit=SHOWN,
                what="no photo shows the teeth, so the mouth opens less and its inside is drawn",
                remedy="bring a photo or a home video in which the person laughs or speaks",
            )
        )
    return bank, findings


def _not_all_same(
    measured: Sequence[Photo], found: Sequence[Finding], left_out: Sequence[Finding], copies: Sequence[str]
) -> None:
    """`InputRefused` when three photos or more were sent and all are one picture: whoever sent them meant to send
    others. A photo without a usable face is another one."""
    twins = sum(finding.code == "face.duplicate" for finding in left_out)
    others = any(finding.code != "face.printed" for finding in found)
    names = sorted([*(photo.name for photo in measured), *copies])
    if others or twins + 1 < len(measured) or len(names) < SAME:
        return
    raise InputRefused(
        [
            Problem(
                "face.all_same",
                f"all {len(names)} photos are one and the same picture",
                "send it once, or bring others that show the person differently",
                field="materials.photos",
                file=", ".join(names[:20]),
            )
        ]
    )


def _facts(chosen: Sequence[Photo]) -> dict[str, Any]:
    return {
        "photos": [
            {
                "id": p.name,
                "role": "base" if i == 0 else ("mouth" if p.opening >= TEETH_OPENING else "auxiliary"),
                "sharpness": round(p.sharpness, 3),
                "eye_distance": round(p.eye_distance, 1),
                "opening": round(p.opening, 4),
                "eyes": round(p.eyes, 3),
                "yaw": round(p.pose.yaw, 1),
                "pitch": round(p.pose.pitch, 1),
                "roll": round(p.pose.roll, 1),
                "grey": p.grey,
                "corrected": p.corrected,
            }
            for i, p in enumerate(chosen)
        ]
    }


def save_bank(bank: PhotoBank, findings: Sequence[Finding], folder: Path) -> None:
    """Write `bank.safetensors`, `bank.json` and `base.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(
        {
            "crops": bank.crops,
            "points": bank.points,
            "base_points": bank.base_points,
            "matte": (bank.matte * 255).round().astype(np.uint8),
        },
        folder / "bank.safetensors",
        {"kind": "face-bank", "version": str(VERSION)},
    )
    cv2.imwrite(str(folder / "base.png"), cv2.cvtColor(bank.base, cv2.COLOR_RGB2BGR))
    document = {
        "kind": "face-bank",
        "version": VERSION,
        "names": list(bank.names),
        "base": bank.base_index,
        "shows_teeth": bank.shows_teeth,
        **bank.facts,
        "findings": [f.model_dump(mode="json") for f in findings],
    }
    (folder / "bank.json").write_text(json.dumps(document, ensure_ascii=False, indent=1), "utf-8")


def write_parts(bank: PhotoBank, path: Path) -> dict[str, float]:
    """Write the base photo with its parts tinted, so that an operator sees what was understood; returns each part's
    share of the person (see `parsing.PARTS`)."""
    parts = parse(bank.base, bank.base_points, bank.matte)
    cv2.imwrite(str(path), cv2.cvtColor(tinted(bank.base, parts), cv2.COLOR_RGB2BGR))
    whole = max(1, int((parts["person"] > 0).sum()))
    return {name: round(float((parts[name] > 0).sum()) / whole, 4) for name in TINTS}


def load_bank(folder: Path) -> PhotoBank:
    """Read what `save_bank` wrote. `InputRefused` for missing files, `ModelRefused` for another version."""
    missing = [n for n in ("bank.safetensors", "bank.json", "base.png") if not (folder / n).is_file()]
    if missing:
        raise InputRefused(
            [
                Problem("face.bank_missing", "the photo bank is incomplete", "run prepare_face again", file=n)
                for n in missing
            ]
        )
    document = json.loads((folder / "bank.json").read_text("utf-8"))
    if document.get("kind") != "face-bank" or document.get("version") != VERSION:
        raise ModelRefused("the photo bank has another version", where="bank.json", remedy="run prepare_face again")
    tensors = load_file(str(folder / "bank.safetensors"))
    base = cv2.cvtColor(cv2.imread(str(folder / "base.png"), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return PhotoBank(
        np.asarray(base, np.uint8),
        tensors["base_points"],
        np.asarray(tensors["matte"] / np.float32(255), np.float32),
        tensors["crops"],
        tensors["points"],
        tuple(document["names"]),
        int(document["base"]),
        {"photos": document["photos"]},
    )
