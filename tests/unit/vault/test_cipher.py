"""Encryption of files: what was written comes back, and nothing else ever opens."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorial_tasks.errors import IntegrityError
from memorial_tasks.vault import cipher
from memorial_tasks.vault.cipher import CHUNK, TAG, decrypt_stream, encrypt_stream, seal, unseal

KEY, OTHER = bytes(range(32)), bytes(32)
ADDRESS = "vault://orders/demo/ingest/x.png"


def encrypted(plain: bytes, address: str = ADDRESS) -> bytes:
    target = io.BytesIO()
    encrypt_stream(io.BytesIO(plain), target, KEY, address)
    return target.getvalue()


def decrypted(data: bytes, key: bytes = KEY, address: str = ADDRESS) -> bytes:
    target = io.BytesIO()
    decrypt_stream(io.BytesIO(data), target, key, address)
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_comes_back_at_every_chunk_boundary(size: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    assert decrypted(encrypted(plain)) == plain


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_any_changed_byte_is_noticed(plain: bytes, position: int, change: int) -> None:
    data = bytearray(encrypted(plain))
    data[position % len(data)] ^= change
    with pytest.raises(IntegrityError):
        decrypted(bytes(data))


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    head, body = data[:43], data[43:]
    return head, [body[at : at + CHUNK + TAG] for at in range(0, len(body), CHUNK + TAG)]


@pytest.mark.parametrize("change", ["swap", "drop_last", "drop_first", "repeat", "append"])
def test_chunks_cannot_be_moved_dropped_or_added(change: str) -> None:
    head, parts = chunks(encrypted(b"a" * CHUNK + b"b" * CHUNK + b"c" * 10))
    first, second, last = parts
    changed = {
        "swap": [second, first, last],
        "drop_last": [first, second],
        "drop_first": [second, last],
        "repeat": [first, first, second, last],
        "append": [first, second, last, last],
    }[change]
    with pytest.raises(IntegrityError):
        decrypted(head + b"".join(changed))


def test_opens_only_at_its_own_address_and_with_its_own_key() -> None:
    data = encrypted(b"a photograph")
    for key, address in ((OTHER, ADDRESS), (KEY, "vault://orders/other/ingest/x.png")):
        with pytest.raises(IntegrityError):
            decrypted(data, key, address)


def test_same_file_twice_gives_different_bytes() -> None:
    assert encrypted(b"same") != encrypted(b"same")


@pytest.mark.parametrize("data", [b"", b"MSV1", b"not encrypted at all" * 10])
def test_foreign_bytes_are_refused_with_a_remedy(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="backup"):
        decrypted(data)


def test_sealed_documents_are_bound_to_their_place() -> None:
    sealed = seal(b"a name", KEY, "order one")
    assert unseal(sealed, KEY, "order one") == b"a name"
    for key, label in ((OTHER, "order one"), (KEY, "order two")):
        with pytest.raises(IntegrityError):
            unseal(sealed, key, label)


def test_private_files_are_private_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys" / "one.key"
    cipher.write_private(path, b"old")
    assert path.stat().st_mode & 0o077 == 0

    def broken(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(cipher.os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        cipher.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["one.key"]
