"""Lids: how the skin around an eye moves when it shuts.

Mesh points alone make shut lids wavy: they are few, they tremble, and the crease goes down with them. So the lids are
bent by smooth curves in the eye's own coordinates instead. The lashes go down rigidly to one even arc; the skin above
them unfolds, and the crease stays nearly where it was. The muscle that shuts an eye is fixed at its inner corner, so
the outer one comes down and towards it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.warp import Map, Region, blend

Floats = NDArray[np.float64]

# How an eye shuts: the line between the lids lies at `SHARE` of the way from the upper to the lower one, and the outer
# corner goes down by `SINK` and inwards by `PULL` eye widths. So that ours, tracked, blink as 58 tracked blinks of one
# person do; five others blink alike (GRID).
SHARE, SINK, PULL = 0.95, 0.12, 0.06
ALONG = np.linspace(-2.0, 2.0, 129)  # along the eye: -1 its outer corner, 1 the inner one
HIGH = np.linspace(0.0, 1.2, 97)  # away from the lid's edge, in eye widths
THIN = 2  # the two-dimensional tables take every second place along the eye
LASHES = (0.05, 0.17)  # eye widths from the edge that move rigidly at least and at most: lashes and what was painted on
UNFOLDS = 0.19  # eye widths above the lashes that are drawn out
RIM = 0.035  # eye widths of the lower lid's moist rim, which shows only while the eye is open
RINGS = (
    (topo.RIGHT_EYE, topo.RIGHT_UPPER, topo.RIGHT_LOWER, topo.RIGHT_BROW),
    (topo.LEFT_EYE, topo.LEFT_UPPER, topo.LEFT_LOWER, topo.LEFT_BROW),
)


@dataclass(frozen=True)
class Lids:
    """One eye's lids in its own coordinates: `origin` between the corners (pixels), rows of `axes` along (outer to
    inner corner) and down, `width` from corner to corner in pixels. Curves over `ALONG`, in eye widths downwards:
    `upper` and `lower` edge as in the photo, `shut` where they meet, `lashes`: how far above the edge they reach.
    `reach`: eye widths to the brow."""

    ring: tuple[int, ...]
    origin: Floats
    axes: Floats
    width: float
    upper: Floats
    lower: Floats
    shut: Floats
    lashes: Floats
    reach: float

    @staticmethod
    def of(mesh: NDArray[np.float32], right: bool, photo: NDArray[np.uint8] | None = None) -> "Lids":
        """The lids of a photo's mesh, float32 [478, 3] in pixels, of the person's right or left eye. The `photo`,
        uint8 [H, W, 3], shows how broad their lashes are."""
        ring, above, below, brow = RINGS[0 if right else 1]
        origin, axes, width = _eye(mesh, right)
        local = (mesh[:, :2] - origin) @ axes.T / width
        upper = _curve(local[list(above[0])])
        lower = np.maximum(_curve(local[list(below[0][1:-1])]), upper)
        reach = float(np.clip(upper[len(ALONG) // 2] - local[list(brow[:5]), 1].max(), 0.32, 0.7))
        shut = _arc(upper + SHARE * (lower - upper)) + SINK * _OUTER
        found = Lids(ring, origin, axes, width, upper, lower, shut, np.full(len(ALONG), LASHES[0]), reach)
        return found if photo is None else replace(found, lashes=found._dark(photo))

    def _dark(self, photo: NDArray[np.uint8]) -> Floats:
        """How far above the upper edge the photo is as dark as lashes, over `ALONG`, in eye widths."""
        high = np.linspace(0.0, 0.30, 31)
        places = np.stack(np.broadcast_arrays(ALONG[None] / 2, self.upper[None] - high[:, None]), axis=-1)
        spots = (places * self.width) @ self.axes + self.origin
        soft = cv2.GaussianBlur(photo, (0, 0), max(0.6, 0.012 * self.width)).astype(np.float32).mean(axis=2)
        light = cv2.remap(soft, spots[..., 0].astype(np.float32), spots[..., 1].astype(np.float32), cv2.INTER_LINEAR)
        darkest, skin = light[:13].min(axis=0), light.max(axis=0)
        lowest = np.argmin(light[:13], axis=0)
        after = np.where(np.arange(len(high))[:, None] > lowest, light, 0.0)
        ends = high[np.argmax(after > darkest + 0.45 * (skin - darkest), axis=0)]
        kernel = np.exp(-0.5 * (np.arange(-16, 17) * (ALONG[1] - ALONG[0]) / 0.15) ** 2)
        inside = (np.abs(ALONG) < 0.85).astype(np.float64)
        even = np.convolve(ends * inside, kernel, "same") / np.maximum(np.convolve(inside, kernel, "same"), 1e-9)
        even = np.where(np.convolve(inside, kernel, "same") > 1e-3, even, LASHES[0])
        return np.asarray(even.clip(*LASHES))

    def drop(self) -> Floats:
        """How far the upper lid's edge falls when the eye shuts, over `ALONG`, in eye widths."""
        return np.maximum(self.shut - self.upper, 0.0)

    def rise(self) -> Floats:
        """How far the lower lid's edge rises by itself."""
        return np.maximum(self.lower - self.shut, 0.0)

    def sink(self) -> Floats:
        """How far the lower lid's edge is taken down by the outer corner when the eye shuts."""
        return np.maximum(self.shut - self.lower, 0.0)

    def fall_at(self, points: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Where skin at `points` [N, 2] (pixels of the photo) goes when the upper and when the lower lid shuts: offsets
        in pixels, [N, 2] each."""
        local = (points[:, :2].astype(np.float64) - self.origin) @ self.axes.T / self.width
        u, v = local[:, 0] * 2, local[:, 1]
        upper, lower = np.interp(u, ALONG, self.upper), np.interp(u, ALONG, self.lower)
        middle = (upper + lower) / 2
        below = (v - lower).clip(0)
        fallen = np.where(
            v <= middle,
            _moved(self.drop(), self.lashes, u, (upper - v).clip(0), self.reach),
            _moved(self.sink(), _EVEN, u, below, self.reach),
        )
        risen = np.where(v > middle, _moved(self.rise(), _EVEN, u, below, self.reach), 0.0)
        inside = np.abs(u) < 1.99
        along, down = self.axes * self.width
        pulled = PULL * _around_corner(u, v - middle)
        return (fallen * inside)[:, None] * down + pulled[:, None] * along, -(risen * inside)[:, None] * down

    def bend(
        self,
        map_x: Map,
        map_y: Map,
        mesh: NDArray[np.float32],
        still: NDArray[np.float32],
        amounts: tuple[float, float],
    ) -> None:
        """Shut the lids in a source map (two float32 [H, W], changed in place) that was drawn with the lids as in the
        photo: `still` are that frame's surface points, `mesh` the photo's, `amounts` 0..1 of the upper and lower
        lid."""
        if max(amounts) <= 0.0:
            return
        region, u, v, (along, down) = self._places(mesh, still, map_x.shape[1], map_x.shape[0])
        rows, columns = region.slices
        pulled = amounts[0] * PULL * _around_corner(u, v - amounts[0] * SINK)
        lower = self._offset(u - 2 * pulled, v, amounts)
        from_x = (np.arange(region.width) + lower * down[0] - pulled * along[0]).astype(np.float32)
        from_y = (np.arange(region.height)[:, None] + lower * down[1] - pulled * along[1]).astype(np.float32)
        for plane in (map_x, map_y):
            whole = np.ascontiguousarray(plane[rows, columns])
            plane[rows, columns] = cv2.remap(whole, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def even(
        self,
        canvas: NDArray[np.uint8],
        mesh: NDArray[np.float32],
        still: NDArray[np.float32],
        amounts: tuple[float, float],
    ) -> None:
        """Even the unfolded skin of a bent picture along the lid, in place: grain that was drawn out would be streaks.
        Arguments as in `bend`."""
        if amounts[0] <= 0.25:
            return
        region, u, v, _ = self._places(mesh, still, canvas.shape[1], canvas.shape[0])
        rows, columns = region.slices
        column = _column(u)
        high = _at(self.upper + amounts[0] * self.drop(), column) - v - _at(self.lashes, column)
        drawn_out = UNFOLDS * self.reach / 0.6 + amounts[0] * _at(self.drop(), column)
        weight = geo.smoothstep(0.0, 0.06, high) * (1 - geo.smoothstep(0.7, 1.1, high / drawn_out))
        weight = weight * (1 - geo.smoothstep(0.8, 1.0, np.abs(u))) * geo.smoothstep(0.25, 0.6, amounts[0])
        patch = np.ascontiguousarray(canvas[rows, columns])
        soft = cv2.GaussianBlur(patch, (0, 0), sigmaX=max(0.5, 0.055 * self.width), sigmaY=max(0.4, 0.01 * self.width))
        canvas[rows, columns] = blend(patch, np.asarray(soft, np.uint8), weight.astype(np.float32))

    def _places(
        self, mesh: NDArray[np.float32], still: NDArray[np.float32], width: int, height: int
    ) -> tuple[Region, Floats, Floats, Floats]:
        """The surroundings of the eye in a frame of `width` x `height` pixels: the rectangle, each of its pixels' place
        along and across the eye, [H, W] each, and the frame's vectors of one eye width along and down, [2, 2]."""
        back = geo.affine(topo.polygon(still, self.ring), topo.polygon(mesh, self.ring))
        forward = np.linalg.inv(back[:, :2])
        corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * (1.0, 0.5 + self.reach)
        around = (corners @ self.axes * self.width + self.origin - back[:, 2]) @ forward.T
        region = Region.around(around, 2, width, height)
        x = np.arange(region.width, dtype=np.float64) + region.left
        y = (np.arange(region.height, dtype=np.float64) + region.top)[:, None]
        into, shift = self.axes @ back[:, :2] / self.width, self.axes @ (back[:, 2] - self.origin) / self.width
        u = 2 * (into[0, 0] * x + into[0, 1] * y + shift[0])
        v = into[1, 0] * x + into[1, 1] * y + shift[1]
        return region, u, v, (forward @ self.axes.T).T * self.width

    def _offset(self, u: Floats, v: Floats, amounts: tuple[float, float]) -> Floats:
        """How much lower (in eye widths) the source of each place (u, v) lies."""
        column = _column(u)
        upper, lower = _at(self.upper, column), _at(self.lower, column)
        top = upper + amounts[0] * _at(self.drop(), column)
        way = amounts[1] * self.rise() - amounts[0] * self.sink()
        bottom = lower - _at(way, column)
        above = v <= (top + bottom) / 2
        away = np.where(above, top - v, v - bottom).clip(0)
        fallen = _at_both(_sources(self.drop(), self.lashes, amounts[0], self.reach), column, away)
        risen = _at_both(_sources(way, _EVEN, 1.0, self.reach), column, away)
        rim = RIM * amounts[1] * (1 - geo.smoothstep(0.8, 1.0, np.abs(u)))
        risen = risen + rim * np.exp(-risen / (3 * RIM))
        return np.asarray(np.where(above, upper - fallen, lower + risen) - v)


def seam(points: NDArray[np.float32], right: bool) -> NDArray[np.float32]:
    """The even arc nearest to the upper lid's edge of a frame's points [V, 2 or 3], from the outer corner to the inner
    one, float32 [33, 2] in pixels."""
    origin, axes, width = _eye(points, right)
    local = (points[list(RINGS[0 if right else 1][1][0]), :2] - origin) @ axes.T / width
    arc = _arc(_curve(local))[np.abs(ALONG) <= 1][::2]
    places = np.stack([np.linspace(-0.5, 0.5, len(arc)), arc], axis=1) * width
    return np.asarray(places @ axes + origin, np.float32)


def _eye(points: NDArray[np.float32], right: bool) -> tuple[Floats, Floats, float]:
    """Origin, axes and width of an eye (see `Lids`). The model's corners lie inside the visible ones, which the next
    ring's ends meet better."""
    ring, _, below, _ = RINGS[0 if right else 1]
    outer = points[below[1][0], :2].astype(np.float64)
    inner = points[[ring[8], below[1][-1]], :2].astype(np.float64).mean(axis=0)
    width = max(float(np.linalg.norm(inner - outer)), 1e-6)
    along = (inner - outer) / width
    down = np.array([-along[1], along[0]]) * (1 if right else -1)
    return (outer + inner) / 2, np.array([along, down]), width


_EVEN = np.full(len(ALONG), LASHES[0])
_OUTER = np.where(ALONG < 0, ALONG**2 * (1 - geo.smoothstep(0.9, 1.8, np.abs(ALONG))), 0.0)


def _curve(points: Floats) -> Floats:
    """A lid's edge [N, 2] (eye widths) as a function over `ALONG`, 0 at the corners and beyond."""
    inside = points[np.abs(points[:, 0]) < 0.49]
    u = np.concatenate([[-1.0], 2 * inside[:, 0], [1.0]])
    v = np.concatenate([[0.0], inside[:, 1], [0.0]])
    keep = np.concatenate([[True], np.diff(np.maximum.accumulate(u)) > 1e-3])
    return np.asarray(PchipInterpolator(u[keep], v[keep])(ALONG.clip(-1, 1)))


def _arc(values: Floats) -> Floats:
    """The even arc between the corners that is nearest to a curve over `ALONG`."""
    inside = np.abs(ALONG) < 1
    u = ALONG[inside]
    basis = np.stack([1 - u**2, (1 - u**2) * u], axis=1)
    weights = np.linalg.lstsq(basis, values[inside], rcond=None)[0]
    result = np.zeros_like(values)
    result[inside] = basis @ weights
    return result


def _around_corner(u: Floats, v: Floats) -> Floats:
    """1 at the outer corner, 0 at the eye's middle, and half an eye width outwards, above and below."""
    along = geo.smoothstep(-2.0, -1.0, u) * (1 - geo.smoothstep(-1.0, 0.0, u))
    return np.asarray(along * (1 - geo.smoothstep(0.0, 0.5, np.abs(v))))


def _share(high: Floats, lashes: Floats, reach: float) -> Floats:
    """How much of the lid's way skin at a height above its edge (eye widths) goes along."""
    t = ((high - lashes) * (0.6 / reach)).clip(0)
    return 1 - 0.65 * geo.smoothstep(0.0, UNFOLDS, t) - 0.35 * geo.smoothstep(0.09, 0.54, t)


def _broad(way: Floats) -> Floats:
    """The way over `ALONG`, evened out beyond the corners: high above the edge skin moves as a whole."""
    kernel = np.exp(-0.5 * (np.arange(-32, 33) * (ALONG[1] - ALONG[0]) / 0.35) ** 2)
    return np.asarray(np.convolve(way, kernel / kernel.sum(), "same"))


def _moved(way: Floats, lashes: Floats, u: Floats, high: Floats, reach: float) -> Floats:
    """How far skin at (u, height above the edge) goes when the lid goes its whole way."""
    wide = geo.smoothstep(0.04, 0.30, high)
    here = np.interp(u, ALONG, way) * (1 - wide) + np.interp(u, ALONG, _broad(way)) * wide
    return np.asarray(here * _share(high, np.interp(u, ALONG, lashes), reach))


def _sources(way: Floats, lashes: Floats, amount: float, reach: float) -> NDArray[np.float32]:
    """For each height above the moved edge (rows: `HIGH`, columns: every second of `ALONG`) the height in the photo."""
    u, high = np.meshgrid(ALONG[::THIN], HIGH)
    now = np.maximum.accumulate(high + amount * (way[None, ::THIN] - _moved(way, lashes, u, high, reach)), axis=0)
    return np.stack([np.interp(HIGH, now[:, k], HIGH) for k in range(now.shape[1])], axis=1).astype(np.float32)


def _column(u: Floats) -> NDArray[np.float32]:
    """Fractional positions of places along the eye in `ALONG`."""
    return np.asarray((u - ALONG[0]) / (ALONG[1] - ALONG[0]), np.float32)


def _at(curve: Floats, column: NDArray[np.float32]) -> Floats:
    """A curve over `ALONG` read at fractional columns."""
    return np.interp(column, np.arange(len(curve)), curve)


def _at_both(table: NDArray[np.float32], column: NDArray[np.float32], away: Floats) -> Floats:
    """A table of `_sources` read at fractional columns of `ALONG` and at heights."""
    row = (away / (HIGH[1] - HIGH[0])).astype(np.float32)
    found = cv2.remap(table, column / THIN, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64)
