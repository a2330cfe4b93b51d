"""# One step

Two DAGs of one pod each, so that a test can watch one pod of one order without the rest of the way through the house.
The task is the one the real DAG has: made by the same factory with the same arguments.
"""

from airflow.sdk import dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.steps import step_task
from memorial_tasks.settings import Settings


def one_step(step: str) -> None:
    """A DAG of this step alone, for the order its run names."""

    @dag(**HOUSE, dag_id=f"only_{step}", schedule=None, params={"order": ""}, max_active_runs=20)
    def only() -> None:
        step_task(Settings(), step, display=step, minutes=5)

    only()


one_step("ingest")
one_step("train_face")
