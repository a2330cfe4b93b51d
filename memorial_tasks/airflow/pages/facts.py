"""What the pages say, read from the registry. Order ids and words of the house only; no names, no file names."""

from datetime import timedelta
from typing import Any

from memorial_tasks.database import registry
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import MemorialError
from memorial_tasks.production.batch import at_risk, summary
from memorial_tasks.production.orders import next_action
from memorial_tasks.production.review import open_point
from memorial_tasks.production.studio import Studio, now

# A person has to do something about these; the rest waits for the next batch or is over.
STOPPED = (OrderState.REFUSED, OrderState.BLOCKED, OrderState.REJECTED, OrderState.FAILED, OrderState.FROZEN)
MOST = 1000


def order_line(row: OrderRow) -> dict[str, Any]:
    """One order as the lists show it."""
    point = open_point(row)
    return {
        "order": row.order_id,
        "state": str(row.state),
        "stage": row.stage,
        "at": point.name if point else "",
        "reason": row.reason,
        "next": next_action(row.order_id, row.state, row.reason_code),
        "promised": row.promised.isoformat() if row.promised else "",
        "since": _ago(now() - row.updated_at),
        "run_id": row.run_id or "",
    }


def _ago(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


def waiting(studio: Studio) -> dict[str, Any]:
    """What waits for a person: reviews, stopped orders, promised dates at risk, and how the last night ended."""
    with studio.transaction() as connection:
        reviews = registry.list_orders(connection, states=[OrderState.IN_REVIEW], limit=MOST)
        stopped = registry.list_orders(connection, states=STOPPED, limit=MOST)
    try:
        night: dict[str, Any] | None = summary(studio)
    except MemorialError:
        night = None
    return {
        "reviews": [order_line(row) for row in reviews],
        "stopped": [order_line(row) for row in stopped],
        "late": [order_line(row) for row in at_risk(studio, studio.settings.promise_days)],
        "night": night,
    }


def orders(studio: Studio, state: str = "") -> list[dict[str, Any]]:
    """Orders by priority, promised date and age; of one state where one is named."""
    states = [OrderState(state)] if state in set(OrderState) else None
    with studio.transaction() as connection:
        rows = registry.list_orders(connection, states=states, limit=MOST)
    return [order_line(row) for row in rows]


def order(studio: Studio, order_id: str) -> dict[str, Any]:
    """Everything about one order that is no secret of the family."""
    with studio.transaction() as connection:
        row = studio.order(connection, order_id)
        steps = registry.list_steps(connection, order_id)
        reviews = registry.list_reviews(connection, order_id)
        deliveries = registry.list_deliveries(connection, order_id)
        materials = registry.list_materials(connection, order_id)
    kinds: dict[str, int] = {}
    for material in materials:
        kinds[str(material.kind)] = kinds.get(str(material.kind), 0) + 1
    return order_line(row) | {
        "purpose": str(row.purpose),
        "language": row.language,
        "reason_code": row.reason_code,
        "created": f"{row.created_at:%Y-%m-%d %H:%M}",
        "materials": kinds,
        "revisions": row.revisions,
        "steps": steps,
        "reviews": reviews,
        "deliveries": deliveries,
        "minutes": round(sum(step.wall_s or 0 for step in steps) / 60, 1),
        "gpu_minutes": round(sum(step.gpu_minutes or 0 for step in steps), 1),
        "task": row.stage if row.state is OrderState.IN_REVIEW else "",
    }


def order_of_run(studio: Studio, run_id: str) -> str:
    """The order a run works on; `MemorialError` when no order names this run."""
    order_id = run_id.rpartition("--")[0]
    with studio.transaction() as connection:
        if order_id:
            return studio.order(connection, order_id).order_id
        found = [row for row in registry.list_orders(connection, limit=100_000) if row.run_id == run_id]
    if not found:
        raise MemorialError("no order belongs to this run", where="run", remedy="see the list of orders")
    return found[0].order_id


def quality(studio: Studio, order_id: str) -> list[dict[str, Any]]:
    """Both gates' findings, newest results first read."""
    gates = []
    with studio.transaction() as connection:
        studio.order(connection, order_id)
        for step, title in (("quality_gate", "Material"), ("output_gate", "Film")):
            row = registry.latest_step(connection, order_id, step)
            if row is not None:
                measured = {k: v for k, v in row.metrics.items() if isinstance(v, (int, float, str, bool))}
                findings = row.metrics.get("findings", [])
                gates.append({"title": title, "findings": findings, "measured": measured, "at": row.finished_at})
    return gates


def consent(studio: Studio, order_id: str) -> dict[str, Any]:
    """May the order go on, and why: reasons and articles, no names. Reads only."""
    from memorial_tasks.consent.events import standing
    from memorial_tasks.consent.registry import decide_order
    from memorial_tasks.consent.sealing import KeyringSealer
    from memorial_tasks.production.consents import facts_of

    with studio.transaction() as connection:
        row = studio.order(connection, order_id)
        decision, found = decide_order(
            connection,
            order_id,
            studio.keys.trusted,
            KeyringSealer(studio.keyring),
            now=now(),
            purpose=row.purpose,
            facts=facts_of(studio, row),
        )
    state = standing(found.events, now())
    return {
        "order": order_id,
        "decision": decision.decision,
        "purpose": str(row.purpose),
        "until": f"{state.valid_until:%Y-%m-%d}" if state.valid_until else "",
        "objections": len(state.open_objections),
        "reasons": decision.reasons,
        "events": found.events,
    }


def consents(studio: Studio, page: int, size: int = 25) -> tuple[list[dict[str, Any]], bool]:
    """The consent of every order that is not over, a page at a time, and whether there is another page."""
    over = {OrderState.ERASED, OrderState.WITHDRAWN, OrderState.CANCELLED}
    states = [state for state in OrderState if state not in over]
    with studio.transaction() as connection:
        rows = registry.list_orders(connection, states=states, limit=(page + 1) * size + 1)
    lines = []
    for row in rows[page * size : (page + 1) * size]:
        try:
            lines.append(consent(studio, row.order_id))
        except MemorialError as error:
            lines.append({"order": row.order_id, "decision": "unreadable", "why": error.what, "reasons": ()})
    return lines, len(rows) > (page + 1) * size


def audit(studio: Studio, order_id: str | None = None, newest: int = 200) -> list[dict[str, Any]]:
    """The newest entries of the log, newest first, in words."""
    from memorial_tasks.audit.service import room_of
    from memorial_tasks.audit.words import EVENTS, word

    entries = room_of(studio.settings, studio.database).entries(order=order_id, newest=newest)
    return [entry | {"words": word(EVENTS, entry["type"], "en")} for entry in reversed(entries)]
