"""Bending a picture by a triangulated surface: where does each output pixel come from?

The map is drawn coarsely (triangle labels by polygon filling, one affine map a triangle) and enlarged linearly; the
mouth and the eyes, where neighbouring pixels come from far apart, are drawn again at full resolution.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face.pixels import cv2

Map = NDArray[np.float32]
RIM = 3  # pixels
_SHIFT = 4  # sub-pixel bits of the polygon filler


@dataclass(frozen=True)
class Region:
    """A rectangle of the output in pixels."""

    left: int
    top: int
    width: int
    height: int

    @staticmethod
    def around(points: NDArray[np.floating], margin: float, width: int, height: int) -> "Region":
        """The rectangle around points [N, 2] widened by `margin` pixels, inside a picture of `width` x `height`."""
        low = np.floor(points.min(axis=0) - margin)
        high = np.ceil(points.max(axis=0) + margin)
        left, top = int(np.clip(low[0], 0, width - 2)), int(np.clip(low[1], 0, height - 2))
        right, bottom = int(np.clip(high[0], left + 2, width)), int(np.clip(high[1], top + 2, height))
        return Region(left, top, right - left, bottom - top)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices of the rectangle."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def triangle_maps(
    target: NDArray[np.float32], source: NDArray[np.float32], triangles: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The affine map of each triangle from target to source pixels, float64 [M, 2, 3]. Flat triangles go to their
    middle."""
    t = target[triangles, :2].astype(np.float64)
    s = source[triangles, :2].astype(np.float64)
    e1, e2 = t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
    det = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    longest = np.maximum.reduce([np.hypot(*e1.T), np.hypot(*e2.T), np.hypot(*(e2 - e1).T)])
    flat = np.abs(det) < 0.35 * np.maximum(longest, 1e-9)  # thinner than a third of a pixel
    safe = np.where(flat, 1.0, det)
    inverse = np.empty((len(t), 2, 2))
    inverse[:, 0, 0], inverse[:, 0, 1] = e2[:, 1] / safe, -e2[:, 0] / safe
    inverse[:, 1, 0], inverse[:, 1, 1] = -e1[:, 1] / safe, e1[:, 0] / safe
    inverse[flat] = 0
    d1, d2 = s[:, 1] - s[:, 0], s[:, 2] - s[:, 0]
    linear = np.stack([d1, d2], axis=2) @ inverse
    result = np.empty((len(t), 2, 3))
    result[:, :, :2] = linear
    result[:, :, 2] = np.where(flat[:, None], s.mean(axis=1), s[:, 0]) - np.einsum("mij,mj->mi", linear, t[:, 0])
    return result


