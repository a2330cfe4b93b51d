"""The family album: photographs of one invented woman, from new colour prints to faded and scratched ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from memorial_tasks.demo.raster import Floats
from memorial_tasks.demo.scene import paint_garden
from memorial_tasks.demo.studio import (
    PIVOT,
    Shot,
    Sitter,
    camera_for,
    cloud,
    develop,
    expose,
    invite,
    rotation,
)

SIZE = (912, 1140)
_OVER = 1.10  # drawn larger than kept, so that edges are smooth

REST = {"smile": 0.28, "squint": 0.1}
SMILE = {"smile": 0.62, "squint": 0.35}
JOY = {"smile": 0.95, "part": 0.75, "squint": 0.6, "jaw": 0.08}
LAUGH = {"smile": 1.0, "part": 0.9, "squint": 0.75, "jaw": 0.30, "brow": 0.2}
SAD = {"sad": 0.75, "down": 0.4, "gaze_y": 0.15}
AH = {"jaw": 0.62, "brow": 0.2, "smile": 0.15}
EH = {"jaw": 0.28, "smile": 0.3, "part": 0.3}
OH = {"jaw": 0.40, "pucker": 0.8}
MM = {"smile": 0.10}
SHUT = {"blink": 1.0, "smile": 0.35}

ALBUM: tuple[Shot, ...] = (
    Shot(0, 1, 0, SMILE, "window", "plum", "garden"),
    Shot(9, 0, 2, JOY, "garden", "teal", "garden", zoom=0.97),
    Shot(-8, -1, -2, REST, "soft", "grey", "room"),
    Shot(3, 2, 0, MM, "window", "navy", "wall"),
    Shot(20, 0, 1, SMILE, "evening", "plum", "garden", zoom=1.05),
    Shot(-22, 1, -1, REST, "window", "teal", "room"),
    Shot(-4, -3, 3, LAUGH, "soft", "plum", "room", zoom=1.02),
    Shot(5, 0, 0, AH, "soft", "teal", "wall", zoom=1.08),
    Shot(-6, 1, 0, EH, "window", "grey", "room", zoom=1.06),
    Shot(2, 0, -2, OH, "soft", "navy", "wall", zoom=1.08),
    Shot(0, -2, 0, MM, "soft", "teal", "wall", zoom=1.08),
    Shot(-12, -6, -3, SAD, "side", "navy", "room"),
    Shot(6, -4, 3, SHUT, "window", "plum", "garden"),
    Shot(31, -1, 2, REST, "garden", "navy", "garden"),
    Shot(-33, 0, -1, SMILE, "lamp", "grey", "room"),
    Shot(4, 9, 0, SMILE, "garden", "teal", "garden"),
    Shot(-5, -10, 0, REST, "lamp", "plum", "room"),
    Shot(14, 2, 5, JOY, "evening", "grey", "garden", zoom=0.95),
    Shot(-16, 0, -6, LAUGH, "window", "teal", "garden"),
    Shot(1, 0, 0, REST, "soft", "grey", "wall", "grey"),
    Shot(-10, 2, 0, SMILE, "side", "navy", "wall", "sepia"),
    Shot(12, -1, 1, REST, "window", "plum", "room", "faded"),
    Shot(-2, 1, -1, JOY, "garden", "teal", "garden", "faded"),
    Shot(7, 0, 2, SMILE, "lamp", "grey", "room", "scratched"),
    Shot(-18, -2, 0, MM, "evening", "plum", "garden"),
    Shot(0, 0, 0, {"jaw": 0.14, "smile": 0.2}, "window", "teal", "garden", zoom=1.1),
)


def _room(width: int, height: int, rng: np.random.Generator) -> Floats:
    """A sunlit room out of focus: plaster wall, window light, a curtain, a shelf."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    wall = np.empty((height, width, 3), np.float32)
    wall[:] = (0.50, 0.43, 0.33)
    wall *= (0.70 + 0.35 * np.exp(-(((x - 0.15) / 0.6) ** 2)))[..., None]
    wall *= (1 + 0.02 * cloud(rng, height, width, 6))[..., None]
    curtain = 1 / (1 + np.exp((x - 0.17 - 0.012 * np.sin(9 * y)) * 60))
    pleats = 0.80 + 0.18 * np.sin(x * 110 + 1.5 * np.sin(4 * y)) + 0.08 * np.sin(x * 47)
    wall = wall * (1 - curtain[..., None]) + (pleats * curtain)[..., None] * np.array([0.86, 0.80, 0.68], np.float32)
    frame = [(0.70, 0.06, 0.93, 0.33, (0.20, 0.13, 0.08)), (0.72, 0.08, 0.91, 0.31, (0.62, 0.58, 0.48))]
    frame += [(0.76, 0.13, 0.87, 0.26, (0.30, 0.36, 0.26)), (0.55, 0.60, 1.05, 0.64, (0.26, 0.16, 0.09))]
    for left, top, right, bottom, colour in frame:
        corners = (int(left * width), int(top * height)), (int(right * width), int(bottom * height))
        cv2.rectangle(wall, *corners, colour, -1)
    for _ in range(7):  # books and a vase on the shelf
        left = rng.uniform(0.60, 0.95)
        box = (
            (int(left * width), int(rng.uniform(0.50, 0.55) * height)),
            (int((left + 0.03) * width), int(0.60 * height)),
        )
        cv2.rectangle(wall, *box, tuple(float(v) for v in rng.uniform((0.12, 0.10, 0.08), (0.5, 0.3, 0.26))), -1)
    return np.asarray(cv2.GaussianBlur(wall, (0, 0), width * 0.013))


