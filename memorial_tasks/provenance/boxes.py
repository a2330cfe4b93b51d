"""A reader of MP4 boxes that trusts nothing: every length is checked against the file before it is used."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_CONTAINERS = {b"moov", b"udta", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf"}
_DEPTH = 8
_MOST = 20_000  # boxes read from one file
_LARGEST_VALUE = 1 << 20


@dataclass(frozen=True)
class Box:
    """One box: its path (``moov/udta/meta``), where its content starts and how many bytes it has."""

    path: str
    kind: bytes
    start: int
    size: int


def is_mp4(path: Path) -> bool:
    """True when the file begins with an `ftyp` box, whatever its name says."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError:
        return False
    return len(head) == 8 and head[4:] == b"ftyp"


def walk(file: BinaryIO, start: int, end: int, path: str = "", depth: int = 0) -> Iterator[Box]:
    """Every box between two offsets, depth first. Stops quietly at the first length that cannot be true."""
    at = start
    while at + 8 <= end and depth <= _DEPTH:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        header = 8
        if size == 1 and len(head) == 16:
            size, header = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - at
        if size < header or at + size > end:
            return
        name = kind.decode("latin-1")
        box = Box(f"{path}/{name}" if path else name, kind, at + header, size - header)
        yield box
        if kind in _CONTAINERS:
            yield from walk(file, box.start, at + size, box.path, depth + 1)
        elif kind == b"meta":
            # ISO `meta` is a full box (4 bytes of version and flags), QuickTime's is not.
            file.seek(box.start)
            peek = file.read(8)
            skip = 0 if peek[4:] == b"hdlr" else 4
            yield from walk(file, box.start + skip, at + size, box.path, depth + 1)
        at += size


def boxes(path: Path) -> list[Box]:
    """All boxes of a file (at most 20,000)."""
    size = path.stat().st_size
    found: list[Box] = []
    with path.open("rb") as file:
        for box in walk(file, 0, size):
            found.append(box)
            if len(found) >= _MOST:
                break
    return found


def content(path: Path, box: Box) -> bytes:
    """The bytes of a box, none when it is larger than a metadata box has any right to be."""
    if box.size > _LARGEST_VALUE:
        return b""
    with path.open("rb") as file:
        file.seek(box.start)
        return file.read(box.size)


def keyed_metadata(path: Path) -> list[tuple[str, str, str]]:
    """(box path, key, value) of every `keys`/`ilst` pair in the file, in order, duplicates included."""
    found = boxes(path)
    out: list[tuple[str, str, str]] = []
    for box in found:
        if box.kind != b"keys":
            continue
        parent = box.path.rpartition("/")[0]
        lists = [other for other in found if other.path == parent + "/ilst" and other.start > box.start]
        names = _keys(content(path, box))
        if lists:
            out += [(parent, key, value) for key, value in _values(content(path, lists[0]), names)]
    return out


def _keys(data: bytes) -> list[str]:
    names: list[str] = []
    at = 8
    while at + 8 <= len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        if size < 8 or at + size > len(data):
            break
        names.append(data[at + 8 : at + size].decode("utf-8", "replace"))
        at += size
    return names


def _values(data: bytes, names: list[str]) -> Iterator[tuple[str, str]]:
    at = 0
    while at + 24 <= len(data):
        size, index = struct.unpack(">II", data[at : at + 8])
        if size < 24 or at + size > len(data):
            break
        inner = struct.unpack(">I", data[at + 8 : at + 12])[0]
        if data[at + 12 : at + 16] == b"data" and 16 <= inner <= size - 8 and 1 <= index <= len(names):
            yield names[index - 1], data[at + 24 : at + 8 + inner].decode("utf-8", "replace")
        at += size


def is_stereo(path: Path) -> bool:
    """True when the film says that it holds two eyes side by side (an ``st3d`` box with mode 2, Spherical Video V2)."""
    for box in boxes(path):
        if box.kind == b"stsd":
            data = content(path, box)
            place = data.find(b"st3d")
            if place >= 0 and data[place + 8 : place + 9] == b"\x02":
                return True
    return False
