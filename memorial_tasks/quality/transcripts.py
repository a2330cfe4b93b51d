"""What was said in the recordings, as the family wrote it down."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from memorial_tasks.errors import Problem

TABLE = "transcripts.csv"
SOUND = {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".mp4", ".mov", ".mpg", ".mpeg", ".mkv", ".avi", ".m4v", ".mts"}
_FIELD = "materials.voice"
_MAX_BYTES = 5_000_000
_MAX_TEXT = 5_000


def read_transcripts(folder: Path, field: str = _FIELD) -> tuple[dict[str, str], list[Problem]]:
    """Texts of the recordings in `folder`, keyed by file name, and everything that is wrong with them.

    ``transcripts.csv`` holds one recording a line, ``file|text`` or, with a header ``file,text``, comma
    separated; the extension may be left out. A ``.txt`` beside a recording of the same stem is its text too
    (and wins nothing: two different texts for one recording are a problem). A recording without text is
    none; it can still be learned from. `Problem.file` is relative to the folder's parent.
    """
    if not folder.is_dir():
        return {}, []
    recordings = {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SOUND}
    reader = _Reader(folder, field, recordings)
    if (folder / TABLE).is_file():
        reader.table(folder / TABLE)
    for path in sorted(folder.glob("*.txt")):
        reader.beside(path)
    return reader.texts, reader.problems


class _Reader:
    def __init__(self, folder: Path, field: str, recordings: dict[str, Path]) -> None:
        self.texts: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._folder, self._field = folder, field
        self._names = set(recordings)
        self._stems: dict[str, list[str]] = {}
        for name in recordings:
            self._stems.setdefault(Path(name).stem, []).append(name)

    def table(self, path: Path) -> None:
        content = self._read(path)
        if content is None:
            return
        seen: set[str] = set()
        for number, (name, text) in self._rows(content):
            where = f"line {number}"
            recording = self._recording(name)
            if recording is None:
                # The line number, not what stands in it: it may be a sentence of the person's.
                self._problem(
                    "transcript.no_recording",
                    f"{where} names no recording in this folder",
                    "correct the file name or add the recording",
                    path,
                )
            elif recording in seen:
                self._problem("transcript.twice", f"{where} names a recording a second time", "keep one line", path)
            else:
                seen.add(recording)
                self._take(recording, text, where, path)

    def _rows(self, content: str) -> Iterable[tuple[int, tuple[str, str]]]:
        lines = content.splitlines()
        header = next((line for line in lines if line.strip()), "")
        comma = re.fullmatch(r"\s*\"?file\"?\s*,\s*\"?text\"?\s*", header, re.IGNORECASE) is not None
        rows = csv.reader(lines) if comma else ([*line.split("|", 1)] for line in lines)
        for number, row in enumerate(rows, 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or [cell.lower() for cell in cells[:2]] == ["file", "text"]:
                continue
            if len(cells) < 2:
                self._problem("transcript.line", f"line {number} has no text", "write FILE|TEXT", self._folder / TABLE)
                continue
            yield number, (cells[0], cells[1])

    def beside(self, path: Path) -> None:
        owners = self._stems.get(path.stem, [])
        if not owners:
            self._problem(
                "transcript.no_recording",
                "there is no recording of this name beside it",
                "name it like its recording, or remove it",
                path,
            )
            return
        content = self._read(path)
        if content is None:
            return
        text = " ".join(content.split())
        for owner in owners:
            if owner in self.texts and self.texts[owner] != text:
                self._problem("transcript.twice", "it says something else than transcripts.csv", "keep one", path)
            elif owner not in self.texts:
                self._take(owner, text, "the file", path)

    def _take(self, recording: str, text: str, where: str, path: Path) -> None:
        if not text:
            self._problem("transcript.empty", f"{where} has no text", "write down what is said, or remove it", path)
        elif len(text) > _MAX_TEXT:
            self._problem(
                "transcript.too_long",
                f"{where} has more than {_MAX_TEXT} characters",
                "cut the recording and its text into parts",
                path,
            )
        elif any(ord(char) < 32 for char in text) or "\ufffd" in text:
            self._problem("transcript.characters", f"{where} holds what is no text", "save it as UTF-8", path)
        else:
            self.texts[recording] = text

    def _recording(self, name: str) -> str | None:
        if name in self._names:
            return name
        owners = self._stems.get(name, [])
        return owners[0] if len(owners) == 1 else None

    def _read(self, path: Path) -> str | None:
        try:
            if path.stat().st_size > _MAX_BYTES:
                self._problem("transcript.too_long", "the file is larger than 5 MB", "cut it into parts", path)
                return None
            return path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            self._problem("transcript.encoding", "the text is not UTF-8", "save it as UTF-8", path)
        except OSError:
            self._problem("transcript.unreadable", "the file cannot be read", "check its permissions", path)
        return None

    def _problem(self, code: str, what: str, remedy: str, path: Path) -> None:
        self.problems.append(Problem(code, what, remedy, self._field, f"{self._folder.name}/{path.name}"))
