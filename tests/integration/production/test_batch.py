"""A night: the whole batch looked at first, no more started than there is room for, nothing twice, every end told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.consent.events import EventType
from memorial_tasks.database import registry
from memorial_tasks.database.connection import execute
from memorial_tasks.database.registry import MaterialRow
from memorial_tasks.domain.words import MaterialKind, OrderState
from memorial_tasks.errors import ConsentRefused, MemorialError, Unavailable
from memorial_tasks.production import batch, orders
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from tests.integration.consent.conftest import House

pytestmark = pytest.mark.integration

WHO = Who("service", "airflow")
NIGHT = "night-2026-11-20"


@dataclass
class Runs:
    """Stands in for Airflow's run list, because these tests need runs that vanish and an Airflow that does not answer;
    the real one is driven by `test_nightly_batch`. `known` says of each run whether it is over."""

    known: dict[str, bool] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def start(self, order: str, run_id: str) -> None:
        if order in self.silent:
            raise Unavailable("Airflow does not answer")
        if order in self.refused:
            raise MemorialError("Airflow answered 404", remedy="see its log")
        if run_id not in self.known:
            self.started.append(run_id)
            self.known[run_id] = False

    def over(self, run_id: str) -> bool | None:
        return self.known.get(run_id)


@pytest.fixture
def house(database: str, tmp_path: Path) -> House:
    return House(Studio.open(Settings(home=tmp_path / "home", database_url=database)), datetime.now(UTC))


def enter(house: House, *names: str) -> None:
    for name in names:
        house.enter(name)


def stands(house: House, order: str, state: OrderState, **why: str) -> None:
    with house.tx() as connection:
        assert registry.set_state(connection, order, state, allowed_from=list(OrderState), **why)


def opened(house: House, night: str = NIGHT, **options: Any) -> dict[str, Any]:
    return batch.open_batch(house.studio, night, **({"limit": 100, "who": WHO} | options))


def line(found: dict[str, Any], order: str) -> dict[str, Any]:
    return next(one for one in found["orders"] if one["order"] == order)


class TestTheLook:
    """Everything is known before anything starts."""

    def test_what_is_broken_is_named_with_stage_reason_and_next_action(self, house: House) -> None:
        enter(house, "order-1", "order-2", "order-3")
        house.happens(EventType.OBJECTED, "order-2")
        with house.tx() as connection:
            gone = MaterialRow("order-3", "m-1", MaterialKind.PHOTO, "vault://orders/x/m-1", "d" * 64, 1, "image/png")
            registry.add_material(connection, gone)
        found = opened(house)
        assert line(found, "order-1")["state"] == "ready"
        assert line(found, "order-2")["failed_stage"] == "check_consent"
        assert line(found, "order-2")["next_action"] == "memorial consent show order-2"
        assert (line(found, "order-3")["failed_stage"], line(found, "order-3")["reason_code"]) == (
            "ingest",
            "material.lost",
        )
        assert all(one["next_action"] for one in found["orders"])

    def test_priority_comes_before_the_promised_date_and_that_before_age(self, house: House) -> None:
        enter(house, "order-old", "order-promised", "order-urgent")
        with house.tx() as connection:
            execute(connection, "UPDATE orders SET priority = 5 WHERE order_id = 'order-urgent'")
            execute(connection, "UPDATE orders SET promised = '2026-12-01' WHERE order_id = 'order-promised'")
        opened(house)
        runs = Runs()
        batch.start_wave(house.studio, NIGHT, 10, runs, WHO)
        assert runs.started == ["order-urgent--1", "order-promised--1", "order-old--1"]

    def test_the_limit_leaves_the_rest_for_the_next_night(self, house: House) -> None:
        enter(house, "order-1", "order-2")
        found = opened(house, limit=1)
        assert line(found, "order-2")["reason_code"] == "batch.limit"

    def test_a_dry_run_changes_nothing(self, house: House) -> None:
        enter(house, "order-1", "order-2")
        house.happens(EventType.OBJECTED, "order-2")
        before = len(house.audit())
        planned = batch.plan(house.studio, limit=10)
        assert [one.ready for one in planned] == [True, False]
        assert len(house.audit()) == before
        assert house.order("order-2").state is OrderState.SUBMITTED
        assert house.order("order-1").run_id is None

    def test_a_backfilled_night_takes_only_what_had_been_submitted_by_then(self, house: House) -> None:
        enter(house, "order-1")
        found = opened(house, until=datetime.now(UTC) - timedelta(days=2))
        assert found["orders"] == []


class TestStarting:
    """Nothing twice, nothing more than there is room for, one order's trouble never another's."""

    def test_no_more_work_at_once_than_there_is_room_for(self, house: House) -> None:
        enter(house, "order-1", "order-2", "order-3")
        opened(house)
        runs = Runs()
        assert batch.start_wave(house.studio, NIGHT, 2, runs, WHO) == 1
        assert batch.start_wave(house.studio, NIGHT, 2, runs, WHO) == 1
        assert runs.started == ["order-1--1", "order-2--1"]
        stands(house, "order-1", OrderState.IN_REVIEW)
        assert batch.start_wave(house.studio, NIGHT, 2, runs, WHO) == 0
        assert runs.started == ["order-1--1", "order-2--1", "order-3--1"]

    def test_orders_started_by_hand_take_room_too(self, house: House) -> None:
        enter(house, "order-1", "order-2")
        stands(house, "order-1", OrderState.RUNNING)
        opened(house)
        runs = Runs()
        assert batch.start_wave(house.studio, NIGHT, 1, runs, WHO) == 1
        assert runs.started == []

    def test_a_night_that_is_run_again_starts_nothing_twice(self, house: House) -> None:
        enter(house, "order-1")
        runs = Runs()
        for _ in range(3):
            opened(house)
            batch.start_wave(house.studio, NIGHT, 10, runs, WHO)
        batch.close_batch(house.studio, NIGHT, WHO)
        opened(house)
        batch.start_wave(house.studio, NIGHT, 10, runs, WHO)
        assert runs.started == ["order-1--1"]

    def test_a_task_that_died_between_start_and_note_starts_nothing_twice(self, house: House) -> None:
        enter(house, "order-1")
        opened(house)
        runs = Runs()
        runs.start("order-1", orders.restart(house.studio, "order-1", WHO))
        batch.start_wave(house.studio, NIGHT, 10, runs, WHO)
        assert runs.started == ["order-1--1"]
        assert line(batch.summary(house.studio, NIGHT), "order-1")["run_id"] == "order-1--1"

    def test_two_nights_never_promise_the_same_order(self, house: House) -> None:
        enter(house, "order-1")
        opened(house)
        assert opened(house, "night-2026-11-21")["orders"] == []

    def test_an_order_that_cannot_start_is_named_and_the_others_start(self, house: House) -> None:
        enter(house, "order-1", "order-2")
        opened(house)
        runs = Runs(refused={"order-1"})
        assert batch.start_wave(house.studio, NIGHT, 10, runs, WHO) == 0
        assert runs.started == ["order-2--1"]
        named = line(batch.summary(house.studio, NIGHT), "order-1")
        assert (named["failed_stage"], named["reason_code"]) == ("start", "batch.start")

    def test_an_airflow_that_does_not_answer_is_asked_again_in_the_next_wave(self, house: House) -> None:
        enter(house, "order-1")
        opened(house)
        runs = Runs(silent={"order-1"})
        assert batch.start_wave(house.studio, NIGHT, 10, runs, WHO) == 1
        runs.silent.clear()
        assert batch.start_wave(house.studio, NIGHT, 10, runs, WHO) == 0
        assert runs.started == ["order-1--1"]

    def test_an_order_thawed_after_its_run_was_stopped_gets_a_new_run(self, house: House) -> None:
        enter(house, "order-1")
        first = orders.restart(house.studio, "order-1", WHO)
        opened(house)
        runs = Runs({first: True})
        batch.start_wave(house.studio, NIGHT, 10, runs, WHO)
        assert runs.started == ["order-1--2"]

    def test_an_order_withdrawn_after_the_look_is_not_started(self, house: House) -> None:
        enter(house, "order-1")
        opened(house)
        stands(house, "order-1", OrderState.WITHDRAWN, reason="Consent was taken back.")
        runs = Runs()
        assert batch.start_wave(house.studio, NIGHT, 10, runs, WHO) == 0
        assert runs.started == []
        assert line(batch.summary(house.studio, NIGHT), "order-1")["state"] == "withdrawn"


class TestTheEnd:
    """What the operator reads in the morning."""

    def test_every_order_ends_with_stage_reason_and_next_action(self, house: House) -> None:
        enter(house, "order-1", "order-2", "order-3")
        opened(house)
        runs = Runs()
        batch.start_wave(house.studio, NIGHT, 2, runs, WHO)
        actor = Who("service", "airflow", "memorial_order", "order-1--1", "quality_gate", 1)
        orders.finish_with_reason(house.studio, "order-1", ConsentRefused("no", remedy="ask"), actor)
        stands(house, "order-2", OrderState.IN_REVIEW)
        found = batch.close_batch(house.studio, NIGHT, WHO)
        assert found["counts"] == {"in_review": 1, "not_started": 1, "refused": 1}
        assert line(found, "order-1")["failed_stage"] == "quality_gate"
        assert line(found, "order-2")["next_action"] == "memorial review show order-2"
        assert line(found, "order-3")["reason_code"] == "batch.capacity"

    def test_the_summary_of_a_closed_night_stands(self, house: House) -> None:
        enter(house, "order-1")
        opened(house)
        batch.start_wave(house.studio, NIGHT, 2, Runs(), WHO)
        stands(house, "order-1", OrderState.FAILED, reason_code="step.failed", reason="lost", stage="animate")
        found = batch.close_batch(house.studio, NIGHT, WHO)
        stands(house, "order-1", OrderState.DELIVERED)
        assert batch.close_batch(house.studio, NIGHT, WHO) == found
        assert line(found, "order-1")["failed_stage"] == "animate"
        assert [entry.type for entry in house.audit()].count("batch.closed") == 1

    @pytest.mark.parametrize("state", [OrderState.SUBMITTED, OrderState.RUNNING])
    def test_a_run_that_ended_without_a_word_does_not_keep_the_night_waiting(
        self, house: House, state: OrderState
    ) -> None:
        enter(house, "order-1")
        opened(house)
        runs = Runs()
        batch.start_wave(house.studio, NIGHT, 2, runs, WHO)
        stands(house, "order-1", state)
        assert batch.still_working(house.studio, NIGHT, runs, WHO) == 1
        runs.known["order-1--1"] = True
        assert batch.still_working(house.studio, NIGHT, runs, WHO) == 0
        assert line(batch.summary(house.studio, NIGHT), "order-1")["reason_code"] == "run.lost"

    def test_a_night_nobody_opened_is_an_error_with_a_remedy(self, house: House) -> None:
        with pytest.raises(MemorialError, match="no such batch"):
            batch.summary(house.studio, "night-1999-01-01")

    def test_orders_promised_soon_and_not_delivered_are_at_risk(self, house: House) -> None:
        enter(house, "order-1", "order-2", "order-3")
        with house.tx() as connection:
            execute(connection, "UPDATE orders SET promised = current_date + 1 WHERE order_id <> 'order-3'")
        stands(house, "order-2", OrderState.DELIVERED)
        assert [order.order_id for order in batch.at_risk(house.studio, 2)] == ["order-1"]
        assert batch.at_risk(house.studio, 0) == []
