"""Who may receive the film: exactly whom the consent names. The registry keeps a commitment, never the name."""

from memorial_tasks.audit.event import commitment
from memorial_tasks.consent.events import same_person
from memorial_tasks.consent.record import ConsentRecord
from memorial_tasks.errors import ConsentRefused, InputRefused, Problem

GRANTORS = "the grantors"


def permitted(record: ConsentRecord) -> dict[str, str]:
    """Reference -> name of everybody the consent names as a recipient: relatives under their pseudonym, others as
    ``r1``, ``r2`` in the order in which the consent lists them."""
    found: dict[str, str] = {}
    parties = (*record.grantors, *record.co_kin)
    for number, name in enumerate(record.scope.recipients, 1):
        if name == GRANTORS:
            found |= {party.party_id: party.name for party in record.grantors}
            continue
        known = next((party for party in parties if same_person(party.name, name)), None)
        found[known.party_id if known else f"r{number}"] = name
    return found


def described(record: ConsentRecord) -> dict[str, str]:
    """Reference -> who that is, without a name: the relation, or the place in the consent's list."""
    relations = {party.party_id: str(party.relation or "") for party in (*record.grantors, *record.co_kin)}
    return {ref: relations.get(ref) or f"recipient {ref[1:]} of the consent" for ref in permitted(record)}


def choose(record: ConsentRecord, given: str) -> str:
    """The reference of the recipient meant by `given` (a reference, or a name); the only one when nothing is given.

    Raises:
        InputRefused: several are permitted and none was named.
        ConsentRefused: the consent does not name this recipient.
    """
    allowed = permitted(record)
    refs = ", ".join(allowed)
    if not given:
        if len(allowed) == 1:
            return next(iter(allowed))
        raise InputRefused(
            [Problem("delivery.recipient", "several people may receive the film", f"name one: {refs}", "recipient")]
        )
    chosen = next((ref for ref, name in allowed.items() if given == ref or same_person(given, name)), None)
    if chosen is None:
        raise ConsentRefused(
            "the consent does not name this recipient",
            where=record.order_id,
            remedy=f"it names {refs}; for anybody else the grantor has to consent anew",
        )
    return chosen


def recipient_ref(data_key: bytes, record: ConsentRecord, ref: str) -> str:
    """The commitment to a recipient, sha256 hex: with the key and the consent it can be shown who was meant."""
    return commitment(data_key, f"recipient\0{record.order_id}\0{ref}\0{permitted(record)[ref]}".encode())
