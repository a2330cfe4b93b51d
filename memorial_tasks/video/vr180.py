"""VR180: the film on a wide screen in front of the viewer, one picture for each eye, marked so that players know.

The picture is a half equirectangular view (180 by 180 degrees) for each eye, side by side. The person comes from a
flat photo, so nothing is pretended about their depth: the whole film hangs as one screen at a set distance, and
only the screen stands in the room. The metadata follow Google's Spherical Video V2 RFC: an `st3d` box (left-right)
and an `sv3d` box with the bounds of the projection, inside the video's sample entry.
"""

import io
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.encode import AUDIO_RATE, FilmJoiner, FilmWriter, Picture, facts, pictures
from memorial_tasks.video.shots import Shot, cut, make

EYES: Final = 0.064  # metres between the eyes
SOURCE: Final = b"Memorial Studio"
LEFT_RIGHT: Final = 2
_HOLDERS: Final = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_ENTRIES: Final = {b"avc1", b"avc3", b"hvc1", b"hev1"}
_ENTRY_FIELDS: Final = 78  # bytes of a visual sample entry before its own boxes


@dataclass
class VrShot:
    """One shot of the film as it hangs in the dark before the viewer, without sound or metadata; picklable.

    `degrees` is how wide the film hangs, `distance` how far away in metres (it decides the parallax).
    """

    film: Path
    eye: int = 1440
    degrees: float = 86.0
    distance: float = 2.2
    _kept: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def __call__(self, shot: Shot, target: Path) -> None:
        """Writes the shot, 2 * `eye` by `eye` pixels."""
        about = facts(self.film)
        if self._kept is None:
            size = (about.width, about.height)
            maps = [_screen_map(size, self.eye, self.degrees, shift) for shift in _parallax(self.distance)]
            self._kept = maps, _room(self.eye, self.degrees, about.width / about.height)
        maps, room = self._kept
        size = (2 * self.eye, self.eye)
        with FilmWriter(target, size, round(about.fps), crf=16, preset="veryfast", threads=1) as out:
            for picture in islice(pictures(self.film, start=shot.first, threads=1), shot.frames):
                out.picture(np.hstack([_seen(picture, screen, room) for screen in maps]))


def write_vr180(
    film: Path,
    target: Path,
    *,
    eye: int = 1440,
    kept: Path | None = None,
    saved: Callable[[], None] = lambda: None,
    workers: int | None = None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> Path:
    """Writes `target` (MP4, one picture for each eye side by side, the film's sound) from a finished, unsealed film.

    The spherical metadata come after the label, see `inject_spherical`: sealing writes the pictures anew.
    """
    about = facts(film)
    rate = round(about.fps)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".vr-") as scratch:
        work = VrShot(film, eye)
        parts = make(
            cut(about.frames, rate), work, kept or Path(scratch), workers=workers, saved=saved, progress=progress
        )
        sound = _Sound(film)
        with FilmJoiner(target, parts[0], rate, 192_000) as out:
            for part in parts:
                out.append(part)
                for block in sound.until(out.frames / rate):
                    out.sound(block)
            for block in sound.until(float("inf")):
                out.sound(block)
    return target


