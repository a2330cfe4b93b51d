"""Made-up material: photos whose "face" is drawn around two magenta eyes, speech of formants, a finder of magenta."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

MAGENTA = (255, 0, 255)


@dataclass(frozen=True)
class FoundFace:
    x: float
    y: float
    w: float
    h: float
    score: float
    eyes: Any


@dataclass(frozen=True)
class FoundMesh:
    points: Any
    score: float


class MagentaFinder:
    """Satisfies `FaceFinder`: two magenta dots, left and right of each other, are a face."""

    def detect(self, rgb: Any, /) -> Sequence[Any]:
        strong = (rgb[..., 0] > 190) & (rgb[..., 2] > 190) & (rgb[..., 1] < 110)
        count, _labels, stats, centres = cv2.connectedComponentsWithStats(strong.astype(np.uint8))
        dots = sorted(tuple(centres[i]) for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 4)
        found = []
        for right, left in zip(dots[::2], dots[1::2], strict=False):
            span = left[0] - right[0]
            box = (right[0] - 0.9 * span, right[1] - 0.9 * span, 2.8 * span, 2.8 * span)
            found.append(FoundFace(*box, 0.9, (np.array(right), np.array(left))))
        return found

    def mesh(self, rgb: Any, face: Any, /) -> Any:
        right, left = face.eyes
        across = left - right
        down = np.array([-across[1], across[0]])
        flat = LAYOUT[:, :1] * across + LAYOUT[:, 1:2] * down + (right + left) / 2
        depth = LAYOUT[:, 2:] * np.hypot(*across)
        return FoundMesh(np.hstack([flat, depth]).astype(np.float32), 0.95)


def _layout() -> NDArray[np.float64]:
    """478 points in units of the eye distance, origin between the eyes."""
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.uniform(-0.8, 0.8, 478), rng.uniform(-0.7, 1.4, 478), np.zeros(478)])
    fixed = {
        33: (-0.72, 0), 133: (-0.28, 0), 159: (-0.5, -0.06), 145: (-0.5, 0.06), 263: (0.72, 0), 362: (0.28, 0),
        386: (0.5, -0.06), 374: (0.5, 0.06), 13: (0, 0.95), 14: (0, 1.0), 78: (-0.3, 0.98), 308: (0.3, 0.98),
        10: (0, -0.7), 152: (0, 1.5), 1: (0, 0.5),
    }  # fmt: skip
    for index, (x, y) in fixed.items():
        points[index, :2] = x, y
    return points


LAYOUT = _layout()


def draw_photo(
    size: tuple[int, int] = (320, 240), faces: int = 1, span: float = 40.0, seed: int = 0, roll: float = 0.0
) -> NDArray[np.uint8]:
    """A picture [H, W, 3] with `faces` textured faces whose eyes lie `span` pixels apart."""
    rng = np.random.default_rng(seed)
    width, height = size
    picture = cv2.resize(rng.uniform(60, 180, (6, 8, 3)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    for index in range(faces):
        x, y = width * (index + 1) / (faces + 1), height * 0.42
        texture = cv2.resize(rng.uniform(70, 200, (64, 64)).astype(np.float32), None, fx=span / 25, fy=span / 25)
        top, left = int(y - texture.shape[0] * 0.4), int(x - texture.shape[1] / 2)
        up, start = max(top, 0), max(left, 0)
        down, end = min(top + texture.shape[0], height), min(left + texture.shape[1], width)
        picture[up:down, start:end] = texture[up - top : down - top, start - left : end - left, None]
        dx, dy = span / 2 * np.cos(np.radians(roll)), span / 2 * np.sin(np.radians(roll))
        for sign in (-1, 1):
            cv2.circle(picture, (round(x + sign * dx), round(y + sign * dy)), max(int(span / 14), 2), MAGENTA, -1)
    return picture.clip(0, 255).astype(np.uint8)


_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))


def speak(seconds: float, rate: int = 24_000, seed: int = 0, pitch: float = 120.0, pauses: float = 0.15) -> Any:
    """Babble of formants and hiss, float32: speech to the detector, nobody's voice."""
    rng = np.random.default_rng(seed)
    parts: list[Any] = []
    length = 0
    while length < seconds * rate:
        count = int(rate * rng.uniform(0.12, 0.22))
        time = np.arange(count) / rate
        phase = np.cumsum(pitch * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(1, 3) * time + rng.uniform(0, 6)))) / rate
        sound = ((phase % 1) < 0.1) - 0.1 + 0.02 * rng.standard_normal(count)
        for centre, width in zip(_VOWELS[rng.integers(5)], (80, 100, 140), strict=True):
            radius = np.exp(-np.pi * width / rate)
            sound = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * centre / rate), radius**2], sound)
        sound *= np.sqrt(np.hanning(count))
        hiss = lfilter([1, -0.95], [1], rng.standard_normal(int(rate * rng.uniform(0.04, 0.09))))
        parts += [hiss * 0.08 * np.hanning(len(hiss)), 0.5 * sound / (np.abs(sound).max() + 1e-9)]
        length += len(parts[-1]) + len(hiss)
        if rng.random() < pauses:
            parts.append(np.zeros(int(rate * 0.3)))
    sound = np.concatenate(parts)[: int(seconds * rate)]
    return (sound + 1e-4 * rng.standard_normal(len(sound))).astype(np.float32)


@pytest.fixture(scope="session")
def finder() -> MagentaFinder:
    return MagentaFinder()


@pytest.fixture(scope="session")
def photo() -> Callable[..., NDArray[np.uint8]]:
    return draw_photo


@pytest.fixture(scope="session")
def speech() -> Callable[..., Any]:
    return speak


@pytest.fixture(scope="session")
def detector() -> Any:
    from memorial_tasks.quality.voice import SpeechDetector

    return SpeechDetector()
