"""What is shown instead of the person for a while: the family's photos and clips between the lines, and the last card.

A photo is looked at slowly (a move of a few percent in one direction, begun and ended at rest), a clip is played; both
keep their own shape, with themselves out of focus behind where they do not fill the screen. Every change is a dissolve.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from memorial_tasks.domain.timing import DirectionPlan, SpeechTiming
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.encode import facts, pictures
from memorial_tasks.video.fonts import font
from memorial_tasks.video.stage import VIDEO, cover

Picture = NDArray[np.uint8]
DISSOLVE: Final = 0.6  # seconds
BREATH: Final = 0.2  # seconds between the last word and the beginning of the dissolve, and before the next word
MOVE: Final = 0.10  # how much nearer a photo comes over its time
WHOLE: Final = 1.25  # a photo whose shape differs more than this from the screen's is shown whole


@dataclass(frozen=True)
class Insert:
    """One thing to show: a photo or a clip (`source`), or a card with `rows` of text; seconds of the film."""

    start: float
    end: float
    source: Path | None = None
    rows: tuple[str, ...] = ()
    sound: Path | None = None  # a clip's own
    number: int = 0
    stays: bool = False  # until the end of the film

    def weight(self, seconds: float) -> float:
        """How much of it is seen, 0..1."""
        rise = (seconds - self.start) / DISSOLVE
        fall = 1.0 if self.stays else (self.end - seconds) / DISSOLVE
        share = min(1.0, max(0.0, min(rise, fall)))
        return share * share * (3 - 2 * share)


class Shown(Protocol):
    """Something that gives a picture for a time since its own beginning."""

    def at(self, seconds: float) -> Picture:
        """uint8 [H, W, 3]; ask in order."""
        ...


def between_lines(
    plan: DirectionPlan, timing: SpeechTiming, files: Sequence[Path], lead_in: float
) -> tuple[tuple[Insert, ...], list[str]]:
    """The inserts of a film from the plan's marks, and the names for which there is no file.

    An interlude fills the pause after its line; several share it by their seconds. A WAV file of a clip's name is its
    sound.
    """
    by_name = {path.stem: path for path in files if path.suffix != ".wav"}
    sounds = {path.stem: path for path in files if path.suffix == ".wav"}
    lines = {line.index: line for line in timing.lines}
    ends = {one.index: two.start for one, two in pairwise(timing.lines)}
    found: list[Insert] = []
    missing: list[str] = []
    for index in dict.fromkeys(mark.after for mark in plan.interludes):
        marks = [mark for mark in plan.interludes if mark.after == index]
        missing += [mark.name for mark in marks if mark.name not in by_name]
        if index not in lines:
            continue
        low = lines[index].end + BREATH
        high = ends.get(index, timing.duration) - BREATH
        total, clock = sum(mark.seconds for mark in marks), low
        for mark in marks:
            # neighbours dissolve into each other, not into the person between them
            stop = clock + (high - low) * mark.seconds / total
            late = DISSOLVE / 2 if stop < high - 1e-6 else 0.0
            early = DISSOLVE / 2 if clock > low + 1e-6 else 0.0
            if mark.name in by_name and stop - clock > 2 * DISSOLVE:
                span = (clock - early + lead_in, stop + late + lead_in)
                sound = sounds.get(mark.name)
                found.append(Insert(*span, by_name[mark.name], sound=sound, number=len(found)))
            clock = stop
    return tuple(found), missing


class Inserts:
    """All inserts of a film on a canvas (w, h). `over(person, seconds)` lays what is due over them."""

    def __init__(self, inserts: Sequence[Insert], canvas: tuple[int, int], fps: int, font_file: Path | None) -> None:
        self._inserts, self._canvas, self._fps, self._font = tuple(inserts), canvas, fps, font_file
        self._open: dict[int, Shown] = {}

    def over(self, person: Callable[[], Picture], seconds: float) -> Picture:
        """The person with what is due over them; they are not drawn while nothing of them can be seen."""
        weights = [insert.weight(seconds) for insert in self._inserts]
        picture = None if any(weight >= 1 for weight in weights) else person()
        for index, weight in enumerate(weights):
            if weight <= 0:
                self._open.pop(index, None)
                continue
            if index not in self._open:
                self._open[index] = self._opened(self._inserts[index])
            own = self._open[index].at(seconds - self._inserts[index].start)
            if picture is None or weight >= 1:
                picture = own.copy()
            else:
                picture = np.asarray(cv2.addWeighted(own, weight, picture, 1 - weight, 0), np.uint8)
        return person() if picture is None else picture

    def _opened(self, insert: Insert) -> Shown:
        if insert.source is None:
            return Card(insert.rows, self._canvas, self._font)
        if insert.source.suffix.lower() in VIDEO:
            return Clip(insert.source, self._canvas, self._fps)
        return Still(insert.source, self._canvas, insert.end - insert.start, insert.number)


class Still:
    """A photo, looked at slowly. Odd ones come nearer, even ones go away, so that two in a row do not march."""

    def __init__(self, source: Path, canvas: tuple[int, int], seconds: float, number: int) -> None:
        image = cv2.imread(str(source), cv2.IMREAD_COLOR)
        if image is None:
            raise InputRefused([Problem("interlude.unreadable", "the photo cannot be read", "use PNG", file="photo")])
        self._seconds, self._nearer, self._canvas = max(seconds, 0.1), number % 2 == 0, canvas
        photo = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        wide, high = canvas
        ratio = (photo.shape[1] / photo.shape[0]) / (wide / high)
        self._behind = _softened(photo, canvas) if not 1 / WHOLE <= ratio <= WHOLE else None
        fit = max if self._behind is None else min
        factor = fit(wide / photo.shape[1], high / photo.shape[0]) * (1.0 if self._behind is None else 0.94)
        # twice the size at most is kept: the move samples it, so it must not be smaller than what is seen
        size = (
            max(2, round(photo.shape[1] * factor * (1 + MOVE))),
            max(2, round(photo.shape[0] * factor * (1 + MOVE))),
        )
        shrinks = size[0] < photo.shape[1]
        self._photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    def at(self, seconds: float) -> Picture:
        share = min(1.0, max(0.0, seconds / self._seconds))
        share = share * share * (3 - 2 * share)
        zoom = 1 + MOVE * (share if self._nearer else 1 - share)
        scale = zoom / (1 + MOVE)
        wide, high = self._canvas
        height, width = self._photo.shape[:2]
        # where there is more than fits, the upper third is kept: faces are there
        room = max(0.0, height * scale - high)
        top = (high - height * scale) / 2 if room == 0 else -room * (0.42 + 0.1 * (share - 0.5))
        left = (wide - width * scale) / 2
        matrix = np.array([[scale, 0, left], [0, scale, top]], np.float64)
        if self._behind is None:
            edge = cv2.BORDER_REPLICATE
            return np.asarray(cv2.warpAffine(self._photo, matrix, self._canvas, borderMode=edge), np.uint8)
        canvas = self._behind.copy()
        shown = cv2.warpAffine(self._photo, matrix, self._canvas, dst=canvas, borderMode=cv2.BORDER_TRANSPARENT)
        return np.asarray(shown, np.uint8)


class Clip:
    """A clip of the family, already made good (`video.enhance`), played at its own tempo and held at its end."""

    def __init__(self, source: Path, canvas: tuple[int, int], fps: int) -> None:
        about = facts(source)
        self._source, self._canvas, self._rate = source, canvas, about.fps
        factor = min(canvas[0] / about.width, canvas[1] / about.height)
        if max(canvas[0] / about.width, canvas[1] / about.height) / factor <= WHOLE:
            factor = max(canvas[0] / about.width, canvas[1] / about.height)
        self._size = (round(about.width * factor / 2) * 2, round(about.height * factor / 2) * 2)
        self._final = max((about.frames or int(about.duration * about.fps)) - 1, 0)
        self._film: Iterator[Picture] | None = None
        self._number, self._last = -1, np.zeros((self._size[1], self._size[0], 3), np.uint8)
        self._behind: Picture | None = None

    def at(self, seconds: float) -> Picture:
        wanted = max(0, int(seconds * self._rate))
        if self._film is None:  # a shot may begin after the clip's end: it shows the picture that is held
            start = min(wanted, self._final)
            self._film, self._number = pictures(self._source, start=start), start - 1
        while self._number < wanted:
            following = next(self._film, None)
            self._number += 1
            if following is not None:
                self._last = np.asarray(cv2.resize(following, self._size, interpolation=cv2.INTER_CUBIC), np.uint8)
        return self._placed(self._last)

    def _placed(self, picture: Picture) -> Picture:
        wide, high = self._canvas
        if picture.shape[1] >= wide and picture.shape[0] >= high:
            return cover(picture, self._canvas)
        if self._behind is None:
            self._behind = _softened(picture, self._canvas)
        out = self._behind.copy()
        left, top = (wide - picture.shape[1]) // 2, (high - picture.shape[0]) // 2
        out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return out


class Card:
    """Rows of text in the middle of a quiet, dark ground; the first row is the largest."""

    def __init__(self, rows: Sequence[str], canvas: tuple[int, int], font_file: Path | None) -> None:
        wide, high = canvas
        y, x = np.mgrid[0:high, 0:wide].astype(np.float32)
        light = np.exp(-((np.hypot((x / wide - 0.5) * 1.1, y / high - 0.46) / 0.5) ** 2))[..., None]
        grain = np.random.default_rng(0).standard_normal((high, wide, 1)).astype(np.float32)
        ground = np.array([20, 19, 21], np.float32) + light * np.array([30, 27, 25], np.float32) + grain
        image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        if font_file is not None:
            _write(image, [row for row in rows if row], font_file)
        self._picture = np.asarray(image, np.uint8)

    def at(self, seconds: float) -> Picture:
        return self._picture


def _write(image: Image.Image, rows: Sequence[str], font_file: Path) -> None:
    wide, high = image.size
    short = min(wide, high)
    pen = ImageDraw.Draw(image)
    drawn = []
    for index, row in enumerate(rows):
        size = round(short * (0.085 if index == 0 else 0.045))
        while size > 10 and font(font_file, size).getlength(row) > 0.84 * wide:
            size -= 1
        drawn.append((row, font(font_file, size), round(size * 1.75)))
    top = (high - sum(step for _, _, step in drawn)) / 2
    for row, face, step in drawn:
        pen.text((wide / 2, top + step / 2), row, font=face, fill=(236, 228, 214), anchor="mm")
        top += step


def _softened(picture: Picture, canvas: tuple[int, int]) -> Picture:
    """The picture filling the canvas, far out of focus and dark: what stands behind a photo of another shape."""
    small = cover(picture, (max(2, canvas[0] // 8), max(2, canvas[1] // 8)))
    blurred = cv2.GaussianBlur(small, (0, 0), canvas[1] / 8 / 22)
    large = cv2.resize(blurred, canvas, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.convertScaleAbs(large, alpha=0.42), np.uint8)
