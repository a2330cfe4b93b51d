"""Consent in the database: append, read back verified, decide, issue permits, and say whether a key may be released.

No function commits: the act, its event and its audit entry are one transaction. Every change of one order's consent
takes an exclusive lock on that order, every use of it (permit, key, publishing) a shared one. So a withdrawal either
comes before a use, which then fails, or after it, which then was lawful: nothing lies between.
"""

import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg2.extensions import connection as Connection
from pydantic import ValidationError

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.consent.events import ConsentEvent, EventType, State, event_bytes, next_event, standing
from memorial_tasks.consent.keys import ConsentKeys
from memorial_tasks.consent.permit import LEEWAY, check_permit, issue_permit
from memorial_tasks.consent.record import (
    ConsentRecord,
    Signature,
    SignedRecord,
    canonical,
    sign_bytes,
    sign_record,
    verify_bytes,
    verify_record,
)
from memorial_tasks.consent.rules import Decision, Facts, decide, erased_reason
from memorial_tasks.consent.sealing import Sealer
from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.database.registry import get_permit, record_key_release, record_permit
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.errors import ConsentRefused, IntegrityError, MemorialError, PermitRefused

Trusted = Mapping[str, Ed25519PublicKey]
ActorKind = Literal["operator", "grantor", "co_kin", "right_holder", "court", "system"]
_TAMPERED = "stop this order and compare with the audit log: `memorial audit verify`"
_AUDIT_KIND = {
    "operator": "person",
    "grantor": "family",
    "co_kin": "family",
    "right_holder": "family",
    "court": "person",
    "system": "service",
}
# Evidence keeps its own word in the audit log: auditors look for it.
_AUDIT_TYPE = {EventType.EVIDENCE_ENTERED: "evidence.entered", EventType.EVIDENCE_APPROVED: "evidence.approved"}


@dataclass(frozen=True)
class Consent:
    """What the registry holds about one order, verified. `record` is None once the subject was erased."""

    order_id: str
    subject_id: str
    consent_id: str
    version: int
    record: ConsentRecord | None = field(repr=False)
    skeleton: bytes = field(repr=False)
    signature: Signature = field(repr=False)
    events: tuple[ConsentEvent, ...] = field(repr=False)

    @property
    def fence(self) -> int:
        """The fencing token."""
        return self.events[-1].fence if self.events else 0


def _lock(connection: Connection, order_id: str, *, shared: bool) -> None:
    word = "_shared" if shared else ""
    execute(
        connection, f"SELECT pg_advisory_xact_lock{word}(hashtextextended(%s, 0))", (f"memorial consent {order_id}",)
    )


def _read_events(connection: Connection, order_id: str, trusted: Trusted | None) -> tuple[ConsentEvent, ...]:
    found = rows(
        connection, "SELECT seq, body, signature, kid FROM consent_event WHERE order_id = %s ORDER BY seq", (order_id,)
    )
    return verify_chain(order_id, [(row["body"], row["signature"], row["kid"]) for row in found], trusted)


def verify_chain(
    order_id: str, stored: Sequence[tuple[bytes, str, str]], trusted: Trusted | None
) -> tuple[ConsentEvent, ...]:
    """The events in `stored` (body, signature, key id; in sequence order).

    Raises:
        IntegrityError: one was changed, removed, added, moved, or belongs to another order.
    """
    events: list[ConsentEvent] = []
    previous = ""
    for body, signature, kid in stored:
        if trusted is not None:
            verify_bytes(body, Signature(kid=kid, value=signature), trusted, "a consent event")
        try:
            event = ConsentEvent.model_validate_json(body)
        except ValidationError as error:
            raise IntegrityError("a consent event cannot be read", where=order_id, remedy=_TAMPERED) from error
        if event.order_id != order_id or event.seq != len(events) + 1 or event.previous != previous:
            raise IntegrityError("a consent event is missing or out of place", where=order_id, remedy=_TAMPERED)
        events.append(event)
        previous = sha256(body).hexdigest()
    return tuple(events)


