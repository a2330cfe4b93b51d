"""`memorial audit ...` as it is typed: answers, documents for machines, exit statuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.service import AuditRoom
from memorial_tasks.cli.audit import app
from memorial_tasks.database.connection import execute
from tests.integration.audit.conftest import superuser, write

pytestmark = pytest.mark.integration
Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(room: AuditRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in the studio of `room`; the document when ``--json`` is among the words, else the text."""
    monkeypatch.setenv("MEMORIAL_HOME", str(tmp_path))
    monkeypatch.setenv("MEMORIAL_DATABASE_URL", room.url)

    def typed(*words: str) -> tuple[int, Any]:
        done = CliRunner().invoke(app, list(words))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout) if "--json" in words else done.stdout

    return typed


def test_list(run: Run) -> None:
    status, document = run("list", "--order", "order-3", "--newest", "5", "--json")
    assert (status, len(document["entries"])) == (0, 5)
    assert {entry["order"] for entry in document["entries"]} == {"order-3"}
    assert "step.finished" in run("list", "--type", "step.")[1]
    assert run("list", "--order", "nobody")[1].strip() == "no entries"
    assert run("list", "--newest", "0")[0] == 2


def test_checkpoint(run: Run, room: AuditRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    write(room.url, range(700, 705))
    status, document = run("checkpoint", "--json")
    assert (status, document["size"], document["missed"]) == (0, 705, {})
    assert notes.open_note(document["note"], room.keys.public).size == 705
    monkeypatch.setenv("MEMORIAL_TSA_URL", "http://127.0.0.1:9/")  # nobody answers there
    status, document = run("checkpoint", "--json")
    assert status == 1
    assert "rfc3161:http://127.0.0.1:9/" in document["missed"]
    monkeypatch.delenv("MEMORIAL_TSA_URL")
    assert [entry["data"] for entry in run("list", "--type", "anchor.missed", "--json")[1]["entries"]] == [
        {"anchor": "rfc3161"}
    ]


def test_verify_here_and_in_a_bundle(run: Run, room: AuditRoom, tmp_path: Path) -> None:
    status, exported = run("export", "--out", str(tmp_path / "bundle"), "--json")
    assert (status, exported["entries"], exported["key"]) == (0, 700, str(room.keys.public[0]))
    assert run("export", "--out", str(tmp_path / "bundle"))[0] == 1  # never over something
    old = tmp_path / "old.note"
    old.write_text(room.folder.read()[0])
    for words in ((), ("--bundle", str(tmp_path / "bundle"), "--key", exported["key"])):
        status, document = run("verify", *words, "--checkpoint", str(old), "--json")
        assert (status, document["verified"], document["size"], document["first_bad"]) == (0, True, 700, None)
    with superuser(room.url) as connection:
        execute(connection, "UPDATE audit.event SET body = body || 'x' WHERE id = 5")
    status, document = run("verify", "--json")
    assert (status, document["verified"], document["first_bad"]["code"]) == (1, False, "changed")
    assert "NOT verified" in run("verify")[1]
    assert run("verify", "--bundle", str(tmp_path / "nothing"))[0] == 1


def test_prove_an_entry_a_file_and_growth(run: Run, room: AuditRoom, tmp_path: Path) -> None:
    proof, old = tmp_path / "proof.json", tmp_path / "old.note"
    old.write_text(room.folder.read()[0])
    for words in (("7",), (f"{7:064x}",), ("--since", str(old))):
        assert run("prove", *words, "--out", str(proof))[0] == 0
        status, document = run("verify", "--proof", str(proof), "--key", str(room.keys.public[0]), "--json")
        assert (status, document["verified"]) == (0, True)
    assert run("prove", "99999")[0] == 1
    assert run("prove", "f" * 64, "--json")[0] == 1
    assert run("prove")[0] == 2
    proof.write_text("{}")
    assert run("verify", "--proof", str(proof))[0] == 1


@pytest.mark.parametrize(("about", "kind", "count"), [("order-2", "order", 100), ("2000-01..2099-12", "period", 700),
                                                      ("sub-9", "subject", 3)])  # fmt: skip
def test_report(run: Run, room: AuditRoom, tmp_path: Path, about: str, kind: str, count: int) -> None:
    if kind == "subject":
        write(room.url, range(800, 803), subject="sub-9", order=None)
    status, document = run("report", about, "--out", str(tmp_path / "reports"), "--json")
    assert (status, document["kind"], document["entries"], document["verified"]) == (0, kind, count, True)
    page = Path(document["html"]).read_text("utf-8")
    assert "审计报告" in page
    assert "Audit report" in page
    assert Path(document["pdf"]).read_bytes().startswith(b"%PDF-1.7")
    assert run("report", "unknown-order", "--out", str(tmp_path / "reports"))[0] == 1


def test_a_report_on_a_changed_log_says_so_and_exits_1(run: Run, room: AuditRoom, tmp_path: Path) -> None:
    with superuser(room.url) as connection:
        execute(connection, "UPDATE audit.event SET body = body || 'x' WHERE id = 20")
    status, document = run("report", "order-3", "--out", str(tmp_path / "reports"), "--json")
    assert (status, document["verified"]) == (1, False)
    assert "NOT genuine: entry 19" in Path(document["html"]).read_text("utf-8")


def test_rotate_key(run: Run, room: AuditRoom) -> None:
    status, document = run("rotate-key", "--json")
    assert (status, document["size"], document["missed"]) == (0, 701, {})
    assert document["key"] != str(room.keys.public[0])
    assert notes.announces(document["note"], [notes.parse_key(document["key"])])
    status, found = run("verify", "--json")
    assert (status, found["checkpoints"]) == (0, 4)
