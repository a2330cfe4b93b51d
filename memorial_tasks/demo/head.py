"""The sculpture: one invented elderly woman's head, neck and shoulders as grids of points.

Centimetres; x to the picture's right, y up, z to the viewer; the origin lies between the eyes. The head is a radius
over directions from a point inside it, interpolated between some hundred hand-set points, with finer forms (lips,
wings of the nose, lids, folds) added as functions of the place. Every point is invented; nobody was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import RBFInterpolator

from memorial_tasks.demo.raster import ALONG, CHANNELS, DOWN, EXTRA, NORMAL, POSITION, TEXEL, Floats, Mesh

SKIN, EYE, TEETH, CAVE, NECK, CLOTH, CAP, EAR, JADE = 1, 2, 3, 4, 5, 6, 7, 8, 9
CENTRE = np.array([0.0, -1.0, -8.5])
COLUMNS, ROWS = 361, 330
EYE_X, EYE_Z, EYE_RADIUS = 3.12, -1.98, 1.2
LID_IN, LID_OUT = 1.62, 4.66
MOUTH_Y, MOUTH_HALF = -6.5, 2.45

_MIDLINE = (
    (11.0, -8.5), (10.3, -4.6), (8.8, -2.3), (6.8, -0.5), (4.6, 0.15), (2.9, 0.3), (1.7, 0.3), (0.3, -0.05),
    (-1.1, 0.42), (-2.3, 0.98), (-3.3, 1.55), (-3.95, 1.6), (-4.75, 0.55), (-5.6, 0.5), (-6.5, 0.72), (-7.5, 0.5),
    (-8.3, 0.0), (-9.3, 0.4), (-10.3, -0.25), (-10.9, -1.7), (-10.9, -4.0), (-10.6, -6.5),
)  # fmt: skip
_HALF = (
    (1.0, 0.3, -0.52), (1.1, -1.1, -0.28), (1.2, -2.3, 0.0), (1.5, -3.1, 0.05), (1.5, -3.95, 0.75), (2.12, -4.1, -0.02),
    (1.2, -4.85, 0.25), (1.0, -5.6, 0.42), (1.1, -6.5, 0.55), (1.1, -7.5, 0.4), (1.1, -8.3, -0.05), (1.3, -9.3, 0.22),
    (1.5, -10.3, -0.5), (1.7, -10.85, -2.0),
    (1.66, -0.1, -1.0), (3.1, 0.0, -0.80), (4.6, 0.0, -1.62), (3.1, 1.15, -0.62), (1.7, 1.2, -0.35),
    (4.7, 1.1, -1.25), (3.1, 2.1, -0.20), (1.5, 2.0, 0.18), (4.7, 2.2, -0.85), (5.8, 1.7, -2.25),
    (3.1, -1.35, -0.66), (1.75, -1.3, -0.42), (4.5, -1.2, -1.3),
    (2.5, 4.6, -0.2), (5.0, 4.5, -1.5), (6.3, 3.8, -3.7), (2.5, 6.8, -1.1), (5.0, 6.9, -3.0), (6.7, 6.2, -6.0),
    (3.0, 9.0, -3.0), (6.0, 9.0, -6.6), (4.0, 10.3, -8.5), (6.55, 1.6, -4.4), (7.0, 2.6, -7.0),
    (4.7, -2.1, -1.05), (5.85, -1.7, -2.55), (6.6, -1.2, -4.5), (6.95, -1.0, -6.8), (3.0, -2.7, -0.15),
    (3.3, -4.1, 0.0), (2.5, -4.7, -0.1), (4.7, -4.2, -1.0), (5.75, -4.1, -3.0), (6.3, -4.5, -6.0),
    (2.5, -6.5, -0.08), (3.5, -6.5, -0.62), (4.5, -6.5, -1.7), (5.2, -6.7, -3.9), (5.7, -6.9, -6.5),
    (2.4, -8.3, -0.35), (2.3, -9.4, -0.55), (3.6, -8.4, -1.35), (4.3, -8.5, -3.4), (4.9, -8.4, -6.0),
    (2.7, -10.1, -1.9), (2.2, -10.8, -3.6), (2.8, -10.6, -6.2),
    (7.4, 2.0, -9.5), (7.6, 5.0, -9.5), (7.0, 8.0, -9.5), (6.9, -3.0, -9.5), (5.5, -7.0, -9.5),
    (5.0, 5.0, -15.0), (5.0, 0.0, -15.5), (4.5, -5.0, -14.0), (3.5, -9.0, -13.0), (3.0, 9.5, -12.5),
)  # fmt: skip
_BACK = ((9.5, -14.0), (5.0, -17.3), (0.0, -17.5), (-5.0, -15.5), (-9.0, -13.0))


def bump(x: Floats, y: Floats, cx: float, cy: float, sx: float, sy: float) -> Floats:
    """Gaussian hill of height 1 at (cx, cy)."""
    return np.asarray(np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2))


def smooth(low: float, high: float, value: Floats) -> Floats:
    """0 below `low`, 1 above `high`, an S between (also for low > high)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def groove(x: Floats, y: Floats, line: tuple[tuple[float, float], ...], width: float) -> tuple[Floats, Floats]:
    """Closeness 0..1 of points to the polyline `line`, and the signed distance (positive to the right of it)."""
    best = np.full(x.shape, np.inf)
    side = np.zeros(x.shape)
    ends = np.ones(x.shape)
    steps = len(line) - 1
    for i in range(steps):
        (ax, ay), (bx, by) = line[i], line[i + 1]
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        ex, ey = x - ax - t * dx, y - ay - t * dy
        d = np.hypot(ex, ey)
        near = d < best
        best = np.where(near, d, best)
        side = np.where(near, np.sign(ex * dy - ey * dx) * d, side)
        along = (i + t) / steps
        ends = np.where(near, np.clip(np.minimum(along, 1 - along) * 3.5, 0, 1), ends)
    return np.exp(-((best / width) ** 2)) * ends * ends * (3 - 2 * ends), side


