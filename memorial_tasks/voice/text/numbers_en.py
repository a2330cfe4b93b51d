"""English numbers, dates, money, units and abbreviations, written out as they are read aloud."""

import re

from num2words import num2words

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH_SHORT = {name[:3]: name for name in _MONTHS} | {"sept": "september"}
_ABBREVIATIONS = {
    "mr": "mister", "mrs": "missus", "ms": "miz", "dr": "doctor", "prof": "professor", "st": "saint", "jr": "junior",
    "sr": "senior", "vs": "versus", "etc": "et cetera", "mt": "mount", "ft": "feet", "ave": "avenue",
    "rd": "road", "blvd": "boulevard", "lt": "lieutenant", "sgt": "sergeant", "capt": "captain", "col": "colonel",
    "gen": "general", "rev": "reverend", "hon": "honorable", "apt": "apartment", "dept": "department", "approx":
    "approximately", "e.g": "for example", "i.e": "that is", "a.m": "a m", "p.m": "p m", "inc": "incorporated",
    "ltd": "limited", "co": "company", "u.s": "u s", "u.s.a": "u s a", "u.k": "u k", "b.c": "b c", "a.d": "a d",
    "ph.d": "p h d",
}  # fmt: skip
# only with a full stop are these abbreviations; without one they are ordinary words
_NEED_DOT = {"col", "gen", "hon", "co", "st", "mt", "ms", "rev", "inc", "capt", "ave", "ft"}
_UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "g": "gram",
    "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce", "mi": "mile", "ft": "foot", "in": "inch",
    "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "s": "second", "sec": "second",
    "l": "liter", "ml": "milliliter", "mph": "mile per hour", "km/h": "kilometer per hour", "kwh": "kilowatt hour",
    "gb": "gigabyte", "mb": "megabyte", "hz": "hertz", "%": "percent", "°c": "degree celsius",
    "°f": "degree fahrenheit", "°": "degree", "ha": "hectare", "yd": "yard",
}  # fmt: skip
_SAME_IN_PLURAL = {"percent", "hertz", "yuan"}
_CURRENCIES = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"), "¥": ("yuan", "fen")}
_SCALES = {"million", "billion", "trillion", "thousand", "hundred"}
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2}))?$")
_ISO_DATE = re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})$")
_SLASH_DATE = re.compile(r"^(\d{1,2})/(\d{1,2})/(\d{4})$")
_MONEY = re.compile(rf"^([$€£¥])({_NUMBER})([kKmMbB]?)$")
_UNIT = re.compile(rf"^(-?)({_NUMBER})([a-zA-Z%°/]+)$")
_ORDINAL = re.compile(r"^(\d[\d,]*)(st|nd|rd|th)$", re.IGNORECASE)
_DECADE = re.compile(r"^(?:(\d{4})|'?(\d{2}))'?s$")
_FRACTION = re.compile(r"^(\d{1,2})/(\d{1,2})$")
_RANGE = re.compile(rf"^({_NUMBER})[-–]({_NUMBER})(%|[a-zA-Z°]{{1,4}})?$")
_TELEPHONE = re.compile(r"^(\+?)\d{1,4}(?:[-.]\d{2,4}){2,}$|^\d{3}-\d{4}$")
_TIMES = re.compile(rf"^({_NUMBER})x(\d*)$")
_ROMAN = re.compile(r"^(?=[IVX])(X{0,2})(IX|IV|V?I{0,3})$")
# after these a Roman numeral counts; after a name it ranks (Part III, Henry VIII)
_COUNTING_NOUNS = "war chapter part act scene volume book phase type class section article mark title level grade"
_COUNTING = frozenset(_COUNTING_NOUNS.split())
_SPOKEN_SO = {"24/7": "twenty four seven", "50/50": "fifty fifty", "9/11": "nine eleven"}
_WEEKDAYS = {
    "mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday", "thurs": "thursday",
    "fri": "friday", "sat": "saturday", "sun": "sunday",
}  # fmt: skip
_BEFORE_NUMBERS = {"no": "number", "p": "page", "pp": "pages", "vol": "volume", "ch": "chapter", "fig": "figure"}
_SINCE = frozenset({"in", "since", "from", "by", "until", "before", "after", "around"})


