"""English text to words and ARPAbet phones.

Order of authority: the family's lexicon, the CMU dictionary that pocketsphinx bundles (BSD), suffix and compound
rules on it, letter names for initials, and espeak-ng in its own process for words nobody listed. The dictionary
carries no stress, so stress comes from espeak's reading where the syllables agree.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.phones import ENGLISH, ENGLISH_VOWELS, Phone, is_vowel
from memorial_tasks.voice.text.homographs import reading
from memorial_tasks.voice.text.numbers_en import cardinal, expand
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, PAUSE_SHORT, Word

_LETTERS = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH", "i": "AY",
    "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY", "q": "K Y UW",
    "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S",
    "y": "W AY", "z": "Z IY",
}  # fmt: skip
# words that are said without stress inside a sentence
_WEAK_WORDS = """
a an the of to in on at by for from with as and or but nor if than that is am are was were be been have has had do does
did can could will would shall should may might must i you he she it we they me him her us them my your his its our
their so up i'm i'll i've i'd you're you'll we're we'll it's he's she's they're that's
"""
WEAK = frozenset(_WEAK_WORDS.split())
# homographs the dictionary lists in the less useful reading first, as spoken in running text
_PREFERRED = {
    "a": "AH", "the": "DH AH", "to": "T UW", "i": "AY", "live": "L IH V", "read": "R EH D", "lives": "L IH V Z",
    "wind": "W IH N D", "tear": "T IH R", "tears": "T IH R Z", "close": "K L OW Z", "use": "Y UW Z", "of": "AH V",
    "for": "F AO R", "and": "AH N D", "or": "AO R", "was": "W AH Z", "that": "DH AE T", "miz": "M IH Z", "et": "EH T",
    "hmm": "HH AH M", "mm": "AH M",
}  # fmt: skip
_IPA = {
    "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY", "tʃ": "CH", "dʒ": "JH", "ɪɹ": "IH R", "ɛɹ": "EH R",
    "ʊɹ": "UH R", "ɔːɹ": "AO R", "ɑːɹ": "AA R", "oːɹ": "AO R", "aɪɚ": "AY ER", "aɪə": "AY AH", "aʊɚ": "AW ER",
    "iə": "IY AH", "əl": "AH L", "n̩": "AH N", "m̩": "AH M", "ɪ": "IH", "i": "IY", "iː": "IY", "ɛ": "EH",
    "æ": "AE", "a": "AE", "ɑː": "AA", "ɑ": "AA", "ɔː": "AO", "ɔ": "AO", "ʊ": "UH", "u": "UW", "uː": "UW", "ʌ": "AH",
    "ə": "AH", "ɐ": "AH", "ɜː": "ER", "ɚ": "ER", "ɝ": "ER", "ᵻ": "IH", "o": "OW", "oː": "AO", "e": "EY", "aː": "AA",
    "p": "P", "b": "B", "t": "T", "d": "D", "ɾ": "T", "k": "K", "ɡ": "G", "g": "G", "f": "F", "v": "V", "θ": "TH",
    "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH", "m": "M", "n": "N", "ŋ": "NG", "l": "L", "ɫ": "L",
    "ɹ": "R", "r": "R", "j": "Y", "w": "W", "ʔ": "T", "x": "K", "ç": "HH", "ɬ": "L", "y": "UW", "ø": "ER",
    "ɲ": "N Y", "ʍ": "W", "ɪː": "IH", "ɛː": "EH", "ææ": "AE", "ɑ̃": "AA N", "ɔ̃": "AO N", "ɬl": "L",
}  # fmt: skip


def arpabet(ipa: str) -> tuple[Phone, ...]:
    """One espeak phone event (IPA with its stress mark) as ARPAbet phones; empty for pauses and unknown marks."""
    stress = 1.0 if "ˈ" in ipa else 0.5 if "ˌ" in ipa else 0.0
    plain = ipa.strip("ˈˌ").replace("ˈ", "").replace("ˌ", "")
    names: list[str] = []
    if plain in _IPA:
        names = _IPA[plain].split()
    else:
        while plain:  # the longest known beginning, then the rest
            size = next((n for n in range(min(3, len(plain)), 0, -1) if plain[:n] in _IPA), 0)
            if size:
                names += _IPA[plain[:size]].split()
            plain = plain[max(size, 1) :]
    return tuple(Phone(name, stress if name in ENGLISH_VOWELS else 0.0) for name in names)


@cache
def dictionary() -> dict[str, tuple[str, ...]]:
    """The bundled CMU dictionary, first reading of each word."""
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    words: dict[str, tuple[str, ...]] = {}
    for line in path.read_text("utf-8").splitlines():
        word, *phones = line.split()
        if "(" not in word:
            words[word] = tuple(phones)
    words.update({word: tuple(phones.split()) for word, phones in _PREFERRED.items()})
    return words


@cache
def _all_readings() -> dict[str, tuple[tuple[str, ...], ...]]:
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    readings: dict[str, list[tuple[str, ...]]] = {}
    for line in path.read_text("utf-8").splitlines():
        word, *phones = line.split()
        readings.setdefault(word.partition("(")[0], []).append(tuple(phones))
    return {word: tuple(items) for word, items in readings.items()}


def variants(word: Word) -> list[tuple[Phone, ...]]:
    """All listed readings of a word, the one it carries first; stress is kept where the syllables agree."""
    found = [word.phones]
    marks = [phone.stress for phone in word.phones if phone.name in ENGLISH_VOWELS]
    for names in _all_readings().get(word.text.lower(), ())[:4]:
        if names == tuple(phone.name for phone in word.phones):
            continue
        stress = iter(marks if sum(name in ENGLISH_VOWELS for name in names) == len(marks) else [0.5] * len(names))
        found.append(tuple(Phone(name, next(stress) if name in ENGLISH_VOWELS else 0.0) for name in names))
    return found


def _suffixed(word: str) -> tuple[str, ...] | None:
    words = dictionary()
    bare = word.removesuffix("'s") if word.endswith("'s") else word.removesuffix("'") if word.endswith("'") else ""
    if bare and (base := words.get(bare)):
        if not word.endswith("s"):
            return base
        if base[-1] in {"S", "Z", "SH", "ZH", "CH", "JH"}:
            return (*base, "AH", "Z")
        return (*base, "S" if base[-1] in {"P", "T", "K", "F", "TH"} else "Z")
    return None


def _marked(symbols: Sequence[str]) -> tuple[Phone, ...]:
    """ARPAbet with stress digits (``EH1``) as phones."""
    levels = {"1": 1.0, "2": 0.5}
    return tuple(Phone(re.sub(r"[012]$", "", symbol), levels.get(symbol[-1], 0.0)) for symbol in symbols)


class Pronouncer:
    """Knows how English words are said. Keeps espeak's answers for the life of the object."""

    def __init__(self, espeak: Espeak, lexicon: dict[str, str] | None = None) -> None:
        self._espeak = espeak
        self._lexicon = {key.lower(): value for key, value in (lexicon or {}).items()}
        self._heard: dict[str, tuple[Phone, ...]] = {}

    def _listen(self, word: str) -> tuple[Phone, ...]:
        if word not in self._heard:
            speech = self._espeak.say(word, "en-us")
            self._heard[word] = tuple(phone for _, ipa in speech.phones for phone in arpabet(ipa))
        return self._heard[word]

    def _stressed(self, word: str, names: tuple[str, ...]) -> tuple[Phone, ...]:
        vowels = [index for index, name in enumerate(names) if name in ENGLISH_VOWELS]
        marks = [0.0] * len(vowels)
        if word not in WEAK and vowels:
            heard = [phone.stress for phone in self._listen(word) if is_vowel(phone.name)]
            marks = heard if len(heard) == len(vowels) and max(heard) > 0 else [1.0, *marks[1:]]
        stress = dict(zip(vowels, marks, strict=True))
        return tuple(Phone(name, stress.get(index, 0.0)) for index, name in enumerate(names))

    def override(self, surface: str) -> tuple[Phone, ...] | None:
        """What the family said about this word: ARPAbet (``HH AE N AH``) or a plain respelling."""
        said = self._lexicon.get(surface.lower())
        if said is None:
            return None
        symbols = said.upper().split()
        bare = tuple(re.sub(r"[012]$", "", symbol) for symbol in symbols)
        if symbols and all(name in ENGLISH for name in bare) and said == said.upper():
            phones = _marked(symbols)
            return phones if any(phone.stress for phone in phones) else self._stressed(surface.lower(), bare)
        return tuple(phone for part in re.split(r"[\s-]+", said.lower()) if part for phone in self.word(part))

    def letter(self, letter: str) -> tuple[Phone, ...]:
        """The name of one letter; empty for anything else. ``a`` alone is a word, in ``A4`` a letter."""
        names = _LETTERS.get(letter.lower(), "").split()
        return self._stressed(f"{letter.lower()}.", tuple(names)) if names else ()

    def word(self, word: str) -> tuple[Phone, ...]:
        """Phones of one spoken word (letters and apostrophes; may hold anything: unspeakable signs give no phone)."""
        lower = word.lower()
        if len(lower) == 1 and lower in _LETTERS and lower not in {"a", "i"}:
            return self._stressed(lower, tuple(_LETTERS[lower].split()))
        if names := dictionary().get(lower) or _suffixed(lower):
            return self._stressed(lower, names)
        if 2 <= len(word) <= 5 and word.isalpha() and word.isupper():  # initials: F B I
            return tuple(phone for letter in lower for phone in self.word(letter))
        if "-" in lower:
            return tuple(phone for part in lower.split("-") if part for phone in self.word(part))
        if re.search(r"\d", lower):
            parts = re.findall(r"\d+|[^\W\d]+", lower)
            spoken = [piece for part in parts for piece in (cardinal(part).split() if part.isdigit() else [part])]
            return tuple(phone for piece in spoken for phone in (self.letter(piece) or self.word(piece)))
        return self._listen(lower) if re.search(r"\w", lower) else ()