@dataclass(frozen=True)
class Rest:
    """The head at rest: place [R, C, 3], the mouth's row, and angles of every grid point."""

    place: Floats
    mouth_row: int


def _radius() -> RBFInterpolator:
    points = [(0.0, y, z) for y, z in _MIDLINE + _BACK]
    for x, y, z in _HALF:
        points += [(x, y, z), (-x * 0.995, y, z)]
    away = np.array(points) - CENTRE
    lengths = np.linalg.norm(away, axis=1)
    return RBFInterpolator(away / lengths[:, None], lengths, kernel="cubic", degree=1, smoothing=2e-5)


@lru_cache(maxsize=1)
def rest_head() -> Rest:
    """The smooth head without its finer forms."""
    across = np.linspace(-1, 1, COLUMNS)
    theta = np.pi * (0.30 * across + 0.70 * across**3)
    phi = np.concatenate([np.linspace(1.56, 0.76, 60)[:-1], np.linspace(0.76, -1.28, ROWS - 59)])
    row = int(np.argmin(np.abs(phi + 0.53)))
    # Bend the rows so that one of them is the line between the lips.
    horizontal = np.interp(np.abs(theta), [0, 0.13, 0.28, 0.42, 0.6], [9.2, 9.1, 8.78, 8.6, 8.0])
    wanted = -np.arctan((-MOUTH_Y + CENTRE[1] + 0.04 * np.cos(theta * 9)) / horizontal)
    shift = (wanted - phi[row]) * smooth(1.1, 0.5, np.abs(theta))
    grid_phi = phi[:, None] + shift[None, :] * np.exp(-(((phi[:, None] - phi[row]) / 0.22) ** 2))
    grid_theta = np.broadcast_to(theta[None, :], grid_phi.shape)
    way = np.stack(
        [np.sin(grid_theta) * np.cos(grid_phi), np.sin(grid_phi), np.cos(grid_theta) * np.cos(grid_phi)], axis=-1
    )
    length = _radius()(way.reshape(-1, 3)).reshape(grid_phi.shape)
    return Rest(CENTRE + way * length[..., None], row)


NASOLABIAL = ((1.75, -3.7), (2.25, -4.5), (2.85, -5.4), (3.2, -6.3), (3.3, -7.0))
MARIONETTE = ((2.62, -6.75), (2.85, -7.4), (2.95, -8.2), (2.9, -8.9))
BAG = ((1.75, -0.75), (2.3, -1.25), (3.1, -1.5), (3.9, -1.4), (4.6, -0.9))


