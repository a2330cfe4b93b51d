"""Readings of the Mandarin front-end against the pinyin table that comes with AISHELL-3.

The table is the truth, except for the cells listed in `ERRATA`: there it writes down a slip or an accent of the speaker
(市 si4, 债 zai4, 京 jin1), or a reading that no dictionary gives to the word (大厦 xia4). Two figures: over all cells,
and without those. A cell of the list that does not say what the list claims stops the measurement.
"""

from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.practice import pinyin, syllables
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.mandarin import syllable_phones

# (utterance, character) -> (what the table says, what the dictionary, Xiandai Hanyu Cidian, says of the word)
ERRATA = {
    ("SSB00120415", "播"): ("bao1", "播 is bo1 in every word"),
    ("SSB00160485", "位"): ("wei3", "位 is wei4 in every word, and 列 after it is no third tone"),
    ("SSB00800191", "们"): ("men2", "the ending of a plural is light: men5, as the table has it in SSB01970187"),
    ("SSB01330012", "京"): ("jin1", "京 is jing1 in every word: the speaker does not keep -n and -ng apart"),
    ("SSB01330012", "讯"): ("xu4", "讯 is xun4 in every word"),
    ("SSB01330012", "斐"): ("fei1", "斐 is fei3 in every word"),
    ("SSB01390308", "市"): ("si4", "市 is shi4 in every word: the speaker does not keep s- and sh- apart"),
    ("SSB01490418", "债"): ("zai4", "债 is zhai4 in every word: the speaker does not keep z- and zh- apart"),
    ("SSB01970187", "处"): ("chu4", "处理 is chu3 li3, spoken chu2 li3; chu4 is a place"),
    ("SSB02730076", "厦"): ("xia4", "大厦 is da4 sha4; xia4 is the city of 厦门"),
}


@dataclass(frozen=True)
class Difference:
    """One cell that differs; `why` is empty unless the table's cell is one of `ERRATA`."""

    utterance: str
    char: str
    table: str
    ours: str
    why: str


def spelled(syllable: str) -> str:
    """A table's syllable in the spelling of `practice.pinyin`."""
    phones = syllable_phones(syllable)
    return pinyin(phones[0].name if len(phones) > 1 else "", phones[-1].name, phones[-1].tone)


def differences(folder: Path) -> tuple[list[Difference], int]:
    """Every differing cell of the tables in `folder` and the number of cells. Raises `ValueError` where `ERRATA` and
    the table do not fit together."""
    found: list[Difference] = []
    cells, met = 0, set[tuple[str, str]]()
    hanzi = (folder / "metadata_hanzi.csv").read_text("utf-8").splitlines()
    tables = (folder / "metadata_pinyin.csv").read_text("utf-8").splitlines()
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for line, table in zip(hanzi, tables, strict=True):
            name, text = Path(line.split("\t")[0]).stem, line.split("\t")[1].strip()
            wanted = [spelled(item) for item in table.split("\t")[1].split()]
            words = front.words(text, Language.ZH_CN)
            ours = [
                pinyin(initial.name if initial else "", final.name, final.tone)
                for word in words
                for initial, final in syllables(word.phones)
            ]
            cells += len(wanted)
            if len(ours) != len(wanted):
                found += [Difference(name, "?", item, "", "") for item in wanted]
                continue
            for char, one, other in zip(text, wanted, ours, strict=True):
                said, why = ERRATA.get((name, char), ("", ""))
                if why:
                    met.add((name, char))
                    if one != said or other == said:
                        raise ValueError(f"{name} {char}: the table says {one} and we {other}, the list {said}")
                if one != other:
                    found.append(Difference(name, char, one, other, why))
    if met != set(ERRATA):
        raise ValueError(f"not in the table: {sorted(set(ERRATA) - met)}")
    return found, cells


def agreement(folder: Path) -> dict[str, float]:
    """Both figures, and how many cells there are and are left out of the second one."""
    found, cells = differences(folder)
    wrong = sum(bool(item.why) for item in found)
    return {
        "voice.zh_agreement": 1 - (len(found) - wrong) / (cells - wrong),
        "voice.zh_agreement_all_cells": 1 - len(found) / cells,
        "voice.zh_cells": float(cells),
        "voice.zh_cells_wrong_in_the_table": float(wrong),
    }


if __name__ == "__main__":
    import sys

    for item in differences(Path(sys.argv[1]))[0]:
        print(*(getattr(item, name) for name in ("utterance", "char", "table", "ours", "why")), sep="\t")
