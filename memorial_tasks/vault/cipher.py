"""Streaming authenticated encryption of files and small documents.

Files: AES-256-GCM in chunks of 1 MiB under a key derived for this one object (HKDF-SHA256 of the subject's data
key and a random salt). Each chunk's nonce is ``prefix || counter || last`` (the STREAM construction, Hoang et al.
2015), so that chunks cannot be reordered, dropped or appended. The associated data is the object's address, so a
ciphertext copied to another address does not open. Memory use is one chunk, whatever the file's size.
"""

import hashlib
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from memorial_tasks.errors import IntegrityError

MAGIC = b"MSV1"
CHUNK = 1 << 20
TAG = 16
KEY_BYTES = 32
_HEADER = struct.Struct(">4s32s7s")


def _object_key(data_key: bytes, salt: bytes) -> AESGCM:
    if len(data_key) != KEY_BYTES:
        raise ValueError("a data key has 32 bytes")
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, b"memorial object").derive(data_key))


def _nonce(prefix: bytes, counter: int, last: bool) -> bytes:
    return prefix + struct.pack(">I", counter) + (b"\x01" if last else b"\x00")


def encrypt_stream(source: BinaryIO, target: BinaryIO, data_key: bytes, address: str) -> tuple[str, int]:
    """Encrypt `source` into `target`; returns sha256 (hex) and size of the plaintext."""
    salt, prefix = secrets.token_bytes(32), secrets.token_bytes(7)
    cipher, digest, size, counter = _object_key(data_key, salt), hashlib.sha256(), 0, 0
    target.write(_HEADER.pack(MAGIC, salt, prefix))
    chunk = source.read(CHUNK)
    while True:
        following = source.read(CHUNK)
        last = not following
        digest.update(chunk)
        size += len(chunk)
        target.write(cipher.encrypt(_nonce(prefix, counter, last), chunk, address.encode()))
        if last:
            return digest.hexdigest(), size
        chunk, counter = following, counter + 1


def decrypt_chunks(source: BinaryIO, data_key: bytes, address: str) -> Iterator[bytes]:
    """Yield the plaintext chunk by chunk; `IntegrityError` at the first byte that is not as written."""
    header = source.read(_HEADER.size)
    try:
        magic, salt, prefix = _HEADER.unpack(header)
    except struct.error:
        magic = b""
    if magic != MAGIC:
        raise IntegrityError("this is not an object of the vault", where=address, remedy="restore it from a backup")
    cipher, counter = _object_key(data_key, salt), 0
    chunk = source.read(CHUNK + TAG)
    while True:
        following = source.read(CHUNK + TAG)
        try:
            yield cipher.decrypt(_nonce(prefix, counter, not following), chunk, address.encode())
        except InvalidTag:
            raise IntegrityError(
                "stored bytes were changed, cut short, or belong to another object or key",
                where=address,
                remedy="restore the object from a backup; do not deliver anything made from it",
            ) from None
        if not following:
            return
        chunk, counter = following, counter + 1


def decrypt_stream(source: BinaryIO, target: BinaryIO, data_key: bytes, address: str) -> tuple[str, int]:
    """Decrypt `source` into `target`; returns sha256 (hex) and size of the plaintext."""
    digest, size = hashlib.sha256(), 0
    for chunk in decrypt_chunks(source, data_key, address):
        digest.update(chunk)
        size += len(chunk)
        target.write(chunk)
    return digest.hexdigest(), size


def seal(document: bytes, data_key: bytes, label: str) -> bytes:
    """Encrypt a small document; `label` binds it to its place (table, column, row)."""
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(data_key).encrypt(nonce, document, label.encode())


def unseal(sealed: bytes, data_key: bytes, label: str) -> bytes:
    """Open what `seal` made for the same key and label."""
    try:
        return AESGCM(data_key).decrypt(sealed[:12], sealed[12:], label.encode())
    except (InvalidTag, ValueError):
        raise IntegrityError(
            "the sealed document was changed or belongs elsewhere", where=label, remedy="restore it from a backup"
        ) from None


def write_private(path: Path, data: bytes) -> None:
    """Write `data` so that only this user can read it and no half file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
