"""The trained refiner at work: corrects mouth and eyes of a bent portrait, at the portrait's own resolution.

The network's answer is taken as a difference to what it was shown, enlarged and added: fine texture of lips and teeth
stays that of the photo, and outside the mask not one pixel changes. Shapes far from everything it has learned from are
trusted less.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.bank import PhotoBank
from memorial_tasks.face.networks import RefinerNet, composite
from memorial_tasks.face.patches import (
    EYES,
    MOUTH,
    PATCHES,
    Patch,
    anchor,
    bent,
    follow,
    keep_light,
    likest,
    network_input,
    rasters,
    same_light,
    shape_of,
)
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.rig import FaceState
from memorial_tasks.face.surface import build_surface
from memorial_tasks.face.train import load_model, normalise

Image = NDArray[np.uint8]
# ipd rms between a shape and the likest photo: full trust below the first, none above the second. Lids are small:
# half a blink is far from an open eye, and a mean of the two would be a ghost.
TRUST = {"mouth": (0.028, 0.058), "eyes": (0.014, 0.030)}
# Likewise for how far, in ipd, the likest photos' openings are from the wanted one: a reference stretched further shows
# teeth as long as the mouth is open, a grille.
STRETCH = (0.030, 0.065)
# ipd, downwards: where a tracker sees the upper and lower edge and the iris of a shut eye, against where the lids meet
# and where the iris was (mean of the blinks in 20 tracked clips of a person).
LASHES, FALLEN_IRIS = (-0.028, 0.013), 0.03


@dataclass(frozen=True)
class _Place:
    patch: Patch
    network: RefinerNet
    matrix: NDArray[np.float64]
    shapes: NDArray[np.float64]


class Refiner:
    """Built once for a portrait; `apply` changes a frame in place."""

    def __init__(self, generators: dict[str, RefinerNet], scale: float, bank: PhotoBank) -> None:
        """`generators` by patch name as trained at `scale` on this `bank`."""
        self.bank, self.scale = bank, scale
        height, width = bank.base.shape[:2]
        surface = build_surface(bank.base_points, width, height)
        inside = (surface.triangles < topo.SURFACE).all(axis=1)
        self.triangles, self.hole = surface.triangles[inside], surface.hole[inside]
        base = bank.points[bank.base_index]
        self.places = []
        for patch in PATCHES:
            if patch.name not in generators:
                continue
            crop_anchor = anchor(base, patch, scale)
            shapes = np.stack(
                [shape_of(geo.apply(follow(base, p, crop_anchor), p), patch, scale) for p in bank.points[bank.teachers]]
            )
            self.places.append(_Place(patch, generators[patch.name], anchor(bank.base_points, patch, scale), shapes))

    @staticmethod
    def load(path: Path, bank: PhotoBank) -> "Refiner | None":
        """Read a model file; None when training decided that the warp alone is better. `ModelRefused` for foreign
        files."""
        generators, about = load_model(path)
        return Refiner(generators, float(about["scale"]), bank) if generators else None

    def apply(self, canvas: Image, state: FaceState) -> None:
        """Correct mouth and eyes of the bent portrait `canvas` uint8 [H, W, 3] in place."""
        for place in self.places:
            self._apply(place, canvas, state)

    def _apply(self, place: _Place, canvas: Image, state: FaceState) -> None:
        height, width = place.patch.size(self.scale)
        matrix = follow(self.bank.base_points, state.points, place.matrix)
        goal = np.zeros((topo.POINTS, 3), np.float32)
        goal[: topo.SURFACE, :2] = geo.apply(matrix, state.points[: topo.SURFACE, :2])
        self._eyes(goal, state, matrix)
        shape = shape_of(goal, place.patch, self.scale)
        chosen = likest(shape, place.shapes)
        nearest = min(_apart(place.shapes[i], shape, place.patch) for _, i in chosen)
        trust = 1 - float(geo.smoothstep(*TRUST[place.patch.name], nearest))
        teachers = self.bank.teachers
        if place.patch is MOUTH:
            opening = geo.mouth_opening(state.points)
            apart = sum(w * abs(geo.mouth_opening(self.bank.points[teachers[i]]) - opening) for w, i in chosen)
            trust *= 1 - float(geo.smoothstep(*STRETCH, apart))
        if trust <= 0.01:
            return
        pictures = [(w, self.bank.crops[teachers[i]], self.bank.points[teachers[i]]) for w, i in chosen]
        reference = bent(pictures, goal, self.triangles, self.hole, (height, width))
        factor = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
        back = cv2.invertAffineTransform(matrix)
        area = corners @ back[:, :2].T + back[:, 2]
        left, top = np.maximum(np.floor(area.min(axis=0)).astype(int) - 3, 0)
        right, bottom = np.ceil(area.max(axis=0)).astype(int) + 3
        region = canvas[top:bottom, left:right]
        if region.size == 0:
            return
        local = matrix.copy()
        local[:, 2] += local[:, :2] @ (left, top)
        soft = cv2.GaussianBlur(region, (0, 0), 0.45 / factor) if factor < 0.7 else region
        cut = cv2.warpAffine(soft, local, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        raster = rasters(goal, place.patch, self.scale)
        with torch.inference_mode():
            inputs = normalise(torch.from_numpy(network_input(cut, same_light(reference, cut, raster), raster))[None])
            made = (composite(inputs, *place.network(inputs)) - inputs[:, :3])[0].numpy().transpose(1, 2, 0)
        change = made * np.float32(127.5 * trust)
        if place.patch is MOUTH:
            change = keep_light(change, raster)
        size = (region.shape[1], region.shape[0])
        wide = cv2.warpAffine(
            change, local, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
        )
        canvas[top:bottom, left:right] = (region.astype(np.float32) + wide).round().clip(0, 255).astype(np.uint8)

    def _eyes(self, goal: NDArray[np.float32], state: FaceState, matrix: NDArray[np.float64]) -> None:
        """Eyes as a tracked photo would have them, or none with shut eyes would be found like. Iris points follow the
        head, the gaze and a falling lid (the rig's surface does not carry them); and of shut lids the tracker sees the
        lashes: it parts them by `LASHES`."""
        base = self.bank.base_points
        rigid = list(topo.RIGID)
        moved = geo.apply(geo.similarity(base[rigid, :2], state.points[rigid, :2]), base)
        for iris, upper, lower, shut in (
            (topo.RIGHT_IRIS, topo.RIGHT_UPPER[0], topo.RIGHT_LOWER[0], state.blink[0]),
            (topo.LEFT_IRIS, topo.LEFT_UPPER[0], topo.LEFT_LOWER[0], state.blink[1]),
        ):
            centre = moved[iris[0], :2]
            radius = float(np.linalg.norm(moved[list(iris[1:]), :2] - centre, axis=1).mean())
            shifted = moved[list(iris), :2] + np.array([state.gaze[0], state.gaze[1] * 0.8], np.float32) * radius
            goal[list(iris), :2] = geo.apply(matrix, shifted)
            unit = shut * EYES.ipd * self.scale
            goal[list(iris), 1] += FALLEN_IRIS * unit
            for edge, part in ((upper, LASHES[0]), (lower[1:-1], LASHES[1])):
                goal[list(edge), 1] += part * unit * np.sin(np.pi * np.linspace(0, 1, len(edge) + 2)[1:-1])


def _apart(one: NDArray[np.float64], other: NDArray[np.float64], patch: Patch) -> float:
    """How unlike two shapes are, ipd rms. Where both eyes lie in their patch says how the head is turned, not what the
    lids do."""
    way = (one - other).reshape(-1, 2)
    if patch is EYES:
        way = way - way.mean(axis=0)
    return float(np.sqrt((way**2).sum(axis=1).mean()))


def describe(path: Path) -> dict[str, Any]:
    """What a model file says about itself."""
    return load_model(path)[1]
