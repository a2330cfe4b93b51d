"""Saying stop: consent is withdrawn or somebody objects, and in the same act nobody can fetch the film any more.

The registry comes first and holds whatever happens after it: from that commit on no permit lives and no link opens.
Then the copies that were handed to the outside go, because an address given out a minute before would open for four
more. The watch does the same again at its next round, which changes nothing where this act got through.
"""

from dataclasses import dataclass

from memorial_tasks.consent import acts
from memorial_tasks.consent.events import ConsentEvent, Outcome
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.domain.words import Relation
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.production.deliveries import withdraw_deliveries
from memorial_tasks.production.studio import Studio, Who, now


@dataclass(frozen=True)
class Stopped:
    """What was entered, and how many deliveries, links and files ended with it."""

    event: ConsentEvent
    ended: dict[str, int]


def withdraw_consent(studio: Studio, order_id: str, who: Who, *, by: str, reason: str) -> Stopped:
    """Consent is taken back by a grantor, a right-holder, a court or the studio, and the film with it.

    Raises:
        InputRefused: `by` is nobody who can withdraw.
        ConsentRefused: it was withdrawn before.
        Unavailable: the withdrawal stands, but the delivery bucket did not answer.
    """
    with studio.transaction() as connection:
        studio.order(connection, order_id)
        event = acts.withdraw(
            connection, order_id, studio.keys, KeyringSealer(studio.keyring),
            by=by, reason=reason, operator=studio.settings.operator, now=now(),
        )  # fmt: skip
    return Stopped(event, _nobody_fetches_it(studio, order_id, who, "consent is withdrawn"))


def take_objection(
    studio: Studio, order_id: str, who: Who, *, name: str, relation: Relation | None, reason: str
) -> Stopped:
    """Somebody close objects: the order freezes and the film is out of reach until a person has decided.

    Raises `Unavailable` when the objection stands, but the delivery bucket did not answer.
    """
    with studio.transaction() as connection:
        studio.order(connection, order_id)
        event = acts.object_to(
            connection, order_id, studio.keys, KeyringSealer(studio.keyring),
            name=name, relation=relation, reason=reason, operator=studio.settings.operator, now=now(),
        )  # fmt: skip
    return Stopped(event, _nobody_fetches_it(studio, order_id, who, "the objection is taken down"))


def decide_objection(
    studio: Studio, order_id: str, who: Who, *, outcome: Outcome, objection: str, reason: str
) -> Stopped:
    """A person decides an objection. One that is upheld ends the order; the film is taken back once more then, because
    whatever kept it from going when the objection was entered may be over.

    Raises `InputRefused` for an objection that is not open, `Unavailable` as `take_objection`.
    """
    with studio.transaction() as connection:
        studio.order(connection, order_id)
        event = acts.resolve(
            connection, order_id, studio.keys, KeyringSealer(studio.keyring),
            outcome=outcome, objection=objection, reason=reason, operator=studio.settings.operator, now=now(),
        )  # fmt: skip
    upheld = outcome == "upheld"
    return Stopped(event, _nobody_fetches_it(studio, order_id, who, "the objection is upheld") if upheld else {})


def _nobody_fetches_it(studio: Studio, order_id: str, who: Who, stands: str) -> dict[str, int]:
    try:
        return withdraw_deliveries(studio, order_id, who, erase=False)
    except (MemorialError, OSError) as error:
        why = error.what if isinstance(error, MemorialError) else f"a file cannot be removed ({error.strerror})"
        raise Unavailable(
            f"{stands} and every link is closed; but the delivered files could not be taken back: {why}",
            where=order_id,
            remedy="run `memorial delivery withdraw ORDER` now; the watch tries again by itself",
        ) from error
