"""Mandarin numbers, dates, times, money, units and signs, written out in characters as they are read aloud."""

import re
from collections.abc import Callable

_DIGITS = "零一二三四五六七八九"
_SIGNS = {"%": "百分之", "‰": "千分之"}
_UNITS = {
    "km/h": "公里每小时", "km": "公里", "cm": "厘米", "mm": "毫米", "kg": "公斤", "mg": "毫克", "ml": "毫升",
    "m²": "平方米",
    "㎡": "平方米", "m": "米", "g": "克", "l": "升", "℃": "摄氏度", "°c": "摄氏度", "℉": "华氏度",
    "°": "度", "gb": "吉字节", "mb": "兆", "kw": "千瓦", "w": "瓦", "t": "吨", "h": "小时", "min": "分钟", "s": "秒",
}  # fmt: skip
_CURRENCY = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
# a bare 2 before these is read 两
_COUNTED = (
    "个位名只条张件本间家次年天周岁点分秒里块米斤升吨度层座套双把杯瓶封首支枝朵棵辆台部段句页门口头匹群对"
    "倍种样代千万亿百元"
)
_COUNTED_WORDS = ("小时", "公里", "公斤", "平方", "英里", "钟头", "辈子", "兄弟", "姐妹", "夫妻", "孩子")
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"


def spell(digits: str, yao: bool = False) -> str:
    """Digit by digit; `yao` reads 1 as 幺, as in telephone numbers."""
    spoken = "".join(_DIGITS[int(char)] for char in digits if char.isdigit())
    return spoken.replace("一", "幺") if yao else spoken


def _section(value: int) -> str:
    out, zero = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = value // unit % 10
        if digit:
            out += ("零" if zero and out else "") + _DIGITS[digit] + name
            zero = False
        else:
            zero = bool(out)
    return out


def cardinal(value: str) -> str:
    """``1204.5`` -> 一千二百零四点五. More than 16 digits are spelled."""
    whole, _, rest = value.replace(",", "").partition(".")
    if len(whole) > 16:
        return spell(whole)
    number = int(whole or 0)
    if number == 0:
        out = "零"
    else:
        out, gap = "", False
        for power, name in ((12, "万亿"), (8, "亿"), (4, "万"), (0, "")):
            part = number // 10**power % 10000
            if part:
                out += ("零" if out and (gap or part < 1000) else "") + _section(part) + name
                gap = False
            else:
                gap = bool(out)
        if 10 <= number < 20:
            out = out.removeprefix("一")
        elif out.startswith("一十"):
            out = out[1:]
    return f"{out}点{spell(rest)}" if rest else out


def _counted(value: str, following: str) -> str:
    if value == "2" and following and (following[0] in _COUNTED or following.startswith(_COUNTED_WORDS)):
        return "两"
    return cardinal(value) if following[:1] == "年" else amount(value)


def amount(value: str) -> str:
    """``2200`` -> 两千二百: how many, where `cardinal` gives 二千二百."""
    read = cardinal(value)
    return "两" + read[1:] if read[:2] in {"二千", "二万", "二亿"} else read


def _date(match: re.Match[str]) -> str:
    year, month, day = match.group("y", "mo", "d")
    return f"{spell(year)}年{cardinal(str(int(month)))}月{cardinal(str(int(day)))}日"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match["h"]), int(match["mi"]), match["se"]
    out = ("两" if hour == 2 else cardinal(str(hour))) + "点"
    if minute or second:
        out += ("零" if minute < 10 else "") + cardinal(str(minute)) + "分"
    return out + (cardinal(str(int(second))) + "秒" if second else "")


def _money(match: re.Match[str]) -> str:
    value, scale = match["amount"], match["scale"] or ""
    unit = _CURRENCY[match["sign"]]
    whole, _, rest = value.replace(",", "").partition(".")
    if unit == "元" and rest and not scale and len(rest) <= 2:
        jiao, fen = int(rest[0]), int(rest[1]) if len(rest) > 1 else 0
        out = amount(whole) + "元"
        return out + (f"{_DIGITS[jiao]}角" if jiao else "零" if fen else "") + (f"{_DIGITS[fen]}分" if fen else "")
    return ("两" if value == "2" else amount(value)) + scale + unit


def _percent(match: re.Match[str]) -> str:
    minus = "负" if match["pm"] else ""
    until = f"到{_SIGNS[match['ps']]}{cardinal(match['pto'])}" if match["pto"] else ""
    return f"{_SIGNS[match['ps']]}{minus}{cardinal(match['pn'])}{until}"


