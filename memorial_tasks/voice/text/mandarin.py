"""Mandarin text, also mixed with English, to words and pinyin phones.

Order of authority: the family's lexicon, readings that follow from a word's part (jieba), pypinyin's phrase table.
Then tone sandhi: 一, 不, third tones; erhua as a light ``er`` after its syllable.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.phones import FINALS, INITIALS, Phone
from memorial_tasks.voice.text.english import Pronouncer, english_words
from memorial_tasks.voice.text.neutral import FULL_ZI, LIGHT, NO_PLACE
from memorial_tasks.voice.text.numbers_zh import expand
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, PAUSE_SHORT, Word

# single characters whose reading depends on the part of speech jieba gives them
_BY_PART = {
    "得": {"ud": "de5", "v": "dei3", "*": "de5"},
    "地": {"uv": "de5", "*": "di4"},
    "着": {"uz": "zhe5", "v": "zhao2", "*": "zhe5"},
    "了": {"v": "liao3", "*": "le5"},
    "还": {"v": "huan2", "*": "hai2"},
    "长": {"v": "zhang3", "n": "zhang3", "*": "chang2"},
    "重": {"d": "chong2", "*": "zhong4"},
    "只": {"q": "zhi1", "m": "zhi1", "*": "zhi3"},
    "为": {"v": "wei2", "*": "wei4"},
    "种": {"v": "zhong4", "*": "zhong3"},
    "教": {"v": "jiao1", "*": "jiao4"},
    "数": {"v": "shu3", "*": "shu4"},
    "背": {"v": "bei1", "*": "bei4"},
    "干": {"v": "gan4", "*": "gan1"},
    "行": {"q": "hang2", "*": "xing2"},
    "都": {"*": "dou1"},
    "没": {"*": "mei2"},
    "的": {"*": "de5"},
    "和": {"*": "he2"},
    "吗": {"*": "ma5"},
    "呢": {"*": "ne5"},
    "吧": {"*": "ba5"},
    "啊": {"*": "a5"},
    "呀": {"*": "ya5"},
    "么": {"*": "me5"},
    "们": {"*": "men5"},
    "过": {"ug": "guo5", "*": "guo4"},
    "倒": {"d": "dao4", "*": "dao3"},
    "曾": {"*": "ceng2"},
    "朝": {"*": "chao2"},
    "便": {"*": "bian4"},
    "弹": {"v": "tan2", "*": "dan4"},
    "盛": {"v": "cheng2", "*": "sheng4"},
    "谁": {"*": "shui2"},
    "那": {"*": "na4"},
    "哪": {"*": "na3"},
    "会": {"*": "hui4"},
    "看": {"*": "kan4"},
    "好": {"*": "hao3"},
    "少": {"*": "shao3"},
    "应": {"*": "ying1"},
    "给": {"*": "gei3"},
    "乐": {"*": "le4"},
    "颇": {"*": "po1"},
    "〇": {"*": "ling2"},
    "圈": {"v": "quan1", "*": "quan1"},
    "晕": {"*": "yun1"},
}
# the next character decides for these verbs: 倒茶, 切菜
_BY_FOLLOWER = {"倒": ("茶水酒汤油垃掉出进退", "dao4"), "切": ("菜肉瓜片丝块开", "qie1")}
# phrases that the tables read wrongly or not at all, as spoken at home
_PHRASES = {
    "爷爷": "ye2 ye5", "奶奶": "nai3 nai5", "爸爸": "ba4 ba5", "妈妈": "ma1 ma5", "外婆": "wai4 po2",
    "姥姥": "lao3 lao5",
    "姥爷": "lao3 ye5", "公公": "gong1 gong5", "婆婆": "po2 po5", "哥哥": "ge1 ge5", "姐姐": "jie3 jie5",
    "弟弟": "di4 di5", "妹妹": "mei4 mei5", "叔叔": "shu1 shu5", "舅舅": "jiu4 jiu5", "姑姑": "gu1 gu5",
    "孩子": "hai2 zi5", "孙子": "sun1 zi5", "儿子": "er2 zi5", "日子": "ri4 zi5", "样子": "yang4 zi5",
    "院子": "yuan4 zi5", "房子": "fang2 zi5", "桌子": "zhuo1 zi5", "饺子": "jiao3 zi5", "这么": "zhe4 me5",
    "那么": "na4 me5", "什么": "shen2 me5", "怎么": "zen3 me5", "多么": "duo1 me5", "朋友": "peng2 you5",
    "喜欢": "xi3 huan5", "谢谢": "xie4 xie5", "先生": "xian1 sheng5", "太太": "tai4 tai5", "东西": "dong1 xi5",
    "高兴": "gao1 xing4", "知道": "zhi1 dao4", "觉得": "jue2 de5", "记得": "ji4 de5", "舍不得": "she3 bu5 de2",
    "来不及": "lai2 bu5 ji2", "对不起": "dui4 bu5 qi3", "了不起": "liao3 bu5 qi3", "晚上": "wan3 shang5",
    "早上": "zao3 shang5", "身上": "shen1 shang5", "心里": "xin1 li5", "家里": "jia1 li5", "那里": "na4 li5",
    "这里": "zhe4 li5", "哪里": "na3 li5", "衣服": "yi1 fu5", "时候": "shi2 hou5", "明白": "ming2 bai5",
    "漂亮": "piao4 liang5", "告诉": "gao4 su5", "认识": "ren4 shi5", "月亮": "yue4 liang5", "故事": "gu4 shi5",
    "意思": "yi4 si5", "名字": "ming2 zi5", "照顾": "zhao4 gu4", "头发": "tou2 fa5", "银行": "yin2 hang2",
    "行长": "hang2 zhang3", "音乐": "yin1 yue4", "快乐": "kuai4 le4", "生长": "sheng1 zhang3", "成长": "cheng2 zhang3",
    "长大": "zhang3 da4", "长辈": "zhang3 bei4", "重新": "chong2 xin1", "重复": "chong2 fu4", "重庆": "chong2 qing4",
    "还给": "huan2 gei3", "归还": "gui1 huan2", "睡觉": "shui4 jiao4", "好好": "hao3 hao3", "慢慢": "man4 man4",
    "爱好": "ai4 hao4", "因为": "yin1 wei4", "为了": "wei4 le5", "认为": "ren4 wei2", "成为": "cheng2 wei2",
    "得到": "de2 dao4", "了解": "liao3 jie3", "着急": "zhao2 ji2", "暖和": "nuan3 huo5", "便宜": "pian2 yi5",
    "还钱": "huan2 qian2", "还债": "huan2 zhai4", "还书": "huan2 shu1",
    "还清": "huan2 qing1", "一行字": "yi1 hang2 zi4", "多少": "duo1 shao5",
    "西安": "xi1 an1", "血": "xue4", "似的": "shi4 de5", "一会儿": "yi2 hui4 er5", "看着": "kan4 zhe5",
    "亲家": "qing4 jia5", "供给": "gong1 ji3", "角色": "jue2 se4", "模样": "mu2 yang4", "答应": "da1 ying5",
    "颇为": "po1 wei2", "最为": "zui4 wei2", "尤为": "you2 wei2", "大为": "da4 wei2", "广为": "guang3 wei2",
    "大夫": "dai4 fu5", "朝鲜": "chao2 xian3", "切菜": "qie1 cai4", "流血": "liu2 xue4", "落下": "luo4 xia4",
    "数一数": "shu3 yi1 shu3", "量一量": "liang2 yi1 liang2", "用处": "yong4 chu4", "切切": "qie4 qie4",
    "这个": "zhe4 ge4", "那个": "na4 ge4", "哪个": "na3 ge4",
    "照片": "zhao4 pian4", "相片": "xiang4 pian4", "图片": "tu2 pian4", "名片": "ming2 pian4", "卡片": "ka3 pian4",
    "影片": "ying3 pian4", "种地": "zhong4 di4", "饮马": "yin4 ma3", "一石米": "yi1 dan4 mi3",
    "系鞋带": "ji4 xie2 dai4", "老头儿": "lao3 tou2 er5",
    "结实": "jie1 shi5", "应该": "ying1 gai1", "商量": "shang1 liang5", "打听": "da3 ting5", "消息": "xiao1 xi5",
}  # fmt: skip
# 儿 is a syllable of its own at the end of these
_FULL_ER = frozenset(
    (
        "女儿",
        "婴儿",
        "幼儿",
        "孤儿",
        "少儿",
        "胎儿",
        "健儿",
        "宠儿",
        "男儿",
        "孙儿",
        "混血儿",
        "新生儿",
        "患儿",
        "托儿",
        "育儿",
    )
)
_FULL_ER_WORDS = frozenset(("儿子", "儿童", "儿女", "儿孙", "儿媳"))
_HAN = r"㐀-䶿一-鿿豈-﫿〇"
_TOKEN = re.compile(rf"[{_HAN}]+|[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ0-9'’&.-]*(?:\s+[A-Za-zÀ-ɏ0-9][A-Za-zÀ-ɏ0-9'’&.-]*)*|[^\s]")
_NUMERALS = "零〇一二三四五六七八九十百千万亿幺"
_LONG, _SHORT = "。！？!?.…；;", "，,、：:—)）"


@dataclass(frozen=True)
class _Chunk:
    """A word before sandhi: syllables as pinyin with tone digits. `fixed` tones come from the family."""

    text: str
    syllables: tuple[str, ...]
    fixed: bool = False
    pause: int = PAUSE_NONE
    number: bool = False
    part: str = ""  # jieba's part of speech
    read: str = ""  # the characters a number is read as


@cache
def _tagger() -> Any:
    import jieba
    import jieba.posseg

    jieba.setLogLevel(logging.WARNING)
    for phrase in _PHRASES:
        if len(phrase) > 1:
            jieba.add_word(phrase)
    jieba.initialize()
    return jieba.posseg


def syllable_phones(syllable: str) -> tuple[Phone, ...]:
    """``xiong2`` -> initial and final with its tone. Raises `ValueError` for something that is no pinyin syllable."""
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    plain, tone = (syllable[:-1], int(syllable[-1])) if syllable[-1:].isdigit() else (syllable, 5)
    plain = plain.replace("u:", "v").replace("ü", "v").lower()
    initial = to_initials(plain, strict=True)
    final = to_finals(plain, strict=True, v_to_u=False).replace("ü", "v")
    if final == "i" and initial in {"z", "c", "s"}:
        final = "ii"
    elif final == "i" and initial in {"zh", "ch", "sh", "r"}:
        final = "iii"
    if final not in FINALS or (initial and initial not in INITIALS):
        raise ValueError(f"no pinyin syllable: {syllable}")
    tail = (Phone(final, 0.0, tone if 1 <= tone <= 5 else 5),)
    return (Phone(initial), *tail) if initial else tail


def _lookup(word: str) -> tuple[str, ...]:
    from pypinyin import Style, lazy_pinyin

    if word in _PHRASES:
        return tuple(_PHRASES[word].split())
    found = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, errors="ignore")
    syllables = [item if item[-1:].isdigit() else item + "5" for item in found]
    if len(word) > 2 and len(syllables) == len(word):  # a known phrase inside a longer word
        for size in (3, 2):
            for start in range(len(word) - size + 1):
                if size < len(word) and (known := _PHRASES.get(word[start : start + size])):
                    syllables[start : start + size] = known.split()
    return tuple(_lightened(word, syllables))


def _lightened(word: str, syllables: list[str]) -> list[str]:
    """Set the last syllable of a word that is always light (窗户, 屋里), and give 子 its third tone in 孔子."""
    if len(word) != len(syllables) or len(word) < 2:
        return syllables
    if word in LIGHT or (len(word) == 2 and word[1] == "里" and word[0] not in NO_PLACE):
        return [*syllables[:-1], _with_tone(syllables[-1], 5)]
    if word in FULL_ZI:
        return [*syllables[:-1], "zi3"]
    if word[:2] in LIGHT and word[2:] in {"们", "上", "里", "儿", "的", "人"}:  # not 学生会, 大方向
        return [syllables[0], _with_tone(syllables[1], 5), *syllables[2:]]
    return syllables


def _said(value: str) -> tuple[str, ...] | None:
    """A lexicon value as pinyin syllables: ``zhang1 wei3``, ``zhāng wěi`` or characters that sound the same."""
    from pypinyin.contrib.tone_convert import to_tone3

    if re.search(rf"[{_HAN}]", value):
        return _lookup(value)
    parts = [to_tone3(part, neutral_tone_with_five=True) for part in value.replace("'", " ").split()]
    try:
        for part in parts:
            syllable_phones(part)
    except (ValueError, IndexError):
        return None
    return tuple(parts) or None


def _read(word: str, part: str, previous: str, following: str) -> tuple[str, ...]:
    if word in _BY_FOLLOWER and following and following in _BY_FOLLOWER[word][0]:
        return (_BY_FOLLOWER[word][1],)
    if len(word) == 1 and word in _BY_PART:
        table = _BY_PART[word]
        if word == "得" and previous in {"就", "还", "也", "都", "总", "我", "你", "他", "她", "们", "我们", "你们"}:
            return ("dei3",)
        return (table.get(part, table.get(part[:1], table["*"])),)
    syllables = list(_lookup(word))
    if len(word) == 3 and word[1] == "得" and word not in _PHRASES and len(syllables) == 3:
        syllables[1] = "de5"
    if len(word) == 3 and word[1] == "不" and len(syllables) == 3:  # 去不去, 忘不了, 用不着
        syllables[1] = "bu5"
        syllables[2] = {"了": "liao3", "着": "zhao2"}.get(word[2], syllables[2])
    return tuple(syllables)


def _with_lexicon(text: str, lexicon: Mapping[str, str]) -> list[tuple[str, tuple[str, ...] | None]]:
    """Cut `text` at the family's names; longest first."""
    names = [name for name in sorted(lexicon, key=len, reverse=True) if re.search(rf"[{_HAN}]", name)]
    if not names:
        return [(text, None)]
    pieces: list[tuple[str, tuple[str, ...] | None]] = []
    pattern = re.compile("|".join(map(re.escape, names)))
    at = 0
    for match in pattern.finditer(text):
        if match.start() > at:
            pieces.append((text[at : match.start()], None))
        pieces.append((match[0], _said(lexicon[match[0]])))
        at = match.end()
    if at < len(text):
        pieces.append((text[at:], None))
    return pieces


