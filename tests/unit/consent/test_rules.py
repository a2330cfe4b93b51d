"""Every rule refuses (or freezes) exactly where it should, and nothing else does: removing it opens the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from memorial_tasks.consent.events import ConsentEvent, EventType, next_event
from memorial_tasks.consent.record import ConsentRecord, record_from_order
from memorial_tasks.consent.rules import PACKS, Decision, Facts, Rule, decide
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import Modality, Purpose

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
KIN, DEATH, IDENTITY = "p/kinship.pdf", "p/death.pdf", "p/identity.pdf"
DAUGHTER = {"name": "G", "relation": "daughter", "evidence": [KIN, DEATH, IDENTITY]}
HOLDER = {"name": "H", "relation": "right_holder", "evidence": ["p/notary.pdf", DEATH]}
SUBJECT = {"name": "S", "born": "1931-04-02", "died": "2024-11-20", "domicile": "CN"}
WILL = {"kind": "permits", "evidence": ["p/will.pdf"]}


@dataclass
class World:
    """One situation: an order's terms, what happened since, and what is true now."""

    order: dict[str, Any] = field(default_factory=dict)
    history: Sequence[tuple[EventType, dict[str, Any]]] = ()
    purpose: Purpose = Purpose.FAMILY_PRIVATE
    modalities: tuple[Modality, ...] = tuple(Modality)
    now: datetime = NOW + timedelta(hours=1)
    facts: Facts = field(default_factory=Facts)
    approvals: int = 2
    given: bool = True
    change: Callable[[ConsentRecord], ConsentRecord] = lambda record: record

    def build(self) -> tuple[ConsentRecord, tuple[ConsentEvent, ...]]:
        document = {
            "order": "test-2026-001",
            "subject": SUBJECT,
            "grantors": [DAUGHTER],
            "purpose": self.purpose.value,
            "jurisdictions": ["CN"],
            "language": "zh-CN",
            "script": [{"text": "我很好。"}],
            "materials": {"photos": "photos", "voice": "voice"},
        }
        order = Order.model_validate(document | self.order)
        record = record_from_order(
            order, _Digests(), "c" * 64, ["d" * 64], subject_id="sub-1", now=NOW, consent_id="c-1", salt="5a" * 32
        )
        record = self.change(record)
        events: list[ConsentEvent] = []

        def add(type: EventType, actor: str, **more: Any) -> None:
            fields: dict[str, Any] = {"at": NOW, "actor_kind": "operator", "actor": actor} | more
            events.append(next_event(events, record, type, fields.pop("at"), **fields))

        add(EventType.REQUESTED, "ann")
        for name in ("ann", "ben")[: self.approvals]:
            add(EventType.EVIDENCE_ENTERED if name == "ann" else EventType.EVIDENCE_APPROVED, name)
        for party in record.grantors if self.given else ():
            add(EventType.GIVEN, party.party_id, valid_until=record.valid_until)
        for type, more in self.history:
            objected = [event for event in events if event.type is EventType.OBJECTED]
            resolves = {"objection": objected[0].event_id} if type is EventType.RESOLVED else {}
            add(type, **({"actor": "someone"} | resolves | more))
        return record, tuple(events)

    def decide(self, without: str = "") -> Decision:
        record, events = self.build()
        packs: dict[str, tuple[Rule, ...]] = {
            name: tuple(rule for rule in rules if rule.code != without) for name, rules in PACKS.items()
        }
        return decide(
            record, events, purpose=self.purpose, modality=self.modalities, now=self.now, facts=self.facts, packs=packs
        )


class _Digests(dict[str, str]):
    def __missing__(self, path: str) -> str:
        return f"{sum(path.encode()):064x}"


def _subject(**changes: Any) -> dict[str, Any]:
    return {"subject": SUBJECT | changes}


def _us(state: str, purpose: Purpose, **order: Any) -> World:
    subject = SUBJECT | {"domicile": state} | order.pop("subject", {})
    return World({"subject": subject, "jurisdictions": [state], **order}, purpose=purpose)


def _window(**days: int) -> Callable[[ConsentRecord], ConsentRecord]:
    return lambda record: record.model_copy(update={name: NOW + timedelta(days=n) for name, n in days.items()})


OBJECTED = (EventType.OBJECTED, {"actor_kind": "co_kin"})