_EDGE = "\"“”'‘’()[]{}<>*_~`«»"


def _normal(text: str) -> str:
    text = re.sub(r"[’‘ʼ]", "'", text)
    text = re.sub(r"\s*(?:—|–(?=\s)|--)\s*", ", ", text)
    text = re.sub(r"…|\.\.\.+", ". ", text)
    text = re.sub(r"\+\d{1,3}(?:[ -]\d{2,4}){2,}", lambda match: match[0].replace(" ", "-"), text)
    return re.sub(r"(?<=\d)\s+(?=%)", "", text)


def _pause_after(tail: str) -> int:
    if re.search(r"[.!?。！？]", tail):
        return PAUSE_LONG
    return PAUSE_SHORT if re.search(r"[,;:、，；：)]", tail) else PAUSE_NONE


def _cores(text: str) -> list[tuple[str, str]]:
    """Whitespace-separated pieces as (without outer punctuation, punctuation after)."""
    cores: list[tuple[str, str]] = []
    for chunk in _normal(text).split():
        match = re.match(r"^(.*?)([^\w%°$€£¥+#&=@]*)$", chunk.lstrip(_EDGE + ",;:!?"))
        core, tail = (match[1], match[2]) if match else (chunk, "")
        cores.append((core.rstrip(_EDGE), tail))
    return cores


