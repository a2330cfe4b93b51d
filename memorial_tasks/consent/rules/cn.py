"""China. Civil Code 994, 1019, 1023; PIPL; Deep Synthesis Provisions; doctrine on wide use (Wang Qi 2025)."""

from memorial_tasks.consent.rules.base import Case, Rule, Words
from memorial_tasks.consent.rules.conditions import WIDE, has_evidence, lifetime_covers, rank_reaches


def _wide(case: Case) -> bool | None:
    return lifetime_covers(case) if case.purpose in WIDE else None


def _ceremony(case: Case) -> bool | None:
    """Shown outside the family: every relative of equal rank must at least have been told."""
    equal = [party for party in case.record.co_kin if party.rank == 1]
    if case.purpose.breadth == 0:
        return None
    return all(party.position != "unreachable" or has_evidence(case, "rank", "notary") for party in equal)


RULES: tuple[Rule, ...] = (
    Rule(
        "cn.rank",
        "CN Civil Code Art. 994",
        rank_reaches,
        Words(
            zh="签署人不是第一顺位近亲属（配偶、子女、父母），且未证明第一顺位已无人在世。",
            en="The grantor is no spouse, child or parent, and it is not proved that none of them is left.",
        ),
        Words(
            zh="请由配偶、子女或父母签署，或提交第一顺位无人的证明。",
            en="Let a spouse, child or parent sign, or add a proof that none is left (a file with `rank` in its name).",
        ),
        Words(
            zh="签署人的顺位足以作出同意。",
            en="The grantor's rank among the relatives is high enough to consent.",
        ),
    ),
    Rule(
        "cn.wide_purpose",
        "CN Civil Code Art. 993, 994, 1019; doctrine (Wang Qi 2025): wide use only by lifetime arrangement",
        _wide,
        Words(
            zh="公开纪念、影视或商业用途须有逝者生前授权，亲属同意不足。",
            en="A public, film or commercial use needs what the person arranged while alive; relatives cannot give it.",
        ),
        Words(
            zh="请提交生前授权文件，或改为家庭内部用途。",
            en="Add the lifetime authorisation, or choose a narrower purpose.",
        ),
        Words(zh="逝者生前授权了该用途。", en="The person who died arranged for this use while alive."),
    ),
    Rule(
        "cn.unreachable_kin",
        "CN Civil Code Art. 994 (equal rank)",
        _ceremony,
        Words(
            zh="有同顺位亲属联系不上，且无相应证明。",
            en="A relative of equal rank could not be reached, and no paper shows the attempt.",
        ),
        Words(
            zh="请提交公证或联系证明。", en="Add a notary's record of the attempt (a file with `notary` in its name)."
        ),
    ),
)
