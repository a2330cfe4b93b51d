"""What consent has to say about an order before anything is stored."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from memorial_tasks.consent.events import ConsentEvent, EventType, next_event
from memorial_tasks.consent.record import ConsentRecord, record_from_order
from memorial_tasks.consent.rules.base import Decision
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import Modality
from memorial_tasks.errors import Problem

# What can still come after submission: another person's look at the papers, the relatives' time to answer.
_LATER = frozenset({"house.evidence_approved", "house.notice_period"})

_FIELDS: Mapping[str, str] = {
    "house.lifetime_refusal": "subject.lifetime_arrangement",
    "house.lifetime_scope": "subject.lifetime_arrangement.purposes",
    "house.lifetime_person": "subject.lifetime_arrangement.person",
    "house.face_item": "consent.face",
    "house.voice_item": "consent.voice",
    "house.evidence_death": "grantors.evidence",
    "house.evidence_kinship": "grantors.evidence",
    "house.evidence_identity": "grantors.evidence",
    "house.grantor_adult": "grantors.adult",
    "house.minor_subject": "grantors",
    "house.died": "subject.died",
    "house.third_parties": "consent.third_parties",
    "house.third_party_minors": "consent.third_parties",
    "house.therapy": "consent",
    "house.finite": "consent.months",
    "us_ny.registration": "consent.registration",
    "cn.unreachable_kin": "co_kin",
    "eu.public_agreement": "co_kin",
}


def assumed_events(record: ConsentRecord, now: datetime, operator: str = "operator") -> tuple[ConsentEvent, ...]:
    """The history a record would have right after submission."""
    events: list[ConsentEvent] = []

    def happened(type: EventType, actor: str, **fields: object) -> None:
        kind = "operator" if actor == operator else "grantor"
        events.append(next_event(events, record, type, now, actor_kind=kind, actor=actor, **fields))

    happened(EventType.REQUESTED, operator)
    happened(EventType.EVIDENCE_ENTERED, operator)
    for party in record.grantors:
        happened(EventType.GIVEN, party.party_id, valid_from=record.valid_from, valid_until=record.valid_until)
    return tuple(events)


def submission_decision(order: Order, now: datetime) -> Decision:
    """What would be decided if the papers are what they are called and the material is what it seems."""
    from memorial_tasks.consent.rules import decide

    papers = [path for person in order.grantors for path in person.evidence]
    papers += [path for relative in order.co_kin for path in relative.evidence]
    papers += [path for other in order.consent.third_parties for path in other.evidence]
    papers += order.subject.lifetime_arrangement.evidence
    record = record_from_order(order, dict.fromkeys(papers, "0" * 64), "0" * 64, (), subject_id="assumed", now=now)
    return decide(record, assumed_events(record, now), purpose=order.purpose, modality=_needed(order), now=now)


def _needed(order: Order) -> tuple[Modality, ...]:
    face = order.materials.photos or order.materials.video
    voice = order.materials.voice or order.materials.video
    return tuple(m for m, given in ((Modality.FACE, face), (Modality.VOICE, voice)) if given)


def submission_problems(order: Order, folder: Path, now: datetime) -> list[Problem]:
    """Everything the rules of consent already know to be wrong with an order, as problems with a remedy.

    What freezes is no problem here: an order somebody objects to is stored, frozen, and decided by a person. `folder`
    is not read: whether the papers are there and readable is looked at by intake itself.
    """
    del folder
    return [
        Problem(
            code=f"consent.{reason.code}",
            what=f"{reason.text.en.rstrip('.')} ({reason.article})",
            remedy=reason.remedy.en if reason.remedy else "",
            field=_FIELDS.get(reason.code, "purpose" if reason.code.endswith("purpose") else "grantors"),
        )
        for reason in submission_decision(order, now).against
        if not reason.freezes and reason.code not in _LATER
    ]
