"""English words that are spelled alike and said differently, told apart by the words around them.

Noun and verb are told by what stands before: *a record*, *to record*. A few words have their own rule (*we used to*,
*a close friend*, *tears*). What no rule decides keeps the reading that running text has most often.
"""

from collections.abc import Sequence

_BEFORE_NOUNS = """
a an the this that these those my your his her its our their no some any every each of another one two three four five
many first last next in whose with
"""
_BEFORE_VERBS = """
to will would can could shall should may might must do does did don't doesn't didn't won't can't couldn't wouldn't
shouldn't cannot i you we they who let let's please i'll you'll we'll they'll he'll she'll
"""
_DETERMINERS, _VERBAL = frozenset(_BEFORE_NOUNS.split()), frozenset(_BEFORE_VERBS.split())
_BETWEEN = frozenset(("always", "never", "just", "also", "not", "really", "even", "still", "ever", "often", "all"))
_BEING = frozenset(("is", "are", "was", "were", "be", "been", "am", "so", "very", "too", "as", "how", "i'm", "we're"))

# word: (noun or adjective, verb)
_NOUN_VERB = {
    "record": ("R EH1 K ER D", "R IH K AO1 R D"), "records": ("R EH1 K ER D Z", "R IH K AO1 R D Z"),
    "present": ("P R EH1 Z AH N T", "P R IH Z EH1 N T"), "presents": ("P R EH1 Z AH N T S", "P R IH Z EH1 N T S"),
    "object": ("AA1 B JH EH K T", "AH B JH EH1 K T"), "objects": ("AA1 B JH EH K T S", "AH B JH EH1 K T S"),
    "subject": ("S AH1 B JH IH K T", "S AH B JH EH1 K T"), "project": ("P R AA1 JH EH K T", "P R AH JH EH1 K T"),
    "produce": ("P R OW1 D UW S", "P R AH D UW1 S"), "conduct": ("K AA1 N D AH K T", "K AH N D AH1 K T"),
    "contract": ("K AA1 N T R AE K T", "K AH N T R AE1 K T"), "contrast": ("K AA1 N T R AE S T", "K AH N T R AE1 S T"),
    "desert": ("D EH1 Z ER T", "D IH Z ER1 T"), "escort": ("EH1 S K AO R T", "EH S K AO1 R T"),
    "export": ("EH1 K S P AO R T", "IH K S P AO1 R T"), "import": ("IH1 M P AO R T", "IH M P AO1 R T"),
    "increase": ("IH1 N K R IY S", "IH N K R IY1 S"), "decrease": ("D IY1 K R IY S", "D IH K R IY1 S"),
    "insult": ("IH1 N S AH L T", "IH N S AH1 L T"), "permit": ("P ER1 M IH T", "P ER M IH1 T"),
    "perfect": ("P ER1 F IH K T", "P ER F EH1 K T"), "protest": ("P R OW1 T EH S T", "P R AH T EH1 S T"),
    "rebel": ("R EH1 B AH L", "R IH B EH1 L"), "refuse": ("R EH1 F Y UW S", "R IH F Y UW1 Z"),
    "survey": ("S ER1 V EY", "S ER V EY1"), "suspect": ("S AH1 S P EH K T", "S AH S P EH1 K T"),
    "transfer": ("T R AE1 N S F ER", "T R AE N S F ER1"), "transport": ("T R AE1 N S P AO R T", "T R AE N S P AO1 R T"),
    "upset": ("AH1 P S EH T", "AH P S EH1 T"), "conflict": ("K AA1 N F L IH K T", "K AH N F L IH1 K T"),
    "address": ("AE1 D R EH S", "AH D R EH1 S"), "entrance": ("EH1 N T R AH N S", "EH N T R AE1 N S"),
    "separate": ("S EH1 P ER AH T", "S EH1 P ER EY T"), "estimate": ("EH1 S T AH M AH T", "EH1 S T AH M EY T"),
    "graduate": ("G R AE1 JH AH W AH T", "G R AE1 JH AH W EY T"),
    "duplicate": ("D UW1 P L AH K AH T", "D UW1 P L AH K EY T"),
    "alternate": ("AO1 L T ER N AH T", "AO1 L T ER N EY T"), "moderate": ("M AA1 D ER AH T", "M AA1 D ER EY T"),
    "delegate": ("D EH1 L AH G AH T", "D EH1 L AH G EY T"), "intimate": ("IH1 N T AH M AH T", "IH1 N T AH M EY T"),
    "excuse": ("IH K S K Y UW1 S", "IH K S K Y UW1 Z"), "excuses": ("IH K S K Y UW1 S IH Z", "IH K S K Y UW1 Z IH Z"),
    "use": ("Y UW1 S", "Y UW1 Z"), "abuse": ("AH B Y UW1 S", "AH B Y UW1 Z"), "house": ("HH AW1 S", "HH AW1 Z"),
    "bow": ("B OW1", "B AW1"), "wind": ("W IH1 N D", "W AY1 N D"), "tear": ("T IH1 R", "T EH1 R"),
    "lives": ("L AY1 V Z", "L IH1 V Z"), "tears": ("T IH1 R Z", "T EH1 R Z"), "live": ("L AY1 V", "L IH1 V"),
    "close": ("K L OW1 S", "K L OW1 Z"), "lead": ("L IY1 D", "L IY1 D"),
    "content": ("K AA1 N T EH N T", "K AH N T EH1 N T"),
    "invalid": ("IH1 N V AH L IH D", "IH N V AE1 L IH D"), "minute": ("M IH1 N AH T", "M IH1 N AH T"),
    "read": ("R IY1 D", "R IY1 D"), "wound": ("W UW1 N D", "W UW1 N D"), "used": ("Y UW1 Z D", "Y UW1 Z D"),
    "dove": ("D AH1 V", "D OW1 V"), "polish": ("P AA1 L IH SH", "P AA1 L IH SH"),
}  # fmt: skip
# what is said where neither rule speaks: 0 noun, 1 verb
_USUAL_VERB = frozenset(
    ("use", "abuse", "live", "lives", "close", "refuse", "produce", "excuse", "content", "invalid", "suspect", "upset")
)
_NEVER_VERB_AFTER_PRONOUN = frozenset(("perfect", "content", "invalid", "intimate", "moderate"))
# word: (words that follow, reading): these speak first
_FOLLOWED = {
    "used": (("to",), "Y UW1 S T"),
    "close": (("to", "by", "friend", "friends", "enough", "together", "family", "relatives"), "K L OW1 S"),
    "live": (("music", "concert", "show", "broadcast", "band", "performance", "audience", "television"), "L AY1 V"),
    "lead": (("pipe", "pipes", "paint", "pencil", "poisoning"), "L EH1 D"),
    "wound": (("up", "around", "down", "back", "through"), "W AW1 N D"),
    "wind": (("up", "the"), "W AY1 N D"),
    "bow": (("down", "our", "your", "his", "her"), "B AW1"),
    "tear": (("up", "down", "apart", "off"), "T EH1 R"),
}