def lip_borders(x: Floats) -> tuple[Floats, Floats]:
    """Heights of the red above and below the mouth line at `x`, both positive, 0 outside the corners."""
    t = np.clip(1 - (x / MOUTH_HALF) ** 2, 0, 1)
    upper = (
        0.60 * t**0.75 * (1 - 0.22 * np.exp(-((x / 0.28) ** 2))) + 0.05 * np.exp(-(((np.abs(x) - 0.5) / 0.3) ** 2)) * t
    )
    lower = 0.70 * t**0.85
    return upper, lower


def _fine(rest: Rest, face: Mapping[str, float]) -> Floats:
    """Finer forms as a shift along z, [R, C]; folds deepen with the smile."""
    x, y = rest.place[..., 0], rest.place[..., 1]
    a = np.abs(x)
    smile = face.get("smile", 0.0)
    front = smooth(-5.5, -3.0, rest.place[..., 2])
    h = 0.30 * bump(a, y, 1.32, -3.92, 0.40, 0.42) - 0.14 * bump(a, y, 1.95, -3.85, 0.20, 0.55)
    h += 0.36 * bump(a, y, 0.0, -3.72, 0.66, 0.52) - 0.10 * bump(a, y, 0.68, -4.42, 0.34, 0.10)
    h -= 0.12 * bump(a, y, 0.80, -3.75, 0.14, 0.32)
    h += 0.10 * bump(a, y, 0.0, -4.55, 0.22, 0.3)
    h += -0.05 * bump(a, y, 0.0, -5.25, 0.17, 0.5) + 0.04 * bump(a, y, 0.42, -5.3, 0.16, 0.5)
    line = rest.place[rest.mouth_row, :, 1][None, :]
    up, low = lip_borders(x)
    t_up = (y - line) / np.maximum(up, 0.06)
    t_low = (line - y) / np.maximum(low, 0.06)
    width = np.clip(1 - (x / (MOUTH_HALF + 0.25)) ** 2, 0, 1) ** 0.6
    roll_up = np.where(t_up >= 0, 0.25 * np.exp(-(((t_up - 0.62) / 0.55) ** 2)), 0)
    roll_low = np.where(t_low >= 0, 0.33 * np.exp(-(((t_low - 0.55) / 0.5) ** 2)), 0)
    h += width * (roll_up + roll_low) * (1 - 0.25 * smile)
    h -= 0.22 * width * np.exp(-(((y - line) / 0.10) ** 2))
    h -= 0.16 * bump(a, y, MOUTH_HALF + 0.12, MOUTH_Y - 0.02, 0.25, 0.22)
    near, side = groove(a, y, NASOLABIAL, 0.28)
    wide, _ = groove(a, y, NASOLABIAL, 0.95)
    h += -(0.10 + 0.11 * smile) * near + (0.16 + 0.14 * smile) * wide * smooth(0.25, -0.25, side) + 0.02 * smile
    near, side = groove(a, y, MARIONETTE, 0.25)
    wide, _ = groove(a, y, MARIONETTE, 0.8)
    h += -0.05 * near + 0.06 * wide * smooth(0.25, -0.25, side)
    near, _ = groove(a, y, BAG, 0.22)
    wide, _ = groove(a, y + 0.38, tuple((p, q + 0.0) for p, q in BAG), 0.4)
    h += -0.085 * near + 0.07 * groove(a, y - 0.40, BAG, 0.30)[0]
    h += 0.36 * bump(a, y, 3.6, -8.3, 0.95, 0.9) - 0.16 * bump(a, y, 2.5, -9.1, 0.5, 0.7)
    h += -0.10 * bump(a, y, 3.6, -5.2, 1.0, 1.2) * (1 - smile)
    return np.asarray(h * front)