def _co(relation: str, position: str, **more: Any) -> dict[str, Any]:
    return {"name": f"K {relation}", "relation": relation, "position": position, **more}


# One situation for every rule, in which it alone stands in the way.
CASES: dict[str, World] = {
    "house.lifetime_refusal": World(_subject(lifetime_arrangement={"kind": "forbids"})),
    "house.lifetime_scope": World(_subject(lifetime_arrangement=WILL | {"purposes": ["ceremony"]})),
    "house.lifetime_person": World(
        _subject(lifetime_arrangement={"kind": "names_person", "person": "Somebody Else", "evidence": ["p/will.pdf"]})
    ),
    "house.given": World(given=False),
    "house.not_refused": World(history=[(EventType.REFUSED, {"actor_kind": "grantor"})]),
    "house.not_ended": World(history=[(EventType.WITHDRAWN, {"actor_kind": "grantor"})]),
    "house.not_erased": World(history=[(EventType.ERASURE_SCHEDULED, {"actor_kind": "system"})]),
    "house.current_version": World(history=[(EventType.NOTIFIED, {"consent_id": "c-2"})]),
    "house.clock": World(now=NOW + timedelta(hours=1), history=[(EventType.NOTIFIED, {"at": NOW + timedelta(days=2)})]),
    "house.begun": World(change=_window(valid_from=3, valid_until=300)),
    "house.not_expired": World(now=NOW + timedelta(days=400)),
    "house.finite": World(change=_window(valid_from=0, valid_until=5000)),
    "house.objection": World(history=[OBJECTED]),
    "house.objection_upheld": World(history=[OBJECTED, (EventType.RESOLVED, {"outcome": "upheld"})]),
    "house.purpose": World(
        change=lambda r: r.model_copy(update={"scope": r.scope.model_copy(update={"purposes": (Purpose.CEREMONY,)})})
    ),
    "house.face_item": World({"consent": {"face": False}}),
    "house.voice_item": World({"consent": {"voice": False}}),
    "house.script": World(facts=Facts(script_sha256="e" * 64)),
    "house.material": World(facts=Facts(material_sha256=frozenset({"d" * 64, "e" * 64}))),
    "house.channel": World(facts=Facts(channel="advertising")),
    "house.evidence_death": World({"grantors": [DAUGHTER | {"evidence": [KIN]}]}),
    "house.evidence_kinship": World({"grantors": [DAUGHTER | {"evidence": [DEATH]}]}),
    "house.evidence_identity": World({"grantors": [DAUGHTER | {"evidence": [KIN, DEATH]}]}, purpose=Purpose.CEREMONY),
    "house.evidence_approved": World(purpose=Purpose.CEREMONY, approvals=1),
    "house.grantor_adult": World({"grantors": [DAUGHTER | {"adult": False}]}),
    "house.minor_subject": World(
        {
            "subject": SUBJECT | {"born": "2015-01-01"},
            "grantors": [{"name": "M", "relation": "mother", "evidence": [KIN, DEATH]}],
        }
    ),
    "house.died": World(_subject(died="2026-05-01")),
    "house.capture": World(facts=Facts(newest_capture=date(2025, 1, 1))),
    "house.third_parties": World({"consent": {"third_parties": [{"name": "T"}]}}),
    "house.third_party_minors": World({"consent": {"third_parties": [{"name": "T", "minor": True}]}}),
    "house.therapy": World(purpose=Purpose.THERAPY),
    "house.notice_period": World({"co_kin": [_co("son", "notified")]}, purpose=Purpose.CEREMONY),
    "cn.rank": World({"grantors": [DAUGHTER | {"relation": "sibling"}]}),
    "cn.wide_purpose": World(purpose=Purpose.PUBLIC_MEMORIAL),
    "cn.unreachable_kin": World(
        {"co_kin": [_co("son", "unreachable")]}, purpose=Purpose.CEREMONY, now=NOW + timedelta(days=4)
    ),
    "eu.any_dissent": World(
        {"subject": SUBJECT | {"domicile": "SK"}, "jurisdictions": ["SK"]},
        history=[OBJECTED, (EventType.RESOLVED, {"outcome": "dismissed"})],
    ),
    "eu.close_person": World(
        {"subject": SUBJECT | {"domicile": "DE"}, "jurisdictions": ["DE"]},
        change=lambda r: r.model_copy(update={"grantors": (r.grantors[0].model_copy(update={"rank": 3}),)}),
    ),
    "eu.public_agreement": World(
        {"subject": SUBJECT | {"domicile": "DE"}, "jurisdictions": ["DE"], "co_kin": [_co("son", "notified")]},
        purpose=Purpose.PUBLIC_MEMORIAL,
        now=NOW + timedelta(days=4),
    ),
    "eu.released": World({"subject": SUBJECT | {"domicile": "FR"}, "jurisdictions": ["FR"]}, purpose=Purpose.FILM),
    "us_ny.successor": _us("US-NY", Purpose.PUBLIC_MEMORIAL, subject={"public_figure": True}),
    "us_ny.registration": _us("US-NY", Purpose.FILM, subject={"public_figure": True}, grantors=[HOLDER]),
    "us_ny.commercial": _us("US-NY", Purpose.COMMERCIAL),
    "us_ny.heir": _us("US-NY", Purpose.FAMILY_PRIVATE, grantors=[DAUGHTER | {"relation": "sibling"}]),
    "us_ca.replica": _us("US-CA", Purpose.CEREMONY, subject={"public_figure": True}),
    "us_ca.released": _us("US-CA", Purpose.FILM),
    "us_ca.heir": _us("US-CA", Purpose.FAMILY_PRIVATE, grantors=[DAUGHTER | {"relation": "sibling"}]),
    "us_tn.property": _us("US-TN", Purpose.PUBLIC_MEMORIAL),
    "us_tn.tool": _us("US-TN", Purpose.FAMILY_PRIVATE, grantors=[DAUGHTER | {"relation": "sibling"}]),
    "default.rank": _us("US-TX", Purpose.FAMILY_PRIVATE, grantors=[DAUGHTER | {"relation": "sibling"}]),
    "default.wide_purpose": _us("US-TX", Purpose.PUBLIC_MEMORIAL),
}


