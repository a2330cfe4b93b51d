"""Subtitles: a script line cut into cues by phrase, each shown while its words are spoken.

At most two rows of 42 letters in English or 18 characters in Chinese (the usual house rules of broadcasters), a cut
where the sentence breathes if there is one, never before a closing punctuation mark. A cue that would be gone before it
is read stays into the pause, or takes a little of its neighbours' time; one that is too fast even so is told.
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
# Letters a second, blanks included: what is read at ease, and what nobody should be asked to read. English after the
# BBC's 160 to 180 words a minute and Netflix' limit of 20, Chinese after Netflix' 9 and what fast readers manage.
READING: Final = {Language.ZH_CN: 9.0, Language.EN_US: 17.0}
FASTEST: Final = {Language.ZH_CN: 11.0, Language.EN_US: 20.0}
LONGER: Final = 1.2  # seconds a cue may stay after its last word for the sake of reading
ASIDE: Final = 0.3  # seconds by which it may begin earlier or later than its first word, for the same sake
BETWEEN: Final = 0.04  # seconds between two cues
ROUNDS: Final = 4  # of the borders between cues being moved: each one hangs on its neighbours
LARGE, SMALL = 0.044, 0.034  # letters of the first track and of the others, in heights of the picture
ROW_HEIGHT: Final = 1.36  # in heights of the letters
MARGIN: Final = 0.04  # of the height: under the lowest row
_STRONG: Final = "。！？；.!?;…"
_WEAK: Final = "，、：,:—"
_CLOSING: Final = _STRONG + _WEAK + "”’」』）)》\"'"


class Cue(NamedTuple):
    """One subtitle: seconds of the film, and one or two rows joined by a line feed."""

    start: float
    end: float
    text: str


def cues(
    timing: SpeechTiming, translation: Sequence[str] | None, language: Language, lead_in: float = LEAD_IN, rows: int = 2
) -> list[Cue]:
    """Cues of a whole film in film time, of at most so many `rows`. `translation` gives one text a script line, None
    means the spoken text.

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
        for low, high in _pieces(text, language, rows):
            shown = _rows(text[low:high].strip(), language)
            if shown:
                found.append(Cue(float(clock[low]) + lead_in, float(clock[high]) + lead_in, shown))
    return _settled(found, language)


def too_fast(found: Sequence[Cue], language: Language) -> list[float]:
    """Letters a second of every cue that nobody can read in its time."""
    speeds = [len(cue.text) / max(cue.end - cue.start, 1e-3) for cue in found]
    return [speed for speed in speeds if speed > FASTEST[language]]


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


def _settled(found: Sequence[Cue], language: Language) -> list[Cue]:
    """Gives every cue the time it takes to read, as far as there is any: it stays longer, but never into the next one,
    and the border of two cues moves aside, towards the one that has time to spare."""
    if not found:
        return []
    need = [max(SHORTEST, len(cue.text) / READING[language]) for cue in found]
    starts = [cue.start for cue in found] + [float("inf")]

    def latest(place: int) -> float:
        return min(found[place].end + LONGER, starts[place + 1] - BETWEEN)

    for _ in range(ROUNDS):
        for place, cue in enumerate(found):
            if place == 0:
                wanted = min(cue.start, max(0.0, latest(place) - need[place]))
            else:
                wanted = _border(cue.start, starts[place - 1] + BETWEEN, latest(place), need[place - 1], need[place])
            aside = min(max(wanted, cue.start - ASIDE), cue.start + ASIDE)
            starts[place] = max(aside, starts[place - 1] + 2 * BETWEEN) if place else aside
    ends = [min(max(cue.end + LINGER, starts[place] + need[place]), latest(place)) for place, cue in enumerate(found)]
    return [
        Cue(start, end if end > start else cue.end, cue.text)
        for cue, start, end in zip(found, starts, ends, strict=False)
    ]


def _border(said: float, low: float, high: float, before: float, after: float) -> float:
    """Where between `low` and `high` one cue ends and the next begins: at its word (`said`) if the one has its `before`
    seconds then and the other its `after`, else as near to it as can be; too little for both is shared out."""
    if low + before <= high - after:
        return min(max(said, low + before), high - after)
    return low + (high - low) * before / (before + after)


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


