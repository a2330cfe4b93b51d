import hashlib
import json

import pytest
import typer
from typer.testing import CliRunner

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.cli import verify
from memorial_tasks.database.connection import transaction
from memorial_tasks.settings import Settings


@pytest.fixture
def run(bench, monkeypatch):
    app = typer.Typer()
    app.command()(verify.verify)
    monkeypatch.setenv("MEMORIAL_ASSETS", str(bench.assets))
    monkeypatch.setattr(verify, "_trust", lambda settings: (bench.credential.anchors_pem, bench.key))

    def go(*arguments, audited=True):
        answer = {"ok": audited, "detail": "entry 3 of 9", "sha256": ""}
        monkeypatch.setattr(verify, "_audited", lambda settings, file: answer)
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return go


def test_a_good_film(bench, run):
    result = run(bench.sealed, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["verified"] is True
    for layer in ("label", "aigc", "c2pa", "watermark", "audit"):
        assert document[layer]["ok"] is True
        assert document[layer]["detail"]
    assert "verified" in run(bench.sealed).stdout


def test_a_film_that_is_not_on_record_or_not_ours_is_a_no(bench, run):
    assert run(bench.sealed, audited=False).exit_code == 1
    result = run(bench.film, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verified"] is False
    assert run(bench.sealed, "--content-id", "MS-order-2").exit_code == 1


def test_wrong_use(bench, run):
    assert run(bench.folder / "absent.mp4").exit_code == 2
    assert run().exit_code == 2
    assert run(bench.folder).exit_code == 2


def test_where_no_studio_is_set_up_there_is_no_trust(tmp_path):
    assert verify._trust(Settings(home=tmp_path / "nowhere")) == ("", b"")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.integration
def test_only_a_delivered_film_is_on_record(bench, database, tmp_path):
    settings = Settings(home=tmp_path, database_url=database)
    digest = hashlib.sha256(bench.sealed.read_bytes()).hexdigest()

    def record(kind):
        with transaction(database) as connection:
            actor = Actor(kind="service", id="worker")
            append(connection, AuditEvent(type=kind, order="order-1", actor=actor, refs={"film": digest}))

    assert verify._audited(settings, bench.sealed)["ok"] is False
    record("step.finished")
    answer = verify._audited(settings, bench.sealed)
    assert not answer["ok"]
    assert "never delivered" in answer["detail"]
    record("film.delivered")
    answer = verify._audited(settings, bench.sealed)
    assert answer["ok"], answer
    assert answer["sha256"] == digest
    # bytes added in a box of their own leave the manifest valid, but this is another file
    longer = tmp_path / "longer.mp4"
    longer.write_bytes(bench.sealed.read_bytes() + b"\0\0\0\x10freehidden!!")
    assert bench.verify(longer).c2pa.ok
    assert not verify._audited(settings, longer)["ok"]
