"""Anchors: checkpoints put where the studio cannot change them any more.

Each anchor keeps, for every checkpoint, the signed note and the hashes of the entries it added. The note is the
evidence; the hashes (32 bytes an entry, no content) let a verifier name the exact entry that was rewritten.

- `DirectoryAnchor`: a folder, at best one of another machine or on write-once media; the default.
- `BucketAnchor`: an S3 bucket with Object Lock in compliance mode, in another account.
- `TimestampAnchor`: an RFC 3161 time-stamp authority confirms when the note existed.

A missed anchor is written into the log itself (``anchor.missed``) and reported by `anchor_pending`; the next run
catches up on everything an anchor does not hold yet.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.audit.note import Checkpoint, PublicKey
from memorial_tasks.audit.verify import TOLERANCE, Fault
from memorial_tasks.database.connection import SEQUENCER, execute, one, rows, transaction
from memorial_tasks.errors import IntegrityError, MemorialError, Unavailable


@dataclass(frozen=True)
class Receipt:
    """Where a checkpoint now lies, and the authority's answer when there is one."""

    place: str
    token: bytes | None = None


class Anchor(Protocol):
    """A place outside."""

    @property
    def target(self) -> str:
        """Stable name, ``kind:place``."""

    def put(self, checkpoint: Checkpoint, first: int, leaves: bytes) -> Receipt:
        """Keeps a checkpoint and the hashes of its entries from `first` on. Doing it again is harmless;
        `IntegrityError` when another checkpoint of this size is there already."""


class KeepingAnchor(Anchor, Protocol):
    """An anchor that can be read back."""

    def read(self) -> list[str]:
        """Every note kept, oldest first."""

    def leaves(self, first: int, past: int) -> bytes | None:
        """The hashes of these entries, or None when they are not all kept."""


@dataclass(frozen=True)
class DirectoryAnchor:
    """A folder of files that are written once."""

    folder: Path

    @property
    def target(self) -> str:
        return f"directory:{self.folder}"

    def put(self, checkpoint: Checkpoint, first: int, leaves: bytes) -> Receipt:
        self.folder.mkdir(parents=True, exist_ok=True)
        # the hashes first: a note stands for a complete pair
        _write_once(self.folder / _leaves_name(first, checkpoint.size), leaves)
        path = self.folder / _note_name(checkpoint.size)
        _write_once(path, checkpoint.note.encode())
        return Receipt(path.name)

    def read(self) -> list[str]:
        return [path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("*.note"))]

    def leaves(self, first: int, past: int) -> bytes | None:
        parts = {_span(path.name): path for path in self.folder.glob("*.leaves")}
        return _gather(list(parts), first, past, lambda span: parts[span].read_bytes())


