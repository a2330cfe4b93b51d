"""The steps of an order as Airflow tasks: the data plane's work, as a subprocess here or as a pod."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import task

from memorial_tasks.airflow.acts import OWNER, guarded, plain
from memorial_tasks.airflow.retries import DELAY, POLICY, TRIES
from memorial_tasks.settings import Settings


def step_task(
    settings: Settings,
    step: str,
    *,
    display: str,
    minutes: int = 60,
    then: Callable[[Any, str, Any], None] | None = None,
) -> Any:
    """A task that runs one step of the data plane for the order of this run, where ``MEMORIAL_STEP_RUNNER`` says.

    Tried again up to `TRIES` times: a killed step resumes from its last checkpoint, a finished one costs nothing.
    `minutes` is how long the step itself may take. `then` is an act of the control plane that belongs to the step and
    decides whether the order goes on: it is done on every way to a result, also when that was there already.
    """
    if settings.step_runner == "kubernetes":
        # Imported only where pods are wanted: the provider and its client take seconds of every parse.
        from memorial_tasks.airflow.pods import build

        return build(step, display=display, minutes=minutes, settings=settings, then=then)

    @task(
        task_id=step,
        task_display_name=display,
        retries=TRIES,
        retry_delay=DELAY,
        retry_policy=POLICY,
        execution_timeout=timedelta(minutes=minutes),
        owner=OWNER,
        doc_md=f"Runs `{settings.step_command} {step}` in the data plane. Idempotent; resumes when killed.",
    )
    def run() -> None:
        from memorial_tasks.production.steps import run_step

        def work(studio: Any, order: str, actor: Any) -> None:
            run_step(studio, order, step, actor)
            if then is not None:
                then(studio, order, actor)

        guarded(work)

    return plain(run())
