"""The registry: orders and everything that hangs on them, as plain functions over a connection.

Each function takes a connection and never commits, so that the audit entry of an act goes into the same
transaction: ``with transaction(url) as connection: record_review(connection, ...); append(connection, event)``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.domain.job import ArtifactRef, Result
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import MaterialKind, OrderState, Purpose
from memorial_tasks.errors import InputRefused, IntegrityError, Problem


@dataclass(frozen=True)
class NewOrder:
    """What is stored of an order at intake. `sealed_document` is the order as given, sealed under the subject's key."""

    order_id: str
    subject_id: str
    purpose: Purpose
    language: str
    jurisdictions: tuple[str, ...]
    sealed_document: bytes = field(repr=False)
    document_sha256: str
    script_sha256: str
    deliver: Mapping[str, Any] = field(default_factory=dict)
    consent_id: str | None = None
    priority: int = 0
    promised: date | None = None


@dataclass(frozen=True)
class OrderRow:
    """An order as the registry knows it."""

    order_id: str
    subject_id: str
    state: OrderState
    reason_code: str
    reason: str
    purpose: Purpose
    language: str
    jurisdictions: tuple[str, ...]
    priority: int
    promised: date | None
    sealed_document: bytes | None = field(repr=False)
    document_sha256: str
    script_sha256: str
    deliver: dict[str, Any]
    consent_id: str | None
    run_id: str | None
    film_uri: str | None
    created_at: datetime
    updated_at: datetime
    stage: str = ""  # the task in which the order stopped
    revisions: dict[str, int] = field(default_factory=dict)  # step -> how often a rejection gave it a new seed


@dataclass(frozen=True)
class MaterialRow:
    """One stored original. `sealed_name` is the family's file name under the subject's key."""

    order_id: str
    material_id: str
    kind: MaterialKind
    uri: str
    sha256: str
    size: int
    media_type: str
    sealed_name: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StepRunRow:
    """One step of one order under one result key; a retry is the same row with one attempt more."""

    order_id: str
    step: str
    result_key: str
    state: str  # running, done, failed
    code_version: str
    params: dict[str, Any]
    inputs: tuple[ArtifactRef, ...]
    outputs: tuple[ArtifactRef, ...]
    metrics: dict[str, Any]
    reason_code: str
    started_at: datetime
    finished_at: datetime | None
    attempts: int
    wall_s: float | None
    peak_memory_mb: float | None
    gpu: str
    gpu_minutes: float
    gpu_driver: str = ""
    cost: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True)
class ReviewRow:
    """A human decision. `digest` is the sha256 of exactly what was judged, `causes` say why it was rejected."""

    order_id: str
    review_id: str
    subject_matter: str
    digest: str | None
    decision: str
    reviewer: str
    reason: str
    decided_at: datetime
    causes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DeliveryRow:
    """A film handed to somebody. `recipient_ref` is a keyed commitment, never an address."""

    order_id: str
    delivery_id: str
    film_sha256: str
    target: str
    recipient_ref: str
    delivered_at: datetime
    revoked_at: datetime | None
    place: str = ""  # the film's address there
    objects: list[dict[str, Any]] = field(default_factory=list)  # name, size, sha256 and version of everything there
    consent_version: int = 0  # under which it was delivered


@dataclass(frozen=True)
class PermitRow:
    """An issued permit."""

    permit_id: str
    order_id: str
    consent_id: str
    consent_version: int
    claims: dict[str, Any]
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


# --- subjects ---------------------------------------------------------------------------------------------


def add_subject(connection: Connection, subject_id: str) -> None:
    """Registers a subject's pseudonym; nothing happens when it is known."""
    execute(connection, "INSERT INTO subject (subject_id) VALUES (%s) ON CONFLICT DO NOTHING", (subject_id,))