def test_every_rule_has_a_case() -> None:
    assert {rule.code for rules in PACKS.values() for rule in rules} == set(CASES)


@pytest.mark.parametrize("code", CASES)
def test_the_rule_alone_stands_in_the_way(code: str) -> None:
    decision = CASES[code].decide()
    assert [reason.code for reason in decision.against] == [code]
    freezes = code in {"house.objection", "eu.any_dissent"}
    assert decision.decision == ("frozen" if freezes else "refused")
    assert CASES[code].decide(without=code).granted, "the gate must open when this rule is removed"


@pytest.mark.parametrize("code", CASES)
def test_each_reason_cites_and_explains_in_both_languages(code: str) -> None:
    (reason,) = CASES[code].decide().against
    assert reason.article
    assert reason.text.zh.endswith("。")
    assert reason.text.en.endswith(".")
    assert reason.remedy is not None
    assert reason.remedy.zh
    assert reason.remedy.en


def test_an_ordinary_family_is_granted_with_reasons_for() -> None:
    decision = World(approvals=1).decide()
    assert decision.granted
    assert {"house.given", "cn.rank", "house.evidence_death"} <= {
        r.code for r in decision.reasons if r.for_or_against == "for"
    }
    assert "house.single_approval" in {r.code for r in decision.reasons if r.for_or_against == "note"}


