"""The temporal discriminator: it learns what an even movement is, and its switch does what it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import TALKING, bank

from memorial_tasks.face.motion import MotionCritic, teach
from memorial_tasks.face.pairs import make_pairs, make_triples
from memorial_tasks.face.recipes import recipe
from memorial_tasks.face.saving import read_state
from memorial_tasks.face.tensors import weighted_pairs, with_triples
from memorial_tasks.face.train import CHECKPOINT, Pairs, normalise, train


@pytest.fixture(scope="module")
def people() -> object:
    return bank(TALKING)


@pytest.fixture(scope="module")
def triples(people: object) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return make_triples(people, 0.5, 0, list(range(len(TALKING))), 1)  # type: ignore[arg-type]


def test_a_triple_is_an_even_movement_of_one_photo(triples: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    inputs, real = triples["mouth"]
    assert inputs.shape[1:3] == (3, 9)
    shown = real.astype(float).mean(axis=2)
    steps = [np.abs(shown[:, 1] - shown[:, 0]).mean(), np.abs(shown[:, 2] - shown[:, 1]).mean()]
    assert min(steps) > 0
    assert np.abs(shown[:, 2] - shown[:, 0]).mean() > max(steps)
    uneven = np.abs(shown[:, 0] - 2 * shown[:, 1] + shown[:, 2]).mean()
    assert uneven < sum(steps)


@pytest.mark.parametrize("broken", ["jittered", "shuffled"])
def test_it_learns_to_tell_broken_triples_from_real_ones(
    triples: dict[str, tuple[np.ndarray, np.ndarray]], broken: str
) -> None:
    torch.manual_seed(1)
    inputs, real = triples["mouth"]
    moving = torch.from_numpy(real).float() / 127.5 - 1
    rasters = normalise(torch.from_numpy(inputs[:, 1]))[:, 6:]
    noise = torch.Generator().manual_seed(2)

    def spoilt(whole: torch.Tensor) -> torch.Tensor:
        if broken == "shuffled":
            return whole[:, [1, 0, 2]]
        shifted = whole.clone()
        shifted[:, 1] = torch.roll(whole[:, 1], (1, 1), (2, 3)) + 0.02 * torch.randn(whole[:, 1].shape, generator=noise)
        return shifted

    learn, unseen = slice(0, -3), slice(-3, None)
    critic = MotionCritic(8)
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.999))
    for _ in range(70):
        teach(critic, optimiser, moving[learn], spoilt(moving[learn]), rasters[learn], 5.0)
    critic.eval()
    with torch.no_grad():
        good = critic(moving[unseen], rasters[unseen])[0].mean(dim=1)
        bad = critic(spoilt(moving[unseen]), rasters[unseen])[0].mean(dim=1)
    assert (good > bad).all()


def test_the_switch_trains_a_temporal_discriminator_or_none(
    people: object, triples: dict[str, tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    everyone = list(range(5))
    found = make_pairs(people, 0.5, [0], everyone, everyone)  # type: ignore[arg-type]
    plain: dict[str, Pairs] = {n: weighted_pairs(people, p) for n, p in found.items()}  # type: ignore[arg-type]
    short = replace(recipe("tiny"), steps=12, warm_up=2, channels=(8, 16), batch=2, critic=4)
    weights = {}
    for temporal in (0.0, 0.5):
        plan, folder = replace(short, temporal=temporal), tmp_path / str(temporal)
        done = train(with_triples(plain, triples), plan, 3, folder, lambda: None, lambda f, m: None)
        assert any("m" in row for row in done.curves) is (temporal > 0)
        weights[temporal] = done.generators["mouth"].last.weight.detach().clone()
        assert (folder / CHECKPOINT).is_file()
    assert not torch.equal(weights[0.0], weights[0.5])
    assert read_state(tmp_path / "0.5" / CHECKPOINT, {"recipe": "another"}, torch.device("cpu")) is None
