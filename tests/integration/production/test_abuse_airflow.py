"""Attacks with Airflow's own means: what an operator account can click opens no gate."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.airflow.client import AirflowClient
from memorial_tasks.airflow.environment import operator_password
from memorial_tasks.errors import MemorialError
from memorial_tasks.settings import Settings
from tests.integration.production.conftest import RunningStudio, until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAG = "memorial_order"


@pytest.fixture
def airflow(studio: RunningStudio) -> Iterator[AirflowClient]:
    settings = Settings(home=studio.home, api_port=int(studio.environment["MEMORIAL_API_PORT"]))
    address = f"http://127.0.0.1:{settings.api_port}"
    with AirflowClient(address, settings.operator, operator_password(settings)) as client:
        yield client


def task_state(airflow: AirflowClient, run: str, task: str) -> str | None:
    return {row["task_id"]: row["state"] for row in airflow.tasks(DAG, run)}.get(task)


def ended(airflow: AirflowClient, dag: str, run: str, timeout: float = 120) -> str:
    assert until(lambda: airflow.run(dag, run)["state"] in {"success", "failed"}, timeout, 1.0)
    return str(airflow.run(dag, run)["state"])


def entries(studio: RunningStudio, order: str, kind: str) -> list[Any]:
    found: list[Any] = studio.memorial("audit", "list", "--order", order, "--type", kind, "--newest", "5000")["entries"]
    return found


def test_marking_the_consent_task_as_success_lets_no_step_run(
    studio: RunningStudio, family: Callable[..., Path], airflow: AirflowClient
) -> None:
    order, run = "abuse-mark", "abuse-mark--1"
    studio.memorial("order", "submit", str(family(order)))
    studio.memorial("consent", "withdraw", order)
    airflow.trigger(DAG, run, {"order": order})
    assert until(lambda: task_state(airflow, run, "check_consent") == "failed", 120, 1.0)
    airflow._call("PATCH", f"/dags/{DAG}/dagRuns/{run}/taskInstances/check_consent", json={"new_state": "success"})
    airflow._call(
        "POST",
        f"/dags/{DAG}/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run, "task_ids": ["ingest"], "only_failed": False},
    )
    assert until(lambda: task_state(airflow, run, "ingest") == "failed", 120, 1.0)
    document = studio.memorial("order", "show", order)
    assert document["state"] == "withdrawn"
    assert document["steps"] == []
    assert entries(studio, order, "key.released") == []
    assert entries(studio, order, "step.refused"), "the refused step is in the audit log"


@pytest.mark.parametrize("order", ["../../etc", "A B", "x", {"a": 1}, None, 7])
def test_a_hostile_order_id_starts_nothing(airflow: AirflowClient, order: Any) -> None:
    with pytest.raises(MemorialError, match=r"4\d\d"):
        airflow.trigger(DAG, f"hostile-{time.monotonic_ns()}", {"order": order})


def test_a_run_of_one_order_cannot_act_for_another(
    studio: RunningStudio, family: Callable[..., Path], airflow: AirflowClient
) -> None:
    victim, run = "abuse-victim", "abuse-stranger--1"
    studio.memorial("order", "submit", str(family(victim)))
    own = studio.memorial("order", "run", victim)["run_id"]
    airflow.trigger(DAG, run, {"order": victim})
    assert ended(airflow, DAG, run) == "failed"
    assert task_state(airflow, run, "check_consent") == "failed"
    assert task_state(airflow, run, "ingest") == "upstream_failed"
    assert entries(studio, victim, "order.refused"), "the stranger's run is in the audit log"
    document = studio.memorial("order", "show", victim)
    assert document["run_id"] == own
    assert document["state"] == "running"
    studio.memorial("order", "cancel", victim)
    assert airflow.run(DAG, own)["state"] == "failed"


def test_a_withdrawal_in_mid_run_halts_the_run_within_one_round_of_the_watch(
    studio: RunningStudio, family: Callable[..., Path], airflow: AirflowClient
) -> None:
    order = "abuse-midrun"
    studio.memorial("order", "submit", str(family(order)))
    run = studio.memorial("order", "run", order)["run_id"]
    assert until(lambda: studio.step_process("prepare_voice") or studio.step_process("prepare_face"), 240)
    studio.memorial("consent", "withdraw", order)
    watch = f"watch-{time.monotonic_ns()}"
    airflow.trigger("memorial_consent_watch", watch, {})
    assert ended(airflow, "memorial_consent_watch", watch) == "success"
    assert airflow.run(DAG, run)["state"] == "failed"
    assert until(lambda: not any(studio.step_process(s) for s in ("prepare_voice", "prepare_face", "train_face")), 60)
    document = studio.memorial("order", "show", order)
    assert document["state"] == "withdrawn"
    assert document["film"] is None
    assert "train_face" not in {row["step"] for row in document["steps"] if row["state"] == "done"}
    studio.memorial("order", "run", order, expect=1)


def test_erasing_leaves_the_log_whole_and_nothing_to_read(studio: RunningStudio) -> None:
    order = "abuse-midrun"
    assert studio.memorial("consent", "show", order, expect=None)["decision"] == "refused"
    studio.memorial("erase", order, "--yes")
    assert not list((studio.home / "vault" / "orders" / order).rglob("*"))
    assert studio.memorial("order", "show", order)["state"] == "erased"
    assert studio.memorial("audit", "verify")["verified"] is True
