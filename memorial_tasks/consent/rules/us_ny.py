"""New York: Civil Rights Law 50-f, as amended by S8391/A8882 (in force 2025-12-11). Domicile at death, 40 years."""

from datetime import date

from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import (
    WIDE,
    died_on_or_after,
    heir_grants,
    licensed_if,
    right_holder_grants,
    years_since_death,
)
from memorial_tasks.domain.words import Purpose

_IN_FORCE, _YEARS = date(2021, 5, 29), 40


def _protected(case: Case) -> bool:
    return (
        case.record.subject.public_figure
        and died_on_or_after(case, _IN_FORCE)
        and years_since_death(case) < _YEARS
        and case.purpose in WIDE
    )


def _successor(case: Case) -> bool | None:
    return licensed_if(case, _protected(case))


def _registered(case: Case) -> bool | None:
    return bool(case.record.scope.registration) if _protected(case) and right_holder_grants(case) else None


def _commercial(case: Case) -> bool | None:
    return licensed_if(case, case.purpose is Purpose.COMMERCIAL)


RULES: tuple[Rule, ...] = (
    Rule(
        "us_ny.successor",
        "NY Civil Rights Law 50-f(2)",
        _successor,
        Words(
            zh="已故公众人物的数字复制须权利继承人事先同意。",
            en="A digital replica of a deceased personality needs the prior consent of the successor in right.",
        ),
        Words(zh="请由权利继承人签署。", en="Let the executor or right holder sign."),
        Words(zh="权利继承人已同意。", en="The successor in right consents."),
    ),
    Rule(
        "us_ny.registration",
        "NY Civil Rights Law 50-f(7)",
        _registered,
        Words(
            zh="权利人未填写州务卿登记号。",
            en="The right holder's registration with the Secretary of State is not given.",
        ),
        Words(zh="请补充 registration。", en="Add `registration` to the order's consent terms."),
    ),
    Rule(
        "us_ny.commercial",
        "NY Civil Rights Law 50-f(2)(a)",
        _commercial,
        Words(zh="商业用途须权利人许可。", en="A commercial use needs the right holder's licence."),
        Words(zh="请由权利人签署。", en="Let the right holder sign."),
    ),
    Rule(
        "us_ny.heir",
        "NY Civil Rights Law 50-f(3)-(4); NY EPTL 4-1.1",
        heir_grants,
        Words(zh="签署人不是继承人或遗嘱执行人。", en="The grantor is neither heir nor executor."),
        Words(zh="请由配偶、子女、父母或执行人签署。", en="Let a spouse, child, parent or the executor sign."),
        Words(zh="签署人是继承人或执行人。", en="The grantor is an heir or the executor."),
    ),
)