def current(connection: Connection, order_id: str, trusted: Trusted, sealer: Sealer | None) -> Consent:
    """The newest version and all events of an order, every signature checked. Without a `sealer` the body stays closed,
    for acts that need no personal data; skeleton and history are verified all the same.

    Raises:
        ConsentRefused: the order has no consent record.
        IntegrityError: any stored byte differs from what was signed, or a version was removed or brought back.
    """
    row = one(
        connection,
        "SELECT *, (SELECT count(*) FROM consent_record c WHERE c.order_id = r.order_id) AS versions,"
        " (SELECT max(consent_version) FROM permit p WHERE p.order_id = r.order_id) AS permitted"
        " FROM consent_record r WHERE order_id = %s ORDER BY version DESC LIMIT 1",
        (order_id,),
    )
    if row is None:
        raise ConsentRefused(
            "this order has no consent record", where=order_id, remedy="submit the order with its papers"
        )
    events = _read_events(connection, order_id, trusted)
    body = sealer.open(row["subject_id"], row["sealed_body"], record_label(order_id)) if sealer else None
    signature = Signature(kid=row["kid"], value=row["signature"])
    record = verify_record(SignedRecord(body, row["skeleton"], signature), trusted)
    commitments = [event.record_commitment for event in events if event.record_commitment]
    fence = events[-1].fence if events else 0
    bones = _bones(row["skeleton"])
    consistent = (
        bones["order_id"] == order_id
        and bones["version"] == row["version"] == row["versions"] == len(commitments)
        and bones["subject_id"] == row["subject_id"]
        and bones["consent_id"] == row["consent_id"]
        and commitments[-1] == bones["commitment"] == row["body_sha256"]
        and (row["permitted"] or 0) <= fence
    )
    if not consistent:
        raise IntegrityError(
            "the consent record and its history do not belong together", where=order_id, remedy=_TAMPERED
        )
    return Consent(
        order_id=order_id,
        subject_id=row["subject_id"],
        consent_id=row["consent_id"],
        version=row["version"],
        record=record,
        skeleton=row["skeleton"],
        signature=signature,
        events=events,
    )


def _bones(skeleton: bytes) -> dict[str, Any]:
    bones: dict[str, Any] = json.loads(skeleton)
    return bones


def record_label(order_id: str) -> str:
    """The label a record's body is sealed under."""
    return f"consent {order_id}"  # the version is bound by the signature


def _detail_label(event_id: str) -> str:
    return f"consent_event {event_id}"


# --- writing ----------------------------------------------------------------------------------------------


def open_consent(
    connection: Connection, record: ConsentRecord, keys: ConsentKeys, sealer: Sealer, *, operator: str, now: datetime
) -> Consent:
    """Stores a signed record with its first events: entered by `operator`, given by each grantor, and where every other
    relative stands. Also for a later version (`record.version` one more than the newest, `supersedes` its commitment).

    Raises:
        IntegrityError: the version does not follow the newest one.
        ConsentRefused: the subject or the order was erased.
    """
    _lock(connection, record.order_id, shared=False)
    newest = one(
        connection,
        "SELECT version, body_sha256, consent_id FROM consent_record WHERE order_id = %s ORDER BY version DESC LIMIT 1",
        (record.order_id,),
    )
    follows = (
        record.version == 1 and not record.supersedes
        if newest is None
        else (newest["version"] + 1, newest["body_sha256"], newest["consent_id"])
        == (record.version, record.supersedes, record.consent_id)
    )
    if not follows:
        raise IntegrityError(
            "this version of the consent does not follow the newest one", where=record.order_id, remedy="read it again"
        )
    events = list(_read_events(connection, record.order_id, keys.trusted))
    if any(event.type is EventType.ERASED for event in events):
        raise ConsentRefused("this order was erased", where=record.order_id, remedy="submit under a new order")
    signed = sign_record(record, keys.registrar)
    commitment = str(_bones(signed.skeleton)["commitment"])
    execute(
        connection,
        "INSERT INTO consent_record (order_id, version, consent_id, subject_id, sealed_body, body_sha256, skeleton,"
        " signature, kid) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            record.order_id,
            record.version,
            record.consent_id,
            record.subject_id,
            sealer.seal(record.subject_id, signed.body or b"", record_label(record.order_id)),
            commitment,
            signed.skeleton,
            signed.signature.value,
            signed.signature.kid,
        ),
    )

    def happened(type: EventType, kind: ActorKind, actor: str, **fields: Any) -> None:
        event = next_event(events, record, type, now, actor_kind=kind, actor=actor, **fields)
        papers = _papers(record) if type is EventType.EVIDENCE_ENTERED else {}
        _store(connection, event, keys, record.subject_id, papers=papers)
        events.append(event)

    happened(EventType.REQUESTED, "operator", operator, record_commitment=commitment)
    happened(EventType.EVIDENCE_ENTERED, "operator", operator)
    for party in record.grantors:
        window = {"valid_from": record.valid_from, "valid_until": record.valid_until}
        happened(EventType.GIVEN, "grantor", party.party_id, **window)
    told = {"agreed": EventType.AGREED, "notified": EventType.NOTIFIED, "objected": EventType.OBJECTED}
    heard = {(event.actor, event.type) for event in events}  # of an earlier version: said once is said
    for party in record.co_kin:
        if party.position in told and (party.party_id, told[party.position]) not in heard:
            happened(told[party.position], "co_kin", party.party_id)
    return Consent(
        record.order_id,
        record.subject_id,
        record.consent_id,
        record.version,
        record,
        signed.skeleton,
        signed.signature,
        tuple(events),
    )


