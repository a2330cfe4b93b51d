"""The label a person sees and hears (GB 45438-2025 5.3 and 5.4, EU Code of Practice, DESIGN's one label profile).

An opening card of 3 s is put *before* the film, so that no word is spoken behind it; the corner label stays on every
frame; an end card of 2.5 s follows with the content id. All sizes are measured on the rendered ink, because the
standard speaks of the height of the characters and a capital letter is only 0.73 of the font size. The sound starts
with the rhythm short-long short-short (the Morse letters "AI"), which clause 5.3 accepts in place of a spoken notice.

Frames are planar 8-bit YUV 4:2:0 in limited range, as they go to the encoder: one array [height * 3 / 2, width].
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from memorial_tasks.domain.timing import END_CARD, OPENING_CARD
from memorial_tasks.errors import Unavailable

OPENING_S, ENDING_S = OPENING_CARD, END_CARD
_NEARER = 8  # pixels by which the label of a stereo film is moved in each eye, one degree
FONT = "NotoSansCJKsc-Regular.otf"
TITLE = "本片由AI生成合成"
TITLE_LATIN = "AI GENERATED"
CORNER = "AI生成"  # one profile everywhere: it holds the two elements China asks for and the EU icon's "AI"
CARD_INK = 0.07  # of the shortest edge: both lines of the opening card
LABEL_INK = 0.05  # the corner label and the line on the end card
ID_INK = 0.022  # the content id: information, not the label

_WHITE, _BLACK = 229, 16  # limited range; a warm white, not the brightest the screen can do
_FADE_S = 0.5

Planes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """A rendered line of text: ink coverage 0..1 [h, w], cropped to the ink, and where its top left corner goes.

    `ink` is the height in pixels of the lowest character."""

    text: str
    coverage: Floats
    x: int
    y: int
    ink: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the ink."""
        return self.x, self.y, self.coverage.shape[1], self.coverage.shape[0]


@dataclass(frozen=True)
class Layout:
    """Every line of the profile for one frame size."""

    width: int
    height: int
    corner: Line
    opening: tuple[Line, ...]
    ending: tuple[Line, ...]  # the last is the content id, when there is one
    twin: Line | None = None  # the same corner label for the other eye of a stereo film
    short: int = 0  # the edge the letters' heights are shares of; 0 means the frame's shortest

    @property
    def edge(self) -> int:
        """The edge the letters' heights are shares of, in pixels."""
        return self.short or min(self.width, self.height)


def _least(short: int, share: float) -> int:
    """Pixels that are at least `share` of the shortest edge, and one more for what the encoder softens."""
    return math.ceil(short * share) + 1


def _font_file(assets: Path) -> Path:
    path = assets / FONT
    if not path.is_file():
        raise Unavailable("the label font is missing", where=FONT, remedy="run `memorial init`")
    return path


@lru_cache(maxsize=64)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _ink_height(font: ImageFont.FreeTypeFont, text: str) -> int:
    """Height of the lowest letter or digit (not of a hyphen), counting pixels at least half covered."""
    heights = []
    for character in filter(str.isalnum, text):
        mask = font.getmask(character)
        rows = (np.array(mask, np.uint8).reshape(mask.size[1], mask.size[0]) >= 128).any(axis=1)
        heights.append(int(np.flatnonzero(rows)[-1] - np.flatnonzero(rows)[0] + 1) if rows.any() else 0)
    return min(heights)


def _sized(path: Path, text: str, ink: int, widest: int) -> tuple[ImageFont.FreeTypeFont, int]:
    """The smallest font whose every character is at least `ink` pixels high, or the largest that fits."""
    size = ink
    while _ink_height(_font(str(path), size), text) < ink:
        size += 1
    while size > 8 and _font(str(path), size).getlength(text) > widest:
        size -= 1
    font = _font(str(path), size)
    return font, _ink_height(font, text)


