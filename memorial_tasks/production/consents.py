"""Consent as the acts of production need it: is this order allowed now, and would it be if it were submitted?"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from memorial_tasks.consent.acts import approve_evidence
from memorial_tasks.consent.erasure import receipt_file
from memorial_tasks.consent.events import ConsentEvent, EventType, next_event
from memorial_tasks.consent.record import ConsentRecord, Controller, record_from_order, script_digest
from memorial_tasks.consent.registry import audit_word, decide_order, grant_permit, refusal, release
from memorial_tasks.consent.rules import Facts, Reason, decide
from memorial_tasks.consent.rules.house import CLOCK_GRACE
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import Modality, OrderState
from memorial_tasks.errors import ConsentRefused, IntegrityError, PermitRefused, Problem
from memorial_tasks.production.order_file import OrderFile
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.quality.inventory import ENTRIES
from memorial_tasks.settings import Settings

MATERIAL = frozenset(ENTRIES.values())
# What a second person or time can still mend is no reason to refuse a submission.
MENDABLE = frozenset({"house.evidence_approved", "house.capture_seen", "house.begun", "house.notice_period"})
UNKNOWN_DIGEST = "0" * 64  # of material that is not stored yet
FIELDS = {
    "cn.rank": "grantors",
    "default.rank": "grantors",
    "house.purpose": "purpose",
    "house.died": "subject.died",
    "house.capture": "materials",
    "house.grantor_adult": "grantors",
    "house.minor_subject": "subject.died",
}


def controller_of(settings: Settings) -> Controller:
    """The studio as a party of the consent record."""
    return Controller(
        name=settings.controller_name, address=settings.controller_address, contact=settings.controller_contact
    )


def facts_of(studio: Studio, order: OrderRow) -> Facts:
    """What is true outside the consent record when this order is decided about: the script and the material at hand."""
    with studio.transaction() as connection:
        materials = registry.list_materials(connection, order.order_id)
    return Facts(
        script_sha256=order.script_sha256,
        material_sha256=frozenset(row.sha256 for row in materials if row.kind in MATERIAL),
        approvals_needed=studio.settings.evidence_approvals,
    )


@contextmanager
def refusals_told(studio: Studio, order: OrderRow, who: Who, kind: str, act: str) -> Iterator[None]:
    """Whatever consent refuses inside is in the audit log, in a transaction of its own: the act's is rolled back."""
    try:
        yield
    except (ConsentRefused, IntegrityError) as error:
        code = "consent.tampered" if isinstance(error, IntegrityError) else "consent.refused"
        with studio.transaction() as connection:
            studio.audit(connection, kind, who, order, decision="refused", reason_code=code, data={"act": act})
        raise


