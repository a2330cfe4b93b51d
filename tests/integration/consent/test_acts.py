"""What people do to a consent takes effect at once, and what the watch finds follows from the same facts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from memorial_tasks.consent import acts, registry
from memorial_tasks.consent.erasing import erase_everything
from memorial_tasks.consent.events import EventType
from memorial_tasks.consent.rules import Facts
from memorial_tasks.consent.watch import Action, ActionKind, apply, due_actions, mark_done
from memorial_tasks.database.connection import execute, one
from memorial_tasks.database.registry import record_delivery, set_film, set_run, set_state
from memorial_tasks.domain.words import OrderState, Relation
from memorial_tasks.errors import ConsentRefused, InputRefused, PermitRefused, Unavailable
from memorial_tasks.production import night
from memorial_tasks.vault.keyring import KeyDestroyed

pytestmark = pytest.mark.integration


def object_to(
    house: Any, name: str = "周敏", relation: Relation | None = Relation.SIBLING, order: str = "order-1"
) -> Any:
    with house.tx() as connection:
        return acts.object_to(
            connection,
            order,
            house.studio.keys,
            house.sealer,
            name=name,
            relation=relation,
            reason="not like this",
            operator="ann",
            now=house.at,
        )


def resolve(house: Any, outcome: Any, objection: str = "") -> Any:
    with house.tx() as connection:
        return acts.resolve(
            connection,
            "order-1",
            house.studio.keys,
            house.sealer,
            outcome=outcome,
            reason="talked to them",
            operator="ann",
            now=house.at,
            objection=objection,
        )


def withdraw(house: Any, by: str = "", order: str = "order-1") -> Any:
    with house.tx() as connection:
        return acts.withdraw(
            connection, order, house.studio.keys, house.sealer, by=by, reason="no more", operator="ann", now=house.at
        )


def approve(house: Any, approver: str) -> Any:
    with house.tx() as connection:
        return acts.approve_evidence(connection, "order-1", house.studio.keys, approver=approver, now=house.at)


def due(house: Any) -> list[tuple[str, str, str]]:
    with house.tx() as connection:
        return [(a.order_id, a.kind.value, a.reason_code) for a in _due(house, connection)]


def _due(house: Any, connection: Any) -> list[Action]:
    return due_actions(connection, house.at, house.studio.keys.trusted)


def run_watch(house: Any) -> list[Action]:
    """One interval of the watch without Airflow and without erasing."""
    with house.tx() as connection:
        actions = _due(house, connection)
    for action in actions:
        with house.tx() as connection:
            apply(connection, action, house.studio.keys, house.at)
        if action.kind is not ActionKind.ERASE:
            with house.tx() as connection:
                mark_done(connection, action)
    return actions


def deliver(house: Any, order: str = "order-1") -> None:
    with house.tx() as connection:
        record_delivery(connection, order, "d-1", film_sha256="f" * 64, target="local")
        set_film(connection, order, "/film.mp4")
        set_state(connection, order, OrderState.DELIVERED, allowed_from=list(OrderState))


def live_links(house: Any) -> int:
    with house.tx() as connection:
        row = one(connection, "SELECT count(*) AS n FROM delivery WHERE revoked_at IS NULL")
    return int(row["n"]) if row else -1


# --- two persons ------------------------------------------------------------------------------------------


def test_a_wide_purpose_waits_for_a_second_person(house: Any) -> None:
    house.enter(purpose="ceremony", grantors=[{"name": "林晓", "relation": "daughter",
                "evidence": ["p/kinship.pdf", "p/death.pdf", "p/identity.pdf"]}])  # fmt: skip
    assert [reason.code for reason in house.decide().against] == ["house.evidence_approved"]
    for same in ("ann", "Ann", " ＡＮＮ "):
        with pytest.raises(ConsentRefused, match="cannot approve"):
            approve(house, same)
    with pytest.raises(InputRefused):
        approve(house, "  ")
    assert approve(house, "ben") is not None
    assert approve(house, "Ben") is None, "the same person twice changes nothing"
    assert house.decide().granted
    assert "evidence.approved" in [entry.type for entry in house.audit()]


# --- objection --------------------------------------------------------------------------------------------


def test_an_objection_freezes_at_once_and_deletes_nothing(house: Any) -> None:
    house.enter()
    token, _ = house.permit()
    deliver(house)
    object_to(house)
    assert house.decide().decision == "frozen"
    assert house.order().state is OrderState.FROZEN
    assert live_links(house) == 0
    with pytest.raises(PermitRefused):
        house.release(token)
    assert house.studio.keyring.unwrap("sub-order-1"), "an objection must never destroy a key"
    assert house.count("consent_record") == 1


def test_a_dismissed_objection_lets_the_order_go_on(house: Any) -> None:
    house.enter()
    object_to(house)
    resolve(house, "dismissed")
    assert house.decide().granted
    assert house.order().state is OrderState.SUBMITTED


def test_a_delivered_order_is_delivered_again_after_the_ice(house: Any) -> None:
    house.enter()
    deliver(house)
    object_to(house)
    resolve(house, "retracted")
    assert house.order().state is OrderState.DELIVERED
    assert live_links(house) == 0, "closed links stay closed; a new one is a new decision"


def test_in_europe_only_the_objector_or_a_court_can_end_it(house: Any) -> None:
    house.enter(jurisdictions=["SK"])
    object_to(house)
    resolve(house, "dismissed")
    decision = house.decide()
    assert decision.decision == "frozen"
    assert [reason.code for reason in decision.against] == ["eu.any_dissent"]
    resolve(house, "court")
    assert house.decide().granted


def test_an_upheld_objection_ends_the_order(house: Any) -> None:
    house.enter()
    object_to(house)
    resolve(house, "upheld")
    assert house.decide().decision == "refused"
    assert house.order().state is OrderState.REFUSED


def test_one_of_two_objections_decided_is_not_enough(house: Any) -> None:
    house.enter()
    first, second = object_to(house), object_to(house, "另一人", Relation.SPOUSE)
    with pytest.raises(InputRefused, match="2 objections are open"):
        resolve(house, "dismissed")
    resolve(house, "dismissed", first.event_id[:8])
    assert house.decide().decision == "frozen"
    resolve(house, "dismissed", second.event_id)
    assert house.decide().granted
    with pytest.raises(InputRefused, match="no such objection"):
        resolve(house, "dismissed", "ffffffff")


def test_a_grantor_who_objects_is_known_by_name(house: Any) -> None:
    record = house.enter(co_kin=[{"name": "陈国强", "relation": "son"}])
    assert object_to(house, "陈 国强").actor == record.co_kin[0].party_id
    assert object_to(house, "林晓").code == "grantor_objects"
    assert object_to(house, "周敏").actor.startswith("objector-")


# --- withdrawal -------------------------------------------------------------------------------------------


def test_a_withdrawal_kills_permits_and_links_and_schedules_erasure(house: Any) -> None:
    house.enter()
    token, permit = house.permit()
    deliver(house)
    withdraw(house)
    assert house.order().state is OrderState.WITHDRAWN
    assert house.events()[-2:] == ["withdrawn", "erasure_scheduled"]
    assert live_links(house) == 0
    with pytest.raises(PermitRefused, match="revoked"):
        house.release(token)
    with pytest.raises(ConsentRefused), house.tx() as connection:
        registry.publish_allowed(connection, "order-1", permit.consent_version, house.at)
    with pytest.raises(ConsentRefused, match="already ended"):
        withdraw(house)


def test_only_a_grantor_withdraws(house: Any) -> None:
    house.enter(grantors=[{"name": "林晓", "relation": "daughter", "evidence": ["p/kinship.pdf", "p/death.pdf"]},
                          {"name": "陈国强", "relation": "son", "evidence": ["p/kinship-2.pdf"]}])  # fmt: skip
    for nobody in ("", "周敏"):
        with pytest.raises(InputRefused, match="problem"):
            withdraw(house, nobody)
    assert house.decide().granted
    assert withdraw(house, "陈国强").type is EventType.WITHDRAWN
    assert not house.decide().granted, "one of several grantors is enough to end it"


@pytest.mark.parametrize(
    ("by", "type"),
    [("court", EventType.INVALIDATED), ("right-holder", EventType.REVOKED), ("studio", EventType.REVOKED)],
)
def test_others_revoke(house: Any, by: str, type: EventType) -> None:
    house.enter()
    assert withdraw(house, by).type is type
    assert not house.decide().granted


# --- the watch --------------------------------------------------------------------------------------------


def test_the_watch_finds_nothing_in_a_quiet_house(house: Any) -> None:
    house.enter()
    assert run_watch(house) == []


def test_the_watch_stops_a_run_for_each_reason_once(house: Any) -> None:
    for order in ("frozen-1", "withdrawn-1", "revoked-1", "quiet-1"):
        house.enter(order)
        with house.tx() as connection:
            set_run(connection, order, f"run-{order}")
    object_to(house, order="frozen-1")
    withdraw(house, order="withdrawn-1")
    house.happens(EventType.REVOKED, "revoked-1")
    actions = run_watch(house)
    assert [(a.order_id, a.kind.value, a.run_id, a.kind.stops_run) for a in actions] == [
        ("frozen-1", "freeze", "run-frozen-1", True),
        ("revoked-1", "halt", "run-revoked-1", True),
        ("withdrawn-1", "halt", "run-withdrawn-1", True),
    ]
    assert run_watch(house) == [], "nothing is done twice"
    assert [house.order(order).state for order in ("frozen-1", "withdrawn-1", "revoked-1", "quiet-1")] == [
        *(OrderState.FROZEN, OrderState.WITHDRAWN, OrderState.WITHDRAWN, OrderState.SUBMITTED),
    ]


def test_an_interrupted_watch_does_it_again(house: Any) -> None:
    house.enter()
    object_to(house)
    with house.tx() as connection:
        (action,) = _due(house, connection)
        apply(connection, action, house.studio.keys, house.at)
    # killed here: the run may still go on
    assert due(house) == [("order-1", "freeze", "consent.objection")]


def test_a_second_objection_is_a_new_thing_to_do(house: Any) -> None:
    house.enter()
    object_to(house)
    run_watch(house)
    resolve(house, "dismissed")
    assert run_watch(house) == []
    object_to(house)
    assert due(house) == [("order-1", "freeze", "consent.objection")]


def test_expiry_halts_refuses_and_schedules_erasure(house: Any) -> None:
    record = house.enter(consent={"months": 1})
    house.at = record.valid_until - timedelta(seconds=1)
    assert due(house) == []
    house.later(seconds=1)
    assert [action.kind for action in run_watch(house)] == [ActionKind.EXPIRE]
    assert house.events()[-2:] == ["expired", "erasure_scheduled"]
    assert house.order().state is OrderState.REFUSED
    assert run_watch(house) == []
    house.later(days=-20)
    assert not house.decide().granted, "a clock set back does not bring it to life"
    house.later(days=28)
    assert due(house) == [("order-1", "erase", "consent.erasure_due")]


def test_erasure_is_due_after_the_time_to_think(house: Any) -> None:
    house.enter()
    withdraw(house)
    run_watch(house)
    house.at += acts.ERASURE_GRACE - timedelta(seconds=1)
    assert due(house) == []
    house.later(seconds=2)
    assert due(house) == [("order-1", "erase", "consent.erasure_due")]


def test_an_order_left_frozen_thaws(house: Any) -> None:
    house.enter()
    with house.tx() as connection:
        acts.freeze_order(connection, "order-1", "consent.objection")  # as if resolved by another way
    assert [action.kind for action in run_watch(house)] == [ActionKind.THAW]
    assert house.order().state is OrderState.SUBMITTED


def test_a_tampered_history_is_halted_not_believed(house: Any) -> None:
    house.enter()
    house.happens(EventType.WITHDRAWN)
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE consent_event SET body = %s WHERE seq = 4", (b"{}",))
    assert due(house) == [("order-1", "halt", "consent.tampered")]
    run_watch(house)
    assert house.order().state is OrderState.REFUSED
    assert run_watch(house) == []


def test_actions_are_remembered_append_only(house: Any) -> None:
    house.enter()
    object_to(house)
    run_watch(house)
    with house.tx() as connection:
        assert execute(connection, "SELECT * FROM consent_action") == 1


# --- renewal ----------------------------------------------------------------------------------------------


def renew(house: Any, **arguments: Any) -> Any:
    with house.tx() as connection:
        return acts.renew(
            connection, "order-1", house.studio.keys, house.sealer, operator="ann", now=house.at, **arguments
        )


def test_a_new_script_needs_and_gets_a_new_version(house: Any) -> None:
    house.enter()
    token, _ = house.permit()
    changed = Facts(script_sha256="e" * 64)
    assert not house.decide(facts=changed).granted
    consent = renew(house, script_sha256="e" * 64)
    assert consent.version == 2
    assert house.decide(facts=changed).granted
    with pytest.raises(PermitRefused, match="changed since"):
        house.release(token)


def test_a_renewal_after_a_withdrawal_stops_the_erasure(house: Any) -> None:
    house.enter()
    withdraw(house)
    renew(house)
    assert house.decide().granted
    assert house.order().state is OrderState.SUBMITTED
    house.later(days=30)
    assert run_watch(house) == []


def test_a_renewal_silences_no_relative(house: Any) -> None:
    house.enter(co_kin=[{"name": "陈国强", "relation": "son", "position": "objected"}])
    assert house.decide().decision == "frozen"
    renew(house)
    assert house.decide().decision == "frozen"
    assert house.events().count("objected") == 1
    resolve(house, "dismissed")
    assert house.decide().granted


def test_an_erased_consent_cannot_be_renewed(house: Any) -> None:
    house.enter()
    erase_everything(house.studio, "order-1", reason="requested")
    with pytest.raises(ConsentRefused, match="erased"):
        renew(house)


# --- the whole watch --------------------------------------------------------------------------------------


@pytest.fixture
def at_night(house: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """One interval of the watch at the house's time."""
    monkeypatch.setattr(night, "now", lambda: house.at)
    return lambda stop_run: night.watch_consents(house.studio, stop_run)


