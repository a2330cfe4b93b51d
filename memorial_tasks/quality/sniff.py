"""What a file really is, read from its first bytes. A file's name is never asked.

Only formats that the decoders of this room are trusted with are known; everything else, playlists
and vector formats above all, has no type here and is therefore never opened by a decoder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Medium = Literal["photo", "audio", "video"]


@dataclass(frozen=True)
class Sniffed:
    """The type of a file. `demuxer` is FFmpeg's name, forced when PyAV opens the file."""

    medium: Medium
    format: str
    media_type: str
    extension: str
    demuxer: str = ""


_JPEG = Sniffed("photo", "JPEG", "image/jpeg", "jpg")
_PNG = Sniffed("photo", "PNG", "image/png", "png")
_WEBP = Sniffed("photo", "WEBP", "image/webp", "webp")
_WAV = Sniffed("audio", "WAV", "audio/wav", "wav")
_FLAC = Sniffed("audio", "FLAC", "audio/flac", "flac")
_MP3 = Sniffed("audio", "MP3", "audio/mpeg", "mp3")
_OGG = Sniffed("audio", "OGG", "audio/ogg", "ogg")
_M4A = Sniffed("audio", "M4A", "audio/mp4", "m4a", "mov")
_MP4 = Sniffed("video", "MP4", "video/mp4", "mp4", "mov")
_MOV = Sniffed("video", "MOV", "video/quicktime", "mov", "mov")
_MPG = Sniffed("video", "MPG", "video/mpeg", "mpg", "mpeg")
_MPV = Sniffed("video", "MPG", "video/mpeg", "mpg", "mpegvideo")
_MKV = Sniffed("video", "MKV", "video/x-matroska", "mkv", "matroska")
_AVI = Sniffed("video", "AVI", "video/x-msvideo", "avi", "avi")
_MTS = Sniffed("video", "MTS", "video/mp2t", "mts", "mpegts")

# Known, and known not to be decodable here: the remedy can say more than "unknown type".
UNSUPPORTED = {
    "HEIC": "open it on the phone or computer it comes from and export it as JPEG",
    "AVIF": "export it as JPEG or PNG",
    "TIFF": "export it as PNG or JPEG",
    "GIF": "export the picture as PNG or JPEG",
    "BMP": "export it as PNG",
    "PDF": "export the pictures in it as JPEG or PNG",
    "ZIP": "unpack it and give the files in it",
    "playlist": "give the recording itself; a list of addresses is never followed",
    "text": "give the recording or the picture itself",
}

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"F4A "}
_MP4_BRANDS = {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"iso8", b"mp41", b"mp42", b"avc1", b"dash", b"MSNV"}
_MP4_BRANDS |= {b"M4V ", b"M4VH", b"M4VP", b"f4v ", b"F4V ", b"XAVC", b"mmp4", b"NDSC"}
_MP4_BRANDS |= {b"3gp4", b"3gp5", b"3gp6", b"3gp7", b"3g2a"}
_QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}


def sniff(path: Path) -> Sniffed | None:
    """The type of the file at `path` by its content, or None when it is none that may be decoded.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return sniff_bytes(file.read(4096))


def sniff_bytes(head: bytes) -> Sniffed | None:
    """`sniff` over the first bytes of a file (4096 are enough)."""
    if head.startswith(b"\xff\xd8\xff"):
        return _JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PNG
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"WEBP": _WEBP, b"WAVE": _WAV, b"AVI ": _AVI}.get(head[8:12])
    if head.startswith(b"fLaC"):
        return _FLAC
    if head.startswith(b"OggS"):
        return _OGG
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _MKV
    if head[4:8] == b"ftyp":
        return _iso_media(head[8:12])
    if head[4:8] in _QUICKTIME_ATOMS:
        return _MOV
    if head.startswith(b"\x00\x00\x01\xba"):
        return _MPG
    if head.startswith(b"\x00\x00\x01\xb3"):
        return _MPV
    if _is_transport_stream(head):
        return _MTS
    return _MP3 if _is_mp3(head) else None


def _iso_media(brand: bytes) -> Sniffed | None:
    if brand in _AUDIO_BRANDS:
        return _M4A
    if brand == b"qt  ":
        return _MOV
    return _MP4 if brand in _MP4_BRANDS else None


def _is_transport_stream(head: bytes) -> bool:
    for start, packet in ((0, 188), (4, 192)):
        marks = head[start : start + 5 * packet : packet]
        if len(marks) == 5 and set(marks) == {0x47}:
            return True
    return False


def _is_mp3(head: bytes) -> bool:
    if head.startswith(b"ID3"):
        return True
    # An MPEG audio frame: 11 sync bits, a known version, layer III, a bit rate and a sample rate that exist.
    return (
        len(head) > 3
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[1] & 0x18 != 0x08
        and head[2] & 0xF0 not in (0x00, 0xF0)
        and head[2] & 0x0C != 0x0C
    )


def unsupported_name(head: bytes) -> str:
    """The key in `UNSUPPORTED` for a file of a kind that is known but not taken, or ''."""
    if head[4:8] == b"ftyp":
        return "HEIC" if head[8:12] in _HEIF_BRANDS else "AVIF" if head[8:12] in _AVIF_BRANDS else ""
    for start, name in (
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"GIF8", "GIF"),
        (b"BM", "BMP"),
        (b"%PDF", "PDF"),
        (b"PK\3\4", "ZIP"),
        (b"#EXTM3U", "playlist"),
        (b"ffconcat", "playlist"),
        (b"[playlist]", "playlist"),
    ):
        if head.startswith(start):
            return name
    # Cut in the middle of a character at the end, text is still text.
    text = head.decode("utf-8", "replace").rstrip("\ufffd")
    return "text" if text and "\ufffd" not in text and all(char >= "\t" for char in text) else ""