def _expanded(cores: list[tuple[str, str]], index: int) -> str:
    core, tail = cores[index]
    before = cores[index - 1][0] if index else ""
    after = cores[index + 1][0] + cores[index + 1][1] if index + 1 < len(cores) else ""
    return expand(core, before, after, tail.startswith("."))


def spoken_text(text: str) -> str:
    """`text` with numbers, dates, money, units and abbreviations written out, in lower case without punctuation."""
    cores = _cores(text)
    return " ".join(_expanded(cores, index).lower() for index, (core, _) in enumerate(cores) if core)


def english_words(text: str, pronouncer: Pronouncer) -> list[Word]:
    """The words of `text`, each with phones, stress and the pause its punctuation asks for."""
    cores = _cores(text)
    words: list[Word] = []
    for index, (core, tail) in enumerate(cores):
        if not core:
            continue
        phones = pronouncer.override(core)
        own_dot = False
        if phones is None:
            spoken = _expanded(cores, index)
            around = _around(cores, index)
            phones = tuple(phone for piece in _pieces(spoken) for phone in _say(piece, around, pronouncer))
            # the full stop belongs to the abbreviation unless the line ends here
            own_dot = tail.startswith(".") and spoken.lower() != core.lower() and index + 1 < len(cores)
        pause = _pause_after(tail[1:] if own_dot else tail)
        if phones:
            words.append(Word(core, phones, Language.EN_US, pause))
        elif words and pause > words[-1].pause:
            words[-1] = replace(words[-1], pause=pause)
    return _before_vowels(words)


def _around(cores: list[tuple[str, str]], index: int) -> tuple[list[str], list[str]]:
    """Lower-case words before and after inside the same clause."""
    before: list[str] = []
    for core, tail in cores[max(0, index - 4) : index]:
        before = [] if re.search(r"[.!?;:,]", tail) else [*before, core.lower()]
    after = (
        [] if re.search(r"[.!?;:,]", cores[index][1]) else [core.lower() for core, _ in cores[index + 1 : index + 3]]
    )
    return before, after


def _say(piece: str, around: tuple[list[str], list[str]], pronouncer: Pronouncer) -> tuple[Phone, ...]:
    found = reading(piece.lower(), *around)
    return _marked(found) if found else pronouncer.word(piece)


def _pieces(spoken: str) -> list[str]:
    return [piece for piece in re.split(r"[\s/]+", spoken) if piece]


def _before_vowels(words: list[Word]) -> list[Word]:
    """``the`` is said with IY before a vowel."""
    for index, word in enumerate(words[:-1]):
        following = words[index + 1].phones[0].name
        if word.text.lower() == "the" and word.pause == PAUSE_NONE and is_vowel(following):
            phones = (*word.phones[:-1], Phone("IY"))
            words[index] = Word(word.text, phones, word.language, word.pause)
    return words
