"""Moving an order on: states, gates, review, delivery, close. Each act once, however often it is called."""

import os
import secrets
import shutil
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any

from memorial_tasks.consent.registry import publish_allowed
from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow, StepRunRow
from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import OrderState, Severity
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, QualityRefused
from memorial_tasks.production.consents import permit_for, release_key, require_consent
from memorial_tasks.production.steps import current_result, reason_code
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.vault.store import EncryptedStore

OPEN = (OrderState.SUBMITTED, OrderState.RUNNING, OrderState.IN_REVIEW)
# A run may be started anew on these: whatever stopped the order was mended by a person.
RESTARTABLE = (
    OrderState.SUBMITTED,
    OrderState.FAILED,
    OrderState.BLOCKED,
    OrderState.REFUSED,
    OrderState.REJECTED,
    OrderState.CANCELLED,
)
FILM_STEP = "seal"


def move(
    studio: Studio,
    order_id: str,
    state: OrderState,
    who: Who,
    *,
    allowed_from: tuple[OrderState, ...] = OPEN,
    reason_code: str = "",
    reason: str = "",
) -> bool:
    """Compare-and-set of the order's state with its audit entry; False when it stood elsewhere."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        if order.state is state and order.reason_code == reason_code:
            return False
        changed = registry.set_state(
            connection, order_id, state, allowed_from=allowed_from, reason_code=reason_code, reason=reason
        )
        if changed:
            data = {"from": str(order.state), "to": str(state)}
            studio.audit(connection, "order.moved", who, order, reason_code=reason_code, data=data)
        return changed


def begin(studio: Studio, order_id: str, who: Who) -> None:
    """First task of a run: the order is ours, consent holds, and work may start.

    Raises `ConsentRefused` and leaves the order ``refused`` or ``frozen`` when consent does not hold.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        if order.run_id and who.run_id and order.run_id != who.run_id:
            raise ConsentRefused(
                "the order belongs to another run",
                where=order_id,
                remedy="use 'memorial order run', which names the run",
            )
        if order.state not in (*OPEN, OrderState.DELIVERED):
            raise ConsentRefused(
                f"the order is {order.state}", where=order_id, remedy="see 'memorial order show', then run it again"
            )
        if who.run_id and not order.run_id:
            registry.set_run(connection, order_id, who.run_id)  # triggered from Airflow's own form
        registry.set_state(connection, order_id, OrderState.RUNNING, allowed_from=OPEN)
        studio.audit(connection, "order.started", who, order)
    require_consent(studio, order_id, who)


def finish_with_reason(studio: Studio, order_id: str, error: BaseException, who: Who) -> OrderState:
    """End the run with the reason in the order's state; a stop by a person is never overwritten.

    A run that is not the order's own says nothing about the order.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
    if who.run_id and order.run_id and order.run_id != who.run_id:
        return order.state
    if isinstance(error, ConsentRefused):
        state = OrderState.REFUSED
    elif isinstance(error, (QualityRefused, InputRefused)):
        state = OrderState.BLOCKED
    else:
        state = OrderState.FAILED
    code = reason_code(error) if isinstance(error, MemorialError) else "step.failed"
    if isinstance(error, InputRefused):
        reason = "; ".join(f"{problem.what}: {problem.remedy}" for problem in error.problems[:5])
    else:
        reason = str(error) if isinstance(error, MemorialError) else f"unforeseen {type(error).__name__}"
    move(studio, order_id, state, who, reason_code=code, reason=reason[:500])
    return state


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


REPORT_FILES = ("report.json", "docs.tar.gz", "contact-sheet.png", "spectrogram.png")


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
        token = permit_for(studio, connection, order, "report", ())
    _, key = release_key(studio, token, order, "report", Who("service", "reports"))
    folder = studio.settings.reports_dir / order_id / step
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    vault = EncryptedStore(studio.store, key, folder)
    for artifact in row.outputs:
        if artifact.name in names:
            vault.fetch(artifact.uri, folder / artifact.name)
    docs = folder / "docs.tar.gz"
    if docs.is_file():
        with tarfile.open(docs) as archive:
            archive.extractall(folder, filter="data")
        docs.unlink()
    return folder


def export_preview(studio: Studio, order_id: str, who: Who) -> dict[str, Any]:
    """Film, contact sheet and findings for the reviewer; the look itself is audited."""
    film = export_report(studio, order_id, FILM_STEP, ("film.mp4",))
    sheet = export_report(studio, order_id, "output_gate")
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        gate_row = registry.latest_step(connection, order_id, "output_gate")
        shown = current_result(studio, connection, order, FILM_STEP) or registry.latest_step(
            connection, order_id, FILM_STEP
        )
        if shown is None:
            raise MemorialError("there is no film yet", where=order_id, remedy="run the order")
        digest = film_digest(shown)
        studio.audit(connection, "review.shown", who, order, refs={"film": digest})
    findings = gate_row.metrics.get("findings", []) if gate_row else []
    files = {path.name: str(path) for folder in (film, sheet) for path in sorted(folder.iterdir()) if path.is_file()}
    return {"order": order_id, "film_sha256": digest, "files": files, "findings": findings}


def film_of(studio: Studio, connection: Connection, order: OrderRow) -> StepRunRow:
    """The sealed film of the order as it stands; `MemorialError` when there is none."""
    row = current_result(studio, connection, order, FILM_STEP)
    if row is None:
        raise MemorialError("there is no film yet", where=order.order_id, remedy="run the order")
    return row


def film_digest(row: StepRunRow) -> str:
    """sha256 of the sealed film's bytes."""
    return next(artifact.sha256 for artifact in row.outputs if artifact.name == "film.mp4")


