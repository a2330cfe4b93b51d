"""Subtitles: a script line cut into cues by phrase, each shown while its words are spoken.

At most two rows of 42 letters in English or 18 characters in Chinese (the usual house rules of broadcasters), a cut
where the sentence breathes if there is one, never before a closing punctuation mark.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from memorial_tasks.domain.timing import LEAD_IN, LineTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.fonts import font

ROW: Final = {Language.ZH_CN: 18, Language.EN_US: 42}
SHORTEST: Final = 0.9  # seconds a cue is shown at least, when the next one leaves room
LINGER: Final = 0.35  # seconds it stays after its last word
_STRONG: Final = "。！？；.!?;…"
_WEAK: Final = "，、：,:—"
_CLOSING: Final = _STRONG + _WEAK + "”’」』）)》\"'"


class Cue(NamedTuple):
    """One subtitle: seconds of the film, and one or two rows joined by a line feed."""

    start: float
    end: float
    text: str


def cues(
    timing: SpeechTiming, translation: Sequence[str] | None, language: Language, lead_in: float = LEAD_IN
) -> list[Cue]:
    """Cues of a whole film in film time. `translation` gives one text a script line, None means the spoken text.

    Raises `InputRefused` when the translation has another number of lines than the script.
    """
    if translation is not None and len(translation) != 1 + max((line.index for line in timing.lines), default=-1):
        problem = Problem(
            "subtitles.count",
            f"{len(translation)} subtitle lines for {len(timing.lines)} script lines",
            "give one translated line for each script line",
            field=f"translation.{language}",
        )
        raise InputRefused([problem])
    found: list[Cue] = []
    for line in timing.lines:
        text = line.text if translation is None else translation[line.index]
        words = [word for word in timing.words if line.start - 1e-3 <= word.start < line.end]
        clock = _clock(text, line, words if translation is None else [])
        for low, high in _pieces(text, language):
            rows = _rows(text[low:high].strip(), language)
            if rows:
                found.append(Cue(float(clock[low]) + lead_in, float(clock[high]) + lead_in, rows))
    return _settled(found)


def write_srt(path: Path, found: Sequence[Cue]) -> None:
    """Writes SubRip, UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = [f"{n}\n{_stamp(cue.start)} --> {_stamp(cue.end)}\n{cue.text}\n" for n, cue in enumerate(found, 1)]
    path.write_text("\n".join(blocks), encoding="utf-8")


def write_vtt(path: Path, found: Sequence[Cue]) -> None:
    """Writes WebVTT, which browsers read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    escape = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    blocks = ["WEBVTT\n"]
    for cue in found:
        text = "".join(escape.get(letter, letter) for letter in cue.text)
        blocks.append(f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')}\n{text}\n")
    path.write_text("\n".join(blocks), encoding="utf-8")


def read_srt(path: Path) -> list[Cue]:
    """Reads what `write_srt` wrote."""
    found = []
    for block in re.split(r"\n\s*\n", path.read_text("utf-8").strip()):
        rows = block.splitlines()
        if len(rows) >= 3 and "-->" in rows[1]:
            start, end = (_seconds(part) for part in rows[1].split("-->"))
            found.append(Cue(start, end, "\n".join(rows[2:])))
    return found


def _stamp(seconds: float, mark: str = ",") -> str:
    total = max(0, round(seconds * 1000))
    return f"{total // 3600000:02d}:{total // 60000 % 60:02d}:{total // 1000 % 60:02d}{mark}{total % 1000:03d}"


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = stamp.strip().replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _settled(found: Sequence[Cue]) -> list[Cue]:
    """Lets every cue stay a little longer, but never into the next one."""
    out = []
    for cue, after in pairwise([*found, Cue(float("inf"), float("inf"), "")]):
        end = max(cue.end + LINGER, cue.start + SHORTEST)
        out.append(Cue(cue.start, min(end, after.start - 0.04) if after.start - 0.04 > cue.start else end, cue.text))
    return out


def _clock(text: str, line: LineTime, words: Sequence[WordTime]) -> NDArray[np.float64]:
    """Time of every letter's beginning, and of the end: float64 [len(text) + 1]."""
    places, times = [0.0], [line.start]
    at, lower = 0, text.lower()
    for word in words:
        found = lower.find(word.text.lower(), at) if word.text else -1
        if found < 0 or found - at > 24:
            continue
        for place, time in ((found, word.start), (found + len(word.text), word.end)):
            if place > places[-1] and time >= times[-1]:
                places.append(place)
                times.append(time)
        at = found + len(word.text)
    if places[-1] < len(text):
        places.append(len(text))
        times.append(max(line.end, times[-1]))
    return np.interp(np.arange(len(text) + 1), places, times)


