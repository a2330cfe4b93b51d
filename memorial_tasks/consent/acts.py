"""What people do to a consent: approve papers, object, decide an objection, withdraw. One call, one transaction.

Each act takes effect at once in the registry (permits dead, order frozen or withdrawn, links closed); stopping the run
in Airflow and erasing what is due is the watch's part (`consent.watch`), which finds the same facts.
"""

import json
import secrets
from datetime import datetime, timedelta

from psycopg2.extensions import connection as Connection

from memorial_tasks.consent.events import ConsentEvent, EventType, Outcome, State, same_person, standing
from memorial_tasks.consent.keys import ConsentKeys
from memorial_tasks.consent.record import RETENTION
from memorial_tasks.consent.registry import ActorKind, Consent, append_event, audit_word, current, open_consent
from memorial_tasks.consent.sealing import Sealer
from memorial_tasks.database.registry import get_order, revoke_deliveries, revoke_permits, set_state
from memorial_tasks.domain.words import OrderState, Relation
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, Problem

# Time between a withdrawal and the destruction of the key: a withdrawal made in error, or under pressure, can be told.
ERASURE_GRACE = timedelta(days=7)
_STOPPABLE = tuple(state for state in OrderState if state not in {OrderState.WITHDRAWN, OrderState.ERASED})


def freeze_order(connection: Connection, order_id: str, code: str) -> None:
    """Puts the order on ice: no permit lives, no link opens, nothing is deleted."""
    revoke_permits(connection, order_id)
    revoke_deliveries(connection, order_id)
    set_state(
        connection,
        order_id,
        OrderState.FROZEN,
        allowed_from=[state for state in _STOPPABLE if state is not OrderState.FROZEN],
        reason_code=code,
        reason="An objection is open. Decide it with `memorial consent resolve`.",
    )


def stop_order(connection: Connection, order_id: str, state: OrderState, code: str, reason: str) -> None:
    """Ends the order's way: permits and links die, the state says why."""
    revoke_permits(connection, order_id)
    revoke_deliveries(connection, order_id)
    allowed = [one for one in _STOPPABLE if one is not state]
    if state is OrderState.REFUSED:
        allowed.remove(OrderState.DELIVERED)  # what was lawfully delivered stays so; only its links are closed
    set_state(connection, order_id, state, allowed_from=allowed, reason_code=code, reason=reason)


def approve_evidence(
    connection: Connection,
    order_id: str,
    keys: ConsentKeys,
    *,
    approver: str,
    now: datetime,
    typed_by: str = "",
    own_account: bool = False,
) -> ConsentEvent | None:
    """A second person confirms having seen the papers. None when this person already did.

    The command cannot know who sits at the keyboard; `typed_by` is the account it ran under, and goes into history and
    audit log, so that an auditor sees approvals that were typed for somebody else.

    Args:
        own_account: the account must be another one than the order was entered under, too. For studios whose settings
            demand two persons: there, whoever submits cannot type a colleague's name.

    Raises:
        ConsentRefused: the approver is the person who entered the order, or types under that person's account.
    """
    if not approver.strip():
        raise InputRefused([Problem("consent.approver", "no approver is named", "give --approver NAME", "approver")])
    consent = current(connection, order_id, keys.trusted, None)
    entered = [e for e in consent.events if e.version == consent.version and e.type is EventType.EVIDENCE_ENTERED]
    if any(same_person(event.actor, approver) for event in entered):
        raise ConsentRefused(
            "the person who entered the papers cannot approve them",
            where=order_id,
            remedy="let another person look at the papers and approve them under their own name",
        )
    if own_account and any(same_person(event.actor, typed_by) for event in entered):
        raise ConsentRefused(
            "this account entered the papers, so nobody can approve them under it",
            where=order_id,
            remedy="let the second person approve under their own account (MEMORIAL_OPERATOR)",
        )
    if any(same_person(approver, name) for name in standing(consent.events, now).approvers):
        return None
    return append_event(
        connection,
        order_id,
        EventType.EVIDENCE_APPROVED,
        keys,
        actor_kind="operator",
        actor=approver.strip(),
        now=now,
        code=f"typed-by:{audit_word(typed_by)}" if typed_by else "",
    )


