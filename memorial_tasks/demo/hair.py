"""Hair, brows and lashes as strands lying on the sculpted head."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from memorial_tasks.demo.head import CENTRE, LID_IN, LID_OUT, _radius, face_rest, hairline, lid_table, smooth
from memorial_tasks.demo.raster import Floats

POINTS = 18


@dataclass(frozen=True)
class Strands:
    """`points` [S, P, 3] cm, `tint` [S, 3] linear colour, `width` [S, P] cm, `alpha` [S, P], `deep` [S] 0 outermost
    to 1 at the scalp, `outward` [S, P, 3] the way out of the head, for the light."""

    points: Floats
    tint: Floats
    width: Floats
    alpha: Floats
    deep: Floats
    outward: Floats


@lru_cache(maxsize=1)
def _scalp() -> RegularGridInterpolator:
    theta, phi = np.linspace(-np.pi, np.pi, 181), np.linspace(-1.3, 1.57, 91)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    way = np.stack([np.sin(t) * np.cos(p), np.sin(p), np.cos(t) * np.cos(p)], axis=-1)
    return RegularGridInterpolator(
        (theta, phi), _radius()(way.reshape(-1, 3)).reshape(t.shape), bounds_error=False, fill_value=None
    )


def _surface(points: Floats) -> tuple[Floats, Floats]:
    """(scalp radius below, unit way out) for `points` [N, 3]."""
    away = points - CENTRE
    out = away / np.linalg.norm(away, axis=1, keepdims=True)
    angles = np.stack([np.arctan2(out[:, 0], out[:, 2]), np.arcsin(np.clip(out[:, 1], -0.96, 1))], axis=1)
    return _scalp()(angles), out


def grow_hair(seed: int, count: int = 15000) -> Strands:
    """Short waved grey hair with a side parting, combed back over the ears; in the head's own place."""
    rng = np.random.default_rng([seed, 31])
    way = rng.standard_normal((count * 3, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    radius, _ = _surface(CENTRE + way)
    root = CENTRE + way * radius[:, None]
    theta = np.arctan2(way[:, 0], way[:, 2])
    ragged = 0.32 * rng.standard_normal(len(root))
    keep = root[:, 1] > hairline(theta) + ragged + 0.1
    root, theta = root[keep][:count], theta[keep][:count]
    count = len(root)
    # Locks: neighbours share their wave, so that the hair falls into strands one can see.
    seeds = root[rng.choice(count, 260, replace=False)]
    lock = cKDTree(seeds).query(root)[1]
    phase, curl, lock_lift = rng.uniform(0, 6.28, 260), rng.uniform(0.6, 1.3, 260), rng.uniform(-1, 1, 260)
    deep = rng.beta(1.2, 1.5, count)
    part = 2.1  # x of the parting
    side = np.tanh((root[:, 0] - part) / 1.1)
    top = smooth(4.5, 8.5, root[:, 1])
    length = (9.5 + 2.0 * rng.standard_normal(count)) * (0.72 + 0.28 * top)
    length = np.clip(length, 3.5, 14)
    points = np.empty((count, POINTS, 3))
    outward = np.empty((count, POINTS, 3))
    place = root.copy()
    _, out = _surface(place)
    step = length / (POINTS - 1)
    for p in range(POINTS):
        s = p / (POINTS - 1)
        points[:, p], outward[:, p] = place, out
        height = smooth(3.0, 8.5, place[:, 1])
        front = smooth(-9.0, -2.0, place[:, 2])
        want = np.zeros((count, 3))
        want[:, 0] = side * (0.35 + 0.9 * height * front)
        want[:, 1] = -0.75 + 1.1 * front * height * (1 - 1.5 * s)
        want[:, 2] = -0.95 + 0.2 * s - 0.25 * front
        wave = (
            np.sin(2 * np.pi * s * length / 4.6 + phase[lock] + 0.5 * rng.standard_normal(count) * 0.25)
            * 0.42
            * curl[lock]
        )
        across = np.cross(out, want)
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
        want += across * (wave * smooth(0.05, 0.4, np.full(count, s)))[:, None]
        want -= out * np.sum(want * out, axis=1, keepdims=True)
        want /= np.linalg.norm(want, axis=1, keepdims=True) + 1e-9
        place = place + want * step[:, None]
        under, out = _surface(place)
        rise = (1.15 - 0.75 * deep) * np.sin(min(s * 1.15 + 0.08, 1.0) * np.pi * 0.78) * (0.8 + 0.3 * top)
        rise = rise + 0.14 * lock_lift[lock] * s + 0.10 * np.sin(2 * np.pi * s * length / 4.6 + phase[lock] + 1.4) * s
        under = under + 0.12 + np.clip(rise, 0.0, None)
        ear = np.exp(-(((place[:, 2] + 7.6) / 2.0) ** 2) - ((place[:, 1] + 0.4) / 2.6) ** 2)
        place = CENTRE + out * (under + 0.75 * ear)[:, None]
    white = np.clip(
        rng.beta(2.2, 1.4, count) + 0.20 * smooth(0.6, 0.2, np.abs(theta)) - 0.10 * smooth(1.2, 2.5, np.abs(theta)),
        0,
        1,
    )
    white = np.clip(0.75 * white + 0.25 * rng.random(260)[lock], 0, 1)
    tint = np.array([0.055, 0.048, 0.045]) * (1 - white[:, None]) + np.array([0.56, 0.55, 0.53]) * white[:, None]
    t = np.linspace(0, 1, POINTS)[None, :]
    width = np.broadcast_to(0.042 * (1 - 0.55 * t**2), (count, POINTS)) * (0.8 + 0.4 * rng.random((count, 1)))
    edge = smooth(0.9, 0.0, root[:, 1] - hairline(theta))[:, None]
    alpha = np.clip(0.80 - 0.45 * t**3, 0, 1) * np.clip(smooth(0.0, 0.18, t) + (1 - edge) * 0.8, 0, 1)
    return _pack(points, tint, width, np.broadcast_to(alpha, (count, POINTS)), deep, outward)


def _pack(
    points: Floats,
    tint: Floats,
    width: Floats,
    alpha: Floats,
    deep: Floats,
    outward: Floats,
) -> Strands:
    return Strands(
        *(np.ascontiguousarray(part, dtype=np.float32) for part in (points, tint, width, alpha, deep, outward))
    )


@lru_cache(maxsize=1)
def _front() -> tuple[cKDTree, NDArray[np.int64]]:
    place = face_rest({})
    index = np.flatnonzero((place[..., 2] > -4.5).ravel())
    return cKDTree(place.reshape(-1, 3)[index][:, :2]), index


def _on_skin(xy: Floats, skin: Floats, normal: Floats) -> tuple[Floats, Floats]:
    """Places and normals on the moved face (rows of the upper mesh) for rest places `xy` [N, 2]."""
    tree, index = _front()
    distance, near = tree.query(xy, k=3)
    weight = 1 / (distance + 1e-4)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.minimum(index[near], len(skin) - 1)
    return (skin[rows] * weight[..., None]).sum(axis=1), (normal[rows] * weight[..., None]).sum(axis=1)


def grow_brows(seed: int, skin: Floats, normal: Floats, face: Mapping[str, float]) -> Strands:
    """Brows and lashes on the moved face: `skin`, `normal` [N, 3] are the upper face mesh's points."""
    rng = np.random.default_rng([seed, 32])
    groups = []
    for side in (-1.0, 1.0):
        count = 480
        s = rng.random(count) ** 0.9
        bx = 1.35 + 3.55 * s
        by = 1.60 + 1.15 * s - 1.02 * s**2.3 + (rng.standard_normal(count) * 0.15) * (1.0 - 0.55 * s)
        angle = 1.05 - 1.25 * smooth(0.0, 0.55, s) - 0.2 * s + 0.20 * rng.standard_normal(count)
        long = rng.uniform(0.28, 0.62, count) * (1 - 0.25 * s)
        t = np.linspace(0, 1, POINTS)
        x = bx[:, None] + np.cos(angle)[:, None] * long[:, None] * t
        y = by[:, None] + np.sin(angle)[:, None] * long[:, None] * t - 0.12 * long[:, None] * t**2
        place, out = _on_skin(np.stack([side * x, y], axis=-1).reshape(-1, 2), skin, normal)
        place = place.reshape(count, POINTS, 3) + out.reshape(count, POINTS, 3) * (0.02 + 0.05 * t[None, :, None])
        grey = rng.beta(1.5, 1.6, count)[:, None]
        tint = np.array([0.05, 0.04, 0.035]) * (1 - grey) + np.array([0.38, 0.36, 0.34]) * grey
        width = 0.034 * (1 - 0.6 * t)[None, :] * np.ones((count, 1))
        thin = (np.clip(1.05 - 0.5 * s, 0, 1) * (0.35 + 0.65 * smooth(0.0, 0.25, s)))[:, None]
        alpha = 0.72 * thin * np.minimum(1.0, 8 * t + 0.3)[None, :]
        groups.append((place, tint, width, alpha, out.reshape(count, POINTS, 3)))
    table = lid_table(face).astype(np.float64)
    grid = np.linspace(LID_IN, LID_OUT, table.shape[1])
    t = np.linspace(0, 1, POINTS)
    for side, upper, lower in ((-1.0, table[1], table[2]), (1.0, table[3], table[4])):
        # the line of the lid itself, a few overlapping soft strokes
        for row, dark, thick, lift in (
            (upper, 0.85, 0.085, 0.012),
            (upper, 0.5, 0.15, 0.05),
            (lower, 0.30, 0.05, -0.02),
        ):
            x = np.linspace(LID_IN + 0.02, LID_OUT + (0.04 if row is upper else -0.05), POINTS * 4)
            y = np.interp(x, grid, row) + lift
            place, out = _on_skin(np.stack([side * x, y], axis=-1), skin, normal)
            place = (place + 0.03 * out).reshape(4, POINTS, 3)
            joined = np.concatenate([place[:-1, -1:], place[1:, :1]], axis=1)  # close the gaps between pieces
            place[:-1, -1] = joined.mean(axis=1)
            place[1:, 0] = joined.mean(axis=1)
            fade = np.clip(np.sin(np.linspace(0.05, np.pi - 0.25, POINTS * 4)) * 1.6 + 0.1, 0, 1).reshape(4, POINTS)
            tint = np.tile(np.array([[0.05, 0.03, 0.025]]), (4, 1))
            groups.append((place, tint, np.full((4, POINTS), thick), dark * fade, out.reshape(4, POINTS, 3)))
        count = 60
        s = np.linspace(0.08, 0.97, count) + 0.01 * rng.standard_normal(count)
        x0 = LID_IN + (LID_OUT - LID_IN) * s
        y0 = np.interp(x0, grid, upper)
        root, out = _on_skin(np.stack([side * x0, y0], axis=-1), skin, normal)
        long = rng.uniform(0.22, 0.42, count)
        way = np.stack([side * (s - 0.45) * 0.9, np.full(count, -0.10), np.full(count, 0.75)], axis=-1)
        place = root[:, None] + way[:, None] * (long[:, None] * t)[..., None]
        place[..., 1] += 0.55 * long[:, None] * t**2
        groups.append(
            (
                place,
                np.tile([[0.04, 0.03, 0.03]], (count, 1)),
                0.026 * (1 - 0.7 * t)[None] * np.ones((count, 1)),
                np.full((count, POINTS), 0.55),
                np.repeat(out[:, None], POINTS, axis=1),
            )
        )
    joined_up = [np.concatenate([group[k] for group in groups]) for k in range(5)]
    return _pack(joined_up[0], joined_up[1], joined_up[2], joined_up[3], np.zeros(len(joined_up[0])), joined_up[4])
