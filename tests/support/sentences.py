"""Five hundred sentences of both languages, for what must hold of every one."""

from itertools import pairwise

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.practice_texts import ENGLISH, MANDARIN


def five_hundred() -> list[tuple[str, Language]]:
    """Sentences of both languages, their halves, and their pairs: 500 different texts."""
    out: list[tuple[str, Language]] = []
    for texts, language, joint in ((ENGLISH, Language.EN_US, " "), (MANDARIN, Language.ZH_CN, "")):
        pairs = [a + joint + b for a, b in pairwise(texts)]
        mixed = [a + joint + b for step in (3, 5, 7, 11, 13) for a, b in zip(texts, texts[step:], strict=False)]
        out += [(text, language) for text in [*texts, *pairs, *mixed]]
    out += [(f"Line {n}: {ENGLISH[n % len(ENGLISH)]}", Language.EN_US) for n in range(500)]
    return list(dict.fromkeys(out))[:500]
