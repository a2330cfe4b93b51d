"""Photos: complete, upright, in sRGB, within limits, or refused with a reason."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from memorial_tasks.errors import InputRefused
from memorial_tasks.quality.decode import read_photo


def jpeg(rgb: Any, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=92, **options)
    return buffer.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        read_photo(path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].remedy
    return caught.value.problems[0].code


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_truncated_jpeg_is_refused(tmp_path: Path, photo: Callable[..., Any], share: float) -> None:
    whole = jpeg(photo((800, 600)))
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert refused(path) == "photo.truncated"
    path.write_bytes(whole)
    assert read_photo(path).rgb.shape == (600, 800, 3)


def test_a_truncated_png_is_refused(tmp_path: Path, photo: Callable[..., Any]) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert refused(path) in ("photo.truncated", "photo.damaged")


def test_garbage_after_the_right_first_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20)
    assert refused(path).startswith("photo.")


def test_a_pixel_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    assert refused(path) == "photo.too_many_pixels"


def test_missing_empty_small_and_foreign_files_are_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.jpg") == "material.missing"
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    assert refused(empty) == "material.empty"
    small = tmp_path / "small.png"
    Image.new("RGB", (40, 40)).save(small)
    assert refused(small) == "photo.too_small"
    sound = tmp_path / "a.jpg"
    sound.write_bytes(b"RIFF\x10\0\0\0WAVEfmt " + b"\0" * 64)
    assert refused(sound) == "material.wrong_kind"


def test_orientation_is_applied_and_the_long_side_limited(tmp_path: Path) -> None:
    rgb = np.zeros((200, 300, 3), np.uint8)
    rgb[:, :150] = 255  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright: the left half comes to the top
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(rgb, exif=exif))
    upright = read_photo(path).rgb
    assert upright.shape == (300, 200, 3)
    assert upright[:140].mean() > 240
    assert upright[160:].mean() < 15
    assert max(read_photo(path, long_side=100).rgb.shape) == 100


def test_scans_in_sixteen_bits_and_transparent_pictures_become_plain_rgb(tmp_path: Path) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.linspace(0, 65535, 100 * 100).reshape(100, 100).astype(np.uint16)).save(deep)
    values = read_photo(deep).rgb
    assert values.dtype == np.uint8
    assert (values[0, 0, 0], values[-1, -1, 0]) == (0, 255)
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (100, 100), (0, 0, 0, 0)).save(clear)
    assert read_photo(clear).rgb.min() == 255  # seen on white paper, not on black


def test_the_day_it_was_taken_is_read_and_a_broken_one_ignored(tmp_path: Path, photo: Callable[..., Any]) -> None:
    path = tmp_path / "a.jpg"
    for text, year in (("2021:05:06 10:11:12", 2021), ("0000:00:00 00:00:00", None), ("nonsense", None)):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = text
        path.write_bytes(jpeg(photo(), exif=exif))
        taken = read_photo(path).taken
        assert (taken.year if taken else None) == year
