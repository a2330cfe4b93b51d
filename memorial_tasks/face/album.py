"""The portrait GAN in the product: an album of portraits that never were, for the model card.

It shows the operator what a generator learned of the person, and it is where the seeds' GAN is judged: distances to the
album, path length, and whether it only memorised. The film is never made from it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memorial_tasks.face.bank import CROP, PhotoBank
from memorial_tasks.face.metrics import FeatureNetwork, RandomFeatures, compare_sets, path_length
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.portrait_gan import (
    GanConfig,
    interpolate,
    nearest_training_distance,
    sample,
    train_portrait_gan,
)
from memorial_tasks.face.render import write_sheet

FEWEST = 5
SHOWN, JUDGED, STRIP = 16, 64, 8


def portraits(bank: PhotoBank, side: int) -> Tensor:
    """The bank's faces from brow to chin, float32 [N, 3, side, side] in -1..1."""
    margin = CROP // 5
    faces = [
        cv2.resize(
            crop[margin : CROP - margin // 2, margin : CROP - margin], (side, side), interpolation=cv2.INTER_AREA
        )
        for crop in bank.crops
    ]
    return torch.from_numpy(np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1)


def learn_album(
    bank: PhotoBank,
    config: GanConfig,
    seed: int,
    out: Path,
    checkpoints: Path,
    save_checkpoint: Callable[[], None],
    progress: Callable[[float, str], None],
    features: FeatureNetwork | None = None,
) -> dict[str, Any]:
    """Train the portrait GAN on the bank; write `album.png` and `between.png` into `out`. Returns its part of the card.

    `features` judges the pictures (default: fixed random convolutions, see `face.metrics`)."""
    real = portraits(bank, config.side)
    device = torch.device("cuda" if torch.cuda.is_available() and config.side >= 64 else "cpu")
    trained = train_portrait_gan(
        real, config, seed, None, progress, device, checkpoints=checkpoints, save_checkpoint=save_checkpoint
    )
    generator = trained.generator.cpu()
    made = sample(generator, JUDGED, seed)
    network = features or RandomFeatures()
    write_sheet(_pictures(made[:SHOWN]), out / "album.png", 8, 96)
    write_sheet(_pictures(interpolate(generator, STRIP, seed)), out / "between.png", STRIP, 96)
    untrained = type(generator)(config).eval()
    figures = compare_sets(made, real, network, seed)
    figures |= {
        "untrained_" + name: value
        for name, value in compare_sets(sample(untrained, JUDGED, seed), real, network, seed).items()
        if not name.endswith(("_low", "_high"))
    }
    figures["path_length"] = path_length(generator, config.noise, network, seed)
    nearest = nearest_training_distance(made, real)
    neighbours = [
        nearest_training_distance(real[i : i + 1], torch.cat([real[:i], real[i + 1 :]])) for i in range(len(real))
    ]
    return {
        "side": config.side,
        "steps": len(trained.curves),
        "pictures": len(real),
        "feature_network": network.name,
        "figures": {name: round(value, 5) for name, value in figures.items()},
        "nearest_training_rms": round(float(nearest.median()), 4),
        "photos_nearest_each_other_rms": round(float(torch.cat(neighbours).median()), 4),
        "curves": [{k: round(v, 4) for k, v in row.items()} for row in trained.curves[:: max(1, config.steps // 100)]],
        "note": "few pictures make every such figure uncertain; compare them only within this album",
    }


def _pictures(tensor: Tensor) -> list[NDArray[np.uint8]]:
    shown = ((tensor.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy().transpose(0, 2, 3, 1)
    return [np.ascontiguousarray(picture) for picture in shown]
