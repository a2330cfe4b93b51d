"""A night of the studio: look at the whole batch first, start what is ready as room allows, tell how each order ended.

Everything a night knows stands in the database under the night's id, so that a task that died, a second try and a
backfilled night all find the same night and start nothing twice.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from memorial_tasks.consent.registry import decide_order
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection, execute, one, rows
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.production.consents import facts_of
from memorial_tasks.production.orders import OPEN, move, next_action, restart
from memorial_tasks.production.studio import Studio, Who, now

NOT_STARTED = "not_started"
MOST = 10_000


class Runs(Protocol):
    """The orders' runs in Airflow, as much of them as a night needs."""

    def start(self, order: str, run_id: str) -> None:
        """Start the run; starting one that exists changes nothing."""

    def over(self, run_id: str) -> bool | None:
        """Whether the run is over; None when there is no such run."""


@dataclass(frozen=True)
class Candidate:
    """An order of the batch after the look at it: ready, or not and why."""

    order: str
    ready: bool
    stage: str = ""
    reason_code: str = ""
    reason: str = ""
    next_action: str = ""


def plan(studio: Studio, *, limit: int, until: datetime | None = None) -> list[Candidate]:
    """Every order that waits (and was submitted before `until`), the whole batch looked at, in the order to start them.

    Reads only: no permit is issued and no state changes, so a dry run is exactly this.
    """
    with studio.transaction() as connection:
        waiting = registry.list_orders(connection, states=[OrderState.SUBMITTED], limit=MOST)
        taken = _in_open_batches(connection)
    found = [
        _examine(studio, order)
        for order in waiting
        if order.order_id not in taken and (until is None or order.created_at <= until)
    ]
    late = {candidate.order for candidate in [one for one in found if one.ready][limit:]}
    full = ("batch.limit", "the batch's limit is reached", "starts in the next batch")
    return [Candidate(c.order, False, "batch", *full) if c.order in late else c for c in found]


def _in_open_batches(connection: Connection) -> set[str]:
    """Orders that another night, which is not over, has promised to start."""
    found = rows(
        connection,
        "SELECT o.order_id FROM batch_order o JOIN batch b USING (batch_id) WHERE b.closed_at IS NULL AND o.ready",
    )
    return {row["order_id"] for row in found}


def _examine(studio: Studio, order: OrderRow) -> Candidate:
    try:
        with studio.transaction() as connection:
            decision, _ = decide_order(
                connection,
                order.order_id,
                studio.keys.trusted,
                KeyringSealer(studio.keyring),
                now=now(),
                purpose=order.purpose,
                facts=facts_of(studio, order),
            )
    except MemorialError as error:
        if error.retryable:
            raise
        action = f"memorial consent show {order.order_id}"
        return Candidate(order.order_id, False, "check_consent", "consent.unreadable", error.what, action)
    if not decision.granted:
        first = decision.against[0]
        action = f"memorial consent show {order.order_id}"
        return Candidate(order.order_id, False, "check_consent", first.code, first.text.en, action)
    missing = _lost_material(studio, order)
    if missing:
        action = "restore the vault from its backup, or ask the family again"
        reason = f"{missing} file(s) are not in the vault"
        return Candidate(order.order_id, False, "ingest", "material.lost", reason, action)
    return Candidate(order.order_id, True)


def _lost_material(studio: Studio, order: OrderRow) -> int:
    with studio.transaction() as connection:
        materials = registry.list_materials(connection, order.order_id)
    return sum(not studio.store.exists(material.uri) for material in materials)