def _render(font: ImageFont.FreeTypeFont, text: str) -> Floats:
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2), 0)
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
    box = image.getbbox() or (0, 0, 1, 1)
    return (np.asarray(image.crop(box), np.float32) / 255).astype(np.float32)


@lru_cache(maxsize=32)
def layout(assets: Path, width: int, height: int, content_id: str = "") -> Layout:
    """Render the profile for a frame size.

    Raises `Unavailable` without the font. The label never shrinks below its height for want of room unless the frame
    is narrower than about four times its short edge would need; `ink` says what it came to.
    """
    path = _font_file(assets)
    short = min(width, height)
    font, ink = _sized(path, CORNER, _least(short, LABEL_INK), round(width * 0.8))
    cover = _render(font, CORNER)
    margin = round(short * 0.055)
    placed = Line(CORNER, cover, width - margin - cover.shape[1], margin, ink)
    card = _least(short, CARD_INK)
    least = _least(short, LABEL_INK)
    opening = _stack(path, ((TITLE, card), (TITLE_LATIN, card)), width, height, gap=round(short * 0.075))
    # The label lines of the end card stand in the same place whatever the id is, so that they can be looked for alone.
    gap, small = round(short * 0.06), max(9, round(short * ID_INK))
    ending = _stack(path, ((TITLE, least), (TITLE_LATIN, least)), width, height - gap - small, gap)
    if content_id:
        size = _sized(path, "0", small, width)[0].size
        while size > 8 and _font(str(path), int(size)).getlength(content_id) > width * 0.86:
            size -= 1
        cover = _render(_font(str(path), int(size)), content_id)
        below = ending[-1].y + ending[-1].coverage.shape[0] + gap
        ending.append(Line(content_id, cover, (width - cover.shape[1]) // 2, below, small))
    return Layout(width, height, placed, tuple(opening), tuple(ending))


@lru_cache(maxsize=8)
def stereo_layout(assets: Path, width: int, height: int, content_id: str = "") -> Layout:
    """The profile for a side-by-side picture of half a sphere for each eye (VR180): in the middle quarter of each
    eye's view, ninety degrees wide, which is what a headset shows at once; drawn a little nearer than the screen, so
    that both eyes see one label. Heights are shares of that window."""
    side = height // 2
    plan = layout(assets, side, side, content_id)

    def seen(line: Line, eye: int) -> Line:
        nearer = _NEARER if eye == 0 else -_NEARER
        return replace(line, x=line.x + eye * width // 2 + (width // 2 - side) // 2 + nearer, y=line.y + side // 2)

    def both(lines: Sequence[Line]) -> tuple[Line, ...]:
        return tuple(seen(line, eye) for eye in (0, 1) for line in lines)

    return Layout(
        width, height, seen(plan.corner, 0), both(plan.opening), both(plan.ending), seen(plan.corner, 1), side
    )


def _stack(path: Path, lines: Sequence[tuple[str, int]], width: int, height: int, gap: int) -> list[Line]:
    """Lines under each other, in the middle of the frame."""
    drawn = []
    for text, ink in lines:
        font, got = _sized(path, text, ink, round(width * 0.86))
        drawn.append((text, _render(font, text), got))
    y = (height - sum(cover.shape[0] for _, cover, _ in drawn) - gap * (len(drawn) - 1)) // 2
    placed = []
    for text, cover, got in drawn:
        placed.append(Line(text, cover, (width - cover.shape[1]) // 2, y, got))
        y += cover.shape[0] + gap
    return placed


@dataclass(frozen=True)
class Stamp:
    """Something to lay over frames: `keep` is what remains of the picture, `add` what is added, for luma and, at half
    size, for both chroma planes. `x`, `y` and the size are even."""

    x: int
    y: int
    keep: Floats
    add: Floats
    keep_half: Floats
    add_half: Floats


def _stamp(width: int, height: int, lines: Sequence[Line], shade: float, spread: float, veil: float = 0.0) -> Stamp:
    """Lines in warm white over a soft shadow of their own shape, `shade` dark and `spread` px wide, and, where they
    may lie on a bright picture, over a `veil` without edges."""
    reach = round(spread * 4)
    x0 = max(0, min(line.x for line in lines) - reach) // 2 * 2
    y0 = max(0, min(line.y for line in lines) - reach) // 2 * 2
    x1 = min(width, max(line.x + line.coverage.shape[1] for line in lines) + reach + 1) // 2 * 2
    y1 = min(height, max(line.y + line.coverage.shape[0] for line in lines) + reach + 1) // 2 * 2
    text = np.zeros((y1 - y0, x1 - x0), np.float32)
    for line in lines:
        h, w = line.coverage.shape
        text[line.y - y0 : line.y - y0 + h, line.x - x0 : line.x - x0 + w] = line.coverage
    shadow = np.zeros_like(text)
    if shade:
        wide = cv2.GaussianBlur(text, (0, 0), spread)
        tight = cv2.GaussianBlur(cv2.dilate(text, np.ones((3, 3))), (0, 0), max(0.8, spread / 5))
        shadow = np.clip(np.maximum(wide * 1.9, tight) * shade, 0, shade).astype(np.float32)
    if veil:
        filled = np.zeros_like(text)
        for line in lines:
            h, w = line.coverage.shape
            grow = round(spread)
            top, left = max(0, line.y - y0 - grow), max(0, line.x - x0 - grow)
            filled[top : line.y - y0 + h + grow, left : line.x - x0 + w + grow] = veil
        shadow = 1 - (1 - shadow) * (1 - cv2.GaussianBlur(filled, (0, 0), spread))
    keep = (1 - shadow) * (1 - text)
    add = (shadow * _BLACK) * (1 - text) + text * _WHITE
    size = (keep.shape[1] // 2, keep.shape[0] // 2)
    keep_half = cv2.resize(keep, size, interpolation=cv2.INTER_AREA)
    return Stamp(x0, y0, keep, add + 0.5, keep_half, (1 - keep_half) * 128 + 0.5)


def planes(frame: Planes) -> tuple[Planes, Planes, Planes]:
    """Views on Y [H, W], U and V [H/2, W/2] of a 4:2:0 frame [H*3/2, W]."""
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    flat = frame.reshape(-1)
    luma, quarter = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        frame[:height],
        flat[luma : luma + quarter].reshape(half),
        flat[luma + quarter : luma + 2 * quarter].reshape(half),
    )


def lay(frame: Planes, stamp: Stamp) -> None:
    """Blend a stamp into a frame, in place."""
    luma, blue, red = planes(frame)
    h, w = stamp.keep.shape
    part = luma[stamp.y : stamp.y + h, stamp.x : stamp.x + w]
    part[:] = (part * stamp.keep + stamp.add).astype(np.uint8)
    for plane in (blue, red):
        half = plane[stamp.y // 2 : (stamp.y + h) // 2, stamp.x // 2 : (stamp.x + w) // 2]
        half[:] = (half * stamp.keep_half + stamp.add_half).astype(np.uint8)


class Labeller:
    """Draws the label of one film on its frames and makes the two cards."""

    def __init__(self, plan: Layout) -> None:
        self.plan = plan
        short = plan.edge
        corners = [plan.corner, *([plan.twin] if plan.twin else [])]
        self._corners = [_stamp(plan.width, plan.height, [one], 0.45, short * 0.014, veil=0.36) for one in corners]
        self._opening = _stamp(plan.width, plan.height, plan.opening, 0.35, short * 0.02)
        self._ending = _stamp(plan.width, plan.height, plan.ending, 0.35, short * 0.02)

    def corner(self, frame: Planes) -> None:
        """Lay the corner label on a frame, in place; under a millisecond."""
        for stamp in self._corners:
            lay(frame, stamp)

    def opening(self, first: Planes, frames: int, fps: float) -> "Card":
        """The opening card: the film's first picture, out of focus and dimmed, which clears as the card ends."""
        return Card(first, self._opening, frames, fps, clears=True)

    def ending(self, last: Planes, frames: int, fps: float) -> "Card":
        """The end card: the last picture goes out of focus under the text."""
        return Card(last, self._ending, frames, fps, clears=False)


class Card:
    """Frames of a card, made one at a time. The text is there at full strength on every frame but those of the fade:
    the last half second of the opening card and the first of the end card."""

    def __init__(self, picture: Planes, stamp: Stamp, frames: int, fps: float, *, clears: bool) -> None:
        self._clear = picture
        self._text = dimmed(picture)
        lay(self._text, stamp)
        self._frames, self._fade, self._clears = frames, max(1, round(_FADE_S * fps)), clears

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> Planes:
        if not 0 <= index < self._frames:
            raise IndexError(index)
        if self._clears:
            left = self._frames - index
            if left > self._fade:
                return self._text.copy()
            return _mix(self._text, self._clear, 1 - left / (self._fade + 1))
        return _mix(self._clear, self._text, min(1.0, (index + 1) / self._fade))


def _mix(before: Planes, after: Planes, share: float) -> Planes:
    smooth = share * share * (3 - 2 * share)
    return cv2.addWeighted(before, 1 - smooth, after, smooth, 0.0).astype(np.uint8)


def dimmed(frame: Planes) -> Planes:
    """The same picture out of focus, dark and with half its colour."""
    out = frame.copy()
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    for index, (plane, source) in enumerate(zip(planes(out), planes(frame), strict=True)):
        small = cv2.resize(source, (max(2, width // 16), max(2, height // 16)), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), 1.6).astype(np.float32)
        soft = _BLACK + (soft - _BLACK) * 0.36 if index == 0 else 128 + (soft - 128) * 0.5
        big = cv2.resize(soft, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_CUBIC)
        plane[:] = np.clip(np.round(big), 0, 255).astype(np.uint8)
    return out


# ---- sound -----------------------------------------------------------------------------------------------------

RHYTHM_AT = 0.5  # s after the start
RHYTHM_UNIT = 0.14  # s; a long tone lasts three
RHYTHM_HZ = (587.33, 880.0)  # D5 and A5, a fifth
RHYTHM_LEVEL = 0.06  # about -27 dBFS rms while it sounds: heard, not startling
_RHYTHM = ((0, 1), (2, 3), (7, 1), (9, 1))  # start and length in units: . -   . .
RHYTHM_S = RHYTHM_UNIT * 10


def rhythm(sample_rate: int) -> Floats:
    """Short-long short-short, mono float32, `RHYTHM_S` seconds."""
    out = np.zeros(round(RHYTHM_S * sample_rate), np.float32)
    ramp = round(0.012 * sample_rate)
    for start, length in _RHYTHM:
        count = round(length * RHYTHM_UNIT * sample_rate)
        t = np.arange(count) / sample_rate
        tone = sum(np.sin(2 * np.pi * hz * t) * share for hz, share in zip(RHYTHM_HZ, (0.7, 0.3), strict=True))
        gate = np.ones(count)
        gate[:ramp] = 0.5 - 0.5 * np.cos(np.pi * np.arange(ramp) / ramp)
        gate[-ramp:] = gate[:ramp][::-1]
        at = round(start * RHYTHM_UNIT * sample_rate)
        out[at : at + count] += (tone * gate * RHYTHM_LEVEL).astype(np.float32)[: len(out) - at]
    return out


def opening_sound(sample_rate: int, seconds: float = OPENING_S) -> Floats:
    """The sound of the opening card, mono float32 [seconds * sample_rate]."""
    out = np.zeros(round(seconds * sample_rate), np.float32)
    notice, at = rhythm(sample_rate), round(RHYTHM_AT * sample_rate)
    out[at : at + len(notice)] = notice[: len(out) - at]
    return out


def rhythm_score(sound: Floats, sample_rate: int) -> float:
    """How surely the rhythm is in `sound` (mono, its first seconds): correlation 0..1 of the tone's envelope with
    short-long short-short, at the best place. Above 0.8 is a yes; speech and music stay below about 0.6."""
    if len(sound) < RHYTHM_S * sample_rate:
        return 0.0
    hop = max(1, round(0.01 * sample_rate))
    t = np.arange(len(sound)) / sample_rate
    window = np.hanning(round(0.05 * sample_rate))
    tone = np.abs(np.convolve(sound * np.exp(-2j * np.pi * RHYTHM_HZ[0] * t), window, "same"))[::hop]
    power = np.sqrt(np.convolve(np.square(sound), window, "same"))[::hop]
    if float(tone.max(initial=0)) < 1e-4:
        return 0.0
    share = tone / (power * np.sqrt(window.sum()) + 1e-6)  # how much of the sound is that tone
    wanted = np.zeros(round(RHYTHM_S * 100) + 20)
    for start, length in _RHYTHM:
        wanted[10 + round(start * RHYTHM_UNIT * 100) : 10 + round((start + length) * RHYTHM_UNIT * 100)] = 1
    wanted -= wanted.mean()
    best = 0.0
    for at in range(len(tone) - len(wanted) + 1):
        part = tone[at : at + len(wanted)]
        spread = part - part.mean()
        norm = float(np.linalg.norm(spread) * np.linalg.norm(wanted))
        if norm > 1e-6:
            purity = float(np.median(share[at : at + len(wanted)][wanted > 0]))
            best = max(best, float(spread @ wanted) / norm * min(1.0, purity * 2))
    return best


# ---- reading it back -------------------------------------------------------------------------------------------

SEEN = 0.58  # normalised correlation from which a line counts as read
_HALF = 0.2  # by which any half of it may be less sure
_CONTRAST = 22.0  # luma levels between ink and what surrounds it


def line_score(luma: Planes, line: Line) -> float:
    """How surely `line` stands in a frame's luma [H, W]: correlation of picture and ink, 0 when it is too faint."""
    x, y, w, h = line.box
    pad = max(4, h // 5)
    height, width = luma.shape
    x0, y0 = max(0, x - pad - 4), max(0, y - pad - 4)
    region = luma[y0 : min(height, y + h + pad + 4), x0 : min(width, x + w + pad + 4)].astype(np.float32)
    ink = np.pad(line.coverage, pad)
    if region.shape[0] < ink.shape[0] or region.shape[1] < ink.shape[1]:
        return 0.0
    scores = np.nan_to_num(cv2.matchTemplate(region, ink, cv2.TM_CCOEFF_NORMED), nan=0.0, posinf=0.0, neginf=0.0)
    _, best, _, (dx, dy) = cv2.minMaxLoc(scores)
    part: Floats = region[dy : dy + ink.shape[0], dx : dx + ink.shape[1]]
    near = (cv2.dilate(ink, np.ones((5, 5))) < 0.05) & (cv2.dilate(ink, np.ones((2 * pad + 1, 2 * pad + 1))) > 0.5)
    contrast = float(part[ink > 0.9].mean() - part[near].mean()) if near.any() and (ink > 0.9).any() else 0.0
    if contrast < _CONTRAST:
        return 0.0
    return min(float(best), *(share + _HALF for share in _halves(part, ink)))


def _halves(part: Floats, ink: Floats) -> Iterator[float]:
    """Correlation of picture and ink in the upper, lower, left and right half: a label half covered is not a label."""
    y, x = ink.shape[0] // 2, ink.shape[1] // 2
    for rows, columns in (
        (slice(0, y), slice(None)),
        (slice(y, None), slice(None)),
        (slice(None), slice(0, x)),
        (slice(None), slice(x, None)),
    ):
        a, b = part[rows, columns] - part[rows, columns].mean(), ink[rows, columns] - ink[rows, columns].mean()
        yield float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-6))


def card_score(luma: Planes, lines: Sequence[Line]) -> float:
    """The weakest line of a card."""
    return min(line_score(luma, line) for line in lines)


def preview(frame: Planes) -> Image.Image:
    """A frame as an RGB picture, for looking at."""
    return Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_I420))
