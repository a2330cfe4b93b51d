"""The rules of consent: one module a jurisdiction, data plus pure functions, each rule citing its article.

>>> decide(record, events, purpose=Purpose.FAMILY_PRIVATE, modality=tuple(Modality), now=now).decision
'granted'
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from memorial_tasks.consent.events import ConsentEvent
from memorial_tasks.consent.record import ConsentRecord
from memorial_tasks.consent.rules import cn, default, eu, house, us_ca, us_ny, us_tn
from memorial_tasks.consent.rules.base import Case, Decision, DecisionWord, Facts, Reason, Rule, Words
from memorial_tasks.domain.words import Modality, Purpose

__all__ = [
    "PACKS",
    "Case",
    "Decision",
    "Facts",
    "Reason",
    "Rule",
    "Words",
    "decide",
    "erased_reason",
    "packs_for",
]

Packs = Mapping[str, tuple[Rule, ...]]

PACKS: Packs = MappingProxyType(
    {
        "house": house.RULES,
        "CN": cn.RULES,
        "EU": eu.RULES,
        "US-NY": us_ny.RULES,
        "US-CA": us_ca.RULES,
        "US-TN": us_tn.RULES,
        "default": default.RULES,
    }
)
_EUROPE = frozenset(
    (
        *("EU", "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT"),
        *("LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
        *("IS", "LI", "NO"),
    )
)


def packs_for(jurisdictions: Collection[str], domicile: str) -> tuple[str, ...]:
    """The rule packs that apply: the house's, then that of every place named and of the domicile at death."""
    chosen = ["house"]
    for place in (code.strip().upper() for code in (*jurisdictions, domicile)):
        pack = place if place in PACKS else "EU" if place.split("-")[0] in _EUROPE else None
        pack = pack or ("CN" if place.startswith("CN-") else "default")
        if pack not in chosen:
            chosen.append(pack)
    return tuple(chosen)


def decide(
    record: ConsentRecord,
    events: Sequence[ConsentEvent],
    *,
    purpose: Purpose,
    modality: Modality | Iterable[Modality],
    now: datetime,
    facts: Facts | None = None,
    packs: Packs = PACKS,
) -> Decision:
    """Whether this consent allows remaking `modality` for `purpose` at `now`, with every reason for and against.

    A single broken rule refuses. Only when nothing refuses and something freezes is the answer `frozen`, because a
    frozen order can thaw and a refused one must not look as if it could.

    Args:
        record: the newest verified record.
        events: all events of the order in sequence order, verified.
        modality: one or several; every one needs its own consent item.
        now: trusted time, time zone aware.
        facts: what is true outside the record (digests of the script and material at hand ...).
        packs: the rules; only tests pass others.
    """
    wanted = frozenset({modality} if isinstance(modality, Modality) else modality)
    case = Case(record, tuple(events), Purpose(purpose), wanted, now, facts or Facts())
    reasons: list[Reason] = []
    for pack in packs_for(record.jurisdictions, record.subject.domicile):
        reasons += [reason for rule in packs[pack] if (reason := rule.reason(case)) is not None]
    reasons += _notes(case)
    against = [reason for reason in reasons if reason.for_or_against == "against"]
    answer: DecisionWord = "granted"
    if against:
        answer = "frozen" if all(reason.freezes for reason in against) else "refused"
    order = {"against": 0, "for": 1, "note": 2}
    return Decision(decision=answer, reasons=tuple(sorted(reasons, key=lambda r: order[r.for_or_against])))


def _notes(case: Case) -> list[Reason]:
    notes = []
    if len(case.standing.approvers) == 1 and case.approvals_needed == 1 and not case.record.dated_later:
        notes.append(
            Reason(
                code="house.single_approval",
                for_or_against="note",
                text=Words(
                    zh="证明材料只由一人核验；家庭内部用途可以如此。",
                    en="One person checked the papers; that is enough for the family's own use only.",
                ),
                article="house rule: two persons look at the papers",
            )
        )
    return notes


def erased_reason() -> Reason:
    """The reason against everything once the subject's key is destroyed and the record cannot be read any more."""
    rule = next(rule for rule in house.RULES if rule.code == "house.not_erased")
    return Reason(
        code=rule.code,
        for_or_against="against",
        text=rule.fails,
        article=rule.article,
        remedy=rule.remedy,
        freezes=False,
    )
