"""Skin, painted once for the whole family album: colour and relief over the head's own grid."""

from dataclasses import dataclass

import cv2
import numpy as np

from memorial_tasks.demo.head import (
    BAG,
    COLUMNS,
    MARIONETTE,
    MOUTH_HALF,
    NASOLABIAL,
    ROWS,
    face_rest,
    groove,
    lip_borders,
    rest_head,
    smooth,
)
from memorial_tasks.demo.raster import Floats, look_up

DETAIL = 3  # texels a grid step


@dataclass(frozen=True)
class Skin:
    """`colour` [H, W, 3] linear albedo, `relief` [H, W, 4]: slope along and down at rest, and what a smile adds,
    in cm a grid step; `gloss` [H, W] share of the oily highlight, `lips` [H, W] 0..1."""

    colour: Floats
    relief: Floats
    gloss: Floats
    lips: Floats

    def sample(self, picture: Floats, texel: Floats) -> Floats:
        """`picture` at grid places `texel` [N, 2]."""
        where = ((texel + 0.5) * DETAIL - 0.5).astype(np.float32)
        return look_up(picture, where)


def cloud(rng: np.random.Generator, height: int, width: int, cells: float, octaves: int = 3) -> Floats:
    """Smooth noise [H, W] around 0, about unit variance; `cells` blobs across the width at the coarsest octave."""
    total = np.zeros((height, width), np.float32)
    gain = 1.0
    for _ in range(octaves):
        small = rng.standard_normal((max(int(cells * height / width), 2) + 3, int(cells) + 3)).astype(np.float32)
        total += gain * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, gain = cells * 2.1, gain * 0.55
    return total / np.float32(total.std())


def _bell(value: Floats, width: float | Floats) -> Floats:
    return np.asarray(np.exp(-((value / width) ** 2)))


