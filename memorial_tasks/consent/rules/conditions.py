"""The questions that rules of more than one jurisdiction ask. Each takes a case and answers yes or no."""

from datetime import date

from memorial_tasks.consent.record import Party
from memorial_tasks.consent.rules.base import Case
from memorial_tasks.domain.words import Purpose, Relation

WIDE = frozenset({Purpose.PUBLIC_MEMORIAL, Purpose.FILM, Purpose.COMMERCIAL})
RELEASED = frozenset({Purpose.FILM, Purpose.COMMERCIAL})


def has_evidence(case: Case, *kinds: str, of: str | None = None) -> bool:
    """True when a paper of one of these kinds was shown, by anybody or for the person `of` (a party id)."""
    return any(paper.kind in kinds and of in {None, paper.party_id} for paper in case.record.evidence)


def each_grantor_has(case: Case, *kinds: str) -> bool:
    """True when every grantor has shown a paper of one of these kinds of their own."""
    return all(has_evidence(case, *kinds, of=party.party_id) for party in case.record.grantors)


def named_in_lifetime(case: Case) -> bool:
    """True when the deceased named one of the grantors, and the paper that says so was shown."""
    arrangement = case.record.subject.arrangement
    return (
        arrangement.kind == "names_person"
        and bool(arrangement.evidence)
        and arrangement.party_id in {party.party_id for party in case.record.grantors}
    )


def lifetime_covers(case: Case) -> bool:
    """True when the deceased arranged for this purpose while alive, and the paper was shown.

    An open permission covers everything; naming a person covers a purpose only when the paper names it too.
    """
    arrangement = case.record.subject.arrangement
    if not arrangement.evidence:
        return False
    if arrangement.kind == "permits":
        return not arrangement.purposes or case.purpose in arrangement.purposes
    return named_in_lifetime(case) and case.purpose in arrangement.purposes


def right_holder_grants(case: Case) -> bool:
    """True when an executor or a registered right holder is among the grantors."""
    return any(party.relation in {Relation.EXECUTOR, Relation.RIGHT_HOLDER} for party in case.record.grantors)


def licensed(case: Case) -> bool:
    """True when a right holder grants, or the deceased arranged for this purpose: what a wide use needs."""
    return right_holder_grants(case) or lifetime_covers(case)


def licensed_if(case: Case, applies: bool) -> bool | None:
    """`licensed` where a law asks for it; None where it does not."""
    return licensed(case) if applies else None


def first_rank_grants(case: Case) -> bool:
    """True when a spouse, child or parent is among the grantors."""
    return any(party.rank == 1 for party in case.record.grantors)


def heir_grants(case: Case) -> bool:
    """True when a successor by law consents (spouse, child, parent), or whoever `licensed` accepts."""
    return first_rank_grants(case) or licensed(case)


def rank_reaches(case: Case) -> bool:
    """True when a grantor stands high enough: first rank, or named by the deceased, or second rank with a paper
    that shows that nobody of first rank is left, and no such person in the list of relatives."""
    if first_rank_grants(case) or named_in_lifetime(case):
        return True
    second = any(party.rank == 2 for party in case.record.grantors)
    nobody_first = has_evidence(case, "rank") and not any(party.rank == 1 for party in case.record.co_kin)
    return second and nobody_first


def agreed(case: Case, party: Party) -> bool:
    """True when this relative agreed, on paper or later."""
    return party.position == "agreed" or party.party_id in case.standing.agreed


def years_since_death(case: Case) -> int:
    """Full years between the death and the decision."""
    died, today = case.record.subject.died, case.now.date()
    return today.year - died.year - ((today.month, today.day) < (died.month, died.day))


def died_on_or_after(case: Case, day: date) -> bool:
    """True when the death is not older than the law."""
    return case.record.subject.died >= day
