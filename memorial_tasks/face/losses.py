"""Adversarial and picture losses, torch only. Logits in, scalars out.

L_G = -log D(G(z)), L_D = -log D(x) - log(1 - D(G(z))), with D = sigmoid(logit), written with softplus for stability;
the saturating form L_G = log(1 - D(G(z))) is a switch (Goodfellow 2014). R1 after Mescheder 2018.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(fake: Tensor, saturating: bool = False) -> Tensor:
    """-log D(G(z)), or log(1 - D(G(z))) when `saturating`; mean over logits of any shape."""
    return -F.softplus(fake).mean() if saturating else F.softplus(-fake).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))); mean over logits of any shape."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1_penalty(logits: Tensor, pictures: Tensor) -> Tensor:
    """Squared gradient of the mean logit of each picture (not of the sum: that would scale with the patch count)."""
    per_picture = logits.reshape(len(pictures), -1).mean(dim=1)
    (gradient,) = torch.autograd.grad(per_picture.sum(), pictures, create_graph=True)
    return gradient.square().reshape(len(pictures), -1).sum(dim=1).mean()


def pyramid_l1(a: Tensor, b: Tensor, weight: Tensor, levels: int = 3) -> Tensor:
    """L1 between Laplacian pyramids, weighted by `weight` [B, 1, H, W] (Burt & Adelson 1983)."""
    total = a.new_zeros(())
    for level in range(levels):
        small_a, small_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        fine_a = a - F.interpolate(small_a, size=a.shape[-2:], mode="bilinear", align_corners=False)
        fine_b = b - F.interpolate(small_b, size=b.shape[-2:], mode="bilinear", align_corners=False)
        total = total + ((fine_a - fine_b).abs() * weight).sum() / (weight.sum() * 3 + 1e-6) * 2.0**-level * 2
        a, b, weight = small_a, small_b, F.avg_pool2d(weight, 2)
    return total


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels."""
    return (x[..., 1:, :] - x[..., :-1, :]).abs().mean() + (x[..., :, 1:] - x[..., :, :-1]).abs().mean()


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean L1 between the discriminator's features of real and made pictures (Salimans 2016, pix2pixHD 2018)."""
    return torch.stack([(r.detach() - f).abs().mean() for r, f in zip(real, fake, strict=True)]).mean()


def augment(pictures: Tensor, rasters: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """DiffAugment (Zhao 2020): brightness, contrast, shift and cut-out, the same for picture and raster of an item."""
    count, _, height, width = pictures.shape

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low).to(pictures)

    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    pictures = (pictures - mean) * uniform(0.8, 1.2) + mean + uniform(-0.1, 0.1)
    both = torch.cat([pictures, rasters], 1)
    dy = int(torch.randint(-height // 12, height // 12 + 1, (1,), generator=generator))
    dx = int(torch.randint(-width // 12, width // 12 + 1, (1,), generator=generator))
    both = F.pad(both, (abs(dx), abs(dx), abs(dy), abs(dy)), mode="replicate")
    both = both[:, :, abs(dy) + dy : abs(dy) + dy + height, abs(dx) + dx : abs(dx) + dx + width]
    hole = torch.ones(count, 1, height, width)
    for item in range(count):
        top = int(torch.randint(0, height, (1,), generator=generator))
        left = int(torch.randint(0, width, (1,), generator=generator))
        hole[item, :, top : top + height // 5, left : left + width // 5] = 0
    both = both * hole.to(both)
    return both[:, :3], both[:, 3:]
