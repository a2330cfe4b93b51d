"""One interval of the watch, whole: what is due, made true in the registry, runs stopped, erasures carried out.

The DAG `memorial_consent_watch` calls `watch_once` with a way to stop a run; nothing else belongs to it. Orders are
independent: what fails for one is repeated at the next interval and does not hold up the others.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.consent.erasing import erase_everything
from memorial_tasks.consent.watch import Action, ActionKind, apply, due_actions, mark_done

if TYPE_CHECKING:
    from memorial_tasks.production.studio import Studio

log = logging.getLogger(__name__)


@dataclass
class Watched:
    """What one interval did: orders by kind of action, and those to be tried again."""

    done: list[Action] = field(default_factory=list)
    failed: list[Action] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Numbers for XCom and metrics."""
        counted = {kind.value: sum(action.kind is kind for action in self.done) for kind in ActionKind}
        return {kind: number for kind, number in counted.items() if number} | {"failed": len(self.failed)}


def watch_once(
    studio: "Studio",
    stop_run: Callable[[str, str], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Watched:
    """Carries out everything that is due.

    Args:
        stop_run: called with (order id, run id) of a run that must not go on; raises when it could not be stopped.
            Stopping a run that has ended, or that Airflow does not know any more, is success.
    """
    with studio.transaction() as connection:
        actions = due_actions(connection, now(), studio.keys.trusted)
    watched = Watched()
    for action in actions:
        try:
            _carry_out(studio, action, stop_run, now)
        except Exception as error:  # one order's trouble must not keep another's consent from being obeyed
            log.error("%s of %s failed and will be repeated: %s", action.kind, action.order_id, type(error).__name__)
            watched.failed.append(action)
        else:
            watched.done.append(action)
    return watched


def _carry_out(
    studio: "Studio", action: Action, stop_run: Callable[[str, str], None], now: Callable[[], datetime]
) -> None:
    # The registry first: from here on no key is given out, even if Airflow cannot be reached.
    with studio.transaction() as connection:
        apply(connection, action, studio.keys, now())
    if action.run_id and (action.kind.stops_run or action.kind is ActionKind.ERASE):
        stop_run(action.order_id, action.run_id)
    if action.kind is ActionKind.ERASE:
        erase_everything(studio, action.subject_id, reason=action.reason_code)
    with studio.transaction() as connection:
        mark_done(connection, action)
        append(
            connection,
            AuditEvent(
                type=f"consent.watch_{action.kind.value}",
                actor=Actor(kind="service", id="consent-watch"),
                at=now(),
                order=action.order_id,
                subject=action.subject_id,
                reason_code=action.reason_code,
                data={"fence": action.fence, "run_stopped": bool(action.run_id and action.kind.stops_run)},
            ),
        )