def mark_erased(connection: Connection, subject_id: str) -> int:
    """After the subject's key was destroyed: drops every sealed column, sets all its orders to `erased` and
    returns their number. What stays is what the law lets a studio keep: ids, digests, decisions, times."""
    execute(connection, "UPDATE subject SET erased_at = coalesce(erased_at, clock_timestamp()) WHERE subject_id = %s",
            (subject_id,))  # fmt: skip
    execute(
        connection,
        "UPDATE material SET sealed_name = NULL WHERE order_id IN (SELECT order_id FROM orders WHERE subject_id = %s)",
        (subject_id,),
    )
    return execute(
        connection,
        "UPDATE orders SET sealed_document = NULL, state = 'erased', reason_code = 'erased', reason = '',"
        " film_uri = NULL, updated_at = clock_timestamp() WHERE subject_id = %s",
        (subject_id,),
    )


# --- orders -----------------------------------------------------------------------------------------------


def create_order(connection: Connection, order: NewOrder) -> None:
    """Stores a new order in state `submitted`, and its subject when it is new.

    Raises:
        InputRefused: the order id is already used (also by an erased order: ids are never given twice).
    """
    add_subject(connection, order.subject_id)
    stored = execute(
        connection,
        "INSERT INTO orders (order_id, subject_id, purpose, language, jurisdictions, priority, promised,"
        " sealed_document, document_sha256, script_sha256, deliver, consent_id)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (order_id) DO NOTHING",
        (
            order.order_id, order.subject_id, order.purpose.value, order.language, list(order.jurisdictions),
            order.priority, order.promised, order.sealed_document, order.document_sha256, order.script_sha256,
            Json(dict(order.deliver)), order.consent_id,
        ),
    )  # fmt: skip
    if stored == 0:
        raise InputRefused(
            [Problem("order.id_used", "this order id is already used", "choose another id", field="order")]
        )


def order_exists(connection: Connection, order_id: str) -> bool:
    """True when the id was ever used."""
    return one(connection, "SELECT 1 AS found FROM orders WHERE order_id = %s", (order_id,)) is not None


def get_order(connection: Connection, order_id: str, *, lock: bool = False) -> OrderRow | None:
    """The order, or None. `lock` holds it against every other transaction until this one ends."""
    statement = "SELECT * FROM orders WHERE order_id = %s"
    row = one(connection, statement + " FOR UPDATE" if lock else statement, (order_id,))
    return None if row is None else _order(row)


def list_orders(
    connection: Connection,
    *,
    states: Iterable[OrderState] | None = None,
    subject_id: str | None = None,
    limit: int = 1000,
) -> list[OrderRow]:
    """Orders by priority, then by promised date, then by age."""
    wanted = None if states is None else [state.value for state in states]
    found = rows(
        connection,
        "SELECT * FROM orders WHERE (%(states)s::text[] IS NULL OR state = ANY(%(states)s))"
        " AND (%(subject)s::text IS NULL OR subject_id = %(subject)s)"
        " ORDER BY priority DESC, promised NULLS LAST, created_at, order_id LIMIT %(limit)s",
        {"states": wanted, "subject": subject_id, "limit": limit},
    )
    return [_order(row) for row in found]


def set_state(
    connection: Connection,
    order_id: str,
    state: OrderState,
    *,
    allowed_from: Iterable[OrderState],
    reason_code: str = "",
    reason: str = "",
    stage: str = "",
) -> bool:
    """Compare-and-set: moves the order to `state` when it stands in one of `allowed_from` now, and says whether it did.
    `reason` is one sentence without personal data, `stage` the task in which the order stopped."""
    changed = execute(
        connection,
        "UPDATE orders SET state = %s, reason_code = %s, reason = %s, stage = %s, updated_at = clock_timestamp()"
        " WHERE order_id = %s AND state = ANY(%s)",
        (state.value, reason_code, reason, stage, order_id, [one_state.value for one_state in allowed_from]),
    )
    return changed == 1


def set_run(connection: Connection, order_id: str, run_id: str) -> None:
    """Remembers which DAG run works on the order."""
    _must_exist(execute(connection, "UPDATE orders SET run_id = %s WHERE order_id = %s", (run_id, order_id)), order_id)


