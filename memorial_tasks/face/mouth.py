"""Inside of the mouth: the person's own teeth from photos that show them, or a dark cavity with a few upper teeth.

Teeth do not stretch when a mouth opens. So the picture of an open mouth is hung from the upper lip (upper teeth) and
set on the lower lip (lower teeth and tongue) at its own scale, and only the dark middle gives way: where the rows of
teeth in the photo meet, if that can be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.warp import Region, blend, remap, soft_polygon

DEPTH = np.array([0.50, 0.44, 0.46])  # the dark of a mouth's depth against the line between the lips, in their light
SKIN, IVORY = np.array([1.0, 0.76, 0.65]), np.array([0.86, 0.81, 0.70])  # under white light, relative
# The drawn upper teeth: left and right edge and length in ipd (a front tooth is 8.5 mm wide and the eyes are 63 mm
# apart), light, cover. As on tracked speakers (GRID), four front teeth are seen, the rest is lost in the corners' dark.
# No two are alike: an even band is what a denture looks like.
UPPER_TEETH = (
    (-0.30, -0.225, 0.030, 0.50, 0.30), (0.222, 0.30, 0.028, 0.48, 0.28),
    (-0.228, -0.124, 0.041, 0.76, 0.62), (0.127, 0.226, 0.038, 0.70, 0.58),
    (-0.130, 0.003, 0.050, 0.94, 0.92), (-0.001, 0.131, 0.047, 0.90, 0.92),
)  # fmt: skip
MEETING = 0.022  # ipd over which upper and lower part of a narrow mouth meet
TEETH_OPENING = 0.055  # ipd: from here on a photo lends something of what is inside
LIP_SHADE, GAP = 0.025, 0.55  # ipd in which the upper lip's shade ends; how dark, against teeth, a gap between rows is
USUAL_SHARE, SLIT_SHARE, DRAWN_SHARE = 0.68, 0.9, 0.6  # of the opening that hangs from the upper lip untold by a gap
SHOWN = 0.09  # ipd: one photo at least as open as this shows teeth; a mere slit, opened wide, would be a flat dark hole


@dataclass(frozen=True)
class MouthExemplar:
    """A photo crop uint8 [H, W, 3] with its mesh in crop pixels; `opening`, `width` of the inner mouth in ipd."""

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    opening: float
    width: float
    own: bool = True

    @staticmethod
    def of(image: NDArray[np.uint8], points: NDArray[np.float32]) -> "MouthExemplar":
        """An exemplar from a bank photo."""
        return MouthExemplar(image, points, geo.mouth_opening(points), geo.mouth_width(points))

    @property
    def upper_share(self) -> float:
        """How much of the opening, 0..1 from the upper lip, belongs to the upper teeth."""
        return self._usual if self._gap is None else self._gap

    @property
    def shows_gap(self) -> bool:
        """Whether the dark between the rows, or above lower teeth that alone are seen, is in the picture."""
        return self._gap is not None

    @property
    def _usual(self) -> float:
        if not self.own:
            return DRAWN_SHARE
        return SLIT_SHARE if self.opening < SHOWN else USUAL_SHARE

    @cached_property
    def _gap(self) -> float | None:
        """The middle of the dark between the rows. Told by the green in it: lips are red, and no darker there than half
        of the teeth."""
        if not self.own or self.opening < SHOWN:  # one row fills a slit; the shade of the upper lip looks like a gap
            return None
        mouth = _frame(self.points, geo.interocular(self.points))
        down, across = np.linspace(0, 1, 41)[:, None], np.linspace(-0.45, 0.45, 13)[None]
        top, bottom = (np.interp(across, mouth.places, curve) for curve in (mouth.upper, mouth.lower))
        green = _seen(self, mouth, across * mouth.half + 0 * down, top + down * (bottom - top))[..., 1].mean(axis=1)
        inner = (down[:, 0] * self.opening >= LIP_SHADE) & (down[:, 0] <= 0.85)
        darkest = int(np.argmin(np.where(inner, green, np.inf)))
        if green[darkest] > GAP * green.max():
            return None
        light = np.flatnonzero(green > (green[darkest] + green.max()) / 2)
        above, below = light[light < darkest], light[light > darkest]
        ends = (above[-1] + 1 if len(above) else 0, below[0] - 1 if len(below) else len(green) - 1)
        return float(np.mean(down[list(ends), 0]))


@dataclass(frozen=True)
class _Frame:
    """A mouth's own coordinates: origin between the corners, unit vectors along and down, scale, half width, lip
    curves."""

    origin: NDArray[np.float64]
    axes: NDArray[np.float64]
    ipd: float
    half: float
    places: NDArray[np.float64]
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]


def _frame(points: NDArray[np.float32], ipd: float) -> _Frame:
    right, left = points[78, :2].astype(np.float64), points[308, :2].astype(np.float64)
    along = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    axes = np.array([along, [-along[1], along[0]]])
    origin = (right + left) / 2
    half = max(float(np.linalg.norm(left - right)) / 2 / ipd, 1e-3)
    places = np.linspace(-1, 1, 33)
    curves = []
    for ring in (topo.LIP_UPPER_INNER, topo.LIP_LOWER_INNER):
        local = (points[list(ring), :2] - origin) @ axes.T / ipd
        x = np.maximum.accumulate(local[:, 0])
        curves.append(np.interp(places * half, x, local[:, 1]))
    return _Frame(origin, axes, ipd, half, places, curves[0], np.maximum(curves[1], curves[0]))


def interior(
    exemplars: Sequence[tuple[float, MouthExemplar]],
    points: NDArray[np.float32],
    ipd: float,
    region: Region,
    lip_line: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """The mouth's inside over `region`, uint8 [H, W, 3], for target mesh `points` (pixels) and weighted exemplars."""
    target = _frame(points, ipd)
    columns = np.arange(region.width) + region.left
    rows = (np.arange(region.height) + region.top)[:, None]
    x = ((columns - target.origin[0]) * target.axes[0, 0] + (rows - target.origin[1]) * target.axes[0, 1]) / ipd
    y = ((columns - target.origin[0]) * target.axes[1, 0] + (rows - target.origin[1]) * target.axes[1, 1]) / ipd
    place = (x / target.half).clip(-1, 1)
    top = np.interp(place, target.places, target.upper)
    bottom = np.interp(place, target.places, target.lower)
    total = np.zeros((region.height, region.width, 3), np.float32)
    cavity = lip_line * DEPTH
    for weight, exemplar in exemplars:
        source = _frame(exemplar.points, geo.interocular(exemplar.points))
        stretch = max(source.half, 0.55 * target.half) - target.half
        xs = (x.clip(-target.half, target.half) + stretch * place * np.abs(place)).clip(-source.half, source.half)
        at = xs / source.half
        s_top, s_bottom = np.interp(at, source.places, source.upper), np.interp(at, source.places, source.lower)
        room, s_room = bottom - top, s_bottom - s_top
        shown = np.minimum(room, s_room) * 0.94
        hang, stand = exemplar.upper_share * shown, (1 - exemplar.upper_share) * shown  # from each lip
        depth = np.minimum((y - top).clip(0, None), room)
        rest, s_rest = room - hang - stand, s_room - hang - stand
        t = ((depth - hang) / np.maximum(rest, 1e-4)).clip(0, 1)
        inside = np.where(
            depth <= hang, depth, np.where(depth >= room - stand, s_room - (room - depth), hang + t * s_rest)
        )
        # Where the mouth is wider open than in the photo nothing was seen, if not the dark between the rows of teeth.
        empty = (0.0 if exemplar.shows_gap else 1.0) * (
            ((rest - s_rest) / 0.05).clip(0, 1)
            * geo.smoothstep(-0.012, 0.012, depth - hang)
            * geo.smoothstep(-0.012, 0.012, room - stand - depth)
        )
        inset = np.minimum(0.012, 0.12 * s_room)  # leave the lip's own rim out
        low, high = s_top + inset, s_top + np.maximum(s_room - inset, inset)
        seen = _seen(exemplar, source, xs, (s_top + inside).clip(low, high))
        # A narrow mouth leaves the middle of a wide one out: there the two rows meet softly, not in a step.
        above = _seen(exemplar, source, xs, (s_top + depth).clip(low, high))
        below = _seen(exemplar, source, xs, (s_top + s_room - (room - depth)).clip(low, high))
        soft = np.maximum(rest, MEETING if exemplar.own else np.minimum(0.07, 0.4 * room) + 1e-4)  # no edge on a tongue
        over = geo.smoothstep(0.0, 1.0, (depth - hang - rest / 2) / soft + 0.5)[..., None]
        narrow = ((s_rest - rest) / 0.02).clip(0, 1)[..., None]
        seen = seen * (1 - narrow) + narrow * (above * (1 - over) + below * over)
        seen = seen * (1 - empty[..., None]) + cavity * (0.8 + 0.8 * t[..., None]) * empty[..., None]
        light = _light(place, y - top, bottom - top)
        if exemplar.own:  # the photo was taken in a mouth's light: only what differs is added
            light = np.minimum(light / _light(at, inside, s_room), 1)
        depth_share = geo.smoothstep(0.03, 0.14, bottom - top)[..., None]
        dark = lip_line * 0.7 * (1 - depth_share) + 0.6 * cavity * depth_share  # a slit is lip-coloured
        total += weight * (seen * light[..., None] + dark * (1 - light[..., None]))
    return np.asarray(total.clip(0, 255), np.uint8)


