"""`memorial consent`: what a person types, reads, and gets as an exit status."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import rdflib
import typer
from typer.testing import CliRunner

from memorial_tasks.cli import consent as command
from memorial_tasks.consent import acts
from memorial_tasks.consent.erasure import verify_erasure
from memorial_tasks.consent.export import verify_receipt
from memorial_tasks.production.studio import now

pytestmark = pytest.mark.integration
Run = Callable[..., Any]


@pytest.fixture
def run(house: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against the house; returns exit status, standard output, standard error."""
    house.at = now()
    monkeypatch.setenv("MEMORIAL_HOME", str(house.studio.settings.home))
    monkeypatch.setenv("MEMORIAL_DATABASE_URL", house.studio.database)
    monkeypatch.setenv("MEMORIAL_OPERATOR", "ann")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(command.app, list(words))
        return result.exit_code, result.stdout, result.stderr

    return call


def test_show_says_yes_and_why(house: Any, run: Run) -> None:
    house.enter()
    status, text, _ = run("show", "order-1")
    assert status == 0
    for words in ("YES", "rank", "Art. 994", "papers were seen", "daughter"):
        assert words in text
    status, text, _ = run("show", "order-1", "--language", "zh")
    assert "可以进行" in text
    assert "签署人已表示同意" in text


def test_show_json_is_one_document_with_decision_and_reasons(house: Any, run: Run) -> None:
    house.enter()
    status, text, _ = run("show", "order-1", "--json")
    document = json.loads(text)
    assert (status, document["decision"], document["order"]) == (0, "granted", "order-1")
    assert {"code", "for_or_against", "text", "article"} <= document["reasons"][0].keys()
    assert "林晓" not in text


def test_a_refusal_names_the_rule_the_article_and_the_way_out(house: Any, run: Run) -> None:
    house.enter(purpose="film")
    status, text, _ = run("show", "order-1")
    assert status == 1
    for words in ("NO", "lifetime authorisation", "Art. 993", "-> ", "identity", "--approver NAME"):
        assert words in text, words


def test_objecting_deciding_and_withdrawing_from_the_command(house: Any, run: Run) -> None:
    house.enter()
    status, text, _ = run(
        "object", "order-1", "--by", "周敏", "--relation", "sibling", "--reason", "我不同意", "--json"
    )
    assert (status, json.loads(text)["decision"]) == (0, "frozen")
    status, text, _ = run("show", "order-1")
    assert status == 1
    assert "PAUSED" in text
    assert "我不同意" in text, "the person who decides must be able to read the objection"
    assert "我不同意" not in run("show", "order-1", "--json")[1]
    assert run("resolve", "order-1", "--outcome", "dismissed")[0] == 0
    status, text, _ = run("withdraw", "order-1", "--json")
    assert (status, json.loads(text)["state"]) == (0, "withdrawn")
    assert run("show", "order-1")[0] == 1
    status, text, _ = run("renew", "order-1", "--json")
    assert (status, json.loads(text)["record_version"]) == (0, 2)


def test_a_second_person_grants(house: Any, run: Run) -> None:
    papers = ["p/kinship.pdf", "p/death.pdf", "p/identity.pdf"]
    house.enter(purpose="ceremony", grantors=[{"name": "林晓", "relation": "daughter", "evidence": papers}])
    assert run("show", "order-1")[0] == 1
    status, _, errors = run("grant", "order-1", "--approver", "Ann")
    assert status == 1
    assert "another person" in errors
    status, text, _ = run("grant", "order-1", "--approver", "ben", "--json")
    assert (status, json.loads(text)["approvers"]) == (0, ["ann", "ben"])
    approval = house.audit()[-1]
    assert (approval.type, approval.actor.id, approval.reason_code) == ("evidence.approved", "ben", "typed-by:ann")


@pytest.mark.parametrize(
    "words",
    [
        ("show", "order-9"),
        ("show", "../../etc/passwd"),
        ("show", "order-1", "--purpose", "fun"),
        ("resolve", "order-1", "--outcome", "dismissed"),
        ("resolve", "order-1", "--outcome", "whatever"),
        ("object", "order-1", "--by", "X", "--relation", "cousin"),
        ("withdraw", "order-1", "--by", "nobody"),
        ("export", "order-1", "--format", "pdf"),
    ],
)
def test_what_cannot_be_done_says_what_and_what_to_do(house: Any, run: Run, words: tuple[str, ...]) -> None:
    house.enter()
    status, text, errors = run(*words)
    assert status == 1
    assert text == ""
    assert len(errors.strip()) > 20
    status, text, _ = run(*words, "--json")
    assert status == 1
    assert {"error", "what", "remedy"} <= json.loads(text).keys()


def test_wrong_use_is_status_two(run: Run) -> None:
    assert run("show")[0] == 2
    assert run("grant", "order-1")[0] == 2
    assert run("nonsense")[0] == 2


