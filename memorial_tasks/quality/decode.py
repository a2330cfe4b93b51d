"""Decoding what a family sent, and nothing else: by content, within limits, without following anything.

Every function refuses with `InputRefused` carrying one `Problem` whose `field` and `file` the caller
fills in. Nothing here repairs a file silently: what is truncated or lies about itself is refused.
"""

import contextlib
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.quality import limits
from memorial_tasks.quality.sniff import UNSUPPORTED, Medium, Sniffed, sniff_bytes, unsupported_name

Rgb = NDArray[np.uint8]
Samples = NDArray[np.float32]

# FFmpeg reads this one file: no network protocol, no second file, no playlist (OWASP: SSRF through media).
_LOCKED = {"protocol_whitelist": "file"}
_BLOCK = 1 << 18


def refusal(code: str, what: str, remedy: str) -> InputRefused:
    """An `InputRefused` with a single problem."""
    return InputRefused([Problem(code, what, remedy)])


def identify(path: Path, *accepted: Medium) -> Sniffed:
    """The type of `path` when it is one of the `accepted` media.

    Raises:
        InputRefused: missing, unreadable, empty, too large, of an unknown type or of another medium.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise refusal("material.missing", "the file does not exist", "add it or correct the path") from None
    except OSError:
        raise refusal(
            "material.unreadable", "the file cannot be read", "check its permissions and copy it again"
        ) from None
    if not size:
        raise refusal("material.empty", "the file is empty", "copy it again from where it comes from")
    kind = sniff_bytes(head)
    if kind is None:
        known = unsupported_name(head)
        raise refusal(
            "material.type",
            f"the content is {known or 'of an unknown type'}, whatever its name says",
            UNSUPPORTED.get(known, "give photos as JPEG, PNG or WebP, sound as WAV, FLAC, MP3, M4A or OGG, ")
            + ("" if known else "video as MP4, MOV, MPG, MKV or AVI"),
        )
    if kind.medium not in accepted:
        raise refusal(
            "material.wrong_kind",
            f"this is {kind.medium} ({kind.format}), expected {' or '.join(accepted)}",
            "put it under the materials entry it belongs to",
        )
    ceiling = {"photo": limits.PHOTO_BYTES, "audio": limits.AUDIO_BYTES, "video": limits.VIDEO_BYTES}[kind.medium]
    if size > ceiling:
        raise refusal("material.too_large", f"{size / 1e6:.0f} MB are more than {ceiling / 1e6:.0f} MB", "give a part")
    return kind


# ---------------------------------------------------------------------------------------------- photos


@dataclass(frozen=True)
class Photo:
    """A decoded photo: `rgb` uint8 [H, W, 3] upright in sRGB, long side at most 4096 px."""

    rgb: Rgb
    source_size: tuple[int, int]  # width, height before scaling
    taken: datetime | None  # EXIF DateTimeOriginal


def read_photo(path: Path, long_side: int = limits.PHOTO_LONG_SIDE) -> Photo:
    """Decode a JPEG, PNG or WebP completely, apply its orientation and colour profile.

    Raises:
        InputRefused: see `identify`; or truncated, damaged, too small or too many pixels.
    """
    kind = identify(path, "photo")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit below is the one that counts
            with Image.open(path, formats=[kind.format]) as image:
                return _load_photo(image, long_side)
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except (OSError, SyntaxError, ValueError, struct.error, KeyError, IndexError, EOFError) as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise refusal(
            "photo.truncated" if cut else "photo.damaged",
            "the picture ends before it is complete" if cut else "the picture cannot be decoded",
            "copy it again from where it comes from, or scan the print again",
        ) from None


def _too_many_pixels() -> InputRefused:
    return refusal(
        "photo.too_many_pixels",
        f"the picture has more than {limits.PHOTO_PIXELS // 1_000_000} megapixels",
        "export it smaller; a long side of 4096 pixels is all that is used",
    )


def _load_photo(image: Image.Image, long_side: int) -> Photo:
    width, height = image.size
    if width * height > limits.PHOTO_PIXELS:
        raise _too_many_pixels()
    if min(width, height) < limits.PHOTO_SHORT_SIDE:
        raise refusal(
            "photo.too_small", f"{width}x{height} pixels are too few", "find the original or scan the print again"
        )
    taken = _taken(image)
    profile = image.info.get("icc_profile")
    if image.format == "JPEG":
        image.draft("RGB", (long_side, long_side))
    image.load()  # raises on a truncated file: Pillow's LOAD_TRUNCATED_IMAGES stays off
    upright = ImageOps.exif_transpose(image)
    rgb = _to_rgb(upright, profile)
    if max(rgb.size) > long_side:
        rgb.thumbnail((long_side, long_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return Photo(np.asarray(rgb, np.uint8).copy(), (width, height), taken)


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit scans
        values = np.asarray(image, np.float32)
        top = 65535.0 if values.max(initial=0.0) > 255 else 255.0
        return Image.fromarray((values * (255.0 / top)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
    return image.convert("RGB")


def _taken(image: Image.Image) -> datetime | None:
    with contextlib.suppress(Exception):  # EXIF is a hint; a broken one is no reason to refuse the picture
        value = image.getexif().get_ifd(0x8769).get(0x9003)
        if value:
            return datetime.strptime(str(value).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    return None


# ---------------------------------------------------------------------------------------------- sound


@dataclass(frozen=True)
class Sound:
    """Decoded sound: `samples` float32 [N] (mono) or [N, 2], in -1..1, at `rate` Hz."""

    samples: Samples
    rate: int
    source_rate: int
    source_channels: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


def read_sound(path: Path, rate: int = limits.VOICE_RATE, *, stereo: bool = False) -> Sound:
    """Decode an audio file, or the first sound track of a video, to `rate` Hz.

    Raises:
        InputRefused: see `identify`; a header that lies, truncated or damaged data, too long, no sound track.
    """
    kind = identify(path, "audio", "video")
    if kind.format == "WAV":
        check_wav_header(path)
    blocks = _av_blocks(path, kind) if kind.demuxer else _soundfile_blocks(path)
    return _gather(blocks, rate, stereo)


def _gather(blocks: Iterator[tuple[Samples, int]], rate: int, stereo: bool) -> Sound:
    parts: list[Samples] = []
    resampler: Any = None
    source_rate = channels = total = 0
    mixer = _Downmix()
    for block, block_rate in blocks:
        if not source_rate:
            source_rate, channels = block_rate, block.shape[1]
        total += len(block)
        if total > limits.AUDIO_SECONDS * source_rate:
            raise refusal("sound.too_long", "more than two hours in one recording", "cut it into shorter recordings")
        if not np.isfinite(block).all():
            raise refusal("sound.damaged", "the recording holds values that are no sound", "export it again")
        mixed = _two_channels(block) if stereo else mixer(block)
        if source_rate == rate:
            parts.append(mixed)
            continue
        if resampler is None:
            resampler = soxr.ResampleStream(source_rate, rate, 2 if stereo else 1, dtype="float32")
        parts.append(resampler.resample_chunk(mixed))
    if resampler is not None:
        parts.append(resampler.resample_chunk(np.zeros((0, 2) if stereo else 0, np.float32), last=True))
    if not total:
        raise refusal("sound.empty", "there is no sound in it", "give the recording itself")
    return Sound(np.concatenate(parts), rate, source_rate, channels)


class _Downmix:
    """To mono without losing a voice that sits on one channel or stands in opposite phase on two."""

    def __init__(self) -> None:
        self._channel: int | None = None
        self._decided = False

    def __call__(self, block: Samples) -> Samples:
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        if not self._decided and np.abs(block).max() > 1e-3:
            power = (block.astype(np.float64) ** 2).mean(axis=0)
            mixed = float((block.mean(axis=1).astype(np.float64) ** 2).mean())
            if mixed < 0.3 * power.max():  # cancelling, or all but one channel empty
                self._channel = int(power.argmax())
            self._decided = True
        if self._channel is not None:
            return np.ascontiguousarray(block[:, self._channel])
        return np.asarray(block.mean(axis=1, dtype=np.float32))


def _two_channels(block: Samples) -> Samples:
    if block.shape[1] == 1:
        return np.repeat(block, 2, axis=1)
    return np.ascontiguousarray(block[:, :2])


def _soundfile_blocks(path: Path) -> Iterator[tuple[Samples, int]]:
    try:
        with soundfile.SoundFile(path) as file:
            _check_sound_shape(file.samplerate, file.channels, file.frames)
            seen = 0
            while True:
                block = file.read(_BLOCK, dtype="float32", always_2d=True)
                if not len(block):
                    break
                seen += len(block)
                yield block, file.samplerate
            # MP3 lengths are estimates; FLAC, WAV and OGG state theirs exactly.
            if file.format in ("FLAC", "WAV", "WAVEX", "RF64") and 0 < file.frames != seen:
                raise _truncated_sound()
    except soundfile.LibsndfileError:
        raise refusal("sound.damaged", "the recording cannot be decoded", "export it again as WAV or FLAC") from None


def _truncated_sound() -> InputRefused:
    return refusal("sound.truncated", "the recording ends before it is complete", "copy it again from its source")


def _check_sound_shape(rate: int, channels: int, frames: int) -> None:
    low, high = limits.AUDIO_RATES
    if not low <= rate <= high or not 1 <= channels <= limits.AUDIO_CHANNELS:
        raise refusal("sound.header", f"{rate} Hz with {channels} channels is no recording", "export it again")
    if frames > limits.AUDIO_SECONDS * rate and frames < 1 << 60:
        raise refusal("sound.too_long", "more than two hours in one recording", "cut it into shorter recordings")


def check_wav_header(path: Path) -> None:
    """Walk the RIFF chunks of a WAV file and compare what they declare with the bytes that are there.

    A length of 0xFFFFFFFF is what a recorder writes that could not seek back; it promises nothing and passes.

    Raises:
        InputRefused: the header lies.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        riff = file.read(12)
        if riff[:4] == b"RF64":
            return  # 64-bit lengths: soundfile's own count is compared while reading
        fmt, data = _wav_chunks(file, size)
    if fmt is None or data is None:
        raise _lying("it has no " + ("format" if fmt is None else "sound data"))
    _tag, channels, rate, byte_rate, align, bits = fmt
    if not rate or not channels or not align or (_tag in (1, 3) and align != channels * ((bits + 7) // 8)):
        raise _lying("its format fields contradict each other")
    if _tag in (1, 3) and byte_rate != rate * align:
        raise _lying("its byte rate contradicts its sample rate")
    start, declared, honest_tail = data
    if declared == 0xFFFFFFFF:
        return
    if start + declared > size + 1:
        raise _lying(f"it declares {declared / byte_rate:.1f} s and holds {max(size - start, 0) / byte_rate:.1f} s")
    if not honest_tail:
        raise _lying(f"it declares {declared / byte_rate:.1f} s and {(size - start) / byte_rate:.1f} s follow")


def _lying(what: str) -> InputRefused:
    return refusal("sound.header_lies", f"the WAV header lies: {what}", "export the recording again from its source")


_Format = tuple[int, int, int, int, int, int]


def _wav_chunks(file: BinaryIO, size: int) -> tuple[_Format | None, tuple[int, int, bool] | None]:
    fmt: _Format | None = None
    position = 12
    for _ in range(1000):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        if name == b"fmt " and length >= 16:
            fmt = struct.unpack("<HHIIHH", file.read(16))
        if name == b"data":
            return fmt, (position + 8, length, _honest_tail(file, position + 8 + length + (length & 1), size))
        position += 8 + length + (length & 1)
    return fmt, None


def _honest_tail(file: BinaryIO, end: int, size: int) -> bool:
    """True when after the data come no bytes, a little padding, or further chunks that fit into the file."""
    if size - end < 1024:
        return True
    file.seek(end)
    head = file.read(8)
    return all(32 <= byte < 127 for byte in head[:4]) and end + 8 + struct.unpack("<I", head[4:8])[0] <= size + 1


# ---------------------------------------------------------------------------------------------- video


@dataclass(frozen=True)
class VideoInfo:
    """What the container says about a video. `seconds` is 0 when it says nothing."""

    seconds: float
    width: int
    height: int
    fps: float
    has_picture: bool
    has_sound: bool
    taken: datetime | None = None  # when the camera says it was recorded


@contextlib.contextmanager
def open_media(path: Path, kind: Sniffed) -> Iterator[Any]:
    """Open with PyAV: this file only, as the format its content has."""
    try:
        with av.open(f"file:{path.resolve()}", format=kind.demuxer, options=_LOCKED, metadata_errors="replace") as box:
            yield box
    except (av.FFmpegError, EOFError, ValueError, UnicodeError):
        raise refusal("video.damaged", "the recording cannot be decoded", "export it again as MP4") from None


def decodable(streams: Any) -> Any:
    """The first stream for whose codec there is a decoder, or None. A cover picture is none."""
    for stream in streams:
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _recorded(metadata: Mapping[str, str]) -> datetime | None:
    """The container's own date: Apple's key names the recording, `creation_time` the writing of the file."""
    for key in ("com.apple.quicktime.creationdate", "creation_time"):
        with contextlib.suppress(ValueError):
            if value := metadata.get(key):
                return datetime.fromisoformat(value)
    return None


def probe_video(path: Path) -> VideoInfo:
    """Read a video's declared shape without decoding it.

    Raises:
        InputRefused: see `identify`; damaged, too long, too many pixels.
    """
    kind = identify(path, "video", "audio")
    if not kind.demuxer:
        raise refusal("material.wrong_kind", f"this is {kind.medium} ({kind.format}), expected video", "move it")
    with open_media(path, kind) as box:
        picture = decodable(box.streams.video)
        seconds = float(box.duration or 0) / 1_000_000
        info = VideoInfo(
            seconds,
            picture.codec_context.width if picture else 0,
            picture.codec_context.height if picture else 0,
            float(picture.average_rate or picture.base_rate or 25) if picture else 0.0,
            picture is not None,
            decodable(box.streams.audio) is not None,
            _recorded(box.metadata),
        )
    if info.seconds > limits.VIDEO_SECONDS:
        raise refusal("video.too_long", "the recording is longer than four hours", "cut it into parts")
    if info.width * info.height > limits.VIDEO_PIXELS:
        raise refusal("video.too_many_pixels", "the frames are larger than 8K", "export it smaller")
    return info


@dataclass(frozen=True)
class Frame:
    """One video frame: `rgb` uint8 [H, W, 3], upright, square pixels, without combing; `time` in seconds."""

    rgb: Rgb
    time: float
    index: int


def read_frames(
    path: Path, every: int = 1, *, keys_only: bool = False, only: frozenset[int] | set[int] | None = None
) -> Iterator[Frame]:
    """Decode the frames of a video in order, yielding each `every`-th (of the key frames with `keys_only`).

    With `only`, exactly the frames of these indices are yielded, and decoding ends after the last of them.

    Raises:
        InputRefused: no picture, damaged, or decodes to nothing.
    """
    kind = identify(path, "video")
    count = 0
    with open_media(path, kind) as box:
        stream = decodable(box.streams.video)
        if stream is None:
            raise refusal("video.no_picture", "there is no picture in it", "give it as a voice recording")
        stream.thread_type = "AUTO"
        if keys_only:
            stream.codec_context.skip_frame = "NONKEY"
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        for frame in box.decode(stream):
            if count / max(float(stream.average_rate or 25), 1.0) > limits.VIDEO_SECONDS:
                raise refusal("video.too_long", "the recording is longer than four hours", "cut it into parts")
            if frame.width * frame.height > limits.VIDEO_PIXELS:
                raise refusal("video.too_many_pixels", "the frames are larger than 8K", "export it smaller")
            if count in only if only is not None else count % every == 0:
                yield Frame(_upright(frame, aspect), float(frame.time or 0.0), count)
            count += 1
            if only is not None and count > max(only, default=0):
                break
    if not count:
        raise refusal("video.damaged", "not one frame can be decoded", "export it again as MP4")


def _upright(frame: Any, aspect: Fraction) -> Rgb:
    rgb: Rgb = frame.to_ndarray(format="rgb24")
    height, width = rgb.shape[:2]
    if frame.interlaced_frame:  # one field, doubled: half the lines but no comb
        rgb = np.ascontiguousarray(rgb[::2])
    target = width if not Fraction(1, 4) < aspect < 4 else round(width * aspect)
    if (target, height) != (rgb.shape[1], rgb.shape[0]):
        rgb = np.asarray(Image.fromarray(rgb).resize((target, height), Image.Resampling.BICUBIC), np.uint8)
    turns = round(float(getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _av_blocks(path: Path, kind: Sniffed) -> Iterator[tuple[Samples, int]]:
    with open_media(path, kind) as box:
        stream = decodable(box.streams.audio)
        if stream is None:
            raise refusal("video.no_sound", "there is no sound track in it", "give a recording with sound")
        _check_sound_shape(stream.rate or 0, stream.codec_context.channels, 0)
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        for frame in box.decode(stream):
            for piece in resampler.resample(frame):
                yield np.ascontiguousarray(piece.to_ndarray().T, np.float32), piece.sample_rate