def object_to(
    connection: Connection,
    order_id: str,
    keys: ConsentKeys,
    sealer: Sealer,
    *,
    name: str,
    relation: Relation | None,
    reason: str,
    operator: str,
    now: datetime,
) -> ConsentEvent:
    """Somebody close objects: the order freezes in this transaction. Nothing is deleted, whoever it was: identity is
    checked by the person who decides.

    Name and reason are sealed under the subject's key; the history holds a pseudonym.
    """
    consent = current(connection, order_id, keys.trusted, sealer)
    known = [] if consent.record is None else [*consent.record.grantors, *consent.record.co_kin]
    party = next((one.party_id for one in known if same_person(one.name, name)), "")
    kind: ActorKind = "right_holder" if relation in {Relation.EXECUTOR, Relation.RIGHT_HOLDER} else "co_kin"
    event = append_event(
        connection,
        order_id,
        EventType.OBJECTED,
        keys,
        actor_kind=kind,
        actor=party or f"objector-{len(consent.events) + 1}",
        now=now,
        code="grantor_objects" if party in {p.party_id for p in known if p.position == "grants"} else "objection",
        detail={"name": name, "relation": relation or "", "reason": reason, "taken_by": operator},
        sealer=sealer,
    )
    freeze_order(connection, order_id, "consent.objection")
    return event


def open_objections(events: tuple[ConsentEvent, ...], now: datetime) -> tuple[ConsentEvent, ...]:
    """The objections nobody has decided yet."""
    return standing(events, now).open_objections


def resolve(
    connection: Connection,
    order_id: str,
    keys: ConsentKeys,
    sealer: Sealer,
    *,
    outcome: Outcome,
    reason: str,
    operator: str,
    now: datetime,
    objection: str = "",
) -> ConsentEvent:
    """A person decides one objection: ``retracted`` by the objector, ``dismissed`` or ``upheld`` by the studio, decided
    by a ``court``. `objection` is its event id; may be left out when only one is open. One already dismissed can
    still be decided as retracted, by a court, or upheld.

    Raises:
        InputRefused: no or several open objections and none named; none with that id.
    """
    consent = current(connection, order_id, keys.trusted, sealer)
    state = standing(consent.events, now)
    candidates = state.open_objections or state.contested
    if objection:
        chosen = [event for event in (*state.open_objections, *state.contested) if event.event_id.startswith(objection)]
    else:
        chosen = list(candidates)
    if len(chosen) != 1:
        what = "no such objection is open" if not chosen else f"{len(chosen)} objections are open"
        ids = ", ".join(event.event_id[:8] for event in candidates) or "none"
        raise InputRefused([Problem("consent.objection", what, f"give --objection ID; open: {ids}", "objection")])
    event = append_event(
        connection,
        order_id,
        EventType.RESOLVED,
        keys,
        actor_kind="court" if outcome == "court" else "operator",
        actor=operator,
        now=now,
        code=outcome,
        objection=chosen[0].event_id,
        outcome=outcome,
        detail={"reason": reason},
        sealer=sealer,
    )
    after = standing((*consent.events, event), now)
    if after.state is State.GIVEN:
        thaw_order(connection, order_id)
    elif after.state is State.REFUSED:
        stop_order(connection, order_id, OrderState.REFUSED, "consent.objection_upheld", "An objection was upheld.")
    return event


def thaw_order(connection: Connection, order_id: str) -> bool:
    """Takes the order off the ice: it may be run again, and every step decides anew. Closed links stay closed."""
    order = get_order(connection, order_id)
    target = OrderState.DELIVERED if order is not None and order.film_uri else OrderState.SUBMITTED
    return set_state(
        connection,
        order_id,
        target,
        allowed_from=[OrderState.FROZEN],
        reason_code="consent.thawed",
        reason="The objection was decided; run the order again.",
    )


