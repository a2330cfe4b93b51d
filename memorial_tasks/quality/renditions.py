"""The other renditions of a film against the film itself: of the right shape, as long, picture and sound together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Severity

APART: Final = 0.2  # seconds by which a rendition may be shorter or longer than its film


@dataclass(frozen=True)
class Shape:
    """Pixels (0 without a picture) and seconds (0 where there is none of it)."""

    width: int
    height: int
    video: float
    sound: float


def shape_of(path: Path) -> Shape | None:
    """What the streams of a sealed MP4 say, or None when it cannot be opened."""
    try:
        with (
            path.open("rb") as file,
            av.open(file, format="mp4", options={"protocol_whitelist": "", "enable_drefs": "0"}) as box,
        ):
            video, sound = (
                max((float(s.duration * s.time_base) for s in streams if s.duration and s.time_base), default=0.0)
                for streams in (box.streams.video, box.streams.audio)
            )
            picture = box.streams.video[0].codec_context if box.streams.video else None
            return Shape(picture.width if picture else 0, picture.height if picture else 0, video, sound)
    except (av.FFmpegError, OSError, ValueError):
        return None


def compare(name: str, one: Shape | None, film: Shape) -> list[Finding]:
    """What is wrong with the rendition `name` ("film-vertical.mp4", "audio.m4a" ...) of a film of shape `film`."""
    if one is None:
        return [_finding("unreadable", name, "it cannot be opened")]
    found = []
    wanted = {"film-vertical.mp4": one.height > one.width > 0, "film-vr180.mp4": one.width == 2 * one.height > 0}
    if not wanted.get(name, (one.width > 0) is name.endswith(".mp4")):
        found.append(_finding("shape", name, f"it is {one.width} x {one.height} pixels"))
    if name.endswith(".mp4") and abs(one.video - film.video) > APART:
        found.append(_finding("length", name, "its picture is not as long as the film's", one.video - film.video))
    if abs(one.sound - film.sound) > APART:
        found.append(_finding("sound", name, "its sound is not as long as the film's", one.sound - film.sound))
    return found


def _finding(code: str, name: str, what: str, value: float | None = None) -> Finding:
    return Finding(
        code=f"rendition.{code}",
        severity=Severity.CRITICAL,
        what=f"{name}: {what}",
        remedy="compose and seal it again",
        value=value,
        limit=None if value is None else APART,
    )
