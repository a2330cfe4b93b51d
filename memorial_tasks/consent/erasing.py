"""Erasure in this studio: its shelves, its receipts folder, and the entry point of command and watch."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorial_tasks.consent.erasure import FolderShelf, Shelf, VaultShelf, erase_subject, reapply
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


def shelves_of(studio: "Studio") -> tuple[Shelf, ...]:
    """Every place of this studio in which something of a subject may lie.

    Data Docs and GX samples are artifacts in the vault or unpacked below the reports; Airflow holds ids only.
    """
    settings = studio.settings
    return (
        VaultShelf(studio.store),
        FolderShelf("deliveries", settings.deliveries_dir),
        FolderShelf("reports", settings.reports_dir),
        ScratchShelf(tuple(sorted({scratch_root(0), Path("/dev/shm"), Path(tempfile.gettempdir())}))),  # noqa: S108
    )


def receipts_folder(studio: "Studio") -> Path:
    """Where receipts are kept, beside the anchors of the audit log: apart from database, store and keyring."""
    return studio.settings.audit_dir / "erasures"


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
    path = receipts_folder(studio) / f"{document['receipt']['erasure']}.json"
    if not path.exists():
        write_private(path, json.dumps(document, indent=1).encode() + b"\n")
    return document, path


def reapply_receipts(studio: "Studio") -> list[str]:
    """After a restore from backup: makes every erasure in the receipts folder true again; returns what was back."""
    documents = []
    for path in sorted(receipts_folder(studio).glob("*.json")):
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
