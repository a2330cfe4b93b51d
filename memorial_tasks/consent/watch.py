"""What the clock, objections and withdrawals demand of orders now. The DAG `memorial_consent_watch` carries it out.

`due_actions` reads every order that still has something to lose in one query, verifies its history and derives what is
due. `apply` makes an action true in the registry (idempotent, one transaction); stopping the run in Airflow, closing
links outside and erasing are done by the caller, who then calls `mark_done`. A crash in between repeats the action at
the next interval; nothing is done twice that hurts, and nothing is forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from psycopg2.extensions import connection as Connection

from memorial_tasks.consent.acts import ERASURE_GRACE, freeze_order, schedule_erasure, stop_order, thaw_order
from memorial_tasks.consent.events import ConsentEvent, EventType, Standing, State, standing
from memorial_tasks.consent.keys import ConsentKeys
from memorial_tasks.consent.registry import Trusted, append_event, verify_chain
from memorial_tasks.database.connection import execute, rows
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import IntegrityError


class ActionKind(StrEnum):
    """What can be due. All but `thaw` and `erase` stop the order's run."""

    FREEZE = "freeze"  # an objection is open
    THAW = "thaw"  # it was decided, work may go on
    EXPIRE = "expire"  # the consent's time is over
    HALT = "halt"  # withdrawn, revoked, invalidated, refused, upheld, tampered with
    ERASE = "erase"  # the time between withdrawal and destruction is over

    @property
    def stops_run(self) -> bool:
        """True when the order's run in Airflow has to be stopped."""
        return self in {ActionKind.FREEZE, ActionKind.EXPIRE, ActionKind.HALT}


@dataclass(frozen=True)
class Action:
    """One thing to do for one order. `reason_code` is a machine word for registry and audit log."""

    order_id: str
    subject_id: str
    kind: ActionKind
    reason_code: str
    fence: int
    run_id: str | None = None
    since: datetime | None = None


_QUERY = """
SELECT e.order_id, o.subject_id, o.state, o.run_id, e.body, e.signature, e.kid,
       ARRAY(SELECT a.kind || ' ' || a.fence FROM consent_action a WHERE a.order_id = e.order_id) AS done
FROM consent_event e JOIN orders o USING (order_id) JOIN subject s USING (subject_id)
WHERE s.erased_at IS NULL AND (%(orders)s::text[] IS NULL OR e.order_id = ANY(%(orders)s))
ORDER BY e.order_id, e.seq
"""
_REASONS = {
    State.WITHDRAWN: "consent.withdrawn",
    State.REVOKED: "consent.revoked",
    State.INVALIDATED: "consent.invalidated",
    State.REFUSED: "consent.refused",
}


def due_actions(
    connection: Connection, now: datetime, trusted: Trusted | None = None, orders: Sequence[str] | None = None
) -> list[Action]:
    """Everything that is due at `now`, in order of order id. Writes nothing.

    Args:
        trusted: the registrar's public keys; with them every signature is checked, and an order whose history was
            tampered with is halted instead of believed.
        orders: only these.
    """
    wanted = list(orders) if orders is not None else None
    found = rows(connection, _QUERY, {"orders": wanted})
    actions: list[Action] = []
    for order_id, group in groupby(found, key=lambda row: row["order_id"]):
        actions += _due(order_id, list(group), now, trusted)
    return actions


def _due(order_id: str, group: list[dict[str, Any]], now: datetime, trusted: Trusted | None) -> Iterable[Action]:
    first = group[0]
    done = set(first["done"])

    def action(kind: ActionKind, code: str, fence: int, since: datetime | None = None) -> list[Action]:
        if f"{kind.value} {fence}" in done:
            return []
        return [Action(order_id, first["subject_id"], kind, code, fence, first["run_id"], since)]

    try:
        events = verify_chain(order_id, [(row["body"], row["signature"], row["kid"]) for row in group], trusted)
    except IntegrityError:
        return action(ActionKind.HALT, "consent.tampered", 0)
    state = standing(events, now)
    halting = [*_halting(state, events, action), *_erasing(state, events, now, action)]
    if halting or state.state is not State.GIVEN:
        return halting
    frozen = first["state"] == OrderState.FROZEN.value
    return action(ActionKind.THAW, "consent.thawed", state.fence) if frozen else []