def open_review(studio: Studio, order_id: str, who: Who) -> str | None:
    """Put the order before a person; returns the digest of the film to be judged, None when it is approved already."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        digest = film_digest(film_of(studio, connection, order))
        if registry.approved(connection, order_id, digest):
            return None
        if registry.set_state(connection, order_id, OrderState.IN_REVIEW, allowed_from=(OrderState.RUNNING,)):
            studio.audit(connection, "review.opened", who, order, refs={"film": digest})
    return digest


def sealed_at(studio: Studio, order_id: str) -> datetime:
    """When the film that lies before the reviewer was sealed: an answer from before speaks of another film."""
    with studio.transaction() as connection:
        row = film_of(studio, connection, studio.order(connection, order_id))
    if row.finished_at is None:
        raise MemorialError("the film is not finished", where=order_id, remedy="run the order again")
    return row.finished_at


def record_decision(
    studio: Studio, order_id: str, *, approved: bool, reviewer: str | None, reason: str, review_id: str, who: Who
) -> bool:
    """Store what the reviewer decided about the film that lies before them; returns whether it is an approval.

    No responder is no approval: a time-out answers "Reject" and nobody's name stands under it.
    """
    verdict = approved and reviewer is not None
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        current = film_digest(film_of(studio, connection, order))
        fresh = registry.record_review(
            connection,
            order_id,
            review_id,
            subject_matter="film",
            decision="approved" if verdict else "rejected",
            reviewer=reviewer or "nobody",
            film_sha256=current,
            reason=reason[:500],
        )
        if fresh:
            code = "" if verdict else ("review.timeout" if reviewer is None else "review.rejected")
            studio.audit(
                connection,
                "review.decided",
                Who(
                    "person" if reviewer else "service",
                    reviewer or "timeout",
                    who.dag_id,
                    who.run_id,
                    who.task_id,
                    who.attempt,
                ),
                order,
                decision="approved" if verdict else "rejected",
                reason_code=code,
                refs={"film": current},
            )
        if not verdict:
            registry.set_state(
                connection,
                order_id,
                OrderState.REJECTED,
                allowed_from=OPEN,
                reason_code="review.rejected" if reviewer else "review.timeout",
                reason=reason[:500] or "the reviewer gave no reason",
            )
    return verdict


def require_release(studio: Studio, order_id: str, who: Who) -> str:
    """Consent and approval, read again from the registry, for exactly the film about to go out.

    Raises `ConsentRefused`. Called before delivery, because skips and "mark success" in Airflow open no gate here.
    """
    require_consent(studio, order_id, who)
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        film = film_digest(film_of(studio, connection, order))
        gate_row = current_result(studio, connection, order, "output_gate")
        if gate_row is None or gate_row.metrics.get("passed") is not True:
            raise ConsentRefused("this film did not pass the output gate", where=order_id, remedy="run the order again")
        if not registry.approved(connection, order_id, film):
            raise ConsentRefused(
                "no person has approved exactly this film", where=order_id, remedy="see 'memorial review list'"
            )
    return film


def deliver(studio: Studio, order_id: str, who: Who) -> Path:
    """Put the film where the family gets it: once, whole, and only while consent and approval hold.

    The registry's row and the order's state change in one transaction after the bytes are in place under a
    temporary name; the last rename makes the film visible. A crash before it leaves nothing; after it, everything.
    """
    film = require_release(studio, order_id, who)
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        sealed = film_of(studio, connection, order)
        package = current_result(studio, connection, order, "package")
        token = permit_for(studio, connection, order, "deliver", ())
    permit, key = release_key(studio, token, order, "deliver", who)
    folder = studio.settings.deliveries_dir / order_id
    target = folder / "film.mp4"
    artifact = next(artifact for artifact in sealed.outputs if artifact.name == "film.mp4")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    vault = EncryptedStore(studio.store, key, folder)
    temporary = folder / f".film-{secrets.token_hex(6)}.mp4"
    parcel = folder / f".parcel-{secrets.token_hex(6)}"
    try:
        for item in package.outputs if package else ():
            (parcel / item.name).parent.mkdir(parents=True, exist_ok=True)
            vault.fetch(item.uri, parcel / item.name)
        digest, _ = vault.fetch(artifact.uri, temporary)
        if digest != film:
            raise MemorialError("the film is not the approved one", where=order_id, remedy="review the film again")
        with studio.transaction() as connection:
            order = studio.order(connection, order_id, lock=True)
            if order.state not in (OrderState.IN_REVIEW, OrderState.RUNNING, OrderState.DELIVERED):
                raise ConsentRefused(f"the order is {order.state}", where=order_id, remedy="see 'memorial order show'")
            publish_allowed(connection, order_id, permit.consent_version, now(), studio.keys.trusted)
            fresh = registry.record_delivery(
                connection, order_id, f"delivery-{film[:16]}", film_sha256=film, target="local", recipient_ref=""
            )
            registry.set_film(connection, order_id, str(target))
            registry.set_state(connection, order_id, OrderState.DELIVERED, allowed_from=OPEN)
            if fresh:
                studio.audit(
                    connection,
                    "film.delivered",
                    who,
                    order,
                    decision="delivered",
                    refs={"film": film},
                    data={"target": "local"},
                )
            for made in sorted(parcel.iterdir()) if parcel.is_dir() else ():
                shutil.rmtree(folder / made.name, ignore_errors=True)
                os.replace(made, folder / made.name)
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        shutil.rmtree(parcel, ignore_errors=True)
    return target


def close(studio: Studio, order_id: str, who: Who) -> None:
    """Last task of a run: permits end, scratch goes, the trail is closed."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        revoked = registry.revoke_permits(connection, order_id)
        if revoked:
            studio.audit(connection, "order.closed", who, order, data={"permits_ended": revoked})
    shutil.rmtree(studio.settings.root / "scratch" / order_id, ignore_errors=True)