def open_batch(
    studio: Studio, batch_id: str, *, limit: int, who: Who, until: datetime | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Look at the whole batch and write down what was found; a night that was opened before is left as it is."""
    with studio.transaction() as connection:
        known = one(connection, "SELECT 1 AS found FROM batch WHERE batch_id = %s", (batch_id,))
    if known is None:
        _store(studio, batch_id, plan(studio, limit=limit, until=until), dry_run, who)
    return summary(studio, batch_id)


def _store(studio: Studio, batch_id: str, candidates: list[Candidate], dry_run: bool, who: Who) -> None:
    with studio.transaction() as connection:
        statement = "INSERT INTO batch (batch_id, dry_run) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        if not execute(connection, statement, (batch_id, dry_run)):
            return  # another try of this task was quicker
        for position, candidate in enumerate(candidates):
            execute(
                connection,
                "INSERT INTO batch_order (batch_id, order_id, position, ready, outcome, stage, reason_code, reason,"
                " next_action) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    batch_id, candidate.order, position, candidate.ready, "" if candidate.ready else NOT_STARTED,
                    candidate.stage, candidate.reason_code, candidate.reason, candidate.next_action,
                ),
            )  # fmt: skip
        ready = sum(candidate.ready for candidate in candidates)
        data = {"batch": batch_id, "orders": len(candidates), "ready": ready, "dry_run": dry_run}
        studio.audit(connection, "batch.opened", who, data=data)


def _members(connection: Connection, batch_id: str) -> list[dict[str, Any]]:
    """The batch's orders with what the registry says of them now, in the order to start them."""
    return rows(
        connection,
        "SELECT b.*, o.state, o.stage AS order_stage, o.reason_code AS order_code, o.reason AS order_reason,"
        " o.run_id AS order_run FROM batch_order b JOIN orders o USING (order_id) WHERE b.batch_id = %s"
        " ORDER BY b.position",
        (batch_id,),
    )


def busy(connection: Connection) -> int:
    """Orders that hold machines now: those that run, and those whose run was asked for. A review holds none."""
    found = one(
        connection,
        "SELECT count(*) AS n FROM orders o WHERE o.state = 'running' OR (o.state = 'submitted' AND EXISTS ("
        "SELECT FROM batch_order b WHERE b.order_id = o.order_id AND b.run_id = o.run_id AND b.outcome = ''))",
    )
    return int(found["n"]) if found else 0


def start_wave(studio: Studio, batch_id: str, capacity: int, runs: Runs, who: Who) -> int:
    """Start as many of the batch's ready orders as there is room for; returns how many still wait for room.

    One order's trouble is written down beside it and never keeps the others; an Airflow that does not answer ends
    the wave, and the next one goes on with the same order.
    """
    with studio.transaction() as connection:
        waiting = [row for row in _members(connection, batch_id) if not row["started_at"] and not row["outcome"]]
        free = capacity - busy(connection)
    left = len(waiting)
    for row in waiting:
        if free <= 0:
            break
        order = row["order_id"]
        if row["state"] != OrderState.SUBMITTED:  # a person started, stopped or withdrew it since the look
            _mark_started(studio, batch_id, order, row["order_run"])
            left -= 1
            continue
        try:
            known = row["order_run"]  # of an earlier attempt, say before an objection was decided
            run_id = restart(studio, order, who, run_ended=known is not None and runs.over(known) is True)
            runs.start(order, run_id)
        except Unavailable:
            break
        except MemorialError as error:
            _mark(studio, batch_id, order, NOT_STARTED, "start", "batch.start", error.what, error.remedy)
        else:
            _mark_started(studio, batch_id, order, run_id)
            free -= 1
        left -= 1
    return left


def _mark_started(studio: Studio, batch_id: str, order: str, run_id: str | None) -> None:
    with studio.transaction() as connection:
        execute(
            connection,
            "UPDATE batch_order SET started_at = clock_timestamp(), run_id = %s WHERE batch_id = %s AND order_id = %s",
            (run_id, batch_id, order),
        )


def _mark(studio: Studio, batch_id: str, order: str, *outcome: str) -> None:
    with studio.transaction() as connection:
        execute(
            connection,
            "UPDATE batch_order SET outcome = %s, stage = %s, reason_code = %s, reason = %s, next_action = %s"
            " WHERE batch_id = %s AND order_id = %s",
            (*outcome, batch_id, order),
        )


def still_working(studio: Studio, batch_id: str, runs: Runs, who: Who) -> int:
    """How many of the batch's started orders work on. One whose run is over without a word is marked as failed."""
    with studio.transaction() as connection:
        members = [row for row in _members(connection, batch_id) if row["started_at"] and not row["outcome"]]
    open_states = {OrderState.SUBMITTED, OrderState.RUNNING}
    working = 0
    for row in members:
        if row["state"] not in open_states or row["order_run"] != row["run_id"]:
            continue
        if runs.over(str(row["run_id"])) is False or not fail_lost(studio, row["order_id"], str(row["run_id"]), who):
            working += 1
    return working


def fail_lost(studio: Studio, order_id: str, run_id: str, who: Who) -> bool:
    """Mark an order failed whose run is over although the order says it works; False when it moved on meanwhile."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        if order.run_id != run_id or order.state not in OPEN:
            return False
    reason = "the run ended without finishing the order; run it again"
    return move(studio, order_id, OrderState.FAILED, who, reason_code="run.lost", reason=reason, stage="run")


def close_batch(studio: Studio, batch_id: str, who: Who) -> dict[str, Any]:
    """Write down how every order stands at the end of the night, once; returns the summary."""
    with studio.transaction() as connection:
        batch = one(connection, "SELECT * FROM batch WHERE batch_id = %s FOR UPDATE", (batch_id,))
        if batch is None:
            raise MemorialError("no such batch", where=batch_id, remedy="see 'memorial batch list'")
        if batch["closed_at"] is None:
            for row in _members(connection, batch_id):
                end = _standing(row, batch["dry_run"], over=True)
                execute(
                    connection,
                    "UPDATE batch_order SET outcome = %s, stage = %s, reason_code = %s, reason = %s, next_action = %s"
                    " WHERE batch_id = %s AND order_id = %s",
                    (
                        end["state"], end["failed_stage"], end["reason_code"], end["reason"], end["next_action"],
                        batch_id, row["order_id"],
                    ),
                )  # fmt: skip
            execute(connection, "UPDATE batch SET closed_at = clock_timestamp() WHERE batch_id = %s", (batch_id,))
            counts = _counts([_standing(row, batch["dry_run"], over=True) for row in _members(connection, batch_id)])
            studio.audit(connection, "batch.closed", who, data={"batch": batch_id} | counts)
    return summary(studio, batch_id)


def _standing(row: dict[str, Any], dry_run: bool, *, over: bool) -> dict[str, Any]:
    """One line of the summary: what was written down, or what the registry says while the night goes on."""
    if row["outcome"]:
        state, stage, code, reason, action = (
            row[name] for name in ("outcome", "stage", "reason_code", "reason", "next_action")
        )
    elif not row["started_at"] and (dry_run or not over):
        state, stage, code, reason = "ready", "", "", ""
        action = "starts when the batch is run" if dry_run else "starts when there is room"
    elif not row["started_at"]:
        state, stage, code, action = NOT_STARTED, "batch", "batch.capacity", "starts in the next batch"
        reason = "there was no room for it before the night ended"
    else:
        state, stage, code, reason = row["state"], row["order_stage"], row["order_code"], row["order_reason"]
        action = next_action(row["order_id"], OrderState(state), code)
    return {
        "order": row["order_id"],
        "state": state,
        "failed_stage": stage,
        "reason_code": code,
        "reason": reason,
        "next_action": action,
        "run_id": row["run_id"],
    }


def _counts(lines: list[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        found[line["state"]] = found.get(line["state"], 0) + 1
    return dict(sorted(found.items()))


def summary(studio: Studio, batch_id: str | None = None) -> dict[str, Any]:
    """What became of a night (None: the newest): per order its state, failed stage, reason and next action.

    Raises `MemorialError` when there is no such night.
    """
    with studio.transaction() as connection:
        batch = one(
            connection,
            "SELECT * FROM batch WHERE %(id)s::text IS NULL OR batch_id = %(id)s ORDER BY opened_at DESC LIMIT 1",
            {"id": batch_id},
        )
        if batch is None:
            raise MemorialError("no such batch", where=batch_id or "batch", remedy="see 'memorial batch list'")
        over = batch["closed_at"] is not None
        members = _members(connection, batch["batch_id"])
        lines = [_standing(row, batch["dry_run"], over=over) for row in members]
    return {
        "batch": batch["batch_id"],
        "dry_run": batch["dry_run"],
        "opened_at": batch["opened_at"].isoformat(),
        "closed_at": batch["closed_at"].isoformat() if batch["closed_at"] else None,
        "counts": _counts(lines),
        "orders": lines,
    }


def list_batches(studio: Studio, limit: int = 30) -> list[dict[str, Any]]:
    """The newest nights: when, how many orders, how many of them were started."""
    with studio.transaction() as connection:
        return rows(
            connection,
            "SELECT b.batch_id AS batch, b.dry_run, b.opened_at, b.closed_at, count(o.order_id) AS orders,"
            " count(o.started_at) AS started FROM batch b LEFT JOIN batch_order o USING (batch_id)"
            " GROUP BY b.batch_id ORDER BY b.opened_at DESC LIMIT %s",
            (limit,),
        )


def at_risk(studio: Studio, days: int) -> list[OrderRow]:
    """Orders whose promised date is `days` away or nearer, or past, and which are not delivered."""
    open_states = [state for state in OrderState if state not in _DONE]
    with studio.transaction() as connection:
        found = registry.list_orders(connection, states=open_states, limit=MOST)
    today = now().date()
    return [order for order in found if order.promised is not None and (order.promised - today).days <= days]


_DONE = {OrderState.DELIVERED, OrderState.CANCELLED, OrderState.WITHDRAWN, OrderState.ERASED}
