"""Forgetting one subject: destroy the key, delete every object, say so in a signed receipt. Resumable at every point.

The order of things is what makes a crash harmless: first consent ends (no new permit, no new key), then the key is
destroyed (from here on nothing can be read any more, also not from backups of store and database), then objects are
deleted shelf by shelf, each noted when done, and last the receipt is written with the final events in one transaction.
Calling `erase_subject` again continues where it stopped, or returns the receipt.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.consent.acts import stop_order
from memorial_tasks.consent.events import EventType, State, standing
from memorial_tasks.consent.keys import ConsentKeys
from memorial_tasks.consent.record import Signature, canonical, sign_bytes, verify_bytes
from memorial_tasks.consent.registry import Trusted, append_event, audit_word, current
from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.database.registry import mark_erased
from memorial_tasks.domain.order import valid_order_id
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import IntegrityError, MemorialError
from memorial_tasks.vault.keyring import Keyring
from memorial_tasks.vault.store import LocalStore, S3Store, Store

RECEIPTS = "erasures"  # folder below the audit's: apart from database, store and keyring, whose backups it outlives
Begin = Callable[[], AbstractContextManager[Connection]]
RECEIPT_SCHEMA = "memorial-erasure-1"
# Said in every receipt, because a promise nobody can keep is worse than none.
BEYOND_REACH = (
    "copies already delivered outside the studio",
    "encrypted copies in backups, unreadable since the key is destroyed, until those backups expire",
)


class Shelf(Protocol):
    """A place where something of a subject may lie."""

    @property
    def name(self) -> str:
        """A machine word for progress and receipt."""

    def erase(self, subject_id: str, orders: Sequence[str]) -> Mapping[str, int]:
        """Deletes everything of these orders and says how much it was. Finding nothing is success."""


@dataclass(frozen=True)
class VaultShelf:
    """The encrypted store: originals, artifacts, models, checkpoints, results, with every version of every object."""

    store: Store
    name: str = "vault"

    def erase(self, subject_id: str, orders: Sequence[str]) -> Mapping[str, int]:
        """Deletes everything below ``vault://orders/ORDER``."""
        removed = 0
        for order in orders:
            prefix = f"vault://orders/{_safe(order)}"
            removed += sum(self.store.delete(uri) for uri in self.store.listing(prefix))
            if isinstance(self.store, S3Store):
                removed += _every_version(self.store, order)
            elif isinstance(self.store, LocalStore):  # half-written files too, which no listing shows
                shutil.rmtree(self.store.root / "orders" / _safe(order), ignore_errors=True)
            if self.store.listing(prefix):
                raise MemorialError("objects came back while erasing", where="vault", remedy="run the erasure again")
        return {"objects": removed}


def _every_version(store: S3Store, order: str) -> int:
    """A delete marker erases nothing: versions hidden below one, and unfinished uploads, are removed too."""
    prefix = f"{store.prefix}/orders/{order}/" if store.prefix else f"orders/{order}/"
    removed = 0
    for page in store.client.get_paginator("list_object_versions").paginate(Bucket=store.bucket, Prefix=prefix):
        for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            store.client.delete_object(Bucket=store.bucket, Key=item["Key"], VersionId=item["VersionId"])
            removed += 1
    for page in store.client.get_paginator("list_multipart_uploads").paginate(Bucket=store.bucket, Prefix=prefix):
        for item in page.get("Uploads", ()):
            store.client.abort_multipart_upload(Bucket=store.bucket, Key=item["Key"], UploadId=item["UploadId"])
            removed += 1
    return removed


@dataclass(frozen=True)
class FolderShelf:
    """A folder with one subfolder (or files ``ORDER.*``) an order: deliveries, reports, unpacked Data Docs."""

    name: str
    folder: Path

    def erase(self, subject_id: str, orders: Sequence[str]) -> Mapping[str, int]:
        """Deletes the order's subfolder and its files."""
        removed = 0
        for order in orders:
            for path in (self.folder / _safe(order), *self.folder.glob(f"{_safe(order)}.*")):
                if path.is_symlink() or path.is_file():
                    path.unlink()
                    removed += 1
                elif path.is_dir():
                    removed += sum(1 for inner in path.rglob("*") if inner.is_file())
                    shutil.rmtree(path)
        return {"files": removed}


def _safe(order: str) -> str:
    if not valid_order_id(order):
        raise IntegrityError("an order id in the registry is not one", where="erasure", remedy="call an engineer")
    return order


@dataclass(frozen=True)
class Receipt:
    """What was erased, signed by the registrar. Holds no personal data."""

    body: bytes
    signature: Signature

    def document(self) -> dict[str, Any]:
        """As one JSON document, the form it is handed out and kept in."""
        return {"receipt": json.loads(self.body), "signature": self.signature.model_dump()}