@dataclass(frozen=True)
class BucketAnchor:
    """An S3 bucket with Object Lock. Only hashes and signatures go there, never personal data, so compliance mode
    (which nobody can undo before the date) is right here and nowhere else."""

    client: Any = field(repr=False)  # boto3 S3 client
    bucket: str
    prefix: str = "audit/"
    keep: timedelta = timedelta(days=3 * 365)

    @property
    def target(self) -> str:
        return f"s3:{self.bucket}/{self.prefix}"

    def put(self, checkpoint: Checkpoint, first: int, leaves: bytes) -> Receipt:
        self._write_once(self.prefix + _leaves_name(first, checkpoint.size), leaves)
        key = self.prefix + _note_name(checkpoint.size)
        return Receipt(f"{key}#{self._write_once(key, checkpoint.note.encode())}")

    def read(self) -> list[str]:
        return [self._oldest(key).decode() for key in self._keys() if key.endswith(".note")]

    def leaves(self, first: int, past: int) -> bytes | None:
        parts = {_span(key.removeprefix(self.prefix)): key for key in self._keys() if key.endswith(".leaves")}
        return _gather(list(parts), first, past, lambda span: self._oldest(parts[span]))

    def _write_once(self, key: str, content: bytes) -> str:
        """Returns the version that is locked. A bucket with versions accepts a second write under one key, so the
        first version is the one that counts, here and in every reading."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            versions = self._versions(key)
            if versions:
                if self._oldest(key) != content:
                    raise IntegrityError("the anchor holds something else under this name", where=key, remedy=_FORKED)
                version = versions[-1]
            else:
                answer = self.client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=content,
                    ChecksumAlgorithm="SHA256",
                    ObjectLockMode="COMPLIANCE",
                    ObjectLockRetainUntilDate=datetime.now(UTC) + self.keep,
                )
                version = answer.get("VersionId", "")
            head = self.client.head_object(Bucket=self.bucket, Key=key, VersionId=version)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(
                f"the checkpoint bucket refused: {_code(error)}",
                where=self.target,
                remedy="check bucket, lock and rights",
            ) from error
        if head.get("ObjectLockMode") != "COMPLIANCE":
            raise Unavailable(
                "the object is not locked", where=self.target, remedy="turn Object Lock on for the bucket"
            )
        return str(version)

    def _versions(self, key: str) -> list[str]:
        """Version ids under exactly this key, newest first."""
        answer = self.client.list_object_versions(Bucket=self.bucket, Prefix=key)
        return [version["VersionId"] for version in answer.get("Versions", []) if version["Key"] == key]

    def _oldest(self, key: str) -> bytes:
        answer = self.client.get_object(Bucket=self.bucket, Key=key, VersionId=self._versions(key)[-1])
        return bytes(answer["Body"].read())

    def _keys(self) -> list[str]:
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=self.prefix)
        return sorted({version["Key"] for page in pages for version in page.get("Versions", [])})


@dataclass(frozen=True)
class TimestampAnchor:
    """An RFC 3161 time-stamp authority. `post(request bytes) -> response bytes` does the talking (HTTP POST with
    content type ``application/timestamp-query``); `roots` are the PEM certificates the token must lead to."""

    name: str
    post: Callable[[bytes], bytes] = field(repr=False)
    roots: tuple[bytes, ...] = field(repr=False)

    @property
    def target(self) -> str:
        return f"rfc3161:{self.name}"

    def put(self, checkpoint: Checkpoint, first: int, leaves: bytes) -> Receipt:
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

        message = checkpoint.note.encode()
        request = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build()
        try:
            answer = self.post(request.as_bytes())
        except OSError as error:
            raise Unavailable(
                "the time-stamp authority does not answer", where=self.name, remedy="try later"
            ) from error
        at = verify_timestamp(answer, message, self.roots, nonce=request.nonce)
        return Receipt(at.isoformat(), answer)


def verify_timestamp(token: bytes, message: bytes, roots: Sequence[bytes], *, nonce: int | None = None) -> datetime:
    """The time an RFC 3161 response states for `message`.

    Raises:
        IntegrityError: it is for something else, or not signed under one of the PEM `roots`.
    """
    from cryptography import x509
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        response = decode_timestamp_response(token)
        builder = VerifierBuilder(nonce=nonce, roots=[x509.load_pem_x509_certificate(pem) for pem in roots])
        builder.build().verify_message(response, message)
        return response.tst_info.gen_time
    except (VerificationError, ValueError) as error:
        raise IntegrityError(
            "the time stamp is not valid for this checkpoint", where="rfc3161", remedy="ask the authority"
        ) from error


def check_timestamps(stamped: Iterable[tuple[str, bytes]], roots: Sequence[bytes]) -> list[Fault]:
    """What is wrong with time stamps, given as (note, response): not the authority's, not for this note, or the log's
    own clock ran ahead of the authority's when it signed."""
    faults = []
    for note, token in stamped:
        size = notes.size_of(note)
        try:
            at = verify_timestamp(token, note.encode(), roots)
        except IntegrityError as error:
            faults.append(Fault("timestamp", f"the checkpoint of size {size}: {error.what}"))
            continue
        if (signed := notes.clock_of(note)) is not None and signed > at + TOLERANCE:
            what = f"the checkpoint of size {size} claims to be younger than its time stamp of {at.isoformat()}"
            faults.append(Fault("timestamp", what))
    return faults


