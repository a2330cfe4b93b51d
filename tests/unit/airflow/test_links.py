"""Links on tasks: they name the run and nothing else, and only where there is something to see."""

from types import SimpleNamespace
from typing import Any

import pytest

from memorial_tasks.airflow.links import AuditTrail, PodLog, Preview, QualityReport


def key(task: str, run: str = "order-1--1", dag: str = "memorial_order") -> Any:
    return SimpleNamespace(dag_id=dag, run_id=run, task_id=task, try_number=2)


@pytest.mark.parametrize(
    ("link", "task", "expected"),
    [
        (QualityReport(), "quality_gate", "/memorial/runs/order-1--1/quality"),
        (QualityReport(), "deliver", ""),
        (Preview(), "review_film", "/memorial/runs/order-1--1/review"),
        (AuditTrail(), "deliver", "/memorial/runs/order-1--1/audit"),
        (PodLog(), "train_face", "/dags/memorial_order/runs/order-1--1/tasks/train_face?try_number=2"),
        (PodLog(), "deliver", ""),
    ],
)
def test_where_a_link_leads(link: Any, task: str, expected: str) -> None:
    assert link.get_link(None, ti_key=key(task)) == expected


@pytest.mark.parametrize("link", [QualityReport(), Preview(), AuditTrail(), PodLog()])
def test_other_dags_have_no_order_to_link_to(link: Any) -> None:
    assert link.get_link(None, ti_key=key("seal", dag="memorial_batch")) == ""


def test_a_run_of_any_name_stays_one_part_of_the_path() -> None:
    found = AuditTrail().get_link(None, ti_key=key("seal", run="manual__2026-11-20T10:00:00+00:00/../x"))
    assert found == "/memorial/runs/manual__2026-11-20T10%3A00%3A00%2B00%3A00%2F..%2Fx/audit"


def test_every_step_of_the_data_plane_has_a_log() -> None:
    from memorial_tasks.steps.contract import STEPS

    assert {step for step in STEPS if not PodLog().get_link(None, ti_key=key(step))} == set()