def cardinal(value: str) -> str:
    """``1,204.5`` -> one thousand two hundred four point five. Digits after the point are read one by one."""
    text = value.replace(",", "")
    if len(text) > 15:
        return digits(text)
    whole, _, rest = text.partition(".")
    spoken = num2words(int(whole or 0)).replace(",", "").replace("-", " ").replace(" and ", " ")
    return f"{spoken} point {digits(rest)}" if rest else str(spoken)


def digits(value: str) -> str:
    """One digit after another."""
    return " ".join(str(num2words(int(char))) for char in value if char.isdigit())


def ordinal(value: int) -> str:
    """3 -> third."""
    return str(num2words(value, to="ordinal")).replace("-", " ").replace(",", "").replace(" and ", " ")


def year(value: int) -> str:
    """1931 -> nineteen thirty one; 2007 -> two thousand seven; 1905 -> nineteen oh five."""
    if not 1000 <= value <= 2099 or value % 1000 < 10:
        return cardinal(str(value))
    high, low = divmod(value, 100)
    if low == 0:
        return f"{cardinal(str(high))} hundred"
    return f"{cardinal(str(high))} {'oh ' if low < 10 else ''}{cardinal(str(low))}"


def _clock(hour: int, minute: int) -> str:
    if minute == 0:
        return f"{cardinal(str(hour))} o'clock" if 0 < hour <= 12 else f"{cardinal(str(hour))} hundred"
    return f"{cardinal(str(hour))} {'oh ' if minute < 10 else ''}{cardinal(str(minute))}"


def _plural(noun: str, value: str) -> str:
    if value == "1" or noun in _SAME_IN_PLURAL:
        return noun
    if noun.startswith("degree "):
        return "degrees" + noun[6:]
    head, *rest = noun.split(" ", 1)
    head = {"foot": "feet", "inch": "inches", "penny": "pence"}.get(head, noun.split(" ")[0] + "s")
    if rest and not noun.startswith(("mile", "kilometer")):
        return f"{noun}s"
    return " ".join([head, *rest])


def _money(match: re.Match[str], following: str) -> str:
    sign, amount, scale = match.groups()
    big, small = _CURRENCIES[sign]
    scale_word = {"k": "thousand", "m": "million", "b": "billion"}.get(scale.lower(), "")
    if scale_word:
        return f"{cardinal(amount)} {scale_word} {big}s"
    if following.lower().strip(".,!?") in _SCALES:
        return cardinal(amount)  # "dollars" follows the scale word
    whole, _, rest = amount.replace(",", "").partition(".")
    spoken = f"{cardinal(whole)} {_plural(big, whole)}"
    if rest and int(rest):
        cents = rest.ljust(2, "0")[:2]
        spoken += f" and {cardinal(str(int(cents)))} {_plural(small, str(int(cents)))}"
    return spoken


def _patterned(chunk: str, before: str, after: str) -> str | None:  # noqa: C901 - one rule after another, in order
    if chunk in _SPOKEN_SO:
        return _SPOKEN_SO[chunk]
    if match := _CLOCK.match(chunk):
        following = after.lower().strip(",!?")
        if int(match[2]) == 0 and following in {"am", "pm", "a.m", "p.m", "a.m.", "p.m."}:
            return cardinal(match[1])
        return _clock(int(match[1]), int(match[2]))
    if match := _ISO_DATE.match(chunk):
        if 1 <= int(match[2]) <= 12:
            return f"{_MONTHS[int(match[2]) - 1]} {ordinal(int(match[3]))} {year(int(match[1]))}"
        return None
    if match := _SLASH_DATE.match(chunk):
        if 1 <= int(match[1]) <= 12:
            return f"{_MONTHS[int(match[1]) - 1]} {ordinal(int(match[2]))} {year(int(match[3]))}"
        return None
    if match := _MONEY.match(chunk):
        return _money(match, after)
    if match := _ORDINAL.match(chunk):
        return ordinal(int(match[1].replace(",", "")))
    if match := _DECADE.match(chunk):
        spoken = year(int(match[1])) if match[1] else cardinal(match[2])
        return spoken[:-1] + "ies" if spoken.endswith("y") else spoken + "s"
    if match := _FRACTION.match(chunk):
        top, bottom = int(match[1]), int(match[2])
        name = {2: "half", 4: "quarter"}.get(bottom, ordinal(bottom))
        ending = "" if top == 1 else "s"
        return f"{cardinal(str(top))} {'halves' if name == 'half' and top > 1 else name + ending}"
    if _TELEPHONE.match(chunk):
        return ("plus " if chunk[0] == "+" else "") + digits(chunk)
    if (match := _RANGE.match(chunk)) and (not match[3] or match[3].lower() in _UNITS):
        return _range(match, before)
    if match := _TIMES.match(chunk):
        return f"{cardinal(match[1])} by {cardinal(match[2])}" if match[2] else f"{cardinal(match[1])} times"
    if (match := _UNIT.match(chunk)) and match[3].lower() in _UNITS:
        minus = "minus " if match[1] else ""
        return f"{minus}{cardinal(match[2])} {_plural(_UNITS[match[3].lower()], match[2])}"
    if match := re.match(rf"^-({_NUMBER})$", chunk):
        return f"minus {cardinal(match[1])}"
    if match := re.match(r"^([#+])(\d+)$", chunk):
        return f"{'number' if match[1] == '#' else 'plus'} {cardinal(match[2])}"
    if re.fullmatch(_NUMBER, chunk):
        return _plain(chunk, before)
    return None


