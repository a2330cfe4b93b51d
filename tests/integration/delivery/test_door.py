"""The gate is the one process strangers reach: what it is given, and what whoever takes it over could not do."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn, parse_dsn
from typer.testing import CliRunner

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.cli import application
from memorial_tasks.delivery.door import Door
from memorial_tasks.delivery.keys import GATE_KEY, gate_keys, receipt_keys
from memorial_tasks.delivery.receipts import Receipt, verify_receipt
from memorial_tasks.errors import MemorialError
from memorial_tasks.settings import Settings
from tests.integration.delivery.conftest import free_port, start_gate, stop_gate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def login(films: Any) -> Iterator[str]:
    """A login of the database as the runbook makes it for the gate: a member of its one role, nothing else."""
    name, password = f"gate_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    connection = psycopg2.connect(films.studio.database)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(name)), (password,))
        cursor.execute(sql.SQL("GRANT memorial_gate TO {}").format(sql.Identifier(name)))
    yield make_dsn(**parse_dsn(films.studio.database) | {"user": name, "password": password})
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    connection.close()


@pytest.fixture
def attempt(login: str) -> Iterator[Callable[..., None]]:
    """Runs a statement as the gate's login, with and without taking its role."""
    connections = [
        psycopg2.connect(login, options=f"-c search_path=memorial{role}") for role in ("", " -c role=memorial_gate")
    ]

    def run(statement: str, *parameters: Any) -> None:
        refused = []
        for connection in connections:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement, parameters)
            except psycopg2.Error as error:
                refused.append(error)
            connection.rollback()
        assert len(refused) in (0, len(connections)), "the role and its member may do the same"
        if refused:
            raise refused[0]

    yield run
    for connection in connections:
        connection.close()


def test_the_gate_serves_with_its_own_login_and_its_own_folder_alone(films: Any, login: str, tmp_path: Path) -> None:
    order = films.delivered()
    made, port = films.link(order), free_port()
    kept = films.studio.settings
    plain = {name: value for name, value in films.environment.items() if not name.startswith("MEMORIAL_")}
    apart = plain | {
        "MEMORIAL_HOME": str(tmp_path / "home"), "MEMORIAL_DATABASE_URL": login, "MEMORIAL_GATE": str(kept.gate_dir),
        "MEMORIAL_DELIVERIES": str(kept.deliveries_dir),
    }  # fmt: skip
    gate = start_gate(replace(films, environment=apart), tmp_path / "log", port)
    try:
        assert gate.press(made.url, "0000-0000").status_code == 403
        assert gate.fetch(made.url, made.code).content == films.made[order]
        assert gate.fetch(made.url, made.code).status_code == 410
    finally:
        stop_gate(gate)
    assert not (tmp_path / "home").exists(), "it has no home: no keyring was made, no settings were noted"
    assert {entry.type for entry in films.audit(order)} >= {"film.downloaded", "link.refused"}