def receipt_file(audit_dir: Path, subject_id: str) -> Path:
    """Where the receipt of a subject's erasure is kept. While it lies there the key service gives no key of the
    subject away, whatever a restored backup says."""
    return audit_dir / RECEIPTS / f"{audit_word(subject_id)}.json"


def verify_erasure(document: Mapping[str, Any], trusted: Trusted) -> dict[str, Any]:
    """The receipt inside a document, when a trusted key signed exactly this. Raises `IntegrityError`."""
    body: dict[str, Any] = document["receipt"]
    verify_bytes(canonical(body), Signature.model_validate(document["signature"]), trusted, "the erasure receipt")
    return body


def erase_subject(
    begin: Begin,
    subject_id: str,
    *,
    keyring: Keyring,
    shelves: Sequence[Shelf],
    keys: ConsentKeys,
    reason: str,
    operator: str,
    now: Callable[[], datetime],
) -> Receipt:
    """Erases a subject; continues an erasure that was interrupted; returns the receipt of a finished one.

    Args:
        begin: opens a transaction (``studio.transaction``).
        shelves: every place that may hold something; the name of each must stay the same between attempts.
        reason: a machine word (``withdrawn``, ``expired``, ``requested``).

    Raises:
        MemorialError: no such subject.
        Anything a shelf raises: the key is destroyed by then; run it again when the cause is mended.
    """
    with begin() as connection:
        erasure_id, finished = _open(connection, subject_id, reason, operator, now())
        if finished is not None:
            return finished
        orders = _end_consent(connection, subject_id, keys, now())
    # Outside a transaction: if the process dies between destroying and noting, destroying again is harmless.
    if not _done(begin, erasure_id, "key"):
        destroyed = keyring.destroy(subject_id)
        _note(begin, erasure_id, "key", {"keys": int(destroyed)})
    for shelf in shelves:
        if not _done(begin, erasure_id, shelf.name):
            _note(begin, erasure_id, shelf.name, dict(shelf.erase(subject_id, orders)))
    with begin() as connection:
        return _finish(connection, erasure_id, subject_id, orders, keys, operator, now())


def _open(
    connection: Connection, subject_id: str, reason: str, operator: str, now: datetime
) -> tuple[str, Receipt | None]:
    execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (subject_id,))
    subject = one(connection, "SELECT erased_at FROM subject WHERE subject_id = %s", (subject_id,))
    if subject is None:
        raise MemorialError("no such subject", where="subject", remedy="see `memorial order show ORDER`")
    row = one(
        connection,
        "SELECT * FROM erasure WHERE subject_id = %s ORDER BY receipt IS NULL DESC, requested_at DESC LIMIT 1",
        (subject_id,),
    )
    if row is not None and row["receipt"] is None:
        return row["erasure_id"], None
    if row is not None and subject["erased_at"] is not None:
        return row["erasure_id"], Receipt(row["receipt"], Signature(kid=row["kid"], value=row["signature"]))
    erasure_id = str(uuid.uuid4())
    execute(
        connection,
        "INSERT INTO erasure (erasure_id, subject_id, reason, requested_by, requested_at) VALUES (%s, %s, %s, %s, %s)",
        (erasure_id, subject_id, audit_word(reason), audit_word(operator), now),
    )
    append(
        connection,
        AuditEvent(
            type="erasure.started",
            actor=Actor(kind="person", id=audit_word(operator)),
            at=now,
            subject=subject_id,
            reason_code=audit_word(reason),
            data={"erasure": erasure_id},
        ),
    )
    return erasure_id, None


def _orders(connection: Connection, subject_id: str) -> list[str]:
    found = rows(connection, "SELECT order_id FROM orders WHERE subject_id = %s ORDER BY order_id", (subject_id,))
    return [row["order_id"] for row in found]


def live_orders(connection: Connection, subject_id: str, trusted: Trusted, now: datetime) -> list[str]:
    """The subject's orders whose consent stands, is asked for or is on ice."""
    alive = {State.GIVEN, State.REQUESTED, State.FROZEN}
    return [
        order_id
        for order_id in _orders(connection, subject_id)
        if _last_types(connection, order_id)
        and standing(current(connection, order_id, trusted, None).events, now).state in alive
    ]


def _last_types(connection: Connection, order_id: str) -> set[str]:
    found = rows(connection, "SELECT type FROM consent_event WHERE order_id = %s", (order_id,))
    return {row["type"] for row in found}


