"""Text to phones, by table: what a reader would say aloud."""

from pathlib import Path

import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.phones import ARTICULATION, PHONES, is_english, public_name
from memorial_tasks.voice.practice import read_words, syllables
from memorial_tasks.voice.sequence import describe, row_from_json, row_to_json, spoken_row
from memorial_tasks.voice.text.english import spoken_text
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.mandarin import syllable_phones
from memorial_tasks.voice.text.numbers_zh import cardinal
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, PAUSE_SHORT

HERE = Path(__file__).parent


def _table(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (HERE / name).read_text("utf-8").splitlines() if line]


@pytest.fixture(scope="module")
def front(espeak: Espeak) -> FrontEnd:
    return FrontEnd(espeak)


def test_english_is_written_out_as_read_aloud() -> None:
    wrong = [
        (text, spoken, spoken_text(text)) for text, spoken in _table("cases_en.tsv") if spoken_text(text) != spoken
    ]
    assert not wrong


def test_english_is_said_as_its_words_are(front: FrontEnd) -> None:
    """The phones of every written-out case, by a table of how each of its words is said."""
    words = {word: [item.split() for item in said.split("|")] for word, said in _table("words_en.tsv")}
    wrong = []
    for text, spoken in _table("cases_en.tsv"):
        possible: list[list[str]] = [[]]
        for word in spoken.split():
            possible = [[*so_far, *said] for so_far in possible for said in words[word]]
        got = _phones(front, text).split()
        if got not in possible:
            wrong.append((text, spoken, got))
    assert not wrong


def test_words_spelled_alike_are_told_apart_by_their_neighbours(front: FrontEnd) -> None:
    wrong = []
    for sentence, written, expected in _table("homographs_en.tsv"):
        said = [
            " ".join(phone.name + {1.0: "1", 0.5: "2"}.get(phone.stress, "") for phone in word.phones)
            for word in front.words(sentence, Language.EN_US)
            if word.text.lower() == written
        ]
        if said != [expected]:
            wrong.append((sentence, expected, said))
    assert not wrong


def test_the_tables_of_hard_cases_are_long_enough() -> None:
    assert len({text for text, _ in _table("cases_zh.tsv")}) >= 400
    assert len({row[0] for name in ("cases_en.tsv", "homographs_en.tsv") for row in _table(name)}) >= 400


def test_mandarin_is_read_as_spoken(front: FrontEnd) -> None:
    wrong = []
    for text, expected in _table("cases_zh.tsv"):
        wanted = [phone for syllable in expected.split() for phone in syllable_phones(syllable)]
        got = [phone for word in front.words(text, Language.ZH_CN) for phone in word.phones]
        if got != wanted:
            wrong.append((text, expected, " ".join(f"{p.name}{p.tone or ''}" for p in got)))
    assert not wrong


def _phones(front: FrontEnd, text: str) -> str:
    return " ".join(phone.name for word in front.words(text, Language.EN_US) for phone in word.phones)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("the apple", "DH IY AE P AH L"),
        ("the pear", "DH AH P EH R"),
        ("children's", "CH IH L D R AH N Z"),
        ("James's", "JH EY M Z IH Z"),
        ("FBI", "EH F B IY AY"),
        ("live", "L IH V"),
        ("mother-in-law", "M AH DH ER IH N L AO"),
        ("5-year", "F AY V Y IH R"),
    ],
)
def test_english_pronunciation(front: FrontEnd, text: str, phones: str) -> None:
    assert _phones(front, text) == phones


def test_unlisted_words_are_still_said(front: FrontEnd) -> None:
    for text in ("Xyzzyvane", "Brzezinski", "naïve", "Zoë"):
        assert len(_phones(front, text).split()) >= 2, text


def test_stress_is_known(front: FrontEnd) -> None:
    (word,) = front.words("photography", Language.EN_US)
    stresses = [phone.stress for phone in word.phones if phone.name in {"AH", "AA", "IY"}]
    assert max(stresses) == 1.0
    assert stresses[0] < 1.0


def test_punctuation_becomes_pauses_and_questions(front: FrontEnd) -> None:
    words = front.words("Well, are you there? Dr. Brown is.", Language.EN_US)
    assert [word.pause for word in words] == [
        PAUSE_SHORT, PAUSE_NONE, PAUSE_NONE, PAUSE_LONG, PAUSE_NONE, PAUSE_NONE, PAUSE_LONG,
    ]  # fmt: skip
    assert [word.question for word in words] == [True, True, True, True, False, False, False]
    row = spoken_row(words)
    assert [phone.name for phone in row.phones].count("SIL") == 4


def test_lexicon_takes_pinyin_characters_and_arpabet(espeak: Espeak) -> None:
    front = FrontEnd(
        espeak, {"单雄信": "shan4 xiong2 xin4", "翟": "zhai2", "Siobhan": "SH AH V AO N", "Ngaio": "nye oh"}
    )
    (name, *_) = front.words("单雄信来了", Language.ZH_CN)
    assert [phone.name for phone in name.phones] == ["sh", "an", "x", "iong", "x", "in"]
    assert front.words("翟", Language.ZH_CN)[0].phones[0].name == "zh"
    assert _phones(front, "Siobhan") == "SH AH V AO N"
    assert _phones(front, "Ngaio").startswith("N AY")


def test_mixed_lines_switch_language_by_script(front: FrontEnd) -> None:
    words = front.words("请给Mary打电话, she is waiting.", Language.ZH_CN)
    kinds = [(word.text, word.language) for word in words]
    assert ("Mary", Language.EN_US) in kinds
    assert ("waiting", Language.EN_US) in kinds
    assert kinds[0] == ("请", Language.ZH_CN)


@pytest.mark.parametrize("text", ["", "…", "!!!", "😀", "   ", "\u200b"])
def test_nothing_speakable_gives_no_word(front: FrontEnd, text: str) -> None:
    assert front.words(text, Language.EN_US) == []
    assert front.words(text, Language.ZH_CN) == []


def test_large_numbers_in_mandarin() -> None:
    assert cardinal("0") == "零"
    assert cardinal("10010") == "一万零一十"
    assert cardinal("100000001") == "一亿零一"
    assert cardinal("20030405") == "二千零三万零四百零五"


def test_every_phone_is_described_and_named() -> None:
    assert ARTICULATION.shape[0] == len(PHONES) == len(set(PHONES))
    assert {public_name(name) for name in ("ii", "iii", "i")} == {"i"}
    assert is_english("AA")
    assert not is_english("SIL")
    different = {tuple(row) for row in ARTICULATION.tolist()}
    assert len(different) >= len(PHONES) - 18  # a few phones of the two languages are made alike


def test_rows_survive_json_and_are_described(front: FrontEnd) -> None:
    row = spoken_row(front.words("你好, my friend.", Language.ZH_CN))
    assert row_from_json(row_to_json(row)) == row  # type: ignore[arg-type]
    ids, description = describe(row)
    assert len(ids) == len(description) == len(row.phones)


def test_practice_speech_has_our_phones_in_both_languages(front: FrontEnd, espeak: Espeak) -> None:
    words = front.words("我爱你们, forever and ever, 真的。", Language.ZH_CN)
    reading = read_words(espeak, words)
    assert reading is not None
    said = [phone for phone in reading.timed.row.phones if phone.name != "SIL"]
    assert said == [phone for word in words for phone in word.phones]
    assert sum(1 for word in words for _ in syllables(word.phones) if word.language == Language.ZH_CN) == 6
