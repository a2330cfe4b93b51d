"""What the soak's verdict is given comes from the registry and the log as they are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from tests.bench.soak import entries, standings
from tests.bench.verdict import Standing
from tests.integration.consent.conftest import House

pytestmark = pytest.mark.integration

WHO = Who("service", "airflow", "memorial_order", "order-1--1", "ingest", 1)


@pytest.fixture
def house(database: str, tmp_path: Path) -> House:
    return House(Studio.open(Settings(home=tmp_path / "home", database_url=database)), datetime.now(UTC))


def test_every_order_stands_there_with_state_reason_and_deliveries(house: House) -> None:
    house.enter("order-1")
    house.enter("order-2")
    with house.tx() as connection:
        registry.set_state(
            connection, "order-2", OrderState.FAILED, allowed_from=list(OrderState),
            reason_code="step.failed", reason="it ended", stage="ingest",
        )  # fmt: skip
    assert standings(house.studio) == {
        "order-1": Standing("order-1", "submitted", "", 0),
        "order-2": Standing("order-2", "failed", "ingest step.failed it ended", 0),
    }


def test_the_log_is_read_with_step_and_result_key(house: House) -> None:
    house.enter("order-1")
    with house.tx() as connection:
        order = house.studio.order(connection, "order-1")
        house.studio.audit(
            connection, "step.started", WHO, order, data={"step": "ingest", "result_key": "a" * 64, "seed": 1}
        )
    found = [entry for entry in entries(house.studio) if entry.type == "step.started"]
    assert [(one.order, one.step, one.key) for one in found] == [("order-1", "ingest", "a" * 64)]
    numbers = [entry.number for entry in entries(house.studio)]
    assert numbers == sorted(numbers)
