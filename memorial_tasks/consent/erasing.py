"""Erasure in this studio: its shelves, its receipts folder, and the entry point of command and watch."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.consent.erasure import (
    RECEIPTS,
    FolderShelf,
    Shelf,
    VaultShelf,
    erase_subject,
    live_orders,
    reapply,
    receipt_file,
)
from memorial_tasks.consent.registry import audit_word
from memorial_tasks.database.connection import one
from memorial_tasks.errors import IntegrityError, MemorialError
from memorial_tasks.steps.process import scratch_root
from memorial_tasks.vault.cipher import write_private

if TYPE_CHECKING:
    from memorial_tasks.production.studio import Studio


@dataclass(frozen=True)
class ScratchShelf:
    """Memory-backed folders that killed steps left behind. A living step is stopped, and its folder ends with it."""

    roots: tuple[Path, ...]
    name: str = "scratch"

    def erase(self, subject_id: str, orders: Sequence[str]) -> Mapping[str, int]:
        """Deletes ``memorial-<pid>-*`` below the roots where that process is gone, whoever's it was."""
        removed = 0
        for folder in (found for root in self.roots for found in root.glob("memorial-*-*")):
            process = folder.name.split("-")[1]
            if folder.is_dir() and process.isdigit() and not Path(f"/proc/{process}").exists():
                removed += sum(1 for inner in folder.rglob("*") if inner.is_file())
                shutil.rmtree(folder, ignore_errors=True)
        return {"files": removed}


@dataclass(frozen=True)
class DeliveriesShelf:
    """Delivered films under our control, in the delivery bucket with every version and on this machine, and their
    links. Copies people already downloaded are out of reach; the receipt says so."""

    studio: "Studio"
    name: str = "deliveries"

    def erase(self, subject_id: str, orders: Sequence[str]) -> Mapping[str, int]:
        """Revokes every delivery and link of the orders and deletes the files. After a restore the registry may not
        know an order; its files go all the same."""
        from memorial_tasks.database.registry import order_exists
        from memorial_tasks.production.deliveries import target_of, withdraw_deliveries
        from memorial_tasks.production.studio import Who

        removed: Counter[str] = Counter({"files": 0, "links": 0})
        for order in orders:
            with self.studio.transaction() as connection:
                known = order_exists(connection, order)
            if known:
                done = withdraw_deliveries(self.studio, order, Who("service", "erasure"), erase=True)
                removed.update(files=done["objects"], links=done["links"])
            else:
                removed["files"] += target_of(self.studio.settings).erase(order)
        return dict(removed)


def shelves_of(studio: "Studio") -> tuple[Shelf, ...]:
    """Every place of this studio in which something of a subject may lie.

    Data Docs and GX samples are artifacts in the vault or unpacked below the reports; Airflow holds ids only.
    """
    settings = studio.settings
    return (
        VaultShelf(studio.store),
        DeliveriesShelf(studio),
        FolderShelf("reports", settings.reports_dir),
        FolderShelf("workspace", settings.root / "scratch"),
        ScratchShelf(tuple(sorted({scratch_root(0), Path("/dev/shm"), Path(tempfile.gettempdir())}))),  # noqa: S108
    )


def _now() -> datetime:
    return datetime.now(UTC)


def erase_everything(studio: "Studio", subject: str, *, reason: str) -> tuple[dict[str, Any], Path]:
    """Erases a subject, named by its id or by one of its orders; returns the signed receipt and where it was put.

    Raises:
        MemorialError: there is no such subject or order.
    """
    with studio.transaction() as connection:
        row = one(
            connection,
            "SELECT subject_id FROM subject WHERE subject_id = %(id)s"
            " UNION SELECT subject_id FROM orders WHERE order_id = %(id)s",
            {"id": subject},
        )
    if row is None:
        raise MemorialError("no such subject", where="subject", remedy="give a subject's or an order's id")
    receipt = erase_subject(
        studio.transaction,
        row["subject_id"],
        keyring=studio.keyring,
        shelves=shelves_of(studio),
        keys=studio.keys,
        reason=reason,
        operator=studio.settings.operator,
        now=_now,
    )
    document = receipt.document()
    path = receipt_file(studio.settings.audit_dir, row["subject_id"])
    if not path.exists():
        write_private(path, json.dumps(document, indent=1).encode() + b"\n")
    return document, path


def reapply_receipts(studio: "Studio") -> list[str]:
    """After a restore from backup: makes every erasure in the receipts folder true again; returns what was back."""
    documents = []
    for path in sorted((studio.settings.audit_dir / RECEIPTS).glob("*.json")):
        try:
            documents.append(json.loads(path.read_bytes()))
        except ValueError as error:
            raise IntegrityError("an erasure receipt cannot be read", where=path.name, remedy="restore it") from error
    return reapply(
        documents,
        studio.transaction,
        keyring=studio.keyring,
        shelves=shelves_of(studio),
        keys=studio.keys,
        operator=studio.settings.operator,
        now=_now,
    )


def erase_ended(studio: "Studio", order_id: str, subject_id: str, *, reason: str) -> None:
    """What a withdrawal or an expiry destroys when its time of grace is over. For the watch.

    **One order, one subject id, one key.** Every submission makes its own (`production.intake.submit`), also for a
    person about whom there is another order, so that what one grantor takes back never reaches what another granted;
    usually, then, this erases the subject. Where orders do share a subject, the key stays until the last of them has
    ended: of this order every object, delivery, link and report is deleted now, and the log says so; its papers go with
    the key. `memorial erase SUBJECT` waits for nobody.
    """
    with studio.transaction() as connection:
        others = [one for one in live_orders(connection, subject_id, studio.keys.trusted, _now()) if one != order_id]
    if not others:
        erase_everything(studio, subject_id, reason=reason)
        return
    counts = {shelf.name: sum(shelf.erase(subject_id, [order_id]).values()) for shelf in shelves_of(studio)}
    with studio.transaction() as connection:
        append(
            connection,
            AuditEvent(
                type="order.erased",
                actor=Actor(kind="service", id="consent-watch"),
                at=_now(),
                order=order_id,
                subject=subject_id,
                reason_code=audit_word(reason),
                data={**counts, "orders_that_keep_the_key": len(others)},
            ),
        )