def test_exports_are_read_by_others(house: Any, run: Run, tmp_path: Path) -> None:
    house.enter()
    _, text, _ = run("export", "order-1", "--format", "dpv")
    assert len(rdflib.Graph().parse(data=text, format="json-ld")) > 50
    target = tmp_path / "receipt.json"
    status, _, _ = run("export", "order-1", "--out", str(target))
    assert status == 0
    verify_receipt(json.loads(target.read_text()), house.studio.keys.trusted)


def test_after_erasure_show_still_answers(house: Any, run: Run) -> None:
    from memorial_tasks.consent.erasing import erase_everything

    house.enter()
    erase_everything(house.studio, "order-1", reason="requested")
    status, text, _ = run("show", "order-1")
    assert status == 1
    assert "everything was erased" in text
    status, _, errors = run("export", "order-1")
    assert status == 1
    assert "erased" in errors


def test_erase_asks_then_erases_and_gives_a_receipt(house: Any, run: Run) -> None:
    app = typer.Typer()
    app.command()(command.erase)
    app.callback()(lambda: None)
    house.enter()

    def erase(*words: str, answer: str = "") -> tuple[int, str]:
        result = CliRunner().invoke(app, ["erase", *words], input=answer)
        return result.exit_code, result.stdout

    assert erase("order-1", answer="n\n")[0] == 1
    assert erase("order-1", "--json")[0] == 1
    assert house.decide().granted
    status, text = erase("order-1", "--yes", "--json")
    assert status == 0
    document = json.loads(text)
    assert document["receipt"]["orders"] == ["order-1"]
    assert Path(document["file"]).is_file()
    verify_erasure(document, house.studio.keys.trusted)
    assert erase("order-1", "--yes")[0] == 0
    assert erase("sub-nobody", "--yes")[0] == 1


def test_show_explains_every_standing_to_somebody_who_never_saw_the_code(house: Any, run: Run) -> None:
    """Asked for, on ice, upheld, withdrawn, expired, erased: the answer, why, what happens next, what can be done."""
    from datetime import timedelta

    from memorial_tasks.consent.erasing import erase_everything
    from memorial_tasks.domain.words import Relation

    def told(order: str) -> str:
        return " ".join(run("show", order)[1].split())

    def act(function: Any, order: str, **fields: Any) -> None:
        with house.tx() as connection:
            function(connection, order, house.studio.keys, house.sealer, operator="ann", now=house.at, **fields)

    house.enter("granted-1")
    assert "Every step asks again" in told("granted-1")
    house.enter("frozen-1")
    act(acts.object_to, "frozen-1", name="K", relation=Relation.SON, reason="")
    assert "PAUSED" in told("frozen-1")
    assert "Nothing is deleted and nothing goes on" in told("frozen-1")
    assert "memorial consent resolve frozen-1" in told("frozen-1"), "commands can be copied as they stand"
    act(acts.resolve, "frozen-1", outcome="upheld", reason="")
    assert "An objection was found justified" in told("frozen-1")
    house.enter("withdrawn-1")
    act(acts.withdraw, "withdrawn-1", by="", reason="")
    due = f"{house.at + acts.ERASURE_GRACE:%Y-%m-%d}"
    assert f"destroyed on {due}" in told("withdrawn-1")
    assert "memorial consent renew withdrawn-1" in told("withdrawn-1")
    house.at -= timedelta(days=40)
    house.enter("expired-1", consent={"months": 1})
    assert "The consent has expired" in told("expired-1")
    assert "Art. 19" in told("expired-1")
    assert "day the watch has set" in told("expired-1")
    erase_everything(house.studio, "granted-1", reason="requested")
    assert "what is left only proves it" in told("granted-1")
    chinese = run("show", "withdrawn-1", "--language", "zh")[1]
    for words in ("不可以进行", "接下来", "签署人撤回同意", due):
        assert words in chinese


def test_show_lists_what_is_dated_after_the_death_for_the_one_who_approves_it(house: Any, run: Run) -> None:
    said = {"dated_later": [{"file": "photos/a.jpg", "reason": "a photographed print"}]}
    house.enter(consent=said, captured={"photos/a.jpg": ("d" * 64, date(2021, 5, 6))})
    status, text, _ = run("show", "order-1")
    assert status == 1
    assert "2021-05-06: a photographed print" in text
    assert "enough for the family" not in text, "one person is not enough here"
    assert run("grant", "order-1", "--approver", "ben")[0] == 0


def test_a_refused_approval_is_in_the_audit_log(house: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    house.enter(purpose="ceremony")
    assert run("grant", "order-1", "--approver", "ANN")[0] == 1
    entry = house.audit()[-1]
    assert (entry.type, entry.decision, entry.actor.id) == ("evidence.refused", "refused", "ann")
    # Where the settings demand two persons, a colleague's name typed under the submitting account does not count.
    monkeypatch.setenv("MEMORIAL_EVIDENCE_APPROVALS", "2")
    status, _, errors = run("grant", "order-1", "--approver", "ben")
    assert status == 1
    assert "own account" in errors
    monkeypatch.setenv("MEMORIAL_OPERATOR", "ben")
    run("grant", "order-1", "--approver", "ben")
    assert [entry.actor.id for entry in house.audit() if entry.type == "evidence.approved"] == ["ben"]
