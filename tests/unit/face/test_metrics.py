"""The distances between sets of portraits say what their papers say, on sets whose answer is known."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from memorial_tasks.errors import ModelRefused
from memorial_tasks.face.inception import Inception, load_inception
from memorial_tasks.face.metrics import (
    RandomFeatures,
    compare_sets,
    features_of,
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_interval,
    module_features,
    path_length,
)


def normal(count: int, size: int, mean: float, spread: float, seed: int) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)).double() * spread + mean


def test_the_frechet_distance_of_known_gaussians_is_the_textbook_value() -> None:
    a, b = normal(20_000, 4, 0.0, 1.0, 1), normal(20_000, 4, 1.0, 2.0, 2)
    assert frechet_distance(a, b) == pytest.approx(4 * (1.0**2 + (2 - 1) ** 2), rel=0.05)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_is_unbiased_on_few_pictures_and_sees_a_shift() -> None:
    same = [kernel_distance(normal(12, 8, 0, 1, s), normal(12, 8, 0, 1, s + 500)) for s in range(150)]
    assert abs(sum(same) / len(same)) < 0.05
    shifted = kernel_interval(normal(60, 8, 0, 1, 1), normal(60, 8, 1, 1, 2), seed=3)
    assert 0 < shifted.low < shifted.value < shifted.high
    alike = kernel_interval(normal(60, 8, 0, 1, 1), normal(60, 8, 0, 1, 2), seed=3)
    assert alike.low < 0.1 < shifted.low


def test_the_inception_score_counts_evenly_used_classes() -> None:
    assert inception_score(torch.zeros(10, 5)) == pytest.approx(1.0)
    assert inception_score(torch.eye(5).repeat(4, 1) * 100) == pytest.approx(5.0)
    assert inception_score(torch.eye(5)[:1].repeat(8, 1) * 100) == pytest.approx(1.0)


def test_the_path_length_of_a_generator_that_ignores_its_noise_is_nought() -> None:
    network = RandomFeatures(8)
    still = path_length(lambda z: torch.zeros(len(z), 3, 16, 16), 4, network, 1, 8)
    moving = path_length(lambda z: z[:, :3, None, None].expand(-1, 3, 16, 16), 4, network, 1, 8)
    jumping = path_length(lambda z: 4 * z[:, :3, None, None].expand(-1, 3, 16, 16), 4, network, 1, 8)
    assert still == 0
    assert 0 < moving < jumping


def test_random_features_are_the_same_everywhere_and_carry_their_own_name() -> None:
    pictures = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    one, logits = features_of(RandomFeatures(), pictures, batch=4)
    assert logits is None
    assert torch.allclose(one, features_of(RandomFeatures(), pictures)[0])
    figures = compare_sets(pictures, pictures.flip(0), RandomFeatures(), seed=1)
    assert set(figures) == {"fd_random", "kd_random", "kd_random_low", "kd_random_high"}
    assert figures["fd_random"] == pytest.approx(0, abs=1e-3)


def test_inception_has_the_published_size_and_gives_the_usual_names() -> None:
    network = Inception(1000).eval()
    assert sum(p.numel() for p in network.parameters()) == 23_834_568  # without the auxiliary head
    figures = compare_sets(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), module_features(network, "inception"), 1)
    assert {"fid", "kid", "inception_score"} <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())


def test_foreign_feature_networks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04not safetensors")
    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    save_file({"fc.bias": torch.zeros(10), "fc.weight": torch.zeros(10, 3)}, str(tmp_path / "wrong.safetensors"))
    for name in ("pickle", "other", "wrong"):
        with pytest.raises(ModelRefused):
            load_inception(tmp_path / f"{name}.safetensors")
