"""Which emotion a line carries, proposed from its words by a lexicon of our own.

The lexicon (`lexicon.csv`) was written for this project, for what people say in farewells, in Chinese and English.
Everything it decides can be read: each hit is a reason. A negated word does not count for its emotion,
an intensifier counts more, an exclamation mark raises the intensity. A proposal never beats a person's mark.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from memorial_tasks.domain.words import Emotion, Language

NEGATIONS: Final = {
    Language.ZH_CN: ("不", "没", "没有", "别", "不要", "不用", "从不", "并不", "未", "无"),
    Language.EN_US: tuple(
        "not no never don't doesn't didn't isn't wasn't won't cannot can't without nothing".split()  # noqa: SIM905
    ),
}
INTENSIFIERS: Final = {
    Language.ZH_CN: ("很", "非常", "特别", "最", "真", "太", "十分", "多么", "好", "无比", "一直", "永远"),
    Language.EN_US: ("very", "so", "really", "deeply", "truly", "always", "forever", "most", "such", "too", "greatly"),
}
WINDOW: Final = {Language.ZH_CN: 3, Language.EN_US: 3}  # characters or words before the term
ENOUGH: Final = 0.5  # least score that counts as an emotion


@dataclass(frozen=True)
class Proposal:
    """What the words say: `scores` per emotion, the winner with an intensity, and why."""

    emotion: Emotion
    intensity: float
    reasons: tuple[str, ...]
    scores: Mapping[Emotion, float]


@cache
def lexicon(language: Language) -> dict[str, tuple[Emotion, float]]:
    """Term (lower case) to emotion and weight, longest terms first."""
    text = (files(__package__) / "lexicon.csv").read_text("utf-8")
    found: dict[str, tuple[Emotion, float]] = {}
    for row in csv.DictReader(text.splitlines()):
        if row["language"] == language:
            for term in row["terms"].split("|"):
                found.setdefault(term.lower(), (Emotion(row["emotion"]), float(row["weight"])))
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


@cache
def _pattern(language: Language) -> re.Pattern[str]:
    edge = r"\b" if language is Language.EN_US else ""
    return re.compile(edge + "(" + "|".join(map(re.escape, lexicon(language))) + ")" + edge, re.IGNORECASE)


def propose(text: str, language: Language) -> Proposal:
    """The emotion of one line. Without an emotional word the answer is neutral with intensity 0.3."""
    clean = text.replace("’", "'").lower()
    scores = dict.fromkeys(Emotion, 0.0)
    reasons: list[str] = []
    for match in _pattern(language).finditer(clean):
        term = match.group(1)
        emotion, weight = lexicon(language)[term]
        before = _before(clean[: match.start()], language)
        if _ends_with(before, INTENSIFIERS[language], language):
            weight *= 1.4
        if _ends_with(before, NEGATIONS[language], language):
            # "I am not sad" comforts; "not happy" only says less
            emotion, weight = (Emotion.CALM, weight * 0.7) if emotion is Emotion.SAD else (emotion, -0.5 * weight)
            reasons.append(f"negated {term!r} -> {emotion}")
        else:
            reasons.append(f"{term!r} -> {emotion}")
        scores[emotion] += weight
    loud = min(2, len(re.findall("[!！]", text)))
    best = max(scores, key=lambda emotion: (scores[emotion], emotion is not Emotion.NEUTRAL))
    if scores[best] < ENOUGH:
        return Proposal(Emotion.NEUTRAL, 0.3, (*reasons, "no emotional word"), scores)
    if loud:
        reasons.append("exclamation")
    total = scores[best] + 0.4 * loud
    return Proposal(best, round(min(0.95, 0.4 + 0.2 * total), 2), tuple(reasons), scores)


def _before(text: str, language: Language) -> list[str]:
    """The last few characters or words of `text`, not reaching over a punctuation mark."""
    clause = re.split(r"[,.;:!?，。；：！？、…]", text)[-1]
    pieces = clause.split() if language is Language.EN_US else list(clause)
    return pieces[-WINDOW[language] :]


def _ends_with(before: list[str], words: tuple[str, ...], language: Language) -> bool:
    if language is Language.EN_US:
        return any(piece in words for piece in before)
    return any(word in "".join(before) for word in words)