def test_one_interval_stops_runs_and_erases(house: Any, at_night: Any) -> None:
    stopped: list[str] = []
    for order in ("order-1", "order-2", "order-3"):
        house.enter(order)
        with house.tx() as connection:
            set_run(connection, order, f"run-{order}")
    object_to(house)
    withdraw(house, order="order-2")
    assert at_night(stopped.append).done == {"freeze": ["order-1"], "halt": ["order-2"]}
    assert stopped == ["run-order-1", "run-order-2"]
    assert at_night(stopped.append).done == {}
    house.at += acts.ERASURE_GRACE + timedelta(seconds=1)
    assert at_night(stopped.append).done == {"erase": ["order-2"]}
    assert house.order("order-2").state is OrderState.ERASED
    assert house.studio.keyring.unwrap("sub-order-1"), "the frozen order keeps its key"
    assert at_night(stopped.append).done == {}


def test_a_run_that_cannot_be_stopped_is_tried_again_and_holds_up_nobody(house: Any, at_night: Any) -> None:
    for order in ("order-1", "order-2"):
        house.enter(order)
        object_to(house, order=order)
        with house.tx() as connection:
            set_run(connection, order, f"run-{order}")

    def unreachable(run: str) -> None:
        if run == "run-order-1":
            raise Unavailable("Airflow does not answer")

    watched = at_night(unreachable)
    assert (watched.done, list(watched.failed)) == ({"freeze": ["order-2"]}, ["order-1"])
    assert house.order().state is OrderState.FROZEN, "no key is given out although Airflow is away"
    assert due(house) == [("order-1", "freeze", "consent.objection")]


