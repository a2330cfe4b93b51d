"""What a training makes of a face: the same poses, and the same photos it never learned from, at 0, 10, 50 and 100 % of
its steps, one row each. A family's operator sees there whether more steps would help, and where the network harms."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import evaluate
from memorial_tasks.face.bank import PhotoBank
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.pairs import PairSet
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.refine import Refiner
from memorial_tasks.face.render import FaceRenderer, write_sheet
from memorial_tasks.face.train import on_cpu

Image = NDArray[np.uint8]
SHARES = (0.0, 0.1, 0.5, 1.0)
TILE = 256  # pixels
EXAMINED = 2  # held-out photos shown: the real mouth and eyes to the left, the made ones to the right
POSES: tuple[dict[str, float], ...] = (
    {"lip_press": 1.0},
    {"jaw_open": 0.3},
    {"jaw_open": 0.9},
    {"smile": 0.8, "cheek": 0.6, "jaw_open": 0.12},
    {"blink_left": 1.0, "blink_right": 1.0},
    {"head_yaw": 8.0, "jaw_open": 0.3},
)


class Growth:
    """Draws a row for each of `SHARES` as training goes on. The rows lie beside the checkpoint, so that a training that
    was killed and goes on still has them all."""

    def __init__(self, bank: PhotoBank, scale: float, exam: Mapping[str, PairSet], folder: Path) -> None:
        """`exam`: pairs of photos that are never learned from, by patch; `folder`: of the checkpoints."""
        self.bank, self.scale, self.exam, self.folder = bank, scale, exam, folder
        self.renderer = FaceRenderer(bank)

    def __call__(self, share: float, generators: Mapping[str, RefinerNet]) -> None:
        """Draw the row of one of `SHARES` with the generators as they are then."""
        networks = {name: on_cpu(network) for name, network in generators.items()}
        refiner = Refiner(networks, self.scale, self.bank) if networks else None
        self.renderer.scene = replace(self.renderer.scene, refiner=refiner)
        tiles = [_tile(self.renderer.close_up(values)) for values in POSES]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_sheet([*tiles, *self._examined(networks)], self._row(share), len(POSES) + EXAMINED, TILE)

    def write(self, path: Path) -> bool:
        """Join the rows there are into one picture; False when there is none."""
        rows = [cv2.imread(str(self._row(share))) for share in SHARES if self._row(share).is_file()]
        path.parent.mkdir(parents=True, exist_ok=True)
        return bool(rows) and bool(cv2.imwrite(str(path), np.vstack(rows)))

    def _row(self, share: float) -> Path:
        return self.folder / f"growth-{round(100 * share):03d}.png"

    def _examined(self, networks: Mapping[str, RefinerNet]) -> list[Image]:
        names = sorted(set(networks) & set(self.exam))
        count = min((len(self.exam[name].targets) for name in names), default=0)
        tiles = []
        for index in np.unique(np.linspace(0, count - 1, EXAMINED).round().astype(int)) if count else ():
            sides = []
            for made in (False, True):
                parts = []
                for name in names:
                    one = self.exam[name].at(np.array([index]))
                    picture = evaluate.refined(networks[name], one)[0] if made else one.targets[0]
                    height, width = picture.shape[1:]
                    shown = cv2.resize(picture.transpose(1, 2, 0), (TILE // 2, height * (TILE // 2) // width))
                    parts.append(shown)
                sides.append(np.vstack(parts))
            tiles.append(np.asarray(np.hstack(sides), np.uint8))
        return tiles


def _tile(picture: Image) -> Image:
    side = max(picture.shape[:2])
    inter = cv2.INTER_AREA if side > TILE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=TILE / side, fy=TILE / side, interpolation=inter), np.uint8)
