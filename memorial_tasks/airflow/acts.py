"""Airflow tasks as thin shells around the control plane's acts: who acts, what is retried, how a run ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from memorial_tasks.airflow.retries import DELAY, POLICY, TRIES, retryable

OWNER = "studio-operations"
# What every DAG of the house has in common: `@dag(**HOUSE, ...)`.
HOUSE: dict[str, Any] = {
    "catchup": False,
    "owner_links": {OWNER: "mailto:studio-operations@localhost"},
    "default_args": {"owner": OWNER, "retries": TRIES, "retry_delay": DELAY, "retry_policy": POLICY},
}


def who(context: Any = None) -> Any:
    """The task instance as an actor for the audit."""
    from memorial_tasks.production.studio import Who

    context = context or get_current_context()
    ti = context["ti"]
    return Who("service", "airflow", ti.dag_id, ti.run_id, ti.task_id, ti.try_number)


def order_of(context: Any = None) -> str:
    """The order id of this run. `dag_run.conf` is hostile: only an id of the right form gets any further."""
    from memorial_tasks.domain.order import valid_order_id

    context = context or get_current_context()
    order = context["params"].get("order", "")
    if not isinstance(order, str) or not valid_order_id(order):
        raise AirflowFailException("the run names no valid order id; trigger it with {'order': ORDER}")
    return order


def guarded(act: Callable[[Any, str, Any], Any]) -> Any:
    """Run an act for the order of this run.

    What a retry can mend (network, a killed step) is raised as it is, so that Airflow tries again; everything else
    ends the run at once with the reason in the order's state. The last try does so too.
    """
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.orders import finish_with_reason
    from memorial_tasks.production.studio import Studio

    context = get_current_context()
    order, actor = order_of(context), who(context)
    studio = Studio.open()
    try:
        return act(studio, order, actor)
    except Exception as error:
        last = context["ti"].try_number > context["ti"].max_tries
        if retryable(error) and not last:
            raise
        state = finish_with_reason(studio, order, error, actor)
        text = str(error) if isinstance(error, MemorialError) else type(error).__name__
        raise AirflowFailException(f"order {state}: {text}") from (None if isinstance(error, MemorialError) else error)


def act_task(name: str, act: Callable[[Any, str, Any], Any], *, display: str, doc: str, minutes: int = 10) -> Any:
    """A task that runs one act of the control plane for the order of this run."""

    @task(task_id=name, task_display_name=display, execution_timeout=timedelta(minutes=minutes), doc_md=doc)
    def run() -> None:
        guarded(act)

    return run()


class FilmReview(ApprovalOperator):
    """Puts the sealed film before a person and records the answer in the registry and the audit log.

    Default and time-out are "Reject"; an answer without a responder is no approval. The answer is bound to the digest
    of the film that was shown, so an approval never carries over to another film.
    """

    def execute(self, context: Any) -> Any:
        from memorial_tasks.production.review import open_review, sealed_at
        from memorial_tasks.production.studio import Studio

        studio, order = Studio.open(), order_of(context)
        if open_review(studio, order, who(context)) is None:
            self.log.info("this film is approved already")
            return None
        given = self._given(context)
        if given and given["responded_at"] > sealed_at(studio, order):
            return self.execute_complete(context, given)
        return super().execute(context)

    def _given(self, context: Any) -> dict[str, Any] | None:
        """An answer that was given but not acted upon.

        Airflow 3.3.2 can lose one: when the answer comes before its scheduler has noticed that the question was
        parked, it takes the parked attempt's end for a foreign change and tries the task again; asking anew
        would throw a person's decision away.
        """
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail

        if context["ti"].try_number == 1:
            return None
        try:
            found = get_hitl_detail_content_detail(ti_id=context["ti"].id)
        except AirflowRuntimeError:
            return None
        if not found.response_received or found.responded_at is None:
            return None
        person = found.responded_by_user
        return {
            "timedout": False,
            "chosen_options": list(found.chosen_options or []),
            "params_input": found.params_input or {},
            "responded_at": found.responded_at,
            "responded_by_user": {"id": person.id, "name": person.name} if person else None,
        }

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        from memorial_tasks.production.review import record_decision
        from memorial_tasks.production.studio import Studio

        actor = who(context)
        responder = event.get("responded_by_user") or {}
        params = event.get("params_input") or {}
        approved = record_decision(
            Studio.open(),
            order_of(context),
            approved=self.APPROVE in event.get("chosen_options", []),
            reviewer=responder.get("id") or None,
            reason=str(params.get("reason") or ""),
            review_id=f"{actor.run_id}.{actor.task_id}.{actor.attempt}",
            who=actor,
        )
        answer = {**event, "chosen_options": [self.APPROVE if approved else self.REJECT]}
        return super().execute_complete(context, answer)