def _light(place: NDArray[np.float64], depth: NDArray[np.float64], opening: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much light reaches a place in the mouth, 0..1: `place` -1..1 from corner to corner, `depth` below the upper
    lip and `opening` in ipd."""
    under_lip = np.exp(-((depth / 0.03).clip(0, None) ** 2))
    over_lip = np.exp(-(((opening - depth) / 0.025).clip(0, None) ** 2))
    light = 1 - 0.35 * under_lip - 0.15 * over_lip - 0.35 * np.abs(place) ** 3
    return np.asarray(light * (0.55 + 0.45 * (opening / 0.14).clip(0, 1)))  # little enters a mouth that is hardly open


def _seen(
    exemplar: MouthExemplar, source: _Frame, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The exemplar's pixels at places of its own mouth (ipd), float32 [H, W, 3]."""
    map_x = source.origin[0] + source.ipd * (xs * source.axes[0, 0] + ys * source.axes[1, 0])
    map_y = source.origin[1] + source.ipd * (xs * source.axes[0, 1] + ys * source.axes[1, 1])
    return remap(exemplar.image, map_x.astype(np.float32), map_y.astype(np.float32)).astype(np.float32)


def choose(exemplars: Sequence[MouthExemplar], opening: float, width: float) -> list[tuple[float, MouthExemplar]]:
    """Weights over exemplars for a target mouth; they change smoothly with the shape, so that teeth do not flicker. A
    drawn one beside photos takes over where the mouth opens much wider than theirs."""
    if not exemplars:
        return []
    own, drawn = [e for e in exemplars if e.own], [e for e in exemplars if not e.own]
    if own and drawn:
        share = float(geo.smoothstep(1.2, 2.0, opening / max(e.opening for e in own)))
        mixed = [(weight * (1 - share), e) for weight, e in choose(own, opening, width)] + [(share, drawn[0])]
        return [(weight, e) for weight, e in mixed if weight > 0.01]
    shape = np.array([(e.opening, 0.5 * e.width) for e in exemplars])
    wanted = np.array([max(opening, TEETH_OPENING), 0.5 * width])
    distance = np.sqrt((((shape - wanted) / 0.045) ** 2).sum(axis=1))
    distance += 2.5 * ((wanted[0] * 0.6 - shape[:, 0]) / 0.045).clip(0)  # too closed a photo has nothing to show
    weight = np.exp(-(distance - distance.min()) * 1.6)
    order = np.argsort(-weight)[:3]
    kept = weight[order] - (0.5 * weight[np.argsort(-weight)[3]] if len(weight) > 3 else 0.0)
    kept = kept.clip(0) / kept.clip(0).sum()
    return [(float(w), exemplars[int(i)]) for w, i in zip(kept, order, strict=True) if w > 0.01]


def paint_mouth(
    canvas: NDArray[np.uint8],
    points: NDArray[np.float32],
    ipd: float,
    exemplars: Sequence[MouthExemplar],
    lip_line: NDArray[np.uint8],
) -> None:
    """Lay the mouth's inside behind the lips of `canvas` (in place), or the line where closed lips meet."""
    height, width = canvas.shape[:2]
    opening = float(np.linalg.norm(points[13, :2] - points[14, :2]) / ipd)
    if opening < 0.04:
        _paint_seam(canvas, points, ipd, lip_line, 1 - opening / 0.04)
    if opening < 0.012:
        return
    across = float(np.linalg.norm(points[308, :2] - points[78, :2]) / ipd)
    outline = topo.polygon(points, topo.INNER_MOUTH)
    region = Region.around(outline, 4, width, height)
    rows, columns = region.slices
    inside = interior(choose(exemplars, opening, across), points, ipd, region, lip_line)
    shown = float(geo.smoothstep(0.010, 0.045, opening))
    mask = soft_polygon(outline, region, max(0.7, 0.010 * ipd)) * np.float32(shown)
    canvas[rows, columns] = blend(np.ascontiguousarray(canvas[rows, columns]), inside, mask)


def _paint_seam(
    canvas: NDArray[np.uint8], points: NDArray[np.float32], ipd: float, lip_line: NDArray[np.uint8], strength: float
) -> None:
    """Closed lips meet in a soft dark line; it also covers what a half-open base photo showed between them."""
    line = (points[list(topo.LIP_UPPER_INNER), :2] + points[list(topo.LIP_LOWER_INNER), :2]) / 2
    height, width = canvas.shape[:2]
    region = Region.around(line, 0.05 * ipd + 2, width, height)
    rows, columns = region.slices
    pixels = np.round((line - (region.left, region.top) + 0.5) * 4 - 0.5).astype(np.int32)
    drawn = np.zeros((region.height * 4, region.width * 4), np.uint8)
    cv2.polylines(drawn, [pixels.reshape(-1, 1, 2)], False, 255, max(2, round(0.014 * ipd * 4)), cv2.LINE_AA)
    mask = cv2.resize(drawn, (region.width, region.height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    band = np.minimum(cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.012 * ipd)) * np.float32(2.0), 1) * np.float32(strength)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, 0.008 * ipd)) * np.float32(0.75 * strength)
    # Both lips' triangles end here without a pixel between them: the steps of that edge are softened first.
    patch = np.ascontiguousarray(canvas[rows, columns])
    patch = blend(patch, np.asarray(cv2.GaussianBlur(patch, (0, 0), max(0.8, 0.010 * ipd)), np.uint8), band)
    canvas[rows, columns] = blend(patch, np.broadcast_to(lip_line, patch.shape).copy(), mask)


