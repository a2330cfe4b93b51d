"""What happened to a consent, and the state that follows from it.

Events are facts; they are appended, chained by hash and signed, never changed. Their order is their sequence number,
not their time stamp, because a clock can be set back and a sequence cannot.
"""

import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Literal, Protocol

from pydantic import AwareDatetime, Field

from memorial_tasks.consent.record import Sha256, canonical
from memorial_tasks.domain.order import Record


class EventType(StrEnum):
    """Everything that can happen to a consent."""

    REQUESTED = "requested"  # the order was entered
    EVIDENCE_ENTERED = "evidence_entered"  # person A saw the papers
    EVIDENCE_APPROVED = "evidence_approved"  # person B saw them too
    GIVEN = "given"  # the grantor signed
    REFUSED = "refused"  # a grantor said no
    NOTIFIED = "notified"  # a co-kin was told
    AGREED = "agreed"  # a co-kin agreed
    OBJECTED = "objected"
    RESOLVED = "resolved"  # a person decided about one objection
    WITHDRAWN = "withdrawn"  # by a grantor
    REVOKED = "revoked"  # by a right holder, another relative with standing, or the studio
    INVALIDATED = "invalidated"  # by a court or an authority
    EXPIRED = "expired"  # noticed by the watch
    ERASURE_SCHEDULED = "erasure_scheduled"
    ERASED = "erased"


# Events after which an older permit must be dead: all that can change an answer. Being told changes nothing.
FENCING = frozenset(EventType) - {EventType.NOTIFIED}
ENDING = {EventType.WITHDRAWN, EventType.REVOKED, EventType.INVALIDATED}
Outcome = Literal["", "retracted", "dismissed", "upheld", "court"]