def test_the_gate_s_folder_holds_nothing_that_opens_anything(films: Any) -> None:
    folder = films.studio.settings.gate_dir
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    private = {name for name in names if "PRIVATE" in (folder / name).read_text()}
    assert private == {f"{GATE_KEY}.pem"}
    assert names - private == {f"consent-registrar-{films.studio.keys.registrar.kid}.pub.pem"}
    assert (folder / f"{GATE_KEY}.pem").stat().st_mode & 0o077 == 0
    assert gate_keys(folder).signer.kid not in films.studio.keys.trusted, "its key signs no consent"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM orders", "SELECT sealed_document FROM orders", "SELECT film_uri FROM orders",
        "SELECT * FROM consent_record", "SELECT sealed_detail FROM consent_event", "SELECT * FROM material",
        "SELECT * FROM step_run", "SELECT * FROM permit", "SELECT * FROM review", "SELECT * FROM subject",
        "SELECT * FROM audit.event", "SELECT receipt FROM delivery_download",
        "INSERT INTO audit.event (body) VALUES ('{}')", "INSERT INTO permit VALUES ('x')",
        "UPDATE orders SET state = 'delivered'", "UPDATE delivery SET revoked_at = NULL",
        "UPDATE delivery_link SET revoked_at = NULL", "UPDATE delivery_link SET expires_at = 'infinity'",
        "UPDATE delivery_link SET downloads_allowed = 99", "UPDATE delivery_link SET code_hash = ''",
        "DELETE FROM delivery_link", "DELETE FROM delivery_download", "CREATE TABLE memorial.mine (x int)",
        "SET ROLE memorial_app", "SET ROLE memorial_owner", "SET ROLE memorial_auditor",
    ],
)  # fmt: skip
def test_the_gate_s_login_may_not(attempt: Callable[..., Any], statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        attempt(statement)


def test_it_says_what_happened_at_a_link_and_nothing_else(films: Any, attempt: Callable[..., Any]) -> None:
    order, other = films.delivered(), films.delivered()
    link = films.link(order).link_id
    true = AuditEvent(
        type="link.refused",
        order=order,
        subject=f"sub-{order}",
        actor=Actor(kind="family", id=link),
        data={"link": link},
    )
    attempt("SELECT audit.append_from_gate(%s)", true.body())
    for forged in (
        true.model_copy(update={"type": "film.delivered"}),
        true.model_copy(update={"type": "consent.withdrawn"}),
        true.model_copy(update={"order": other}),
        true.model_copy(update={"subject": f"sub-{other}"}),
        true.model_copy(update={"actor": Actor(kind="person", id="operator")}),
        true.model_copy(update={"data": {"link": "lnk-0000000000000000"}}),
        true.model_copy(update={"data": {}}),
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="may not say this"):
            attempt("SELECT audit.append_from_gate(%s)", forged.body())
    insert = "INSERT INTO delivery_download (receipt_id, order_id, link_id, receipt, kid, signature) VALUES"
    for given in ((order, None), (other, link)):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="links of the order only"):
            attempt(f"{insert} ('r', %s, %s, '', 'k', repeat('0', 128))", *given)


def test_a_gate_without_keys_says_what_to_do_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(MemorialError, match="the gate has no keys") as told:
        Door.open(Settings(home=tmp_path, gate=tmp_path / "gate"))
    assert "memorial init" in told.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_download_s_receipt_is_checked_with_openssl_and_found_in_the_log(
    films: Any, gate: Any, tmp_path: Path
) -> None:
    order = films.delivered()
    made = films.link(order)
    assert gate.fetch(made.url, made.code).status_code == 200
    runner = CliRunner()
    told = runner.invoke(
        application(), ["delivery", "receipts", order, "--out", str(tmp_path), "--json"], env=films.environment
    )
    assert told.exit_code == 0, told.output
    (document,) = json.loads(told.stdout)["receipts"]
    receipt = tmp_path / f"{document['receipt']['receipt_id']}.json"
    key = tmp_path / f"{document['signature']['kid']}.pub.pem"
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(key), "-rawin", "-in", str(receipt)]
    done = subprocess.run([*command, "-sigfile", str(receipt.with_suffix(".sig"))], capture_output=True, check=False)
    assert b"Verified Successfully" in done.stdout, done.stderr
    proved = runner.invoke(application(), ["audit", "prove", str(receipt), "--json"], env=films.environment)
    assert proved.exit_code == 0, proved.output
    assert [json.loads(proof["entry"])["type"] for proof in json.loads(proved.stdout)["proofs"]] == ["film.downloaded"]
    proved = runner.invoke(application(), ["audit", "prove", str(key), "--json"], env=films.environment)
    assert [json.loads(proof["entry"])["type"] for proof in json.loads(proved.stdout)["proofs"]] == ["key.gate_made"]


def test_a_replaced_key_s_receipts_still_verify_and_the_new_key_is_on_record(films: Any, tmp_path: Path) -> None:
    order = films.delivered()
    made = films.link(order)
    from memorial_tasks.delivery import door

    token = made.url.rpartition("/")[2]
    first = door.take(films.door, token, made.code).receipt
    folder = films.studio.settings.gate_dir
    os.replace(folder / f"{GATE_KEY}.pem", tmp_path / "old.pem")
    fresh = films.link(order)
    second = door.take(films.door, fresh.url.rpartition("/")[2], fresh.code).receipt
    trusted = receipt_keys(films.studio.settings.keyring)
    assert first.signature.kid != second.signature.kid
    for receipt in (first, second):
        assert isinstance(receipt, Receipt)
        assert verify_receipt(receipt.document(), trusted)["kind"] == "download"
    os.replace(tmp_path / "old.pem", folder / f"{GATE_KEY}.pem")
    assert len(films.sql("SELECT 1 FROM audit.event WHERE convert_from(body, 'UTF8') LIKE '%%key.gate_made%%'")) == 2
