"""The stage: where the person stands in the picture, what is behind them, and how the two are joined.

Everything that does not move is computed once; a picture then costs one blend.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.encode import facts, pictures

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
HEADROOM: Final = 0.115  # of the picture's height above the hair
UPRIGHT: Final = 1.12  # width of the person on an upright screen, in widths of the screen
PUSH: Final = 0.035  # how much a still background grows over the film
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
    grain = random.standard_normal((height, width, 1)).astype(np.float32) * 1.3
    return np.asarray(np.clip(wall + grain + 0.5, 0, 255), np.uint8)


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
    """What is behind the person. `at(n)` gives picture n, uint8 [H, W, 3]; going on costs least, a jump is possible."""

    def __init__(self, source: Path | None, canvas: tuple[int, int], fps: int, frames: int) -> None:
        self.canvas, self._frames = canvas, max(1, frames)
        self.moves = source is not None
        self._film: Iterator[Picture] | None = None
        self._source = source
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
            large = cover(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), half, 1 + PUSH)
            self._still = np.asarray(cv2.GaussianBlur(large, (0, 0), canvas[1] / 540), np.uint8)
        else:
            self._still = studio_backdrop(canvas)

    def at(self, number: int) -> Picture:
        """Picture `number`. A still photo comes slowly nearer; a film goes on, begun again at its end."""
        if self._film is not None:
            return self._filmed(int(number * self._ratio))
        if not self.moves:
            return self._still
        width, height = self.canvas[0] // 2, self.canvas[1] // 2
        share = number / self._frames
        zoom = 1 + PUSH * share
        size_w, size_h = self._still.shape[1], self._still.shape[0]
        seen_w, seen_h = size_w / zoom, size_h / zoom
        matrix = np.array(
            [[seen_w / width, 0, (size_w - seen_w) / 2], [0, seen_h / height, (size_h - seen_h) / 2]], np.float64
        )
        turned = cv2.warpAffine(
            self._still,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(cv2.resize(turned, self.canvas, interpolation=cv2.INTER_LINEAR), np.uint8)

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

    def __init__(self, matte: Picture, sample: Picture, backdrop: Backdrop) -> None:
        """`sample` is one picture of the portrait at the matte's size: it decides the colour match."""
        self.backdrop = backdrop
        self.placement = place_person(matte, backdrop.canvas)
        wide, high = backdrop.canvas
        left, top = self.placement.left, self.placement.top
        alpha = soft_matte(matte, self.placement)
        rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.004), np.flatnonzero(alpha.max(axis=0) > 0.004)
        self._area = (
            slice(max(0, top + int(rows[0])), min(high, top + int(rows[-1]) + 1)),
            slice(max(0, left + int(columns[0])), min(wide, left + int(columns[-1]) + 1)),
        )
        self._seen = (
            slice(self._area[0].start - top, self._area[0].stop - top),
            slice(self._area[1].start - left, self._area[1].stop - left),
        )
        alpha = np.ascontiguousarray(alpha[self._seen])
        behind = backdrop.at(0)
        self._alpha = _wrapped(alpha, high)
        self._beyond = np.ascontiguousarray(1 - self._alpha)
        self._look = _colour_match(sample, matte, behind)
        self._scaling = cv2.INTER_AREA if self.placement.size[0] < matte.shape[1] else cv2.INTER_CUBIC
        self._base = behind if backdrop.moves else _with_shadow(behind, alpha, self._area)
        self._scene = np.ascontiguousarray(self._base[self._area])

    def picture(self, portrait: Picture, number: int) -> Picture:
        """`portrait` is uint8 RGB at the matte's size."""
        person = cv2.resize(cv2.LUT(portrait, self._look), self.placement.size, interpolation=self._scaling)
        person = np.ascontiguousarray(person[self._seen])
        if self.backdrop.moves:
            canvas = self.backdrop.at(number).copy()
            self._scene = np.ascontiguousarray(canvas[self._area])
        else:
            canvas = self._base.copy()
        canvas[self._area] = cv2.blendLinear(person, self._scene, self._alpha, self._beyond)
        return canvas


def extend_person(photo: Picture, matte: Picture) -> Picture:
    """The photo with everything that is not the person replaced by the person's own colours, drawn outwards.

    An outline is never quite right, and a moving head slides under it: what shows there must be hair and cloth, not a
    rim of the old background. `photo` uint8 [H, W, 3], `matte` uint8 [H, W]; the inside stays untouched.
    """
    height = matte.shape[0]
    alpha = matte.astype(np.float32) / 255
    sure = cv2.erode((alpha > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(2, height // 240))
    weight = sure.astype(np.float32)
    if not weight.any():
        return photo
    colour = photo.astype(np.float32) * weight[..., None]
    levels = [(colour, weight)]
    while min(levels[-1][1].shape) > 3:
        colour, weight = levels[-1]
        size = max(1, weight.shape[1] // 2), max(1, weight.shape[0] // 2)
        levels.append((_shrunk(colour, size), _shrunk(weight, size)))
    colour, weight = levels[-1]
    filled = colour / np.maximum(weight[..., None], 1e-4)
    for colour, weight in reversed(levels[:-1]):
        wider = cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        known = np.clip(weight * 3, 0, 1)[..., None]
        filled = colour / np.maximum(weight[..., None], 1e-4) * known + wider * (1 - known)
    own = cv2.GaussianBlur(sure.astype(np.float32), (0, 0), max(1.0, height / 700))
    own = (np.clip(own * 2 - 1, 0, 1) * sure)[..., None]
    return np.asarray(np.clip(photo * own + filled * (1 - own) + 0.5, 0, 255), np.uint8)


def _shrunk(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _wrapped(alpha: Plane, height: int) -> Plane:
    """Light wrap: a lit background shines a little over the person's edge."""
    inner = cv2.GaussianBlur(alpha, (0, 0), max(1.0, height / 200))
    return np.ascontiguousarray(alpha * (1 - 0.22 * np.clip(1.9 * (1 - inner), 0, 1)), np.float32)


def _with_shadow(behind: Picture, alpha: Plane, area: tuple[slice, slice]) -> Picture:
    """A soft shadow of the person on a studio wall."""
    height, width = behind.shape[:2]
    shade = np.zeros((height, width), np.float32)
    shade[area] = alpha
    soft = cv2.GaussianBlur(shade, (0, 0), height / 24)
    soft = cv2.warpAffine(soft, np.array([[1, 0, width / 70], [0, 1, height / 60]], np.float64), (width, height))
    return np.asarray(np.clip(behind * (1 - 0.20 * soft[..., None]), 0, 255), np.uint8)


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
