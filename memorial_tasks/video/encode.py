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
import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, IntegrityError, Problem

Picture = NDArray[np.uint8]
Sound = NDArray[np.float32]
SIZES: Final = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
AUDIO_RATE: Final = 48000
FORMATS: Final = frozenset({"yuv420p", "yuv444p"})


def _bt709() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """RGB of 0..255 to limited Y'CbCr and back, float32 [3, 4] each (ITU-R BT.709-6, 3.2 to 3.5)."""
    red, blue = 0.2126, 0.0722
    luma = np.array([red, 1 - red - blue, blue])
    across = np.stack([luma, (np.eye(3)[2] - luma) / (2 * (1 - blue)), (np.eye(3)[0] - luma) / (2 * (1 - red))])
    across *= np.array([[219], [224], [224]]) / 255
    shift = np.array([16.0, 128.0, 128.0])
    back = np.linalg.inv(across)
    there = np.hstack([across, shift[:, None]])
    return there.astype(np.float32), np.hstack([back, -(back @ shift)[:, None]]).astype(np.float32)


_TO_YUV, _TO_RGB = _bt709()


class _Film:
    """An MP4 in the making: written beside its place, moved there when whole, gone when anything fails."""

    def __init__(self, path: Path, metadata: Mapping[str, str] | None) -> None:
        self.path, self.frames, self.samples = path, 0, 0
        self._part = path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")
        self._container: Any = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata.update(metadata or {})
        self._audio: Any = None

    def _with_sound(self, bitrate: int | None) -> None:
        if bitrate is not None:
            self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
            self._audio.bit_rate = bitrate

    def sound(self, stereo: Sound) -> None:
        """Appends sound float32 [N, 2], any number of samples."""
        if self._audio is None or len(stereo) == 0:
            return
        plane = np.ascontiguousarray(stereo.T, np.float32)
        frame = av.AudioFrame.from_ndarray(plane, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self.samples, Fraction(1, AUDIO_RATE)
        self.samples += len(stereo)
        self._container.mux(self._audio.encode(frame))

    def _flush(self) -> None:
        """What the encoder of the pictures still holds."""

    def finish(self) -> Path:
        """Flushes everything to the disk and puts the film in its place."""
        self._flush()
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


class FilmWriter(_Film):
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
        if pixel_format not in FORMATS:
            raise ValueError(f"a film is written as {' or '.join(sorted(FORMATS))}, not as {pixel_format}")
        super().__init__(path, metadata)
        self.size, self.fps = size, fps
        try:
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
            self._with_sound(audio_bitrate)
        except BaseException:
            self._discard()
            raise

    def picture(self, rgb: Picture) -> None:
        """Appends one picture. Raises `ValueError` when it is not of the film's size."""
        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a picture of {rgb.shape} {rgb.dtype} does not fit a film of {width}x{height}")
        self._encode_picture(_in_planes(rgb, self._format))

    def planes(self, yuv: Picture) -> None:
        """Appends one picture given as I420 planes, uint8 [H * 3 / 2, W], already BT.709 limited."""
        self._encode_picture(av.VideoFrame.from_ndarray(yuv, format="yuv420p"))

    def _encode_picture(self, frame: Any) -> None:
        frame.pts, frame.time_base = self.frames, Fraction(1, self.fps)
        self.frames += 1
        self._container.mux(self._video.encode(frame))

    def _flush(self) -> None:
        self._container.mux(self._video.encode(None))


class FilmJoiner(_Film):
    """Films of one writer put one behind the other: their pictures are copied, not encoded again, their sound is left
    out and written anew. `like` is the first of them."""

    def __init__(self, path: Path, like: Path, fps: int, audio_bitrate: int | None = None) -> None:
        super().__init__(path, None)
        self.fps = fps
        try:
            with av.open(str(like)) as first:
                self._video: Any = self._container.add_stream_from_template(first.streams.video[0])
                self._head = bytes(first.streams.video[0].codec_context.extradata or b"")
            self._with_sound(audio_bitrate)
        except BaseException:
            self._discard()
            raise

    def append(self, part: Path) -> None:
        """Raises `IntegrityError` when `part` was not written with the settings of the first."""
        with av.open(str(part)) as source:
            stream = source.streams.video[0]
            if bytes(stream.codec_context.extradata or b"") != self._head or not stream.time_base:
                raise IntegrityError("a shot was not written like the others", where=part.name, remedy="render again")
            late = round(self.frames / self.fps / stream.time_base)
            seen = 0
            for packet in source.demux(stream):
                if packet.size == 0:
                    continue
                packet.pts, packet.dts = int(packet.pts or 0) + late, int(packet.dts or 0) + late
                packet.stream = self._video
                self._container.mux(packet)
                seen += 1
        self.frames += seen


def _plane(frame: Any, index: int) -> Picture:
    """One plane of a frame to read or to write, uint8 [H, W], without its padding."""
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _in_planes(rgb: Picture, pixel_format: str) -> Any:
    """The picture as a frame of Y'CbCr. OpenCV needs a third of the time of FFmpeg's own scaler; they differ by at most
    one level of 255."""
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], pixel_format)
    whole = cv2.transform(rgb, _TO_YUV)
    cv2.extractChannel(whole, 0, _plane(frame, 0))
    if pixel_format == "yuv420p":
        whole = cv2.transform(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), _TO_YUV)
    for index in (1, 2):
        cv2.extractChannel(whole, index, _plane(frame, index))
    frame.colorspace, frame.color_range = 1, 1
    return frame


def _as_rgb(frame: Any) -> Picture:
    """A BT.709 frame with whole colour planes as uint8 RGB [H, W, 3]."""
    return np.asarray(cv2.transform(cv2.merge([_plane(frame, index) for index in range(3)]), _TO_RGB), np.uint8)


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


def pictures(
    path: Path, size: tuple[int, int] | None = None, loop: bool = False, start: int = 0, threads: int = 0
) -> Iterator[Picture]:
    """Every picture from number `start` on as uint8 RGB [H, W, 3], scaled to `size` when given; endless when `loop`
    is set. Going to `start` costs no more than the pictures since the last key picture before it."""
    while True:
        seen = False
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = threads
                for frame in _from(container, stream, start):
                    seen = True
                    if size is None and frame.format.name == "yuv444p" and frame.colorspace == 1:
                        yield _as_rgb(frame)
                        continue
                    space = "ITU709" if frame.height >= 720 or frame.colorspace == 1 else None
                    width, height = size or (frame.width, frame.height)
                    turned = frame.reformat(width, height, "rgb24", src_colorspace=space, interpolation="AREA")
                    yield np.asarray(turned.to_ndarray(), np.uint8)
        except (av.error.FFmpegError, IndexError) as error:
            raise _unreadable(path) from error
        if not seen and start == 0:
            raise _unreadable(path)
        if not loop:
            return
        start = 0


def _from(container: Any, stream: Any, start: int) -> Iterator[Any]:
    if start <= 0:
        yield from container.decode(stream)
        return
    rate = stream.average_rate or 25
    first = (stream.start_time or 0) * stream.time_base
    container.seek(int((first + (start - 0.5) / rate) / stream.time_base), stream=stream, backward=True)
    for frame in container.decode(stream):
        if round((frame.pts * stream.time_base - first) * rate) >= start:
            yield frame


def _unreadable(path: Path) -> InputRefused:
    return InputRefused(
        [Problem("video.unreadable", "this is not a video that can be read", "export it again as MP4", file=path.name)]
    )