def _wall(width: int, height: int, rng: np.random.Generator) -> Floats:
    """A photographer's painted cloth."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    glow = np.exp(-(((x / width - 0.52) / 0.55) ** 2 + ((y / height - 0.42) / 0.5) ** 2))
    cloth = (0.13 + 0.24 * glow) * (1 + 0.07 * cloud(rng, height, width, 5, 4))
    return np.asarray(cloth[..., None] * np.array([0.88, 0.98, 1.0], np.float32), dtype=np.float32)


def backdrops(size: tuple[int, int], seed: int) -> dict[str, Floats]:
    """Linear light [H, 1.25 * W, 3] a name, for photographs of `size`; wide enough to be shifted between them."""
    width, height = int(size[0] * _OVER), int(size[1] * _OVER)
    wide = int(width * 1.25)
    rng = np.random.default_rng([seed, 43])
    garden: Floats = paint_garden(wide // 2, height // 2, rng).astype(np.float32) / 255.0
    garden = cv2.GaussianBlur(cv2.resize(garden, (wide, height), interpolation=cv2.INTER_CUBIC), (0, 0), width * 0.011)
    return {
        "garden": (garden**2.2 * 0.95).astype(np.float32),
        "room": _room(wide, height, rng),
        "wall": _wall(wide, height, rng),
    }


def _age(picture: Floats, kind: str, rng: np.random.Generator) -> Floats:
    """What the years did to a print: 0..1 display values in and out."""
    height, width = picture.shape[:2]
    grey = picture @ np.array([0.30, 0.59, 0.11], np.float32)
    if kind == "grey":
        picture = np.repeat((0.03 + 0.93 * grey)[..., None], 3, axis=2)
    elif kind == "sepia":
        picture = grey[..., None] ** np.array([0.86, 1.0, 1.22], np.float32) * 0.86 + 0.07
    elif kind in {"faded", "scratched"}:
        picture = picture * 0.55 + grey[..., None] * 0.25 + np.array([0.17, 0.145, 0.105], np.float32)
        corner = cloud(rng, height, width, 3)
        picture = picture + 0.025 * corner[..., None] * np.array([1.0, 0.8, 0.4], np.float32)
    if kind in {"scratched", "grey"}:
        marks = np.zeros((height, width), np.float32)
        for _ in range(26 if kind == "scratched" else 7):
            start = rng.uniform(0, 1, 2) * (width, height)
            turn, long = rng.normal(1.5, 0.5), rng.uniform(20, 240)
            path = start + np.stack(
                [np.cos(turn) * np.linspace(0, long, 12), np.sin(turn) * np.linspace(0, long, 12)], 1
            )
            path[:, 0] += rng.normal(0, 1.6, 12).cumsum()
            cv2.polylines(marks, [path.astype(np.int32)], False, float(rng.uniform(0.2, 0.75)), 1, cv2.LINE_AA)
        for _ in range(120):
            at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            cv2.circle(marks, at, int(rng.integers(1, 3)), float(rng.uniform(0.1, 0.5)), -1, cv2.LINE_AA)
        marks = cv2.GaussianBlur(marks, (0, 0), 0.6)[..., None] * (1.0 if kind == "scratched" else 0.5)
        picture = picture + marks * (0.93 - picture)
    return np.asarray(picture, dtype=np.float32)


def photograph(
    sitter: Sitter, shot: Shot, behind_her: dict[str, Floats], number: int, size: tuple[int, int] = SIZE
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One finished photograph, RGB uint8 [H, W, 3] of `size` (width, height)."""
    rng = np.random.default_rng([sitter.seed, 5, number])
    width, height = int(size[0] * _OVER), int(size[1] * _OVER)
    behind = behind_her[shot.backdrop]
    shift = int(rng.uniform(0, behind.shape[1] - width))
    behind = np.ascontiguousarray(behind[:height, shift : shift + width] * np.float32(rng.uniform(0.85, 1.1)))
    if rng.random() < 0.35:
        behind = np.ascontiguousarray(behind[:, ::-1])
    picture = expose(sitter, shot, width, height, behind, rng)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    bloom = cv2.GaussianBlur(cv2.resize(picture, (size[0] // 4, size[1] // 4), interpolation=cv2.INTER_AREA), (0, 0), 7)
    picture = picture * 0.955 + 0.045 * cv2.resize(bloom, size, interpolation=cv2.INTER_LINEAR)
    shown = develop(picture)
    shown = _age(shown, shot.print, rng)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j].astype(np.float32)
    shown *= (1 - 0.13 * (x * x + y * y) ** 1.2)[..., None]
    grain = rng.standard_normal((size[1], size[0], 3)).astype(np.float32)
    grain = 0.6 * grain + 0.8 * grain[..., :1]
    shown += (0.011 if shot.print == "new" else 0.020) * cv2.GaussianBlur(grain, (0, 0), 0.65) * 1.6
    return np.asarray(np.clip(shown * 255 + 0.5, 0, 255), dtype=np.uint8)


def where(shot: Shot, place: tuple[float, float, float], size: tuple[int, int] = SIZE) -> Floats:
    """Pixel [2] at which a place of the resting head (cm, see `head`) appears in the photograph of `shot`."""
    point = (np.array([place], np.float32) - PIVOT) @ rotation(shot.yaw, shot.pitch, shot.roll).T + PIVOT
    return np.asarray(camera_for(shot, *size).project(point)[0, :2])


def draw_portraits(
    folder: Path, seed: int, progress: Callable[[float, str], None], album: Sequence[Shot] = ALBUM
) -> None:
    """Write the album into `folder` as ``photo-01.jpg`` and so on; about two seconds a photograph on one core."""
    folder.mkdir(parents=True, exist_ok=True)
    progress(0.0, "inviting the invented sitter")
    sitter = invite(seed)
    behind_her = backdrops(SIZE, seed)
    for number, shot in enumerate(album):
        picture = photograph(sitter, shot, behind_her, number)
        path = folder / f"photo-{number + 1:02d}.jpg"
        cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        progress((number + 1) / len(album), "drawing the portraits")
