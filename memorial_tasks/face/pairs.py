"""Training pairs from a photo bank: one photo bent to the mesh of another, beside what the other really shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.bank import CROP, CROP_IPD, PhotoBank
from memorial_tasks.face.eyes import paint_eyes
from memorial_tasks.face.mouth import MouthExemplar, drawn_exemplar, lip_line_colour, paint_mouth
from memorial_tasks.face.patches import (
    EYES,
    MOUTH,
    PATCHES,
    Patch,
    anchor,
    bent,
    follow,
    likest,
    network_input,
    rasters,
    same_light,
    shape_of,
)
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.surface import build_surface
from memorial_tasks.face.warp import Region, label_map, remap, source_map, triangle_maps

Image = NDArray[np.uint8]
Points = NDArray[np.float32]


@dataclass(frozen=True)
class PairSet:
    """Pairs of one patch: `inputs` uint8 [P, 9, H, W], `targets` uint8 [P, 3, H, W], `still` uint8 [P, 3, H, W] (the
    source photo in the target's place, unbent), `source`, `target` int [P]: photo numbers; `patch`: its name."""

    inputs: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    still: NDArray[np.uint8]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    patch: str = ""

    def of_targets(self, wanted: Sequence[int]) -> "PairSet":
        """Only the pairs whose target photo is among `wanted`."""
        keep = np.isin(self.target, list(wanted))
        return self.at(np.flatnonzero(keep))

    def at(self, index: NDArray[np.int64]) -> "PairSet":
        """Only the pairs of these numbers."""
        return PairSet(
            self.inputs[index], self.targets[index], self.still[index], self.source[index], self.target[index],
            self.patch,
        )  # fmt: skip


def face_triangles(base: Points) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The fixed triangulation inside the face for bank crops, and which triangles are openings."""
    surface = build_surface(base, CROP, CROP)
    inside = (surface.triangles < topo.SURFACE).all(axis=1)
    return surface.triangles[inside], surface.hole[inside]


def held_out(bank: PhotoBank) -> list[int]:
    """Photos kept for the examination: every sixth by mouth opening, never the base nor the widest mouth; none below
    5."""
    teachers = bank.teachers
    if len(teachers) < 5:
        return []
    order = sorted((i for i in teachers if i != bank.base_index), key=lambda i: geo.mouth_opening(bank.points[i]))[:-1]
    step = max(3, min(6, len(order) // 2))
    return sorted(order[step // 2 :: step])


def sources_of(bank: PhotoBank, count: int, excluded: Sequence[int]) -> list[int]:
    """The photos that are bent in training: the base first, then the best others of similar pose."""
    others = [i for i in bank.teachers if i != bank.base_index and i not in excluded]
    base = geo.pose(bank.points[bank.base_index])

    def turn(index: int) -> float:
        pose = geo.pose(bank.points[index])
        return abs(pose.yaw - base.yaw) + abs(pose.pitch - base.pitch) + 60 * geo.mouth_opening(bank.points[index])

    return [bank.base_index, *sorted(others, key=turn)[: max(0, count - 1)]]


@dataclass(frozen=True)
class _Workshop:
    """What every pair of one bank is made with."""

    bank: PhotoBank
    scale: float
    triangles: NDArray[np.int32]
    hole: NDArray[np.bool_]
    anchors: dict[str, NDArray[np.float64]]

    @staticmethod
    def of(bank: PhotoBank, scale: float) -> "_Workshop":
        base = bank.points[bank.base_index]
        return _Workshop(
            bank, scale, *face_triangles(base), {patch.name: anchor(base, patch, scale) for patch in PATCHES}
        )

    def faces_front(self, target: int) -> bool:
        """A side view teaches the front nothing."""
        base, goal = self.bank.points[self.bank.base_index], self.bank.points[target]
        return abs(geo.pose(goal).yaw - geo.pose(base).yaw) <= 18

    def warped(self, source: int, goal: Points, library: Sequence[int]) -> Image:
        return bend_photo(
            self.bank, source, goal, [i for i in library if i != source] or library, self.triangles, self.hole
        )


def make_pairs(
    bank: PhotoBank,
    scale: float,
    sources: Sequence[int],
    learn_from: Sequence[int],
    targets: Sequence[int],
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, PairSet]:
    """Pairs of every source with every target, a set per patch. References and mouth exemplars come from `learn_from`
    only, never from the target itself; so an examination photo stays unseen."""
    shop = _Workshop.of(bank, scale)
    rows: dict[str, list[tuple[Image, Image, Image, int, int]]] = {patch.name: [] for patch in PATCHES}
    for number, target in enumerate(targets):
        if not shop.faces_front(target):
            continue
        goal = bank.points[target]
        library = [i for i in learn_from if i != target]
        for source in sources:
            if source == target:
                continue
            warped = shop.warped(source, goal, library)
            for patch in PATCHES:
                rows[patch.name].append(
                    (*_pair(shop, patch, goal, warped, bank.crops[target], source, library), source, target)
                )
        if progress is not None:
            progress((number + 1) / len(targets), "preparing pairs")
    return {name: _stacked(found, name) for name, found in rows.items() if found}


def make_triples(
    bank: PhotoBank, scale: float, source: int, learn_from: Sequence[int], seed: int
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Three pictures of an even movement for each photo, per patch: network inputs uint8 [T, 3, 9, H, W] and what
    should be seen, uint8 [T, 3, 3, H, W].

    The movement is a small part of the way from one photo's mesh to another's. What should be seen is the photo itself,
    bent by that little; all three are resampled alike, or the sharpest would give the middle away."""
    shop = _Workshop.of(bank, scale)
    rng = np.random.default_rng(seed)
    rows: dict[str, list[tuple[Image, Image]]] = {patch.name: [] for patch in PATCHES}
    for target in learn_from:
        others = [i for i in learn_from if i not in {target, source}]
        if target == source or not others or not shop.faces_front(target):
            continue
        points = bank.points[target]
        other = bank.points[int(rng.choice(others))]
        rigid = list(topo.RIGID)
        way = geo.apply(geo.similarity(other[rigid, :2], points[rigid, :2]), other) - points
        part = float(rng.uniform(0.04, 0.12))
        library = [i for i in learn_from if i != target]
        moments: dict[str, list[tuple[Image, Image]]] = {patch.name: [] for patch in PATCHES}
        for moment in (-1.5, -0.5, 0.5):
            goal = points + np.float32(part * moment) * way
            real = _bend(bank.crops[target], points, goal, shop.triangles, shop.hole)
            warped = shop.warped(source, goal, library)
            for patch in PATCHES:
                moments[patch.name].append(_pair(shop, patch, goal, warped, real, source, library)[:2])
        for name, found in moments.items():
            inputs, targets = zip(*found, strict=True)
            rows[name].append((np.stack(inputs), np.stack(targets)))
    return {
        name: (np.stack([a for a, _ in found]), np.stack([b for _, b in found]))
        for name, found in rows.items()
        if found
    }


def _bend(image: Image, points: Points, goal: Points, triangles: NDArray[np.int32], hole: NDArray[np.bool_]) -> Image:
    """A photo bent to another mesh, no layers: a copy [H, W, 3]."""
    region = Region.around(goal[: topo.SURFACE, :2], 2, CROP, CROP)
    labels = label_map(goal, triangles, region, 1, hole)
    canvas = image.copy()
    rows, columns = region.slices
    canvas[rows, columns] = remap(image, *source_map(labels, triangle_maps(goal, points, triangles), region))
    return canvas


def bend_photo(
    bank: PhotoBank,
    source: int,
    goal: Points,
    library: Sequence[int],
    triangles: NDArray[np.int32],
    hole: NDArray[np.bool_],
) -> Image:
    """Bank photo `source` bent to the mesh `goal` (crop pixels) with mouth and eye layers, as the film would show
    it."""
    image, points = bank.crops[source], bank.points[source]
    canvas = _bend(image, points, goal, triangles, hole)
    mouths: Sequence[MouthExemplar] = [
        exemplar
        for exemplar in (MouthExemplar.of(bank.crops[i], bank.points[i]) for i in library)
        if exemplar.opening >= 0.055
    ] or [drawn_exemplar(image, points)]
    paint_mouth(canvas, goal, CROP_IPD, mouths, lip_line_colour(image, points))
    still, gaze = eyes_of(points, goal)
    shut = [
        float(np.clip(1.15 - 1.3 * g / max(s, 0.05), 0, 1))
        for g, s in zip(geo.eye_opening(goal), geo.eye_opening(points), strict=True)
    ]
    paint_eyes(
        canvas, image, points, goal, still, gaze, (shut[0] if shut[0] > 0.6 else 0.0, shut[1] if shut[1] > 0.6 else 0.0)
    )
    return np.asarray(canvas, np.uint8)


def eyes_of(source: Points, goal: Points) -> tuple[Points, tuple[float, float]]:
    """Where the source's eyeballs come to lie in the target (lids ignored), and the target's gaze against the
    source's."""
    still = goal.copy()
    looks = []
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        corners = [ring[0], ring[8]]
        matrix = geo.similarity(source[corners, :2], goal[corners, :2])
        moved = geo.apply(matrix, source)
        still[list(ring), :2] = moved[list(ring), :2]
        radius = max(float(np.linalg.norm(moved[list(iris[1:]), :2] - moved[iris[0], :2], axis=1).mean()), 1.0)
        looks.append((goal[iris[0], :2] - moved[iris[0], :2]) / radius)
    gaze = np.mean(looks, axis=0).clip(-0.8, 0.8)
    return still, (float(gaze[0]), float(gaze[1]))


def _pair(
    shop: _Workshop, patch: Patch, goal: Points, warped: Image, real: Image, source: int, library: Sequence[int]
) -> tuple[Image, Image, Image]:
    """Network input, what should be seen (cut from the crop `real`, whose mesh is `goal`) and the unbent source."""
    bank, scale = shop.bank, shop.scale
    base, base_matrix = bank.points[bank.base_index], shop.anchors[patch.name]
    matrix = follow(base, goal, base_matrix)
    size = patch.size(scale)
    placed = geo.apply(matrix, goal)
    shapes = [geo.apply(follow(base, bank.points[i], base_matrix), bank.points[i]) for i in library]
    chosen = likest(shape_of(placed, patch, scale), np.stack([shape_of(p, patch, scale) for p in shapes]))
    pictures = [(w, bank.crops[library[i]], bank.points[library[i]]) for w, i in chosen]
    reference = bent(pictures, placed, shop.triangles, shop.hole, size)
    cut = cut_patch(warped, matrix, size)
    unbent = geo.similarity(bank.points[source][list(topo.RIGID), :2], goal[list(topo.RIGID), :2])
    whole = np.hstack([matrix[:, :2] @ unbent[:, :2], (matrix[:, :2] @ unbent[:, 2] + matrix[:, 2])[:, None]])
    still = cut_patch(bank.crops[source], whole, size)
    raster = rasters(placed, patch, scale)
    return (
        network_input(cut, same_light(reference, cut, raster), raster),
        cut_patch(real, matrix, size).transpose(2, 0, 1),
        still.transpose(2, 0, 1),
    )


def cut_patch(image: Image, matrix: NDArray[np.float64], size: tuple[int, int]) -> Image:
    """The patch of a picture under a 2x3 map, uint8 [H, W, 3]; pictures much finer than the patch are smoothed
    first."""
    factor = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if factor < 0.7:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.45 / factor), np.uint8)
    return np.asarray(
        cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def _stacked(rows: Sequence[tuple[Image, Image, Image, int, int]], patch: str) -> PairSet:
    inputs, targets, still, source, target = zip(*rows, strict=True)
    return PairSet(np.stack(inputs), np.stack(targets), np.stack(still), np.array(source), np.array(target), patch)


__all__ = [
    "EYES",
    "MOUTH",
    "PairSet",
    "bend_photo",
    "cut_patch",
    "eyes_of",
    "face_triangles",
    "held_out",
    "make_pairs",
    "make_triples",
    "sources_of",
]
