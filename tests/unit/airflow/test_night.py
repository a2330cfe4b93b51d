"""Which night a run stands for, and how many orders a night lets work at once."""

from datetime import UTC, datetime
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from memorial_tasks.airflow.night import OrderRuns, _night, capacity
from memorial_tasks.settings import Settings

MOMENT = datetime(2026, 11, 20, 22, tzinfo=UTC)


class RunType(str, Enum):  # noqa: UP042 - Airflow writes it so
    """As Airflow's own: `str` of a member is not its value."""

    SCHEDULED = "scheduled"
    BACKFILL = "backfill"
    MANUAL = "manual"


def context(kind: RunType, moment: datetime | None = MOMENT, run_id: str = "run") -> dict[str, Any]:
    return {"dag_run": SimpleNamespace(run_type=kind, run_id=run_id), "logical_date": moment}


def test_a_scheduled_and_a_backfilled_run_of_one_night_are_the_same_night() -> None:
    assert _night(context(RunType.SCHEDULED)) == _night(context(RunType.BACKFILL)) == "night-2026-11-20"


def test_every_run_started_by_hand_is_a_night_of_its_own() -> None:
    assert _night(context(RunType.MANUAL, run_id="a")) == "hand-a"
    assert _night(context(RunType.MANUAL, None, "b")) == "hand-b"


class Pool:
    """An Airflow whose GPU pool has this many slots."""

    def __init__(self, slots: int | None) -> None:
        self.found = slots

    def slots(self, pool: str) -> int | None:
        assert pool == "gpu"
        return self.found


@pytest.mark.parametrize(
    ("settings", "slots", "expected"),
    [
        ({"batch_orders": 7, "step_runner": "kubernetes"}, 2, 7),
        ({"step_runner": "kubernetes"}, 5, 5),
        ({"step_runner": "kubernetes"}, None, 2),
        ({"parallelism": 6}, 5, 3),
        ({"parallelism": 1}, None, 1),
    ],
)
def test_room_is_the_studios_setting_or_the_gpus_or_half_the_machine(
    settings: dict[str, Any], slots: int | None, expected: int
) -> None:
    assert capacity(SimpleNamespace(settings=Settings(**settings)), Pool(slots)) == expected


def test_runs_are_those_of_the_order_dag() -> None:
    asked: list[tuple[str, ...]] = []
    airflow = SimpleNamespace(
        start=lambda *given: asked.append(given), over=lambda dag, run: asked.append((dag, run)) or True
    )
    runs = OrderRuns(airflow)
    runs.start("order-1", "order-1--1")
    assert runs.over("order-1--1") is True
    assert asked == [("memorial_order", "order-1", "order-1--1"), ("memorial_order", "order-1--1")]