def _lids(z: Floats, x: Floats, y: Floats) -> Floats:
    """The skin lies on the eyeball around the eye: `z` raised there to a slightly larger sphere."""
    dx, dy = np.abs(x) - EYE_X, y + 0.02
    reach = np.hypot(dx / 1.12, dy)
    ball = EYE_Z + np.sqrt(np.clip(1.33**2 - (dx / 1.08) ** 2 - dy**2, 0.02, None))
    weight = smooth(1.22, 0.85, reach)
    lifted = z + (ball - z) * weight
    crease = np.exp(-(((dy - 0.80 + 0.16 * dx**2) / 0.08) ** 2)) * smooth(1.75, 1.2, np.abs(dx))
    hood = np.exp(-(((dy - 1.04 + 0.18 * dx**2) / 0.22) ** 2)) * smooth(1.9, 1.2, np.abs(dx - 0.2))
    return np.asarray(lifted - 0.08 * crease + 0.17 * hood)


def lid_table(face: Mapping[str, float]) -> Floats:
    """Lid heights for the rasteriser: row 0 the ends in x, then left upper, left lower, right upper, right lower."""
    count = 65
    s = np.linspace(0, 1, count)
    table = np.zeros((5, count), np.float32)
    table[0, :2] = LID_IN, LID_OUT
    corner = -0.14 + 0.15 * s
    rise = 0.52 - 0.15 * face.get("squint", 0.0) + 0.10 * face.get("wide", 0.0)
    drop = 0.385 - 0.20 * face.get("squint", 0.0)
    shape_up = (4 * s * (1 - s)) ** 0.72 * (1.06 - 0.16 * s)
    shape_low = (4 * s * (1 - s)) ** 0.85 * (0.82 + 0.30 * s)
    for row, key in ((1, "blink_left"), (3, "blink_right")):
        shut = face.get(key, face.get("blink", 0.0))
        lower = corner - drop * shape_low
        upper = corner + rise * shape_up - 0.12 * face.get("down", 0.0) * shape_up
        table[row] = upper + (lower + 0.01 - upper) * shut
        table[row + 1] = lower - 0.03 * shut
    return table


def _hinge(place: Floats, angle: Floats) -> Floats:
    """`place` turned downwards about the jaw's axis by `angle` (radians, one a point)."""
    y, z = place[..., 1] + 2.0, place[..., 2] + 7.5
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([place[..., 0], y * cos - z * sin - 2.0, z * cos + y * sin - 7.5], axis=-1)


def _express(place: Floats, below: bool, line_y: Floats, face: Mapping[str, float]) -> Floats:
    """Move the points of the upper (`below` False) or lower part of the face as the expression asks."""
    x, y = place[..., 0].copy(), place[..., 1].copy()
    a, sign = np.abs(x), np.sign(x)
    front = smooth(-6.0, -3.5, place[..., 2])
    move = np.zeros_like(place)
    smile, sad = face.get("smile", 0.0), face.get("sad", 0.0)
    corner = bump(a, y, 2.7, -6.45, 1.75, 1.15)
    cheek = bump(a, y, 3.9, -3.3, 1.7, 1.5)
    move[..., 0] += (
        sign * (0.60 * smile - 0.05 * sad - 0.45 * face.get("pucker", 0.0)) * corner + sign * 0.12 * smile * cheek
    )
    move[..., 1] += (0.72 * smile - 0.24 * sad) * corner + 0.34 * smile * cheek
    move[..., 2] += (
        -0.34 * smile * corner + (0.34 * smile) * cheek + 0.3 * face.get("pucker", 0.0) * bump(a, y, 0, -6.5, 1.6, 1.1)
    )
    move[..., 1] += 0.10 * smile * bump(a, y, 3.2, -0.9, 1.4, 0.5)
    move[..., 1] -= 0.10 * smile * bump(a, y, 0.0, -6.5, 1.3, 0.9)
    brow = face.get("brow", 0.0)
    move[..., 1] += 0.42 * brow * bump(a, y, 3.0, 2.3, 2.2, 1.3)
    move[..., 1] += 0.38 * sad * bump(a, y, 1.3, 2.0, 1.0, 1.0) - 0.10 * sad * bump(a, y, 4.4, 1.9, 1.0, 0.9)
    move[..., 0] -= sign * 0.10 * sad * bump(a, y, 1.2, 2.0, 0.9, 0.9)
    gap = np.clip(1 - (x / (MOUTH_HALF * 0.985)) ** 2, 0, 1) ** 0.55
    away = np.abs(y - line_y)
    part = face.get("part", 0.0)
    if below:
        move[..., 1] -= (0.30 * part * gap * np.exp(-away / 0.9)) * front
    else:
        move[..., 1] += (0.24 * part * gap * np.exp(-away / 0.8)) * front
    move *= front[..., None]
    turned = place + move
    jaw = 0.27 * face.get("jaw", 0.0)
    if jaw:
        sides = smooth(6.8, 3.2, a) * smooth(-9.0, -3.5, place[..., 2])
        if below:
            weight = 0.40 + 0.60 * np.maximum(gap * np.exp(-away / 2.2), smooth(0.0, 1.7, away))
        else:
            weight = 0.40 * np.exp(-((away / 1.5) ** 2)) * (1 - 0.9 * gap)
        turned = _hinge(turned, jaw * weight * sides)
        turned[..., 0] *= 1 - 0.07 * face.get("jaw", 0.0) * corner
    return np.asarray(turned)


