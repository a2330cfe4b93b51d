"""Moving an order on: its states, the beginning and the end of its runs. Each act once, however often it is called."""

import shutil

from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, Problem, QualityRefused
from memorial_tasks.production.consents import refusals_told, require_consent
from memorial_tasks.production.steps import reason_code
from memorial_tasks.production.studio import Studio, Who

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


def move(
    studio: Studio,
    order_id: str,
    state: OrderState,
    who: Who,
    *,
    allowed_from: tuple[OrderState, ...] = OPEN,
    reason_code: str = "",
    reason: str = "",
    stage: str = "",
) -> bool:
    """Compare-and-set of the order's state with its audit entry; False when it stood elsewhere."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        if order.state is state and order.reason_code == reason_code:
            return False
        changed = registry.set_state(
            connection, order_id, state, allowed_from=allowed_from, reason_code=reason_code, reason=reason, stage=stage
        )
        if changed:
            data = {"from": str(order.state), "to": str(state)} | ({"stage": stage} if stage else {})
            studio.audit(connection, "order.moved", who, order, reason_code=reason_code, data=data)
        return changed


def begin(studio: Studio, order_id: str, who: Who) -> None:
    """First task of a run: the order is ours, consent holds, and work may start.

    Raises `ConsentRefused` and leaves the order ``refused`` or ``frozen`` when consent does not hold.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        with refusals_told(studio, order, who, "order.refused", "begin"):
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
    reason = told(error) if isinstance(error, MemorialError) else f"unforeseen {type(error).__name__}"
    move(studio, order_id, state, who, reason_code=code, reason=reason[:500], stage=who.task_id)
    return state


def told(error: MemorialError) -> str:
    """What an operator reads of an error: what it is, the remedy, and of what was refused the field and the file."""
    if isinstance(error, InputRefused):
        return "; ".join(_refused(problem) for problem in error.problems[:5])
    return f"{error.what}: {error.remedy}" if error.remedy else error.what


def _refused(problem: Problem) -> str:
    where = ": ".join(filter(None, (problem.field, problem.file)))
    return f"{problem.what}: {problem.remedy}" + (f" ({where})" if where else "")


def next_action(order_id: str, state: OrderState, reason_code: str = "") -> str:
    """What a person can do about an order that stands like this; empty when there is nothing to do."""
    if state is OrderState.REJECTED and reason_code == "review.script":
        return f"memorial order script {order_id} FILE"
    if state is OrderState.BLOCKED and reason_code not in ("", "quality.refused"):
        # a step refused what the gate had let pass: the gate's report knows nothing of it
        return "mend what the reason names, then memorial order submit under another id"
    actions = {
        OrderState.SUBMITTED: "starts in the next batch, or with memorial order run {}",
        OrderState.IN_REVIEW: "memorial review show {}",
        OrderState.REFUSED: "memorial consent show {}",
        OrderState.FROZEN: "memorial consent show {}, then memorial consent resolve {}",
        OrderState.BLOCKED: "memorial quality report {}",
        OrderState.REJECTED: "memorial order show {}, then memorial order run {}",
        OrderState.FAILED: "memorial order show {}, mend it, then memorial order run {}",
        OrderState.CANCELLED: "memorial order run {} takes it up again",
    }
    return actions.get(state, "").replace("{}", order_id)


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
        if order.state is OrderState.REJECTED and order.reason_code == "review.script":
            raise MemorialError(
                "the script was rejected and is still the same",
                where=order_id,
                remedy=f"bring another one with 'memorial order script {order_id} FILE'",
            )
        number = run_number(order.run_id)
        if order.state is not OrderState.SUBMITTED or run_ended or number == 0:
            number += 1
        run_id = f"{order_id}--{number}"
        registry.set_run(connection, order_id, run_id)
        registry.set_state(connection, order_id, OrderState.SUBMITTED, allowed_from=(*RESTARTABLE, *OPEN))
        studio.audit(connection, "order.requested", who, order, data={"run": run_id})
    return run_id
