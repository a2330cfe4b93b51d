"""A film that is watched while it is made: H.264 and AAC in a fragmented MP4, written to wherever bytes can be written.

Every second is a fragment of its own that a browser plays as soon as it has it; nothing is ever written twice, so the
target needs no seeking (a socket will do).
"""

from fractions import Fraction
from types import TracebackType
from typing import Any, Protocol, Self

import av
import numpy as np

from memorial_tasks.video.encode import AUDIO_RATE, Picture, Sound


class Target(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes, /) -> Any:
        """Takes all of `data`."""
        ...


class _Pipe:
    """Only what a stream can do: no seeking, so the muxer never tries."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        self._target.write(bytes(data))
        return len(data)


class LiveFilm:
    """Writes pictures and sound in step; use as a context manager. Planes are I420 uint8 [H * 3 / 2, W]."""

    def __init__(self, target: Target, size: tuple[int, int], fps: int) -> None:
        self.size, self.fps, self.frames, self.samples = size, fps, 0, 0
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container: Any = av.open(_Pipe(target), "w", format="mp4", options=options)
        picture = {"crf": "24", "preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
        self._video: Any = self._container.add_stream("libx264", rate=fps, options=picture)
        self._video.width, self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.thread_count = 1
        self._audio: Any = self._container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        self._audio.bit_rate = 128_000

    def planes(self, yuv: Picture) -> None:
        """Appends one picture."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(yuv), format="yuv420p")
        frame.pts, frame.time_base = self.frames, Fraction(1, self.fps)
        self.frames += 1
        self._container.mux(self._video.encode(frame))

    def sound(self, stereo: Sound) -> None:
        """Appends sound float32 [N, 2]."""
        if not len(stereo):
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stereo.T, np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self.samples, Fraction(1, AUDIO_RATE)
        self.samples += len(stereo)
        self._container.mux(self._audio.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()