def _grid_mesh(
    place: Floats,
    texel: Floats,
    extra: Floats,
    material: int,
    rest_xy: Floats | None = None,
) -> Mesh:
    """Floats [R, C, 3] to a mesh with normals and tangents; `texel` [R, C, 2] in texture pixels."""
    along, down = np.gradient(place, axis=1), np.gradient(place, axis=0)
    normal = np.cross(down, along)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-12
    rows, columns = place.shape[:2]
    attributes = np.zeros((rows * columns, CHANNELS + 2), np.float32)
    attributes[:, POSITION] = place.reshape(-1, 3)
    attributes[:, NORMAL] = normal.reshape(-1, 3)
    attributes[:, ALONG] = along.reshape(-1, 3)
    attributes[:, DOWN] = down.reshape(-1, 3)
    attributes[:, TEXEL] = texel.reshape(-1, 2)
    attributes[:, EXTRA] = extra.reshape(-1)
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    p, q, r, s = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([p, q, r], 1), np.stack([q, s, r], 1)]).astype(np.int32)
    holes = None
    if rest_xy is not None:
        attributes[:, CHANNELS:] = rest_xy.reshape(-1, 2)
        flat = rest_xy.reshape(-1, 2)[triangles[:, 0]]
        holes = (np.abs(np.abs(flat[:, 0]) - EYE_X) < 1.8) & (np.abs(flat[:, 1]) < 1.3)
    return Mesh(attributes, triangles, material, holes)


def face_rest(face: Mapping[str, float]) -> Floats:
    """The head with its finer forms, before the expression moves it, [R, C, 3]."""
    rest = rest_head()
    place = rest.place.copy()
    place[..., 2] += _fine(rest, face)
    front = place[..., 2] > -4.0
    lifted = _lids(place[..., 2], place[..., 0], place[..., 1])
    place[..., 2] = np.where(front, lifted, place[..., 2])
    return place


def head_meshes(face: Mapping[str, float]) -> list[Mesh]:
    """Face above and below the mouth, eyes, teeth, mouth, ears, cap under the hair: everything that turns together."""
    rest = rest_head()
    place = face_rest(face)
    row = rest.mouth_row
    line = place[row, :, 1][None, :]
    u, v = np.meshgrid(np.arange(COLUMNS, dtype=np.float64), np.arange(ROWS, dtype=np.float64))
    texel = np.stack([u, v], axis=-1)
    meshes: list[Mesh] = []
    for below in (False, True):
        part = slice(row, None) if below else slice(0, row + 1)
        moved = _express(place[part], below, line, face)
        # The lips go on into the mouth.
        edge = moved[0] if below else moved[-1]
        inward = np.clip(1 - (place[row, :, 0] / (MOUTH_HALF + 0.1)) ** 2, 0, 1)
        lips = []
        for step in range(1, 7):
            inner = edge.copy()
            depth = step / 6
            inner[:, 2] -= inward * 1.1 * depth
            inner[:, 1] += inward * (-0.42 if below else 0.36) * np.sin(depth * 1.57)
            lips.append(inner)
        tex = texel[part]
        extra = np.zeros(moved.shape[:2])
        if below:
            moved = np.concatenate([np.stack(lips[::-1]), moved])
            tex = np.concatenate([np.repeat(tex[:1], 6, axis=0), tex])
            extra = np.concatenate([np.repeat((np.arange(6, 0, -1) / 6)[:, None], COLUMNS, 1), extra])
        else:
            moved = np.concatenate([moved, np.stack(lips)])
            tex = np.concatenate([tex, np.repeat(tex[-1:], 6, axis=0)])
            extra = np.concatenate([extra, np.repeat((np.arange(1, 7) / 6)[:, None], COLUMNS, 1)])
        rest_rows = np.clip(tex[..., 1].astype(int), 0, ROWS - 1)
        rest_columns = tex[..., 0].astype(int)
        rest_xy = rest.place[rest_rows, rest_columns][..., :2].copy()
        rest_xy[place[rest_rows, rest_columns][..., 2] < -4.0] = 99.0
        meshes.append(_grid_mesh(moved, tex, extra, SKIN, rest_xy))
    _close_corners(meshes[0], meshes[1], place[row, :, 0], rest.mouth_row)
    meshes += [_eyeball(-1, face), _eyeball(1, face)]
    meshes += _mouth(face)
    meshes += [_ear(-1), _ear(1), _cap(), _earring(-1), _earring(1)]
    return meshes


