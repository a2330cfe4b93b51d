"""How like a set of made portraits is to a set of real ones: FID, KID, Inception Score, path length, memorisation.

The feature network is pluggable. With an operator's Inception weights (`face.inception`) the figures carry their usual
names; without, a fixed random convolutional network serves and the figures are named ``fd_random`` and ``kd_random``:
good for comparing two models of one album, never for comparing with anybody's paper. torch only.

Sources: FID, Heusel 2017; KID, Binkowski 2018; IS, Salimans 2016; path length, Karras 2019; the bias of FID and IS on
few pictures, Chong & Forsyth 2020.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Generator = Callable[[Tensor], Tensor]


class FeatureNetwork(Protocol):
    """`name` stands in the figures; calling gives features [N, D] and class logits [N, K] or None."""

    name: str

    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]: ...


class RandomFeatures:
    """Fixed random convolutions, the same on every machine: features [N, 3 * width * 4] at three scales, no logits.

    A random network keeps colours, edges and textures apart (Naeem 2020), knows nothing of faces, and is free."""

    name = "random"

    def __init__(self, width: int = 32) -> None:
        draw = torch.Generator().manual_seed(20_24)
        self.layers: list[Tensor] = []
        inside = 3
        for _ in range(3):
            weight = torch.randn(width, inside, 3, 3, generator=draw) * (2 / (inside * 9)) ** 0.5
            self.layers.append(weight)
            inside = width

    def __call__(self, pictures: Tensor) -> tuple[Tensor, None]:
        found = []
        x = pictures.float().cpu()
        for weight in self.layers:
            x = F.leaky_relu(F.conv2d(x, weight, stride=2, padding=1), 0.2)
            found.append(F.adaptive_avg_pool2d(x, 2).flatten(1))
        return torch.cat(found, 1), None


def features_of(network: FeatureNetwork, pictures: Tensor, batch: int = 32) -> tuple[Tensor, Tensor | None]:
    """Features float64 [N, D] and logits of pictures [N, 3, s, s] in -1..1, a batch at a time."""
    rows, logits = [], []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch):
            row, logit = network(pictures[start : start + batch])
            rows.append(row.double().cpu())
            if logit is not None:
                logits.append(logit.double().cpu())
    return torch.cat(rows), torch.cat(logits) if logits else None


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance of two Gaussians fitted to features [N, D] and [M, D]; 0 for the same set. Needs two rows of each."""
    mean = (a.mean(0) - b.mean(0)).square().sum()
    cov_a, cov_b = _covariance(a), _covariance(b)
    # tr sqrt(Ca Cb) = sum of the square roots of the eigenvalues of sqrt(Ca) Cb sqrt(Ca), which is symmetric
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    return float((mean + cov_a.trace() + cov_b.trace() - 2 * cross).clamp_min(0))


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / max(1, len(x) - 1)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """KID: the unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3. About 0 for the same
    distribution (it may fall below), however few pictures there are."""
    size = a.shape[1]

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / size + 1) ** 3

    def off_diagonal(x: Tensor) -> Tensor:
        k = kernel(x, x)
        return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))

    return float(off_diagonal(a) + off_diagonal(b) - 2 * kernel(a, b).mean())


@dataclass(frozen=True)
class Interval:
    """A figure with the 95 % interval of its bootstrap."""

    value: float
    low: float
    high: float


def kernel_interval(a: Tensor, b: Tensor, seed: int, rounds: int = 100) -> Interval:
    """`kernel_distance` with a bootstrap interval: both sets drawn again without replacement, half at a time, since a
    set drawn with replacement holds twins that the unbiased estimate would take for likeness."""
    draw = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(rounds):
        some_a = torch.randperm(len(a), generator=draw)[: max(2, len(a) // 2)]
        some_b = torch.randperm(len(b), generator=draw)[: max(2, len(b) // 2)]
        found.append(kernel_distance(a[some_a], b[some_b]))
    ordered = torch.tensor(found).sort().values
    middle = kernel_distance(a, b)
    # Half the pictures scatter more than all of them by the square root of two: the interval is brought back to size.
    low, high = (float(torch.quantile(ordered, q)) for q in (0.025, 0.975))
    centre = float(ordered.mean())
    return Interval(middle, middle + (low - centre) / 2**0.5, middle + (high - centre) / 2**0.5)


def inception_score(logits: Tensor) -> float:
    """exp of the mean divergence of p(class | picture) from p(class): 1 when all are alike, K at most."""
    log_p = F.log_softmax(logits.double(), 1)
    p = log_p.exp()
    divergence = (p * (log_p - p.mean(0).clamp_min(1e-16).log())).sum(1)
    return float(divergence.mean().exp())


def path_length(generator: Generator, noise: int, network: FeatureNetwork, seed: int, count: int = 64) -> float:
    """Perceptual path length: mean squared change of features along a small step on the great circle between two draws,
    per squared step. Large: the generator jumps; near 0: it ignores its noise."""
    step = 1e-2
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, count, noise, generator=draw)
    t = torch.rand(count, 1, generator=draw)
    near, far = _between(a, b, t), _between(a, b, (t + step).clamp_max(1.0))
    with torch.inference_mode():
        (one, _), (other, _) = (features_of(network, generator(z)) for z in (near, far))
    return float((one - other).square().sum(1).mean() / step**2)


def _between(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    angle = torch.arccos((F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1, keepdim=True).clamp(-1, 1))
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle).clamp_min(1e-6)


def compare_sets(made: Tensor, real: Tensor, network: FeatureNetwork, seed: int) -> dict[str, float]:
    """All figures of made against real pictures [N, 3, s, s] in -1..1, under the names the network allows."""
    (a, logits), (b, _) = features_of(network, made), features_of(network, real)
    spread = kernel_interval(a, b, seed)
    usual = network.name == "inception"
    fid, kid = ("fid", "kid") if usual else (f"fd_{network.name}", f"kd_{network.name}")
    figures = {
        fid: frechet_distance(a, b),
        kid: spread.value,
        f"{kid}_low": spread.low,
        f"{kid}_high": spread.high,
    }
    if logits is not None:
        figures["inception_score"] = inception_score(logits)
    return figures


def module_features(module: nn.Module, name: str) -> FeatureNetwork:
    """A module that returns (features, logits or None) as a feature network called `name`."""

    class Wrapped:
        def __init__(self) -> None:
            self.name = name

        def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
            found: tuple[Tensor, Tensor | None] = module(pictures)
            return found

    return Wrapped()
