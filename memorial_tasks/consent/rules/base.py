"""What a rule is, what it sees, and how its answer is said to a person."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from memorial_tasks.consent.events import ConsentEvent, Standing, standing
from memorial_tasks.consent.record import ConsentRecord
from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Modality, Purpose

DecisionWord = Literal["granted", "refused", "frozen"]


class Words(Record):
    """One sentence in both languages of the studio."""

    zh: str
    en: str


class Reason(Record):
    """One reason for or against, the article it rests on, and what could change it."""

    code: str
    for_or_against: Literal["for", "against", "note"]
    text: Words
    article: str
    remedy: Words | None = None
    freezes: bool = False


class Decision(Record):
    """The answer, with every reason on both sides."""

    decision: DecisionWord
    reasons: tuple[Reason, ...]

    @property
    def granted(self) -> bool:
        """True when the act may go on."""
        return self.decision == "granted"

    @property
    def against(self) -> tuple[Reason, ...]:
        """The reasons that stand in the way."""
        return tuple(reason for reason in self.reasons if reason.for_or_against == "against")


@dataclass(frozen=True)
class Facts:
    """What is true outside the record at the moment of the decision; None: not known or not asked."""

    script_sha256: str | None = None
    material_sha256: frozenset[str] | None = None
    channel: str | None = None
    approvals_needed: int | None = None  # the studio's setting; it can only raise the house minimum


@dataclass(frozen=True)
class Case:
    """Everything a rule may look at."""

    record: ConsentRecord
    events: tuple[ConsentEvent, ...]
    purpose: Purpose
    modalities: frozenset[Modality]
    now: datetime
    facts: Facts = field(default_factory=Facts)

    @cached_property
    def standing(self) -> Standing:
        """What the events amount to."""
        return standing(self.events, self.now)

    @cached_property
    def approvals_needed(self) -> int:
        """Persons who must have seen the papers: one for the family's own use, two for anything wider."""
        least = 1 if self.purpose is Purpose.FAMILY_PRIVATE else 2
        return max(least, self.facts.approvals_needed or least)


@dataclass(frozen=True)
class Rule:
    """One sentence of law or of the house, as data.

    `check` answers True (the rule is met and speaks for), False (it is broken) or None (it does not apply here). A
    broken rule refuses, or freezes when `freezes` is set. `holds` is left out where being met is not worth telling.
    """

    code: str
    article: str
    check: Callable[[Case], bool | None]
    fails: Words
    remedy: Words
    holds: Words | None = None
    freezes: bool = False

    def reason(self, case: Case) -> Reason | None:
        """The rule's reason in this case; None when it has nothing to say."""
        answer = self.check(case)
        if answer is False:
            return Reason(
                code=self.code,
                for_or_against="against",
                text=self.fails,
                article=self.article,
                remedy=self.remedy,
                freezes=self.freezes,
            )
        if answer and self.holds is not None:
            return Reason(code=self.code, for_or_against="for", text=self.holds, article=self.article)
        return None