def _han_chunks(run: str, lexicon: Mapping[str, str]) -> list[_Chunk]:
    out: list[_Chunk] = []
    for piece, said in _with_lexicon(run, lexicon):
        if said is not None:
            out.append(_Chunk(piece, said, fixed=True))
            continue
        at = 0
        for pair in _tagger().cut(piece):
            at += len(pair.word)
            syllables = _read(pair.word, str(pair.flag), out[-1].text if out else "", piece[at : at + 1])
            if not syllables:
                continue
            if pair.word == "儿" and out and out[-1].text not in _FULL_ER_WORDS:  # a split erhua
                out[-1] = replace(out[-1], text=out[-1].text + "儿", syllables=(*out[-1].syllables, "er5"))
                continue
            if len(pair.word) > 1 and pair.word.endswith("儿") and pair.word not in _FULL_ER:
                syllables = (*syllables[:-1], "er5")
            out.append(_Chunk(pair.word, syllables, part=str(pair.flag)))
    return out


def _tone(syllable: str) -> int:
    return int(syllable[-1]) if syllable[-1:].isdigit() else 5


def _base_tone(syllable: str, char: str) -> int:
    """The tone before sandhi; pypinyin's phrases already carry some of it."""
    tone = _tone(syllable)
    if tone != 5 and char == "一" and syllable.startswith("yi"):
        return 1
    return 4 if tone != 5 and char == "不" and syllable.startswith("bu") else tone