def _unit(match: re.Match[str]) -> str:
    unit = _UNITS[match["u"].lower()]
    minus = ("零下" if unit == "摄氏度" else "负") if match["um"] else ""
    number = match["un"]
    return minus + ("两" if number == "2" and unit not in {"摄氏度", "度"} else amount(number)) + unit


_units = "|".join(sorted((re.escape(unit) for unit in _UNITS), key=len, reverse=True))
# tried in this order at every place of the text
_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(?P<y>\d{4})[-/.](?P<mo>0?[1-9]|1[0-2])[-/.](?P<d>0?[1-9]|[12]\d|3[01])(?!\d)", _date),
    (r"(?P<yr>\d{4}|\d{2}(?=年代))(?=年)", lambda m: cardinal(m["yr"]) if len(m["yr"]) == 2 else spell(m["yr"])),
    (r"(?P<y1>\d{4})\s*[-—–~至]\s*(?P<y2>\d{4})(?=年)", lambda m: f"{spell(m['y1'])}至{spell(m['y2'])}"),
    (r"(?P<h>[01]?\d|2[0-4])[:：](?P<mi>[0-5]\d)(?:[:：](?P<se>[0-5]\d))?(?!\d)", _clock),
    (rf"(?P<sign>[¥￥$€£])\s*(?P<amount>{_NUMBER})(?P<scale>[万亿千百]*)", _money),
    (rf"(?P<pm>-)?(?P<pn>{_NUMBER})(?:\s*[-~—–至]\s*(?P<pto>{_NUMBER}))?\s*(?P<ps>[%‰])", _percent),
    (rf"(?P<um>-)?(?P<un>{_NUMBER})\s*(?P<u>(?i:{_units}))(?![a-zA-Z])", _unit),
    (r"(?<![\d.])(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\d/])",
     lambda m: f"{cardinal(m['bottom'])}分之{cardinal(m['top'])}"),
    (r"(?<!\d)(?P<tel>1[3-9]\d{9}|0\d{2,3}-?\d{7,8}|\d{3}-\d{4}-\d{4}|400-?\d{3}-?\d{4})(?!\d)",
     lambda m: spell(m["tel"], yao=True)),
    (r"(?<!\d)(?P<emergency>110|119|120|114|12345|12306)(?=电话|热线|报警|急救|台)",
     lambda m: spell(m["emergency"], yao=True)),
    (r"(?<!\d)(?P<room>\d{3,4})(?=房|室|病房|路|国道|航班|次列车)", lambda m: spell(m["room"], yao=True)),
    (r"(?P<zero>0\d+)(?![\d.])", lambda m: spell(m["zero"])),
    (rf"(?P<from>{_NUMBER})\s*[-~—–]\s*(?P<to>{_NUMBER})",
     lambda m: f"{_counted(m['from'], '')}到{_counted(m['to'], m.string[m.end():])}"),
    (rf"(?<=第)(?P<ordinal>{_NUMBER})", lambda m: cardinal(m["ordinal"])),
    (r"(?P<two>\b2|(?<![\d.])2)(?=月|日|号|楼|班|路|中|年级|[\s]*$)", lambda m: "二"),
    (rf"(?P<minus>(?<![\w\d])-)?(?P<plain>{_NUMBER})",
     lambda m: ("负" if m["minus"] else "") + _counted(m["plain"], m.string[m.end():])),
    (r"(?P<plus>\+)", lambda m: "加"),
    (r"(?P<equals>=)", lambda m: "等于"),
    (r"(?P<times>×)", lambda m: "乘"),
    (r"(?P<and>&)", lambda m: "和"),
    (r"(?P<degree>℃)", lambda m: "摄氏度"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), rule) for pattern, rule in _RULES)


def expand(text: str) -> list[tuple[str, str]]:
    """Cut `text` into (as written, as read) pieces; ordinary stretches read as they are written."""
    out: list[tuple[str, str]] = []
    at = start = 0
    while at < len(text):
        char = text[at]
        if not (char.isdigit() or char in "-¥￥$€£+=×&℃") or (at and text[at - 1].isascii() and text[at - 1].isalpha()):
            at += 1
            continue
        for pattern, rule in _COMPILED:
            if (match := pattern.match(text, at)) and match.end() > at:
                if start < at:
                    out.append((text[start:at], text[start:at]))
                out.append((match[0].strip(), rule(match)))
                at = start = match.end()
                break
        else:
            at += 1
    if start < len(text):
        out.append((text[start:], text[start:]))
    return out
