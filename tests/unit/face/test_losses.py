"""The seeds' losses in closed form, and the portrait GAN that uses them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from memorial_tasks.errors import StepFailed
from memorial_tasks.face.losses import critic_loss, generator_loss, r1_penalty
from memorial_tasks.face.portrait_gan import (
    GanConfig,
    PortraitCritic,
    PortraitGenerator,
    interpolate,
    nearest_training_distance,
    sample,
    train_portrait_gan,
)
from memorial_tasks.face.recipes import recipe

TOY = GanConfig(side=16, width=8, noise=16, batch=8, steps=60, dropout=0.0)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_losses_are_the_seeds_formulas(probability: float) -> None:
    logit = torch.tensor([math.log(probability / (1 - probability))])
    other = torch.tensor([math.log(0.7 / 0.3)])
    assert generator_loss(logit).item() == pytest.approx(-math.log(probability), rel=1e-5)
    assert generator_loss(logit, saturating=True).item() == pytest.approx(math.log(1 - probability), rel=1e-5)
    assert critic_loss(other, logit).item() == pytest.approx(-math.log(0.7) - math.log(1 - probability), rel=1e-5)


def test_a_critic_at_chance_costs_two_log_two() -> None:
    assert critic_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(2 * math.log(2))


def test_the_non_saturating_loss_still_pushes_when_the_critic_is_sure() -> None:
    for saturating, least in ((False, 0.9), (True, 0.0)):
        logit = torch.tensor([-8.0], requires_grad=True)
        generator_loss(logit, saturating).backward()
        assert abs(logit.grad.item()) >= least  # type: ignore[union-attr]
        if saturating:
            assert abs(logit.grad.item()) < 0.01  # type: ignore[union-attr]


def test_r1_is_the_squared_gradient_of_the_mean_logit() -> None:
    pictures = torch.rand(3, 2, 4, 4, requires_grad=True)
    logits = 5.0 * pictures.mean(dim=1)  # 16 patch logits a picture
    expected = 32 * (5.0 / 32) ** 2
    assert r1_penalty(logits, pictures).item() == pytest.approx(expected, rel=1e-5)


def test_both_orders_of_learning_rates_are_kept() -> None:
    assert recipe("cpu").rates == (1e-4, 4e-4)
    assert replace(recipe("cpu"), ttur="sagan").rates == (4e-4, 1e-4)
    assert GanConfig(ttur="seed").rates == (1e-4, 4e-4)


def test_he_initialisation_is_a_switch() -> None:
    torch.manual_seed(0)
    on = PortraitCritic(TOY).body[0].weight.std().item()  # type: ignore[union-attr]
    assert on == pytest.approx(math.sqrt(2 / (1 + 0.04)) / math.sqrt(3 * 16), rel=0.15)
    torch.manual_seed(0)
    off = PortraitCritic(replace(TOY, he_init=False)).body[0].weight.std().item()  # type: ignore[union-attr]
    assert off < 0.8 * on


def circles(count: int) -> torch.Tensor:
    grid = torch.linspace(-1, 1, 16)
    radius = torch.linspace(0.4, 0.8, count)[:, None, None]
    disc = ((grid[None, :, None] ** 2 + grid[None, None, :] ** 2).sqrt() < radius).float() * 1.6 - 0.8
    return disc[:, None].expand(-1, 3, -1, -1).clone()


def test_the_portrait_gan_learns_a_toy_face() -> None:
    torch.set_num_threads(1)
    pictures = circles(16)
    config = replace(TOY, width=16, steps=500, norm="batch", ttur="seed", diff_augment=False, schedule=False, ema=0.9)
    result = train_portrait_gan(pictures, config, 1)
    made = sample(result.generator, 32, 3)
    start = sample(PortraitGenerator(config).eval(), 32, 3)
    middle, rim = np.s_[:, :, 6:10, 6:10], np.s_[:, :, 0, :]

    def contrast(of: torch.Tensor) -> float:
        return (of[middle].mean() - of[rim].mean()).item()  # the disc is light on dark

    assert abs(contrast(start)) < 0.3
    assert contrast(made) > 0.5
    assert len(result.curves) == 500


@pytest.mark.parametrize(
    "switch",
    [{"saturating": True}, {"ttur": "sagan"}, {"clip": 0.0}, {"schedule": False}, {"norm": "instance"},
     {"norm": "none"},
     {"r1_gamma": 0.0}, {"diff_augment": False}, {"ema": 0.0}, {"he_init": False}, {"dropout": 0.3}],
)  # fmt: skip
def test_every_stabiliser_can_be_switched(switch: dict[str, object]) -> None:
    result = train_portrait_gan(circles(8), replace(TOY, steps=3, **switch), 2)  # type: ignore[arg-type]
    assert all(math.isfinite(v) for row in result.curves for v in row.values())


def test_the_same_seed_trains_the_same_generator_and_moods_change_the_picture() -> None:
    config = replace(TOY, steps=4, moods=3)
    labels = torch.arange(8) % 3
    first = train_portrait_gan(circles(8), config, 5, labels)
    second = train_portrait_gan(circles(8), config, 5, labels)
    assert torch.equal(sample(first.generator, 2, 1, 0), sample(second.generator, 2, 1, 0))
    assert not torch.equal(sample(first.generator, 2, 1, 0), sample(first.generator, 2, 1, 1))


def test_garbage_is_reported_and_not_delivered() -> None:
    with pytest.raises(StepFailed):
        train_portrait_gan(circles(8) * float("nan"), TOY, 1)


def test_samples_interpolate_and_copies_are_noticed() -> None:
    result = train_portrait_gan(circles(8), replace(TOY, steps=2), 1)
    assert interpolate(result.generator, 5, 1).shape == (5, 3, 16, 16)
    assert nearest_training_distance(circles(8)[:2], circles(8)).max() < 1e-3
