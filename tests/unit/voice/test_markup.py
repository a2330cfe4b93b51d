"""The SSML subset of script lines: what it means, and what it refuses."""

import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.sequence import spoken_row
from memorial_tasks.voice.text.front import FrontEnd, unread_signs
from memorial_tasks.voice.text.markup import has_markup, parse, plain_text
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, PAUSE_SHORT, PLAIN


@pytest.fixture(scope="module")
def front(espeak: Espeak) -> FrontEnd:
    return FrontEnd(espeak, {"Любовь": "l oo b o f"})


def _names(front: FrontEnd, text: str, language: Language = Language.EN_US) -> str:
    return " ".join(phone.name for word in front.line(text, language) for phone in word.phones)


def test_plain_lines_are_left_alone(front: FrontEnd) -> None:
    for text in ("I <3 you", "a < b & c > d", "5 <6"):
        assert not has_markup(text)
        assert plain_text(text) == text
    assert all(word.style == PLAIN for word in front.line("Good morning, my dear.", Language.EN_US))


def test_what_is_shown_has_no_tags() -> None:
    marked = (
        'I <emphasis level="strong">love</emphasis> you<break time="1s"/>, <prosody rate="90%">all</prosody> &amp; us.'
    )
    assert plain_text(marked) == "I love you, all & us."
    assert plain_text("<speak>Good morning.</speak>") == "Good morning."


def test_a_break_is_a_rest_of_its_length(front: FrontEnd) -> None:
    words = front.line('One <break time="800ms"/>two<break strength="strong"/>, three.', Language.EN_US)
    assert [word.after for word in words] == [0.8, 0.8, None]
    assert [word.pause for word in words] == [PAUSE_SHORT, PAUSE_SHORT, PAUSE_LONG]
    assert [phone.name for phone in spoken_row(words).phones].count("SIL") == 4
    first = front.line('<break time="1.5s"/>One.', Language.EN_US)[0]
    assert first.before == 1.5


def test_styles_nest_and_end(front: FrontEnd) -> None:
    words = front.line(
        '<prosody rate="slow" pitch="-2st" volume="-3dB">my <emphasis level="strong">dear</emphasis></prosody> child',
        Language.EN_US,
    )
    my, dear, child = (word.style for word in words)
    assert (my.rate, my.pitch, my.gain, my.emphasis) == (0.82, -2.0, -3.0, 0.0)
    assert (dear.rate, dear.emphasis) == (0.82, 1.0)
    assert child == PLAIN


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ('<say-as interpret-as="characters">FBI</say-as>', "EH F B IY AY"),
        ('<say-as interpret-as="digits">1931</say-as>', "W AH N N AY N TH R IY W AH N"),
        ('<say-as interpret-as="cardinal">1931</say-as>',
         "W AH N TH AW Z AH N D N AY N HH AH N D R AH D TH ER D IY W AH N"),
        ('<say-as interpret-as="ordinal">3</say-as>', "TH ER D"),
        ('<say-as interpret-as="date">2/3/1999</say-as>',
         "F EH B Y AH W EH R IY TH ER D N AY N T IY N N AY N T IY N AY N"),
        ('<say-as interpret-as="date" format="dmy">2/3/1999</say-as>',
         "M AA R CH S EH K AH N D N AY N T IY N N AY N T IY N AY N"),
        ('<phoneme ph="SH AH0 V AO1 N">Siobhan</phoneme>', "SH AH V AO N"),
        ('<phoneme alphabet="ipa" ph="ʃəˈvɔːn">Siobhan</phoneme>', "SH AH V AO N"),
    ],
)  # fmt: skip
def test_words_are_said_as_their_author_says(front: FrontEnd, markup: str, words: str) -> None:
    assert _names(front, markup) == words


def test_mandarin_markup(front: FrontEnd) -> None:
    said, called = '<phoneme alphabet="x-pinyin" ph="shan4 xiong2 xin4">', '<say-as interpret-as="telephone">'
    name, number = front.line(f"{said}单雄信</phoneme>，{called}110</say-as>。", Language.ZH_CN)
    assert [(p.name, p.tone) for p in name.phones] == [
        ("sh", 0), ("an", 4), ("x", 0), ("iong", 2), ("x", 0), ("in", 4),
    ]  # fmt: skip
    assert name.pause == PAUSE_SHORT
    assert [p.name for p in number.phones] == ["iao", "iao", "l", "ing"]
    assert number.pause == PAUSE_LONG
    date = front.line('<say-as interpret-as="date">2019-11-20</say-as>', Language.ZH_CN)
    assert [p.name for p in date[0].phones[-5:]] == ["er", "sh", "iii", "r", "iii"]


