"""The phones of both languages in one table, each described by how it is made in the mouth.

Names are those of `domain.timing`: ARPAbet without stress (``AA``), pinyin initials and finals without tone
(``zh``, ``iang``), ``SIL``. Two names exist only inside the models: ``ii`` (the vowel of zi, ci, si) and ``iii`` (of
zhi, chi, shi, ri); `public_name` writes both as ``i``, as pinyin does. The articulatory features let a model carry
what it learned about one phone, language or voice over to another that it has heard less of.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE = "SIL"

# height 0 open .. 1 close, backness 0 front .. 1 back, rounding 0..1, rhotic 0..1
_POINTS = {
    "i": (1.0, 0.0, 0.0, 0.0),
    "I": (0.8, 0.15, 0.0, 0.0),
    "e": (0.65, 0.0, 0.0, 0.0),
    "E": (0.4, 0.1, 0.0, 0.0),
    "{": (0.15, 0.15, 0.0, 0.0),
    "a": (0.0, 0.4, 0.0, 0.0),
    "A": (0.0, 0.9, 0.0, 0.0),
    "O": (0.35, 1.0, 0.8, 0.0),
    "o": (0.65, 1.0, 1.0, 0.0),
    "U": (0.8, 0.85, 0.8, 0.0),
    "u": (1.0, 1.0, 1.0, 0.0),
    "V": (0.3, 0.7, 0.0, 0.0),
    "@": (0.5, 0.5, 0.0, 0.0),
    "R": (0.5, 0.5, 0.3, 1.0),
    "y": (1.0, 0.0, 1.0, 0.0),
    "7": (0.6, 0.9, 0.0, 0.0),
    "z": (0.95, 0.4, 0.0, 0.0),
    "r": (0.95, 0.5, 0.2, 0.6),
}
# vowels: the points passed through, then n or ng for a nasal ending
_VOWELS = {
    "AA": "A", "AE": "{", "AH": "V", "AO": "O", "AW": "aU", "AY": "aI", "EH": "E", "ER": "R", "EY": "eI",
    "IH": "I", "IY": "i", "OW": "oU", "OY": "OI", "UH": "U", "UW": "u",
    "a": "a", "o": "O", "e": "7", "i": "i", "ii": "z", "iii": "r", "u": "u", "v": "y", "er": "@R",
    "ai": "aI", "ei": "eI", "ao": "AU", "ou": "oU", "an": "a.n", "en": "@.n", "ang": "A.g", "eng": "7.g",
    "ong": "U.g", "ia": "ia", "ie": "iE", "iao": "iAU", "iou": "ioU", "ian": "iE.n", "in": "i.n", "iang": "iA.g",
    "ing": "i.g", "iong": "yU.g", "ua": "ua", "uo": "uO", "uai": "uaI", "uei": "ueI", "uan": "ua.n", "uen": "u@.n",
    "uang": "uA.g", "ueng": "u7.g", "van": "y{.n", "ve": "yE", "vn": "y.n", "io": "iO", "ê": "E",
}  # fmt: skip
_PLACES = ("labial", "labiodental", "dental", "alveolar", "retroflex", "palatal", "velar", "glottal")
_MANNERS = ("stop", "affricate", "fricative", "nasal", "lateral", "approximant")
# consonants: manner, place, voiced, aspirated
_CONSONANTS = {
    "B": "stop labial v", "P": "stop labial h", "D": "stop alveolar v", "T": "stop alveolar h", "G": "stop velar v",
    "K": "stop velar h", "M": "nasal labial v", "N": "nasal alveolar v", "NG": "nasal velar v",
    "F": "fricative labiodental", "V": "fricative labiodental v", "TH": "fricative dental", "DH": "fricative dental v",
    "S": "fricative alveolar", "Z": "fricative alveolar v", "SH": "fricative palatal", "ZH": "fricative palatal v",
    "HH": "fricative glottal", "CH": "affricate palatal h", "JH": "affricate palatal v", "L": "lateral alveolar v",
    "R": "approximant retroflex v", "W": "approximant labial v", "Y": "approximant palatal v",
    "b": "stop labial", "p": "stop labial h", "m": "nasal labial v", "f": "fricative labiodental",
    "d": "stop alveolar", "t": "stop alveolar h", "n": "nasal alveolar v", "l": "lateral alveolar v",
    "g": "stop velar", "k": "stop velar h", "h": "fricative velar", "j": "affricate palatal", 
    "q": "affricate palatal h", "x": "fricative palatal", "zh": "affricate retroflex",
    "ch": "affricate retroflex h", "sh": "fricative retroflex",
    "r": "fricative retroflex v", "z": "affricate alveolar", "c": "affricate alveolar h", "s": "fricative alveolar",
}  # fmt: skip

ENGLISH_VOWELS = tuple(name for name in _VOWELS if name.isupper())
ENGLISH = (*ENGLISH_VOWELS, *(name for name in _CONSONANTS if name.isupper()))
INITIALS = tuple(name for name in _CONSONANTS if name.islower())
FINALS = tuple(name for name in _VOWELS if not name.isupper())
PHONES = (SILENCE, *ENGLISH, *INITIALS, *FINALS)
INDEX = {name: number for number, name in enumerate(PHONES)}


@dataclass(frozen=True)
class Phone:
    """One phone of an utterance. `stress` 0, 0.5 or 1 for English vowels; `tone` 1..4, 5 neutral, 0 none."""

    name: str
    stress: float = 0.0
    tone: int = 0


def is_vowel(name: str) -> bool:
    """True for a vowel or a pinyin final."""
    return name in _VOWELS


def is_english(name: str) -> bool:
    """True for an ARPAbet phone."""
    return name in INDEX and name.isupper() and name != SILENCE


def is_voiced(name: str) -> bool:
    """True when the vocal folds sound throughout the phone."""
    return name in _VOWELS or (name in _CONSONANTS and _CONSONANTS[name].split()[-1] == "v")


def public_name(name: str) -> str:
    """The name the face and the subtitles know (see `domain.timing.PhoneTime`)."""
    return "i" if name in {"ii", "iii"} else name


def _describe(name: str) -> list[float]:
    if name == SILENCE:
        return [1.0] + [0.0] * 34
    if name in _VOWELS:
        shape, _, nasal = _VOWELS[name].partition(".")
        points = [_POINTS[letter] for letter in shape]
        path = [*points[0], *points[len(points) // 2], *points[-1]]
        tail = [float(nasal == "n"), float(nasal == "g"), float(len(points) - 1) / 2]
        return [0.0, 1.0, 1.0, 0.0] + [0.0] * 16 + path + tail
    words = _CONSONANTS[name].split()
    manner = [float(words[0] == item) for item in _MANNERS]
    place = [float(words[1] == item) for item in _PLACES]
    marks = words[2:]
    return [0.0, 0.0, float("v" in marks), float("h" in marks), *manner, *place, 0.0, 0.0] + [0.0] * 15


ARTICULATION: NDArray[np.float32] = np.array([_describe(name) for name in PHONES], np.float32)
"""float32 [phones, 35]: silence, vowel, voiced, aspirated, manner, place, tongue and lip path, nasal ending."""