def _halting(state: Standing, events: Sequence[ConsentEvent], action: Any) -> list[Action]:
    if state.state in _REASONS:
        since = state.ending.at if state.ending else None
        return list(action(ActionKind.HALT, _REASONS[state.state], state.fence, since))
    if state.state is State.EXPIRED:
        return list(action(ActionKind.EXPIRE, "consent.expired", state.fence, state.valid_until))
    if state.state is State.FROZEN:
        return list(action(ActionKind.FREEZE, "consent.objection", state.fence, state.open_objections[0].at))
    return []


def _erasing(state: Standing, events: Sequence[ConsentEvent], now: datetime, action: Any) -> list[Action]:
    """Erasure is due when scheduled and its time has come, and at once when a crash left it half recorded."""
    if state.state is State.ERASED:
        return list(action(ActionKind.ERASE, "consent.erased", state.fence))
    planned = [e for e in events if e.type is EventType.ERASURE_SCHEDULED and e.version == state.version]
    if planned and planned[-1].valid_from is not None and planned[-1].valid_from <= now:
        return list(action(ActionKind.ERASE, "consent.erasure_due", state.fence, planned[-1].valid_from))
    return []


def apply(connection: Connection, action: Action, keys: ConsentKeys, now: datetime) -> None:
    """Makes the action true in the registry: event, dead permits, closed links, the order's state. Does not commit,
    does not stop the run, does not erase."""
    code = action.reason_code
    if action.kind is ActionKind.FREEZE:
        freeze_order(connection, action.order_id, code)
    elif action.kind is ActionKind.THAW:
        thaw_order(connection, action.order_id)
    elif action.kind is ActionKind.EXPIRE:
        _expire(connection, action, keys, now)
    elif action.kind is ActionKind.HALT:
        ended = code in {"consent.withdrawn", "consent.revoked", "consent.invalidated"}
        state = OrderState.WITHDRAWN if ended else OrderState.REFUSED
        stop_order(connection, action.order_id, state, code, "Consent does not cover this order any more.")


def _expire(connection: Connection, action: Action, keys: ConsentKeys, now: datetime) -> None:
    found = rows(
        connection,
        "SELECT body, signature, kid FROM consent_event WHERE order_id = %s ORDER BY seq",
        (action.order_id,),
    )
    events = verify_chain(action.order_id, [(row["body"], row["signature"], row["kid"]) for row in found], keys.trusted)
    version = events[-1].version
    if not any(event.type is EventType.EXPIRED and event.version == version for event in events):
        append_event(
            connection,
            action.order_id,
            EventType.EXPIRED,
            keys,
            actor_kind="system",
            actor="consent-watch",
            now=now,
            code="expired",
        )
        # The model and the material go when the consent is over; a renewal within the grace time keeps them.
        schedule_erasure(connection, action.order_id, keys, due=now + ERASURE_GRACE, now=now, actor="consent-watch")
    stop_order(connection, action.order_id, OrderState.REFUSED, action.reason_code, "The consent has expired.")


def mark_done(connection: Connection, action: Action) -> None:
    """Notes that an action was carried out completely, so that the next interval does not repeat it. Expiring itself
    raised the fence, so the newest one is noted with it."""
    execute(
        connection,
        "INSERT INTO consent_action (order_id, fence, kind)"
        " SELECT %(order)s, n, %(kind)s FROM (SELECT %(fence)s::integer AS n"
        " UNION SELECT fence FROM consent_event WHERE %(own)s AND order_id = %(order)s"
        " AND seq = (SELECT max(seq) FROM consent_event WHERE order_id = %(order)s)) fences ON CONFLICT DO NOTHING",
        {
            "order": action.order_id,
            "kind": action.kind.value,
            "fence": action.fence,
            "own": action.kind is ActionKind.EXPIRE,
        },
    )