def test_questions_and_pauses_survive_markup(front: FrontEnd) -> None:
    words = front.line("Are you <emphasis>there</emphasis>? Yes.", Language.EN_US)
    assert [word.question for word in words] == [True, True, True, False]
    assert [word.pause for word in words] == [PAUSE_NONE, PAUSE_NONE, PAUSE_LONG, PAUSE_LONG]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><speak>&b;</speak>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><speak>&f;</speak>'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<emphasis>open", "script.markup_broken"),
        ("<b>bold</b>", "script.markup_unknown"),
        ("<script>alert(1)</script>", "script.markup_unknown"),
        ('<audio src="http://example.org/a.mp3"/>', "script.markup_unknown"),
        ('<break src="x"/>', "script.markup_unknown"),
        ('<break time="soon"/>', "script.markup_value"),
        ('<break time="3600s"/>', "script.markup_value"),
        ("<break>words</break>", "script.markup_unknown"),
        ('<prosody rate="900%">x</prosody>', "script.markup_value"),
        ('<prosody pitch="+40st">x</prosody>', "script.markup_value"),
        ('<emphasis level="huge">x</emphasis>', "script.markup_value"),
        ('<say-as interpret-as="date">soon</say-as>', "script.markup_value"),
        ('<say-as interpret-as="date">2019-13-40</say-as>', "script.markup_value"),
        ('<say-as interpret-as="cardinal">three</say-as>', "script.markup_value"),
        ('<say-as interpret-as="verse">x</say-as>', "script.markup_value"),
        ('<phoneme ph="QQ">x</phoneme>', "script.markup_value"),
        ('<phoneme alphabet="x-pinyin" ph="qwx9">x</phoneme>', "script.markup_value"),
        ('<phoneme ph="">x</phoneme>', "script.markup_value"),
        ("<phoneme ph='AA1'></phoneme>", "script.markup_broken"),
        (BOMB, "script.markup_forbidden"),
        (OUTSIDE, "script.markup_forbidden"),
        ("<emphasis>&nbsp;</emphasis>", "script.markup_forbidden"),
        ("<?php echo 1 ?><emphasis>x</emphasis>", "script.markup_forbidden"),
        ("<emphasis>" * 12 + "x" + "</emphasis>" * 12, "script.markup_broken"),
        ("<emphasis>" + "x" * 30_000 + "</emphasis>", "script.markup_broken"),
    ],
)
def test_everything_else_is_refused_by_name(front: FrontEnd, text: str, code: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        front.line(text, Language.EN_US, "script[3]")
    (problem,) = refusal.value.problems
    assert problem.code == code
    assert problem.field == "script[3]"
    assert problem.remedy


def test_parts_keep_their_order() -> None:
    parts = parse('a<break time="1s"/>b')
    assert [part.text for part in parts] == ["a", "", "b"]
    assert [part.rest for part in parts] == [None, 1.0, None]


@pytest.mark.parametrize(("text", "script"), [("Привет", "cyrillic"), ("שלום", "hebrew"), ("ありがとう", "hiragana")])
def test_letters_nobody_reads_are_refused(front: FrontEnd, text: str, script: str) -> None:
    for language in (Language.EN_US, Language.ZH_CN):
        with pytest.raises(InputRefused) as refusal:
            front.line(f"Hello {text}", language)
        assert refusal.value.problems[0].code == "script.unpronounceable"
        assert script in refusal.value.problems[0].what
        assert text not in str(refusal.value)


def test_the_lexicon_makes_a_foreign_name_sayable(front: FrontEnd) -> None:
    assert _names(front, "Hello Любовь").startswith("HH AH L OW")
    assert len(front.line("Hello Любовь", Language.EN_US)) == 2


def test_signs_that_are_passed_over_are_counted() -> None:
    assert unread_signs("I love you 😀❤️") == 2
    assert unread_signs("20°C, 5% & more") == 0