def _range(match: re.Match[str], before: str) -> str:
    left, right, unit = match.groups()
    if len(left) == 4 and len(right) == 4:
        return f"{_plain(left, before)} to {_plain(right, '')}"
    spoken = f"{cardinal(left)} to {cardinal(right)}"
    return f"{spoken} {_plural(_UNITS[unit.lower()], right)}" if unit else spoken


def _roman(chunk: str, before: str) -> str | None:
    """``VIII`` after a name or a counting noun; a lone I or X only after a counting noun."""
    match = _ROMAN.match(chunk)
    if not match or not before[:1].isupper():
        return None
    tail = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}[match[2]]
    value = 10 * len(match[1]) + tail
    if before.lower() in _COUNTING:
        return cardinal(str(value))
    return None if chunk in {"I", "X"} else f"the {ordinal(value)}"


def _plain(chunk: str, before: str) -> str:
    early = 1100 if before.lower() not in _SINCE else 1010
    if len(chunk) == 4 and chunk.isdigit() and early <= int(chunk) <= 2099:
        return year(int(chunk))
    if chunk.isdigit() and (len(chunk) > 1 and chunk[0] == "0"):
        return digits(chunk)
    month = before.lower().strip(".,")
    if chunk.isdigit() and 1 <= int(chunk) <= 31 and (month in _MONTHS or month in _MONTH_SHORT):
        return ordinal(int(chunk))
    return cardinal(chunk)


def expand(chunk: str, before: str = "", after: str = "", dotted: bool = False) -> str:
    """Write out one whitespace-separated `chunk` (without outer punctuation) in plain words.

    `before` and `after` are its neighbours, `dotted` says that a full stop followed it directly. Words that need no
    change come back unchanged.
    """
    lower = chunk.lower()
    spoken = _patterned(chunk, before, after) or _roman(chunk, before) or _shortened(chunk, before, after, dotted)
    if spoken is not None:
        return spoken
    if lower in _UNITS and re.fullmatch(_NUMBER, before) and not (lower == "in" and not dotted):
        return _plural(_UNITS[lower], before)
    if lower in _SCALES and (match := _MONEY.match(before)):
        return f"{lower} {_CURRENCIES[match[1]][0]}s"
    if re.fullmatch(r"[^\W\d]+(?:/[^\W\d]+)+", chunk):
        return chunk.replace("/", " ")
    return {"&": "and", "@": "at", "+": "plus", "=": "equals", "#": "number", "%": "percent"}.get(chunk, chunk)


def _shortened(chunk: str, before: str, after: str, dotted: bool) -> str | None:
    """The whole of an abbreviation, as its neighbours and its full stop tell."""
    lower = chunk.lower()
    if lower in _ABBREVIATIONS and (dotted or "." in chunk or lower not in _NEED_DOT):
        return "street" if lower == "st" and before and before[0].isupper() else _ABBREVIATIONS[lower]
    if lower in {"am", "pm"} and (_CLOCK.match(before) or re.fullmatch(r"\d{1,2}", before)):
        return " ".join(lower)
    if not dotted:
        return None
    if lower in _BEFORE_NUMBERS and after[:1].isdigit():
        return _BEFORE_NUMBERS[lower]
    if lower in _WEEKDAYS and chunk[0].isupper() and (after or not before):
        return _WEEKDAYS[lower]
    return _MONTH_SHORT.get(lower)