def append_event(
    connection: Connection,
    order_id: str,
    type: EventType,
    keys: ConsentKeys,
    *,
    actor_kind: ActorKind,
    actor: str,
    now: datetime,
    detail: Mapping[str, Any] | None = None,
    sealer: Sealer | None = None,
    **fields: Any,
) -> ConsentEvent:
    """Appends one event to an order's history, signed, chained and audited.

    Args:
        detail: what was said in words; sealed under the subject's key, needs `sealer`.
        fields: `code`, `objection`, `outcome`, `valid_from`, `valid_until`.

    Raises:
        ConsentRefused: there is no consent record, or it was erased.
        IntegrityError: the history was tampered with.
    """
    _lock(connection, order_id, shared=False)
    row = one(
        connection,
        "SELECT subject_id, consent_id, version FROM consent_record WHERE order_id = %s ORDER BY version DESC LIMIT 1",
        (order_id,),
    )
    if row is None:
        raise ConsentRefused(
            "this order has no consent record", where=order_id, remedy="submit the order with its papers"
        )
    events = _read_events(connection, order_id, keys.trusted)
    if any(event.type is EventType.ERASED for event in events):
        raise ConsentRefused("this order was erased", where=order_id, remedy="nothing can happen to it any more")
    words = b""
    if detail:
        if sealer is None:
            raise ValueError("a detail needs a sealer")
        words = canonical({"salt": secrets.token_hex(32), **detail})
        fields["detail_sha256"] = sha256(words).hexdigest()
    anchor = _Anchor(order_id, row["consent_id"], row["version"])
    event = next_event(events, anchor, type, now, actor_kind=actor_kind, actor=actor, **fields)
    sealed = sealer.seal(row["subject_id"], words, _detail_label(event.event_id)) if words and sealer else None
    _store(connection, event, keys, row["subject_id"], sealed)
    return event


@dataclass(frozen=True)
class _Anchor:
    """The three fields of a record that an event repeats."""

    order_id: str
    consent_id: str
    version: int


def _papers(record: ConsentRecord) -> dict[str, str]:
    """The papers as the log names them: ``paper/1.death`` -> SHA-256 of the file, as it lies in the vault."""
    return {f"paper/{number}.{paper.kind}": paper.sha256 for number, paper in enumerate(record.evidence, 1)}


def _store(
    connection: Connection,
    event: ConsentEvent,
    keys: ConsentKeys,
    subject_id: str,
    sealed: bytes | None = None,
    papers: Mapping[str, str] = MappingProxyType({}),
) -> None:
    body = event_bytes(event)
    signature = sign_bytes(body, keys.registrar)
    execute(
        connection,
        "INSERT INTO consent_event (order_id, seq, event_id, version, fence, type, at, body, signature, kid,"
        " sealed_detail) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            event.order_id,
            event.seq,
            event.event_id,
            event.version,
            event.fence,
            event.type.value,
            event.at,
            body,
            signature.value,
            signature.kid,
            sealed,
        ),
    )
    append(
        connection,
        AuditEvent(
            type=_AUDIT_TYPE.get(event.type, f"consent.{event.type.value}"),
            actor=Actor(kind=_AUDIT_KIND[event.actor_kind], id=audit_word(event.actor)),
            at=event.at,
            order=event.order_id,
            subject=subject_id,
            consent_id=event.consent_id,
            reason_code=audit_word(event.code) if event.code else None,
            refs={"consent_event": sha256(body).hexdigest(), **papers},
            data={"seq": event.seq, "version": event.version, "fence": event.fence},
        ),
    )


def audit_word(text: str) -> str:
    """`text` when it looks like an account or a code, else a short digest of it: the log takes words only."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}", text):
        return text
    return "id-" + sha256(text.encode()).hexdigest()[:16]


# --- deciding ---------------------------------------------------------------------------------------------


def live_version(connection: Connection, order_id: str) -> int:
    """The fencing token of the order's consent now; 0 when there is none."""
    row = one(connection, "SELECT max(fence) AS fence FROM consent_event WHERE order_id = %s", (order_id,))
    return int(row["fence"] or 0) if row else 0


