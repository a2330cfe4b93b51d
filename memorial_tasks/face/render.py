"""The talking portrait: performance curves in, full portrait frames out.

Each frame bends the person's own photo by the rig (skin, hair and clothes are never redrawn), lays the mouth's inside
and the eyeballs behind lips and lids, and lets the trained refiner correct mouth and eyes where it has learned to. The
background stays still behind the person's matte.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.face import topology as topo
from memorial_tasks.face.bank import PhotoBank, load_bank
from memorial_tasks.face.eyes import paint_eyes
from memorial_tasks.face.matte import clean_plate
from memorial_tasks.face.mouth import MouthExemplar, drawn_exemplar, lip_line_colour, paint_mouth
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.refine import Refiner
from memorial_tasks.face.rig import CHANNELS, FaceState, Rig
from memorial_tasks.face.surface import Surface, build_surface, clear_rims
from memorial_tasks.face.warp import Map, Region, blend, label_map, remap, source_map, triangle_maps

Image = NDArray[np.uint8]
COARSE, FINE = 4, 2  # map steps: whole portrait, face
DENSE = 2  # the photo is enlarged once, well; then every frame may be sampled by the cheapest rule and stays as sharp
MIDDLE = np.float32((DENSE - 1) / 2)  # a pixel's middle lies here in the enlarged photo


@dataclass(frozen=True)
class _Scene:
    """What stays the same for every frame."""

    portrait: Image
    dense: Image
    mesh: NDArray[np.float32]
    matte: NDArray[np.float32]
    plate: Image | None
    surface: Surface
    rig: Rig
    exemplars: tuple[MouthExemplar, ...]
    lip_line: Image
    refiner: Refiner | None


class FaceRenderer:
    """Renders one person's portrait. Build with `load`."""

    def __init__(self, bank: PhotoBank, refiner: Refiner | None = None, alone: bool = False) -> None:
        """`bank` from `load_bank`; without a `refiner` the warp alone is shown. `alone`: the photo shows nothing but
        the person, drawn outwards (`video.cutout.extend_person`), so there is no background to keep still."""
        portrait, mesh = bank.base, clear_rims(bank.base_points, bank.base)
        height, width = portrait.shape[:2]
        surface = build_surface(mesh, width, height)
        exemplars = tuple(bank.mouths())
        if not bank.shows_teeth:
            exemplars += (drawn_exemplar(portrait, mesh),)
        limit = 1.0 if bank.shows_teeth else 0.6
        plate = None if alone else clean_plate(portrait, bank.matte)
        rig = Rig(surface, mesh, limit, portrait)
        dense = cv2.resize(portrait, (DENSE * width, DENSE * height), interpolation=cv2.INTER_LANCZOS4)
        lip_line = lip_line_colour(portrait, mesh)
        self.scene = _Scene(portrait, dense, mesh, bank.matte, plate, surface, rig, exemplars, lip_line, refiner)

    @staticmethod
    def load(bank_dir: Path, model: Path | None = None, alone: bool = False) -> "FaceRenderer":
        """Read `bank.safetensors`, `bank.json` and `base.png` from a folder, and the refiner from the file `model`;
        when no file is given, from `model.safetensors` beside the bank if there is one.

        Raises `InputRefused` when the bank is incomplete and `ModelRefused` when the weights are of another
        architecture."""
        bank = load_bank(bank_dir)
        weights = bank_dir / "model.safetensors" if model is None or model.is_dir() else model
        if not weights.is_file() and (model is None or model.is_dir()):
            return FaceRenderer(bank, None, alone)
        return FaceRenderer(bank, Refiner.load(weights, bank), alone)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames in pixels, both even."""
        height, width = self.scene.portrait.shape[:2]
        return width, height

    def matte(self) -> Image:
        """The person against the background, uint8 [H, W], 255 = person, soft edges, wide enough for the head's
        motion."""
        wide = cv2.dilate(self.scene.matte, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
        return np.asarray((cv2.GaussianBlur(wide, (0, 0), 0.8) * 255).round(), np.uint8)

    def frames(
        self,
        curves: Mapping[str, NDArray[np.floating]],
        fps: float,
        progress: Callable[[float, str], None] | None = None,
    ) -> Iterator[Image]:
        """RGB frames uint8 [H, W, 3], one for each sample of the curves, which are already at `fps` (channels of
        `face.rig.CHANNELS`; missing ones rest). `InputRefused` for curves of unequal length or unknown range."""
        count = _checked(curves)
        for index in range(count):
            yield self.frame({name: float(curves[name][index]) for name in curves if name in CHANNELS})
            if progress is not None and (index % max(1, int(fps)) == 0 or index == count - 1):
                progress((index + 1) / count, f"frame {index + 1} of {count}")

    def frame(self, values: Mapping[str, float]) -> Image:
        """One frame for channel values at one moment (see `frames`)."""
        scene = self.scene
        state = scene.rig.pose(values)
        height, width = scene.portrait.shape[:2]
        maps = triangle_maps(state.still, scene.surface.points, scene.surface.triangles)
        whole = Region(0, 0, width, height)
        map_x, map_y = source_map(
            label_map(state.still, scene.surface.triangles, whole, COARSE, scene.surface.hole), maps, whole, COARSE
        )
        face = Region.around(state.still[: topo.SURFACE, :2], 4, width, height)
        self._insert(map_x, map_y, state, maps, face, FINE)
        for region in self._openings(state):
            self._insert(map_x, map_y, state, maps, region, 1)
        for lids, amounts in zip(scene.rig.lids, state.lids, strict=True):
            lids.bend(map_x, map_y, scene.mesh, state.still, amounts)
        bent = remap(scene.dense, map_x * DENSE + MIDDLE, map_y * DENSE + MIDDLE, fine=False)
        for lids, amounts in zip(scene.rig.lids, state.lids, strict=True):
            lids.even(bent, scene.mesh, state.still, amounts)
        paint_mouth(bent, state.points, scene.rig.ipd, scene.exemplars, scene.lip_line)
        paint_eyes(bent, scene.portrait, scene.mesh, state.points, state.still, state.gaze, state.blink)
        if scene.refiner is not None:
            scene.refiner.apply(bent, state)
        if scene.plate is None:
            return bent
        cover = cv2.remap(scene.matte, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return blend(scene.plate, bent, np.ascontiguousarray(cover))

    def close_up(self, values: Mapping[str, float]) -> Image:
        """The head alone of one frame, for contact sheets."""
        mesh, ipd = self.scene.mesh, self.scene.rig.ipd
        height, width = self.scene.portrait.shape[:2]
        centre = mesh[list(topo.OVAL), :2].mean(axis=0)
        rows, columns = Region.around(centre[None], 1.75 * ipd, width, height).slices
        return self.frame(values)[rows, columns]

    def _insert(
        self, map_x: Map, map_y: Map, state: FaceState, maps: NDArray[np.float64], region: Region, step: int
    ) -> None:
        labels = label_map(state.still, self.scene.surface.triangles, region, step, self.scene.surface.hole)
        rows, columns = region.slices
        map_x[rows, columns], map_y[rows, columns] = source_map(labels, maps, region, step)

    def _openings(self, state: FaceState) -> list[Region]:
        height, width = self.scene.portrait.shape[:2]
        return [
            Region.around(state.still[list(ring), :2], 5, width, height)
            for ring in (topo.OUTER_MOUTH, topo.RIGHT_EYE, topo.LEFT_EYE)
        ]


def _checked(curves: Mapping[str, NDArray[np.floating]]) -> int:
    lengths = {len(curve) for name, curve in curves.items() if name in CHANNELS}
    if len(lengths) != 1:
        raise InputRefused(
            [
                Problem(
                    "face.curves",
                    "the performance curves are empty or of unequal length",
                    "sample all channels at one frame rate",
                )
            ]
        )
    if any(not np.isfinite(curve).all() for curve in curves.values()):
        raise InputRefused(
            [Problem("face.curves_nan", "a performance curve is not finite", "render the performance score again")]
        )
    return lengths.pop()


def write_sheet(frames: list[Image], path: Path, columns: int = 4, side: int = 320) -> None:
    """A contact sheet PNG of equal tiles."""
    tiles = []
    for frame in frames:
        scale = side / max(frame.shape[:2])
        tile = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        padded = np.full((side, side, 3), 24, np.uint8)
        top, left = (side - tile.shape[0]) // 2, (side - tile.shape[1]) // 2
        padded[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        tiles.append(padded)
    while len(tiles) % columns:
        tiles.append(np.full((side, side, 3), 24, np.uint8))
    sheet = np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
