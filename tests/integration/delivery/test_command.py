"""`memorial delivery`, archives, and what a link may promise."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memorial_tasks.cli import application
from memorial_tasks.delivery import door, links
from memorial_tasks.delivery.archive import make_archive
from memorial_tasks.delivery.receipts import verify_receipt
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError
from memorial_tasks.production.deliveries import deliver
from memorial_tasks.production.studio import Who

pytestmark = pytest.mark.integration
WHO = Who("person", "tester")


def memorial(films: Any, *arguments: str, expect: int = 0) -> Any:
    """The command in this process, with the studio's environment."""
    done = CliRunner().invoke(application(), ["delivery", *arguments, "--json"], env=films.environment)
    assert done.exit_code == expect, done.output
    return json.loads(done.stdout) if done.stdout.strip().startswith("{") else {}


def test_an_operator_makes_lists_and_revokes_a_link(films: Any) -> None:
    order = films.delivered()
    made = memorial(films, "link", order, "--downloads", "2", "--days", "7")
    assert re.fullmatch(rf"http://127\.0\.0\.1:{films.studio.settings.delivery_port}/film/[\w-]{{43}}", made["link"])
    assert re.fullmatch(r"\w{4}-\w{4}", made["code"])
    until = datetime.fromisoformat(made["expires_at"])
    assert timedelta(days=6.9) < until - datetime.now(UTC) < timedelta(days=7.1)
    listed = memorial(films, "list", order)
    assert [(one["link_id"], one["state"], one["used"]) for one in listed["links"]] == [(made["link_id"], "open", 0)]
    assert listed["recipients"] == [{"recipient": made["recipient"], "who": "daughter"}]
    assert made["code"] not in json.dumps(listed)
    assert "林晓" not in json.dumps(listed, ensure_ascii=False)
    assert memorial(films, "revoke", made["link_id"]) == {"revoked": [made["link_id"]]}
    assert memorial(films, "revoke", order) == {"revoked": []}
    assert memorial(films, "list", order)["links"][0]["state"] == "revoked"


def test_wrong_use_is_2_and_a_no_is_1(films: Any) -> None:
    order = films.order()
    memorial(films, "link", expect=2)
    memorial(films, "link", order, "--downloads", "many", expect=2)
    refused = memorial(films, "link", order, expect=1)
    assert "nothing is delivered" in refused["what"]
    assert "memorial order run" in refused["remedy"]
    memorial(films, "revoke", "lnk-0000000000000000", expect=1)
    memorial(films, "receipts", "no-such-order", expect=1)
    problems = memorial(films, "link", order, "--downloads", "0", "--days", "9999", expect=1)["problems"]
    assert {one["field"] for one in problems} == {"downloads", "days"}


def test_taking_back_by_command(films: Any) -> None:
    order = films.delivered()
    made = films.link(order)
    assert memorial(films, "withdraw", order, "--erase") == {
        "order": order, "erased": True, "deliveries": 1, "links": 1, "objects": 3,
    }  # fmt: skip
    assert memorial(films, "withdraw", order, "--erase")["objects"] == 0
    assert memorial(films, "list", order)["links"][0]["state"] == "revoked"
    assert [entry.data["link"] for entry in films.audit(order, "link.revoked")] == [made.link_id]


def test_only_whom_the_consent_names_gets_a_link(films: Any) -> None:
    order = films.delivered(recipients=["the grantors", "周敏"])
    with pytest.raises(InputRefused, match="1 problem"):
        films.link(order)
    with pytest.raises(ConsentRefused, match="does not name"):
        films.link(order, recipient="somebody else")
    by_reference, by_name = films.link(order, recipient="r2"), films.link(order, recipient="周敏")
    assert by_reference.recipient == by_name.recipient == "r2"
    daughter = films.link(order, recipient="林晓")
    refs = [entry.refs["recipient"] for entry in films.audit(order, "link.issued")]
    assert refs[0] == refs[1] != refs[2]
    assert daughter.recipient not in {"林晓", "r2"}
    assert "周敏" not in " ".join(entry.model_dump_json() for entry in films.audit(order))


