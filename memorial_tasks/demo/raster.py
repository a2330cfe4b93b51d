"""A small software renderer: triangles into attribute buffers, and hair strands over a finished picture.

Pixel loops are compiled by numba (it comes with librosa); everything else is plain arrays.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 or float64: OpenCV's stubs know no more

# Columns of the attribute buffer.
POSITION, NORMAL, ALONG, DOWN, TEXEL, EXTRA = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12), slice(12, 14), 14
CHANNELS = 15


def look_up(picture: Floats, places: Floats, outside: float | None = None) -> Floats:
    """Values of `picture` [H, W(, C)] at pixel places [N, 2], linear in between, as [N, C]. Beyond the edge the edge
    goes on, or `outside` when given."""
    rows = -(-len(places) // 4096)  # OpenCV wants less than 32768 a side
    padded: Floats = np.zeros((rows * 4096, 2), np.float32)
    padded[: len(places)] = places
    padded = padded.reshape(rows, 4096, 2)
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    found = cv2.remap(
        picture, padded[..., 0], padded[..., 1], cv2.INTER_LINEAR, borderMode=border, borderValue=outside or 0.0
    )
    return np.asarray(found.reshape(rows * 4096, -1)[: len(places)])


@dataclass(frozen=True)
class Camera:
    """Pinhole camera on the z axis looking to -z: `focal` in pixels, `centre` the axis' pixel, `distance` in cm."""

    focal: float
    centre: tuple[float, float]
    distance: float

    def project(self, points: Floats) -> Floats:
        """Points [N, 3] in cm to [N, 3]: pixel x, pixel y, distance from the camera."""
        depth = self.distance - points[:, 2]
        scale = self.focal / depth
        return np.stack(
            [self.centre[0] + points[:, 0] * scale, self.centre[1] - points[:, 1] * scale, depth], axis=1
        ).astype(np.float32)


@dataclass(frozen=True)
class Mesh:
    """`attributes` [N, 15] (see the columns above), `triangles` [M, 3], `material` number written to the id buffer.
    `holes` [M] marks triangles whose pixels may fall into an eye opening."""

    attributes: Floats
    triangles: NDArray[np.int32]
    material: int
    holes: NDArray[np.bool_] | None = None


