"""Every rule refuses (or freezes) exactly where it should, and nothing else does: removing it opens the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from memorial_tasks.consent.events import ConsentEvent, EventType, next_event
from memorial_tasks.consent.record import ConsentRecord, record_from_order
from memorial_tasks.consent.rules import PACKS, Decision, Facts, Rule, decide, packs_for
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
    now: datetime | None = None
    facts: Facts = field(default_factory=Facts)
    approvals: int = 2
    given: bool = True
    start: datetime = NOW
    change: Callable[[ConsentRecord], ConsentRecord] = lambda record: record
    captured: date | None = None  # what the camera wrote into photos/a.jpg

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
            order,
            _Digests(),
            "c" * 64,
            ["d" * 64],
            subject_id="sub-1",
            now=self.start,
            consent_id="c-1",
            salt="5a" * 32,
            captured={"photos/a.jpg": ("d" * 64, self.captured)} if self.captured else {},
        )
        record = self.change(record)
        events: list[ConsentEvent] = []

        def add(type: EventType, actor: str, **more: Any) -> None:
            fields: dict[str, Any] = {"at": self.start, "actor_kind": "operator", "actor": actor} | more
            if fields["actor"] == "kin":
                fields["actor"] = record.co_kin[0].party_id
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
            record,
            events,
            purpose=self.purpose,
            modality=self.modalities,
            now=self.now or self.start + timedelta(hours=1),
            facts=self.facts,
            packs=packs,
        )


class _Digests(dict[str, str]):
    def __missing__(self, path: str) -> str:
        return f"{sum(path.encode()):064x}"


def _stated(reason: str) -> dict[str, Any]:
    return {"consent": {"dated_later": [{"file": "photos/a.jpg", "reason": reason}]}}


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
    "house.capture": World(captured=date(2025, 1, 1)),
    "house.capture_seen": World(_stated("a photographed print"), captured=date(2025, 1, 1), approvals=1),
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
    speaking = {reason.code for reason in decision.reasons if reason.for_or_against == "for"}
    assert {"house.given", "cn.rank", "house.evidence_death"} <= speaking
    silent = {"house.lifetime_scope", "house.capture_seen", "house.minor_subject", "house.therapy", "cn.wide_purpose"}
    assert not silent & speaking, "a rule that does not apply speaks for nobody"
    assert "house.single_approval" in {r.code for r in decision.reasons if r.for_or_against == "note"}


PAPERS = [KIN, DEATH, IDENTITY]
MOTHER = {"name": "M", "relation": "mother", "evidence": [KIN, DEATH]}
GRANDMOTHER = {"name": "O", "relation": "grandparent"}
CHILD = SUBJECT | {"born": "2015-01-01"}
SIBLING = DAUGHTER | {"relation": "sibling"}
PERMITS = {"lifetime_arrangement": WILL}


def _eu(purpose: Purpose = Purpose.FAMILY_PRIVATE, **more: Any) -> World:
    order = {k: v for k, v in more.items() if k in {"co_kin", "grantors"}}
    subject = SUBJECT | {"domicile": "DE"} | more.pop("subject", {})
    rest = {k: v for k, v in more.items() if k not in order}
    return World({"subject": subject, "jurisdictions": ["DE"], **order}, purpose=purpose, **rest)


def _third(minor: bool, *papers: str) -> dict[str, Any]:
    return {"name": f"T{len(papers)}", "minor": minor, "evidence": list(papers)}


def _boundaries_that_hold() -> dict[str, World]:
    """The last moment, the smallest paper, the other way: each just enough."""
    wide, film, ceremony = Purpose.PUBLIC_MEMORIAL, Purpose.FILM, Purpose.CEREMONY
    heard = [(EventType.OBJECTED, {"actor": "kin"}), (EventType.RESOLVED, {"outcome": "dismissed"})]
    agreed = [(EventType.AGREED, {"actor": "kin"})]
    ten_days = _window(valid_from=0, valid_until=10)
    figure = {"public_figure": True}
    return {
        "the person named for other purposes decides the family's own": World(
            _subject(
                lifetime_arrangement={
                    "kind": "names_person",
                    "person": "G",
                    "purposes": ["ceremony"],
                    "evidence": ["p/will.pdf"],
                }
            )
        ),
        "a named person needs no kinship paper": World(
            _subject(lifetime_arrangement={"kind": "names_person", "person": "G", "evidence": ["p/will.pdf"]})
            | {"grantors": [SIBLING | {"evidence": [DEATH]}]}
        ),
        "five minutes before it begins": World(now=NOW - timedelta(minutes=5)),
        "the last second": World(change=ten_days, now=NOW + timedelta(days=10, seconds=-1)),
        "the longest consent": World(change=_window(valid_from=0, valid_until=3660)),
        "an older version expired": World(
            change=lambda r: r.model_copy(update={"version": 2}), history=[(EventType.EXPIRED, {"version": 1})]
        ),
        "an objection on paper that was heard and decided": World(
            {"co_kin": [_co("sibling", "objected")]}, history=heard
        ),
        "a single parent with proof": World(
            {"subject": CHILD, "grantors": [MOTHER | {"evidence": [*PAPERS, "p/rank.pdf"]}]}
        ),
        "a mother, and a father who agrees": World(
            {"subject": CHILD, "grantors": [MOTHER], "co_kin": [_co("father", "agreed")]}
        ),
        "a guardian with their paper": World(
            {
                "subject": CHILD,
                "grantors": [GRANDMOTHER | {"evidence": [*PAPERS, "p/rank.pdf", "p/guardian.pdf"]}],
            }
        ),
        "died yesterday, somewhere else already tomorrow": World(_subject(died="2026-03-02")),
        "a photo of the day after": World(captured=date(2024, 11, 21)),
        "a photo of the day after, seen by one person": World(captured=date(2024, 11, 21), approvals=1),
        "a print photographed later, and two persons looked": World(
            _stated("a photographed print"), captured=date(2025, 1, 1)
        ),
        "exactly the material listed": World(facts=Facts(material_sha256=frozenset({"d" * 64}))),
        "living people who consented": World(
            {"consent": {"third_parties": [_third(False, "p/letter.pdf"), _third(True, "p/guardian.pdf", KIN)]}}
        ),
        "therapy for a year": World(
            {"consent": {"practitioner": "P-1", "stop": "a button"}},
            purpose=Purpose.THERAPY,
            change=_window(valid_from=0, valid_until=370),
        ),
        "72 hours to the second": World(
            {"co_kin": [_co("son", "notified")]}, purpose=ceremony, now=NOW + timedelta(hours=72)
        ),
        "nobody to wait for: all agreed": World({"co_kin": [_co("son", "agreed")]}, purpose=ceremony),
        "nobody to wait for: agreed since": World(
            {"co_kin": [_co("son", "notified")]}, purpose=ceremony, history=agreed
        ),
        "no waiting for second rank": World({"co_kin": [_co("sibling", "notified")]}, purpose=ceremony),
        "no waiting inside the family": World({"co_kin": [_co("son", "notified")]}),
        "unreachable, with a notary's paper": World(
            {"co_kin": [_co("son", "unreachable", evidence=["p/notary.pdf"])]},
            purpose=ceremony,
            now=NOW + timedelta(days=4),
        ),
        "unreachable does not matter inside the family": World({"co_kin": [_co("son", "unreachable")]}),
        "unreachable second rank does not matter": World({"co_kin": [_co("sibling", "unreachable")]}, purpose=ceremony),
        "EU: the right holder stands close": _eu(grantors=[HOLDER]),
        "EU: second rank stands close": _eu(grantors=[SIBLING]),
        "EU: one close person among the grantors": _eu(
            grantors=[DAUGHTER, DAUGHTER | {"name": "G2"}],
            change=lambda r: r.model_copy(
                update={"grantors": (r.grantors[0], r.grantors[1].model_copy(update={"rank": 3}))}
            ),
        ),
        "EU: family use needs no agreement": _eu(co_kin=[_co("son", "notified")]),
        "EU: public with everybody's agreement": _eu(wide, co_kin=[_co("son", "agreed")]),
        "EU: public with agreement given later": _eu(
            wide, co_kin=[_co("son", "notified")], history=agreed, now=NOW + timedelta(days=4)
        ),
        "EU: public, second rank was told": _eu(wide, co_kin=[_co("sibling", "notified")], now=NOW + timedelta(days=4)),
        "EU: film by lifetime permission": _eu(film, subject=PERMITS),
        "EU: film by the right holder": _eu(film, grantors=[HOLDER]),
        "NY: a ceremony for a public figure": _us("US-NY", ceremony, subject=figure),
        "NY: died the day before the law": _us("US-NY", wide, subject=figure | {"died": "2021-05-28"}),
        "NY: forty years later": World(
            {"subject": SUBJECT | figure | {"domicile": "US-NY", "died": "2021-05-29"}, "jurisdictions": ["US-NY"]},
            purpose=wide,
            start=datetime(2061, 5, 29, tzinfo=UTC),
        ),
        "NY: a public figure who permitted it": _us("US-NY", film, subject=figure | PERMITS),
        "NY: commercial by lifetime permission": _us("US-NY", Purpose.COMMERCIAL, subject=PERMITS),
        "NY: a private person's right holder need not register": _us("US-NY", Purpose.COMMERCIAL, grantors=[HOLDER]),
        "NY: a sibling, permitted while alive": _us(
            "US-NY", Purpose.FAMILY_PRIVATE, subject=PERMITS, grantors=[SIBLING]
        ),
        "CA: a public figure inside the family": _us("US-CA", Purpose.FAMILY_PRIVATE, subject=figure),
        "CA: a private person's ceremony": _us("US-CA", ceremony),
        "CA: seventy years later": _us(
            "US-CA", ceremony, subject=figure | {"born": "1900-01-01", "died": "1956-03-01"}
        ),
        "CA: a public figure by the right holder": _us("US-CA", film, subject=figure, grantors=[HOLDER]),
        "CA: a public figure who permitted it": _us("US-CA", film, subject=figure | PERMITS),
        "CA: a sibling, permitted while alive": _us(
            "US-CA", Purpose.FAMILY_PRIVATE, subject=PERMITS, grantors=[SIBLING]
        ),
        "TN: ten years later": _us("US-TN", wide, subject={"died": "2016-03-01"}),
        "TN: public by lifetime permission": _us("US-TN", wide, subject=PERMITS),
        "TN: a sibling, permitted while alive": _us(
            "US-TN", Purpose.FAMILY_PRIVATE, subject=PERMITS, grantors=[SIBLING]
        ),
        "one of first rank among the grantors": World({"grantors": [DAUGHTER, SIBLING | {"name": "G2"}]}),
        "second rank with proof, and the executor": World(
            {"grantors": [SIBLING | {"evidence": [*PAPERS, "p/rank.pdf"]}, HOLDER | {"relation": "executor"}]}
        ),
        "a right holder among the grantors": _us("US-TX", film, grantors=[DAUGHTER, HOLDER]),
        "elsewhere: a film by the right holder": _us("US-TX", film, grantors=[HOLDER]),
        "elsewhere: a film by lifetime permission": _us("US-TX", film, subject=PERMITS),
    }


def _boundaries_that_break() -> dict[str, tuple[str, World]]:
    """One second, one paper, one person short."""
    wide, ceremony = Purpose.PUBLIC_MEMORIAL, Purpose.CEREMONY
    figure = {"public_figure": True}
    second = DAUGHTER | {"name": "G2"}
    ten_days = _window(valid_from=0, valid_until=10)
    short = [(EventType.GIVEN, {"valid_until": NOW + timedelta(days=1)})]
    long = [(EventType.GIVEN, {"valid_until": NOW + timedelta(days=4000)})]
    return {
        "the history is already at a newer version": (
            "house.current_version",
            World(history=[(EventType.GIVEN, {"version": 2, "valid_until": NOW + timedelta(days=9)})]),
        ),
        "an event of another order": (
            "house.current_version",
            World(history=[(EventType.NOTIFIED, {"order_id": "other-1"})]),
        ),
        "more than five minutes before it begins": (
            "house.begun",
            World(now=NOW - timedelta(minutes=5, seconds=1), history=()),
        ),
        "a clock more than five minutes behind": (
            "house.clock",
            World(
                history=[(EventType.NOTIFIED, {"at": NOW + timedelta(hours=2)})],
                now=NOW + timedelta(hours=2) - timedelta(minutes=5, seconds=1),
            ),
        ),
        "the very second it ends": ("house.not_expired", World(change=ten_days, now=NOW + timedelta(days=10))),
        "given for a shorter time than the record says": (
            "house.not_expired",
            World(history=short, now=NOW + timedelta(days=1)),
        ),
        "given for a longer time than the record says": (
            "house.not_expired",
            World(history=long, now=NOW + timedelta(days=400)),
        ),
        "given for longer, at the very second the record ends": (
            "house.not_expired",
            World(history=long, change=ten_days, now=NOW + timedelta(days=10)),
        ),
        "a consent without any length": ("house.finite", World(change=_window(valid_from=0, valid_until=0))),
        "a day longer than the longest": ("house.finite", World(change=_window(valid_from=0, valid_until=3661))),
        "erased": ("house.not_erased", World(history=[(EventType.ERASED, {"actor_kind": "system"})])),
        "the script item was not ticked": (
            "house.script",
            World(
                facts=Facts(script_sha256="c" * 64),
                change=lambda r: r.model_copy(update={"items": r.items.model_copy(update={"script": False})}),
            ),
        ),
        "another grantor's kinship paper": (
            "house.evidence_kinship",
            World({"grantors": [DAUGHTER, second | {"evidence": [IDENTITY]}]}),
        ),
        "another grantor's identity paper": (
            "house.evidence_identity",
            World({"grantors": [DAUGHTER, second | {"evidence": [KIN]}]}, purpose=ceremony),
        ),
        "one of two grantors is a minor": (
            "house.grantor_adult",
            World({"grantors": [DAUGHTER, second | {"adult": False}]}),
        ),
        "a mother, and a father who was only told": (
            "house.minor_subject",
            World(
                {
                    "subject": CHILD,
                    "grantors": [MOTHER | {"evidence": [*PAPERS, "p/rank.pdf"]}],
                    "co_kin": [_co("father", "notified")],
                }
            ),
        ),
        "a mother, and a brother who agrees": (
            "house.minor_subject",
            World({"subject": CHILD, "grantors": [MOTHER], "co_kin": [_co("sibling", "agreed")]}),
        ),
        "a grandparent of a child, without a guardian's paper": (
            "house.minor_subject",
            World({"subject": CHILD, "grantors": [GRANDMOTHER | {"evidence": [*PAPERS, "p/rank.pdf"]}]}),
        ),
        "one parent with a guardian's paper is not both": (
            "house.minor_subject",
            World({"subject": CHILD, "grantors": [MOTHER | {"evidence": [*PAPERS, "p/guardian.pdf"]}]}),
        ),
        "a guardian's paper of somebody else": (
            "house.minor_subject",
            World(
                {
                    "subject": CHILD,
                    "grantors": [GRANDMOTHER | {"evidence": [*PAPERS, "p/rank.pdf"]}],
                    "consent": {"third_parties": [_third(True, "p/guardian.pdf")]},
                }
            ),
        ),
        "dies the day after tomorrow": ("house.died", World(_subject(died="2026-03-03"))),
        "a photo two days after": ("house.capture", World(captured=date(2024, 11, 22))),
        "one of two late photos is explained": (
            "house.capture",
            World(
                _stated("a photographed print"),
                captured=date(2025, 1, 1),
                change=lambda r: r.model_copy(
                    update={"dated_later": (*r.dated_later, r.dated_later[0].model_copy(update={"reason": ""}))}
                ),
            ),
        ),
        "a late photo explained, two days after the death, seen by one": (
            "house.capture_seen",
            World(_stated("a photographed print"), captured=date(2024, 11, 22), approvals=1),
        ),
        "an explanation of another photo explains nothing": (
            "house.capture",
            World(
                {"consent": {"dated_later": [{"file": "photos/b.jpg", "reason": "a scan"}]}},
                captured=date(2025, 1, 1),
            ),
        ),
        "one of two living people did not consent": (
            "house.third_parties",
            World({"consent": {"third_parties": [_third(False, "p/letter.pdf"), _third(False)]}}),
        ),
        "one of two children has no guardian's paper": (
            "house.third_party_minors",
            World({"consent": {"third_parties": [_third(True, "p/guardian.pdf"), _third(True, "p/a.pdf", "p/b.pdf")]}}),
        ),
        "therapy without a way to stop": (
            "house.therapy",
            World({"consent": {"practitioner": "P-1"}}, purpose=Purpose.THERAPY),
        ),
        "therapy without a practitioner": (
            "house.therapy",
            World({"consent": {"stop": "a button"}}, purpose=Purpose.THERAPY),
        ),
        "therapy for more than a year": (
            "house.therapy",
            World(
                {"consent": {"practitioner": "P-1", "stop": "a button"}},
                purpose=Purpose.THERAPY,
                change=_window(valid_from=0, valid_until=371),
            ),
        ),
        "a second before the 72 hours": (
            "house.notice_period",
            World({"co_kin": [_co("son", "notified")]}, purpose=ceremony, now=NOW + timedelta(hours=72, seconds=-1)),
        ),
        "one of two unreachable without a paper": (
            "cn.unreachable_kin",
            World(
                {"co_kin": [_co("son", "unreachable"), _co("spouse", "agreed")]},
                purpose=ceremony,
                now=NOW + timedelta(days=4),
            ),
        ),
        "EU: public, one of two agreed": (
            "eu.public_agreement",
            _eu(wide, co_kin=[_co("son", "agreed"), _co("spouse", "notified")], now=NOW + timedelta(days=4)),
        ),
        "NY: died the day of the law": (
            "us_ny.successor",
            _us("US-NY", wide, subject=figure | {"died": "2021-05-29"}),
        ),
        "NY: a day before forty years": (
            "us_ny.successor",
            World(
                {"subject": SUBJECT | figure | {"domicile": "US-NY", "died": "2021-05-29"}, "jurisdictions": ["US-NY"]},
                purpose=wide,
                start=datetime(2061, 5, 28, tzinfo=UTC),
            ),
        ),
        "CA: a day before seventy years": (
            "us_ca.replica",
            _us("US-CA", ceremony, subject=figure | {"born": "1900-01-01", "died": "1956-03-02"}),
        ),
        "TN: a day before ten years": ("us_tn.property", _us("US-TN", wide, subject={"died": "2016-03-02"})),
        "TN: a public figure, however long ago": (
            "us_tn.property",
            _us("US-TN", wide, subject=figure | {"died": "2001-01-01"}),
        ),
        "a named person without the paper that names them": (
            "house.lifetime_person",
            World(_subject(lifetime_arrangement={"kind": "names_person", "person": "G"})),
        ),
        "a permission does not make a sibling the person named": (
            "cn.rank",
            World(_subject(lifetime_arrangement=WILL | {"person": "G"}) | {"grantors": [SIBLING]}),
        ),
        "an executor alone in China, whatever the paper": (
            "cn.rank",
            World({"grantors": [HOLDER | {"relation": "executor", "evidence": ["p/notary.pdf", DEATH, "p/rank.pdf"]}]}),
        ),
        "naming a person, and no purpose, covers nothing wide": (
            "cn.wide_purpose",
            World(
                _subject(lifetime_arrangement={"kind": "names_person", "person": "G", "evidence": ["p/will.pdf"]}),
                purpose=wide,
            ),
        ),
        "naming somebody else for this purpose lends nothing to the grantor": (
            "cn.wide_purpose",
            World(
                _subject(
                    lifetime_arrangement={
                        "kind": "names_person",
                        "person": "Z",
                        "purposes": ["film"],
                        "evidence": ["p/will.pdf"],
                    }
                ),
                purpose=Purpose.FILM,
            ),
        ),
        "China: an advertisement": ("cn.wide_purpose", World(purpose=Purpose.COMMERCIAL)),
        "China: a film": ("cn.wide_purpose", World(purpose=Purpose.FILM)),
        "EU: an advertisement": ("eu.released", _eu(Purpose.COMMERCIAL)),
        "CA: an advertisement": ("us_ca.released", _us("US-CA", Purpose.COMMERCIAL)),
        "TN: an advertisement": ("us_tn.property", _us("US-TN", Purpose.COMMERCIAL)),
        "elsewhere: an advertisement": ("default.wide_purpose", _us("US-TX", Purpose.COMMERCIAL)),
        "naming a person covers no purpose the paper does not name": (
            "cn.wide_purpose",
            World(
                _subject(
                    lifetime_arrangement={
                        "kind": "names_person",
                        "person": "G",
                        "purposes": ["film"],
                        "evidence": ["p/will.pdf"],
                    }
                ),
                purpose=wide,
            ),
        ),
    }


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
    **_boundaries_that_hold(),
    "only the face is remade and only the face is ticked": World(
        {"consent": {"voice": False}}, modalities=(Modality.FACE,)
    ),
    "only the voice is remade and only the voice is ticked": World(
        {"consent": {"face": False}}, modalities=(Modality.VOICE,)
    ),
    "a guardian with their paper, and another grantor": World(
        {
            "subject": CHILD,
            "grantors": [
                GRANDMOTHER | {"evidence": [*PAPERS, "p/rank.pdf", "p/guardian.pdf"]},
                GRANDMOTHER | {"name": "P", "evidence": PAPERS},
            ],
        }
    ),
}


@pytest.mark.parametrize("name", GRANTED)
def test_what_satisfies_the_rules_is_granted(name: str) -> None:
    decision = GRANTED[name].decide()
    assert decision.granted, [reason.code for reason in decision.against]


REFUSED: dict[str, tuple[str, World]] = {
    **_boundaries_that_break(),
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
    "a relative recorded as objecting who was only told": (
        "house.objection",
        World({"co_kin": [_co("spouse", "objected")]}, history=[(EventType.NOTIFIED, {"actor": "kin"})]),
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


def test_a_record_nothing_happened_to_is_refused_not_a_crash() -> None:
    record, _ = World().build()
    decision = decide(record, (), purpose=Purpose.FAMILY_PRIVATE, modality=tuple(Modality), now=NOW)
    assert {"house.given", "house.evidence_approved"} <= {reason.code for reason in decision.against}


def test_refused_beats_frozen() -> None:
    decision = World(history=[OBJECTED], facts=Facts(script_sha256="e" * 64)).decide()
    assert decision.decision == "refused"


def test_a_lifetime_refusal_beats_everybody() -> None:
    everybody = [DAUGHTER, DAUGHTER | {"name": "G2", "relation": "spouse"}, HOLDER]
    world = World(_subject(lifetime_arrangement={"kind": "forbids"}) | {"grantors": everybody})
    assert not world.decide().granted


@pytest.mark.parametrize(
    ("places", "domicile", "packs"),
    [
        (["CN"], "CN", ("house", "CN")),
        (["cn"], "CN", ("house", "CN")),
        (["DE", "SK"], "FR", ("house", "EU")),
        (["US-NY"], "US-CA", ("house", "US-NY", "US-CA")),
        (["JP", "US-TX"], "BR", ("house", "default")),
        (["CN"], "US-TN", ("house", "CN", "US-TN")),
        (["EU"], "NO", ("house", "EU")),
    ],
)
def test_the_rules_of_every_place_that_applies_are_asked(
    places: list[str], domicile: str, packs: tuple[str, ...]
) -> None:
    assert packs_for(places, domicile) == packs


def test_one_modality_may_be_named_alone() -> None:
    record, events = World({"consent": {"voice": False}}).build()
    for modality, granted in ((Modality.FACE, True), (Modality.VOICE, False)):
        decision = decide(record, events, purpose=Purpose.FAMILY_PRIVATE, modality=modality, now=NOW)
        assert decision.granted is granted


def test_the_note_about_one_person_is_said_where_one_person_is_enough_and_only_there() -> None:
    def notes(world: World) -> list[str]:
        return [reason.code for reason in world.decide().reasons if reason.for_or_against == "note"]

    assert notes(World(approvals=1)) == ["house.single_approval"]
    assert notes(World(approvals=2)) == notes(World(approvals=1, purpose=Purpose.CEREMONY)) == []
    assert notes(World(_stated("a scan"), approvals=1, captured=date(2025, 1, 1))) == []


def test_what_stands_against_an_order_is_said_first() -> None:
    sides = [reason.for_or_against for reason in World(history=[OBJECTED], approvals=1).decide().reasons]
    assert sides == sorted(sides, key=["against", "for", "note"].index)
    assert set(sides) == {"against", "for", "note"}
