"""Where the film is set and what plays under it: a painted garden and a generated piano piece."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

_MUSIC_RATE = 48000
# Eight bars in D major, one chord a bar: root and the notes of a slow broken chord (MIDI numbers).
_CHORDS = (
    (38, (50, 57, 62, 66)),
    (37, (49, 57, 61, 64)),
    (35, (47, 54, 59, 62)),
    (42, (45, 54, 57, 61)),
    (43, (47, 55, 59, 62)),
    (38, (45, 54, 57, 62)),
    (40, (47, 52, 55, 59)),
    (45, (49, 52, 57, 61)),
)
_MELODY = (78, 76, 74, 73, 71, 69, 71, 73, 74, 73, 71, 69, 67, 66, 67, 69)


def _tone(midi: float, seconds: float, loudness: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """One soft piano-like note: slightly inharmonic partials, each dying at its own speed, a felt hammer."""
    count = int(seconds * _MUSIC_RATE)
    time = np.arange(count) / _MUSIC_RATE
    base = 440.0 * 2.0 ** ((midi - 69) / 12)
    sound = np.zeros(count)
    for partial in range(1, 9):
        hertz = base * partial * np.sqrt(1 + 0.0004 * partial**2)
        if hertz > 9000:
            break
        fade = np.exp(-time * (0.9 + 0.35 * partial) * (base / 260.0) ** 0.5)
        for detune in (-0.35, 0.4):  # two strings a note
            sound += np.sin(2 * np.pi * (hertz + detune) * time + rng.uniform(0, 6.28)) * fade / partial**1.7
    attack = np.minimum(time / 0.012, 1.0)
    release = np.minimum((seconds - time) / 0.25, 1.0)
    return np.asarray(sound * attack * release * loudness)


def write_music(path: Path, seed: int, seconds: float = 48.0) -> None:
    """Write a gentle piano piece, stereo 48 kHz PCM16, that can be repeated end to start."""
    rng = np.random.default_rng([seed, 11])
    total = int(seconds * _MUSIC_RATE)
    stereo = np.zeros((total, 2))
    bar = seconds / 16

    def strike(at: float, midi: int, length: float, loudness: float) -> None:
        start = int(max(at + rng.normal(0, 0.012), 0) * _MUSIC_RATE)
        note = _tone(midi, length, loudness * rng.uniform(0.85, 1.1), rng)
        note = note[: max(total - start, 0)]
        pan = 0.5 + (midi - 62) / 90
        stereo[start : start + len(note), 0] += note * np.cos(pan * np.pi / 2)
        stereo[start : start + len(note), 1] += note * np.sin(pan * np.pi / 2)

    for index in range(16):
        root, notes = _CHORDS[index % len(_CHORDS)]
        strike(index * bar, root, bar * 1.3, 0.5)
        for step, midi in enumerate((*notes, *notes[2:0:-1])):
            strike(index * bar + (step + 0.5) * bar / 6.5, midi, bar * 0.9, 0.24)
        if index % 8 not in (0, 7):
            strike(index * bar, _MELODY[index % 16], bar * 1.1, 0.42)
            if index % 2:
                strike(index * bar + bar * 0.62, _MELODY[(index + 3) % 16], bar * 0.7, 0.3)
    echo = np.zeros_like(stereo)
    for delay, gain in ((0.031, 0.22), (0.047, 0.19), (0.083, 0.15), (0.131, 0.11), (0.197, 0.08), (0.283, 0.05)):
        shift = int(delay * _MUSIC_RATE)
        echo[shift:] += gain * stereo[:-shift, ::-1]
    mixed = stereo + echo
    edge = int(1.5 * _MUSIC_RATE)
    mixed[-edge:] *= np.linspace(1, 0, edge)[:, None] ** 1.5
    soundfile.write(path, (mixed / np.abs(mixed).max() * 0.5).astype(np.float32), _MUSIC_RATE, subtype="PCM_16")


def _leaves(
    canvas: NDArray[Any],
    rng: np.random.Generator,
    count: int,
    area: tuple[float, float, float, float],
    size: tuple[float, float],
    low: tuple[float, float, float],
    high: tuple[float, float, float],
) -> None:
    """Strew `count` leaf strokes over `area` (left, top, right, bottom in fractions), RGB between `low` and `high`."""
    height, width = canvas.shape[:2]
    for _ in range(count):
        x, y = rng.uniform(area[0], area[2]) * width, rng.uniform(area[1], area[3]) * height
        long = rng.uniform(*size) * width
        mix = rng.beta(1.6, 1.9)
        colour = tuple(float(a + (b - a) * mix) for a, b in zip(low, high, strict=True))
        cv2.ellipse(
            canvas, ((x, y), (long, long * rng.uniform(0.35, 0.6)), rng.uniform(0, 180)), colour, -1, cv2.LINE_AA
        )


def paint_garden(width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A garden in late light as a lens would blur it: leaves, sun spots, path, blossoms. RGB uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    sky = np.stack([0.93 - 0.25 * y, 0.90 - 0.22 * y, 0.72 - 0.3 * y], axis=-1)
    ground = np.stack([0.52 + 0.1 * x, 0.50 - 0.02 * x, 0.32 + 0.0 * x], axis=-1)
    horizon = (1 / (1 + np.exp(-(y - 0.68 - 0.02 * np.sin(7 * x)) * 40)))[..., None]
    canvas: NDArray[Any] = np.ascontiguousarray(sky * (1 - horizon) + ground * horizon, dtype=np.float32)
    _leaves(canvas, rng, 900, (-0.05, 0.05, 1.05, 0.75), (0.02, 0.06), (0.24, 0.34, 0.18), (0.80, 0.80, 0.46))
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), width * 0.014))
    _leaves(canvas, rng, 700, (-0.05, 0.30, 1.05, 0.74), (0.012, 0.04), (0.16, 0.27, 0.14), (0.62, 0.68, 0.30))
    _leaves(canvas, rng, 240, (-0.02, -0.02, 0.34, 0.55), (0.015, 0.045), (0.18, 0.30, 0.15), (0.74, 0.76, 0.34))
    _leaves(canvas, rng, 160, (0.74, 0.05, 1.02, 0.60), (0.015, 0.045), (0.20, 0.30, 0.16), (0.80, 0.76, 0.38))
    _leaves(canvas, rng, 190, (0.0, 0.35, 1.0, 0.78), (0.006, 0.014), (0.90, 0.62, 0.20), (1.0, 0.86, 0.52))
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), width * 0.009))
    spots: NDArray[Any] = np.zeros_like(canvas)
    for _ in range(46):
        at = (int(rng.uniform(0, 1) * width), int(rng.uniform(0, 0.6) * height))
        warm = float(rng.uniform(0.05, 0.2))
        cv2.circle(spots, at, int(rng.uniform(0.008, 0.026) * width), (warm, warm * 0.93, warm * 0.66), -1, cv2.LINE_AA)
    canvas = canvas + np.asarray(cv2.GaussianBlur(spots, (0, 0), width * 0.0015))
    glow = np.exp(-(((x - 0.78) / 0.5) ** 2 + ((y - 0.08) / 0.45) ** 2))[..., None]
    canvas = canvas * (1 - 0.32 * glow) + np.array([1.0, 0.94, 0.78], np.float32) * 0.32 * glow
    canvas *= (1 - 0.28 * (((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.5))[..., None]
    canvas += rng.normal(0, 0.008, canvas.shape).astype(np.float32)
    return np.asarray(np.clip(canvas * 255 + 0.5, 0, 255), dtype=np.uint8)


def write_background(path: Path, seed: int) -> None:
    """Write the painted garden as a 1920x1080 JPEG."""
    picture = paint_garden(1920, 1080, np.random.default_rng([seed, 12]))
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