def set_revisions(connection: Connection, order_id: str, revisions: Mapping[str, int]) -> None:
    """Remembers which steps are to be done otherwise than before: each number is part of its step's seed."""
    changed = execute(
        connection, "UPDATE orders SET revisions = %s WHERE order_id = %s", (Json(dict(revisions)), order_id)
    )
    _must_exist(changed, order_id)


def set_script(connection: Connection, order_id: str, script_sha256: str) -> None:
    """Remembers the digest of the script in force. Consent to it is another matter."""
    changed = execute(connection, "UPDATE orders SET script_sha256 = %s WHERE order_id = %s", (script_sha256, order_id))
    _must_exist(changed, order_id)


def set_consent(connection: Connection, order_id: str, consent_id: str) -> None:
    """Binds the order to its consent record."""
    changed = execute(connection, "UPDATE orders SET consent_id = %s WHERE order_id = %s", (consent_id, order_id))
    _must_exist(changed, order_id)


def set_film(connection: Connection, order_id: str, film_uri: str | None) -> None:
    """Remembers where the delivered film lies; None takes it back."""
    _must_exist(
        execute(connection, "UPDATE orders SET film_uri = %s WHERE order_id = %s", (film_uri, order_id)), order_id
    )


# --- materials --------------------------------------------------------------------------------------------


def add_material(connection: Connection, material: MaterialRow) -> None:
    """Registers one stored original."""
    execute(
        connection,
        "INSERT INTO material (order_id, material_id, kind, uri, sha256, size, media_type, sealed_name)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            material.order_id, material.material_id, material.kind.value, material.uri, material.sha256, material.size,
            material.media_type, material.sealed_name,
        ),
    )  # fmt: skip


def replace_material(connection: Connection, material: MaterialRow) -> None:
    """Points a document of the order to another object; what was made of the old one keeps naming that."""
    changed = execute(
        connection,
        "UPDATE material SET uri = %s, sha256 = %s, size = %s WHERE order_id = %s AND material_id = %s",
        (material.uri, material.sha256, material.size, material.order_id, material.material_id),
    )
    _must_exist(changed, material.order_id)


def list_materials(connection: Connection, order_id: str) -> list[MaterialRow]:
    """All originals of an order, by kind and id."""
    found = rows(connection, "SELECT * FROM material WHERE order_id = %s ORDER BY kind, material_id", (order_id,))
    return [MaterialRow(**{**row, "kind": MaterialKind(row["kind"])}) for row in found]


# --- steps ------------------------------------------------------------------------------------------------


def start_step(
    connection: Connection,
    order_id: str,
    step: str,
    result_key: str,
    *,
    code_version: str,
    params: Mapping[str, Any],
    inputs: Sequence[ArtifactRef],
) -> StepRunRow:
    """Opens the step's row, or takes up the one of an earlier attempt. A finished row is returned as it is
    (`state` ``done``): the caller then has its result and computes nothing."""
    execute(
        connection,
        "INSERT INTO step_run (order_id, step, result_key, code_version, params, inputs)"
        " VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (order_id, step, result_key) DO UPDATE SET attempts = step_run.attempts + 1, state = 'running',"
        " reason_code = '', started_at = clock_timestamp(), finished_at = NULL WHERE step_run.state <> 'done'",
        (order_id, step, result_key, code_version, Json(dict(params)), Json(_dump(inputs))),
    )
    found = find_step(connection, order_id, step, result_key)
    if found is None:
        raise IntegrityError("a step row vanished while it was written", where=step, remedy="call the engineer")
    return found


def finish_step(connection: Connection, result: Result, *, cost: Decimal | None = None, currency: str = "") -> bool:
    """Stores a step's result; False when the row was finished before (its result then stands)."""
    return (
        execute(
            connection,
            "UPDATE step_run SET state = 'done', reason_code = '', outputs = %s, metrics = %s,"
            " started_at = %s, finished_at = %s, wall_s = %s, peak_memory_mb = %s, gpu = %s, gpu_minutes = %s,"
            " gpu_driver = %s, cost = %s, currency = %s"
            " WHERE order_id = %s AND step = %s AND result_key = %s AND state <> 'done'",
            (
                Json(_dump(result.outputs)), Json(result.metrics), result.started_at, result.finished_at, result.wall_s,
                result.peak_memory_mb, result.gpu, result.gpu_minutes,
                result.gpu_driver, cost, currency, result.order, result.step, result.result_key,
            ),
        )
        == 1
    )  # fmt: skip


