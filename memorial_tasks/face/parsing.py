"""What is what in a portrait: skin, hair, brows, eyes, mouth, lips, clothes, each a mask of its own.

No network: the mesh knows where brows, eyes and mouth are, the matte knows the person, and the rest is told by colour.
How this person's skin looks in this light is learned from cheeks and forehead, how their hair looks from what lies just
above the forehead and is not skin; from there both grow as far as their colour goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2

Image = NDArray[np.uint8]
Plane = NDArray[np.bool_]
PARTS = ("background", "person", "skin", "hair", "brows", "eyes", "mouth", "lips", "clothes")
WORK_IPD = 64.0  # pixels between the eyes at which colours are compared: grain and pores are smoothed out by then
CHEEKS = ((50, 101, 118, 117, 123, 187, 205, 36), (280, 330, 347, 346, 352, 411, 425, 266))
FOREHEAD = (151, 108, 69, 104, 103, 67, 109, 10, 338, 297, 332, 333, 299, 337)
LIKE_SKIN, LIKE_HAIR = 3.4, 3.2  # spreads from the middle of a colour up to which a pixel may belong to it
LOOSE = 4.6  # the same where only skin or hair can be: on the head itself
LEAST_HAIR = 0.02  # of the face's own area: what is less above and beside it is a shadow or a shine, not hair
TINTS: Mapping[str, tuple[int, int, int]] = {
    "skin": (240, 170, 60), "hair": (60, 90, 230), "brows": (20, 200, 220), "eyes": (250, 250, 250),
    "mouth": (120, 0, 40), "lips": (230, 40, 90), "clothes": (60, 180, 80),
}  # fmt: skip


@dataclass(frozen=True)
class Colour:
    """A normal distribution in Lab (light 0..100): its middle and how far it spreads, float32 [3] each."""

    middle: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32], least: tuple[float, float, float]) -> "Colour":
        """From pixels [N, 3] by median and quartiles, so that a few strange ones do no harm; never narrower than
        `least`."""
        middle = np.median(values, axis=0)
        quarters = np.subtract(*np.percentile(values, (75, 25), axis=0)) / 1.35
        return cls(middle.astype(np.float32), np.maximum(quarters, least).astype(np.float32))

    def away(self, lab: NDArray[np.float32]) -> NDArray[np.float32]:
        """How many spreads each pixel of [..., 3] is away."""
        return np.asarray(np.sqrt((((lab - self.middle) / self.spread) ** 2).sum(axis=-1)), np.float32)


def parse(rgb: Image, points: NDArray[np.float32], matte: NDArray[np.float32]) -> dict[str, Image]:
    """The masks named in `PARTS` of a portrait, uint8 [H, W], 0 or 255. `rgb` uint8 [H, W, 3], `points` the mesh in
    pixels [478, 3], `matte` float32 [H, W] in 0..1.

    `background` and `person` make up the picture; the others lie in the person, no two on the same pixel. What is in
    the face but not skin (glasses, a beard, a hand) is the person and no part. A hat in a colour that hair has is taken
    for hair, one in another colour for clothes; so is hair on the shoulders that lies in the shade."""
    height, width = matte.shape
    scale = min(1.0, WORK_IPD / max(geo.interocular(points), 1e-6))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    cover = cv2.resize(matte, size, interpolation=cv2.INTER_AREA) if scale < 1 else matte
    skin, hair = _by_colour(_lab(small), _scaled(points, size, (width, height)), cover > 0.5)
    person = matte > 0.5
    features = _features(points, (height, width))
    taken = np.logical_or.reduce(list(features.values()))
    skin, hair = (_enlarged(part, width, height) & person & ~taken for part in (skin, hair))
    hair &= ~skin
    oval = _inside(points, topo.OVAL, (height, width))
    clothes = person & ~(skin | hair | taken | oval)
    found = {"background": ~person, "person": person, "skin": skin, "hair": hair, "clothes": clothes}
    found |= {name: part & person for name, part in features.items()}
    return {name: found[name].astype(np.uint8) * np.uint8(255) for name in PARTS}


def tinted(rgb: Image, parts: Mapping[str, Image]) -> Image:
    """The photo with each part in a colour of its own (`TINTS`), its background darkened: for a person to look at."""
    shown = rgb.astype(np.float32)
    shown[parts["background"] > 0] *= 0.35
    for name, colour in TINTS.items():
        where = parts[name] > 0
        shown[where] = 0.55 * shown[where] + 0.45 * np.array(colour, np.float32)
    return shown.round().clip(0, 255).astype(np.uint8)


def _by_colour(lab: NDArray[np.float32], points: NDArray[np.float32], person: Plane) -> tuple[Plane, Plane]:
    """Skin and hair of the person, bool [H, W] each, at working size."""
    nothing = np.zeros_like(person)
    skin = _skin_colour(lab, points)
    oval = _inside(points, topo.OVAL, person.shape)
    if skin is None:
        return oval & person, nothing
    ipd = geo.interocular(points)
    to_skin = skin.away(lab)
    rows = np.arange(len(person))[:, None]
    columns = np.arange(person.shape[1])[None]
    corners = topo.polygon(points, topo.OVAL)
    chin, brow = float(corners[:, 1].max()), float(points[[*topo.RIGHT_BROW, *topo.LEFT_BROW], 1].mean())
    middle, half = float(corners[:, 0].mean()), float(np.ptp(corners[:, 0])) / 2
    crown = person & ~oval & (rows < brow) & (np.abs(columns - middle) < 1.5 * half)
    hair = _hair_colour(lab, crown & (to_skin > 2.2), int(LEAST_HAIR * oval.sum()))
    to_hair = hair.away(lab) if hair is not None else np.full(person.shape, np.inf, np.float32)
    # Under the chin lies its shadow, and at the temples the hair's: there light counts less, or the hair decides. Where
    # there is no hair to compare with, skin is only what is like it without doubt.
    below = (rows > chin - 0.25 * ipd) & (np.abs(columns - middle) < half)
    shaded = Colour(skin.middle, skin.spread * np.array([2.2, 1.15, 1.15], np.float32)).away(lab)
    to_skin = np.where(below, shaded, to_skin)
    doubt = LIKE_SKIN if hair is None else LOOSE
    limit = np.where(below, LIKE_SKIN, np.where(oval, doubt, doubt - 0.8))
    bare = person & (rows < chin + 1.1 * ipd) & (to_skin < limit)
    bare &= to_skin * np.where(oval | below, 0.7, 1.0) < to_hair
    reach = cv2.dilate(oval.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # over a beard to the neck below it
    bare = _joined(_smooth(bare, ipd), reach)
    grown = person & ~bare & (to_hair < np.where(rows < chin - 0.25 * ipd, LOOSE, LIKE_HAIR)) & (to_hair <= to_skin)
    inner = cv2.erode(oval.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    grown &= (rows < chin + 1.1 * ipd) & ~(inner & (rows > brow))  # in the face below the brows: a beard, a pupil
    return bare, _joined(_smooth(grown, ipd), crown & (to_hair < LIKE_HAIR))


def _skin_colour(lab: NDArray[np.float32], points: NDArray[np.float32]) -> Colour | None:
    """The colour of cheeks and forehead; None where they hold hardly a pixel. A fringe over the forehead is not learned
    from: only what is near the cheeks' colour."""
    cheeks = np.logical_or.reduce([_inside(points, ring, lab.shape[:2]) for ring in CHEEKS])
    forehead = _inside(points, FOREHEAD, lab.shape[:2])
    if cheeks.sum() < 16:
        return None
    least = (9.0, 4.0, 4.5)
    first = Colour.of(lab[cheeks], least)
    near = (cheeks | forehead) & (first.away(lab) < 2.5)
    return Colour.of(lab[near], least) if near.sum() >= 16 else first