def cancel(studio: Studio, order_id: str, who: Who) -> bool:
    """Stop an order for good reasons of the studio; nothing is deleted. False when it was over already."""
    moved = move(
        studio, order_id, OrderState.CANCELLED, who, reason_code="order.cancelled", reason="cancelled by the studio"
    )
    if moved:
        with studio.transaction() as connection:
            registry.revoke_permits(connection, order_id)
    return moved


def run_number(run_id: str | None) -> int:
    """Which run of its order this is; 0 for none, or one that was triggered from Airflow's own form."""
    _, mark, number = (run_id or "").rpartition("--")
    return int(number) if mark and number.isdigit() else 0


def restart(studio: Studio, order_id: str, who: Who, *, run_ended: bool = False) -> str:
    """Make the order runnable (again) and name its run: the same id for one attempt, whoever asks and how often.

    `run_ended` says that the run the order names is over although the order does not know it (its worker died).
    A delivered order may be run again: every step finds its result, nothing is made or delivered twice.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        if order.state in (OrderState.RUNNING, OrderState.IN_REVIEW) and order.run_id and not run_ended:
            return order.run_id
        if order.state not in (*RESTARTABLE, *OPEN, OrderState.DELIVERED):
            raise ConsentRefused(
                f"the order is {order.state} and may not be run", where=order_id, remedy="see 'memorial consent show'"
            )
        number = run_number(order.run_id)
        if order.state is not OrderState.SUBMITTED or run_ended or number == 0:
            number += 1
        run_id = f"{order_id}--{number}"
        registry.set_run(connection, order_id, run_id)
        registry.set_state(connection, order_id, OrderState.SUBMITTED, allowed_from=(*RESTARTABLE, *OPEN))
        studio.audit(connection, "order.requested", who, order, data={"run": run_id})
    return run_id