@njit(cache=True)
def _fill(screen, triangles, attributes, material, holes, eyes, depth, ids, buffer):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = screen[i, 0], screen[i, 1], screen[j, 0], screen[j, 1], screen[k, 0], screen[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0:
            continue
        left = max(int(np.ceil(min(x0, x1, x2))), 0)
        right = min(int(np.floor(max(x0, x1, x2))), width - 1)
        top = max(int(np.ceil(min(y0, y1, y2))), 0)
        bottom = min(int(np.floor(max(y0, y1, y2))), height - 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                a = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
                b = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
                c = 1.0 - a - b
                if a < -1e-5 or b < -1e-5 or c < -1e-5:
                    continue
                z = a * screen[i, 2] + b * screen[j, 2] + c * screen[k, 2]
                if z >= depth[y, x]:
                    continue
                if holes[t]:
                    # eyes: per eye a table of the upper and lower lid height over x, in rest coordinates kept in EXTRA
                    px = a * attributes[i, 15] + b * attributes[j, 15] + c * attributes[k, 15]
                    py = a * attributes[i, 16] + b * attributes[j, 16] + c * attributes[k, 16]
                    at = (abs(px) - eyes[0, 0]) / (eyes[0, 1] - eyes[0, 0])
                    if 0.0 < at < 1.0:
                        row = 1 if px < 0 else 3
                        n = eyes.shape[1] - 1
                        f = at * n
                        m = min(int(f), n - 1)
                        f -= m
                        upper = eyes[row, m] * (1 - f) + eyes[row, m + 1] * f
                        lower = eyes[row + 1, m] * (1 - f) + eyes[row + 1, m + 1] * f
                        if lower < py < upper:
                            continue
                depth[y, x] = z
                ids[y, x] = material
                for q in range(buffer.shape[2]):
                    buffer[y, x, q] = a * attributes[i, q] + b * attributes[j, q] + c * attributes[k, q]


def draw(
    meshes: list[Mesh], camera: Camera, width: int, height: int, eyes: Floats
) -> tuple[Floats, NDArray[np.uint8], Floats]:
    """Depth [H, W] (inf where nothing is), material ids uint8 [H, W] (0 nothing), attributes [H, W, 17]."""
    depth = np.full((height, width), np.inf, np.float32)
    ids = np.zeros((height, width), np.uint8)
    buffer = np.zeros((height, width, CHANNELS + 2), np.float32)
    for mesh in meshes:
        screen = camera.project(mesh.attributes[:, POSITION])
        holes = mesh.holes if mesh.holes is not None else np.zeros(len(mesh.triangles), np.bool_)
        _fill(screen, mesh.triangles, mesh.attributes, mesh.material, holes, eyes, depth, ids, buffer)
    return depth, ids, buffer


@njit(cache=True)
def _depth_only(screen, triangles, depth):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = screen[i, 0], screen[i, 1], screen[j, 0], screen[j, 1], screen[k, 0], screen[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0:
            continue
        for y in range(max(int(np.ceil(min(y0, y1, y2))), 0), min(int(np.floor(max(y0, y1, y2))), height - 1) + 1):
            for x in range(max(int(np.ceil(min(x0, x1, x2))), 0), min(int(np.floor(max(x0, x1, x2))), width - 1) + 1):
                a = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
                b = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
                c = 1.0 - a - b
                if a < -1e-5 or b < -1e-5 or c < -1e-5:
                    continue
                z = a * screen[i, 2] + b * screen[j, 2] + c * screen[k, 2]
                depth[y, x] = min(depth[y, x], z)


@dataclass(frozen=True)
class ShadowMap:
    """What the light sees: distances [S, S] along `direction`, orthographic."""

    depth: Floats
    basis: Floats  # rows: right, up, direction to the light
    scale: float

    def lit(self, points: Floats, softness: float = 1.6) -> Floats:
        """Share of the light [N] that reaches `points` [N, 3], averaged over a small disc."""
        flat = points @ self.basis.T
        size = self.depth.shape[0]
        x = (flat[:, 0] * self.scale + size / 2).astype(np.float32)
        y = (size / 2 - (flat[:, 1] + 6.0) * self.scale).astype(np.float32)
        total = np.zeros(len(points), np.float32)
        taps = [(0.0, 0.0)] + [
            (r * np.cos(a), r * np.sin(a)) for r, n in ((1.0, 5), (2.1, 6)) for a in np.arange(n) * 6.2832 / n + r
        ]
        for dx, dy in taps:
            near = look_up(self.depth, np.stack([x + dx * softness, y + dy * softness], axis=1), 1e6)[:, 0]
            total += np.clip((near + flat[:, 2] + 0.45) / 0.35, 0, 1)
        return total / len(taps)


def cast(meshes: list[Mesh], light: Floats, size: int = 640, span: float = 46.0) -> ShadowMap:
    """The shadow map of `meshes` for a far light in direction `light` [3]."""
    forward = light / np.linalg.norm(light)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    basis = np.stack([right, np.cross(forward, right), forward]).astype(np.float32)
    depth = np.full((size, size), 1e6, np.float32)
    scale = size / span
    for mesh in meshes:
        flat = mesh.attributes[:, POSITION] @ basis.T
        screen = np.stack([flat[:, 0] * scale + size / 2, size / 2 - (flat[:, 1] + 6.0) * scale, -flat[:, 2]], axis=1)
        _depth_only(screen.astype(np.float32), mesh.triangles, depth)
    return ShadowMap(depth, basis, scale)


@njit(cache=True)
def _strand(points, colours, widths, alphas, order, depth, picture, bias):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for o in range(order.shape[0]):
        s = order[o]
        for p in range(points.shape[1] - 1):
            x0, y0, z0 = points[s, p, 0], points[s, p, 1], points[s, p, 2]
            x1, y1, z1 = points[s, p + 1, 0], points[s, p + 1, 1], points[s, p + 1, 2]
            half = widths[s, p] * 0.5
            dx, dy = x1 - x0, y1 - y0
            length = dx * dx + dy * dy
            if length < 1e-9:
                continue
            left = max(int(np.floor(min(x0, x1) - half - 1)), 0)
            right = min(int(np.ceil(max(x0, x1) + half + 1)), width - 1)
            top = max(int(np.floor(min(y0, y1) - half - 1)), 0)
            bottom = min(int(np.ceil(max(y0, y1) + half + 1)), height - 1)
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    t = ((x - x0) * dx + (y - y0) * dy) / length
                    if t < 0.0 or t >= 1.0:  # half open: neighbouring pieces do not paint twice
                        continue
                    ex, ey = x - x0 - t * dx, y - y0 - t * dy
                    cover = half + 0.5 - np.sqrt(ex * ex + ey * ey)
                    if cover <= 0.0:
                        continue
                    if z0 + t * (z1 - z0) > depth[y, x] + bias:
                        continue
                    cover = min(cover, 1.0) * min(2 * half, 1.0) * (alphas[s, p] * (1 - t) + alphas[s, p + 1] * t)
                    for q in range(3):
                        colour = colours[s, p, q] * (1 - t) + colours[s, p + 1, q] * t
                        picture[y, x, q] += cover * (colour - picture[y, x, q])


def draw_strands(
    picture: Floats,
    depth: Floats,
    camera: Camera,
    points: Floats,
    colours: Floats,
    widths: Floats,
    alphas: Floats,
    bias: float = 0.3,
) -> None:
    """Paint strands into `picture` [H, W, 3], far ones first.

    `points` [S, P, 3] in cm, `colours` [S, P, 3], `widths` [S, P] in cm, `alphas` [S, P]. A strand lying more than
    `bias` cm behind the surface in `depth` is hidden.
    """
    flat = camera.project(points.reshape(-1, 3)).reshape(points.shape)
    pixels = (widths * camera.focal / camera.distance).astype(np.float32)
    order = np.argsort(-flat[:, :, 2].mean(axis=1), kind="stable")
    _strand(flat, colours.astype(np.float32), pixels, alphas.astype(np.float32), order, depth, picture, bias)