def _hair_colour(lab: NDArray[np.float32], where: Plane, least: int) -> Colour | None:
    """The colour of what lies above the forehead and is not skin; None for a bald head, and for a hat in a colour that
    no hair has."""
    if where.sum() < max(16, least):
        return None
    found = Colour.of(lab[where], (8.0, 4.0, 5.0))
    light, red, yellow = (float(value) for value in found.middle)
    natural = -9 < red < 24 and -13 < yellow < 48 and yellow > red - 14 and np.hypot(red, yellow) < 20 + 0.6 * light
    return found if natural else None


def _features(points: NDArray[np.float32], shape: tuple[int, ...]) -> dict[str, Plane]:
    """What the mesh shows by itself: brows, eyes, the inside of the mouth, lips."""
    brows = [(*brow[:5], *reversed(brow[5:])) for brow in (topo.RIGHT_BROW, topo.LEFT_BROW)]
    mouth = _inside(points, topo.INNER_MOUTH, shape) & (geo.mouth_opening(points) > 0.02)
    found = {
        "brows": _inside(points, brows[0], shape) | _inside(points, brows[1], shape),
        "eyes": _inside(points, topo.RIGHT_EYE, shape) | _inside(points, topo.LEFT_EYE, shape),
        "mouth": mouth,
        "lips": _inside(points, topo.OUTER_MOUTH, shape) & ~mouth,
    }
    found["brows"] &= ~found["eyes"]
    return found


def _inside(points: NDArray[np.float32], ring: tuple[int, ...], shape: tuple[int, ...]) -> Plane:
    plane = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(plane, [np.round(topo.polygon(points, ring)).astype(np.int32)], 1)
    return plane > 0


def _lab(rgb: Image) -> NDArray[np.float32]:
    """Light 0..100 and the two colours, smoothed by a pixel or two: single hairs and grain do not decide."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32) / np.float32(255), (0, 0), 1.0)
    return np.asarray(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB), np.float32)


def _scaled(points: NDArray[np.float32], size: tuple[int, int], whole: tuple[int, int]) -> NDArray[np.float32]:
    factor = np.array([size[0] / whole[0], size[1] / whole[1]], np.float32)
    result = points.copy()
    result[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
    return result


def _smooth(plane: Plane, ipd: float) -> Plane:
    """Without specks and pinholes smaller than a twentieth of the distance between the eyes."""
    side = max(3, round(ipd / 20) * 2 + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(plane.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel) > 0)


def _joined(plane: Plane, seed: Plane) -> Plane:
    """The pieces of `plane` that touch `seed`."""
    _, marks = cv2.connectedComponents(plane.astype(np.uint8))
    reached = np.unique(marks[plane & seed])
    return plane & np.isin(marks, reached[reached > 0])


def _enlarged(plane: Plane, width: int, height: int) -> Plane:
    return np.asarray(cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)