def _with_tone(syllable: str, tone: int) -> str:
    return syllable.rstrip("012345") + str(tone)


def sandhi(chunks: list[_Chunk]) -> list[_Chunk]:
    """Apply the sandhi of 一, 不 and of third tones, inside words and across them up to the next pause."""
    flat = [
        [number, place, syllable, char]
        for number, chunk in enumerate(chunks)
        for place, (syllable, char) in enumerate(_spread(chunk))
    ]
    tones = [_base_tone(str(item[2]), str(item[3])) for item in flat]
    for i, (number, _, syllable, char) in enumerate(flat):
        chunk = chunks[int(str(number))]
        follows = i + 1 < len(flat) and _joined(chunks, int(str(number)), int(str(flat[i + 1][0])))
        if chunk.fixed or not follows:
            continue
        following = tones[i + 1]
        repeated = bool(i) and flat[i - 1][3] == flat[i + 1][3] != "" and str(flat[i - 1][3]) not in _NUMERALS
        if char == "不" and tones[i] == 4 and (following == 4 or repeated):
            tones[i] = 5 if repeated else 2
        if char == "一" and str(syllable).startswith("yi") and not _counts(chunks, flat, i):
            original = _tone(str(flat[i + 1][2]))
            if repeated and (i < 2 or flat[i - 2][3] != "一"):  # 看一看, but 一天一天
                tones[i] = 5
            else:
                tones[i] = 2 if original == 4 or flat[i + 1][3] == "个" else 4 if original in {1, 2, 3} else tones[i]
    _third_tones(chunks, flat, tones)
    spelled: list[list[str]] = [[] for _ in chunks]
    for (number, _, syllable, _), tone in zip(flat, tones, strict=True):
        spelled[int(str(number))].append(_with_tone(str(syllable), tone))
    return [replace(chunk, syllables=tuple(own)) for chunk, own in zip(chunks, spelled, strict=True)]