def _close_corners(upper: Mesh, lower: Mesh, x: Floats, row: int) -> None:
    """Give both sides of the mouth line one normal outside the corners, where the skin is whole."""
    whole = smooth(MOUTH_HALF - 0.12, MOUTH_HALF + 0.05, np.abs(x))[:, None].astype(np.float32)
    top = upper.attributes.reshape(-1, COLUMNS, CHANNELS + 2)
    bottom = lower.attributes.reshape(-1, COLUMNS, CHANNELS + 2)
    start = bottom.shape[0] - (ROWS - row)  # rows of the lips' inside come first
    mean = (top[row - 1, :, NORMAL] + bottom[start + 1, :, NORMAL]) / 2
    for step in range(4):
        part = whole * (1 - step / 4)
        for block, at in ((top, row - step), (bottom, start + step)):
            block[at, :, NORMAL] += part * (mean - block[at, :, NORMAL])
    for step in range(1, 7):
        for block, at in ((top, row + step), (bottom, start - step)):
            block[at, :, NORMAL] += whole * (mean - block[at, :, NORMAL])


def _eyeball(side: int, face: Mapping[str, float]) -> Mesh:
    polar, turn = np.meshgrid(np.linspace(0, 1.75, 60), np.linspace(0, 2 * np.pi, 73), indexing="ij")
    local = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    bulge = 0.045 * np.exp(-((polar / 0.42) ** 4))  # the cornea
    yaw = 0.42 * face.get("gaze_x", 0.0) - side * 0.025
    pitch = 0.35 * face.get("gaze_y", 0.0)
    ball = local * (EYE_RADIUS * (1 + bulge))[..., None]
    y = ball[..., 1] * np.cos(pitch) + ball[..., 2] * np.sin(pitch)
    z = -ball[..., 1] * np.sin(pitch) + ball[..., 2] * np.cos(pitch)
    x = ball[..., 0] * np.cos(yaw) + z * np.sin(yaw)
    z = -ball[..., 0] * np.sin(yaw) + z * np.cos(yaw)
    place = np.stack([x + side * EYE_X, y - 0.02, z + EYE_Z], axis=-1)
    texel = local[..., :2] * 1000.0  # where on the eye, for the iris
    return _grid_mesh(place, texel, polar, EYE)