def require_consent(studio: Studio, order_id: str, who: Who) -> None:
    """Raise `ConsentRefused` unless consent covers the order now; the answer and its reason go into the audit log.

    A frozen order is set ``frozen``, because a person has to decide about the objection, not about the run.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        with refusals_told(studio, order, who, "consent.decided", "decide"):
            decision, _ = decide_order(
                connection,
                order_id,
                studio.keys.trusted,
                KeyringSealer(studio.keyring),
                now=now(),
                purpose=order.purpose,
                facts=facts_of(studio, order),
            )
        against = decision.against
        studio.audit(
            connection,
            "consent.decided",
            who,
            order,
            decision=decision.decision,
            reason_code=against[0].code if against else "",
            data={"reasons_against": len(against)},
        )
        if decision.decision == "frozen":
            registry.set_state(
                connection,
                order_id,
                OrderState.FROZEN,
                allowed_from=[state for state in OrderState if state is not OrderState.ERASED],
                reason_code=against[0].code,
                reason=against[0].text.en,
            )
    if not decision.granted:
        raise refusal(decision, order_id)


def permit_for(studio: Studio, connection: Connection, order: OrderRow, act: str, modalities: Sequence[str]) -> str:
    """A fresh permit for one act of one order; `ConsentRefused`, said in the audit log, when consent does not cover it
    now."""
    with refusals_told(studio, order, Who("service", "consent"), "permit.refused", act):
        token, _ = grant_permit(
            connection,
            order.order_id,
            studio.keys,
            KeyringSealer(studio.keyring),
            steps=[act],
            now=now(),
            lifetime=timedelta(minutes=studio.settings.permit_minutes),
            purpose=order.purpose,
            modalities=[Modality(word) for word in modalities] or list(Modality),
            facts=facts_of(studio, order),
        )
    return token


def release_key(studio: Studio, token: str, order: OrderRow, act: str, who: Who) -> tuple[Permit, bytes]:
    """The key service: the subject's data key, against a live permit and once. Refusals are audited too.

    Raises `PermitRefused` when the permit is forged, expired, used, for something else, or dead: consent moved on, or
    the subject was erased and only a backup does not know it yet.
    """
    try:
        if receipt_file(studio.settings.audit_dir, order.subject_id).exists():
            raise PermitRefused(
                "this subject was erased; a restored backup has brought it back",
                where=f"{order.order_id} {act}",
                remedy="run `memorial erase --after-restore`",
            )
        with studio.transaction() as connection:
            permit = release(connection, token, studio.keys, order=order.order_id, step=act, now=now())
    except ConsentRefused:
        with studio.transaction() as connection:
            studio.audit(
                connection, "key.refused", who, order, decision="refused", reason_code="permit.dead", data={"step": act}
            )
        raise
    return permit, studio.keyring.unwrap(order.subject_id)


def approve_papers(studio: Studio, order_id: str, approver: str) -> None:
    """A second person has looked at the papers; entered under the account the studio's settings name.

    Raises `ConsentRefused`, and says so in the audit log, when it is the person (or, where the settings demand two
    persons, the account) that entered the order.
    """
    account = studio.settings.operator
    try:
        with studio.transaction() as connection:
            order = studio.order(connection, order_id)
            approve_evidence(
                connection,
                order_id,
                studio.keys,
                approver=approver,
                now=now(),
                typed_by=account,
                own_account=studio.settings.evidence_approvals == 2,
            )
    except ConsentRefused:
        with studio.transaction() as connection:
            who = Who("person", audit_word(account))
            studio.audit(
                connection, "evidence.refused", who, order, decision="refused", reason_code="evidence.same_person"
            )
        raise


def _as_submitted(record: ConsentRecord, operator: str, at: datetime) -> list[ConsentEvent]:
    """The events the submission itself would bring."""
    events: list[ConsentEvent] = []

    def happened(kind: EventType, actor_kind: str, actor: str, **fields: object) -> None:
        events.append(next_event(events, record, kind, at, actor_kind=actor_kind, actor=actor, **fields))

    happened(EventType.REQUESTED, "operator", operator)
    happened(EventType.EVIDENCE_ENTERED, "operator", operator)
    for party in record.grantors:
        window = {"valid_from": record.valid_from, "valid_until": record.valid_until}
        happened(EventType.GIVEN, "grantor", party.party_id, **window)
    return events


def submission_problems(
    studio: Studio, read: OrderFile, at: datetime, captured: Mapping[str, date] | None = None
) -> list[Problem]:
    """What the rules of consent have against this order as it is written: every reason, with article and remedy.

    `captured`: the day a camera wrote into a piece of material, by its name in the order.
    """
    dates = {file: (UNKNOWN_DIGEST, day) for file, day in (captured or {}).items()}
    evidence = {}
    for name in read.evidence:
        with (read.folder / name).open("rb") as handle:
            evidence[name] = hashlib.file_digest(handle, "sha256").hexdigest()
    digest = script_digest([line.text for line in read.script])
    record = record_from_order(read.order, evidence, digest, (), subject_id="sub-unsubmitted", now=at, captured=dates)
    decision = decide(
        record,
        _as_submitted(record, studio.settings.operator, at),
        purpose=read.order.purpose,
        modality=tuple(Modality),
        now=at,
        facts=Facts(script_sha256=digest, approvals_needed=1),
    )
    unexplained = sorted(set(dates) - {one.file for one in read.order.consent.dated_later})
    late = [file for file in unexplained if dates[file][1] > read.order.subject.died + CLOCK_GRACE]
    return [
        problem
        for reason in decision.against
        if reason.code not in MENDABLE and not reason.freezes
        for problem in _problems(reason, late)
    ]


def _problems(reason: Reason, late: Sequence[str]) -> list[Problem]:
    """The reason as problems of the order file: one, or one a photo where it speaks of photos."""
    remedy = reason.remedy.en if reason.remedy else "see 'memorial consent show'"
    field = FIELDS.get(reason.code, "purpose" if "purpose" in reason.code else "consent")
    what = f"{reason.text.en.rstrip('.')} ({reason.article})"
    files = late if reason.code == "house.capture" else [""]
    return [Problem(f"consent.{reason.code}", what, remedy, field=field, file=file) for file in files]
