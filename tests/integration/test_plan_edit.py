"""A person edits the direction plan: checked, stored encrypted, audited; what follows gets another key."""

import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.database import registry
from memorial_tasks.database.registry import MaterialRow
from memorial_tasks.domain.job import ArtifactRef, Result
from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import DirectionPlan
from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import InputRefused, MemorialError
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.production.plans import change_plan, current_plan, show_plan
from memorial_tasks.production.steps import current_result, plan
from memorial_tasks.production.studio import Who
from memorial_tasks.vault.store import EncryptedStore

pytestmark = pytest.mark.integration

_spec = importlib.util.spec_from_file_location("plan_house", Path(__file__).parent / "consent" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["plan_house"] = _module  # dataclasses look their module up by name
_spec.loader.exec_module(_module)
house = _module.house

ANN = Who("person", "ann")


def _put(house: Any, scratch: Path, name: str, body: bytes) -> tuple[str, str, int]:
    source = scratch / "source"
    source.write_bytes(body)
    key = house.studio.keyring.unwrap(house.order().subject_id)
    uri = f"vault://orders/order-1/test/{name}"
    sha256, size = EncryptedStore(house.studio.store, key, scratch).put(uri, source)
    return uri, sha256, size


def _directed(house: Any, scratch: Path, made: DirectionPlan) -> str:
    """Registers a result of `direct` with this plan under the key it has now; returns the key."""
    body = json.dumps(made.model_dump(mode="json")).encode()
    with house.tx() as connection:
        planned = plan(house.studio, connection, house.order(), "direct")
    uri, sha256, size = _put(house, scratch, f"{planned.key[:12]}/plan.json", body)
    at = datetime.now(UTC)
    with house.tx() as connection:
        registry.start_step(
            connection, "order-1", "direct", planned.key, code_version=planned.version, params=planned.params,
            inputs=planned.inputs,
        )  # fmt: skip
        registry.finish_step(
            connection,
            Result(
                step="direct", order="order-1", result_key=planned.key, code_version=planned.version,
                outputs=(ArtifactRef(name="plan.json", uri=uri, sha256=sha256, size=size),), metrics={},
                started_at=at, finished_at=at, wall_s=0.1, cpu_s=0.1, peak_memory_mb=1.0,
            ),
        )  # fmt: skip
    return str(planned.key)


@pytest.fixture
def directed(house: Any, tmp_path: Path) -> tuple[Any, DirectionPlan, str]:
    house.enter()
    lines = [ScriptLine(text=text) for text in _module.SCRIPT]
    uri, sha256, size = _put(house, tmp_path, "script.json", json.dumps([line.model_dump() for line in lines]).encode())
    with house.tx() as connection:
        document = MaterialRow("order-1", "script.json", MaterialKind.DOCUMENT, uri, sha256, size, "application/json")
        registry.add_material(connection, document)
    made = direct_script(lines, house.order().language)
    return house, made, _directed(house, tmp_path, made)


def test_an_edit_is_stored_audited_and_changes_every_later_key(directed: tuple[Any, DirectionPlan, str]) -> None:
    house, made, key = directed
    page = show_plan(house.studio, "order-1")
    assert current_plan(house.studio, "order-1") == made
    edited = page.replace(f"intensity: {made.lines[0].intensity}", "intensity: 0.95", 1)
    assert change_plan(house.studio, "order-1", edited, ANN) == (0,)
    with house.tx() as connection:
        assert plan(house.studio, connection, house.order(), "direct").key != key
        assert current_result(house.studio, connection, house.order(), "direct") is None, "the old plan is not used"
        stored = {one.material_id: one for one in registry.list_materials(connection, "order-1")}["direction.json"]
    last = house.audit()[-1]
    assert (last.type, last.data["lines"]) == ("order.plan_changed", 1)
    assert stored.sha256 == last.refs["plan/now"]
    assert not any(word in json.dumps(last.data) for word in _module.SCRIPT), "no words of the script in the audit"


def test_saying_the_same_changes_nothing(directed: tuple[Any, DirectionPlan, str]) -> None:
    house, _, key = directed
    assert change_plan(house.studio, "order-1", show_plan(house.studio, "order-1"), ANN) == ()
    with house.tx() as connection:
        assert plan(house.studio, connection, house.order(), "direct").key == key


def test_other_words_are_refused_and_nothing_is_stored(directed: tuple[Any, DirectionPlan, str]) -> None:
    house, made, key = directed
    page = show_plan(house.studio, "order-1").replace(made.lines[0].text, "Please sign the papers.")
    with pytest.raises(InputRefused, match="not those of the script"):
        change_plan(house.studio, "order-1", page, ANN)
    with house.tx() as connection:
        assert plan(house.studio, connection, house.order(), "direct").key == key


def test_without_a_plan_there_is_nothing_to_edit(house: Any) -> None:
    house.enter()
    with pytest.raises(MemorialError, match="no plan yet"):
        show_plan(house.studio, "order-1")