def decide_order(
    connection: Connection,
    order_id: str,
    trusted: Trusted,
    sealer: Sealer,
    *,
    now: datetime,
    purpose: Purpose | None = None,
    modalities: Iterable[Modality] = tuple(Modality),
    facts: Facts | None = None,
) -> tuple[Decision, Consent]:
    """The decision about an order at `now`; `purpose` defaults to the one the order was consented for. After erasure
    there is nothing left to decide about and the answer is `refused`.

    Raises:
        ConsentRefused: the order has no consent record.
        IntegrityError: tampered with.
    """
    _lock(connection, order_id, shared=True)
    consent = current(connection, order_id, trusted, sealer)
    if consent.record is None:
        return Decision(decision="refused", reasons=(erased_reason(),)), consent
    wanted = purpose or consent.record.scope.purposes[0]
    decision = decide(consent.record, consent.events, purpose=wanted, modality=modalities, now=now, facts=facts)
    return decision, consent


def grant_permit(
    connection: Connection,
    order_id: str,
    keys: ConsentKeys,
    sealer: Sealer,
    *,
    steps: Sequence[str],
    now: datetime,
    lifetime: timedelta,
    purpose: Purpose | None = None,
    modalities: Iterable[Modality] = tuple(Modality),
    facts: Facts | None = None,
) -> tuple[str, Permit]:
    """Decides, and if the answer is `granted` issues, stores and audits a permit for `steps`.

    Raises:
        ConsentRefused: with the first reason against as its message; `decide_order` gives them all.
    """
    wanted = frozenset(modalities)
    decision, consent = decide_order(
        connection, order_id, keys.trusted, sealer, now=now, purpose=purpose, modalities=wanted, facts=facts
    )
    if not decision.granted:
        raise refusal(decision, order_id)
    record = consent.record
    if record is None:  # decide_order refuses this; said again for the type
        raise ConsentRefused("the subject of this order was erased", where=order_id)
    ending = min(lifetime, record.valid_until - now)  # a permit never outlives its consent
    token, permit = issue_permit(
        keys.permit,
        order=order_id,
        subject=consent.subject_id,
        purpose=purpose or record.scope.purposes[0],
        modalities=sorted(wanted),
        steps=steps,
        consent_id=consent.consent_id,
        consent_version=consent.fence,
        now=now,
        lifetime=ending,
    )
    record_permit(connection, permit)
    append(
        connection,
        AuditEvent(
            type="permit.issued",
            actor=Actor(kind="service", id="consent"),
            at=now,
            order=order_id,
            subject=consent.subject_id,
            consent_id=consent.consent_id,
            decision=decision.decision,
            data={"permit": permit.permit_id, "consent_version": permit.consent_version, "steps": len(permit.steps)},
        ),
    )
    return token, permit


def refusal(decision: Decision, order_id: str) -> ConsentRefused:
    """The error that says why a decision was not `granted`."""
    first = decision.against[0]
    more = len(decision.against) - 1
    word = "frozen" if decision.decision == "frozen" else "refused"
    return ConsentRefused(
        f"consent {word}: {first.text.en.rstrip('.')} [{first.code}]" + (f" (and {more} more)" if more else ""),
        where=order_id,
        remedy=f"see `memorial consent show {order_id}`" if more or first.remedy is None else first.remedy.en,
    )


def release_allowed(
    connection: Connection,
    token: str,
    keys: ConsentKeys,
    *,
    order: str,
    step: str,
    now: datetime,
    modalities: Collection[str] = (),
    most_uses: int | None = 1,
) -> Permit:
    """The permit in `token` if the subject's key may be handed to `step` of `order` right now. For the key service,
    which then calls `record_key_release` in the same transaction, or uses `release`.

    Refused with `PermitRefused`: a token that is forged, expired, from the future, or for another order, step or
    modality; a permit the registry does not know or knows otherwise; a revoked one; one of an older consent version;
    one of a consent that is not in state `given` or was tampered with; and a second use for the same step (`most_uses`;
    None: any number).
    """
    wanted = tuple(Modality(modality) for modality in modalities)
    permit = check_permit(token, keys.permit.public, order=order, step=step, now=now, modalities=wanted)
    _lock(connection, order, shared=True)
    # One after the other for the same permit, so that two at once do not both count as the first use.
    execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (permit.permit_id,))
    stored = get_permit(connection, permit.permit_id)
    if stored is None or Permit.model_validate(stored.claims) != permit or stored.order_id != order:
        raise _no_release(permit, step, "the registry does not know this permit")
    if stored.revoked_at is not None:
        raise _no_release(permit, step, "the permit was revoked")
    _must_be_alive(connection, permit, step, now, keys.trusted)
    if most_uses is not None:
        used = one(
            connection,
            "SELECT count(*) AS uses FROM key_release WHERE permit_id = %s AND step = %s",
            (permit.permit_id, step),
        )
        if used and used["uses"] >= most_uses:
            raise _no_release(permit, step, "the permit was already used for this step")
    return permit


