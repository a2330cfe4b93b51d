"""``<say-as>``: text written out the way its author names."""

import re
from typing import NoReturn

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.text import numbers_en, numbers_zh
from memorial_tasks.voice.text.markup import Part


def _refuse(part: Part, where: str, remedy: str) -> NoReturn:
    raise InputRefused([Problem("script.markup_value", f"the text is no {part.say_as}", remedy, where)])


def said_as(part: Part, language: Language, where: str = "script") -> str:
    """The words of ``<say-as>`` in `language`, ready for the front-end.

    Raises `InputRefused` (``script.markup_value``) when the text is not what it is called.
    """
    text, mandarin = part.text, language == Language.ZH_CN
    if part.say_as in {"characters", "spell-out"}:
        letters = [char for char in text if char.isalnum()]
        spelled = [
            (numbers_zh.spell(char) if mandarin else numbers_en.digits(char)) if char.isdigit() and char.isascii()
            else f"{char.upper()}." if char.isascii() else char
            for char in letters
        ]  # fmt: skip
        return " ".join(spelled) or _refuse(part, where, "write letters or digits")
    if part.say_as == "date":
        return _date(part, mandarin, where)
    number = re.sub(r"[\s,]", "", text)
    if part.say_as in {"digits", "telephone"}:
        if not re.fullmatch(r"\+?[\d\-().]+", number):
            _refuse(part, where, "write digits")
        return numbers_zh.spell(number, yao=part.say_as == "telephone") if mandarin else numbers_en.digits(number)
    if not re.fullmatch(r"-?\d+(?:\.\d+)?", number) or (part.say_as == "ordinal" and not number.isdigit()):
        _refuse(part, where, "write a number in digits")
    minus, number = ("负" if mandarin else "minus ") if number[0] == "-" else "", number.lstrip("-")
    if part.say_as == "ordinal":
        return f"第{numbers_zh.cardinal(number)}" if mandarin else numbers_en.ordinal(int(number))
    return minus + (numbers_zh.cardinal(number) if mandarin else numbers_en.cardinal(number))


def _date(part: Part, mandarin: bool, where: str) -> str:
    """Year, month and day in the order `layout` names; ``ymd`` where the year comes first, else ``mdy``."""
    numbers = re.findall(r"\d+", part.text)
    layout = part.layout or ("ymd" if numbers and len(numbers[0]) == 4 else "mdy")
    if len(numbers) != 3:
        _refuse(part, where, "write year, month and day in digits, as 2019-11-20")
    found = dict(zip(layout, (int(item) for item in numbers), strict=True))
    if not (1 <= found["m"] <= 12 and 1 <= found["d"] <= 31 and found["y"] <= 9999):
        _refuse(part, where, "write a day that exists, and format=... when the order is unusual")
    iso = f"{found['y']:04d}-{found['m']:02d}-{found['d']:02d}"
    if mandarin:
        return "".join(read for _, read in numbers_zh.expand(iso))
    return numbers_en.expand(iso)