# Ways to satisfy a rule that the case above breaks.
GRANTED: dict[str, World] = {
    "second rank with proof that rank one is empty": World(
        {"grantors": [DAUGHTER | {"relation": "sibling", "evidence": [KIN, DEATH, "p/rank.pdf"]}]}
    ),
    "a named person of any rank": World(
        _subject(lifetime_arrangement={"kind": "names_person", "person": "G", "evidence": ["p/will.pdf"]})
        | {"grantors": [DAUGHTER | {"relation": "sibling"}]}
    ),
    "commercial with a lifetime permission": World(_subject(lifetime_arrangement=WILL), purpose=Purpose.COMMERCIAL),
    "a wide purpose the paper names": World(
        _subject(lifetime_arrangement=WILL | {"purposes": ["film"]}), purpose=Purpose.FILM
    ),
    "two parents for a minor": World(
        {
            "subject": SUBJECT | {"born": "2015-01-01"},
            "grantors": [
                {"name": "M", "relation": "mother", "evidence": [KIN, DEATH]},
                {"name": "F", "relation": "father", "evidence": [KIN]},
            ],
        }
    ),
    "therapy with practitioner and stop": World(
        {"consent": {"practitioner": "P-1", "stop": "a button", "months": 6}}, purpose=Purpose.THERAPY
    ),
    "72 hours have passed": World(
        {"co_kin": [_co("son", "notified")]}, purpose=Purpose.CEREMONY, now=NOW + timedelta(hours=73)
    ),
    "two relatives agree": World(
        {"co_kin": [_co("son", "agreed"), _co("spouse", "agreed"), _co("mother", "notified")]}, purpose=Purpose.CEREMONY
    ),
    "a dismissed objection in China": World(history=[OBJECTED, (EventType.RESOLVED, {"outcome": "dismissed"})]),
    "a retracted objection in Europe": World(
        {"subject": SUBJECT | {"domicile": "SK"}, "jurisdictions": ["SK"]},
        history=[OBJECTED, (EventType.RESOLVED, {"outcome": "retracted"})],
    ),
    "a registered right holder in New York": _us(
        "US-NY",
        Purpose.COMMERCIAL,
        subject={"public_figure": True},
        grantors=[HOLDER],
        consent={"registration": "NY-1"},
    ),
    "an executor in Tennessee": _us(
        "US-TN", Purpose.FILM, grantors=[{"name": "E", "relation": "executor", "evidence": ["p/notary.pdf", DEATH]}]
    ),
    "only the face is remade and only the face is ticked": World(
        {"consent": {"voice": False}}, modalities=(Modality.FACE,)
    ),
}


@pytest.mark.parametrize("name", GRANTED)
def test_what_satisfies_the_rules_is_granted(name: str) -> None:
    decision = GRANTED[name].decide()
    assert decision.granted, [reason.code for reason in decision.against]


REFUSED: dict[str, tuple[str, World]] = {
    "second rank while a child is known, paper or not": (
        "cn.rank",
        World(
            {
                "grantors": [DAUGHTER | {"relation": "sibling", "evidence": [KIN, DEATH, "p/rank.pdf"]}],
                "co_kin": [_co("son", "agreed")],
            }
        ),
    ),
    "a lifetime permission nobody can show": (
        "cn.wide_purpose",
        World(_subject(lifetime_arrangement={"kind": "permits"}), purpose=Purpose.FILM),
    ),
    "approved twice by the same person in another spelling": (
        "house.evidence_approved",
        World(purpose=Purpose.CEREMONY, approvals=1, history=[(EventType.EVIDENCE_APPROVED, {"actor": " ＡNN "})]),
    ),
    "a relative recorded as objecting": ("house.objection", World({"co_kin": [_co("spouse", "objected")]})),
    "the domicile counts even when the order names another place": (
        "us_ny.commercial",
        World(_subject(domicile="US-NY") | {"jurisdictions": ["EU"]}, purpose=Purpose.COMMERCIAL),
    ),
    "the studio's setting cannot lower two approvals": (
        "house.evidence_approved",
        World(purpose=Purpose.CEREMONY, approvals=1, facts=Facts(approvals_needed=1)),
    ),
    "the studio's setting can raise one approval": (
        "house.evidence_approved",
        World(approvals=1, facts=Facts(approvals_needed=2)),
    ),
    "an expiry the watch noticed outlives a clock set back": (
        "house.not_expired",
        World(history=[(EventType.EXPIRED, {"actor_kind": "system"})]),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_like_a_way_round_is_none(name: str) -> None:
    code, world = REFUSED[name]
    decision = world.decide()
    assert not decision.granted
    assert code in {reason.code for reason in decision.against}


def test_refused_beats_frozen() -> None:
    decision = World(history=[OBJECTED], facts=Facts(script_sha256="e" * 64)).decide()
    assert decision.decision == "refused"


def test_a_lifetime_refusal_beats_everybody() -> None:
    everybody = [DAUGHTER, DAUGHTER | {"name": "G2", "relation": "spouse"}, HOLDER]
    world = World(_subject(lifetime_arrangement={"kind": "forbids"}) | {"grantors": everybody})
    assert not world.decide().granted
