"""Reading pictures and sound out of an MP4 that may be anything.

The file is opened by us and handed over as an open file with the demuxer named, so that a playlist with the ending
.mp4 is not followed and no other file or address is ever opened.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.provenance.boxes import is_mp4

_LARGEST = 8192 * 4352  # pixels
_DECODED_AT_MOST = 700  # frames decoded to reach one sample
_SAMPLES_AT_MOST = 240


@dataclass(frozen=True)
class Sample:
    """One decoded frame's luma, uint8 [H, W], and when it is shown, in seconds."""

    time: float
    luma: NDArray[np.uint8]


def refuse(what: str) -> InputRefused:
    """The refusal for a file that is no film."""
    return InputRefused([Problem("film.unreadable", what, "give an MP4 file with a picture")])


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open container with at least one picture stream. Raises `InputRefused` for anything else."""
    if not is_mp4(path):
        raise refuse("not an MP4 file")
    with path.open("rb") as file:
        try:
            container = av.open(file, format="mp4", options={"protocol_whitelist": "", "enable_drefs": "0"})
        except (av.FFmpegError, ValueError, OSError) as error:
            raise refuse(f"the file cannot be opened ({type(error).__name__})") from error
        with container:
            if not container.streams.video:
                raise refuse("the file has no picture")
            video = container.streams.video[0].codec_context
            if not 0 < video.width * video.height <= _LARGEST:
                raise refuse("the picture has no usable size")
            yield container


def duration(container: Any) -> float:
    """Seconds of picture as the file states them, 0 when it does not."""
    stream = container.streams.video[0]
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / av.time_base


def luma_of(frame: Any) -> NDArray[np.uint8]:
    """The luma plane of a decoded frame as 8 bit, limited range as it stands in the stream."""
    if frame.format.name not in ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "gray"):
        frame = frame.reformat(format="yuv420p")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8, plane.line_size * plane.height).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : frame.width])


def samples(path: Path, times: Sequence[float]) -> list[Sample]:
    """The frame shown at each time (seconds, ascending); a time past the end gives the last frame."""
    out: list[Sample] = []
    with opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for time in times[:_SAMPLES_AT_MOST]:
            frame = _frame_at(container, stream, time)
            if frame is not None:
                out.append(Sample(float(frame.time or 0.0), luma_of(frame)))
    return out


def _frame_at(container: Any, stream: Any, time: float) -> Any:
    half = 0.5 / float(stream.average_rate or 25)
    container.seek(max(0, int((time - half) / stream.time_base)), stream=stream, backward=True)
    last = None
    for count, frame in enumerate(container.decode(stream)):
        last = frame
        if (frame.time or 0.0) >= time - half or count >= _DECODED_AT_MOST:
            break
    return last


def sound(path: Path, seconds: float, sample_rate: int = 16000) -> NDArray[np.float32]:
    """The first seconds of sound, mono float32; empty when there is none."""
    parts: list[NDArray[np.float32]] = []
    with opened(path) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
        wanted, got = round(seconds * sample_rate), 0
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray().reshape(-1).astype(np.float32))
                got += len(parts[-1])
            if got >= wanted:
                break
    return np.concatenate(parts)[:wanted] if parts else np.zeros(0, np.float32)