def withdraw(
    connection: Connection,
    order_id: str,
    keys: ConsentKeys,
    sealer: Sealer,
    *,
    by: str,
    reason: str,
    operator: str,
    now: datetime,
    grace: timedelta = ERASURE_GRACE,
) -> ConsentEvent:
    """Consent is taken back, effective now: permits and links die, the run will be halted, erasure is scheduled.

    Args:
        by: the grantor's name, or ``right-holder``, ``court`` or ``studio`` for a revocation by somebody else; empty:
            the only grantor.

    Raises:
        InputRefused: `by` is nobody who can withdraw.
        ConsentRefused: it was withdrawn before.
    """
    consent = current(connection, order_id, keys.trusted, sealer)
    if standing(consent.events, now).ending is not None:
        raise ConsentRefused("this consent has already ended", where=order_id, remedy="nothing needs to be done")
    if consent.record is None:
        raise ConsentRefused("the subject of this order was erased", where=order_id, remedy="nothing needs to be done")
    others: dict[str, tuple[EventType, ActorKind]] = {
        "right-holder": (EventType.REVOKED, "right_holder"),
        "court": (EventType.INVALIDATED, "court"),
        "studio": (EventType.REVOKED, "operator"),
    }
    grantors = consent.record.grantors
    who = [party for party in grantors if (not by and len(grantors) == 1) or same_person(party.name, by)]
    if who:
        type, kind, actor = EventType.WITHDRAWN, "grantor", who[0].party_id
    elif by in others:
        (type, kind), actor = others[by], operator
    else:
        raise InputRefused(
            [
                Problem(
                    "consent.withdraw_by",
                    "this is none of the grantors",
                    "give --by with a grantor's name, or right-holder, court or studio; a relative uses `object`",
                    "by",
                )
            ]
        )
    event = append_event(
        connection,
        order_id,
        type,
        keys,
        actor_kind=kind,  # type: ignore[arg-type]
        actor=actor,
        now=now,
        code=type.value,
        detail={"reason": reason, "taken_by": operator},
        sealer=sealer,
    )
    schedule_erasure(connection, order_id, keys, due=now + grace, now=now)
    stop_order(connection, order_id, OrderState.WITHDRAWN, f"consent.{type.value}", "Consent was taken back.")
    return event


def schedule_erasure(
    connection: Connection, order_id: str, keys: ConsentKeys, *, due: datetime, now: datetime, actor: str = "consent"
) -> ConsentEvent:
    """Notes when the subject's material has to be gone. `valid_from` of the event is that time."""
    return append_event(
        connection,
        order_id,
        EventType.ERASURE_SCHEDULED,
        keys,
        actor_kind="system",
        actor=actor,
        now=now,
        valid_from=due,
    )


def order_must_exist(connection: Connection, order_id: str) -> None:
    """Raises `MemorialError` when there is no such order."""
    if get_order(connection, order_id) is None:
        raise MemorialError("no such order", where="order", remedy="see `memorial order list`")


def renew(
    connection: Connection,
    order_id: str,
    keys: ConsentKeys,
    sealer: Sealer,
    *,
    operator: str,
    now: datetime,
    script_sha256: str | None = None,
    material_sha256: tuple[str, ...] | None = None,
    valid_until: datetime | None = None,
) -> Consent:
    """A new version of the consent, signed anew by the same grantors: for another script, more material, more time, or
    after a withdrawal that was meant otherwise. Papers have to be approved again where two persons are needed.

    Raises:
        ConsentRefused: the subject was erased.
    """
    consent = current(connection, order_id, keys.trusted, sealer)
    if consent.record is None:
        raise ConsentRefused("the subject of this order was erased", where=order_id, remedy="begin with a new order")
    record = consent.record
    until = valid_until or now + (record.valid_until - record.valid_from)
    newer = record.model_copy(
        update={
            "schema_version": "memorial-consent-2",
            "version": record.version + 1,
            "supersedes": json.loads(consent.skeleton)["commitment"],
            "created_at": now,
            "salt": secrets.token_hex(32),
            "script_sha256": script_sha256 or record.script_sha256,
            "material_sha256": record.material_sha256 if material_sha256 is None else tuple(sorted(material_sha256)),
            "valid_from": now,
            "valid_until": until,
            "retention_until": until + RETENTION,
        }
    )
    renewed = open_consent(connection, newer, keys, sealer, operator=operator, now=now)
    set_state(
        connection,
        order_id,
        OrderState.SUBMITTED,
        allowed_from=[OrderState.WITHDRAWN, OrderState.REFUSED],
        reason_code="consent.renewed",
        reason="Consent was given anew; run the order again.",
    )
    return renewed