def _end_consent(connection: Connection, subject_id: str, keys: ConsentKeys, now: datetime) -> list[str]:
    """No permit lives on and no new one can be had, for any order of the subject."""
    orders = _orders(connection, subject_id)
    for order_id in orders:
        happened = _last_types(connection, order_id)
        if happened and not happened & {EventType.ERASURE_SCHEDULED.value, EventType.ERASED.value}:
            append_event(
                connection,
                order_id,
                EventType.ERASURE_SCHEDULED,
                keys,
                actor_kind="system",
                actor="erasure",
                now=now,
                valid_from=now,
            )
        stop_order(connection, order_id, OrderState.WITHDRAWN, "consent.erasure", "Everything is being erased.")
    return orders


def _done(begin: Begin, erasure_id: str, step: str) -> bool:
    with begin() as connection:
        sql = "SELECT 1 AS done FROM erasure_step WHERE erasure_id = %s AND step = %s"
        return one(connection, sql, (erasure_id, step)) is not None


def _note(begin: Begin, erasure_id: str, step: str, counts: Mapping[str, int]) -> None:
    with begin() as connection:
        execute(
            connection,
            "INSERT INTO erasure_step (erasure_id, step, counts) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (erasure_id, step, Json(dict(counts))),
        )


def _finish(
    connection: Connection,
    erasure_id: str,
    subject_id: str,
    orders: Sequence[str],
    keys: ConsentKeys,
    operator: str,
    now: datetime,
) -> Receipt:
    execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (subject_id,))
    row = one(connection, "SELECT * FROM erasure WHERE erasure_id = %s", (erasure_id,))
    if row is None:
        raise IntegrityError("an erasure vanished from the registry", where=erasure_id, remedy="call an engineer")
    if row["receipt"] is not None:  # another process finished it meanwhile
        return Receipt(row["receipt"], Signature(kid=row["kid"], value=row["signature"]))
    steps = rows(connection, "SELECT step, counts FROM erasure_step WHERE erasure_id = %s ORDER BY step", (erasure_id,))
    for order_id in orders:
        happened = _last_types(connection, order_id)
        if happened and EventType.ERASED.value not in happened:
            append_event(
                connection,
                order_id,
                EventType.ERASED,
                keys,
                actor_kind="system",
                actor="erasure",
                now=now,
                code="erased",
            )
    mark_erased(connection, subject_id)
    body = canonical(
        {
            "schema": RECEIPT_SCHEMA,
            "erasure": erasure_id,
            "subject": subject_id,
            "orders": list(orders),
            "reason": row["reason"],
            "requested_by": row["requested_by"],
            "requested_at": row["requested_at"].isoformat(),
            "completed_at": now.isoformat(),
            "erased": {step["step"]: step["counts"] for step in steps},
            "not_within_reach": list(BEYOND_REACH),
        }
    )
    signature = sign_bytes(body, keys.registrar)
    execute(
        connection,
        "UPDATE erasure SET receipt = %s, signature = %s, kid = %s WHERE erasure_id = %s",
        (body, signature.value, signature.kid, erasure_id),
    )
    append(
        connection,
        AuditEvent(
            type="subject.erased",
            actor=Actor(kind="person", id=audit_word(operator)),
            at=now,
            subject=subject_id,
            reason_code=row["reason"],
            refs={"receipt": sha256(body).hexdigest()},
            data={"erasure": erasure_id, "orders": len(orders)},
        ),
    )
    return Receipt(body, signature)


def reapply(
    documents: Iterable[Mapping[str, Any]],
    begin: Begin,
    *,
    keyring: Keyring,
    shelves: Sequence[Shelf],
    keys: ConsentKeys,
    operator: str,
    now: Callable[[], datetime],
) -> list[str]:
    """After a restore from backup: makes every erasure in the kept receipts true again. Returns the subjects for which
    anything had come back (a key, or rows that do not know of the erasure).

    Keep the receipts apart from the backups they have to outlive.

    Raises:
        IntegrityError: a receipt is not one of ours; nothing was done for it or those after it.
    """
    back: list[str] = []
    for document in documents:
        receipt = verify_erasure(document, keys.trusted)
        subject_id = str(receipt["subject"])
        key_was_back = keyring.destroy(subject_id)
        with begin() as connection:
            row = one(connection, "SELECT erased_at FROM subject WHERE subject_id = %s", (subject_id,))
        if row is not None and row["erased_at"] is None:
            erase_subject(
                begin,
                subject_id,
                keyring=keyring,
                shelves=shelves,
                keys=keys,
                reason="restored-backup",
                operator=operator,
                now=now,
            )
            back.append(subject_id)
        else:
            for shelf in shelves:
                key_was_back = sum(shelf.erase(subject_id, receipt["orders"]).values()) > 0 or key_was_back
            if key_was_back:
                back.append(subject_id)
    return back