def lip_line_colour(portrait: NDArray[np.uint8], mesh: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The colour of the line between the person's closed lips: the dark end of their lip colours, uint8 [3]."""
    mask = np.zeros(portrait.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(topo.polygon(mesh, topo.OUTER_MOUTH)).astype(np.int32)], 1)
    cv2.fillPoly(mask, [np.round(topo.polygon(mesh, topo.INNER_MOUTH)).astype(np.int32)], 0)
    lips = portrait[mask > 0].reshape(-1, 3).astype(np.float32)
    if len(lips) < 8:
        return np.array([90, 50, 50], np.uint8)
    dark = lips[lips.sum(axis=1) <= np.percentile(lips.sum(axis=1), 15)].mean(axis=0)
    return np.asarray(dark * 0.82, np.uint8)


def drawn_exemplar(image: NDArray[np.uint8], points: NDArray[np.float32]) -> MouthExemplar:
    """A cavity drawn for a person of whom no photo shows the teeth, tinted by their own lips, `image` with mesh
    `points`."""
    height, width, ipd = 240, 360, 400.0
    outer = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(outer, [np.round(topo.polygon(points, topo.OUTER_MOUTH)).astype(np.int32)], 1)
    cv2.fillPoly(outer, [np.round(topo.polygon(points, topo.INNER_MOUTH)).astype(np.int32)], 0)
    lips = image[outer > 0].reshape(-1, 3)
    lip = np.median(lips, axis=0) if len(lips) else np.array([150.0, 90.0, 90.0])
    skin = np.median(
        image[
            np.round(points[[50, 280, 9], 1]).astype(int).clip(0, image.shape[0] - 1),
            np.round(points[[50, 280, 9], 0]).astype(int).clip(0, image.shape[1] - 1),
        ],
        axis=0,
    )
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x - width / 2) / (width / 2), y / height
    # As seen in tracked speakers (GRID): a tongue in frontal light is about 0.8 of the lips, the depth about half.
    tongue = np.exp(-(((v - 1.02) / 0.5) ** 2) - (u / 0.75) ** 2)[..., None]
    cavity = lip * np.array([0.44, 0.31, 0.33]) * (1 - tongue) + tongue * lip * (0.80, 0.68, 0.70)
    # Teeth take the colour of the light, which skin shows: under a lamp a neutral white would look like grey paper.
    tint = skin / SKIN * IVORY
    tint *= max(1.0, 110.0 / max(float(tint.mean()), 1.0))
    picture = cavity
    for left, right, length, light, alpha in UPPER_TEETH:
        tooth, shade = _tooth(x / ipd - width / ipd / 2, y / ipd, left, right, length)
        tooth *= alpha
        picture = picture * (1 - tooth[..., None]) + tooth[..., None] * tint * light * shade[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), 2.5).clip(0, 255).astype(np.uint8)
    mesh = np.zeros((topo.POINTS, 3), np.float32)
    grid = np.linspace(0, width - 1, 11)
    bow = 1 - (grid / (width - 1) * 2 - 1) ** 8  # nearly straight: the teeth hang evenly from any lip
    mesh[list(topo.LIP_UPPER_INNER), 0] = mesh[list(topo.LIP_LOWER_INNER), 0] = grid
    mesh[list(topo.LIP_UPPER_INNER), 1] = height / 2 - bow * height * 0.5
    mesh[list(topo.LIP_LOWER_INNER), 1] = height / 2 + bow * height * 0.5
    mesh[[33, 133], :2], mesh[[362, 263], :2] = (width / 2 - ipd / 2, -300), (width / 2 + ipd / 2, -300)
    return MouthExemplar(picture, mesh, height / ipd, width / ipd, own=False)


def _tooth(
    x: NDArray[np.float64], y: NDArray[np.float64], left: float, right: float, length: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One tooth that hangs from y = 0 between `left` and `right` (all in ipd): how much of it covers a place, and its
    shading, both float64 [H, W]. Rounded below, darker to its sides and to the cutting edge, where it is thin."""
    across = (2 * x - left - right) / (right - left)
    end = length * (1 - 0.16 * np.abs(across).clip(0, 1.2) ** 3)
    cover = (1 - geo.smoothstep(0.90, 1.08, np.abs(across))) * (1 - geo.smoothstep(-0.008, 0.010, y - end))
    return cover, (1 - 0.22 * np.abs(across) ** 4) * (1 - 0.16 * geo.smoothstep(0.45, 1.0, y / length))
