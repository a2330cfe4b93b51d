"""An order done again: every digest the same, or the first that differs named. Real step processes, no media."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from memorial_tasks.audit.service import room_of
from memorial_tasks.database import registry
from memorial_tasks.errors import ConsentRefused
from memorial_tasks.production import orders
from memorial_tasks.production import replay as replaying
from memorial_tasks.production import steps as running
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.production.replay import Difference, replay
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.production.withdrawals import withdraw_consent
from memorial_tasks.settings import Settings
from tests.support import noop_orders

pytestmark = pytest.mark.integration

ORDER = "again-1"
FIRST = ("ingest", "quality_gate")
WHO = Who("person", "auditor")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def studio(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A studio with one order that has begun."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = "python -m tests.support.noop_steps"
    studio = Studio.open(Settings(home=tmp_path / "home", database_url=database, step_command=command))
    noop_orders.place(studio, ORDER)
    orders.begin(studio, ORDER, WHO)
    return studio


def do(studio: Studio, steps: Iterable[str]) -> None:
    for step in steps:
        running.run_step(studio, ORDER, step, WHO)


def stored(studio: Studio) -> list[str]:
    return sorted(studio.store.listing(f"vault://orders/{ORDER}"))


def outcome(studio: Studio) -> tuple[str, int]:
    room = room_of(studio.settings, studio.database)
    room.checkpoint()
    entry = room.entries(order=ORDER, kind="order.replayed")[-1]
    return entry["decision"], entry["data"]["differences"]


def test_an_order_done_again_gives_the_same_bytes_and_leaves_nothing_behind(studio: Studio) -> None:
    do(studio, INPUTS)
    before = stored(studio)
    done, differences = replay(studio, ORDER, WHO, lambda _: None)
    assert (done, differences) == (list(INPUTS), [])
    assert stored(studio) == before
    assert outcome(studio) == ("same", 0)


def test_a_step_whose_code_is_another_now_is_named(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    do(studio, FIRST)
    real = running.code_version
    for room in (running, replaying):
        monkeypatch.setattr(room, "code_version", lambda step: "0" * 12 if step == "quality_gate" else real(step))
    done, differences = replay(studio, ORDER, WHO, lambda _: None)
    assert done == ["ingest"]
    assert differences == [Difference("quality_gate", "code", real("quality_gate"), "0" * 12)]
    assert outcome(studio) == ("differs", 1)


def test_a_result_changed_in_the_vault_is_named_and_not_mistaken_for_other_code(studio: Studio, tmp_path: Path) -> None:
    do(studio, FIRST)
    with studio.transaction() as connection:
        row = registry.latest_step(connection, ORDER, "ingest")
    assert row is not None
    forged = tmp_path / "forged"
    forged.write_bytes(b"not what was stored")
    studio.store.delete(row.outputs[0].uri)
    studio.store.put(row.outputs[0].uri, forged)
    done, differences = replay(studio, ORDER, WHO, lambda _: None)
    assert done == ["ingest"]
    assert [(one.step, one.name, one.again) for one in differences] == [("ingest", row.outputs[0].name, "")]


def test_without_consent_nothing_is_done_again(studio: Studio) -> None:
    do(studio, FIRST)
    withdraw_consent(studio, ORDER, WHO, by="Bea Example", reason="enough")
    with pytest.raises(ConsentRefused):
        replay(studio, ORDER, WHO, lambda _: None)
