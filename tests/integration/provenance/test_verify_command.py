import json

import pytest
import typer
from typer.testing import CliRunner

from memorial_tasks.cli import verify
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
