"""Checkpoints as C2SP signed notes (tlog-checkpoint) with Ed25519, and who signed them when.

A checkpoint is five lines of text that fit into an e-mail::

    memorial-studio/5c0ffee1
    1234
    base64(root hash)

    — memorial-studio/5c0ffee1 base64(key id, signature)
    — memorial-studio/5c0ffee1/clock base64(key id, time, signature)

The first signature is the log's own (algorithm 1), the second a cosignature/v1 (algorithm 4), which carries the
time it was made; further witnesses may add lines of the second kind.

The key is changed by a checkpoint with four more lines before the blank one, ``retired-key KEY`` and ``next-key KEY``
for log and clock each, signed by the old keys and the new ones (`sign_rotation`). Who trusts either side can follow it
(`KeyHistory`), and from then on the old key signs nothing any more.
"""

import base64
import hashlib
import os
import re
import secrets
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from memorial_tasks.errors import InputRefused, IntegrityError, Problem, Unavailable

SIGNATURE, COSIGNATURE = 1, 4  # C2SP algorithm bytes
_RETIRED, _NEXT = "retired-key ", "next-key "
_FORGED = "whoever made it does not hold the log's key: do not trust what follows, call the auditor"
_NAME = re.compile(r"[A-Za-z0-9._/-]{3,120}")
KEY_FILE = "audit-checkpoint.key"
NEXT_FILE = "audit-checkpoint.next.key"  # while the key is being changed
FORMER_FILE = "audit-checkpoint.former.vkey"  # public keys of before


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
    former: tuple[PublicKey, ...] = ()  # public keys this log had before

    @property
    def known(self) -> tuple[PublicKey, ...]:
        """Every key of this log, for opening notes of its own."""
        return (*self.public, *self.former)

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


@dataclass(frozen=True)
class KeyHistory:
    """Which keys signed the log when. `first` are the trusted ones; a rotation is (size, keys before, keys after)."""

    first: tuple[PublicKey, ...]
    rotations: tuple[tuple[int, tuple[PublicKey, ...], tuple[PublicKey, ...]], ...] = ()

    def at(self, size: int) -> tuple[PublicKey, ...]:
        """The keys that must have signed a checkpoint of `size` entries; keys of witnesses stay valid."""
        for turned, before, _ in self.rotations:
            if size <= turned:
                return self._with_witnesses(before)
        return self._with_witnesses(self.rotations[-1][2]) if self.rotations else self.first

    def _with_witnesses(self, keys: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
        names = {key.name for key in keys}
        return (*keys, *(key for key in self.first if key.name not in names))


def create_keys(keyring: Path, origin: str | None = None) -> SigningKeys:
    """Makes the log's signing key at set-up; keeps the one that is there. The file (0600) holds the log's name
    and secret: whoever has it can sign a false log, which only checkpoints kept outside will expose."""
    name = origin or f"memorial-studio/{secrets.token_hex(4)}"
    if not _NAME.fullmatch(name):
        raise InputRefused([Problem("audit.origin", f"{name!r} cannot name a log", "use letters, digits, ./_-")])
    _write_key(keyring / KEY_FILE, name)
    return load_keys(keyring)


def create_next(keyring: Path) -> SigningKeys:
    """The key that will follow the present one; the same again until `promote_next`."""
    _write_key(keyring / NEXT_FILE, load_keys(keyring).origin)
    return _load(keyring / NEXT_FILE)


def promote_next(keyring: Path) -> SigningKeys:
    """Makes the next key the present one. The old secret is gone then; its public half is kept."""
    old, new = load_keys(keyring), _load(keyring / NEXT_FILE)
    if old.public != new.public:
        lines = "".join(f"{key}\n" for key in dict.fromkeys(old.known))
        temporary = keyring / f".{FORMER_FILE}.{os.getpid()}"
        temporary.write_text(lines, encoding="utf-8")
        temporary.replace(keyring / FORMER_FILE)
    (keyring / NEXT_FILE).replace(keyring / KEY_FILE)
    return load_keys(keyring)


def _write_key(path: Path, origin: str) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, f"origin: {origin}\n".encode() + pem)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(temporary, path)  # the first of several processes wins
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def load_keys(keyring: Path) -> SigningKeys:
    """The log's signing keys.

    Raises:
        Unavailable: there is no key file yet, or it cannot be read.
    """
    former = keyring / FORMER_FILE
    before = tuple(parse_key(line) for line in former.read_text().split()) if former.exists() else ()
    keys = _load(keyring / KEY_FILE)
    return replace(keys, former=tuple(key for key in before if key not in keys.public))