def label_map(
    target: NDArray[np.float32],
    triangles: NDArray[np.int32],
    region: Region,
    step: int = 1,
    first: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Which triangle covers each pixel of `region`, int32 [ceil(H/step), ceil(W/step)]. The filler also paints the rim
    of a triangle, so thin ones come first and their neighbours correct them; flat ones are not painted at all, for a
    closed mouth's hole must not draw a line. `first` triangles (openings) are painted before all others."""
    rows, columns = -(-region.height // step), -(-region.width // step)
    labels = np.full((rows, columns), -1, np.int32)
    corners = (target[:, :2].astype(np.float64) - (region.left, region.top) + 0.5) / step - 0.5
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    doubled = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    longest = np.maximum.reduce([np.hypot(*(b - a).T), np.hypot(*(c - a).T), np.hypot(*(c - b).T)])
    thickness = doubled / np.maximum(longest, 1e-9)
    if first is not None:
        thickness[first] -= 1e6
    pixels = np.round(corners * (1 << _SHIFT)).astype(np.int32)
    polygons = pixels[triangles]
    low, high = polygons.min(axis=1) >> _SHIFT, polygons.max(axis=1) >> _SHIFT
    visible = (high[:, 0] >= -1) & (high[:, 1] >= -1) & (low[:, 0] <= columns) & (low[:, 1] <= rows) & (doubled > 0.02)
    order = np.argsort(thickness, kind="stable")
    for index in order[visible[order]].tolist():
        cv2.fillConvexPoly(labels, polygons[index], index, cv2.LINE_8, _SHIFT)
    if (labels < 0).any():
        _spread(labels)
    if first is not None and step == 1:
        _widen_rims(labels, first)
    return labels


def source_map(labels: NDArray[np.int32], maps: NDArray[np.float64], region: Region, step: int = 1) -> tuple[Map, Map]:
    """For each pixel of `region` its source position (x, y), two float32 [H, W], from labels drawn with the same
    `step`."""
    rows, columns = labels.shape
    table = maps.astype(np.float32).reshape(-1, 6)
    xs = (np.arange(columns, dtype=np.float32) + 0.5) * step - 0.5 + region.left
    ys = ((np.arange(rows, dtype=np.float32) + 0.5) * step - 0.5 + region.top)[:, None]
    picked = table[labels]
    map_x = picked[..., 0] * xs + picked[..., 1] * ys + picked[..., 2]
    map_y = picked[..., 3] * xs + picked[..., 4] * ys + picked[..., 5]
    if step > 1:
        size = (columns * step, rows * step)
        map_x = cv2.resize(map_x, size, interpolation=cv2.INTER_LINEAR)[: region.height, : region.width]
        map_y = cv2.resize(map_y, size, interpolation=cv2.INTER_LINEAR)[: region.height, : region.width]
    return np.ascontiguousarray(map_x, np.float32), np.ascontiguousarray(map_y, np.float32)


def _widen_rims(labels: NDArray[np.int32], holes: NDArray[np.bool_]) -> None:
    """Let lips and lids reach RIM pixels into their openings. These are painted later under a soft edge, and what
    shines through it must be lip or lid: an opening's own pixels are the dark line of a shut mouth, in steps."""
    opening = holes[labels]
    if not opening.any() or opening.all():
        return
    grown = np.where(opening, -1, labels).astype(np.float32)
    for _ in range(RIM):
        wider = cv2.dilate(grown, np.ones((3, 3), np.uint8))
        grown = np.where(grown < 0, wider, grown)
    reached = opening & (grown >= 0)
    labels[reached] = grown[reached].astype(np.int32)


def _spread(labels: NDArray[np.int32]) -> None:
    """Give unpainted pixels (outside the surface) the label of a painted neighbour."""
    for _ in range(64):
        empty = labels < 0
        if not empty.any():
            return
        if empty.all():
            labels[:] = 0
            return
        grown = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
        labels[empty] = grown[empty]
    labels[labels < 0] = 0


def soft_polygon(
    points: NDArray[np.float32], region: Region, feather: float = 0.0, smooth: bool = True
) -> NDArray[np.float32]:
    """An anti-aliased filled contour [N, 2] (picture pixels) inside `region`, float32 [H, W] in 0..1."""
    outline = closed_curve(points) if smooth else points
    big = np.round((outline - (region.left, region.top) + 0.5) * 4 - 0.5).astype(np.int32)
    mask = np.zeros((region.height * 4, region.width * 4), np.uint8)
    cv2.fillPoly(mask, [big.reshape(-1, 1, 2)], 255)
    result = cv2.resize(mask, (region.width, region.height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    if feather > 0:
        result = cv2.GaussianBlur(result, (0, 0), feather)
    return np.asarray(result, np.float32)


def closed_curve(points: NDArray[np.float32], parts: int = 4) -> NDArray[np.float32]:
    """A closed Catmull-Rom curve through the points [N, 2], `parts` pieces a segment."""
    before, after, beyond = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0), np.roll(points, -2, axis=0)
    pieces = []
    for t in np.arange(parts) / parts:
        pieces.append(
            0.5
            * (
                2 * points
                + (after - before) * t
                + (2 * before - 5 * points + 4 * after - beyond) * t * t
                + (3 * points - before - 3 * after + beyond) * t**3
            )
        )
    return np.stack(pieces, axis=1).reshape(-1, 2).astype(np.float32)


def remap(image: NDArray[np.uint8], map_x: Map, map_y: Map, fine: bool = True) -> NDArray[np.uint8]:
    """Sample the picture at the source positions; `fine` uses bicubic weights."""
    flag = cv2.INTER_CUBIC if fine else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(image, map_x, map_y, flag, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def blend(under: NDArray[np.uint8], over: NDArray[np.uint8], weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`over` on `under` [H, W, 3] with weight [H, W] in 0..1."""
    return np.asarray(cv2.blendLinear(over, under, weight, 1 - weight), np.uint8)
