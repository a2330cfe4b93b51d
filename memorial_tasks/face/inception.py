"""Inception v3 (Szegedy 2016) as the Frechet distance uses it, for weights an operator supplies as safetensors.

Parameter names are those of torchvision's `inception_v3`, so that its weights, or those of the TensorFlow port with
1,008 classes that published FIDs use, convert by renaming nothing. As in that port, average pooling leaves the border
out and the last block pools by maximum. No weights come with this project. torch and safetensors only.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from memorial_tasks.errors import ModelRefused


class _Conv(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int | tuple[int, int], stride: int = 1,
                 padding: int | tuple[int, int] = 0) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _A(nn.Module):
    def __init__(self, inside: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inside, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = _Conv(inside, 48, 1), _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inside, 64, 1), _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3, self.branch_pool = _Conv(96, 96, 3, padding=1), _Conv(inside, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_mean(x))], 1)


class _B(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(inside, 384, 3, 2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inside, 64, 1), _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class _C(nn.Module):
    def __init__(self, inside: int, middle: int) -> None:
        super().__init__()

        def wide(to: int) -> _Conv:
            return _Conv(middle, to, (1, 7), padding=(0, 3))

        def tall(to: int) -> _Conv:
            return _Conv(middle, to, (7, 1), padding=(3, 0))

        self.branch1x1 = _Conv(inside, 192, 1)
        self.branch7x7_1 = _Conv(inside, middle, 1)
        self.branch7x7_2, self.branch7x7_3 = wide(middle), tall(192)
        self.branch7x7dbl_1 = _Conv(inside, middle, 1)
        self.branch7x7dbl_2, self.branch7x7dbl_3 = tall(middle), wide(middle)
        self.branch7x7dbl_4, self.branch7x7dbl_5 = tall(middle), wide(192)
        self.branch_pool = _Conv(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_mean(x))], 1)


class _D(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = _Conv(inside, 192, 1), _Conv(192, 320, 3, 2)
        self.branch7x7x3_1 = _Conv(inside, 192, 1)
        self.branch7x7x3_2 = _Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Conv(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class _E(nn.Module):
    def __init__(self, inside: int, by_maximum: bool) -> None:
        super().__init__()
        self.by_maximum = by_maximum
        self.branch1x1 = _Conv(inside, 320, 1)
        self.branch3x3_1 = _Conv(inside, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(inside, 448, 1), _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Conv(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.by_maximum else _mean(x)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(three),
                self.branch3x3_2b(three),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            1,
        )


class Inception(nn.Module):
    """`forward(pictures [N, 3, s, s] in -1..1) -> (features [N, 2048], logits [N, classes])`."""

    def __init__(self, classes: int = 1008) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3, self.Conv2d_2b_3x3 = _Conv(32, 32, 3), _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = _Conv(64, 80, 1), _Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a, self.Mixed_6b, self.Mixed_6c = _B(288), _C(768, 128), _C(768, 160)
        self.Mixed_6d, self.Mixed_6e = _C(768, 160), _C(768, 192)
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = _D(768), _E(1280, False), _E(2048, True)
        self.fc = nn.Linear(2048, classes)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(pictures, size=(299, 299), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features = x.mean((2, 3))
        return features, self.fc(features)


def load_inception(path: Path) -> Inception:
    """Inception with the operator's weights, ready to judge; auxiliary heads in the file are ignored.

    Raises `ModelRefused` for files that are not safetensors or hold another architecture."""
    try:
        flat = load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelRefused(
            "the feature network is not a readable safetensors file",
            where=path.name,
            remedy="convert it to safetensors",
        ) from error
    flat = {key: value for key, value in flat.items() if not key.startswith("AuxLogits.")}
    if "fc.bias" not in flat:
        raise ModelRefused("the file holds no Inception v3", where=path.name, remedy="use torchvision's names")
    network = Inception(len(flat["fc.bias"]))
    try:
        network.load_state_dict(flat)
    except RuntimeError as error:
        raise ModelRefused(
            "the weights do not fit Inception v3", where=path.name, remedy="use torchvision's names and shapes"
        ) from error
    return network.requires_grad_(False).eval()