def _load(path: Path) -> SigningKeys:
    try:
        first, _, pem = path.read_text().partition("\n")
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (OSError, ValueError) as error:
        raise Unavailable(
            "the audit log has no readable signing key", where=path.name, remedy="run `memorial init`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey) or not first.startswith("origin: "):
        raise Unavailable(
            "the audit log's key file is damaged", where=path.name, remedy="bring it back from its backup"
        )
    seed = key.private_bytes_raw()
    clock = HKDF(hashes.SHA256(), 32, salt=None, info=b"memorial audit clock 1").derive(seed)
    return SigningKeys(first.removeprefix("origin: "), key, Ed25519PrivateKey.from_private_bytes(clock))


def sign(keys: SigningKeys, size: int, root: bytes, at: datetime) -> str:
    """The note for a tree head, with both signatures."""
    return _signed(_body(keys.origin, size, root), (keys,), at)


def sign_rotation(old: SigningKeys, new: SigningKeys, size: int, root: bytes, at: datetime) -> str:
    """The note that retires `old` and announces `new`, signed by both."""
    retired = "".join(f"{_RETIRED}{key}\n" for key in old.public)
    coming = "".join(f"{_NEXT}{key}\n" for key in new.public)
    return _signed(_body(old.origin, size, root) + retired + coming, (old, new), at)


def rotation_of(note: str) -> tuple[int, tuple[PublicKey, ...], tuple[PublicKey, ...]] | None:
    """(size, retired keys, next keys) when the note changes the key, both sides' signatures checked; else None.

    Raises:
        IntegrityError: it pretends to, but is not signed by both.
    """
    if f"\n{_NEXT}" not in note:
        return None
    body, _ = _split(note)
    lines = body.splitlines()
    try:
        before = tuple(parse_key(line.removeprefix(_RETIRED)) for line in lines if line.startswith(_RETIRED))
        after = tuple(parse_key(line.removeprefix(_NEXT)) for line in lines if line.startswith(_NEXT))
    except InputRefused as error:
        raise IntegrityError("a change of keys names no key", where="note", remedy=_FORGED) from error
    try:
        size = open_note(note, before).size
        open_note(note, after)
    except IntegrityError as error:
        raise IntegrityError(
            "a change of keys is not signed by both the old and the new key", where="note", remedy=_FORGED
        ) from error
    return size, before, after


def announces(note: str, keys: Sequence[PublicKey]) -> bool:
    """True when the note makes `keys` the log's keys."""
    return all(f"\n{_NEXT}{key}\n" in note for key in keys)


def retires(note: str, keys: Sequence[PublicKey]) -> bool:
    """True when the note ends the use of `keys`."""
    return any(f"\n{_RETIRED}{key}\n" in note for key in keys)


def follow_keys(texts: Iterable[str], keys: Sequence[PublicKey]) -> tuple[KeyHistory, list[str]]:
    """The keys that follow from the trusted `keys` through the rotations among the notes `texts`, forwards and
    backwards; and what is wrong with rotations that do not belong to them."""
    found, wrong = {}, []
    for text in texts:
        try:
            if (rotation := rotation_of(text)) is not None:
                found[rotation] = text
        except IntegrityError as error:
            wrong.append(error.what)
    known, linked, waiting = set(keys), [], sorted(found, key=lambda rotation: rotation[0])
    while reached := [rotation for rotation in waiting if known.intersection(rotation[1] + rotation[2])]:
        linked += reached
        waiting = [rotation for rotation in waiting if rotation not in reached]
        known.update(key for rotation in reached for key in rotation[1] + rotation[2])
    wrong += [f"a change of keys at {size} entries is not this log's: it is forged" for size, _, _ in waiting]
    linked.sort(key=lambda rotation: rotation[0])
    if any(earlier[2] != later[1] for earlier, later in pairwise(linked)):
        wrong.append("the changes of keys contradict each other: one is forged")
    return KeyHistory(tuple(keys), tuple(linked)), wrong


def _body(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def _signed(body: str, signers: tuple[SigningKeys, ...], at: datetime) -> str:
    seconds, lines = int(at.timestamp()), ""
    for keys in signers:
        log, clock = keys.public
        stamped = struct.pack(">Q", seconds) + keys.clock.sign(f"cosignature/v1\ntime {seconds}\n{body}".encode())
        lines += _line(log, keys.log.sign(body.encode())) + _line(clock, stamped)
    return f"{body}\n{lines}"


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


def size_of(note: str) -> int:
    """How many entries a note speaks of, its signatures unchecked; `IntegrityError` when it is none."""
    return _parse(_split(note)[0])[1]


def clock_of(note: str) -> datetime | None:
    """The time the log's clock gives in a note whose signatures were checked; None when it gives none."""
    for name, blob in _split(note)[1]:
        if name.endswith("/clock") and len(blob) == 76:
            return datetime.fromtimestamp(struct.unpack(">Q", blob[4:12])[0], UTC)
    return None


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
