"""Writing and reading films through PyAV: constant memory, and never a half file.

A film is written beside its place under another name and moved there when it is whole; whatever goes wrong
before that removes it.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem

Picture = NDArray[np.uint8]
Sound = NDArray[np.float32]
SIZES: Final = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
AUDIO_RATE: Final = 48000


class FilmWriter:
    """H.264 and, when `audio_bitrate` is given, AAC at 48 kHz stereo, in an MP4 that plays while it loads.

    Use as a context manager; pictures are uint8 RGB [H, W, 3], sound float32 [N, 2]. Feed both in step: the film
    holds neither back. Colours are BT.709, limited range, and tagged so.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: int,
        *,
        crf: int = 12,
        preset: str = "veryfast",
        pixel_format: str = "yuv420p",
        audio_bitrate: int | None = None,
        metadata: Mapping[str, str] | None = None,
        threads: int = 0,
        gop: int | None = None,
    ) -> None:
        self.path, self.size, self.fps = path, size, fps
        self.frames, self.samples = 0, 0
        self._part = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
        self._container: Any = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        try:
            self._container.metadata.update(metadata or {})
            stream: Any = self._container.add_stream("libx264", rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = pixel_format
            stream.time_base = Fraction(1, fps)
            stream.options = {"crf": str(crf), "preset": preset, "g": str(gop or 2 * fps)}
            context = stream.codec_context
            context.thread_count = threads
            context.thread_type = "AUTO"
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
            self._video, self._format = stream, pixel_format
            self._audio: Any = None
            if audio_bitrate is not None:
                self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
                self._audio.bit_rate = audio_bitrate
        except BaseException:
            self._discard()
            raise

    def picture(self, rgb: Picture) -> None:
        """Appends one picture. Raises `ValueError` when it is not of the film's size."""
        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a picture of {rgb.shape} {rgb.dtype} does not fit a film of {width}x{height}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        self._encode_picture(frame.reformat(format=self._format, dst_colorspace="ITU709", dst_color_range="MPEG"))

    def planes(self, yuv: Picture) -> None:
        """Appends one picture given as I420 planes, uint8 [H * 3 / 2, W], already BT.709 limited."""
        self._encode_picture(av.VideoFrame.from_ndarray(yuv, format="yuv420p"))

    def _encode_picture(self, frame: Any) -> None:
        frame.pts, frame.time_base = self.frames, Fraction(1, self.fps)
        self.frames += 1
        self._container.mux(self._video.encode(frame))

    def sound(self, stereo: Sound) -> None:
        """Appends sound, any number of samples."""
        if self._audio is None or len(stereo) == 0:
            return
        plane = np.ascontiguousarray(stereo.T, np.float32)
        frame = av.AudioFrame.from_ndarray(plane, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self.samples, Fraction(1, AUDIO_RATE)
        self.samples += len(stereo)
        self._container.mux(self._audio.encode(frame))

    def finish(self) -> Path:
        """Flushes everything to the disk and puts the film in its place."""
        self._container.mux(self._video.encode(None))
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))
        self._container.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self.path)
        return self.path

    def _discard(self) -> None:
        with contextlib.suppress(Exception):
            self._container.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self.finish()
        except BaseException:
            self._discard()
            raise


@dataclass(frozen=True)
class FilmFacts:
    """What a film file says about itself. `frames` is 0 when the container does not know."""

    width: int
    height: int
    fps: float
    frames: int
    duration: float


def facts(path: Path) -> FilmFacts:
    """Reads the facts of the first video stream. Raises `InputRefused` when there is none."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or stream.base_rate or 25)
            duration = float(container.duration or 0) / 1e6
            return FilmFacts(stream.width, stream.height, rate, stream.frames, duration)
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path) from error


def pictures(path: Path, size: tuple[int, int] | None = None, loop: bool = False) -> Iterator[Picture]:
    """Every picture as uint8 RGB [H, W, 3], scaled to `size` when given; endless when `loop` is set."""
    while True:
        seen = False
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for frame in container.decode(stream):
                    seen = True
                    space = "ITU709" if frame.height >= 720 or frame.colorspace == 1 else None
                    width, height = size or (frame.width, frame.height)
                    turned = frame.reformat(width, height, "rgb24", src_colorspace=space, interpolation="AREA")
                    yield np.asarray(turned.to_ndarray(), np.uint8)
        except (av.error.FFmpegError, IndexError) as error:
            raise _unreadable(path) from error
        if not seen:
            raise _unreadable(path)
        if not loop:
            return


def _unreadable(path: Path) -> InputRefused:
    return InputRefused(
        [Problem("video.unreadable", "this is not a video that can be read", "export it again as MP4", file=path.name)]
    )