def _pieces(text: str, language: Language) -> list[tuple[int, int]]:
    """Cuts a line into cues: at sentence ends first, then at commas, then between words."""
    row = ROW[language]
    phrases = _cut_after(text, 0, len(text), _STRONG)
    small: list[tuple[int, int]] = []
    for low, high in phrases:
        if high - low <= row:
            small.append((low, high))
            continue
        for part in _cut_after(text, low, high, _WEAK):
            small += _halved(text, part, 2 * row, language)
    packed: list[tuple[int, int]] = []
    for low, high in small:
        # short phrases share a cue while they fit one row and no sentence ended between them
        if packed and high - packed[-1][0] <= row and text[low - 1 : low].strip() not in set(_STRONG):
            packed[-1] = (packed[-1][0], high)
        else:
            packed.append((low, high))
    return packed


def _cut_after(text: str, low: int, high: int, marks: str) -> list[tuple[int, int]]:
    cuts = [low]
    for place in range(low, high - 1):
        here, after = text[place], text[place + 1]
        number = here in ".,:" and not after.isspace()  # 3.5, 10:30
        if here in marks and not number and after not in _CLOSING and place + 1 - cuts[-1] >= 2:
            cuts.append(place + 1)
    return list(pairwise([*cuts, high]))


def _halved(text: str, part: tuple[int, int], most: int, language: Language) -> list[tuple[int, int]]:
    low, high = part
    if high - low <= most:
        return [part]
    cut = _break(text[low:high], language)
    if cut is None:
        cut = (high - low) // 2
    return [*_halved(text, (low, low + cut), most, language), *_halved(text, (low + cut, high), most, language)]


def _rows(text: str, language: Language) -> str:
    """One or two balanced rows."""
    if len(text) <= ROW[language]:
        return text
    cut = _break(text, language)
    return text if cut is None else text[:cut].strip() + "\n" + text[cut:].strip()


def _break(text: str, language: Language) -> int | None:
    """The best place near the middle to break: after a mark, or between words; None when there is none."""
    middle = len(text) / 2
    best: tuple[float, int] | None = None
    for place in _word_edges(text, language):
        if text[place : place + 1] in set(_CLOSING) or not text[place:].strip() or not text[:place].strip():
            continue
        cost = abs(place - middle) - (0.25 * len(text) if text[:place].rstrip()[-1] in _STRONG + _WEAK else 0)
        if best is None or cost < best[0]:
            best = (cost, place)
    return None if best is None else best[1]


def _word_edges(text: str, language: Language) -> list[int]:
    if language is Language.EN_US:
        return [match.end() for match in re.finditer(r"\s+", text)]
    return list(_chinese_edges(text))


@lru_cache(maxsize=64)
def _chinese_edges(text: str) -> tuple[int, ...]:
    import logging

    import jieba

    jieba.setLogLevel(logging.WARNING)
    edges, place = [], 0
    for word in jieba.cut(text):
        place += len(word)
        edges.append(place)
    return tuple(edges[:-1])


class SubtitlePainter:
    """Draws cues for burning in. `at(seconds)` gives (top, left, rgba uint8 [h, w, 4]) or None."""

    def __init__(self, tracks: Mapping[Language, Sequence[Cue]], size: tuple[int, int], font_file: Path) -> None:
        self._tracks = [list(found) for found in tracks.values() if found]
        self._starts = [[cue.start for cue in track] for track in self._tracks]
        self._size, self._font = size, font_file
        self._drawn: tuple[str, NDArray[np.uint8]] | None = None

    def at(self, seconds: float) -> tuple[int, int, NDArray[np.uint8]] | None:
        """The picture of every track's cue at that time, first track on top."""
        texts = []
        for track, starts in zip(self._tracks, self._starts, strict=True):
            place = bisect_right(starts, seconds) - 1
            if place >= 0 and seconds < track[place].end:
                texts.append(track[place].text)
        if not texts:
            return None
        text = "\n".join(texts)
        if self._drawn is None or self._drawn[0] != text:
            self._drawn = (text, self._draw(texts))
        picture = self._drawn[1]
        width, height = self._size
        return height - picture.shape[0] - round(0.045 * height), (width - picture.shape[1]) // 2, picture

    def _draw(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        height = self._size[1]
        rows = [(row, 0.044 if index == 0 else 0.034) for index, text in enumerate(texts) for row in text.split("\n")]
        edge = max(2, round(0.0028 * height))
        boxes = []
        for row, share in rows:
            face = font(self._font, round(share * height))
            left, _, right, _ = face.getbbox(row, stroke_width=edge)
            boxes.append((face, round(right - left), round(share * height * 1.36)))
        wide = max(box[1] for box in boxes) + 4 * edge
        canvas = Image.new("RGBA", (wide, sum(box[2] for box in boxes) + 2 * edge), (0, 0, 0, 0))
        pen, top = ImageDraw.Draw(canvas), edge
        for (row, _), (face, long, high) in zip(rows, boxes, strict=True):
            place = ((wide - long) // 2, top)
            pen.text(place, row, font=face, fill=(255, 255, 255, 255), stroke_width=edge, stroke_fill=(16, 16, 20, 215))
            top += high
        return np.asarray(canvas, np.uint8)
