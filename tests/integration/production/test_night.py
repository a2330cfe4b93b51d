"""What a studio does on its own: nothing twice, one order's trouble never another's, the registry first."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.consent.events import EventType
from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, Problem, Unavailable
from memorial_tasks.production import night, orders
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from tests.integration.consent.conftest import House
from tests.integration.production.test_batch import Runs

pytestmark = pytest.mark.integration

WHO = Who("service", "airflow")


@pytest.fixture
def house(database: str, tmp_path: Path) -> House:
    return House(Studio.open(Settings(home=tmp_path / "home", database_url=database)), datetime.now(UTC))


def state(house: Any, order: str) -> OrderState:
    with house.tx() as connection:
        return OrderState(house.studio.order(connection, order).state)


def test_the_watch_freezes_first_and_then_stops_the_run(house: Any) -> None:
    house.enter("order-1")
    run_id = orders.restart(house.studio, "order-1", WHO)
    house.happens(EventType.OBJECTED, "order-1")
    seen: list[tuple[str, OrderState]] = []
    watched = night.watch_consents(house.studio, lambda run: seen.append((run, state(house, "order-1"))))
    assert watched.done == {"freeze": ["order-1"]}
    assert seen == [(run_id, OrderState.FROZEN)]
    assert night.watch_consents(house.studio, lambda run: seen.append((run, OrderState.FAILED))).done == {}
    assert len(seen) == 1


def test_an_airflow_that_does_not_answer_leaves_the_action_due(house: Any) -> None:
    house.enter("order-1")
    house.enter("order-2")
    orders.restart(house.studio, "order-1", WHO)
    for order in ("order-1", "order-2"):
        house.happens(EventType.OBJECTED, order)

    def silent(_: str) -> None:
        raise Unavailable("Airflow does not answer")

    watched = night.watch_consents(house.studio, silent)
    assert set(watched.failed) == {"order-1"}
    assert watched.done == {"freeze": ["order-2"]}
    assert state(house, "order-1") is OrderState.FROZEN
    assert night.watch_consents(house.studio, lambda _: None).done == {"freeze": ["order-1"]}


@pytest.mark.parametrize("stood", [OrderState.RUNNING, OrderState.IN_REVIEW])
def test_a_run_that_vanished_is_named_and_can_be_started_anew(house: Any, stood: OrderState) -> None:
    """Also one that waited for a person: the question died with it, and an answer would reach nobody."""
    house.enter("order-1")
    first = orders.restart(house.studio, "order-1", WHO)
    with house.tx() as connection:
        registry.set_state(connection, "order-1", stood, allowed_from=[OrderState.SUBMITTED])
    assert night.fail_lost_runs(house.studio, Runs({first: False}), WHO) == []
    assert night.fail_lost_runs(house.studio, Runs({first: True}), WHO) == ["order-1"]
    assert night.fail_lost_runs(house.studio, Runs({}), WHO) == []
    assert state(house, "order-1") is OrderState.FAILED
    assert orders.restart(house.studio, "order-1", WHO) != first


class TestRunIds:
    """A run of one order may not act for another, and a run that was replaced may not go on."""

    def test_a_run_that_names_another_order_is_refused(self, house: Any) -> None:
        house.enter("order-1")
        house.enter("order-2")
        orders.restart(house.studio, "order-1", WHO)
        orders.restart(house.studio, "order-2", WHO)
        stranger = Who("service", "airflow", "memorial_order", "order-1--1", "check_consent", 1)
        with pytest.raises(ConsentRefused, match="another run") as caught:
            orders.begin(house.studio, "order-2", stranger)
        orders.finish_with_reason(house.studio, "order-2", caught.value, stranger)
        assert state(house, "order-2") is OrderState.SUBMITTED

    def test_a_run_from_airflows_own_form_becomes_the_orders_run(self, house: Any) -> None:
        house.enter("order-1")
        form = Who("service", "airflow", "memorial_order", "manual__2026-01-01T00:00:00", "check_consent", 1)
        orders.begin(house.studio, "order-1", form)
        assert house.order("order-1").run_id == form.run_id
        assert orders.restart(house.studio, "order-1", WHO) == form.run_id
        assert orders.restart(house.studio, "order-1", WHO, run_ended=True) == "order-1--1"

    def test_a_frozen_order_cannot_be_run(self, house: Any) -> None:
        house.enter("order-1")
        house.happens(EventType.OBJECTED, "order-1")
        night.watch_consents(house.studio, lambda _: None)
        with pytest.raises(ConsentRefused, match="frozen"):
            orders.restart(house.studio, "order-1", WHO)

    def test_withdrawn_consent_stops_the_first_task_and_stands_in_the_state(self, house: Any) -> None:
        house.enter("order-1")
        run = orders.restart(house.studio, "order-1", WHO)
        house.happens(EventType.WITHDRAWN, "order-1", actor_kind="grantor")
        actor = Who("service", "airflow", "memorial_order", run, "check_consent", 1)
        with pytest.raises(ConsentRefused) as caught:
            orders.begin(house.studio, "order-1", actor)
        assert orders.finish_with_reason(house.studio, "order-1", caught.value, actor) is OrderState.REFUSED
        assert state(house, "order-1") is OrderState.REFUSED


def test_an_order_that_a_step_refused_says_where_what_and_the_remedy(house: Any) -> None:
    """The gate had let the material pass: its report would say so, and nothing of what stopped the order."""
    house.enter("order-1")
    same = Problem("face.all_same", "one and the same picture", "bring others", "materials.photos", "photo-0001")
    stopped = orders.finish_with_reason(house.studio, "order-1", InputRefused([same]), WHO)
    assert stopped is OrderState.BLOCKED
    row = house.order("order-1")
    assert row.reason == "one and the same picture: bring others (materials.photos: photo-0001)"
    assert "quality report" not in orders.next_action("order-1", row.state, row.reason_code)
    assert "another id" in orders.next_action("order-1", row.state, row.reason_code)
    assert orders.next_action("order-1", row.state, "quality.refused") == "memorial quality report order-1"


def test_an_order_that_failed_says_the_remedy(house: Any) -> None:
    house.enter("order-1")
    error = MemorialError("the worker runs other code", where="prepare_face", remedy="start the studio again")
    assert orders.finish_with_reason(house.studio, "order-1", error, WHO) is OrderState.FAILED
    assert house.order("order-1").reason == "the worker runs other code: start the studio again"