def _spread(chunk: _Chunk) -> list[tuple[str, str]]:
    characters = [char for char in chunk.read or chunk.text if re.match(rf"[{_HAN}]", char)]
    if len(characters) != len(chunk.syllables):
        characters = [""] * len(chunk.syllables)
    return list(zip(chunk.syllables, characters, strict=True))


def _joined(chunks: list[_Chunk], first: int, second: int) -> bool:
    return all(chunks[n].pause == PAUSE_NONE for n in range(first, second))


def _counts(chunks: list[_Chunk], flat: list[list[Any]], i: int) -> bool:
    """True when 一 is a digit, an ordinal or a date and keeps its first tone."""
    before = str(flat[i - 1][3]) if i else ""
    after = str(flat[i + 1][3]) if i + 1 < len(flat) else ""
    if before and before in _NUMERALS + "点第期周初":  # also 三千一百: inside a number 一 stays as it is
        return True
    chunk = chunks[flat[i][0]]
    if len(chunk.text) > 1 and chunk.text.endswith("一") and flat[i][1] == len(chunk.syllables) - 1:
        return True  # 统一, 唯一, 万一
    if after in {"月", "号", "日"}:
        return after != "日" or before == "月"
    return after != "" and after in "零二三四五六七八九点到至加减乘等楼班路中级" and chunk.number