@dataclass(frozen=True)
class AnchorResult:
    """What one run did: checkpoints put per target, and targets that could not be reached (with the reason)."""

    put: dict[str, int]
    missed: dict[str, str]


def anchor_pending(url: str, keys: Sequence[PublicKey], anchors: Sequence[Anchor]) -> AnchorResult:
    """Puts every checkpoint that an anchor does not hold yet. A missed anchor is written into the log.

    Raises:
        IntegrityError: an anchor holds a different checkpoint of the same size: the log was forked.
    """
    done: dict[str, int] = {}
    missed: dict[str, str] = {}
    for anchor in anchors:
        try:
            done[anchor.target] = _catch_up(url, keys, anchor)
        except IntegrityError:
            raise
        except MemorialError as error:
            missed[anchor.target] = str(error)
            with transaction(url, role=SEQUENCER, application="memorial anchor") as connection:
                append(connection, _missed(anchor.target.partition(":")[0]))
    return AnchorResult(done, missed)


def newest_outside(anchors: Sequence[KeepingAnchor], keys: Sequence[PublicKey]) -> Checkpoint | None:
    """The largest checkpoint any readable anchor holds, its signature checked."""
    best: Checkpoint | None = None
    for anchor in anchors:
        for text in anchor.read()[-1:]:
            checkpoint = notes.open_note(text, keys)
            best = checkpoint if best is None or checkpoint.size > best.size else best
    return best


def _catch_up(url: str, keys: Sequence[PublicKey], anchor: Anchor) -> int:
    with transaction(url, role=SEQUENCER, application="memorial anchor") as connection:
        waiting = rows(
            connection,
            "SELECT c.size, c.note,"
            " coalesce((SELECT max(p.size) FROM audit.checkpoint p WHERE p.size < c.size), 0) AS first"
            " FROM audit.checkpoint c WHERE NOT EXISTS"
            " (SELECT FROM audit.anchor a WHERE a.size = c.size AND a.target = %s) ORDER BY c.size",
            (anchor.target,),
        )
    for row in waiting:
        with transaction(url, role=SEQUENCER, application="memorial anchor") as connection:
            joined = one(
                connection,
                "SELECT string_agg(leaf, ''::bytea ORDER BY seq) AS h FROM audit.leaf WHERE seq >= %s AND seq < %s",
                (row["first"], row["size"]),
            )
            receipt = anchor.put(notes.open_note(row["note"], keys), row["first"], bytes((joined or {})["h"] or b""))
            execute(
                connection,
                "INSERT INTO audit.anchor (size, target, receipt, place) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (row["size"], anchor.target, receipt.token, receipt.place),
            )
    return len(waiting)


def _missed(kind: str) -> AuditEvent:
    return AuditEvent(type="anchor.missed", actor=Actor(kind="service", id="audit"), data={"anchor": kind})


_FORKED = "the log was forked or restored: do not write on, run `memorial audit verify` and call the auditor"


def _note_name(size: int) -> str:
    return f"{size:012d}.note"


def _leaves_name(first: int, past: int) -> str:
    return f"{first:012d}-{past:012d}.leaves"


def _span(name: str) -> tuple[int, int]:
    first, past = name.removesuffix(".leaves").split("-")
    return int(first), int(past)


def _gather(
    spans: list[tuple[int, int]], first: int, past: int, read: Callable[[tuple[int, int]], bytes]
) -> bytes | None:
    result, at = b"", first
    for span in sorted(spans):
        if span[0] <= at < span[1]:
            result += read(span)[32 * (at - span[0]) : 32 * (min(past, span[1]) - span[0])]
            at = min(past, span[1])
    return result if at == past and len(result) == 32 * (past - first) else None


def _write_once(path: Path, content: bytes) -> None:
    if path.exists():
        if path.read_bytes() != content:
            raise IntegrityError("the anchor holds something else under this name", where=path.name, remedy=_FORKED)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.chmod(0o444)
    try:
        os.link(temporary, path)
    except FileExistsError:
        _write_once(path, content)
    finally:
        temporary.unlink()


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", type(error).__name__))
