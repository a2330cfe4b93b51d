"""Soft subtitles: SubRip in, `mov_text` packets out."""

import re
from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.errors import InputRefused, Problem

_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
ISO_639_2 = {"zh": "chi", "en": "eng"}  # what players know; "chi" is the bibliographic code MP4 players expect


@dataclass(frozen=True)
class Cue:
    """One subtitle, times in milliseconds."""

    start: int
    end: int
    text: str

    def packet(self) -> bytes:
        """The 3GPP timed text sample: two bytes of length and the text in UTF-8."""
        data = self.text.encode()[:65535]
        return len(data).to_bytes(2, "big") + data


def read_srt(path: Path, delay_ms: int = 0) -> list[Cue]:
    """Cues of a SubRip file in order of time, without overlaps, `delay_ms` later. Raises `InputRefused`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem("subtitles.encoding", "the subtitles are not UTF-8", "save them as UTF-8", file=path.name)
        raise InputRefused([problem]) from error
    cues: list[Cue] = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        found = _TIME.search(block)
        words = block[found.end() :].strip() if found else ""
        if not found or not words:
            continue
        numbers = [int(part) for part in found.groups()]
        start, end = (((h * 60 + m) * 60 + s) * 1000 + ms for h, m, s, ms in (numbers[:4], numbers[4:]))
        cues.append(Cue(start + delay_ms, end + delay_ms, words))
    cues.sort(key=lambda cue: cue.start)
    out: list[Cue] = []
    for index, cue in enumerate(cues):
        end = min(cue.end, cues[index + 1].start) if index + 1 < len(cues) else cue.end
        if end > cue.start:
            out.append(Cue(cue.start, end, cue.text))
    return out
