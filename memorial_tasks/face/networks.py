"""The refiner's networks: a small U-Net generator and a patch discriminator (pix2pix, Isola 2017), torch only.

Generator input, 9 channels in -1..1 or 0..1: warped photo (3), the same place from the likest other photos (3), and
three rasters (where it may change, opening, lips or brows). Output: the likest photos' picture corrected, and its own
alpha.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INPUTS, RASTERS = 9, 3


def he_(module: nn.Module) -> None:
    """He initialisation (2015) for leaky rectifiers, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, a=0.2, nonlinearity="leaky_relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        kernel = 4 if stride == 2 else 3
        self.conv = nn.Conv2d(inside, outside, kernel, stride, 1, bias=False)
        self.norm = nn.InstanceNorm2d(outside, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class RefinerNet(nn.Module):
    """U-Net. `forward(inputs [B, 9, H, W]) -> (picture [B, 3, H, W] in -1..1, alpha [B, 1, H, W] in 0..1)`.

    H and W are multiples of 2 ** (len(channels) - 1)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.first = nn.Conv2d(INPUTS, channels[0], 3, 1, 1)
        self.down = nn.ModuleList(_Block(a, b, 2) for a, b in pairwise(channels))
        self.deep = _Block(channels[-1], channels[-1])
        pairs = list(pairwise(channels))[::-1]
        self.up = nn.ModuleList(_Block(b + a, a) for a, b in pairs)
        self.last = nn.Conv2d(channels[0], 4, 3, 1, 1)
        he_(self)
        nn.init.normal_(self.last.weight, 0.0, 0.01)  # starts as a mean of the warp and the likest photos

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        likest = inputs[:, 3:6]
        x = F.leaky_relu(self.first(inputs), 0.2)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        x = self.deep(x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([F.interpolate(x, size=skip.shape[-2:], mode="nearest"), skip], 1))
        out = self.last(x)
        return (likest + torch.tanh(out[:, :3])).clamp(-1, 1), torch.sigmoid(out[:, 3:] + 1.0)


class PatchCritic(nn.Module):
    """Patch discriminators conditioned on the rasters, one at each scale: full, half ... (pix2pixHD, Wang 2018).

    `forward(picture, rasters) -> (logits [B, L], features)`: the logits of all patches of all scales side by side."""

    def __init__(self, base: int, scales: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.critics = nn.ModuleList(_ScaleCritic(base, dropout) for _ in range(scales))

    def forward(self, picture: Tensor, rasters: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = torch.cat([picture, rasters], 1)
        logits, features = [], []
        for number, critic in enumerate(self.critics):
            if number:
                x = F.avg_pool2d(x, 2)
            found, inner = critic(x)
            logits.append(found.flatten(1))
            features += inner
        return torch.cat(logits, 1), features


class _ScaleCritic(nn.Module):
    def __init__(self, base: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(3 + RASTERS, base, 4, 2, 1),
                nn.Conv2d(base, base * 2, 4, 2, 1),
                nn.Conv2d(base * 2, base * 4, 4, 2, 1),
            ]
        )
        self.drop = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(base * 4, 1, 3, 1, 1)
        he_(self)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.last(self.drop(x)), features


def composite(inputs: Tensor, picture: Tensor, alpha: Tensor) -> Tensor:
    """The refined patch: outside the mask (input channel 6) the warped photo is left exactly as it is."""
    warped, mask = inputs[:, :3], inputs[:, 6:7]
    return warped + mask * alpha * (picture - warped)
