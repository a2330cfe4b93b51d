"""A reader of PNG files that trusts nothing: chunks and their text, and the picture's luma as a film would hold it."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memorial_tasks.errors import InputRefused, Problem

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LARGEST: Final = 8192 * 4352  # pixels
_TEXT: Final = 1 << 20  # bytes of text that are read
_MOST: Final = 4096  # chunks


def is_png(path: Path) -> bool:
    """True when the file begins as a PNG, whatever its name says."""
    try:
        with path.open("rb") as file:
            return file.read(8) == SIGNATURE
    except OSError:
        return False


def chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of every chunk with text (tEXt, zTXt, iTXt), whose checksum fits; stops at the first length that
    cannot be true."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = file.seek(8)
        for _ in range(_MOST):
            file.seek(at)
            head = file.read(8)
            if len(head) < 8:
                return
            length, kind = struct.unpack(">I4s", head)
            if at + 12 + length > size:
                return
            if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= _TEXT:
                body = file.read(length)
                if struct.unpack(">I", file.read(4))[0] == zlib.crc32(kind + body):
                    yield kind, body
            if kind == b"IEND":
                return
            at += 12 + length


def texts(path: Path) -> list[tuple[str, str]]:
    """(keyword, text) of every text chunk, in order, duplicates included."""
    found = []
    for kind, body in chunks(path):
        word, _, rest = body.partition(b"\0")
        packed = kind == b"zTXt"
        if kind == b"iTXt":
            packed, rest = rest[:1] == b"\1", rest[2:]
            rest = rest.split(b"\0", 2)[-1]  # language and translated keyword
        elif packed:
            rest = rest[1:]
        if packed:
            rest = _inflated(rest)
        found.append((word.decode("latin-1"), rest.decode("utf-8", "replace")))
    return found


def luma(path: Path) -> NDArray[np.uint8]:
    """The picture's luma, uint8 [H, W], limited range by BT.709, as a frame of a film has it.

    Raises `InputRefused` for a picture larger than any film.
    """
    with Image.open(path, formats=("PNG",)) as image:
        if not 0 < image.width * image.height <= _LARGEST:
            raise InputRefused([Problem("still.size", "the picture has no usable size", "give a still of a film")])
        rgb = np.asarray(image.convert("RGB"), np.float32)
    grey = rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return np.asarray(np.clip(16 + grey * 219 / 255 + 0.5, 0, 255), np.uint8)


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _TEXT)
    except zlib.error:
        return b""
