"""The encrypted archive, opened by a reader of our own that shares nothing with the library that wrote it."""

import hashlib
import hmac
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from memorial_tasks.delivery.archive import write_zip
from memorial_tasks.delivery.target import Item
from memorial_tasks.errors import IntegrityError

PASSPHRASE = "K7QXM-2RD00-AAAAA-BBBBB-CCCCC"
AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def item(name: str, content: bytes, pieces: int = 3) -> Item:
    step = max(1, -(-len(content) // pieces))
    parts = [content[start : start + step] for start in range(0, len(content), step)]
    return Item(name, len(content), hashlib.sha256(content).hexdigest(), lambda: iter(parts))


def open_ae2(path: Path, passphrase: str) -> Iterator[tuple[str, bytes]]:
    """Reads the entries by the WinZip AE-2 specification: extra field 0x9901, salt, check value, AES-256 in counter
    mode (little-endian, from 1), HMAC-SHA1-80 over the ciphertext."""
    raw = path.read_bytes()
    for info in zipfile.ZipFile(path).infolist():
        start = info.header_offset
        name, extra = struct.unpack("<HH", raw[start + 26 : start + 30])
        begin = start + 30 + name + extra
        body = raw[begin : begin + info.compress_size]
        if not info.flag_bits & 1:
            yield info.filename, body
            continue
        fields, at = {}, 0
        while at < len(info.extra):
            kind, size = struct.unpack("<HH", info.extra[at : at + 4])
            fields[kind], at = info.extra[at + 4 : at + 4 + size], at + 4 + size
        version, vendor, strength, method = struct.unpack("<H2sBH", fields[0x9901])
        assert (version, vendor, strength, method, info.CRC) == (2, b"AE", 3, 0, 0)
        salt, check, sealed, tag = body[:16], body[16:18], body[18:-10], body[-10:]
        keys = hashlib.pbkdf2_hmac("sha1", passphrase.encode(), salt, 1000, 66)
        assert hmac.compare_digest(keys[64:], check), "wrong passphrase"
        assert hmac.new(keys[32:64], sealed, "sha1").digest()[:10] == tag
        cipher, plain = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor(), bytearray()  # noqa: S305 - CTR made of it
        for number in range(-(-len(sealed) // 16)):
            pad = cipher.update((number + 1).to_bytes(16, "little"))
            block = sealed[16 * number : 16 * number + 16]
            plain += bytes(a ^ b for a, b in zip(block, pad, strict=False))
        yield info.filename, bytes(plain)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "film.zip"
    items = [item("film.mp4", bytes(range(256)) * 40), item("page/index.html", b"<p>page</p>")]
    write_zip(path, items, {"receipt.json": {"receipt": {"kind": "archive"}}}, PASSPHRASE, AT)
    return path


def test_an_independent_reader_opens_it_with_the_passphrase_only(archive: Path) -> None:
    found = dict(open_ae2(archive, PASSPHRASE))
    assert found["film.mp4"] == bytes(range(256)) * 40
    assert found["page/index.html"] == b"<p>page</p>"
    assert b"archive" in found["receipt.json"]
    with pytest.raises(AssertionError, match="wrong passphrase"):
        dict(open_ae2(archive, PASSPHRASE.lower()))


def test_only_the_instructions_can_be_read_without_the_passphrase(archive: Path) -> None:
    with zipfile.ZipFile(archive) as plain:
        readme = plain.read("README.txt").decode("utf-8-sig")
        assert [info.filename for info in plain.infolist() if not info.flag_bits & 1] == ["README.txt"]
        with pytest.raises((RuntimeError, NotImplementedError)):
            plain.read("film.mp4")
    for words in ("7-Zip", "Keka", "人工智能", "artificial intelligence", "口令"):
        assert words in readme
    assert b"<p>page</p>" not in archive.read_bytes()


def test_7_zip_opens_it_where_there_is_one(archive: Path, tmp_path: Path) -> None:
    program = shutil.which("7z") or shutil.which("7zz") or shutil.which("7za")
    if program is None:
        pytest.skip("7-Zip is not on this machine; the reader above follows the specification")
    command = [program, "x", f"-p{PASSPHRASE}", f"-o{tmp_path / 'out'}", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "film.mp4").read_bytes() == bytes(range(256)) * 40


def test_a_film_that_is_not_the_approved_one_makes_no_archive(tmp_path: Path) -> None:
    wrong = Item("film.mp4", 4, "0" * 64, lambda: iter([b"film"]))
    with pytest.raises(IntegrityError, match="approved"):
        write_zip(tmp_path / "film.zip", [wrong], {}, PASSPHRASE, AT)


def test_a_name_that_leaves_the_archive_is_refused(tmp_path: Path) -> None:
    for name in ("../film.mp4", "/film.mp4", "page/../../x", ".hidden"):
        with pytest.raises(IntegrityError, match="leaves"):
            write_zip(tmp_path / f"{hash(name)}.zip", [item(name, b"x")], {}, PASSPHRASE, AT)
