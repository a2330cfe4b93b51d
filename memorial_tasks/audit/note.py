"""Checkpoints as C2SP signed notes (tlog-checkpoint) with Ed25519, and who signed them when.

A checkpoint is five lines of text that fit into an e-mail::

    memorial-studio/5c0ffee1
    1234
    base64(root hash)

    — memorial-studio/5c0ffee1 base64(key id, signature)
    — memorial-studio/5c0ffee1/clock base64(key id, time, signature)

The first signature is the log's own (algorithm 1), the second a cosignature/v1 (algorithm 4), which carries the
time it was made; further witnesses may add lines of the second kind.
"""

import base64
import hashlib
import os
import re
import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from memorial_tasks.errors import InputRefused, IntegrityError, Problem, Unavailable

SIGNATURE, COSIGNATURE = 1, 4  # C2SP algorithm bytes
_NAME = re.compile(r"[A-Za-z0-9._/-]{3,120}")
KEY_FILE = "audit-checkpoint.key"


@dataclass(frozen=True)
class PublicKey:
    """A C2SP verifier key: ``name+key id+base64(algorithm, key)``."""

    name: str
    algorithm: int
    raw: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256(name, newline, algorithm, key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.raw).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.algorithm]) + self.raw).decode()}"


@dataclass(frozen=True)
class SigningKeys:
    """The log's key and its clock's key, both derived from the one secret in the key file."""

    origin: str
    log: Ed25519PrivateKey = field(repr=False)
    clock: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> tuple[PublicKey, PublicKey]:
        """What an auditor needs: (log key, clock key)."""
        return (
            PublicKey(self.origin, SIGNATURE, self.log.public_key().public_bytes_raw()),
            PublicKey(f"{self.origin}/clock", COSIGNATURE, self.clock.public_key().public_bytes_raw()),
        )


@dataclass(frozen=True)
class Checkpoint:
    """A signed tree head whose signatures were checked. `at`: when its clock signed, None without cosignature."""

    origin: str
    size: int
    root: bytes
    note: str
    at: datetime | None = None
    signers: tuple[str, ...] = ()


def create_keys(keyring: Path, origin: str | None = None) -> SigningKeys:
    """Makes the log's signing key at set-up; keeps the one that is there. The file (0600) holds the log's name
    and secret: whoever has it can sign a false log, which only checkpoints kept outside will expose."""
    path = keyring / KEY_FILE
    if not path.exists():
        keyring.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = origin or f"memorial-studio/{secrets.token_hex(4)}"
        if not _NAME.fullmatch(name):
            raise InputRefused([Problem("audit.origin", f"{name!r} cannot name a log", "use letters, digits, ./_-")])
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        temporary = path.with_name(f".{KEY_FILE}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, f"origin: {name}\n".encode() + pem)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(temporary, path)  # the first of several processes wins
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return load_keys(keyring)


def load_keys(keyring: Path) -> SigningKeys:
    """The log's signing keys.

    Raises:
        Unavailable: there is no key file yet, or it cannot be read.
    """
    try:
        first, _, pem = (keyring / KEY_FILE).read_text().partition("\n")
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (OSError, ValueError) as error:
        raise Unavailable(
            "the audit log has no readable signing key", where=KEY_FILE, remedy="run `memorial init`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey) or not first.startswith("origin: "):
        raise Unavailable("the audit log's key file is damaged", where=KEY_FILE, remedy="bring it back from its backup")
    seed = key.private_bytes_raw()
    clock = HKDF(hashes.SHA256(), 32, salt=None, info=b"memorial audit clock 1").derive(seed)
    return SigningKeys(first.removeprefix("origin: "), key, Ed25519PrivateKey.from_private_bytes(clock))


def sign(keys: SigningKeys, size: int, root: bytes, at: datetime) -> str:
    """The note for a tree head, with both signatures."""
    body = f"{keys.origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    log, clock = keys.public
    seconds = int(at.timestamp())
    stamped = struct.pack(">Q", seconds) + keys.clock.sign(f"cosignature/v1\ntime {seconds}\n{body}".encode())
    return f"{body}\n{_line(log, keys.log.sign(body.encode()))}{_line(clock, stamped)}"


def open_note(note: str, keys: Iterable[PublicKey]) -> Checkpoint:
    """Checks the signatures of `note` against `keys` and returns what it says.

    Raises:
        IntegrityError: it is no checkpoint, is of another log, or a signature is missing or wrong.
    """
    body, lines = _split(note)
    origin, size, root = _parse(body)
    log_signed, at, signers = False, None, []
    for key in keys:
        for name, blob in lines:
            if name != key.name or blob[:4] != key.key_id:
                continue
            seconds = _check(key, body, blob[4:])
            signers.append(name)
            if key.algorithm == SIGNATURE and name == origin:
                log_signed = True
            if seconds is not None:
                signed_at = datetime.fromtimestamp(seconds, UTC)
                at = signed_at if at is None or signed_at < at else at
    if not log_signed:
        raise IntegrityError(
            "the checkpoint is not signed by this log's key",
            where=origin,
            remedy="it belongs to another log, or is forged: get the log's public key from a second source",
        )
    return Checkpoint(origin, size, root, note, at, tuple(signers))


def parse_key(text: str) -> PublicKey:
    """Reads a verifier key line.

    Raises:
        InputRefused: it is none, or its key id does not belong to its key.
    """
    try:
        name, key_id, encoded = text.strip().split("+", 2)  # base64 may hold a +, names never do
        blob = base64.b64decode(encoded, validate=True)
        key = PublicKey(name, blob[0], blob[1:])
        if key.key_id.hex() == key_id and len(key.raw) == 32 and key.algorithm in (SIGNATURE, COSIGNATURE):
            return key
    except (ValueError, IndexError):
        pass
    raise InputRefused([Problem("audit.key", "this is no verifier key", "give a line of the form name+id+key")])


def _line(key: PublicKey, signature: bytes) -> str:
    return f"— {key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


def _check(key: PublicKey, body: str, signature: bytes) -> int | None:
    """The time of a cosignature, None for a plain signature; raises when it is wrong."""
    seconds, message = None, body
    if key.algorithm == COSIGNATURE:
        (seconds,), signature = struct.unpack(">Q", signature[:8].rjust(8, b"\0")), signature[8:]
        message = f"cosignature/v1\ntime {seconds}\n{body}"
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, message.encode())
    except InvalidSignature:
        raise IntegrityError(
            "a signature on the checkpoint is wrong", where=key.name, remedy="it was altered"
        ) from None
    return seconds


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    body, blank, signatures = note.partition("\n\n")
    lines: list[tuple[str, bytes]] = []
    try:
        for line in signatures.splitlines():
            dash, name, encoded = line.split(" ")
            if dash == "—":
                lines.append((name, base64.b64decode(encoded, validate=True)))
    except ValueError:
        lines = []
    if not blank or not lines:
        raise IntegrityError("this is no signed checkpoint", where="note", remedy="give the file as it was published")
    return body + "\n", lines


def _parse(body: str) -> tuple[str, int, bytes]:
    try:
        origin, size, root = body.splitlines()[:3]
        digest = base64.b64decode(root, validate=True)
        if origin and re.fullmatch(r"0|[1-9][0-9]{0,18}", size) and len(digest) == 32:
            return origin, int(size), digest
    except ValueError:
        pass
    raise IntegrityError("this is no checkpoint of a log", where="note", remedy="give the file as it was published")
