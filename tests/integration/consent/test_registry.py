"""Consent in PostgreSQL: append-only, verified on the way out, one fence, one use of a permit."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from memorial_tasks.consent import registry
from memorial_tasks.consent.events import EventType
from memorial_tasks.database.connection import execute, rows
from memorial_tasks.domain.words import Modality
from memorial_tasks.errors import ConsentRefused, IntegrityError, MemorialError, PermitRefused

pytestmark = pytest.mark.integration


def test_what_was_entered_comes_back_verified(house: Any) -> None:
    record = house.enter()
    with house.tx() as connection:
        consent = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
    assert consent.record == record
    assert [event.type.value for event in consent.events] == ["requested", "evidence_entered", "given"]
    assert house.decide().granted


def test_nothing_personal_is_readable_in_the_database(house: Any) -> None:
    house.enter(co_kin=[{"name": "陈国强", "relation": "son"}])
    house.happens(EventType.OBJECTED, detail={"name": "周敏", "reason": "我不同意"}, sealer=house.sealer)
    with house.tx() as connection:
        tables = ("consent_record", "consent_event", "orders")
        text = " ".join(str(rows(connection, f"SELECT t::text AS t FROM {table} t")) for table in tables)
        raw = b" ".join(row["body"] for row in rows(connection, "SELECT body FROM consent_event"))
        raw += b" ".join(row["skeleton"] for row in rows(connection, "SELECT skeleton FROM consent_record"))
    audit = " ".join(entry.model_dump_json() for entry in house.audit())
    for word in ("陈秀英", "林晓", "陈国强", "周敏", "我不同意", "kinship.pdf"):
        assert word not in text
        assert word.encode() not in raw
        assert word.encode().hex() not in text
        assert word not in audit


def test_what_was_said_can_be_read_by_the_one_who_decides(house: Any) -> None:
    house.enter()
    event = house.happens(EventType.OBJECTED, detail={"name": "周敏", "reason": "我不同意"}, sealer=house.sealer)
    with house.tx() as connection:
        said = registry.read_detail(connection, "order-1", event.event_id, house.sealer, house.studio.keys.trusted)
    assert said == {"name": "周敏", "reason": "我不同意"}


@pytest.mark.parametrize("table", ["consent_record", "consent_event", "consent_action"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET order_id = order_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_application_cannot_change_history(house: Any, table: str, verb: str) -> None:
    house.enter()
    with pytest.raises(psycopg2.Error), house.tx() as connection:
        execute(connection, verb.format(table))


def test_not_even_the_owner_changes_history_by_mistake(house: Any) -> None:
    house.enter()
    connection = psycopg2.connect(house.studio.database)
    try:
        for verb in ("UPDATE memorial.consent_event SET fence = 0", "DELETE FROM memorial.consent_record"):
            with connection.cursor() as cursor:
                cursor.execute("SET session_replication_role = replica")
                with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
                    cursor.execute(verb)
            connection.rollback()
    finally:
        connection.close()


def test_every_event_has_its_audit_entry_in_the_same_transaction(house: Any) -> None:
    house.enter()

    def fail_afterwards() -> None:
        with house.tx() as connection:
            registry.append_event(
                connection,
                "order-1",
                EventType.OBJECTED,
                house.studio.keys,
                actor_kind="co_kin",
                actor="x",
                now=house.at,
            )
            raise RuntimeError("the act failed")

    with pytest.raises(RuntimeError):
        fail_afterwards()
    assert house.events() == ["requested", "evidence_entered", "given"]
    house.happens(EventType.WITHDRAWN)
    entries = [entry for entry in house.audit() if entry.order == "order-1"]
    assert [entry.type for entry in entries] == [
        *("consent.requested", "evidence.entered", "consent.given", "consent.withdrawn"),
    ]


def test_a_new_version_follows_the_newest_one_only(house: Any) -> None:
    first = house.enter()
    house.later(days=1)
    house.happens(EventType.WITHDRAWN)
    commitment = _commitment(house)
    second = first.model_copy(update={"version": 2, "supersedes": commitment, "created_at": house.at})
    for wrong in (
        second.model_copy(update={"version": 3}),
        second.model_copy(update={"supersedes": "0" * 64}),
        second.model_copy(update={"consent_id": "other"}),
        first,
    ):
        with pytest.raises(IntegrityError, match="does not follow"), house.tx() as connection:
            registry.open_consent(connection, wrong, house.studio.keys, house.sealer, operator="ann", now=house.at)
    assert not house.decide().granted
    with house.tx() as connection:
        registry.open_consent(connection, second, house.studio.keys, house.sealer, operator="ann", now=house.at)
    assert house.decide().granted, "a new version given after a withdrawal is a new consent"


def _commitment(house: Any) -> str:
    with house.tx() as connection:
        found = rows(connection, "SELECT body_sha256 FROM consent_record ORDER BY version DESC LIMIT 1")
    return str(found[0]["body_sha256"])


def test_a_permit_opens_once_and_the_next_permit_opens_again(house: Any) -> None:
    house.enter()
    token, permit = house.permit()
    assert house.release(token) == permit
    with pytest.raises(PermitRefused, match="already used"):
        house.release(token)
    assert house.release(house.permit()[0]).permit_id != permit.permit_id
    assert house.count("key_release") == 2


def test_two_at_once_cannot_both_use_a_permit(house: Any) -> None:
    house.enter()
    token, _ = house.permit()
    answers: list[str] = []

    def use() -> None:
        try:
            house.release(token)
            answers.append("released")
        except PermitRefused:
            answers.append("refused")

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["refused"] * 5 + ["released"]


def test_a_permit_never_outlives_its_consent(house: Any) -> None:
    record = house.enter(consent={"months": 1})
    house.at = record.valid_until - timedelta(minutes=3)
    _, permit = house.permit(lifetime=timedelta(hours=2))
    assert permit.expires_at <= record.valid_until


def test_any_change_of_consent_kills_older_permits(house: Any) -> None:
    house.enter()
    for type in (EventType.EVIDENCE_APPROVED, EventType.AGREED):
        token, permit = house.permit()
        house.happens(type, actor=f"ben-{type}")
        with pytest.raises(PermitRefused, match="changed since"):
            house.release(token)
        assert house.permit()[1].consent_version > permit.consent_version
    token, _ = house.permit()
    house.happens(EventType.NOTIFIED)
    house.release(token)  # being told changes nothing


@pytest.mark.parametrize(
    ("type", "word"),
    [
        (EventType.OBJECTED, "frozen"),
        (EventType.WITHDRAWN, "withdrawn"),
        (EventType.REVOKED, "revoked"),
        (EventType.INVALIDATED, "invalidated"),
        (EventType.EXPIRED, "expired"),
        (EventType.REFUSED, "refused"),
    ],
)
def test_no_key_and_no_publishing_once_consent_stands_no_more(house: Any, type: EventType, word: str) -> None:
    house.enter()
    token, permit = house.permit()
    house.happens(type)
    with pytest.raises(PermitRefused, match=word):
        house.release(token)
    with pytest.raises(ConsentRefused, match=word), house.tx() as connection:
        registry.publish_allowed(connection, "order-1", permit.consent_version, house.at)
    with pytest.raises(ConsentRefused):
        house.permit()


def test_publishing_holds_off_a_withdrawal_until_it_is_recorded(house: Any) -> None:
    """Whoever comes first wins, and the other one knows: there is no moment in between."""
    house.enter()
    _, permit = house.permit()
    done: list[float] = []

    def withdraw() -> None:
        house.happens(EventType.WITHDRAWN)
        done.append(time.monotonic())

    with house.tx() as connection:
        registry.publish_allowed(connection, "order-1", permit.consent_version, house.at)
        thread = threading.Thread(target=withdraw)
        thread.start()
        time.sleep(0.5)
        assert not done, "the withdrawal must wait for the publishing transaction"
        released = time.monotonic()
    thread.join(timeout=10)
    assert done
    assert done[0] >= released
    with pytest.raises(ConsentRefused), house.tx() as connection:
        registry.publish_allowed(connection, "order-1", permit.consent_version, house.at)


def test_a_permit_is_refused_with_the_reason_and_the_way_on(house: Any) -> None:
    house.enter(purpose="film")
    with pytest.raises(ConsentRefused) as refused:
        house.permit()
    assert "see `memorial consent show order-1`" in str(refused.value)
    assert "林晓" not in str(refused.value)


def test_an_order_without_a_record_is_refused(house: Any) -> None:
    with pytest.raises(ConsentRefused, match="no consent record"):
        house.decide("order-9")
    with house.tx() as connection:
        assert registry.live_version(connection, "order-9") == 0


def test_a_missing_event_is_no_event(house: Any) -> None:
    house.enter()
    with pytest.raises(MemorialError, match="no such event"), house.tx() as connection:
        registry.read_detail(connection, "order-1", "nothing", house.sealer, house.studio.keys.trusted)


def test_parallel_events_of_one_order_never_fork(house: Any) -> None:
    house.enter()
    threads = [
        threading.Thread(target=house.happens, args=(EventType.NOTIFIED,), kwargs={"actor": f"p-{n}"})
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with house.tx() as connection:
        consent = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
    assert [event.seq for event in consent.events] == list(range(1, 16))


def test_a_permit_covers_the_modalities_asked_for_only(house: Any) -> None:
    house.enter()
    token, permit = house.permit(modalities=[Modality.FACE])
    assert permit.modalities == (Modality.FACE,)
    with pytest.raises(PermitRefused, match="voice"):
        house.release(token, modalities=["voice"])


def test_no_key_while_the_clock_is_behind_the_history(house: Any) -> None:
    house.enter()
    token, _ = house.permit(lifetime=timedelta(hours=5))
    house.later(hours=2)
    house.happens(EventType.NOTIFIED)  # changes no answer, but it is known to have happened at that time
    house.later(hours=-1)
    with pytest.raises(PermitRefused, match="before the last event"):
        house.release(token)
    house.later(hours=1)
    house.release(token)


def test_publishing_can_check_every_signature(house: Any) -> None:
    house.enter()
    _, permit = house.permit()
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE consent_event SET signature = repeat('0', 128) WHERE seq = 3")
    with pytest.raises(IntegrityError), house.tx() as connection:
        registry.publish_allowed(
            connection, "order-1", permit.consent_version, house.at, trusted=house.studio.keys.trusted
        )


def test_the_audit_command_notices_an_event_cut_off_the_end(house: Any) -> None:
    """A withdrawal removed by hand leaves a history that is whole in itself; the audit log remembers it."""
    from memorial_tasks.audit.service import room_of

    house.at = datetime.now(UTC)  # the audit log takes no entry that claims another time
    house.enter()
    house.happens(EventType.WITHDRAWN, actor_kind="grantor")
    room = room_of(house.studio.settings, house.studio.database)
    room.checkpoint()
    assert room.verify().ok
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_event WHERE seq = (SELECT max(seq) FROM consent_event)")
    found = room.verify()
    assert not found.ok
    assert [fault.code for fault in found.faults] == ["consent.event_missing"]
