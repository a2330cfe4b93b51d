"""The quality gates' verdicts, and their reports as files that people can open."""

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memorial_tasks.database import registry
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import MaterialKind, Severity
from memorial_tasks.errors import MemorialError, QualityRefused
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.steps import current_result
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.vault.store import EncryptedStore

REPORT_FILES = ("report.json", "docs.tar.gz", "contact-sheet.png", "spectrogram.png")


def gate(studio: Studio, order_id: str, step: str, who: Who) -> dict[str, Any]:
    """Read a gate's report out of its result; `QualityRefused` when something is critical."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        row = current_result(studio, connection, order, step)
        if row is None:
            raise QualityRefused("the gate has no result", where=step, remedy="run the step again")
        passed = row.metrics.get("passed") is True
        findings = [Finding.model_validate(one) for one in row.metrics.get("findings", [])]
        critical = [finding.code for finding in findings if finding.severity is Severity.CRITICAL]
        kind = "gate.passed" if passed else "gate.failed"
        report = next((artifact.sha256 for artifact in row.outputs if artifact.name == "report.json"), "")
        studio.audit(
            connection,
            kind,
            who,
            order,
            decision="passed" if passed else "failed",
            reason_code=critical[0] if critical else "",
            refs={"report": report} if report else {},
            data={"gate": step, "findings": len(findings), "critical": len(critical)},
        )
    if not passed:
        raise QualityRefused(
            f"the {step.replace('_', ' ')} found: {', '.join(dict.fromkeys(critical)) or 'a critical finding'}",
            where=order_id,
            remedy="see 'memorial quality report', it says what the family could bring",
        )
    return row.metrics


def export_report(studio: Studio, order_id: str, step: str, names: tuple[str, ...] = REPORT_FILES) -> Path:
    """Put a step's report where people can open it, and return the folder.

    Reading it is a use of the order's results, so it needs a permit like every other use.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        # A report may be read after the code moved on; what is released is another matter (`require_release`).
        row = current_result(studio, connection, order, step) or registry.latest_step(connection, order_id, step)
    if row is None:
        raise MemorialError(f"{step} has no result yet", where=order_id, remedy="run the order")
    wanted = [(artifact.name, artifact.uri) for artifact in row.outputs if artifact.name in names]
    folder = _export(studio, order, step, wanted)
    docs = folder / "docs.tar.gz"
    if docs.is_file():
        with tarfile.open(docs) as archive:
            archive.extractall(folder, filter="data")
        docs.unlink()
    return folder


def export_document(studio: Studio, order_id: str, names: tuple[str, ...]) -> Path:
    """Put documents of the order (its script, its subtitles) where the reviewer can open them; returns the folder."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        materials = registry.list_materials(connection, order_id)
    kinds = (MaterialKind.DOCUMENT, MaterialKind.TRANSCRIPT)
    wanted = [(row.material_id, row.uri) for row in materials if row.kind in kinds and row.material_id in names]
    if not wanted:
        raise MemorialError("the order has no such document", where=order_id, remedy="see 'memorial order show'")
    return _export(studio, order, "script", wanted)


def _export(studio: Studio, order: OrderRow, name: str, wanted: Iterable[tuple[str, str]]) -> Path:
    """Open objects of the vault under a permit, into the order's folder of reports."""
    with studio.transaction() as connection:
        token = permit_for(studio, connection, order, "report", ())
    _, key = release_key(studio, token, order, "report", Who("service", "reports"))
    folder = studio.settings.reports_dir / order.order_id / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    vault = EncryptedStore(studio.store, key, folder)
    for artifact, uri in wanted:
        (folder / artifact).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        vault.fetch(uri, folder / artifact)
    return folder
