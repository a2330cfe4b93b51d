"""What a studio does on its own: watch consents, seal the audit log, keep retention promises, name lost runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from memorial_tasks.audit.service import room_of
from memorial_tasks.consent.erasing import erase_ended, reapply_receipts
from memorial_tasks.consent.watch import Action, ActionKind, apply, due_actions, mark_done
from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.production.batch import MOST, Runs, fail_lost
from memorial_tasks.production.deliveries import withdraw_deliveries
from memorial_tasks.production.studio import Studio, Who, now

StopRun = Callable[[str], None]


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
            if action.kind.stops_run:
                withdraw_deliveries(studio, action.order_id, Who("service", "consent-watch"), erase=False)
            if action.kind is ActionKind.ERASE:
                reason = action.reason_code.removeprefix("consent.")
                erase_ended(studio, action.order_id, action.subject_id, reason=reason)
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


def keep_promises(studio: Studio, who: Who) -> dict[str, Any]:
    """Retention: everything erased stays erased, also after a restore; runs whose worker vanished are named."""
    back = reapply_receipts(studio)
    return {"erased_again": len(back)}


def fail_lost_runs(studio: Studio, runs: Runs, who: Who) -> list[str]:
    """Mark orders failed that stand `running` or `in_review` although their run is over: its worker died without a
    word, or the task that asked a person did, and nobody can answer any more."""
    with studio.transaction() as connection:
        found = registry.list_orders(connection, states=[OrderState.RUNNING, OrderState.IN_REVIEW], limit=MOST)
    return [
        order.order_id
        for order in found
        if order.run_id
        and runs.over(order.run_id) is not False
        and fail_lost(studio, order.order_id, order.run_id, who)
    ]
