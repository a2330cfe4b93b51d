"""Readings of the Mandarin front-end against the pinyin table that comes with AISHELL-3.

The table writes down what the speakers said, slips and accents included (市 si4, 债 zai4, 京 jin1). Three figures:
as it is; without the cells that hold no reading of their character in the dictionary (pypinyin's, all readings); and
with the same cells and the conventions folded in which two careful writers differ: a neutral tone marked or not
(项目 mu4 or mu5, 这个 ge4 or ge5), and 一 inside a number in its own tone or with sandhi (一千 yi1 or yi4).
"""

from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.practice import pinyin, syllables
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.mandarin import syllable_phones


@dataclass(frozen=True)
class Difference:
    """One cell that differs; `kind` is ``slip``, ``convention`` or ``error``."""

    sentence: int
    char: str
    table: str
    ours: str
    kind: str


def spelled(syllable: str) -> str:
    """A table's syllable in the spelling of `practice.pinyin`."""
    phones = syllable_phones(syllable)
    return pinyin(phones[0].name if len(phones) > 1 else "", phones[-1].name, phones[-1].tone)


def _is_reading(char: str, syllable: str) -> bool:
    """Whether some dictionary reading of `char` gives `syllable` directly, in the neutral tone, or by sandhi."""
    from pypinyin import Style
    from pypinyin import pinyin as readings

    known = {
        spelled(item) for item in readings(char, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True)[0]
    }
    base, tone = syllable[:-1], syllable[-1]
    if char in "一不" and base in {"yi", "bu"}:
        return True
    third = tone == "2" and f"{base}3" in known
    return syllable in known or third


def _kind(text: str, at: int, table: str, ours: str) -> str:
    """Why a cell differs: a neutral tone is a convention only where the dictionary knows the syllable otherwise."""
    char = text[at]
    if table[:-1] == ours[:-1] and "5" in (table[-1], ours[-1]):
        return "convention"
    if char == "一" and table[:-1] == ours[:-1] and at + 1 < len(text) and text[at + 1] in "百千万亿":
        return "convention"
    return "error" if _is_reading(char, table) else "slip"


def differences(folder: Path) -> tuple[list[Difference], int]:
    """Every differing cell of the tables in `folder` and the number of cells."""
    found: list[Difference] = []
    cells = 0
    hanzi = (folder / "metadata_hanzi.csv").read_text("utf-8").splitlines()
    tables = (folder / "metadata_pinyin.csv").read_text("utf-8").splitlines()
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for number, (line, table) in enumerate(zip(hanzi, tables, strict=True)):
            text = line.split("\t")[1].strip()
            wanted = [spelled(item) for item in table.split("\t")[1].split()]
            words = front.words(text, Language.ZH_CN)
            ours = [
                pinyin(initial.name if initial else "", final.name, final.tone)
                for word in words
                for initial, final in syllables(word.phones)
            ]
            cells += len(wanted)
            if len(ours) != len(wanted):
                found += [Difference(number, "?", item, "", "error") for item in wanted]
                continue
            found += [
                Difference(number, text[at], one, other, _kind(text, at, one, other))
                for at, (one, other) in enumerate(zip(wanted, ours, strict=True))
                if one != other
            ]
    return found, cells


def agreement(folder: Path) -> dict[str, float]:
    """The three figures."""
    found, cells = differences(folder)
    slips = sum(item.kind == "slip" for item in found)
    errors = sum(item.kind == "error" for item in found)
    return {
        "voice.zh_agreement": 1 - len(found) / cells,
        "voice.zh_agreement_without_slips": 1 - (len(found) - slips) / (cells - slips),
        "voice.zh_agreement_conventions_folded": 1 - errors / (cells - slips),
        "voice.zh_cells": float(cells),
        "voice.zh_slips_of_the_table": float(slips),
    }


if __name__ == "__main__":
    import sys

    for item in differences(Path(sys.argv[1]))[0]:
        print(*(getattr(item, name) for name in ("sentence", "char", "table", "ours", "kind")), sep="\t")