def _mouth(face: Mapping[str, float]) -> list[Mesh]:
    angle = np.linspace(-1.25, 1.25, 160)
    meshes = []
    for below in (False, True):
        t = np.linspace(0, 1, 24)[:, None]
        bow = np.broadcast_to(angle[None, :], (24, 160))
        reach = 2.2 if below else 2.35
        x = reach * np.sin(bow)
        z = -2.55 + (2.75 if not below else 2.55) * np.cos(bow) * np.ones_like(t)
        width = 0.86 if not below else 0.62
        tooth = np.abs(np.sin(bow * reach / width * np.pi / 1.0 + (0 if not below else 0.0)))
        z = z + 0.05 * tooth**0.5 - 0.12 * (1 - t if not below else t) ** 2
        biting = 0.07 * (1 - tooth**0.35)
        top, bottom = (-5.45, -6.92) if not below else (-6.80, -7.8)
        y = top + (bottom - top) * t + (biting * t**6 if not below else -biting * (1 - t) ** 6)
        y = y + 0.10 * (np.abs(x) / 2.3) ** 2
        place = np.stack([x, y, z], axis=-1)
        if below:
            place = _hinge(place, np.full(place.shape[:2], 0.27 * face.get("jaw", 0.0)))
        texel = np.stack([bow * reach / width, np.broadcast_to(t, bow.shape)], axis=-1) * 1000.0
        meshes.append(_grid_mesh(place, texel, np.full(bow.shape, float(below)), TEETH))
    x, y = np.meshgrid(np.linspace(-2.7, 2.7, 20), np.linspace(-4.8, -8.9, 20))
    place = np.stack([x, y, np.full(x.shape, -2.2) - 0.10 * x**2], axis=-1)
    meshes.append(_grid_mesh(place, np.zeros((20, 20, 2)), np.zeros((20, 20)), CAVE))
    # The tongue: a low mound that goes down with the jaw.
    r, t = np.meshgrid(np.linspace(0, 1, 24), np.linspace(0, 2 * np.pi, 49), indexing="ij")
    place = np.stack(
        [1.75 * r * np.cos(t), -7.0 + 0.45 * np.sqrt(1 - r**2 * 0.98), -1.6 + 1.35 * r * np.sin(t)], axis=-1
    )
    place = _hinge(place, np.full(place.shape[:2], 0.27 * face.get("jaw", 0.0)))
    meshes.append(_grid_mesh(place, np.zeros((24, 49, 2)), np.ones((24, 49)), CAVE))
    return meshes


def _ear(side: int) -> Mesh:
    r, t = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 2 * np.pi, 81), indexing="ij")
    up = np.sin(t)
    outline = 1 + 0.10 * np.cos(2 * t) + 0.05 * np.sin(t)
    px = 1.75 * r * np.cos(t) * outline * (1 - 0.22 * smooth(0, -1, up)) - 0.25 * r * up
    py = 3.25 * r * up * outline
    rim = 0.35 * np.exp(-(((r - 0.90) / 0.09) ** 2)) * smooth(-0.75, -0.3, up)
    anti = 0.26 * np.exp(-(((r - 0.58) / 0.12) ** 2)) * smooth(0.3, -0.3, np.cos(t))
    bowl = -0.65 * bump(px, py, 0.35, -0.35, 0.75, 1.1)
    lobe = 0.12 * bump(px, py, 0.2, -2.6, 0.8, 0.7)
    h = rim + anti + bowl + lobe - 0.5 * smooth(0.93, 1.0, r)
    # px runs forward; the ear stands off the head by some 28 degrees
    lean = 0.5
    x = 7.0 + h * np.cos(lean) + (0.9 - px) * np.sin(lean) * 0.75
    z = -8.3 + px * np.cos(lean) * 1.05 + h * np.sin(lean)
    y = -1.4 + py
    place = np.stack([side * x, y, z + 0.12 * py], axis=-1)
    if side < 0:
        place = place[:, ::-1]
        h = h[:, ::-1]
    normal_out = _grid_mesh(place, np.stack([t, r], axis=-1) * 100, h, EAR)
    facing = normal_out.attributes[:, 3] * side
    if np.median(facing) < 0:
        normal_out.attributes[:, NORMAL] *= -1
    return normal_out


def _earring(side: int) -> Mesh:
    """A small bead of jade on the lobe."""
    polar, turn = np.meshgrid(np.linspace(0.02, 3.12, 20), np.linspace(0, 2 * np.pi, 33), indexing="ij")
    ball = 0.30 * np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1
    ) + np.array([side * 7.38, -4.0, -8.2])
    return _grid_mesh(ball, np.zeros((20, 33, 2)), np.zeros((20, 33)), JADE)


HAIRLINE = (
    (0.0, 5.35),
    (0.25, 5.5),
    (0.5, 5.2),
    (0.72, 4.1),
    (0.86, 2.3),
    (1.0, 0.7),
    (1.2, 0.4),
    (1.5, -0.6),
    (1.9, -4.5),
    (3.2, -6.5),
)


