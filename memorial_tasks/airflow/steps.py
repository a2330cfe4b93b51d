"""The steps of an order as Airflow tasks: the data plane's work, as a subprocess here or as a pod."""

from datetime import timedelta
from typing import Any

from airflow.sdk import task

from memorial_tasks.airflow.acts import OWNER, guarded
from memorial_tasks.airflow.retries import DELAY, POLICY, TRIES
from memorial_tasks.settings import Settings


def step_task(step: str, *, display: str, minutes: int = 60) -> Any:
    """A task that runs one step of the data plane for the order of this run, where ``MEMORIAL_STEP_RUNNER`` says.

    Tried again up to `TRIES` times: a killed step resumes from its last checkpoint, a finished one costs nothing.
    `minutes` is how long the step itself may take.
    """
    settings = Settings()
    if settings.step_runner == "kubernetes":
        # Imported only where pods are wanted: the provider and its client take seconds of every parse.
        from memorial_tasks.airflow.pods import build

        return build(step, display=display, minutes=minutes, settings=settings)

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
    def run() -> dict[str, Any]:
        from memorial_tasks.production.steps import run_step

        row = guarded(lambda studio, order, actor: run_step(studio, order, step, actor))
        return {"step": step, "result_key": row.result_key}

    return run()