def test_links_never_promise_more_copies_than_the_consent_or_outlive_it(films: Any) -> None:
    order = films.order(lasts=3600)
    deliver(films.studio, order, WHO)
    made = films.link(order, days=30, downloads=20)
    assert made.expires_at < datetime.now(UTC) + timedelta(hours=1)
    films.link(order, downloads=20)
    with pytest.raises(ConsentRefused, match="allows 50 copies and 40 are promised"):
        films.link(order, downloads=11)
    links.revoke(films.studio, made.link_id, WHO)
    films.link(order, downloads=11)


def test_no_link_and_no_archive_without_consent(films: Any, tmp_path: Path) -> None:
    order = films.delivered()
    films.withdraw(order)
    with pytest.raises(ConsentRefused):
        films.link(order)
    with pytest.raises(ConsentRefused):
        make_archive(films.studio, order, tmp_path / "film.zip", WHO)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_written_whole_and_opens_with_the_passphrase_shown_once(films: Any, tmp_path: Path) -> None:
    import pyzipper

    order = films.delivered(film=b"frames" * 500_000)
    out = tmp_path / "film.zip"
    made = memorial(films, "archive", order, "--out", str(out))
    with pyzipper.AESZipFile(out) as archive:
        archive.setpassword(made["passphrase"].encode())
        assert archive.read("film.mp4") == films.made[order]
        assert {"page/index.html", "README.txt", "receipt.json"} <= set(archive.namelist())
        assert any(name.startswith("subtitles/") for name in archive.namelist())
        inside = json.loads(archive.read("receipt.json"))
    assert verify_receipt(inside, films.studio.keys.trusted)["kind"] == "archive"
    entry = films.audit(order, "film.archived")[0]
    assert entry.refs["archive"] == made["sha256"]
    assert made["passphrase"] not in str(films.sql("SELECT receipt FROM delivery_download")) + entry.model_dump_json()
    again = memorial(films, "archive", order, "--out", str(out), expect=1)
    assert again["problems"][0]["code"] == "archive.exists"
    assert [path.name for path in tmp_path.iterdir()] == ["film.zip"]
    found = memorial(films, "receipts", order)["receipts"]
    assert [one["receipt"]["kind"] for one in found] == ["archive"]


def test_consent_that_ends_while_the_archive_is_written_leaves_no_file(
    films: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memorial_tasks.delivery import archive as archive_module

    order, real = films.delivered(), archive_module.write_zip

    def meanwhile(*arguments: Any) -> None:
        real(*arguments)
        films.withdraw(order)

    monkeypatch.setattr(archive_module, "write_zip", meanwhile)
    with pytest.raises(ConsentRefused):
        make_archive(films.studio, order, tmp_path / "film.zip", WHO)
    assert list(tmp_path.iterdir()) == []
    assert films.audit(order, "film.archived") == []


def test_an_archive_that_cannot_be_written_says_so(films: Any, tmp_path: Path) -> None:
    order = films.delivered()
    with pytest.raises(MemorialError, match="cannot be written"):
        make_archive(films.studio, order, tmp_path / "no" / "such" / "folder" / "film.zip", WHO)


def test_the_application_cannot_change_what_was_signed_or_for_whom_a_link_is(films: Any) -> None:
    import psycopg2

    order = films.delivered()
    films.link(order)
    for statement in (
        "UPDATE delivery_link SET recipient_ref = repeat('0', 64)",
        "UPDATE delivery_link SET expires_at = now() + interval '9 years'",
        "UPDATE delivery_link SET downloads_allowed = 99",
        "UPDATE delivery_link SET downloads_used = downloads_allowed + 1",
        "UPDATE delivery_download SET receipt = ''",
        "DELETE FROM delivery_link",
        "DELETE FROM delivery_download",
    ):
        with pytest.raises(psycopg2.Error), films.studio.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize(("event", "code"), [("withdraw", "consent.ended"), ("revoke", "link.revoked")])
def test_what_ends_between_the_code_and_the_film_is_seen(
    films: Any, event: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = films.delivered()
    made, real = films.link(order), door._ready

    def meanwhile(*arguments: Any) -> Any:
        films.withdraw(order) if event == "withdraw" else links.revoke(films.studio, order, WHO)
        return real(*arguments)

    monkeypatch.setattr(door, "_ready", meanwhile)
    with pytest.raises(door.LinkRefused) as refused:
        door.take(films.door, made.url.rpartition("/")[2], made.code)
    assert refused.value.code == code
    assert films.sql("SELECT downloads_used FROM delivery_link WHERE link_id = %s", made.link_id) == [(0,)]
    assert films.audit(order, "film.downloaded") == []
