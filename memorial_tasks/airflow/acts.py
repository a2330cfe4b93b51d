"""Airflow tasks as thin shells around the control plane's acts: who acts, what is retried, how a run ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from memorial_tasks.airflow.notify import StudioNotifier
from memorial_tasks.airflow.retries import DELAY, POLICY, TRIES, retryable

OWNER = "studio-operations"
# What every DAG of the house has in common: `@dag(**HOUSE, ...)`.
HOUSE: dict[str, Any] = {
    "catchup": False,
    "owner_links": {OWNER: "mailto:studio-operations@localhost"},
    "default_args": {
        "owner": OWNER,
        "retries": TRIES,
        "retry_delay": DELAY,
        "retry_policy": POLICY,
        "on_failure_callback": StudioNotifier("order.stopped"),
    },
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
    studio = Studio.open(keep=True)
    try:
        return act(studio, order, actor)
    except Exception as error:
        last = context["ti"].try_number > context["ti"].max_tries
        if retryable(error) and not last:
            raise
        state = finish_with_reason(studio, order, error, actor)
        text = str(error) if isinstance(error, MemorialError) else type(error).__name__
        raise AirflowFailException(f"order {state}: {text}") from (None if isinstance(error, MemorialError) else error)


def plain(called: Any) -> Any:
    """A task made by ``@task`` without the two things every such task does and none of ours needs: keeping its result
    (the registry does) and its rendered arguments (there are none). They were four of seven calls a task made."""
    called.operator.do_xcom_push = False
    called.operator.template_fields = ()
    return called


def act_task(name: str, act: Callable[[Any, str, Any], Any], *, display: str, doc: str, minutes: int = 10) -> Any:
    """A task that runs one act of the control plane for the order of this run."""

    @task(task_id=name, task_display_name=display, execution_timeout=timedelta(minutes=minutes), doc_md=doc)
    def run() -> None:
        guarded(act)

    return plain(run())
