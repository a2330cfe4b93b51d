"""Links on the tasks of an order's run: to its quality report, what a reviewer sees, its audit trail, its step's log.

They name the run only; the page behind them finds the order, asks for a login and decides who may see it.
"""

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

ORDER_DAG = "memorial_order"
STEP_TASKS = frozenset(
    ("ingest", "quality_gate", "prepare_face", "prepare_voice", "train_face", "train_voice", "direct", "speak",
     "animate", "compose", "seal", "output_gate", "package")
)  # fmt: skip
GATES = {"quality_gate", "output_gate"}


class _RunLink(BaseOperatorLink):
    """A page of the studio about the order of this run; empty, hence greyed out, where it says nothing."""

    page = ""
    tasks: frozenset[str] | None = None

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address, below Airflow's own."""
        if ti_key.dag_id != ORDER_DAG or (self.tasks is not None and ti_key.task_id not in self.tasks):
            return ""
        return f"/memorial/runs/{quote(ti_key.run_id, safe='')}/{self.page}"


class QualityReport(_RunLink):
    """What the gates measured and found."""

    name = "Quality report"
    page = "quality"
    tasks = frozenset(GATES)


class Preview(_RunLink):
    """What is put before the reviewer."""

    name = "Preview"
    page = "review"
    tasks = frozenset(
        ("review_script", "review_voice", "review_still", "review_film", "review_film_second", "deliver", "seal",
         "speak", "train_face", "output_gate")
    )  # fmt: skip


class AuditTrail(_RunLink):
    """Every entry of the audit log about the order."""

    name = "Audit trail"
    page = "audit"


class PodLog(_RunLink):
    """The log of the step's pod, or process: Airflow keeps its lines with the task."""

    name = "Pod log"
    tasks = STEP_TASKS

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The task's own log page."""
        if not super().get_link(operator, ti_key=ti_key):
            return ""
        run = quote(ti_key.run_id, safe="")
        return f"/dags/{ORDER_DAG}/runs/{run}/tasks/{ti_key.task_id}?try_number={ti_key.try_number}"