_AFTER_BEING = {"close": "K L OW1 S", "content": "K AH N T EH1 N T", "live": "L AY1 V"}


def _role(before: Sequence[str]) -> int | None:
    """0 for a noun's place, 1 for a verb's, None when the words before do not tell."""
    near = [word for word in before[::-1] if word not in _BETWEEN][:2]
    if not near:
        return None
    if near[0] in _VERBAL:
        return 1
    if near[0] in _DETERMINERS or near[0].endswith("'s"):
        return 0
    if near[0].endswith("s") and not near[0].endswith("ss") and near[0] not in _BEING:
        return 1  # my parents object
    return 0 if len(near) > 1 and near[1] in _DETERMINERS else None


def reading(word: str, before: Sequence[str], after: Sequence[str]) -> tuple[str, ...] | None:
    """Phones with stress digits of `word` between its neighbours (lower case, nearest last and first), or None when
    it is no homograph."""
    if word not in _NOUN_VERB:
        return None
    role = _role(before)
    nearest = before[-1] if before else ""
    if special := _special(word, role, nearest, after):
        return tuple(special.split())
    if role is None:
        role = int(word in _USUAL_VERB)
    if word in _NEVER_VERB_AFTER_PRONOUN and role == 1 and nearest not in {"to", "will", "can"}:
        role = int(word in {"content", "invalid"})
    return tuple(_NOUN_VERB[word][role].split())


def _special(word: str, role: int | None, nearest: str, after: Sequence[str]) -> str | None:
    """The rules of single words, before noun and verb are asked for."""
    follows, followed = _FOLLOWED.get(word, ((), ""))
    passive = word == "used" and nearest in {"is", "are", "was", "were", "be", "been"}
    if after and after[0] in follows and not passive and not (role == 1 and word in {"close", "live"}):
        return followed
    if word == "read":  # the past, unless something asks for the plain form
        return "R IY1 D" if role == 1 and nearest not in {"i", "you", "we", "they"} else "R EH1 D"
    if word in _AFTER_BEING and nearest in _BEING | {"stay", "stayed", "keep", "hold"}:
        return _AFTER_BEING[word]
    return "T IH1 R Z" if word == "tears" and nearest not in {"he", "she", "it"} else None
