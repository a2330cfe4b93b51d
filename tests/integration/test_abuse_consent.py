"""Attacks on consent. Each is refused, leaves an entry in the audit log, and loses nothing.

What needs Airflow itself (mark success of the consent task) is attacked here at the service the task calls: the gate
reads the registry, so what Airflow believes opens nothing.
"""

import base64
import importlib.util
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import psycopg2
import pytest

from memorial_tasks.consent import acts, registry
from memorial_tasks.consent.check import history_problems
from memorial_tasks.consent.events import EventType, event_bytes, next_event
from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.permit import issue_permit
from memorial_tasks.consent.record import (
    SignedRecord,
    body_bytes,
    canonical,
    script_digest,
    sign_bytes,
    sign_record,
    skeleton,
)
from memorial_tasks.consent.rules import Facts
from memorial_tasks.consent.watch import apply, due_actions
from memorial_tasks.database.connection import one, rows
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import Modality, OrderState, Purpose, Relation
from memorial_tasks.errors import ConsentRefused, IntegrityError, MemorialError, PermitRefused
from memorial_tasks.production import consents
from memorial_tasks.production.consents import approve_papers, permit_for, release_key, require_consent
from memorial_tasks.production.orders import begin
from memorial_tasks.production.studio import Who

pytestmark = pytest.mark.integration

_spec = importlib.util.spec_from_file_location("consent_house", Path(__file__).parent / "consent" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["consent_house"] = _module  # dataclasses look their module up by name
_spec.loader.exec_module(_module)
house = _module.house

INTRUDER = Who("person", "intruder")


@pytest.fixture
def nothing_lost(house: Any) -> Callable[[], None]:
    """Checks that the attack destroyed nothing: key, record and history are whole."""

    def check() -> None:
        assert house.studio.keyring.unwrap("sub-order-1")
        with house.tx() as connection:
            assert registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer).record is not None

    return check