def _wrinkles(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Depth of the lines of a long life, (at rest, added by a smile), 0..1."""
    a = np.abs(x)
    rest, smile = np.zeros_like(x), np.zeros_like(x)
    for height, deep in ((2.95, 0.35), (3.6, 0.7), (4.25, 0.8), (4.95, 0.55), (5.45, 0.3)):
        phase, bend = rng.uniform(0, 6.28), rng.uniform(0.07, 0.15)
        line = y - height - bend * np.sin(0.9 * x + phase) - 0.05 * np.sin(2.7 * x + 2 * phase) + 0.010 * x * x
        broken = 0.55 + 0.45 * np.sin(0.8 * x + rng.uniform(0, 6.28))
        rest += deep * _bell(line, 0.075) * smooth(4.9, 2.6, a) * broken
    for at in (-0.5, 0.55):
        rest += 0.55 * _bell(x - at - 0.10 * (y - 1.6) * np.sign(at), 0.08) * _bell(y - 1.75, 0.75)
    # crow's feet: rays from the outer corner
    dx, dy = a - 4.55, y - 0.05
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx + 0.35)
    for ray in (-0.78, -0.42, -0.1, 0.22, 0.55):
        spread = _bell(angle - ray - 0.10 * np.sin(2.2 * radius + ray * 9), 0.045 + 0.045 / (0.5 + radius))
        window = smooth(0.25, 0.6, radius) * smooth(1.9 + 0.3 * np.sin(9 * ray), 0.9, radius) * (dx > -0.3)
        rest += 0.5 * spread * window
        smile += 0.9 * spread * window
    for step, deep in ((0.0, 0.55), (0.22, 0.35), (-0.24, 0.4), (0.42, 0.2)):
        near, _ = groove(a, y - step, BAG, 0.055)
        rest += deep * near
        smile += 0.5 * deep * near
    near, _ = groove(a, y, NASOLABIAL, 0.085)
    rest, smile = rest + 0.8 * near, smile + 0.5 * near
    near, _ = groove(a, y, MARIONETTE, 0.075)
    rest += 0.45 * near
    # fine upright lines around the lips
    for at in np.linspace(-2.1, 2.1, 15):
        place = at + rng.uniform(-0.06, 0.06)
        rest += rng.uniform(0.1, 0.34) * _bell(x - place - 0.06 * (y + 5.8) * place, 0.035) * _bell(y + 5.72, 0.34)
        rest += rng.uniform(0.03, 0.16) * _bell(x - place, 0.035) * _bell(y + 7.75, 0.28)
    for side in (0.55, 1.0, 1.4):  # cheek lines that only laughing shows
        path = tuple((p + side * (0.5 + 0.12 * k), q) for k, (p, q) in enumerate(NASOLABIAL[1:]))
        near, _ = groove(a, y, path, 0.08)
        smile += 0.4 / (0.6 + side) * near
        rest += 0.10 * near
    for start, bend in ((4.3, 0.25), (4.95, 0.3), (5.5, 0.2)):  # the cheeks hang a little
        rest += (
            0.22 * _bell(a - start - bend * np.sin(0.5 * (y + 5)), 0.09) * smooth(-8.6, -7.0, y) * smooth(-3.6, -5.2, y)
        )
    for height in (-0.15, 0.28, 0.75):  # lids of old eyes, finely creased
        rest += (
            0.16
            * _bell(y - 1.05 - 0.25 * height + 0.14 * (a - 3.0) ** 2, 0.04)
            * smooth(4.8, 4.0, a)
            * smooth(1.6, 2.2, a)
        )
    rest += 0.45 * _bell(y + 8.22 - 0.12 * _bell(x, 0.8), 0.10) * smooth(1.7, 0.7, a)
    return rest, smile


def paint_skin(seed: int) -> Skin:
    """Paint the skin of the invented woman; takes about four seconds."""
    rng = np.random.default_rng([seed, 21])
    width, height = COLUMNS * DETAIL, ROWS * DETAIL
    place = face_rest({}).astype(np.float32)
    x, y, z = (
        cv2.resize(np.ascontiguousarray(place[..., axis]), (width, height), interpolation=cv2.INTER_LINEAR)
        for axis in range(3)
    )
    line = np.interp(
        np.arange(width), (np.arange(COLUMNS) + 0.5) * DETAIL - 0.5, rest_head().place[rest_head().mouth_row, :, 1]
    ).astype(np.float32)[None, :]
    front = smooth(-6.0, -3.5, z).astype(np.float32)
    rest, smile = (w.astype(np.float32) for w in _wrinkles(x, y, rng))
    rest, smile = rest * front, smile * front
    a = np.abs(x)
    up, low = lip_borders(x)
    wobble = 0.007 * cloud(rng, height, width, 160, 2)
    lips = smooth(0.03, -0.05, y - line - up + wobble) * smooth(0.03, -0.05, line - y - low + wobble)
    lips = (lips * smooth(MOUTH_HALF + 0.02, MOUTH_HALF - 0.22, a) * front).astype(np.float32)

    colour = np.empty((height, width, 3), np.float32)
    colour[:] = (0.560, 0.335, 0.225)
    blotch = cloud(rng, height, width, 30, 4)
    fine = cloud(rng, height, width, 220, 3)
    colour *= (1 + 0.035 * blotch + 0.03 * fine)[..., None]

    def hill(cx: float, cy: float, sx: float, sy: float) -> Floats:
        return np.asarray(np.exp(-(((a - cx) / sx) ** 2) - ((y - cy) / sy) ** 2) * front, dtype=np.float32)

    red = 0.75 * hill(3.9, -2.9, 1.7, 1.3) + 0.55 * hill(0, -3.8, 1.3, 0.9) + 0.35 * hill(0, -9.4, 1.4, 0.8)
    red += 0.25 * hill(0, 2.0, 1.2, 0.9) + 0.3 * hill(1.9, -0.9, 0.7, 0.5) + 0.25 * hill(2.6, -6.5, 0.6, 0.6)
    red *= 1 + 0.22 * blotch
    colour *= 1 + red[..., None] * np.array([0.06, -0.17, -0.17], np.float32)
    veins = smooth(1.35, 2.1, np.abs(cloud(rng, height, width, 75, 2))).astype(np.float32)
    colour *= 1 + (0.25 * veins * (hill(3.8, -3.0, 1.5, 1.1) + hill(1.4, -3.9, 0.8, 0.6)))[..., None] * np.array(
        [0.0, -0.28, -0.22], np.float32
    )
    shade = 0.5 * hill(2.9, -1.05, 1.3, 0.42) + 0.35 * hill(1.75, 0.2, 0.5, 0.8) + 0.25 * hill(3.2, 0.9, 1.3, 0.35)
    colour *= 1 - shade[..., None] * np.array([0.20, 0.26, 0.20], np.float32)
    colour *= 1 + (0.12 * hill(0, 4.3, 3.5, 1.7))[..., None] * np.array([1.0, 1.0, 0.9], np.float32)
    nostril = hill(0.66, -4.58, 0.30, 0.15)
    nostril = np.clip(nostril * 1.9 - 0.35, 0, 1)
    wing, _ = groove(a, y, ((1.62, -3.35), (1.98, -3.7), (2.02, -4.15), (1.75, -4.5)), 0.10)
    colour *= 1 - (0.86 * nostril)[..., None] * np.array([0.90, 1.0, 1.0], np.float32)
    colour *= 1 - (0.30 * wing * front)[..., None] * np.array([0.7, 1.0, 1.0], np.float32)
    # age spots and freckles: irregular, warm brown
    spots = np.zeros((height, width), np.float32)
    ragged = cloud(rng, height, width, 120, 3)
    grid_x = place[..., 0]
    candidates = np.argwhere((place[..., 2] > -6) & (place[..., 1] > -9.5) & (place[..., 1] < 6.0))
    favoured = np.abs(grid_x[candidates[:, 0], candidates[:, 1]]) / 7.0 + 0.12
    picks = rng.choice(len(candidates), 230, p=favoured / favoured.sum(), replace=False)
    for number, pick in enumerate(picks):
        row, column = candidates[pick]
        size = rng.uniform(0.03, 0.075) if number > 22 else rng.uniform(0.09, 0.20)
        px, py = (column + 0.5) * DETAIL, (row + 0.5) * DETAIL
        reach = int(size * 75) + 4
        window = np.s_[max(int(py) - reach, 0) : int(py) + reach, max(int(px) - reach, 0) : int(px) + reach]
        gap = np.hypot(x[window] - place[row, column, 0], (y[window] - place[row, column, 1]) * 1.15)
        gap = gap * (1 + 0.15 * ragged[window])
        spots[window] = np.maximum(spots[window], smooth(size, size * 0.55, gap) * rng.uniform(0.2, 0.65))
    spots *= 1 - lips
    colour *= 1 - spots[..., None] * np.array([0.26, 0.36, 0.42], np.float32)
    tone = np.array([0.385, 0.140, 0.118], np.float32) * (1 + 0.06 * fine + 0.04 * blotch)[..., None]
    colour += (lips * 0.82)[..., None] * (tone - colour)
    colour *= 1 - np.clip(0.27 * rest + 0.06 * smile, 0, 0.45)[..., None] * np.array([0.75, 1.0, 1.0], np.float32)

    pores: Floats = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 0.8)
    pores = pores - np.asarray(cv2.GaussianBlur(pores, (0, 0), 2.0))
    pores = pores / pores.std()
    leather = cloud(rng, height, width, 170, 3)
    base = -0.080 * rest + 0.0030 * pores * (1 + 0.7 * hill(0, -3.5, 1.8, 1.2)) * (1 - 0.6 * lips)
    base += 0.0070 * leather * front
    crease = np.sin(x * 40 + 2.5 * leather) * lips * 0.006  # upright lines in the red of the lips
    base += crease
    slopes = []
    for relief in (base, -0.065 * smile):
        relief = np.ascontiguousarray(relief, dtype=np.float32)
        slopes += [
            cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=DETAIL / 8),
            cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=DETAIL / 8),
        ]
    gloss = 0.55 + 0.5 * hill(0, -2.5, 0.9, 2.4) + 0.35 * hill(0, 3.8, 3.0, 1.5) + 0.25 * hill(3.8, -2.3, 1.2, 0.8)
    gloss = (gloss * (1 + 0.12 * fine) + 0.5 * lips).astype(np.float32)
    return Skin(np.clip(colour, 0.01, 0.9), np.stack(slopes, axis=-1), gloss, lips)
