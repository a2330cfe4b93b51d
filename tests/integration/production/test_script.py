"""Another script: everything wrong with it told at once, nothing made of it before the grantors agree."""

import json
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.consent import acts
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError
from memorial_tasks.production import orders
from memorial_tasks.production.consents import require_consent
from memorial_tasks.production.gates import export_document
from memorial_tasks.production.script import change_script
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.settings import Settings
from tests.support.noop_orders import place

pytestmark = pytest.mark.integration

ORDER = "order-1"
WHO = Who("person", "ann")


@pytest.fixture
def studio(database: str, tmp_path: Path) -> Studio:
    """A studio with one order; its script is one English line."""
    studio = Studio.open(Settings(home=tmp_path / "home", database_url=database, operator="ann"))
    place(studio, ORDER)
    return studio


def written(folder: Path, text: str, name: str = "script.txt") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def granted(studio: Studio) -> bool:
    try:
        require_consent(studio, ORDER, WHO)
    except ConsentRefused:
        return False
    return True


def row(studio: Studio) -> Any:
    with studio.transaction() as connection:
        return studio.order(connection, ORDER)


def agree(studio: Studio) -> None:
    with studio.transaction() as connection:
        acts.renew(
            connection, ORDER, studio.keys, KeyringSealer(studio.keyring), operator="ann", now=now(),
            script_sha256=row(studio).script_sha256,
        )  # fmt: skip


def test_a_changed_script_is_worth_nothing_before_the_grantors_agree(studio: Studio, tmp_path: Path) -> None:
    assert granted(studio)
    assert change_script(studio, ORDER, written(tmp_path, "Do not worry about me.\n\nPlant the roses."), WHO)
    assert not granted(studio)
    assert row(studio).reason_code == "script.changed"
    agree(studio)
    assert granted(studio)


def test_more_time_alone_does_not_sign_the_changed_script(studio: Studio, tmp_path: Path) -> None:
    change_script(studio, ORDER, written(tmp_path, "Buy this now."), WHO)
    with studio.transaction() as connection:
        acts.renew(connection, ORDER, studio.keys, KeyringSealer(studio.keyring), operator="ann", now=now())
    assert not granted(studio)


def test_the_steps_get_the_new_lines_and_the_old_ones_stay_for_what_was_made_of_them(
    studio: Studio, tmp_path: Path
) -> None:
    def uri() -> str:
        with studio.transaction() as connection:
            return next(m.uri for m in registry.list_materials(connection, ORDER) if m.material_id == "script.json")

    before = uri()
    change_script(studio, ORDER, written(tmp_path, "Plant the roses."), WHO)
    agree(studio)
    assert uri() != before
    assert studio.store.exists(before)
    shown = json.loads((export_document(studio, ORDER, ("script.json",)) / "script.json").read_text("utf-8"))
    assert [line["text"] for line in shown] == ["Plant the roses."]


def test_the_same_script_changes_nothing(studio: Studio, tmp_path: Path) -> None:
    path = written(tmp_path, "I am well where I am.\n")
    assert change_script(studio, ORDER, path, WHO) is False
    assert granted(studio)


def test_only_the_way_a_line_is_said_needs_no_new_consent(studio: Studio, tmp_path: Path) -> None:
    path = written(tmp_path, "script:\n- {text: I am well where I am., emotion: happy}\n", "script.yaml")
    assert change_script(studio, ORDER, path, WHO)
    assert granted(studio)


def test_a_rejected_script_is_replaced_and_the_order_goes_on(studio: Studio, tmp_path: Path) -> None:
    with studio.transaction() as connection:
        registry.set_state(
            connection, ORDER, OrderState.REJECTED, allowed_from=[OrderState.SUBMITTED], reason_code="review.script"
        )
    with pytest.raises(MemorialError, match="still the same"):
        orders.restart(studio, ORDER, WHO)
    change_script(studio, ORDER, written(tmp_path, "Plant the roses."), WHO)
    assert orders.restart(studio, ORDER, WHO) == "order-1--1"


@pytest.mark.parametrize("state", [OrderState.RUNNING, OrderState.IN_REVIEW, OrderState.FROZEN, OrderState.WITHDRAWN])
def test_an_order_that_works_or_is_over_keeps_its_script(studio: Studio, tmp_path: Path, state: OrderState) -> None:
    before = row(studio).script_sha256
    with studio.transaction() as connection:
        registry.set_state(connection, ORDER, state, allowed_from=list(OrderState))
    with pytest.raises(MemorialError, match="cannot be changed now"):
        change_script(studio, ORDER, written(tmp_path, "Plant the roses."), WHO)
    assert row(studio).script_sha256 == before


FAULTS = {
    "script.yaml": [
        ("script:\n- {text: Hello.}\ngrantors: []\n", "neither script nor translation"),
        ("script:\n- {text: Hello., mood: glad}\n", "unknown key"),
        ("script: [", "YAML"),
        ("script:\n- {text: Hello.}\ntranslation: {zh-CN: [一, 二]}\n", "2 lines where the script has 1"),
    ],
    "script.txt": [("\n \n", "nothing to speak"), ("x" * 100_000, "more than")],
}


@pytest.mark.parametrize(("name", "text", "words"), [(n, t, w) for n, many in FAULTS.items() for t, w in many])
def test_a_file_that_is_no_script_is_refused_and_nothing_changes(
    studio: Studio, tmp_path: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(InputRefused) as refused:
        change_script(studio, ORDER, written(tmp_path, text, name), WHO)
    assert words in str(refused.value)
    assert granted(studio)


# --- memorial render -------------------------------------------------------------------------------------------------


@pytest.fixture
def render(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, with only the last call, the one to Airflow, noted instead of made: `started` lists the orders."""
    from typer.testing import CliRunner

    from memorial_tasks.cli import application, order

    started: list[str] = []
    monkeypatch.setattr(order, "_trigger", lambda _studio, order_id, **_how: started.append(order_id))
    environment = {
        "MEMORIAL_HOME": str(studio.settings.home), "MEMORIAL_DATABASE_URL": studio.database,
        "MEMORIAL_OPERATOR": "ann",
    }  # fmt: skip

    def run(path: Path, expect: int) -> dict[str, Any]:
        done = CliRunner().invoke(application(), ["render", ORDER, "--script", str(path), "--json"], env=environment)
        assert done.exit_code == expect, done.output
        return json.loads(done.stdout) if done.stdout.strip() else {}

    run.started = started  # type: ignore[attr-defined]
    return run


def approved(studio: Studio) -> None:
    with studio.transaction() as connection:
        registry.record_review(
            connection, ORDER, "review-1", subject_matter="film", decision="approved", reviewer="rita", digest="0" * 64
        )


def test_another_film_is_made_of_approved_models_and_an_agreed_script_only(
    studio: Studio, render: Any, tmp_path: Path
) -> None:
    path = written(tmp_path, "Plant the roses.")
    before = row(studio).script_sha256
    assert "approved" in render(path, 1)["what"]
    assert row(studio).script_sha256 == before, "nothing was stored"
    approved(studio)
    told = render(path, 1)
    assert (told["changed"], told["run_id"]) == (True, None)
    assert "consent renew" in told["next"]
    assert render.started == [], "nothing runs before the grantors agreed"
    assert render(path, 1)["changed"] is False
    agree(studio)
    render(path, 0)
    assert render.started == [ORDER]