@pytest.fixture(autouse=True)
def clock(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Production runs at the house's time, so that nothing is refused only because a test's permit has expired."""
    monkeypatch.setattr(consents, "now", lambda: house.at)


@pytest.fixture
def gates_shut(house: Any) -> Callable[[str], None]:
    """Checks that both doors of production, the check of a run and the permit of a step, refuse and are audited."""

    def check(reason: str) -> None:
        before = len(house.audit())
        with pytest.raises(MemorialError):
            require_consent(house.studio, "order-1", INTRUDER)
        with pytest.raises(MemorialError), house.tx() as connection:
            permit_for(house.studio, connection, house.order(), "train_face", ("face", "voice"))
        told = house.audit()[before:]
        assert [entry.type for entry in told] == ["consent.decided", "permit.refused"]
        assert told[0].reason_code == reason
        assert told[0].decision in {"refused", "frozen"}
        assert told[1].decision == "refused"
        assert house.count("key_release") == 0 or house.studio.keyring.unwrap("sub-order-1")

    return check


def refused_and_audited(
    house: Any, token: str, step: str = "train_face", order: str = "order-1", *, match: str = "permit"
) -> None:
    """Presents a token to the key service as a step would: refused for this reason, and the refusal is in the log."""
    before = [entry.type for entry in house.audit()].count("key.refused")
    keys = house.count("key_release")
    with pytest.raises(PermitRefused, match=match):
        release_key(house.studio, token, house.order(order), step, INTRUDER)
    assert [entry.type for entry in house.audit()].count("key.refused") == before + 1
    assert house.count("key_release") == keys


# --- permits ----------------------------------------------------------------------------------------------


def test_a_permit_signed_by_a_stranger(house: Any, nothing_lost: Any) -> None:
    house.enter()
    _, permit = house.permit()
    forged, _ = issue_permit(
        SigningKey.generate(),
        order="order-1",
        subject=permit.subject,
        purpose=permit.purpose,
        modalities=list(Modality),
        steps=permit.steps,
        consent_id=permit.consent_id,
        consent_version=permit.consent_version,
        now=house.at,
        lifetime=timedelta(hours=1),
    )
    refused_and_audited(house, forged, match="not from this studio")
    nothing_lost()


def test_a_permit_with_an_edited_claim(house: Any, nothing_lost: Any) -> None:
    house.enter()
    token, _ = house.permit()
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["permit"]["modalities"] = ["face", "voice"]
    edited = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    refused_and_audited(house, f"{header}.{edited}.{signature}", match="not from this studio")
    nothing_lost()


def test_a_permit_the_studios_key_signed_behind_the_registrys_back(house: Any, nothing_lost: Any) -> None:
    """Somebody with access to the permit key, but without a decision: the registry does not know the permit."""
    house.enter(purpose="commercial")
    forged, _ = issue_permit(
        house.studio.keys.permit,
        order="order-1",
        subject="sub-order-1",
        purpose=Purpose.COMMERCIAL,
        modalities=list(Modality),
        steps=["train_face"],
        consent_id=house.order().consent_id or "",
        consent_version=3,
        now=house.at,
        lifetime=timedelta(hours=1),
    )
    refused_and_audited(house, forged, match="does not know")
    nothing_lost()


def test_a_stored_permit_stretched_to_more_steps(house: Any, nothing_lost: Any) -> None:
    house.enter()
    token, permit = house.permit()
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    claims["permit"]["steps"] = ["train_face", "train_voice"]
    stretched = jwt.encode(claims, house.studio.keys.permit.private, algorithm="EdDSA")
    refused_and_audited(house, stretched, step="train_voice", match="does not know")
    assert house.release(token) == permit
    nothing_lost()


def test_a_replayed_permit(house: Any, nothing_lost: Any) -> None:
    house.enter()
    token, _ = house.permit()
    house.release(token)
    refused_and_audited(house, token, match="already used")
    assert house.count("key_release") == 1
    nothing_lost()


def test_a_permit_of_one_order_used_for_another(house: Any, nothing_lost: Any) -> None:
    house.enter()
    house.enter("order-2")
    token, _ = house.permit("order-2")
    refused_and_audited(house, token, order="order-1", match="another order")
    nothing_lost()


def test_a_permit_kept_until_after_the_withdrawal(house: Any, nothing_lost: Any) -> None:
    house.enter()
    token, _ = house.permit(lifetime=timedelta(hours=20))
    with house.tx() as connection:
        acts.withdraw(
            connection, "order-1", house.studio.keys, house.sealer, by="", reason="", operator="ann", now=house.at
        )
    refused_and_audited(house, token, match="revoked")
    # Even if an insider takes the revocation of the permit back, the consent's version has moved on.
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE permit SET revoked_at = NULL")
    refused_and_audited(house, token, match="withdrawn")
    nothing_lost()


# --- rows -------------------------------------------------------------------------------------------------


def test_an_edited_consent_record(house: Any, gates_shut: Any) -> None:
    house.enter()
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT skeleton FROM consent_record")
        bones = bytes(cursor.fetchone()[0]).replace(b'"family_private"', b'"commercial"')
        cursor.execute("UPDATE consent_record SET skeleton = %s", (bones,))
    with pytest.raises(IntegrityError, match="changed after it was signed"):
        house.decide()
    gates_shut("consent.tampered")


def test_a_body_sealed_anew_by_an_insider_with_the_key(house: Any, gates_shut: Any) -> None:
    """Encryption is no protection against somebody who holds the key: the signature is."""
    record = house.enter()
    edited = record.model_copy(update={"scope": record.scope.model_copy(update={"purposes": (Purpose.COMMERCIAL,)})})
    body = body_bytes(edited)
    with house.superuser() as connection, connection.cursor() as cursor:
        sealed = house.sealer.seal("sub-order-1", body, registry.record_label("order-1"))
        cursor.execute(
            "UPDATE consent_record SET sealed_body = %s, skeleton = %s", (sealed, canonical(skeleton(edited)))
        )
    with pytest.raises(IntegrityError):
        house.decide(purpose=Purpose.COMMERCIAL)
    gates_shut("consent.tampered")


def test_an_objection_edited_away(house: Any, gates_shut: Any) -> None:
    house.enter()
    house.happens(EventType.OBJECTED)
    token = _token_before(house)
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT body FROM consent_event WHERE type = 'objected'")
        body = bytes(cursor.fetchone()[0]).replace(b'"objected"', b'"notified"')
        cursor.execute("UPDATE consent_event SET type = 'notified', body = %s WHERE type = 'objected'", (body,))
    gates_shut("consent.tampered")
    refused_and_audited(house, token, match="changed after it was signed")


def _token_before(house: Any, consent_id: str = "") -> str:
    """A permit as it would have been issued before the newest event, put into the registry by an insider."""
    with house.tx() as connection:
        consent = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
    token, permit = issue_permit(
        house.studio.keys.permit,
        order="order-1",
        subject=consent.subject_id,
        purpose=Purpose.FAMILY_PRIVATE,
        modalities=[Modality.FACE],
        steps=["train_face"],
        consent_id=consent_id or consent.consent_id,
        consent_version=consent.fence,
        now=house.at,
        lifetime=timedelta(hours=1),
    )
    with house.tx() as connection:
        from memorial_tasks.database.registry import record_permit

        record_permit(connection, permit)
    return token


def test_an_objection_cut_out_of_the_middle(house: Any, gates_shut: Any) -> None:
    house.enter()
    house.happens(EventType.OBJECTED)
    house.happens(EventType.NOTIFIED)
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_event WHERE type = 'objected'")
    with pytest.raises(IntegrityError, match="missing or out of place"):
        house.decide()
    gates_shut("consent.tampered")


def test_an_objection_cut_off_the_end_is_missed_by_the_audit_log(house: Any) -> None:
    house.enter()
    house.happens(EventType.OBJECTED)
    auditor = psycopg2.connect(house.studio.database, options="-c search_path=memorial")
    try:
        assert history_problems(auditor) == []
        with house.superuser() as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM consent_event WHERE type = 'objected'")
        auditor.rollback()
        problems = history_problems(auditor)
    finally:
        auditor.close()
    assert [problem.code for problem in problems] == ["consent.event_missing"]
    assert "order-1" in problems[0].what


def test_a_withdrawal_cut_off_contradicts_the_permits_issued_since(house: Any, gates_shut: Any) -> None:
    house.enter()
    house.happens(EventType.AGREED)
    house.permit()
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_event WHERE type = 'agreed'")
    with pytest.raises(IntegrityError, match="do not belong together"):
        house.decide()
    gates_shut("consent.tampered")


def test_a_revived_old_version(house: Any, gates_shut: Any) -> None:
    """The wider, older version is put back in place of the narrower, newer one."""
    first = house.enter(consent={"voice": True})
    _second_version(house, first)
    assert not house.decide(modalities=[Modality.VOICE]).granted
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_record WHERE version = 2")
    gates_shut("consent.tampered")
    # Or as a third version: its skeleton still says that it is the first.
    signed = sign_record(first, house.studio.keys.registrar)
    with house.superuser() as connection:
        for version in (2, 3):
            _insert(connection, house, signed, version)
    gates_shut("consent.tampered")


def _second_version(house: Any, first: Any) -> None:
    with house.tx() as connection:
        (row,) = rows(connection, "SELECT body_sha256 FROM consent_record")
        second = first.model_copy(
            update={
                "version": 2,
                "supersedes": row["body_sha256"],
                "items": first.items.model_copy(update={"voice": False}),
            }
        )
        registry.open_consent(connection, second, house.studio.keys, house.sealer, operator="ann", now=house.at)


def _insert(connection: Any, house: Any, signed: SignedRecord, version: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM consent_record WHERE version = 1")
        names = [column.name for column in cursor.description]
        row = dict(zip(names, cursor.fetchone(), strict=True)) | {"version": version}
        columns = ", ".join(row)
        marks = ", ".join(f"%({name})s" for name in row)
        cursor.execute(f"INSERT INTO consent_record ({columns}) VALUES ({marks})", row)


def test_a_replayed_old_version_through_the_front_door(house: Any, nothing_lost: Any) -> None:
    first = house.enter()
    _second_version(house, first)
    for stale in (first, first.model_copy(update={"version": 3})):
        with pytest.raises(IntegrityError, match="does not follow"), house.tx() as connection:
            registry.open_consent(connection, stale, house.studio.keys, house.sealer, operator="ann", now=house.at)
    nothing_lost()


def test_an_event_signed_by_a_stranger(house: Any, gates_shut: Any) -> None:
    """An insider adds the resolution of an objection with a key of their own."""
    house.enter()
    objection = house.happens(EventType.OBJECTED)
    with house.tx() as connection:
        consent = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
    forged = next_event(
        consent.events, consent, EventType.RESOLVED, house.at, actor_kind="operator", actor="ann",
        objection=objection.event_id, outcome="dismissed",
    )  # fmt: skip
    signature = sign_bytes(event_bytes(forged), SigningKey.generate())
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO consent_event (order_id, seq, event_id, version, fence, type, at, body, signature, kid)"
            " VALUES ('order-1', %s, %s, 1, %s, 'resolved', %s, %s, %s, %s)",
            (forged.seq, forged.event_id, forged.fence, forged.at, event_bytes(forged), signature.value, signature.kid),
        )
    with pytest.raises(IntegrityError, match="unknown key"):
        house.decide()
    gates_shut("consent.tampered")


# --- people -----------------------------------------------------------------------------------------------


def test_a_grantor_who_is_not_of_first_rank_while_one_exists(house: Any, nothing_lost: Any, gates_shut: Any) -> None:
    house.enter(
        grantors=[
            {
                "name": "林晓",
                "relation": "sibling",
                "evidence": ["p/kinship.pdf", "p/death.pdf", "p/rank-statement.pdf"],
            }
        ],
        co_kin=[{"name": "陈国强", "relation": "son"}],
    )
    decision = house.decide()
    assert [reason.code for reason in decision.against] == ["cn.rank"]
    gates_shut("cn.rank")
    nothing_lost()


def test_two_grantors_who_disagree(house: Any, nothing_lost: Any, gates_shut: Any) -> None:
    record = house.enter(
        grantors=[
            {"name": "林晓", "relation": "daughter", "evidence": ["p/kinship.pdf", "p/death.pdf"]},
            {"name": "陈国强", "relation": "son", "evidence": ["p/kinship-2.pdf"]},
        ]
    )
    assert house.decide().granted
    one_of_them = record.grantors[1].party_id
    token, _ = house.permit()
    house.happens(EventType.REFUSED, actor_kind="grantor", actor=one_of_them)
    house.happens(EventType.GIVEN, actor_kind="grantor", actor=record.grantors[0].party_id,
                  valid_until=record.valid_until)  # fmt: skip
    assert [reason.code for reason in house.decide().against] == ["house.not_refused"]
    refused_and_audited(house, token, match="refused")
    gates_shut("house.not_refused")
    assert "consent.refused" in [entry.type for entry in house.audit()]
    nothing_lost()


def test_a_grantor_who_objects_after_signing(house: Any, nothing_lost: Any, gates_shut: Any) -> None:
    house.enter()
    with house.tx() as connection:
        acts.object_to(
            connection, "order-1", house.studio.keys, house.sealer, name="林晓", relation=Relation.DAUGHTER,
            reason="", operator="ann", now=house.at,
        )  # fmt: skip
    assert house.decide().decision == "frozen"
    gates_shut("house.objection")
    nothing_lost()


def test_one_person_playing_both_approvers(house: Any) -> None:
    papers = ["p/kinship.pdf", "p/death.pdf", "p/identity.pdf"]
    house.enter(purpose="ceremony", grantors=[{"name": "林晓", "relation": "daughter", "evidence": papers}])
    with pytest.raises(ConsentRefused, match="cannot approve"):
        approve_papers(house.studio, "order-1", "ANN")
    assert house.audit()[-1].type == "evidence.refused"
    assert not house.decide().granted


def test_a_family_film_used_as_an_advertisement(house: Any, nothing_lost: Any) -> None:
    house.enter()
    for purpose in (Purpose.COMMERCIAL, Purpose.FILM, Purpose.PUBLIC_MEMORIAL, Purpose.CEREMONY):
        assert "house.purpose" in [reason.code for reason in house.decide(purpose=purpose).against]
        with pytest.raises(ConsentRefused):
            house.permit(purpose=purpose)
    assert not house.decide(facts=Facts(channel="advertising")).granted
    nothing_lost()


# --- script, time, control plane --------------------------------------------------------------------------


def test_a_script_changed_after_approval(house: Any, nothing_lost: Any) -> None:
    house.enter()
    changed = script_digest(["请把钱转到这个账户。"])
    assert [r.code for r in house.decide(facts=Facts(script_sha256=changed)).against] == ["house.script"]
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET script_sha256 = %s", (changed,))
    with pytest.raises(ConsentRefused, match=r"house\.script"):
        require_consent(house.studio, "order-1", INTRUDER)
    last = house.audit()[-1]
    assert (last.type, last.decision, last.reason_code) == ("consent.decided", "refused", "house.script")
    nothing_lost()


def test_a_clock_set_back_after_expiry(house: Any, nothing_lost: Any, gates_shut: Any) -> None:
    record = house.enter(consent={"months": 1})
    token, _ = house.permit()
    house.at = record.valid_until + timedelta(minutes=1)
    with house.tx() as connection:
        for action in due_actions(connection, house.at, house.studio.keys.trusted):
            apply(connection, action, house.studio.keys, house.at)
    house.later(days=-10)
    assert "house.not_expired" in [reason.code for reason in house.decide().against]
    assert "house.clock" in [reason.code for reason in house.decide().against]
    gates_shut("house.not_erased")
    refused_and_audited(house, token, match="future|revoked|expired")
    nothing_lost()


def test_a_clock_set_back_to_use_a_permit_again(house: Any, nothing_lost: Any) -> None:
    house.enter()
    token, _ = house.permit()
    house.later(days=-2)
    refused_and_audited(house, token, match="future")
    nothing_lost()


def test_a_consent_that_expires_in_mid_run(house: Any, nothing_lost: Any, gates_shut: Any) -> None:
    record = house.enter(consent={"months": 1})
    house.at = record.valid_until - timedelta(minutes=2)
    token, permit = house.permit(lifetime=timedelta(hours=4))
    house.release(token)
    house.later(minutes=3)
    gates_shut("house.not_expired")
    with pytest.raises(ConsentRefused, match="expired"), house.tx() as connection:
        registry.publish_allowed(connection, "order-1", permit.consent_version, house.at)
    nothing_lost()


def test_a_run_that_names_another_order(house: Any, nothing_lost: Any) -> None:
    """`dag_run.conf` is hostile: an order that belongs to another run, or is none, is not taken up."""
    house.enter()
    with house.tx() as connection:
        from memorial_tasks.database.registry import set_run

        set_run(connection, "order-1", "run-of-the-family")
    intruder = Who("person", "intruder", "memorial_order", "run-of-somebody", "begin", 1)
    with pytest.raises(MemorialError, match="another run"):
        begin(house.studio, "order-1", intruder)
    assert house.order().state is OrderState.SUBMITTED
    entry = house.audit()[-1]
    assert (entry.type, entry.decision, entry.run.run_id) == ("order.refused", "refused", "run-of-somebody")
    for hostile in ("../order-1", "order-1'; DROP TABLE orders; --", "", "ORDER-1", "order-1\n", "order-9"):
        with pytest.raises(MemorialError):
            begin(house.studio, hostile, intruder)
    nothing_lost()


def test_marking_the_consent_task_as_success_opens_no_gate(house: Any, nothing_lost: Any, gates_shut: Any) -> None:
    """Airflow believes the consent task succeeded; each later task asks the registry all the same."""
    house.enter()
    house.happens(EventType.OBJECTED)
    gates_shut("house.objection")
    with pytest.raises(ConsentRefused), house.tx() as connection:
        registry.publish_allowed(connection, "order-1", registry.live_version(connection, "order-1"), house.at)
    nothing_lost()


def test_a_permit_row_written_by_hand_needs_a_live_consent_all_the_same(house: Any) -> None:
    house.enter()
    house.happens(EventType.WITHDRAWN)
    token = _token_before(house)
    refused_and_audited(house, token, match="withdrawn")


def test_a_permit_row_of_another_consent(house: Any, nothing_lost: Any) -> None:
    house.enter()
    refused_and_audited(house, _token_before(house, "c-of-somebody"), match="another consent")
    nothing_lost()


def test_the_claims_of_a_permit_hold_no_more_than_they_must(house: Any) -> None:
    house.enter()
    _, permit = house.permit()
    with house.tx() as connection:
        row = one(connection, "SELECT claims FROM permit")
    assert row is not None
    assert Permit.model_validate(row["claims"]) == permit
