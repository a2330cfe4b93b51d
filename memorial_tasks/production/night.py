"""What a studio does on its own: watch consents, seal the audit log, start ready orders, keep retention promises."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from memorial_tasks.audit.service import room_of
from memorial_tasks.consent.erasing import erase_everything, reapply_receipts
from memorial_tasks.consent.watch import Action, ActionKind, apply, due_actions, mark_done
from memorial_tasks.database import registry
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.production.consents import require_consent
from memorial_tasks.production.orders import move, restart
from memorial_tasks.production.studio import Studio, Who, now

StopRun = Callable[[str], None]
StartRun = Callable[[str, str], None]


@dataclass
class Watched:
    """What a round of the watch did, by order id."""

    done: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def note(self, action: Action) -> None:
        """One action was carried out."""
        self.done.setdefault(str(action.kind), []).append(action.order_id)


def watch_consents(studio: Studio, stop_run: StopRun) -> Watched:
    """Carry out everything that expiry, objections and withdrawals demand now.

    The registry comes first: from then on no permit lives, whatever a run still does. One order's trouble never
    keeps the others waiting; what failed is tried again at the next interval.
    """
    with studio.transaction() as connection:
        actions = due_actions(connection, now(), studio.keys.trusted)
    watched = Watched()
    for action in actions:
        try:
            with studio.transaction() as connection:
                apply(connection, action, studio.keys, now())
            if action.kind.stops_run and action.run_id:
                stop_run(action.run_id)
            if action.kind is ActionKind.ERASE:
                erase_everything(studio, action.subject_id, reason=action.reason_code.removeprefix("consent."))
            with studio.transaction() as connection:
                mark_done(connection, action)
            watched.note(action)
        except MemorialError as error:
            watched.failed[action.order_id] = str(error)
    return watched


def seal_audit(studio: Studio) -> dict[str, Any]:
    """Sign a checkpoint over everything that happened and put it outside the database.

    Raises `Unavailable` when an anchor was missed, so that somebody is told; the log itself is sealed all the same.
    """
    checkpoint, anchored = room_of(studio.settings, studio.database).checkpoint()
    if anchored.missed:
        raise Unavailable(
            f"{len(anchored.missed)} anchor(s) could not be written", where="audit", remedy="see 'memorial audit list'"
        )
    return {"size": checkpoint.size if checkpoint else None, "anchored": dict(anchored.put)}


@dataclass(frozen=True)
class Candidate:
    """An order of tonight's batch: started, or not and why."""

    order: str
    ready: bool
    reason_code: str = ""
    reason: str = ""
    next_action: str = ""


def plan_batch(studio: Studio, limit: int, who: Who) -> list[Candidate]:
    """Every submitted order, the whole batch looked at before anything is started, in the order to start them."""
    with studio.transaction() as connection:
        waiting = registry.list_orders(connection, states=[OrderState.SUBMITTED], limit=10_000)
    found: list[Candidate] = []
    for order in waiting:
        found.append(_examine(studio, order, who))
    ready = [candidate for candidate in found if candidate.ready]
    late = {candidate.order for candidate in ready[limit:]}
    return [
        Candidate(c.order, False, "batch.capacity", "no capacity left tonight", "starts in the next batch")
        if c.order in late
        else c
        for c in found
    ]


def _examine(studio: Studio, order: OrderRow, who: Who) -> Candidate:
    try:
        require_consent(studio, order.order_id, who)
    except MemorialError as error:
        return Candidate(
            order.order_id, False, "consent.refused", error.what, f"memorial consent show {order.order_id}"
        )
    missing = _lost_material(studio, order)
    if missing:
        action = "restore the vault, or ask the family again"
        return Candidate(order.order_id, False, "material.lost", f"{missing} files are not in the vault", action)
    return Candidate(order.order_id, True)


def _lost_material(studio: Studio, order: OrderRow) -> int:
    with studio.transaction() as connection:
        materials = registry.list_materials(connection, order.order_id)
    return sum(not studio.store.exists(material.uri) for material in materials)


def start_batch(studio: Studio, candidates: list[Candidate], start_run: StartRun, who: Who) -> list[Candidate]:
    """Start a run for every ready order; the failure of one isolates that one. Starting twice starts nothing twice."""
    done: list[Candidate] = []
    for candidate in candidates:
        if not candidate.ready:
            done.append(candidate)
            continue
        try:
            start_run(candidate.order, restart(studio, candidate.order, who))
            done.append(candidate)
        except MemorialError as error:
            done.append(Candidate(candidate.order, False, "batch.start", error.what, error.remedy))
    return done


def keep_promises(studio: Studio, who: Who) -> dict[str, Any]:
    """Retention: everything erased stays erased, also after a restore; runs whose worker vanished are named."""
    back = reapply_receipts(studio)
    return {"erased_again": len(back)}


def fail_lost_runs(studio: Studio, ended: Callable[[str], bool], who: Who) -> list[str]:
    """Mark orders failed that stand `running` although their run is over: its worker died without a word."""
    with studio.transaction() as connection:
        running = registry.list_orders(connection, states=[OrderState.RUNNING], limit=10_000)
    lost = []
    for order in running:
        if order.run_id and ended(order.run_id):
            reason = "the run ended without finishing the order; run it again"
            if move(studio, order.order_id, OrderState.FAILED, who, reason_code="run.lost", reason=reason):
                lost.append(order.order_id)
    return lost
