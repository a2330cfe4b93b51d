"""Writing material in the one form every later step reads."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from memorial_tasks.quality.decode import Rgb, Samples, probe_video, read_frames
from memorial_tasks.quality.limits import PHOTO_LONG_SIDE

BACKGROUND_SIZE = (1920, 1080)
BACKGROUND_SECONDS = 120.0


def write_photo(path: Path, rgb: Rgb) -> tuple[int, int]:
    """Write uint8 RGB as PNG without any metadata; returns its width and height."""
    image = Image.fromarray(rgb)
    if max(image.size) > PHOTO_LONG_SIDE:
        image.thumbnail((PHOTO_LONG_SIDE, PHOTO_LONG_SIDE), Image.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "PNG", compress_level=1)
    return image.size


def clean_voice(samples: Samples) -> Samples:
    """Without constant offset, and below full scale where resampling has overshot."""
    if not len(samples):
        return samples
    centred = samples - np.float32(samples.mean(dtype=np.float64))
    peak = float(np.abs(centred).max())
    return (centred * np.float32(0.999 / peak)).astype(np.float32) if peak > 0.999 else centred.astype(np.float32)


def write_wav(path: Path, samples: NDArray[np.float32], rate: int) -> float:
    """Write float32 [N] or [N, channels] as 16-bit PCM; returns its length in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")
    return len(samples) / rate


def write_background(source: Path, target: Path) -> float:
    """A background video re-encoded: H.264 without sound, at most 1920x1080 and two minutes; returns its seconds."""
    info = probe_video(source)
    rate = Fraction(min(max(info.fps, 1.0), 60.0)).limit_denominator(1001)
    written = 0
    # the same clip, the same bytes: no id by chance in the file, and as many threads on every machine
    with av.open(str(target), "w", format="matroska", container_options={"fflags": "+bitexact"}) as box:
        stream = None
        for frame in read_frames(source):
            if written / rate >= BACKGROUND_SECONDS:
                break
            picture = _within(frame.rgb, BACKGROUND_SIZE)
            if stream is None:
                stream = box.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "veryfast"})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 2
            box.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            written += 1
        if stream is not None:
            box.mux(stream.encode(None))
    return float(written / rate)


def _within(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    height, width = rgb.shape[:2]
    scale = min(size[0] / width, size[1] / height, 1.0)
    even = (max(round(width * scale / 2), 1) * 2, max(round(height * scale / 2), 1) * 2)
    if even == (width, height):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize(even, Image.Resampling.LANCZOS), np.uint8)
