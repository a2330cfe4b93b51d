"""The stage: where the person stands in the picture, what is behind them, and how the two are joined.

Everything that does not move is computed once; a picture then costs one blend.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.bust import Bust
from memorial_tasks.video.encode import facts, pictures
from memorial_tasks.video.motion import LIFT, SWAY, Motion

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
HEADROOM: Final = 0.115  # of the picture's height above the hair
UPRIGHT: Final = 1.12  # width of the person on an upright screen, in widths of the screen
PUSH: Final = 0.035  # how much a still background grows over the film
FAR: Final = 0.008  # of the width: how far a photo's distance moves to either side against the person
WALL: Final = 0.004  # the same of the studio's wall, which stands close behind
NEAR: Final = 0.15  # what is left of that motion where the ground meets the picture's lower edge
HORIZON: Final = 0.52  # of the height: what lies lower in a photo taken standing is ground, the nearer the lower
FACE: Final = 1.5  # from the hair's top to the chin, in widths of the head, hair and ears included; measured 1.42, 1.43
BANDS: Final = 36  # strips of the person that are moved sideways by themselves: steps of less than a third of a pixel
JUMP: Final = 50  # pictures of a filmed background that are rather decoded than jumped over
VIDEO: Final = frozenset({".mkv", ".mp4", ".mov", ".webm", ".avi"})


@dataclass(frozen=True)
class Placement:
    """Where the portrait lies on the canvas: scaled size (w, h), its top left corner (may lie outside)."""

    size: tuple[int, int]
    left: int
    top: int


def place_person(matte: Picture, canvas: tuple[int, int]) -> Placement:
    """Shoulders on the lower edge, the hair `HEADROOM` below the upper one, the head in the middle.

    `matte` is uint8 [H, W], `canvas` (w, h). Raises `InputRefused` when the matte shows nobody.
    """
    solid = matte > 127
    rows = np.flatnonzero(solid.mean(axis=1) > 0.01)
    if len(rows) < 8 or solid.mean() < 0.01:
        raise InputRefused(
            [Problem("matte.empty", "the matte shows no person", "choose another base photo", file="matte.png")]
        )
    height, width = matte.shape
    wide, high = canvas
    first, last = int(rows[0]), int(rows[-1]) + 1
    scale = (high * (1 - HEADROOM) + 2) / (last - first)
    if first <= 0.01 * height:  # the hair touches the photo's edge: no air above what was cut off
        scale = (high + 2) / (last - first)
    if high > wide:  # an upright screen: the shoulders may be cut, the head stays a head and does not fill the screen
        columns = np.flatnonzero(solid.any(axis=0))
        scale = min(scale, UPRIGHT * wide / (int(columns[-1]) + 1 - int(columns[0])))
    head = solid[first : first + max(1, (last - first) // 3)]
    centre = float(np.average(np.arange(width), weights=np.maximum(head.sum(axis=0), 1e-6)))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    top = high + 2 - round(last * scale)  # two rows under the edge: no seam there
    return Placement(size, round(wide / 2 - centre * scale), top)


def chin_row(matte: Picture) -> int:
    """The row of `matte` (uint8 [H, W]) under which there is no face any more, by the head's own width: an outline does
    not show where a chin ends above a collar."""
    solid = matte > 127
    rows = np.flatnonzero(solid.mean(axis=1) > 0.01)
    if len(rows) == 0:
        return 0
    widths = solid[rows[0] :].sum(axis=1)
    widest = np.maximum.accumulate(widths)
    neck = np.flatnonzero((np.arange(len(widths)) > 0.55 * widest) & (widths < 0.85 * widest))
    head = widest[neck[0]] if len(neck) else widths[: max(1, int(0.45 * len(rows)))].max()
    return int(min(rows[-1], rows[0] + FACE * head))


def soft_matte(matte: Picture, placement: Placement) -> Plane:
    """The matte at the placed size, 0..1, faded where the person runs out of the photo at its sides."""
    width, height = placement.size
    shrinks = height < matte.shape[0]
    alpha = cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    plane = np.clip(alpha.astype(np.float32) / 255, 0, 1)
    ramp = max(2, round(0.13 * width))
    for side in (0, 1):
        edge = plane[:, :2] if side == 0 else plane[:, -2:]
        if float(edge.max()) < 0.1:
            continue
        fade = np.clip(np.arange(width) / ramp, 0, 1)
        fade = 0.5 - 0.5 * np.cos(np.pi * fade)
        plane *= (fade if side == 0 else fade[::-1]).astype(np.float32)
    if float((plane[:2] > 0.5).mean()) > 0.02 and placement.top > 0:
        fade = np.clip(np.arange(height) / ramp, 0, 1)
        plane *= (0.5 - 0.5 * np.cos(np.pi * fade)).astype(np.float32)[:, None]
    return np.asarray(plane, np.float32)


def studio_backdrop(canvas: tuple[int, int], seed: int = 0) -> Picture:
    """A painted studio wall: warm grey, lit behind the head, darker at the edges, grained against banding."""
    width, height = canvas
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    far = np.hypot((x / width - 0.5) * 1.25, (y / height - 0.42) * 0.95)
    light = np.exp(-((far / 0.42) ** 2))[..., None]
    dark, bright = np.array([52, 54, 60], np.float32), np.array([148, 142, 134], np.float32)
    wall = dark + (bright - dark) * light
    random = np.random.default_rng(seed)
    cloud = cv2.resize(random.standard_normal((9, 16)).astype(np.float32), canvas, interpolation=cv2.INTER_CUBIC)
    wall *= (1 + 0.025 * cloud)[..., None]
    # plaster, not noise: it breaks the bands just so, and moved it costs an encoder a third of what noise would
    plaster = cv2.GaussianBlur(random.standard_normal((height, width)).astype(np.float32), (0, 0), 1.1) * 4.6
    return np.asarray(np.clip(wall + plaster[..., None] + 0.5, 0, 255), np.uint8)


def cover(image: Picture, canvas: tuple[int, int], scale: float = 1.0) -> Picture:
    """The image filling `canvas` times `scale`, cut in the middle."""
    wide, high = round(canvas[0] * scale), round(canvas[1] * scale)
    height, width = image.shape[:2]
    factor = max(wide / width, high / height)
    size = max(wide, round(width * factor)), max(high, round(height * factor))
    turned = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - wide) // 2, (size[1] - high) // 2
    return np.asarray(turned[top : top + high, left : left + wide], np.uint8)


class Backdrop:
    """What is behind the person. `at(n, camera)` gives picture n, uint8 [H, W, 3], seen from `camera` (-1..1, see
    `video.motion`); going on costs least, a jump is possible.

    A still photo is taken apart by its geometry: above the horizon is the distance, which moves most against the
    person, below it the ground, which moves the less the nearer it is. One plane turns into the other, so there is no
    edge that could open; and the photo is larger than the picture by more than it moves.
    """

    def __init__(self, source: Path | None, canvas: tuple[int, int], fps: int, frames: int) -> None:
        self.canvas, self._frames = canvas, max(1, frames)
        self._film: Iterator[Picture] | None = None
        self._source, self._wall = source, 0
        if source is not None and source.suffix.lower() in VIDEO:
            about = facts(source)
            self._ratio = about.fps / fps
            scale = max(canvas[0] / about.width, canvas[1] / about.height)
            # half the size and back: a lens that is not focused on the background, for nothing
            self._half = (round(about.width * scale / 2) // 2 * 2, round(about.height * scale / 2) // 2 * 2)
            self._length = about.frames or sum(1 for _ in pictures(source, (2, 2)))
            self._film = pictures(source, self._half, loop=True)
            self._shown, self._still = -1, np.zeros((2, 2, 3), np.uint8)
        elif source is not None:
            image = cv2.imread(str(source), cv2.IMREAD_COLOR)
            if image is None:
                raise InputRefused(
                    [Problem("background.unreadable", "the background cannot be read", "use PNG", file=source.name)]
                )
            # half the size: out of focus as it is, nothing is lost by moving it there and enlarging it after
            half = (canvas[0] // 2, canvas[1] // 2)
            large = cover(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), half, 1 + PUSH + 3 * FAR)
            self._still = np.asarray(cv2.GaussianBlur(large, (0, 0), canvas[1] / 540), np.uint8)
        else:
            self._wall = int(np.ceil(WALL * canvas[0])) + 1
            self._still = studio_backdrop((canvas[0] + 2 * self._wall, canvas[1]))

    @property
    def wall(self) -> bool:
        """True for the studio's own wall, on which the person throws a shadow."""
        return self._source is None

    def at(self, number: int, camera: float = 0.0) -> Picture:
        """Picture `number`, the caller's own. A still photo comes slowly nearer; a film goes on, begun again at its
        end."""
        if self._film is not None:
            return self._filmed(int(number * self._ratio))
        if self.wall:
            return shifted(self._still, self._wall + camera * WALL * self.canvas[0], self.canvas[0])
        width, height = self.canvas[0] // 2, self.canvas[1] // 2
        seen_w, seen_h, left, top, far = self._window(number, camera)
        horizon = round(HORIZON * height)
        turned = np.empty((height, width, 3), np.uint8)
        slope = far * (NEAR - 1) / (height - horizon)
        for rows, shear in ((slice(0, horizon), 0.0), (slice(horizon, height), slope)):
            matrix = np.array(
                [[seen_w / width, shear, left + far], [0, seen_h / height, top + rows.start * seen_h / height]],
                np.float64,
            )
            turned[rows] = cv2.warpAffine(
                self._still,
                matrix,
                (width, rows.stop - rows.start),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return np.asarray(cv2.resize(turned, self.canvas, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _window(self, number: int, camera: float) -> tuple[float, float, float, float, float]:
        """Of a still photo, in its own pixels: width and height that are seen, left and top of that, and how far the
        distance is moved."""
        zoom = 1 + 3 * FAR + PUSH * min(1.0, number / self._frames)
        size_w, size_h = self._still.shape[1], self._still.shape[0]
        seen_w, seen_h = size_w / zoom, size_h / zoom
        return seen_w, seen_h, (size_w - seen_w) / 2, (size_h - seen_h) / 2, camera * FAR * seen_w

    def _filmed(self, wanted: int) -> Picture:
        if self._source is not None and not self._shown <= wanted <= self._shown + JUMP:
            self._film = pictures(self._source, self._half, loop=True, start=wanted % self._length)
            self._shown = wanted - 1
        while self._film is not None and self._shown < wanted:
            self._still = next(self._film)
            self._shown += 1
        return cover(self._still, self.canvas)


class Stage:
    """Joins person and backdrop. `picture(portrait, n)` gives one finished picture uint8 [H, W, 3]."""

    def __init__(self, matte: Picture, sample: Picture, backdrop: Backdrop, motion: Motion | None = None) -> None:
        """`sample` is one picture of the portrait at the matte's size: it decides the colour match. Without `motion`
        body and camera stand still."""
        self.backdrop = backdrop
        self._motion = motion or Motion(*(np.zeros(1, np.float32) for _ in range(3)))
        self._bust = Bust.under(matte, sample)
        matte = self._bust.matte if self._bust else matte
        sample = self._bust.dress(sample) if self._bust else sample
        self.placement = place_person(matte, backdrop.canvas)
        wide, high = backdrop.canvas
        left, top = self.placement.left, self.placement.top
        self.chin = top + chin_row(matte) * self.placement.size[1] // matte.shape[0]  # row of the canvas
        alpha = soft_matte(matte, self.placement)
        rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.004), np.flatnonzero(alpha.max(axis=0) > 0.004)
        reach = int(np.ceil(max(SWAY, LIFT) * high)) + 2  # the body's own motion stays inside
        self._area = (
            slice(max(0, top + int(rows[0]) - reach), min(high, top + int(rows[-1]) + 1)),
            slice(max(0, left + int(columns[0]) - reach), min(wide, left + int(columns[-1]) + 1 + reach)),
        )
        # cut a little larger than the area: that is where the body moves to and comes from
        self._cut = _Cut(self.placement, self._area, reach)
        behind = backdrop.at(0)
        base = self._cut(alpha)
        self._alpha = _wrapped(base, high)
        self._look = _colour_match(sample, matte, behind)
        self._scaling = cv2.INTER_AREA if self.placement.size[0] < matte.shape[1] else cv2.INTER_CUBIC
        self._shade = _shadow(base[reach:-reach, reach:-reach], behind.shape, self._area) if backdrop.wall else None
        steps = np.arange(base.shape[0], dtype=np.float32)
        self._share = 1 - np.clip(steps / max(1, base.shape[0] - reach), 0, 1)  # of the sway: none at the lower edge

    def picture(self, portrait: Picture, number: int) -> Picture:
        """`portrait` is uint8 RGB at the matte's size."""
        sway, lift, camera = self._motion.at(number)
        if self._bust:
            portrait = self._bust.dress(portrait)
        high = self.backdrop.canvas[1]
        person = cv2.resize(cv2.LUT(portrait, self._look), self.placement.size, interpolation=self._scaling)
        offsets, down = -sway * high * self._share, lift * high
        body = self._cut.moved(self._cut(person), offsets, down)
        alpha = self._cut.moved(self._alpha, offsets, down)
        canvas = self.backdrop.at(number, camera)
        if self._shade is not None:
            cv2.multiply(canvas, self._shade, dst=canvas, scale=1 / 255)
        scene = np.ascontiguousarray(canvas[self._area])
        canvas[self._area] = cv2.blendLinear(body, scene, alpha, 1 - alpha)
        return canvas


class _Cut:
    """The part of a placed picture that can be seen, with `reach` pixels around it; what lies outside the picture is
    its own edge drawn on."""

    def __init__(self, placement: Placement, area: tuple[slice, slice], reach: int) -> None:
        width, height = placement.size
        self._reach = reach
        first_row, last_row = area[0].start - placement.top - reach, area[0].stop - placement.top + reach
        first_column, last_column = area[1].start - placement.left - reach, area[1].stop - placement.left + reach
        self._rows = slice(max(0, first_row), min(height, last_row))
        self._columns = slice(max(0, first_column), min(width, last_column))
        self._around = (
            max(0, -first_row), max(0, last_row - height), max(0, -first_column), max(0, last_column - width),
        )  # fmt: skip

    def __call__(self, placed: NDArray[Any]) -> NDArray[Any]:
        """[h + 2 * reach, w + 2 * reach] of a placed picture or plane."""
        part = placed[self._rows, self._columns]
        top, bottom, left, right = self._around
        edged = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
        if placed.ndim == 2:  # above and beside the person there is nobody
            edged[:top], edged[:, :left], edged[:, edged.shape[1] - right :] = 0, 0, 0
        return np.asarray(edged)

    def moved(self, cut: NDArray[Any], offsets: Plane, up: float) -> NDArray[Any]:
        """The area itself, each row moved by its `offsets` to the left and all of them `up`, in pixels."""
        reach = self._reach
        height, width = cut.shape[0] - 2 * reach, cut.shape[1] - 2 * reach
        leant = np.empty((cut.shape[0], width, *cut.shape[2:]), cut.dtype)
        edges = np.linspace(0, cut.shape[0], BANDS + 1).round().astype(int)
        for low, high in pairwise(edges.tolist()):
            leant[low:high] = shifted(cut[low:high], reach + float(offsets[(low + high) // 2]), width)
        whole = int(np.floor(reach + up))
        share = reach + up - whole
        rows = leant[whole : whole + height]
        if share > 1e-3:
            rows = cv2.addWeighted(rows, 1 - share, leant[whole + 1 : whole + 1 + height], share, 0)
        return np.ascontiguousarray(rows)


def shifted(picture: NDArray[Any], left: float, width: int) -> NDArray[Any]:
    """`width` columns from the place `left`, which may lie between two pixels. A tenth of what a warp costs."""
    whole = int(np.floor(left))
    share = left - whole
    if share < 1e-3:
        return np.ascontiguousarray(picture[:, whole : whole + width])
    rows, next_rows = picture[:, whole : whole + width], picture[:, whole + 1 : whole + 1 + width]
    return np.asarray(cv2.addWeighted(rows, 1 - share, next_rows, share, 0))


def _wrapped(alpha: Plane, height: int) -> Plane:
    """Light wrap: a lit background shines a little over the person's edge."""
    inner = cv2.GaussianBlur(alpha, (0, 0), max(1.0, height / 200))
    return np.ascontiguousarray(alpha * (1 - 0.22 * np.clip(1.9 * (1 - inner), 0, 1)), np.float32)


def _shadow(alpha: Plane, shape: tuple[int, ...], area: tuple[slice, slice]) -> Picture:
    """What a soft shadow of the person leaves of a studio wall, uint8 [H, W, 3] of 255."""
    height, width = shape[:2]
    shade = np.zeros((height, width), np.float32)
    shade[area] = alpha
    soft = cv2.GaussianBlur(shade, (0, 0), height / 24)
    soft = cv2.warpAffine(soft, np.array([[1, 0, width / 70], [0, 1, height / 60]], np.float64), (width, height))
    left = np.clip(255 * (1 - 0.20 * soft) + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(left[..., None], 3, axis=2))


def _colour_match(sample: Picture, matte: Picture, behind: Picture) -> Picture:
    """A table uint8 [1, 256, 3]: moves the person's white balance an eighth of the way towards the scene's,
    and their contrast not at all. Skin must stay the skin the family knows."""
    person = sample[matte > 200].astype(np.float64).mean(axis=0) + 1
    scene = behind.reshape(-1, 3).astype(np.float64).mean(axis=0) + 1
    tint = (scene / scene.mean()) / (person / person.mean())
    gain = np.clip(tint**0.12, 0.95, 1.05)
    gain /= gain.mean()
    table = np.arange(256)[:, None] * gain[None]
    return np.asarray(np.clip(table + 0.5, 0, 255), np.uint8)[None]
