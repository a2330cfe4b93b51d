"""One way in for both languages: text of a line, with or without markup -> words with phones."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.phones import Phone, is_english
from memorial_tasks.voice.sequence import mark_questions
from memorial_tasks.voice.text.english import Pronouncer, arpabet, english_words
from memorial_tasks.voice.text.markup import Part, has_markup, parse, plain_text
from memorial_tasks.voice.text.said_as import said_as
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_SHORT, Word

_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿〇]")
_READABLE = ("LATIN", "CJK", "FULLWIDTH LATIN", "IDEOGRAPHIC", "MODIFIER", "MASCULINE", "FEMININE", "MICRO", "DEGREE")


class FrontEnd:
    """Turns script lines into words and phones. `lexicon` maps a name to how the family says it."""

    def __init__(self, espeak: Espeak, lexicon: Mapping[str, str] | None = None) -> None:
        self.lexicon = dict(lexicon or {})
        self._english = Pronouncer(espeak, self.lexicon)

    def words(self, text: str, language: Language) -> list[Word]:
        """Words of plain `text`. Chinese characters are read as Mandarin and Latin words as English in either
        language; `language` decides how numbers and signs are read. Empty when nothing can be spoken."""
        if language == Language.ZH_CN or _HAN.search(text):
            from memorial_tasks.voice.text.mandarin import mandarin_words

            words = mandarin_words(text, self._english, self.lexicon)
        else:
            words = english_words(text, self._english)
        return mark_questions(words, text)

    def line(self, text: str, language: Language, where: str = "script") -> list[Word]:
        """Words of a script line that may hold markup (see `markup`).

        Raises `InputRefused` for broken markup, for phones that no alphabet knows (``script.markup_value``), and for
        letters that neither language reads (``script.unpronounceable``) unless the lexicon says how.
        """
        self._readable(plain_text(text, where), where)
        if not has_markup(text):
            return self.words(text, language)
        words: list[Word] = []
        waiting: float | None = None
        for part in _merged(parse(text, where)):
            if part.rest is not None:
                if words:
                    last = words[-1]
                    rest = part.rest + (last.after or 0.0)
                    words[-1] = replace(last, pause=max(last.pause, PAUSE_SHORT), after=rest)
                else:
                    waiting = (waiting or 0.0) + part.rest
                continue
            words = _join(words, self._part(part, language, where), part.text)
            if waiting is not None and words:
                words[0] = replace(words[0], before=waiting)
                waiting = None
        return mark_questions(words, plain_text(text))

    def _part(self, part: Part, language: Language, where: str) -> list[Word]:
        if part.phones:
            found = [Word(part.text, _phones(part, where), _language(part))]
        elif part.say_as:
            spoken = said_as(part, language, where)
            phones = tuple(phone for word in self.words(spoken, language) for phone in word.phones)
            found = [Word(part.text, phones, language)] if phones else []
        else:
            found = self.words(part.text, language)
        return [replace(word, style=part.style) for word in found]

    def _readable(self, text: str, where: str) -> None:
        for name in sorted(self.lexicon, key=len, reverse=True):
            text = text.replace(name, "")
        strange = {unicodedata.name(char, "UNKNOWN") for char in text if unicodedata.category(char).startswith("L")}
        scripts = sorted({name.split()[0] for name in strange if not name.startswith(_READABLE)})
        if scripts:
            raise InputRefused(
                [
                    Problem(
                        "script.unpronounceable",
                        f"the line holds {', '.join(scripts).lower()} letters, which neither voice can read",
                        "write them in Chinese or Latin letters, or say in the lexicon how the word sounds",
                        where,
                    )
                ]
            )


def unread_signs(text: str) -> int:
    """How many symbols of a line (emoji, ornaments) are passed over in silence."""
    return sum(unicodedata.category(char) in {"So", "Co", "Cn", "Cs"} and char not in "°℃℉№™®©" for char in text)


def _merged(parts: list[Part]) -> list[Part]:
    """Neighbouring plain stretches of one style as one, so that words see their context."""
    out: list[Part] = []
    for part in parts:
        if out and part == Part(part.text, part.style) and out[-1] == Part(out[-1].text, part.style):
            out[-1] = replace(out[-1], text=out[-1].text + part.text)
        else:
            out.append(part)
    return out


def _join(words: list[Word], more: list[Word], text: str) -> list[Word]:
    """`more` after `words`; punctuation at the beginning of `text` belongs to the word before it."""
    lead = re.match(r"[\s,.;:!?，。；：！？、…]*", text)
    if words and lead and (mark := lead[0].strip()):
        level = PAUSE_LONG if re.search(r"[.;!?。；！？…]", mark) else PAUSE_SHORT
        words = [*words[:-1], replace(words[-1], pause=max(words[-1].pause, level))]
    return [*words, *more]


def _language(part: Part) -> Language:
    return Language.ZH_CN if part.alphabet == "x-pinyin" else Language.EN_US


def _phones(part: Part, where: str) -> tuple[Phone, ...]:
    try:
        if part.alphabet == "x-pinyin":
            from memorial_tasks.voice.text.mandarin import syllable_phones

            return tuple(phone for syllable in part.phones.split() for phone in syllable_phones(syllable))
        if part.alphabet == "ipa":
            marks = re.findall(r"[ˈˌ]?[^\sˈˌ.]+", part.phones)
            phones = tuple(phone for mark in marks for phone in arpabet(mark))
        else:
            levels = {"1": 1.0, "2": 0.5}
            phones = tuple(
                Phone(re.sub(r"[012]$", "", item), levels.get(item[-1], 0.0)) for item in part.phones.upper().split()
            )
        if phones and all(is_english(phone.name) for phone in phones):
            return phones
    except (ValueError, IndexError):
        pass
    raise InputRefused(
        [
            Problem(
                "script.markup_value",
                f"ph holds sounds that {part.alphabet} does not have",
                "write ARPAbet (SH AH0 V AO1 N) or pinyin with tones (shan4 xiong2 xin4), separated by spaces",
                where,
            )
        ]
    )