def inject_spherical(source: Path, target: Path) -> None:
    """Copies an MP4 whose index lies before its media, adding `st3d` and `sv3d` to its video track.

    Raises `InputRefused` when the file has no H.264 or H.265 video track or its index lies behind the media.
    """
    with source.open("rb") as file:
        top = list(_boxes(file, 0, source.stat().st_size))
        names = [name for name, _, _ in top]
        if b"moov" not in names or b"mdat" not in names or names.index(b"moov") > names.index(b"mdat"):
            raise _refused(source)
        _, start, end = top[names.index(b"moov")]
        file.seek(start)
        index = bytearray(file.read(end - start))
        added = _with_spherical(index)
        if added is None:
            raise _refused(source)
        _move_chunks(added, len(added) - len(index))
        part = target.with_name(f".{target.stem}.part{os.getpid()}{target.suffix}")
        try:
            with part.open("wb") as out:
                file.seek(0)
                _copy(file, out, start)
                out.write(added)
                file.seek(end)
                _copy(file, out, source.stat().st_size - end)
                out.flush()
                os.fsync(out.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


@dataclass(frozen=True)
class Spherical:
    """What a file says about itself. `stereo` 2 is left-right; bounds are the 0.32 fractions cut off each side."""

    stereo: int
    source: str
    pose: tuple[float, float, float]
    top: float
    bottom: float
    left: float
    right: float


def read_spherical(path: Path) -> Spherical | None:
    """Reads the spherical metadata of an MP4, None when there are none."""
    with path.open("rb") as file:
        for name, start, end in _boxes(file, 0, path.stat().st_size):
            if name == b"moov":
                file.seek(start)
                return _parse(file.read(end - start))
    return None


def spherical_boxes() -> bytes:
    """`st3d` and `sv3d` of a left-right VR180 video: the equirectangular sphere, a quarter cut off on either side."""
    quarter = 0x40000000
    st3d = _full(b"st3d", struct.pack(">B", LEFT_RIGHT))
    header = _full(b"svhd", SOURCE + b"\0")
    pose = _full(b"prhd", struct.pack(">iii", 0, 0, 0))
    bounds = _full(b"equi", struct.pack(">IIII", 0, 0, quarter, quarter))
    return st3d + _box(b"sv3d", header + _box(b"proj", pose + bounds))


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full(name: bytes, body: bytes) -> bytes:
    return _box(name, b"\0\0\0\0" + body)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the boxes between two places of a file."""
    while start + 8 <= end:
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0]
        stop = end if size == 0 else start + size
        if size and (size < 8 or stop > end):
            return
        yield name, start, stop
        start = stop


def _with_spherical(index: bytes | bytearray) -> bytearray | None:
    """The same `moov` with the boxes at the end of the first video sample entry, every parent made longer."""
    path = _entry(index)
    if path is None:
        return None
    out = bytearray(index)
    extra = spherical_boxes()
    out[path[-1][1] : path[-1][1]] = extra
    for start, _ in path:
        size = struct.unpack_from(">I", out, start)[0]
        struct.pack_into(">I", out, start, size + len(extra))
    return out


def _entry(index: bytes | bytearray) -> list[tuple[int, int]] | None:
    """Where the video sample entry lies: (start, end) of each box from `moov` down to it."""

    def search(start: int, end: int, above: list[tuple[int, int]]) -> list[tuple[int, int]] | None:
        for name, low, high in _boxes(io.BytesIO(index), start, end):
            here = [*above, (low, high)]
            if name in _ENTRIES:
                return here
            inner = {b"stsd": 16}.get(name, 8 if name in _HOLDERS else 0)
            if inner:
                found = search(low + inner, high, here)
                if found is not None:
                    return found
        return None

    return search(0, len(index), [])


def _move_chunks(index: bytearray, by: int) -> None:
    """Media lies `by` bytes later now: every chunk offset with it."""

    def walk(start: int, end: int) -> None:
        for name, low, high in list(_boxes(io.BytesIO(bytes(index)), start, end)):
            if name in _HOLDERS:
                walk(low + 8, high)
            elif name in {b"stco", b"co64"}:
                count = struct.unpack_from(">I", index, low + 12)[0]
                kind = ">I" if name == b"stco" else ">Q"
                width = struct.calcsize(kind)
                for number in range(count):
                    place = low + 16 + number * width
                    struct.pack_into(kind, index, place, struct.unpack_from(kind, index, place)[0] + by)

    walk(0, len(index))


def _parse(index: bytes) -> Spherical | None:
    path = _entry(index)
    if path is None:
        return None
    start, end = path[-1]
    found: dict[bytes, bytes] = {}

    def walk(low: int, high: int) -> None:
        for name, first, last in _boxes(io.BytesIO(index), low, high):
            found[name] = index[first + 8 : last]
            if name in {b"sv3d", b"proj"}:
                walk(first + 8, last)

    walk(start + 8 + _ENTRY_FIELDS, end)
    if not {b"st3d", b"svhd", b"prhd", b"equi"} <= found.keys():
        return None
    yaw, pitch, roll = (value / 65536 for value in struct.unpack_from(">iii", found[b"prhd"], 4))
    top, bottom, left, right = (value / 2**32 for value in struct.unpack_from(">IIII", found[b"equi"], 4))
    name = found[b"svhd"][4:].split(b"\0")[0].decode("utf-8", "replace")
    return Spherical(found[b"st3d"][4], name, (yaw, pitch, roll), top, bottom, left, right)


def _parallax(distance: float) -> tuple[float, float]:
    """Angles in radians by which the left and the right eye see the screen's middle moved."""
    angle = float(np.arctan2(EYES / 2, distance))
    return angle, -angle


def _screen_map(
    size: tuple[int, int], eye: int, degrees: float, shift: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Where each direction of one eye meets the flat screen: source x, y in pixels and whether it does."""
    width, height = size
    half = np.tan(np.radians(degrees) / 2)
    angles = (np.arange(eye) + 0.5) / eye * np.pi - np.pi / 2
    longitude, latitude = np.meshgrid(angles - shift, angles)
    ahead = np.cos(latitude) * np.cos(longitude)
    safe = np.maximum(ahead, 1e-4)
    x = np.cos(latitude) * np.sin(longitude) / safe / half
    y = np.sin(latitude) / safe / half * (width / height)
    inside = (np.abs(x) < 1) & (np.abs(y) < 1) & (ahead > 0.02)
    return (
        ((x + 1) / 2 * width - 0.5).astype(np.float32),
        ((y + 1) / 2 * height - 0.5).astype(np.float32),
        inside,
    )


def _seen(picture: Picture, screen: tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]], room: Picture) -> Picture:
    x, y, inside = screen
    view = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.where(inside[..., None], view, room), np.uint8)


def _room(eye: int, degrees: float, ratio: float) -> Picture:
    """A dark, quiet room around the screen, a little light falling from it."""
    angles = np.degrees((np.arange(eye) + 0.5) / eye * np.pi - np.pi / 2)
    x, y = np.meshgrid(angles, angles)
    beyond = np.hypot(np.maximum(np.abs(x) - degrees / 2, 0), np.maximum(np.abs(y) - degrees / 2 / ratio, 0))
    glow = np.exp(-((beyond / 22) ** 2))[..., None]
    grain = np.random.default_rng(0).standard_normal((eye, eye, 1)) * 0.8
    return np.asarray(np.clip(np.array([11, 11, 13]) + glow * np.array([16, 15, 14]) + grain, 0, 255), np.uint8)


class _Sound:
    """The film's sound as float32 [n, 2] at 48 kHz, handed out up to a time. Nothing for a silent film."""

    def __init__(self, path: Path) -> None:
        self._container: Any = av.open(str(path))
        streams = self._container.streams.audio
        self._frames = iter(self._container.decode(streams[0])) if streams else iter(())
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=AUDIO_RATE)
        self._given = 0

    def until(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        while self._given / AUDIO_RATE < seconds:
            frame = next(self._frames, None)
            if frame is None:
                return
            for turned in self._resampler.resample(frame):
                block = np.asarray(turned.to_ndarray(), np.float32).T
                self._given += len(block)
                yield block


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count > 0:
        block = source.read(min(count, 1 << 20))
        if not block:
            return
        target.write(block)
        count -= len(block)


def _refused(path: Path) -> InputRefused:
    return InputRefused(
        [
            Problem(
                "vr.unfit",
                "no video track, or the index lies behind the media",
                "write it with faststart",
                file=path.name,
            )
        ]
    )