def _third_tones(chunks: list[_Chunk], flat: list[list[Any]], tones: list[int]) -> None:
    count = len(flat)
    for number, chunk in enumerate(chunks):  # inside words, from the left: 展览馆 zhan2 lan2 guan3, 你好 ni2 hao3
        if chunk.fixed:
            continue
        own = [i for i in range(count) if flat[i][0] == number]
        for i in own[:-1]:
            if tones[i] == 3 and tones[i + 1] == 3:
                tones[i] = 2
    for i in range(count - 2, -1, -1):  # across words, from the right
        left, right = flat[i][0], flat[i + 1][0]
        if left == right or not _joined(chunks, left, right) or chunks[left].fixed:
            continue
        feet = len(chunks[left].syllables) > 1 and len(chunks[right].syllables) > 1
        if feet and not chunks[right].part.startswith("n"):
            continue  # 当场 死亡 are feet of their own, 中小 股东 are one phrase
        if tones[i] == 3 and tones[i + 1] == 3:
            tones[i] = 2


def mandarin_words(text: str, english: Pronouncer, lexicon: Mapping[str, str]) -> list[Word]:
    """Words of a Mandarin or mixed text with their phones. Latin words go to the English front-end."""
    items: list[_Chunk | Word] = []
    for written, read in expand(text):
        if written != read:
            spoken = [chunk for run in re.findall(rf"[{_HAN}]+", read) for chunk in _han_chunks(run, {})]
            syllables = tuple(s for chunk in spoken for s in chunk.syllables)
            items.append(_Chunk(written, syllables, number=True, read=read))
            continue
        for token in _TOKEN.findall(read):
            if re.match(rf"[{_HAN}]", token):
                items += _han_chunks(token, lexicon)
            elif token[0].isalpha():
                items += english_words(token, english)
            elif items and (token in _LONG or token in _SHORT):
                level = PAUSE_LONG if token in _LONG else PAUSE_SHORT
                items[-1] = replace(items[-1], pause=max(items[-1].pause, level))
    return _finish(items)


def _finish(items: list[_Chunk | Word]) -> list[Word]:
    out: list[Word] = []
    run: list[_Chunk] = []

    def flush() -> None:
        for chunk in sandhi(run):
            phones: tuple[Phone, ...] = ()
            for syllable in chunk.syllables:
                try:
                    phones += syllable_phones(syllable)
                except ValueError:
                    continue
            if phones:
                out.append(Word(chunk.text, phones, Language.ZH_CN, chunk.pause))
        run.clear()

    for item in items:
        if isinstance(item, Word):
            flush()
            out.append(item)
        else:
            run.append(item)
    flush()
    return out