def hairline(theta: Floats) -> Floats:
    """Height y above which hair grows, over the angle around the head (0 in front)."""
    a = np.abs(theta)
    return np.asarray(np.interp(a, [p for p, _ in HAIRLINE], [q for _, q in HAIRLINE]))


def _cap() -> Mesh:
    """The dark ground under the hair, a little above the scalp, drawn in below the hairline."""
    place = rest_head().place
    away = place - CENTRE
    theta = np.arctan2(away[..., 0], away[..., 2])
    above = place[..., 1] - hairline(theta)
    lift = smooth(0.2, 1.4, above) * 0.30 - 0.10 + 0.22 * smooth(1.0, 2.6, above) - 2.5 * smooth(-0.3, -1.5, above)
    lifted = place + away / np.linalg.norm(away, axis=-1, keepdims=True) * lift[..., None]
    u, v = np.meshgrid(np.arange(COLUMNS, dtype=np.float64), np.arange(ROWS, dtype=np.float64))
    return _grid_mesh(lifted[:230], np.stack([u, v], -1)[:230], above[:230], CAP)


def body_meshes() -> list[Mesh]:
    """Neck and clothed shoulders, as grids around the spine."""
    turn = np.linspace(-np.pi, np.pi, 181)
    y = np.linspace(-6.5, -17.0, 90)
    wide = np.interp(-y, [6.5, 9, 12, 14.5, 17], [4.6, 4.3, 4.4, 5.2, 7.4])
    deep = np.interp(-y, [6.5, 9, 12, 14.5, 17], [5.2, 4.9, 4.8, 5.4, 6.6])
    back = np.interp(-y, [6.5, 12, 17], [-8.6, -8.8, -9.6])
    cords = 0.18 * (np.exp(-(((np.abs(turn) - 0.35) / 0.14) ** 2)))[None, :] * smooth(-9.5, -12.5, y)[:, None]
    x = (wide[:, None] + cords) * np.sin(turn)[None, :]
    z = (deep[:, None] + cords) * np.cos(turn)[None, :] + back[:, None]
    place = np.stack([x, np.broadcast_to(y[:, None], x.shape), z], axis=-1)
    u, v = np.meshgrid(turn * 5.2, y)
    neck = _grid_mesh(place, np.stack([u, v], axis=-1), np.zeros(u.shape), NECK)
    t = np.linspace(0, 1, 200)
    y = -12.6 - 26 * t**1.25
    wide = np.interp(
        -y, [12.6, 13.3, 14.5, 16, 18, 20.5, 24, 30, 40], [4.9, 5.5, 7.6, 10.8, 14.2, 16.2, 17.2, 18.0, 18.6]
    )
    front = np.interp(-y, [12.6, 13.3, 14.5, 16, 18, 21, 26, 40], [5.9, 6.3, 6.9, 7.6, 8.8, 10.4, 12.2, 12.4])
    kernel = np.sin(np.linspace(0, np.pi, 25)) ** 2 / 12.0
    wide, front = (np.convolve(np.pad(w, 12, mode="edge"), kernel, mode="valid") for w in (wide, front))
    turn = np.linspace(-np.pi * 0.75, np.pi * 0.75, 301)
    sin, cos = np.sin(turn), np.cos(turn)
    power = 0.86
    x = wide[:, None] * (np.sign(sin) * np.abs(sin) ** power)[None, :]
    z = front[:, None] * (np.sign(cos) * np.abs(cos) ** power)[None, :] - 9.6
    dip = 0.35 * np.exp(-((turn / 0.5) ** 2))[None, :] * smooth(0.25, 0.0, t)[:, None]
    place = np.stack([x, y[:, None] - 1.4 * dip - 0.0 * x, z], axis=-1)
    # folds of cloth
    fold = 0.16 * np.sin(x * 0.9 + 2.2 * np.sin(y[:, None] * 0.31)) * np.sin(y[:, None] * 0.5 + x * 0.2)
    place[..., 2] += fold * smooth(0.1, 0.3, t)[:, None]
    cloth = _grid_mesh(place, np.stack([x, np.broadcast_to(y[:, None], x.shape)], axis=-1), np.zeros(x.shape), CLOTH)
    return [neck, cloth]
