"""A file is what its content says."""

from pathlib import Path

import pytest

from memorial_tasks.quality.sniff import sniff, sniff_bytes, unsupported_name

HEADS = {
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "WEBP": b"RIFF\x10\0\0\0WEBPVP8 ",
    "WAV": b"RIFF\x10\0\0\0WAVEfmt ",
    "FLAC": b"fLaC\0\0\0\x22",
    "OGG": b"OggS\0\x02",
    "M4A": b"\0\0\0\x20ftypM4A \0\0\0\0",
    "MP4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "MOV": b"\0\0\0\x14ftypqt  \0\0\0\0",
    "MPG": b"\0\0\1\xba\x44\0",
    "MKV": b"\x1aE\xdf\xa3\x01\0",
    "AVI": b"RIFF\x10\0\0\0AVI LIST",
    "MTS": (b"\x47" + b"\0" * 187) * 5,
}


@pytest.mark.parametrize(("name", "head"), HEADS.items())
def test_each_format_is_known_by_its_first_bytes(name: str, head: bytes) -> None:
    found = sniff_bytes(head + b"\0" * 64)
    assert found is not None
    assert found.format == name


@pytest.mark.parametrize("head", [b"ID3\x04\0\0", b"\xff\xfb\x90\x64", b"\xff\xf3\x84\xc4"])
def test_mp3_with_and_without_a_tag(head: bytes) -> None:
    found = sniff_bytes(head)
    assert found is not None
    assert found.format == "MP3"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\3\4", "ZIP"),
        (b"Dear family,\n", "text"),
        (b"<svg xmlns=", "text"),
        (b"\xff\xff\xff\xff", ""),
        (b"%!PS-Adobe", "text"),
    ],
)
def test_what_may_not_be_decoded_has_no_type_but_perhaps_a_name(head: bytes, name: str) -> None:
    assert sniff_bytes(head) is None
    assert unsupported_name(head) == name


def test_the_name_of_a_file_is_not_asked(tmp_path: Path) -> None:
    lie = tmp_path / "film.mp4"
    lie.write_bytes(HEADS["JPEG"])
    found = sniff(lie)
    assert found is not None
    assert found.medium == "photo"
