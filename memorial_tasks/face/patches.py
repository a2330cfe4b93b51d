"""The places the refiner works on: an upright patch around the mouth and one over both eyes, moving with the head's
bones.

What the refiner sees in training and in the film is made by the same functions here: the bent photo, the same place
from the likest other photos bent to the same shape, and rasters of where it may change anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.warp import Region, label_map, remap, soft_polygon, source_map, triangle_maps

Image = NDArray[np.uint8]
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Patch:
    """`height`, `width` in pixels, `ipd`: pixels between the eyes at scale 1; `shape`: points that tell photos
    apart."""

    name: str
    height: int
    width: int
    ipd: float
    shape: tuple[int, ...]

    def size(self, scale: float) -> tuple[int, int]:
        """Height and width at a recipe's scale."""
        return round(self.height * scale), round(self.width * scale)


# How far it is open decides which photo's teeth fit: the middle of the inner lips counts four times.
MOUTH = Patch("mouth", 96, 128, 85.0, topo.OUTER_MOUTH + topo.INNER_MOUTH + 3 * (13, 14, 82, 87, 312, 317))
EYES = Patch("eyes", 48, 128, 60.0, topo.RIGHT_EYE + topo.LEFT_EYE + (topo.RIGHT_IRIS[0], topo.LEFT_IRIS[0]))
PATCHES = (MOUTH, EYES)


def anchor(base: Points, patch: Patch, scale: float) -> NDArray[np.float64]:
    """The 2x3 map from the base photo's pixels to the patch."""
    right, left = geo.eye_centres(base)
    across = (left - right) / np.linalg.norm(left - right)
    down = np.array([-across[1], across[0]])
    ipd = geo.interocular(base)
    centre = (right + left) / 2 if patch.name == "eyes" else base[2, :2] + down * 0.42 * ipd
    factor = patch.ipd * scale / ipd
    matrix = np.zeros((2, 3))
    matrix[:, :2] = np.array([across, down]) * factor
    height, width = patch.size(scale)
    matrix[:, 2] = np.array([width / 2, height / 2]) - matrix[:, :2] @ centre
    return matrix


