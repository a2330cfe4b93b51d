"""How near the made face is to the real one on photos that were never trained on.

PSNR over mouth and eyes (where the refiner may change anything), and sharpness: Laplacian energy over the real photo's.
A blurred average scores well on the first and badly on the second, so both are always shown together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.face.networks import RefinerNet, composite
from memorial_tasks.face.pairs import PairSet
from memorial_tasks.face.patches import MOUTH, keep_light
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.train import normalise

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Score:
    """Mouth+eye PSNR in dB and sharpness as a ratio to the real photos."""

    psnr: float
    sharpness: float


def refined(network: RefinerNet, pairs: PairSet) -> Image:
    """The refiner's pictures for all pairs as the film would show them, uint8 [P, 3, H, W]."""
    pictures = []
    with torch.inference_mode():
        for start in range(0, len(pairs.inputs), 16):
            inputs = normalise(torch.from_numpy(pairs.inputs[start : start + 16]))
            pictures.append(
                ((composite(inputs, *network(inputs)) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
            )
    if pairs.patch == MOUTH.name:
        pictures = [_lit(made, inputs) for made, inputs in zip(np.concatenate(pictures), pairs.inputs, strict=True)]
        return np.stack(pictures)
    return np.concatenate(pictures)


def _lit(made: Image, inputs: Image) -> Image:
    """A made mouth uint8 [3, H, W] in the light of its photo (see `keep_light`)."""
    bent = inputs[:3].astype(np.float32)
    change = keep_light((made - bent).transpose(1, 2, 0), inputs[6:]).transpose(2, 0, 1)
    return np.asarray((bent + change).round().clip(0, 255), np.uint8)


def score(made: Mapping[str, Image], pairs: Mapping[str, PairSet]) -> Score:
    """Score of pictures uint8 [P, 3, H, W] by patch against the pairs' targets, over the masks of all patches together.

    The error is averaged per photo first, in dB after: no photo outweighs another."""
    errors: dict[int, list[tuple[float, float]]] = {}
    sharp_made, sharp_real = [], []
    for name, part in pairs.items():
        for index, target in enumerate(part.target):
            mask = part.inputs[index, 6].astype(np.float64) / 255
            difference = (made[name][index].astype(np.float64) - part.targets[index]) ** 2
            errors.setdefault(int(target) * 100_000 + int(part.source[index]), []).append(
                (float((difference.mean(axis=0) * mask).sum()), float(mask.sum()))
            )
            sharp_made.append(_energy(made[name][index], mask))
            sharp_real.append(_energy(part.targets[index], mask))
    values = [
        10 * np.log10(255.0**2 / max(sum(e for e, _ in found) / max(sum(w for _, w in found), 1e-9), 1e-6))
        for found in errors.values()
    ]
    return Score(float(np.mean(values)), float(np.sum(sharp_made) / max(np.sum(sharp_real), 1e-9)))


def patch_psnr(network: RefinerNet, pairs: PairSet) -> float:
    """PSNR of one patch on its own, in dB."""
    return score({"x": refined(network, pairs)}, {"x": pairs}).psnr


def _energy(picture: Image, mask: NDArray[np.float64]) -> float:
    """Root of the mean squared Laplacian of the brightness inside the mask."""
    grey = picture.astype(np.float32).mean(axis=0)
    return float(
        np.sqrt((cv2.Laplacian(grey, cv2.CV_32F).astype(np.float64) ** 2 * mask).sum() / max(mask.sum(), 1e-9))
    )


def compare(networks: Mapping[str, RefinerNet], pairs: Mapping[str, PairSet]) -> dict[str, Score]:
    """Still photo, warp only and ours on the same pairs."""
    rows = {
        "still": score({n: p.still for n, p in pairs.items()}, pairs),
        "warp": score({n: p.inputs[:, :3] for n, p in pairs.items()}, pairs),
    }
    if networks:
        rows["ours"] = score(
            {n: refined(networks[n], p) if n in networks else p.inputs[:, :3] for n, p in pairs.items()}, pairs
        )
    return rows