def fail_step(connection: Connection, order_id: str, step: str, result_key: str, reason_code: str) -> None:
    """Marks an attempt as failed."""
    execute(
        connection,
        "UPDATE step_run SET state = 'failed', reason_code = %s, finished_at = clock_timestamp()"
        " WHERE order_id = %s AND step = %s AND result_key = %s AND state = 'running'",
        (reason_code, order_id, step, result_key),
    )


def find_step(connection: Connection, order_id: str, step: str, result_key: str) -> StepRunRow | None:
    """The step's row under this result key, whatever its state."""
    row = one(
        connection,
        "SELECT * FROM step_run WHERE order_id = %s AND step = %s AND result_key = %s",
        (order_id, step, result_key),
    )
    return None if row is None else _step(row)


def latest_step(connection: Connection, order_id: str, step: str) -> StepRunRow | None:
    """The newest finished run of a step: what later steps build on."""
    row = one(
        connection,
        "SELECT * FROM step_run WHERE order_id = %s AND step = %s AND state = 'done' ORDER BY finished_at DESC LIMIT 1",
        (order_id, step),
    )
    return None if row is None else _step(row)


def list_steps(connection: Connection, order_id: str) -> list[StepRunRow]:
    """Every step run of an order, by start."""
    found = rows(connection, "SELECT * FROM step_run WHERE order_id = %s ORDER BY started_at, step", (order_id,))
    return [_step(row) for row in found]


# --- decisions and deliveries -----------------------------------------------------------------------------


def record_review(
    connection: Connection,
    order_id: str,
    review_id: str,
    *,
    subject_matter: str,
    decision: str,
    reviewer: str,
    digest: str | None = None,
    reason: str = "",
    causes: Sequence[str] = (),
) -> bool:
    """Stores a human decision. False when this review was decided before: the first decision stands."""
    return (
        execute(
            connection,
            "INSERT INTO review (order_id, review_id, subject_matter, digest, decision, reviewer, reason, causes)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (order_id, review_id) DO NOTHING",
            (order_id, review_id, subject_matter, digest, decision, reviewer, reason, list(causes)),
        )
        == 1
    )


def list_reviews(connection: Connection, order_id: str) -> list[ReviewRow]:
    """Every decision about an order, by time."""
    found = rows(connection, "SELECT * FROM review WHERE order_id = %s ORDER BY decided_at", (order_id,))
    return [ReviewRow(**row) for row in found]


def approvers(connection: Connection, order_id: str, subject_matter: str, digest: str) -> list[str]:
    """Who approved exactly this (`subject_matter` is film, voice, still or script), each name once, by time. A later
    rejection of the same thing takes every approval before it back."""
    found = rows(
        connection,
        "SELECT reviewer, decision FROM review WHERE order_id = %s AND subject_matter = %s AND digest = %s"
        " ORDER BY decided_at",
        (order_id, subject_matter, digest),
    )
    names: dict[str, None] = {}
    for row in found:
        if row["decision"] == "approved":
            names[row["reviewer"]] = None
        else:
            names.clear()
    return list(names)


def record_delivery(
    connection: Connection,
    order_id: str,
    delivery_id: str,
    *,
    film_sha256: str,
    target: str,
    recipient_ref: str = "",
    place: str = "",
    objects: Sequence[Mapping[str, Any]] = (),
    consent_version: int = 0,
) -> bool:
    """Stores a delivery. False when this film already went to this target: it must not be sent again."""
    return (
        execute(
            connection,
            "INSERT INTO delivery (order_id, delivery_id, film_sha256, target, recipient_ref, place, objects,"
            " consent_version) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                order_id, delivery_id, film_sha256, target, recipient_ref, place, Json([dict(o) for o in objects]),
                consent_version,
            ),
        )
        == 1
    )  # fmt: skip


