"""State follows from events and from nothing else."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorial_tasks.consent.events import (
    DPV_STATUS,
    FENCING,
    ConsentEvent,
    EventType,
    State,
    derive_state,
    event_bytes,
    next_event,
    same_person,
    standing,
)
from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.record import sign_bytes
from memorial_tasks.consent.registry import verify_chain
from memorial_tasks.errors import IntegrityError

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
KEY = SigningKey.generate()
TRUSTED = {KEY.kid: KEY.public}


class Anchor:
    order_id, consent_id = "order-1", "c-1"

    def __init__(self, version: int = 1) -> None:
        self.version = version


def history(*happened: EventType | tuple[EventType, dict[str, Any]]) -> tuple[ConsentEvent, ...]:
    events: list[ConsentEvent] = []
    for one in happened:
        type, fields = one if isinstance(one, tuple) else (one, {})
        window = {"valid_until": NOW + timedelta(days=30)} if type is EventType.GIVEN else {}
        more: dict[str, Any] = {"actor_kind": "grantor", "actor": "p-1", **window, **fields}
        version = more.pop("version", events[-1].version if events else 1)
        if type is EventType.RESOLVED and "objection" not in more:
            more["objection"] = next(e.event_id for e in reversed(events) if e.type is EventType.OBJECTED)
        events.append(next_event(events, Anchor(version), type, more.pop("at", NOW), **more))
    return tuple(events)


E = EventType


@pytest.mark.parametrize(
    ("happened", "state"),
    [
        ((), State.REQUESTED),
        ((E.REQUESTED,), State.REQUESTED),
        ((E.REQUESTED, E.GIVEN), State.GIVEN),
        ((E.GIVEN, E.REFUSED), State.REFUSED),
        ((E.REFUSED, E.GIVEN), State.GIVEN),
        ((E.GIVEN, E.OBJECTED), State.FROZEN),
        ((E.GIVEN, E.OBJECTED, (E.RESOLVED, {"outcome": "dismissed"})), State.GIVEN),
        ((E.GIVEN, E.OBJECTED, (E.RESOLVED, {"outcome": "upheld"})), State.REFUSED),
        ((E.GIVEN, E.OBJECTED, (E.RESOLVED, {"outcome": "retracted"}), E.OBJECTED), State.FROZEN),
        ((E.GIVEN, E.WITHDRAWN), State.WITHDRAWN),
        ((E.GIVEN, E.WITHDRAWN, E.GIVEN), State.WITHDRAWN),
        ((E.GIVEN, E.WITHDRAWN, (E.GIVEN, {"version": 2})), State.GIVEN),
        ((E.GIVEN, (E.REQUESTED, {"version": 2})), State.REQUESTED),
        ((E.GIVEN, E.OBJECTED, (E.GIVEN, {"version": 2})), State.FROZEN),
        ((E.GIVEN, E.REVOKED), State.REVOKED),
        ((E.GIVEN, E.INVALIDATED), State.INVALIDATED),
        ((E.GIVEN, E.EXPIRED), State.EXPIRED),
        ((E.GIVEN, (E.GIVEN, {"valid_until": None})), State.EXPIRED),
        ((E.GIVEN, E.ERASED), State.ERASED),
        ((E.GIVEN, E.ERASED, (E.GIVEN, {"version": 2})), State.ERASED),
        ((E.GIVEN, E.OBJECTED, E.WITHDRAWN), State.WITHDRAWN),
    ],
)
def test_the_state_follows_from_the_events(happened: tuple[Any, ...], state: State) -> None:
    assert derive_state(history(*happened), NOW) is state
    assert state in DPV_STATUS


def test_time_ends_a_consent_to_the_second() -> None:
    events = history(E.REQUESTED, E.GIVEN)
    end = NOW + timedelta(days=30)
    assert derive_state(events, end - timedelta(seconds=1)) is State.GIVEN
    assert derive_state(events, end) is State.EXPIRED


def test_one_grantor_cannot_speak_for_another() -> None:
    events = history((E.GIVEN, {"actor": "p-1"}), (E.REFUSED, {"actor": "p-2"}), (E.GIVEN, {"actor": "p-1"}))
    assert derive_state(events, NOW) is State.REFUSED


def test_the_fence_rises_with_every_change_and_never_falls() -> None:
    events = history(*(E for E in EventType if E is not EventType.RESOLVED))
    for before, after in pairwise(events):
        assert after.fence - before.fence == (1 if after.type in FENCING else 0)


def test_approvers_are_counted_once_whatever_their_spelling() -> None:
    names = ["Ann", "ann ", "ＡＮＮ", "Ben"]
    events = history(*((EventType.EVIDENCE_APPROVED, {"actor_kind": "operator", "actor": name}) for name in names))
    assert standing(events, NOW).approvers == ("Ann", "Ben")
    assert same_person("Ｚoe", "zoe")
    assert not same_person("ann", "anna")


def stored(events: tuple[ConsentEvent, ...]) -> list[tuple[bytes, str, str]]:
    bodies = [event_bytes(event) for event in events]
    return [(body, sign_bytes(body, KEY).value, KEY.kid) for body in bodies]


def test_a_chain_verifies_and_every_tampering_is_seen() -> None:
    rows = stored(history(E.REQUESTED, E.GIVEN, E.OBJECTED, E.NOTIFIED))
    assert len(verify_chain("order-1", rows, TRUSTED)) == 4
    removed = [rows[0], rows[1], rows[3]]
    swapped = [rows[0], rows[2], rows[1], rows[3]]
    doubled = [*rows, rows[3]]
    first_gone = rows[1:]
    edited = [*rows[:2], (rows[2][0].replace(b"objected", b"notified"), *rows[2][1:]), rows[3]]
    moved_signature = [rows[0], (rows[1][0], *rows[2][1:]), *rows[2:]]
    for forged in (removed, swapped, doubled, first_gone, edited, moved_signature):
        with pytest.raises(IntegrityError):
            verify_chain("order-1", forged, TRUSTED)
    with pytest.raises(IntegrityError):
        verify_chain("order-2", rows, TRUSTED)


def test_an_unsigned_edit_breaks_the_chain_even_without_keys() -> None:
    rows = stored(history(E.REQUESTED, E.GIVEN, E.OBJECTED))
    forged = [rows[0], (rows[1][0].replace(b'"p-1"', b'"p-2"'), *rows[1][1:]), rows[2]]
    with pytest.raises(IntegrityError):
        verify_chain("order-1", forged, None)


@given(st.lists(st.sampled_from([t for t in EventType if t is not EventType.RESOLVED]), max_size=12))
@settings(max_examples=300, deadline=None)
def test_given_is_reached_only_by_giving_with_nothing_against_it(types: list[EventType]) -> None:
    events = history(*types)
    if derive_state(events, NOW) is State.GIVEN:
        assert EventType.GIVEN in types
        ends = {E.WITHDRAWN, E.REVOKED, E.INVALIDATED, E.EXPIRED, E.ERASED, E.OBJECTED}
        assert not ends & set(types)
        last = [t for t in types if t in {E.GIVEN, E.REFUSED}][-1]
        assert last is E.GIVEN
