"""California: Civil Code 3344.1, as amended by AB 1836 (in force 2025-01-01). 70 years."""

from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import RELEASED, heir_grants, licensed_if, years_since_death
from memorial_tasks.domain.words import Purpose

_YEARS = 70


def _replica(case: Case) -> bool | None:
    """A digital replica of a deceased personality in an audiovisual work, wherever the public can see it."""
    protected = case.record.subject.public_figure and years_since_death(case) < _YEARS
    return licensed_if(case, protected and case.purpose is not Purpose.FAMILY_PRIVATE)


def _released(case: Case) -> bool | None:
    return licensed_if(case, case.purpose in RELEASED)


RULES: tuple[Rule, ...] = (
    Rule(
        "us_ca.replica",
        "CA Civil Code 3344.1(n) (AB 1836)",
        _replica,
        Words(
            zh="已故名人的数字复制须权利人事先同意。",
            en="A digital replica of a deceased personality needs the right holder's prior consent.",
        ),
        Words(zh="请由权利人签署。", en="Let the right holder sign."),
        Words(zh="权利人已同意。", en="The right holder consents."),
    ),
    Rule(
        "us_ca.released",
        "CA Civil Code 3344.1(a)",
        _released,
        Words(
            zh="影视或商业用途须权利人许可或生前授权。",
            en="A film or commercial use needs the right holder's licence or a lifetime permission.",
        ),
        Words(zh="请由权利人签署，或提交授权。", en="Let the right holder sign, or add the permission."),
    ),
    Rule(
        "us_ca.heir",
        "CA Civil Code 3344.1(d)",
        heir_grants,
        Words(
            zh="签署人不是配偶、子女、父母或权利人。",
            en="The grantor is neither spouse, child, parent nor right holder.",
        ),
        Words(zh="请由其中一人签署。", en="Let one of them sign."),
        Words(zh="签署人是法定继受人。", en="The grantor is a successor by law."),
    ),
)
