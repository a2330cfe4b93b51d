"""Over thousands of combined situations: nothing standing against an order ever ends in "granted"."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from memorial_tasks.consent.events import ConsentEvent, EventType, next_event
from memorial_tasks.consent.record import ConsentRecord, record_from_order
from memorial_tasks.consent.rules import Facts, decide
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import Modality, Purpose, Relation

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAPERS = ("death", "kinship", "identity", "rank", "will", "notary", "guardian", "unclear")
PLACES = ("CN", "DE", "SK", "US-NY", "US-CA", "US-TN", "US-TX", "JP")


class _Digests(dict[str, str]):
    def __missing__(self, path: str) -> str:
        return f"{sum(path.encode()):064x}"


def _papers(likely: bool = True) -> st.SearchStrategy[list[str]]:
    usual = st.just(["p/death.pdf", "p/kinship.pdf", "p/identity.pdf"])
    any_set = st.lists(st.sampled_from([f"p/{name}.pdf" for name in PAPERS]), min_size=1, max_size=6, unique=True)
    return st.one_of(usual, usual, any_set) if likely else any_set


grantors = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["A", "B", "C"]),
            "relation": st.sampled_from([relation.value for relation in Relation]),
            "evidence": _papers(),
            "adult": st.sampled_from([True, True, True, False]),
        }
    ),
    min_size=1,
    max_size=3,
)
co_kin = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["X", "Y"]),
            "relation": st.sampled_from(["spouse", "son", "sibling"]),
            "position": st.sampled_from(["agreed", "agreed", "notified", "unreachable", "objected"]),
        }
    ),
    max_size=2,
)
arrangements = st.one_of(
    st.just({"kind": "none"}),
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["permits", "forbids", "names_person"]),
            "purposes": st.lists(st.sampled_from([purpose.value for purpose in Purpose]), max_size=3, unique=True),
            "person": st.sampled_from(["A", "B", "Z"]),
            "evidence": st.sampled_from([[], ["p/will.pdf"]]),
        }
    ),
)
orders = st.builds(
    lambda grantors, co_kin, arrangement, purpose, places, domicile, born, public, terms: Order.model_validate(
        {
            "order": "prop-001",
            "subject": {
                "name": "S",
                "born": born,
                "died": "2024-06-01",
                "domicile": domicile,
                "public_figure": public,
                "lifetime_arrangement": arrangement,
            },
            "grantors": grantors,
            "co_kin": co_kin,
            "purpose": purpose,
            "jurisdictions": places,
            "consent": terms,
            "language": "en-US",
            "script": [{"text": "t"}],
            "materials": {"photos": "p", "voice": "v"},
        }
    ),
    grantors,
    co_kin,
    arrangements,
    st.sampled_from(["family_private"] * 4 + [purpose.value for purpose in Purpose]),
    st.lists(st.sampled_from(PLACES), min_size=1, max_size=2),
    st.sampled_from(PLACES),
    st.sampled_from(["1931-04-02", "1931-04-02", "2010-01-01"]),
    st.booleans(),
    st.fixed_dictionaries(
        {
            "face": st.sampled_from([True, True, False]),
            "voice": st.sampled_from([True, True, False]),
            "practitioner": st.sampled_from([None, "P-1"]),
            "stop": st.sampled_from([None, "button"]),
            "registration": st.sampled_from([None, "R-1"]),
            "dated_later": st.sampled_from([[], [{"file": "photos/a.jpg", "reason": "a scan"}]]),
        }
    ),
)
happenings = st.lists(
    st.sampled_from([t for t in EventType if t not in {EventType.RESOLVED, EventType.GIVEN}] + [EventType.GIVEN] * 12),
    max_size=4,
)


def _history(record: ConsentRecord, more: list[EventType], approvals: int, outcome: str) -> tuple[ConsentEvent, ...]:
    events: list[ConsentEvent] = []

    def add(type: EventType, actor: str, **fields: Any) -> None:
        events.append(next_event(events, record, type, NOW, actor_kind="operator", actor=actor, **fields))

    add(EventType.REQUESTED, "ann")
    for name in ("ann", "ben")[:approvals]:
        add(EventType.EVIDENCE_APPROVED, name)
    for party in record.grantors:
        add(EventType.GIVEN, party.party_id, valid_until=record.valid_until)
    for type in more:
        if type is EventType.GIVEN:
            add(type, record.grantors[0].party_id, valid_until=record.valid_until)
        else:
            add(type, "someone")
    objected = [one for one in events if one.type is EventType.OBJECTED]
    if objected and outcome:
        add(EventType.RESOLVED, "ann", objection=objected[0].event_id, outcome=outcome)
    return tuple(events)


@given(
    order=orders,
    more=happenings,
    approvals=st.sampled_from([0, 1, 2, 2, 2]),
    outcome=st.sampled_from(["", "dismissed", "retracted", "upheld", "court"]),
    days=st.sampled_from([0, 1, 5, 30, 364, 366, 4000]),
    modalities=st.sets(st.sampled_from(list(Modality)), min_size=1),
    script=st.sampled_from([None, "c" * 64, "c" * 64, "e" * 64]),
    capture=st.sampled_from([None, date(2020, 1, 1), date(2025, 1, 1)]),
)
@settings(max_examples=800, deadline=None)
def test_nothing_that_stands_against_an_order_is_ever_overlooked(
    order: Order,
    more: list[EventType],
    approvals: int,
    outcome: str,
    days: int,
    modalities: set[Modality],
    script: str | None,
    capture: date | None,
) -> None:
    photos = {"photos/a.jpg": ("a" * 64, capture)} if capture else {}
    record = record_from_order(
        order, _Digests(), "c" * 64, [], subject_id="s", now=NOW, consent_id="c", salt="0" * 64, captured=photos
    )
    events = _history(record, more, approvals, outcome)
    now = NOW + timedelta(days=days)
    facts = Facts(script_sha256=script)
    decision = decide(record, events, purpose=order.purpose, modality=modalities, now=now, facts=facts)
    event(decision.decision)

    types = [one.type for one in events]
    objections = [one for one in events if one.type is EventType.OBJECTED]
    undecided = len(objections) > (1 if outcome else 0) or any(k.position == "objected" for k in order.co_kin)
    ended = {EventType.WITHDRAWN, EventType.REVOKED, EventType.INVALIDATED, EventType.ERASED, EventType.EXPIRED}
    late = capture == date(2025, 1, 1)
    entered = {EventType.EVIDENCE_ENTERED, EventType.EVIDENCE_APPROVED} & set(types[1 + approvals :])
    papers = {paper.file for person in order.grantors for paper in person.evidence}
    strict = {"DE", "SK"} & {*order.jurisdictions, order.subject.domicile}

    forbidden = {
        "the deceased refused": order.subject.lifetime_arrangement.kind == "forbids",
        "an objection is open": undecided,
        "an objection was upheld": bool(objections) and outcome == "upheld",
        "a European objection was only dismissed": bool(objections) and outcome == "dismissed" and bool(strict),
        "a grantor refused": EventType.REFUSED in types,
        "it has ended": bool(ended & set(types)) or EventType.ERASURE_SCHEDULED in types,
        "it has expired": now >= record.valid_until,
        "the face is not covered": Modality.FACE in modalities and not order.consent.face,
        "the voice is not covered": Modality.VOICE in modalities and not order.consent.voice,
        "the script was changed": script == "e" * 64,
        "a photo is dated after the death and nobody says why": late and not order.consent.dated_later,
        "a photo is dated after the death and one person looked": late and approvals < 2 and not entered,
        "the death is not proved": "p/death.pdf" not in papers,
        "a grantor is a minor": not all(person.adult for person in order.grantors),
        "nobody saw the papers": approvals == 0
        and EventType.EVIDENCE_ENTERED not in types
        and EventType.EVIDENCE_APPROVED not in types,
    }
    standing_against = [name for name, stands in forbidden.items() if stands]
    if standing_against:
        assert not decision.granted, standing_against
    if decision.granted:
        assert not decision.against
        assert any(reason.for_or_against == "for" for reason in decision.reasons)
    if decision.decision == "frozen":
        assert undecided or (objections and outcome == "dismissed")


@given(order=orders, more=happenings, days=st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_more_history_against_never_opens_a_gate(order: Order, more: list[EventType], days: int) -> None:
    """Adding an objection or a withdrawal to any situation never turns no into yes."""
    record = record_from_order(order, _Digests(), "c" * 64, [], subject_id="s", now=NOW, consent_id="c", salt="0" * 64)
    now = NOW + timedelta(days=days)
    for worse in (EventType.OBJECTED, EventType.WITHDRAWN, EventType.EXPIRED, EventType.REFUSED, EventType.ERASED):
        after = decide(
            record, _history(record, [*more, worse], 2, ""), purpose=order.purpose, modality=tuple(Modality), now=now
        )
        assert not after.granted
