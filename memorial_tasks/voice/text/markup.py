"""The part of SSML 1.1 (W3C) that a script line may use, read without entities, document types or anything external.

    <break time="800ms"/> or <break strength="strong"/>      a rest
    <emphasis level="strong">word</emphasis>                 strong, moderate, reduced, none
    <prosody rate="90%" pitch="-1st" volume="soft">...       also slow, high, +3dB
    <say-as interpret-as="date">2019-11-20</say-as>          date, characters, digits, telephone, cardinal, ordinal
    <phoneme alphabet="x-arpabet" ph="SH AH0 V AO1 N">...    x-arpabet, x-pinyin, ipa (English)

A line without tags is plain text, with ``<`` and ``&`` meaning themselves. In a line with tags they are written
``&lt;`` and ``&amp;``, as in any XML.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn
from xml.parsers import expat

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.text.units import PLAIN, Style

_TAG = re.compile(r"<[/!?]?[A-Za-z]|<!--|<!\[")
_DEEPEST, _LONGEST = 8, 20_000
_ATTRIBUTES = {
    "speak": {"version", "xml:lang", "xmlns"},
    "break": {"time", "strength"},
    "emphasis": {"level"},
    "prosody": {"rate", "pitch", "volume"},
    "say-as": {"interpret-as", "format"},
    "phoneme": {"alphabet", "ph"},
}
_BREAKS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.5}
_LEVELS = {"strong": 1.0, "moderate": 0.6, "none": 0.0, "reduced": -0.6}
_RATES = {"x-slow": 0.65, "slow": 0.82, "medium": 1.0, "default": 1.0, "fast": 1.2, "x-fast": 1.45}
_PITCHES = {"x-low": -4.0, "low": -2.0, "medium": 0.0, "default": 0.0, "high": 2.0, "x-high": 4.0}
_VOLUMES = {"x-soft": -8.0, "soft": -4.0, "medium": 0.0, "default": 0.0, "loud": 4.0, "x-loud": 6.0}
SAY_AS = frozenset({"date", "characters", "spell-out", "digits", "telephone", "cardinal", "number", "ordinal"})
ALPHABETS = frozenset({"x-arpabet", "x-pinyin", "ipa"})


@dataclass(frozen=True)
class Part:
    """A stretch of a line said in one way. `say_as` with its `layout` or `alphabet` with `phones` when the markup
    names them; `rest` seconds of silence instead of text."""

    text: str = ""
    style: Style = PLAIN
    say_as: str = ""
    layout: str = ""
    alphabet: str = ""
    phones: str = ""
    rest: float | None = None


def has_markup(text: str) -> bool:
    """Whether `text` holds a tag (``a < b`` and ``<3`` do not)."""
    return bool(_TAG.search(text))


def plain_text(text: str, where: str = "script") -> str:
    """`text` without its markup, as subtitles show it. Raises `InputRefused` as `parse` does."""
    if not has_markup(text):
        return text
    return re.sub(r"\s+", " ", "".join(part.text for part in parse(text, where))).strip()


def parse(text: str, where: str = "script") -> list[Part]:
    """The parts of a line in order. `where` names the line in problems.

    Raises `InputRefused` with code ``script.markup_broken`` (not well-formed, too deep, too long),
    ``script.markup_forbidden`` (document types, entities, instructions), ``script.markup_unknown`` (element or
    attribute) or ``script.markup_value`` (attribute).
    """
    if not has_markup(text):
        return [Part(text)]
    if len(text) > _LONGEST:
        _refuse("broken", f"a line with markup may have {_LONGEST} characters", "split the line", where)
    return _Reader(where).read(text)


def _refuse(kind: str, what: str, remedy: str, where: str) -> NoReturn:
    raise InputRefused([Problem(f"script.markup_{kind}", what, remedy, where)])


@dataclass
class _Open:
    """An element that is being read."""

    name: str
    style: Style
    part: Part
    inside: list[Part] = field(default_factory=list)


class _Reader:
    def __init__(self, where: str) -> None:
        self._where = where
        self._stack = [_Open("", PLAIN, Part())]

    def read(self, text: str) -> list[Part]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._forbidden
        parser.EntityDeclHandler = self._forbidden
        parser.ProcessingInstructionHandler = self._forbidden
        whole = text if re.match(r"\s*<speak[\s>]", text) else f"<speak>{text}</speak>"
        try:
            parser.Parse(whole.encode(), True)
        except expat.ExpatError as error:
            if re.search(r"<!(?:DOCTYPE|ENTITY)|<\?", text, re.IGNORECASE) or "entity" in expat.ErrorString(error.code):
                self._forbidden()
            place = max(0, error.offset - (len(whole) - len(text)) // 2)
            _refuse(
                "broken", f"the markup is not well-formed near character {place}: {expat.ErrorString(error.code)}",
                "close every tag, and write &lt; and &amp; for < and &", self._where,
            )  # fmt: skip
        return self._stack[0].inside

    def _forbidden(self, *_: object) -> NoReturn:
        _refuse(
            "forbidden", "document types, entities and processing instructions are not accepted",
            "use only break, emphasis, prosody, say-as and phoneme", self._where,
        )  # fmt: skip

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name not in _ATTRIBUTES or (name == "speak" and len(self._stack) > 1):
            _refuse(
                "unknown", f"<{name[:20]}> is not understood", "use break, emphasis, prosody, say-as or phoneme",
                self._where,
            )  # fmt: skip
        for attribute in attributes:
            if attribute not in _ATTRIBUTES[name]:
                allowed = ", ".join(sorted(_ATTRIBUTES[name]))
                _refuse(
                    "unknown", f"<{name}> has no attribute {attribute[:20]!r}", f"it may have {allowed}", self._where
                )
        if len(self._stack) > _DEEPEST:
            _refuse("broken", f"tags stand more than {_DEEPEST} deep", "nest less", self._where)
        above = self._stack[-1]
        if above.name in {"say-as", "phoneme", "break"}:
            _refuse("unknown", f"<{above.name}> holds text only", f"close it before <{name}>", self._where)
        self._stack.append(self._opened(name, attributes, above.style))

    def _opened(self, name: str, attributes: Mapping[str, str], style: Style) -> _Open:
        part = Part(style=style)
        if name == "break":
            part = Part(rest=self._rest(attributes))
        elif name == "emphasis":
            level = self._named(attributes.get("level", "moderate"), _LEVELS, "level")
            style = replace(style, emphasis=level)
        elif name == "prosody":
            style = self._prosody(attributes, style)
        elif name == "say-as":
            kind = attributes.get("interpret-as", "")
            if kind not in SAY_AS:
                self._bad("interpret-as", kind, ", ".join(sorted(SAY_AS)))
            layout = attributes.get("format", "")
            if layout and not (kind == "date" and re.fullmatch("(?!.*(.).*\\1)[ymd]{3}", layout)):
                self._bad("format", layout, "ymd, mdy or dmy, for dates only")
            part = Part(style=style, say_as=kind, layout=layout)
        elif name == "phoneme":
            alphabet, phones = attributes.get("alphabet", "x-arpabet"), attributes.get("ph", "").strip()
            if alphabet not in ALPHABETS:
                self._bad("alphabet", alphabet, ", ".join(sorted(ALPHABETS)))
            if not phones:
                self._bad("ph", phones, "the phones, separated by spaces")
            part = Part(style=style, alphabet=alphabet, phones=phones)
        return _Open(name, style, part)

    def _end(self, name: str) -> None:
        done = self._stack.pop()
        inside = done.inside
        if name == "break" and any(part.text.strip() for part in inside):
            _refuse("unknown", "<break> holds no text", 'write <break time="500ms"/>', self._where)
        if name == "break":
            inside = [done.part]
        elif name in {"say-as", "phoneme"}:
            said = "".join(part.text for part in inside).strip()
            if not said:
                _refuse("broken", f"<{name}> is empty", "write between the tags what stands in the script", self._where)
            inside = [replace(done.part, text=said)]
        self._stack[-1].inside += inside

    def _characters(self, data: str) -> None:
        self._stack[-1].inside.append(Part(data, self._stack[-1].style))

    def _bad(self, name: str, value: str, allowed: str) -> NoReturn:
        _refuse("value", f"{name}={value[:20]!r} is not understood", f"use {allowed}", self._where)

    def _named(self, value: str, table: Mapping[str, float], name: str) -> float:
        if value not in table:
            self._bad(name, value, ", ".join(table))
        return table[value]

    def _rest(self, attributes: Mapping[str, str]) -> float:
        time = attributes.get("time")
        if time is None:
            return self._named(attributes.get("strength", "medium"), _BREAKS, "strength")
        match = re.fullmatch(r"\+?(\d{1,5}(?:\.\d{1,3})?)(ms|s)", time)
        seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else -1.0
        if not 0 <= seconds <= 10:
            self._bad("time", time, "milliseconds or seconds up to ten, as 800ms or 1.5s")
        return seconds

    def _prosody(self, attributes: Mapping[str, str], style: Style) -> Style:
        rate = self._amount(attributes.get("rate", "medium"), _RATES, "rate", r"(\d{2,3})()%")
        pitch = self._amount(attributes.get("pitch", "medium"), _PITCHES, "pitch", r"([+-]\d{1,2}(?:\.\d)?)(st)")
        gain = self._amount(attributes.get("volume", "medium"), _VOLUMES, "volume", r"([+-]\d{1,2}(?:\.\d)?)(dB)")
        for name, value, low, high in (
            ("rate", style.rate * rate, 0.5, 2.0), ("pitch", style.pitch + pitch, -6.0, 6.0),
            ("volume", style.gain + gain, -12.0, 8.0),
        ):  # fmt: skip
            if not low <= value <= high:
                self._bad(name, attributes.get(name, ""), f"{low:g} to {high:g} altogether")
        return replace(style, rate=style.rate * rate, pitch=style.pitch + pitch, gain=style.gain + gain)

    def _amount(self, value: str, table: Mapping[str, float], name: str, pattern: str) -> float:
        if value in table:
            return table[value]
        match = re.fullmatch(pattern, value)
        if match is None:
            example = {"rate": "90%", "pitch": "+2st", "volume": "-3dB"}[name]
            self._bad(name, value, f"{', '.join(table)} or {example}")
        return float(match[1]) * (1.0 if match[2] else 0.01)