def _no_release(permit: Permit, step: str, what: str, remedy: str = "ask for a new permit") -> PermitRefused:
    return PermitRefused(what, where=f"{permit.order} {step}", remedy=remedy)


def _must_be_alive(connection: Connection, permit: Permit, step: str, now: datetime, trusted: Trusted) -> None:
    try:
        events = _read_events(connection, permit.order, trusted)
    except IntegrityError as error:
        raise _no_release(permit, step, error.what, error.remedy) from error
    state = standing(events, now)
    why = f"see `memorial consent show {permit.order}`"
    if not events or events[-1].consent_id != permit.consent_id:
        raise _no_release(permit, step, "the permit belongs to another consent", why)
    if state.state is not State.GIVEN:
        raise _no_release(permit, step, f"the consent is {state.state.value}", why)
    if permit.consent_version != state.fence:
        raise _no_release(permit, step, "the consent has changed since the permit was issued")
    if state.latest is not None and now < state.latest - LEEWAY:
        raise _no_release(
            permit, step, "the clock shows a time before the last event", "set this machine's clock right"
        )


def release(
    connection: Connection,
    token: str,
    keys: ConsentKeys,
    *,
    order: str,
    step: str,
    now: datetime,
    modalities: Collection[str] = (),
    most_uses: int | None = 1,
) -> Permit:
    """`release_allowed`, and the release written down and audited in the same transaction."""
    permit = release_allowed(
        connection, token, keys, order=order, step=step, now=now, modalities=modalities, most_uses=most_uses
    )
    record_key_release(connection, permit.permit_id, permit.order, step)
    append(
        connection,
        AuditEvent(
            type="key.released",
            actor=Actor(kind="service", id="key-service"),
            at=now,
            order=permit.order,
            subject=permit.subject,
            consent_id=permit.consent_id,
            data={"permit": permit.permit_id, "step": step, "consent_version": permit.consent_version},
        ),
    )
    return permit


def publish_allowed(
    connection: Connection, order_id: str, consent_version: int, now: datetime, trusted: Trusted | None = None
) -> None:
    """The compare-and-set of publishing: call it in the transaction that records the delivery, with the consent version
    the film was made under. Holds off a withdrawal until that transaction ends. With `trusted` keys every signature of
    the history is checked as well.

    Raises:
        ConsentRefused: consent changed since, or is not in state `given`.
        IntegrityError: the history was tampered with.
    """
    _lock(connection, order_id, shared=True)
    state = standing(_read_events(connection, order_id, trusted), now)
    if state.state is not State.GIVEN or state.fence != consent_version:
        raise ConsentRefused(
            f"consent has changed since this film was made (now {state.state.value})",
            where=order_id,
            remedy=f"see `memorial consent show {order_id}`",
        )


def read_detail(
    connection: Connection, order_id: str, event_id: str, sealer: Sealer, trusted: Trusted
) -> dict[str, Any] | None:
    """What was said in words with an event, verified; None when nothing was said or the subject was erased."""
    row = one(
        connection,
        "SELECT e.body, e.signature, e.kid, e.sealed_detail, r.subject_id FROM consent_event e"
        " JOIN consent_record r ON r.order_id = e.order_id AND r.version = e.version"
        " WHERE e.order_id = %s AND e.event_id = %s",
        (order_id, event_id),
    )
    if row is None:
        raise MemorialError("there is no such event", where=order_id, remedy="see `memorial consent show ORDER`")
    if row["sealed_detail"] is None:
        return None
    words = sealer.open(row["subject_id"], row["sealed_detail"], _detail_label(event_id))
    if words is None:
        return None
    verify_bytes(row["body"], Signature(kid=row["kid"], value=row["signature"]), trusted, "a consent event")
    if sha256(words).hexdigest() != ConsentEvent.model_validate_json(row["body"]).detail_sha256:
        raise IntegrityError("what was said with an event was changed", where=order_id, remedy=_TAMPERED)
    detail = _bones(words)
    detail.pop("salt", None)
    return detail
