"""Tennessee: ELVIS Act (2024-07-01), Tenn. Code 47-25-1101 to 1108: everybody's likeness and voice, 10 years."""

from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import WIDE, heir_grants, licensed_if, years_since_death

_YEARS = 10


def _property(case: Case) -> bool | None:
    """The right ends after ten years unless it is still used commercially, which a public figure's is taken to be."""
    lives = years_since_death(case) < _YEARS or case.record.subject.public_figure
    return licensed_if(case, case.purpose in WIDE and lives)


RULES: tuple[Rule, ...] = (
    Rule(
        "us_tn.property",
        "Tenn. Code 47-25-1103, 1104 (ELVIS Act)",
        _property,
        Words(
            zh="公开使用须遗嘱执行人或权利人许可。",
            en="A public use needs the licence of the executor or right holder.",
        ),
        Words(zh="请由执行人或权利人签署。", en="Let the executor or right holder sign."),
        Words(zh="权利人已许可。", en="The right holder gave a licence."),
    ),
    Rule(  # making a tool available to produce somebody's likeness without authority is liability of its own
        "us_tn.tool",
        "Tenn. Code 47-25-1105(a)(3) (ELVIS Act)",
        heir_grants,
        Words(
            zh="无权利人授权，不得为其制作模型。",
            en="Without an heir's or right holder's authority no model of this person may be made.",
        ),
        Words(zh="请由继承人或权利人签署。", en="Let a spouse, child, parent, executor or right holder sign."),
        Words(zh="已有授权制作模型。", en="The making of the models is authorised."),
    ),
)