# --- two orders, two grantors -----------------------------------------------------------------------------


def test_a_withdrawal_destroys_nothing_another_grantor_rightfully_gave(house: Any, at_night: Any) -> None:
    """Two orders about one person, entered one by one: each has a subject id and a key of its own."""
    house.enter("order-1")
    house.enter(
        "order-2", grantors=[{"name": "陈国强", "relation": "son", "evidence": ["p/kinship.pdf", "p/death.pdf"]}]
    )
    withdraw(house)
    at_night(lambda run: None)
    house.at += acts.ERASURE_GRACE + timedelta(seconds=1)
    assert at_night(lambda run: None).done == {"erase": ["order-1"]}
    assert house.order("order-1").state is OrderState.ERASED
    assert house.order("order-2").state is OrderState.SUBMITTED
    assert house.decide("order-2").granted
    assert house.studio.keyring.unwrap("sub-order-2")


def test_orders_that_share_a_subject_keep_its_key_until_the_last_has_ended(house: Any, at_night: Any) -> None:
    for order in ("order-1", "order-2"):
        house.enter(order, subject_id="sub-shared")
        folder = house.studio.settings.vault_dir / "orders" / order
        folder.mkdir(parents=True)
        (folder / "film.mp4").write_bytes(b"sealed")
    withdraw(house)
    at_night(lambda run: None)
    house.at += acts.ERASURE_GRACE + timedelta(seconds=1)
    assert at_night(lambda run: None).done == {"erase": ["order-1"]}
    assert not (house.studio.settings.vault_dir / "orders" / "order-1").exists(), "its objects go at once"
    assert (house.studio.settings.vault_dir / "orders" / "order-2" / "film.mp4").exists()
    assert house.studio.keyring.unwrap("sub-shared")
    assert house.decide("order-2").granted
    entry = next(entry for entry in house.audit() if entry.type == "order.erased")
    assert (entry.order, entry.data["orders_that_keep_the_key"]) == ("order-1", 1)
    withdraw(house, order="order-2")
    at_night(lambda run: None)
    house.at += acts.ERASURE_GRACE + timedelta(seconds=1)
    assert at_night(lambda run: None).done == {"erase": ["order-2"]}
    with pytest.raises(KeyDestroyed):
        house.studio.keyring.unwrap("sub-shared")
    assert {house.order(order).state for order in ("order-1", "order-2")} == {OrderState.ERASED}