def _pieces(text: str, language: Language, rows: int) -> list[tuple[int, int]]:
    """Cuts a line into cues of at most so many rows: at sentence ends first, then at commas, then between words."""
    row = ROW[language]
    phrases = _cut_after(text, 0, len(text), _STRONG)
    small: list[tuple[int, int]] = []
    for low, high in phrases:
        if high - low <= row:
            small.append((low, high))
            continue
        for part in _cut_after(text, low, high, _WEAK):
            small += _halved(text, part, rows * row, language)
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


def _shown(cue: Cue, seconds: float) -> bool:
    return cue.start <= seconds < cue.end


class SubtitlePainter:
    """Draws cues for burning in. `at(seconds)` gives (top, left, rgba uint8 [h, w, 4]) or None.

    Every track has a place of its own, the first one above the others: a row does not jump when the other language
    falls silent. Letters are of one size all through the film, small enough for the longest row.
    """

    def __init__(self, tracks: Mapping[Language, Sequence[Cue]], size: tuple[int, int], font_file: Path) -> None:
        self._tracks = [list(found) for found in tracks.values() if found]
        self._starts = [[cue.start for cue in track] for track in self._tracks]
        width, height = size
        self._size, self._font = size, font_file
        self._edge = max(2, round(0.0028 * height))
        self._letters = [
            self._fitting(track, min(share * height, 1.25 * share * width), 0.92 * width)
            for track, share in zip(self._tracks, (LARGE, *(SMALL for _ in self._tracks)), strict=False)
        ]
        places = [
            max(1 + cue.text.count("\n") for cue in track) * round(ROW_HEIGHT * letters)
            for track, letters in zip(self._tracks, self._letters, strict=True)
        ]
        lowest = height - round(MARGIN * height)
        self._bottoms = [lowest - sum(places[number + 1 :]) for number in range(len(places))]
        self.top = lowest - sum(places) - 2 * self._edge  # row of the picture above which nothing is ever drawn
        self._drawn: tuple[tuple[str, ...], tuple[int, int, NDArray[np.uint8]]] | None = None

    def _fitting(self, track: Sequence[Cue], wanted: float, room: float) -> int:
        """The height of the letters in pixels, at most `wanted`, at which every row is at most `room` wide."""
        face = font(self._font, round(wanted))
        longest = max(face.getlength(row) for cue in track for row in cue.text.split("\n"))
        return max(8, int(wanted * min(1.0, room / max(longest, 1.0))))

    def at(self, seconds: float) -> tuple[int, int, NDArray[np.uint8]] | None:
        """The picture of every track's cue at that time, first track on top."""
        texts = tuple(
            "".join(cue.text for cue in track[max(0, bisect_right(starts, seconds) - 1) :][:1] if _shown(cue, seconds))
            for track, starts in zip(self._tracks, self._starts, strict=True)
        )
        if not any(texts):
            return None
        if self._drawn is None or self._drawn[0] != texts:
            self._drawn = (texts, self._draw(texts))
        return self._drawn[1]

    def _draw(self, texts: Sequence[str]) -> tuple[int, int, NDArray[np.uint8]]:
        edge, rows = self._edge, []  # each row with its font, and where it lies in the picture
        for text, letters, bottom in zip(texts, self._letters, self._bottoms, strict=True):
            high, face = round(ROW_HEIGHT * letters), font(self._font, letters)
            lines = text.split("\n") if text else []
            rows += [(row, face, bottom - (len(lines) - place) * high) for place, row in enumerate(lines)]
        top = min(place for _, _, place in rows) - edge
        wide = round(max(face.getlength(row) for row, face, _ in rows)) + 4 * edge
        bottom = max(bottom for text, bottom in zip(texts, self._bottoms, strict=True) if text)
        canvas = Image.new("RGBA", (wide, bottom + edge - top), (0, 0, 0, 0))
        pen = ImageDraw.Draw(canvas)
        for row, face, place in rows:
            at = ((wide - round(face.getlength(row))) // 2, place - top)
            pen.text(at, row, font=face, fill=(255, 255, 255, 255), stroke_width=edge, stroke_fill=(16, 16, 20, 215))
        return top, (self._size[0] - wide) // 2, np.asarray(canvas, np.uint8)