def renew_delivery(
    connection: Connection,
    order_id: str,
    *,
    film_sha256: str,
    target: str,
    place: str,
    objects: Sequence[Mapping[str, Any]],
    consent_version: int,
) -> bool:
    """Brings a known delivery up to date; True when it had been revoked and is live again."""
    row = one(
        connection,
        "SELECT revoked_at FROM delivery WHERE order_id = %s AND film_sha256 = %s AND target = %s FOR UPDATE",
        (order_id, film_sha256, target),
    )
    execute(
        connection,
        "UPDATE delivery SET revoked_at = NULL, place = %s, objects = %s, consent_version = %s"
        " WHERE order_id = %s AND film_sha256 = %s AND target = %s",
        (place, Json([dict(o) for o in objects]), consent_version, order_id, film_sha256, target),
    )
    return row is not None and row["revoked_at"] is not None


def revoke_deliveries(connection: Connection, order_id: str) -> int:
    """Marks every delivery of an order as revoked and returns how many were live."""
    return execute(
        connection,
        "UPDATE delivery SET revoked_at = clock_timestamp() WHERE order_id = %s AND revoked_at IS NULL",
        (order_id,),
    )


def list_deliveries(connection: Connection, order_id: str) -> list[DeliveryRow]:
    """Every delivery of an order, by time."""
    found = rows(connection, "SELECT * FROM delivery WHERE order_id = %s ORDER BY delivered_at", (order_id,))
    return [DeliveryRow(**row) for row in found]


# --- permits ----------------------------------------------------------------------------------------------


def record_permit(connection: Connection, permit: Permit) -> None:
    """Stores an issued permit."""
    execute(
        connection,
        "INSERT INTO permit (permit_id, order_id, consent_id, consent_version, claims, issued_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            permit.permit_id, permit.order, permit.consent_id, permit.consent_version,
            Json(permit.model_dump(mode="json")), permit.issued_at, permit.expires_at,
        ),
    )  # fmt: skip


def get_permit(connection: Connection, permit_id: str) -> PermitRow | None:
    """The permit, or None."""
    row = one(connection, "SELECT * FROM permit WHERE permit_id = %s", (permit_id,))
    return None if row is None else PermitRow(**row)


def revoke_permits(connection: Connection, order_id: str) -> int:
    """Revokes every live permit of an order and returns how many there were."""
    return execute(
        connection,
        "UPDATE permit SET revoked_at = clock_timestamp() WHERE order_id = %s AND revoked_at IS NULL",
        (order_id,),
    )


def record_key_release(connection: Connection, permit_id: str, order_id: str, step: str) -> None:
    """Remembers that the subject's key was handed to one step."""
    execute(
        connection,
        "INSERT INTO key_release (permit_id, order_id, step) VALUES (%s, %s, %s)",
        (permit_id, order_id, step),
    )


# --- rows to records --------------------------------------------------------------------------------------


def _must_exist(changed: int, order_id: str) -> None:
    if changed != 1:
        raise IntegrityError("the registry has no such order", where=order_id, remedy="check the id")


def _dump(references: Sequence[ArtifactRef]) -> list[dict[str, Any]]:
    return [reference.model_dump(mode="json") for reference in references]


def _order(row: dict[str, Any]) -> OrderRow:
    return OrderRow(
        **{
            **row,
            "state": OrderState(row["state"]),
            "purpose": Purpose(row["purpose"]),
            "jurisdictions": tuple(row["jurisdictions"]),
        }
    )


def _step(row: dict[str, Any]) -> StepRunRow:
    return StepRunRow(
        **{
            **row,
            "inputs": tuple(ArtifactRef(**reference) for reference in row["inputs"]),
            "outputs": tuple(ArtifactRef(**reference) for reference in row["outputs"]),
        }
    )
