"""European Union and EEA: GDPR recital 27 leaves the dead to the states, so the strictest state rule is taken for all.

Slovakia (Act 18/2018, s. 78(7)): a close person may consent; that is invalid if any other close person disagrees.
"""

from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import RELEASED, WIDE, agreed, licensed_if, right_holder_grants


def _no_dissent(case: Case) -> bool:
    """A studio cannot dismiss a dissent: only the relative can take it back, or a court decide."""
    return not case.standing.contested


def _close_person(case: Case) -> bool:
    return any(party.rank in {1, 2} for party in case.record.grantors) or right_holder_grants(case)


def _everybody_agrees(case: Case) -> bool | None:
    known = [party for party in case.record.co_kin if party.rank == 1]
    return all(agreed(case, party) for party in known) if case.purpose in WIDE else None


def _released(case: Case) -> bool | None:
    return licensed_if(case, case.purpose in RELEASED)


RULES: tuple[Rule, ...] = (
    Rule(
        "eu.any_dissent",
        "SK Act 18/2018 s. 78(7), taken for the whole EU",
        _no_dissent,
        Words(
            zh="有近亲属不同意；工作室无权驳回，只能由本人撤回或由法院裁决。",
            en="A close person disagrees. The studio cannot overrule that: they take it back, or a court decides.",
        ),
        Words(
            zh="请等待撤回异议或法院裁决。",
            en="Wait until it is taken back (`--outcome retracted`) or a court has decided (`--outcome court`).",
        ),
        freezes=True,
    ),
    Rule(
        "eu.close_person",
        "SK Act 18/2018 s. 78(7); HU Act CXII/2011 s. 25; DE KUG s. 22",
        _close_person,
        Words(zh="签署人不是近亲属或代表人。", en="The grantor is no close relative and no representative."),
        Words(zh="请由近亲属签署。", en="Let a close relative or the executor sign."),
        Words(zh="签署人是近亲属或代表人。", en="The grantor is a close relative or a representative."),
    ),
    Rule(
        "eu.public_agreement",
        "DE KUG s. 22; SK Act 18/2018 s. 78(7)",
        _everybody_agrees,
        Words(
            zh="公开使用须每位已知的配偶、子女、父母同意。",
            en="For a public use every known spouse, child and parent must have agreed.",
        ),
        Words(zh="请取得其余亲属同意。", en="Ask the other relatives to agree."),
    ),
    Rule(
        "eu.released",
        "DE KUG s. 22; FR LIL Art. 85 (lifetime instructions)",
        _released,
        Words(
            zh="影视或商业用途须有生前授权或权利人许可。",
            en="A film or commercial use needs a lifetime permission or the right holder's licence.",
        ),
        Words(zh="请提交授权或许可。", en="Add the permission, or let the right holder sign."),
    ),
)
