"""The portrait GAN's album: pictures, honest figures, and a training that survives a kill."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn import TALKING, bank

from memorial_tasks.face import portrait_gan
from memorial_tasks.face.album import learn_album, portraits
from memorial_tasks.face.portrait_gan import GanConfig, train_portrait_gan
from memorial_tasks.face.recipes import names, portrait_config, recipe

SMALL = GanConfig(side=16, width=8, noise=16, batch=4, steps=8)


def test_the_album_shows_portraits_and_says_how_far_they_are(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    card = learn_album(
        bank(TALKING), SMALL, 1, tmp_path, tmp_path / "state", lambda: None, lambda fraction, message: None
    )
    assert (tmp_path / "album.png").stat().st_size > 1000
    assert (tmp_path / "between.png").stat().st_size > 500
    assert card["feature_network"] == "random"
    assert card["pictures"] == len(TALKING)
    assert card["photos_nearest_each_other_rms"] > 0
    assert {"fd_random", "kd_random", "untrained_kd_random", "path_length"} <= set(card["figures"])


def test_portraits_are_the_faces_of_the_bank() -> None:
    pictures = portraits(bank(TALKING[:2]), 32)
    assert pictures.shape == (2, 3, 32, 32)
    assert -1 <= float(pictures.min()) < float(pictures.max()) <= 1


def test_a_killed_portrait_training_goes_on_to_the_very_same_weights(tmp_path: Path) -> None:
    pictures = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    whole = train_portrait_gan(pictures, SMALL, 2)
    saves = 0

    def killed() -> None:
        nonlocal saves
        saves += 1
        if saves == 5:
            raise KeyboardInterrupt

    often = replace(SMALL, checkpoint_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        train_portrait_gan(pictures, often, 2, checkpoints=tmp_path, save_checkpoint=killed)
    assert (tmp_path / portrait_gan.CHECKPOINT).is_file()
    seen: list[float] = []
    resumed = train_portrait_gan(pictures, often, 2, None, lambda f, m: seen.append(f), checkpoints=tmp_path)
    assert len(seen) == SMALL.steps - 5
    assert len(resumed.curves) == len(whole.curves)
    for key, value in whole.generator.state_dict().items():
        assert torch.equal(value, resumed.generator.state_dict()[key]), key


def test_every_config_can_be_read_and_names_its_networks() -> None:
    assert names() == ["cpu", "production", "tiny"]
    assert portrait_config("tiny") is portrait_config("cpu") is None
    assert portrait_config("production") is not None
    for name in names():
        assert recipe(name).name == name
        assert all(size % 2 ** (len(recipe(name).channels) - 1) == 0 for size in (48 * recipe(name).scale * 2,))
