"""The steps of an order as Airflow tasks: the data plane's work, run here or as a pod."""

from datetime import timedelta
from typing import Any

from airflow.sdk import task

from memorial_tasks.airflow.acts import OWNER, guarded
from memorial_tasks.airflow.retries import TRIES


def step_task(step: str, *, display: str, minutes: int = 60, pool: str = "default_pool") -> Any:
    """A task that runs one step of the data plane for the order of this run.

    Tried again up to `TRIES` times: a killed step resumes from its last checkpoint, a finished one costs nothing.
    """

    @task(
        task_id=step,
        task_display_name=display,
        retries=TRIES,
        retry_delay=timedelta(seconds=5),
        execution_timeout=timedelta(minutes=minutes),
        pool=pool,
        owner=OWNER,
        doc_md=f"Runs `python -m memorial_tasks.steps {step}` in the data plane. Idempotent; resumes when killed.",
    )
    def run() -> dict[str, Any]:
        from memorial_tasks.production.steps import run_step

        row = guarded(lambda studio, order, actor: run_step(studio, order, step, actor))
        return {"step": step, "result_key": row.result_key}

    return run()