class State(StrEnum):
    """The state derived from the events."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    FROZEN = "frozen"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    ERASED = "erased"


class ConsentEvent(Record):
    """One event. Holds no personal data: what was said in words is sealed apart and committed to by `detail_sha256`."""

    event_id: str
    order_id: str
    consent_id: str
    version: int = Field(ge=1)  # of the record it speaks about
    seq: int = Field(ge=1)
    fence: int = Field(ge=0)
    type: EventType
    at: AwareDatetime
    actor_kind: Literal["operator", "grantor", "co_kin", "right_holder", "court", "system"]
    actor: str  # a party id or an operator's account name
    code: str = ""  # reason, a stable word
    objection: str = ""  # for `resolved`: the event id of the objection
    outcome: Outcome = ""
    valid_from: AwareDatetime | None = None  # for `given`
    valid_until: AwareDatetime | None = None
    detail_sha256: Sha256 | Literal[""] = ""
    record_commitment: Sha256 | Literal[""] = ""  # for `requested`: binds the record into the chain
    previous: Sha256 | Literal[""] = ""  # SHA-256 of the canonical bytes of the event before


def event_bytes(event: ConsentEvent) -> bytes:
    """The canonical bytes of an event: what is signed and chained."""
    return canonical(event.model_dump(mode="json"))


class Named(Protocol):
    """What an event repeats of its record."""

    @property
    def order_id(self) -> str: ...
    @property
    def consent_id(self) -> str: ...
    @property
    def version(self) -> int: ...


def next_event(
    events: Sequence[ConsentEvent], record: Named, type: EventType, at: datetime, **fields: object
) -> ConsentEvent:
    """The event that follows `events`: numbered, fenced and chained."""
    last = events[-1] if events else None
    return ConsentEvent.model_validate(
        {
            "event_id": str(uuid.uuid4()),
            "order_id": record.order_id,
            "consent_id": record.consent_id,
            "version": record.version,
            "seq": last.seq + 1 if last else 1,
            "fence": (last.fence if last else 0) + (1 if type in FENCING else 0),
            "type": type,
            "at": at,
            "previous": sha256(event_bytes(last)).hexdigest() if last else "",
            **fields,
        }
    )


def same_person(one: str, other: str) -> bool:
    """True when two account names are the same person written differently."""

    def plain(name: str) -> str:
        return "".join(unicodedata.normalize("NFKC", name).casefold().split())

    return plain(one) == plain(other)


@dataclass(frozen=True)
class Standing:
    """What the events amount to at one moment.

    `open_objections` are those nobody has decided, `contested` those a person dismissed without the objector agreeing;
    `approvers` are the persons who saw the papers of the newest version, without doubles.
    """

    state: State
    version: int
    fence: int
    given_at: datetime | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    open_objections: tuple[ConsentEvent, ...] = ()
    contested: tuple[ConsentEvent, ...] = ()
    upheld: tuple[ConsentEvent, ...] = ()
    refusing: tuple[str, ...] = ()
    ending: ConsentEvent | None = None
    erasure_scheduled: bool = False
    erased: bool = False
    approvers: tuple[str, ...] = ()
    agreed: frozenset[str] = field(default_factory=frozenset)
    latest: datetime | None = None


def _approvers(events: Sequence[ConsentEvent]) -> tuple[str, ...]:
    seen: list[str] = []
    for event in events:
        if event.type in {EventType.EVIDENCE_ENTERED, EventType.EVIDENCE_APPROVED}:
            seen += [event.actor] if not any(same_person(event.actor, name) for name in seen) else []
    return tuple(seen)


def _refusing(events: Sequence[ConsentEvent]) -> tuple[str, ...]:
    """Grantors whose last word is no."""
    word: dict[str, EventType] = {}
    for event in events:
        if event.type in {EventType.GIVEN, EventType.REFUSED}:
            word[event.actor] = event.type
    return tuple(actor for actor, last in word.items() if last is EventType.REFUSED)


def standing(events: Sequence[ConsentEvent], now: datetime) -> Standing:
    """Derives everything the rules need to know from the events (in sequence order).

    A new record version starts with nothing given; objections and their decisions carry over, because a new paper does
    not silence a relative; what a withdrawal ended stays ended until a newer version is given.
    """
    if not events:
        return Standing(State.REQUESTED, 0, 0)
    version = max(event.version for event in events)
    current = [event for event in events if event.version == version]
    decided = {event.objection: event for event in events if event.type is EventType.RESOLVED}
    objections = [event for event in events if event.type is EventType.OBJECTED]
    given = next((event for event in reversed(current) if event.type is EventType.GIVEN), None)
    ending = next((event for event in reversed(current) if event.type in ENDING), None)

    def with_outcome(*outcomes: str) -> tuple[ConsentEvent, ...]:
        return tuple(o for o in objections if o.event_id in decided and decided[o.event_id].outcome in outcomes)

    facts = Standing(
        state=State.REQUESTED,
        version=version,
        fence=events[-1].fence,
        given_at=given.at if given else None,
        valid_from=given.valid_from if given else None,
        valid_until=given.valid_until if given else None,
        open_objections=tuple(o for o in objections if o.event_id not in decided),
        contested=with_outcome("dismissed"),
        upheld=with_outcome("upheld"),
        refusing=_refusing(current),
        ending=ending,
        erasure_scheduled=any(event.type is EventType.ERASURE_SCHEDULED for event in current),
        erased=any(event.type is EventType.ERASED for event in events),  # a destroyed key never comes back
        approvers=_approvers(current),
        agreed=frozenset(event.actor for event in events if event.type is EventType.AGREED),
        latest=max(event.at for event in events),
    )
    return Standing(**{**facts.__dict__, "state": _state(facts, current, now)})


def _state(facts: Standing, current: Sequence[ConsentEvent], now: datetime) -> State:
    if facts.erased:
        return State.ERASED
    if facts.ending is not None:
        return State(facts.ending.type.value)
    if facts.refusing or facts.upheld:
        return State.REFUSED
    expired = any(event.type is EventType.EXPIRED for event in current)
    if expired or (facts.given_at is not None and (facts.valid_until is None or now >= facts.valid_until)):
        return State.EXPIRED
    if facts.open_objections:
        return State.FROZEN
    return State.GIVEN if facts.given_at is not None else State.REQUESTED


def derive_state(events: Sequence[ConsentEvent], now: datetime) -> State:
    """The state of a consent at `now`."""
    return standing(events, now).state


# DPV 2.3 knows Withdrawn = by the data subject, Revoked = by any other entity, Invalidated = by an authority. The data
# subject is dead, so the grantor, who stands in their place, withdraws; all others revoke (docs/consent-vocabulary.md).
DPV_STATUS: dict[State, str] = {
    State.REQUESTED: "ConsentRequested",
    State.GIVEN: "ConsentGiven",
    State.REFUSED: "ConsentRefused",
    State.FROZEN: "ConsentUnknown",
    State.EXPIRED: "ConsentExpired",
    State.WITHDRAWN: "ConsentWithdrawn",
    State.REVOKED: "ConsentRevoked",
    State.INVALIDATED: "ConsentInvalidated",
    State.ERASED: "ConsentRevoked",
}
