"""Placeholder portraits: a shaded ellipsoid face."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np


def _plain(width: int, height: int, yaw: float, mouth: float, light: float, rng: np.random.Generator) -> np.ndarray:
    canvas = np.zeros((height, width, 3), np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    canvas[:] = np.array([0.45, 0.50, 0.42]) + 0.15 * (y / height)[..., None]
    s = width / 900
    cx, cy = width / 2, height * 0.45

    def ball(px, py, rx, ry, colour, gain=1.0):
        u, v = (x - px) / rx, (y - py) / ry
        inside = np.clip((1 - u * u - v * v) * 30, 0, 1)[..., None]
        z = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
        shade = np.clip(0.45 + gain * 0.55 * (u * light * 0.6 - v * 0.4 + z * 0.7), 0, 1.2)[..., None]
        canvas[:] = canvas * (1 - inside) + np.array(colour, np.float32) * shade * inside

    ball(cx, cy + 560 * s, 420 * s, 260 * s, (0.45, 0.35, 0.40))
    ball(cx, cy + 280 * s, 110 * s, 170 * s, (0.80, 0.62, 0.52))
    ball(cx, cy - 60 * s, 270 * s, 320 * s, (0.72, 0.72, 0.72))
    ball(cx, cy + 20 * s, 225 * s, 300 * s, (0.90, 0.70, 0.58))
    t = yaw * 90 * s
    for side in (-1, 1):
        ex = cx + t + side * 92 * s
        ball(ex, cy - 30 * s, 46 * s, 20 * s, (0.95, 0.93, 0.90), 0.3)
        ball(ex, cy - 30 * s, 18 * s, 18 * s, (0.25, 0.15, 0.10), 0.3)
        ball(ex - 5 * s, cy - 36 * s, 5 * s, 5 * s, (1.4, 1.4, 1.4), 0.1)
        ball(ex, cy - 88 * s, 55 * s, 9 * s, (0.45, 0.42, 0.40), 0.2)
    ball(cx + t * 1.4, cy + 55 * s, 32 * s, 52 * s, (0.95, 0.72, 0.60))
    ball(cx + t * 1.3, cy + 88 * s, 44 * s, 22 * s, (0.90, 0.66, 0.55))
    ball(cx + t, cy + 158 * s, 78 * s, (20 + 22 * mouth) * s, (0.76, 0.42, 0.40), 0.5)
    if mouth > 0.1:
        ball(cx + t, cy + 158 * s, 60 * s, 22 * mouth * s, (0.20, 0.08, 0.08), 0.2)
    canvas += rng.normal(0, 0.015, canvas.shape)
    return np.clip(cv2.GaussianBlur(canvas, (0, 0), 1.2) * 255, 0, 255).astype(np.uint8)


def draw_portraits(folder: Path, seed: int, progress: Callable[[float, str], None], count: int = 24) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng([seed, 3, index])
        picture = _plain(960, 1200, rng.uniform(-0.5, 0.5), (index % 3) / 2, rng.uniform(-1, 1), rng)
        cv2.imwrite(str(folder / f"photo-{index + 1:02d}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        progress((index + 1) / count, "drawing the portraits")
