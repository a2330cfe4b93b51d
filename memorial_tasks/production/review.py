"""Putting the film before a person, and what that person decided. An answer is bound to exactly one film."""

from datetime import datetime
from typing import Any

from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow, StepRunRow
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, MemorialError
from memorial_tasks.production.consents import require_consent
from memorial_tasks.production.gates import export_report
from memorial_tasks.production.orders import OPEN
from memorial_tasks.production.steps import current_result
from memorial_tasks.production.studio import Studio, Who

FILM_STEP = "seal"


def film_of(studio: Studio, connection: Connection, order: OrderRow) -> StepRunRow:
    """The sealed film of the order as it stands; `MemorialError` when there is none."""
    row = current_result(studio, connection, order, FILM_STEP)
    if row is None:
        raise MemorialError("there is no film yet", where=order.order_id, remedy="run the order")
    return row


def film_digest(row: StepRunRow) -> str:
    """sha256 of the sealed film's bytes."""
    return next(artifact.sha256 for artifact in row.outputs if artifact.name == "film.mp4")


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


def open_review(studio: Studio, order_id: str, who: Who) -> str | None:
    """Put the order before a person; returns the digest of the film to be judged, None when it is approved already."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        digest = film_digest(film_of(studio, connection, order))
        if registry.approvers(connection, order_id, "film", digest):
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
            digest=current,
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
        if not registry.approvers(connection, order_id, "film", film):
            raise ConsentRefused(
                "no person has approved exactly this film", where=order_id, remedy="see 'memorial review list'"
            )
    return film