def follow(base: Points, target: Points, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The patch map for a turned or moved head: the base map after undoing the motion of the bones."""
    rigid = list(topo.RIGID)
    back = geo.similarity(target[rigid, :2], base[rigid, :2])
    return np.hstack([matrix[:, :2] @ back[:, :2], (matrix[:, :2] @ back[:, 2] + matrix[:, 2])[:, None]])


def shape_of(points_in_patch: Points, patch: Patch, scale: float) -> NDArray[np.float64]:
    """What the patch shows, as a vector in ipd: positions of lips or lids."""
    return (points_in_patch[list(patch.shape), :2].astype(np.float64) / (patch.ipd * scale)).reshape(-1)


def likest(shape: NDArray[np.float64], shapes: NDArray[np.float64], count: int = 3) -> list[tuple[float, int]]:
    """Weights and indices of the photos of most similar shape; weights change smoothly with the shape."""
    distance = np.sqrt(((shapes - shape) ** 2).reshape(len(shapes), -1, 2).sum(axis=2).mean(axis=1)) / 0.018
    weight = np.exp(-(distance - distance.min()))
    order = np.argsort(-weight, kind="stable")
    cut = 0.9 * weight[order[count]] if len(order) > count else 0.0
    kept = (weight[order[:count]] - cut).clip(1e-6)
    kept /= kept.sum()
    return [(float(w), int(i)) for w, i in zip(kept, order[:count], strict=True) if w > 0.02]


def bent(
    sources: Sequence[tuple[float, Image, Points]],
    target: Points,
    triangles: NDArray[np.int32],
    hole: NDArray[np.bool_],
    size: tuple[int, int],
) -> Image:
    """The weighted mean of source photos bent to the mesh `target` (patch pixels), uint8 [H, W, 3]."""
    height, width = size
    region = Region(0, 0, width, height)
    labels = label_map(target, triangles, region, 2, hole)
    total = np.zeros((height, width, 3), np.float32)
    for weight, image, points in sources:
        total += weight * remap(image, *source_map(labels, triangle_maps(target, points, triangles), region, 2))
    return total.round().clip(0, 255).astype(np.uint8)


def rasters(target: Points, patch: Patch, scale: float) -> NDArray[np.uint8]:
    """Where the refiner may change anything, the openings, and lips or brows: uint8 [3, H, W] from patch-pixel
    points."""
    height, width = patch.size(scale)
    region = Region(0, 0, width, height)
    unit = patch.ipd * scale
    if patch.name == "mouth":
        outer = topo.polygon(target, topo.OUTER_MOUTH)
        inner = soft_polygon(topo.polygon(target, topo.INNER_MOUTH), region)
        lips = soft_polygon(outer, region)
        allowed = cv2.dilate(lips, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_odd(0.10 * unit), _odd(0.10 * unit))))
        return _stack(cv2.GaussianBlur(allowed, (0, 0), 0.03 * unit), inner, lips, height, width)
    eyes = np.maximum(
        soft_polygon(topo.polygon(target, topo.RIGHT_EYE), region),
        soft_polygon(topo.polygon(target, topo.LEFT_EYE), region),
    )
    lids = np.zeros_like(eyes)
    for ring_up, ring_low in ((topo.RIGHT_UPPER[1], topo.RIGHT_LOWER[1]), (topo.LEFT_UPPER[1], topo.LEFT_LOWER[1])):
        outline = target[[*ring_up, *reversed(ring_low)], :2]
        lids = np.maximum(lids, soft_polygon(np.ascontiguousarray(outline), region, smooth=False))
    brows = np.zeros_like(eyes)
    for brow in (topo.RIGHT_BROW, topo.LEFT_BROW):
        outline = target[[*brow[:5], *reversed(brow[5:])], :2]
        brows = np.maximum(brows, soft_polygon(np.ascontiguousarray(outline), region, smooth=False))
    allowed = cv2.dilate(np.maximum(lids, eyes), np.ones((_odd(0.04 * unit), _odd(0.04 * unit)), np.uint8))
    return _stack(cv2.GaussianBlur(allowed, (0, 0), 0.025 * unit), eyes, brows, height, width)


def _odd(value: float) -> int:
    return max(1, int(value) // 2 * 2 + 1)


def _stack(
    allowed: NDArray[np.floating], opening: NDArray[np.floating], part: NDArray[np.floating], height: int, width: int
) -> NDArray[np.uint8]:
    edge = np.ones((height, width), np.float32)  # nothing may change at the patch's rim: no seam there
    rim = max(2, height // 16)
    ramp = np.linspace(0, 1, rim, dtype=np.float32)
    edge[:rim] *= ramp[:, None]
    edge[-rim:] *= ramp[::-1, None]
    edge[:, :rim] *= ramp
    edge[:, -rim:] *= ramp[::-1]
    return (
        np.stack([(allowed * edge * 255).round(), (opening * 255).round(), (part * 255).round()])
        .clip(0, 255)
        .astype(np.uint8)
    )


def same_light(reference: Image, warped: Image, raster: NDArray[np.uint8]) -> Image:
    """The reference with the light of the bent photo: shifted by their mean difference on the skin around the mask."""
    skin = raster[0] < 12
    if skin.sum() < 32:
        return reference
    shift = warped[skin].astype(np.float32).mean(axis=0) - reference[skin].astype(np.float32).mean(axis=0)
    return np.asarray((reference + shift).round().clip(0, 255), np.uint8)


def network_input(warped: Image, reference: Image, raster: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The nine channels as uint8 [9, H, W]."""
    return np.concatenate([warped.transpose(2, 0, 1), reference.transpose(2, 0, 1), raster])


def keep_light(change: NDArray[np.float32], raster: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a network would change in a mouth's patch, float32 [H, W, 3], without what is only another photo's light.

    The skin around the lips is right as it is: how it would be changed there on the whole is light, and is taken off;
    lips and opening stay as they were made. Without this a patch of other light ends in a pale rim at the lip. Lids are
    another matter: the whole of their patch is remade when they shut. `raster` as from `rasters`."""
    height = change.shape[0]
    allowed, opening, lips = (plane.astype(np.float32) / np.float32(255) for plane in raster)
    near = _odd(0.06 * height)
    inside = cv2.dilate(np.maximum(opening, lips), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near)))
    skin, wide = allowed * (1 - inside), 0.14 * height
    known = cv2.GaussianBlur(skin, (0, 0), wide) + np.float32(0.02)
    light = cv2.GaussianBlur(change * skin[..., None], (0, 0), wide) / known[..., None]
    return np.asarray(change - light * skin[..., None], np.float32)
