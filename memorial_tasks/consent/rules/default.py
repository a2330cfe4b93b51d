"""Everywhere else: first rank decides, wide use needs more. Stricter than most laws and plain to explain."""

from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import WIDE, licensed_if, rank_reaches, right_holder_grants


def _standing(case: Case) -> bool:
    return rank_reaches(case) or right_holder_grants(case)


def _wide(case: Case) -> bool | None:
    return licensed_if(case, case.purpose in WIDE)


RULES: tuple[Rule, ...] = (
    Rule(
        "default.rank",
        "house rule, after CN Civil Code Art. 994",
        _standing,
        Words(
            zh="签署人不是配偶、子女、父母或代表人，且未证明第一顺位已无人。",
            en="The grantor is no spouse, child, parent or representative, nor is it proved that none is left.",
        ),
        Words(zh="请由第一顺位亲属签署。", en="Let a spouse, child, parent or the executor sign."),
        Words(zh="签署人的顺位足以作出同意。", en="The grantor stands close enough to consent."),
    ),
    Rule(
        "default.wide_purpose",
        "house rule, after CN doctrine and US right of publicity",
        _wide,
        Words(
            zh="公开、影视或商业用途须生前授权或权利人许可。",
            en="A public, film or commercial use needs a lifetime permission or the right holder's licence.",
        ),
        Words(zh="请提交授权，或改用较窄的用途。", en="Add the permission, or choose a narrower purpose."),
    ),
)
