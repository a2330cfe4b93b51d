"""Phones to lips: targets, dominance and co-articulation.

Method: every phone is a step towards its target, blurred by a Gaussian of 40 ms, and neighbours are mixed by
how strongly each of them insists (dominance, Cohen & Massaro 1993). Measured against tracked lips on 37 GRID
clips: phone steps r = .60, with the 40 ms Gaussian .66, exponential dominance .59 to .63; an anticipation
lead of 80 ms lowers r from .66 to .55, so there is none. Lips and jaw are separate axes (JALI, 2016).
How far close sounds open (ee, s, sh, r, w) was set by the mean tracked opening of each sound in 16 GRID clips.
Blurred and mixed, targets shrink, and a mouth that is open a little shows more teeth than dark: `shown` gives back what
is lost, so that lips are seen to open as far as a person's. (Median opening while speaking, in distances between the
eyes, 12 clips: the person 0.077, ours without it 0.040.)
Closures are not blurred: bilabials always meet and labiodentals always tuck, for longer than one picture at
25 fps, because a missing closure is what viewers notice first.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from memorial_tasks.domain.timing import PhoneTime

SIGMA: Final = 0.040
HOLD: Final = 0.048  # shortest full closure in seconds: longer than one picture at 25 fps
ATTACK: Final = 0.060
RELEASE: Final = 0.050
WIDEST, HALF, STEEP = 1.30, 0.476, 1.39  # of `shown`
# Of how far the targets spread and round the lips: with all of it the mouth's width varied by 0.034 ipd; that of a
# tracked person by 0.020, of nine others by 0.027 (GRID).
ROUNDED: Final = 0.65
SILENCES: Final = frozenset({"SIL", "SP", "SPN", "PAU", "", "+BREATH+", "+NOISE+"})
REST_PRESS: Final = 0.2  # lips of a resting mouth touch lightly

Curve = NDArray[np.float64]


class Pose(NamedTuple):
    """Target of one viseme. `jaw_weight` and `lip_weight` say how strongly the phone insists on it."""

    jaw: float = 0.0
    wide: float = 0.0
    pucker: float = 0.0
    jaw_weight: float = 1.0
    lip_weight: float = 1.0
    press: float = 0.0
    tuck: float = 0.0
    vowel: bool = False


def _vowel(jaw: float, wide: float, pucker: float) -> Pose:
    return Pose(jaw, wide, pucker, vowel=True)


_TONGUE = Pose(0.20, 0.0, 0.0, 0.55, 0.12)  # the tongue works, the lips follow the neighbours
_BACK = Pose(0.28, 0.0, 0.0, 0.35, 0.08)
_BILABIAL = Pose(0.06, 0.0, 0.05, 0.9, 0.25, press=1.0)
_LABIODENTAL = Pose(0.12, 0.05, 0.0, 0.9, 0.4, tuck=1.0)
_HISS = Pose(0.17, 0.28, 0.0, 1.1, 0.5)  # the jaw is nearly shut, the lips are not: the teeth are seen
_HUSH = Pose(0.17, -0.20, 0.48, 1.0, 0.9)
_I, _U, _V = _vowel(0.27, 0.60, 0.0), _vowel(0.20, -0.60, 0.82), _vowel(0.16, -0.35, 0.85)
_A, _O, _E, _EH = _vowel(0.86, 0.05, 0.0), _vowel(0.52, -0.40, 0.50), _vowel(0.42, 0.08, 0.0), _vowel(0.48, 0.32, 0.0)
_R = Pose(0.14, -0.25, 0.40, 0.85, 0.7)

ARPABET: Final[dict[str, tuple[Pose, ...]]] = {
    "AA": (_A,), "AE": (_vowel(0.76, 0.36, 0.0),), "AH": (_vowel(0.48, 0.05, 0.0),), "AO": (_vowel(0.64, -0.35, 0.45),),
    "AW": (_A, _U), "AY": (_A, _I), "EH": (_EH,), "ER": (_vowel(0.34, -0.22, 0.32),), "EY": (_EH, _I),
    "IH": (_vowel(0.30, 0.32, 0.0),), "IY": (_I,), "OW": (_O, _U), "OY": (_vowel(0.60, -0.35, 0.45), _I),
    "UH": (_vowel(0.30, -0.30, 0.42),), "UW": (_U,), "AX": (_vowel(0.38, 0.05, 0.0),),
    "M": (_BILABIAL,), "B": (_BILABIAL,), "P": (_BILABIAL,), "F": (_LABIODENTAL,), "V": (_LABIODENTAL,),
    "W": (Pose(0.11, -0.60, 0.88, 1.05, 1.1),), "R": (_R,), "Y": (Pose(0.16, 0.45, 0.0, 0.8, 0.7),),
    "S": (_HISS,), "Z": (_HISS,), "SH": (_HUSH,), "ZH": (_HUSH,), "CH": (_HUSH,), "JH": (_HUSH,),
    "TH": (Pose(0.22, 0.12, 0.0, 0.8, 0.3),), "DH": (Pose(0.20, 0.08, 0.0, 0.7, 0.25),),
    "T": (_TONGUE,), "D": (_TONGUE,), "N": (_TONGUE,), "L": (_TONGUE,), "DX": (_TONGUE,),
    "K": (_BACK,), "G": (_BACK,), "NG": (_BACK,), "HH": (Pose(0.35, 0.0, 0.0, 0.2, 0.05),),
}  # fmt: skip

_FLAT = Pose(0.12, -0.05, 0.2, 1.0, 0.8)  # zh ch sh r before their own vowel
PINYIN_INITIALS: Final[dict[str, Pose]] = {
    "b": _BILABIAL, "p": _BILABIAL, "m": _BILABIAL, "f": _LABIODENTAL,
    "d": _TONGUE, "t": _TONGUE, "n": _TONGUE, "l": _TONGUE, "g": _BACK, "k": _BACK,
    "h": Pose(0.32, 0.0, 0.0, 0.25, 0.05),
    "j": Pose(0.12, 0.42, 0.0, 1.0, 0.5), "q": Pose(0.12, 0.42, 0.0, 1.0, 0.5), "x": Pose(0.12, 0.42, 0.0, 1.0, 0.5),
    "zh": _FLAT, "ch": _FLAT, "sh": _FLAT, "r": _FLAT, "z": _HISS, "c": _HISS, "s": _HISS,
    "y": Pose(0.16, 0.45, 0.0, 0.8, 0.7), "w": Pose(0.11, -0.60, 0.88, 1.05, 1.1),
}  # fmt: skip
_APICAL = _vowel(0.14, 0.28, 0.0)  # the i of zi and zhi
PINYIN_FINALS: Final[dict[str, tuple[Pose, ...]]] = {
    "a": (_A,), "o": (_O,), "e": (_E,), "i": (_I,), "u": (_U,), "v": (_V,), "ê": (_EH,),
    "ii": (_APICAL,), "iii": (_APICAL,),
    "er": (_E, _R), "r": (_R,), "ai": (_A, _I), "ei": (_EH, _I), "ao": (_A, _U), "ou": (_O, _U),
    "an": (_A, _TONGUE), "en": (_E, _TONGUE), "ang": (_A, _BACK), "eng": (_E, _BACK),
    "ong": (_vowel(0.34, -0.45, 0.62), _BACK),
    "ia": (_I, _A), "io": (_I, _O), "ie": (_I, _EH), "iao": (_I, _A, _U), "iou": (_I, _O, _U), "iu": (_I, _O, _U),
    "ian": (_I, _EH, _TONGUE), "in": (_I, _TONGUE), "iang": (_I, _A, _BACK), "ing": (_I, _BACK),
    "iong": (_V, _O, _BACK),
    "ua": (_U, _A), "uo": (_U, _O), "uai": (_U, _A, _I), "uei": (_U, _EH, _I), "ui": (_U, _EH, _I),
    "uan": (_U, _A, _TONGUE), "uen": (_U, _E, _TONGUE), "un": (_U, _E, _TONGUE), "uang": (_U, _A, _BACK),
    "ueng": (_U, _E, _BACK),
    "ve": (_V, _EH), "ue": (_V, _EH), "van": (_V, _EH, _TONGUE), "vn": (_V, _TONGUE), "vang": (_V, _A, _BACK),
    "m": (_BILABIAL,), "n": (_TONGUE,), "ng": (_BACK,), "hm": (_BILABIAL,), "hng": (_BACK,),
}  # fmt: skip
_UNKNOWN = (Pose(0.22, 0.0, 0.0, 0.5, 0.1),)
_REST = (Pose(0.0, 0.0, 0.0, 1.4, 1.2, press=REST_PRESS),)


def is_silence(phone: str) -> bool:
    """True for every way the aligners write that nobody speaks."""
    return phone.upper() in SILENCES or phone.startswith("<")


def poses(phone: str, before: str = "") -> tuple[Pose, ...]:
    """The targets of a phone in order: one for a plain sound, several for a diphthong or a Mandarin final.

    Upper case is ARPAbet, lower case pinyin; stress and tone digits are ignored, an unknown phone opens the mouth a
    little and leaves the lips to its neighbours. `before` is the phone before it: ``i`` after ``zh`` is not ``ee``.
    """
    if is_silence(phone):
        return _REST
    bare = phone.rstrip("0123456789")
    if bare in ARPABET:
        return ARPABET[bare]
    bare = bare.lower().replace("ü", "v").replace("u:", "v")
    if bare in PINYIN_INITIALS and not (bare == "r" and before.lower() in PINYIN_FINALS):
        return (PINYIN_INITIALS[bare],)
    first = before.rstrip("0123456789").lower()
    if bare == "i" and first in {"zh", "ch", "sh", "r", "z", "c", "s"}:
        return (_APICAL,)
    if first in {"j", "q", "x", "y"} and bare in {"u", "uan", "un"}:  # written u, spoken ü
        bare = "v" + bare[1:]
    return PINYIN_FINALS.get(bare, _UNKNOWN)


class Segment(NamedTuple):
    """One target held from `start` to `end` seconds; `phone` is the index of the phone it belongs to."""

    start: float
    end: float
    pose: Pose
    phone: int


def segments(phones: Sequence[PhoneTime]) -> list[Segment]:
    """Phones cut into their targets: the first and last part of a final are short, its nucleus is long."""
    found: list[Segment] = []
    before = ""
    for index, phone in enumerate(phones):
        targets = poses(phone.phone, before)
        shares = {1: (1.0,), 2: (0.6, 0.4), 3: (0.25, 0.45, 0.30)}[len(targets)]
        start, length = phone.start, max(phone.end - phone.start, 1e-3)
        for share, pose in zip(shares, targets, strict=True):
            found.append(Segment(start, start + share * length, pose, index))
            start += share * length
        before = phone.phone
    return found


def lip_curves(
    phones: Sequence[PhoneTime], ticks: int, rate: int, gain: NDArray[np.float64], offset: float = 0.0
) -> dict[str, Curve]:
    """jaw_open, lip_wide, lip_pucker, lip_press and lip_tuck as float64 [ticks] at `rate` Hz.

    `gain` is float64 [ticks]: the jaw's amplitude (loud speech opens wider); `offset` is the time in
    seconds at which the phones' time zero lies. Outside all phones the mouth rests.
    """
    cut = [Segment(s.start + offset, s.end + offset, s.pose, s.phone) for s in segments(phones)]
    end = ticks / rate
    cut = _with_rest(cut, end)
    jaw, jaw_sum = np.zeros(ticks), np.full(ticks, 1e-6)
    lips, lip_sum = np.zeros((2, ticks)), np.full(ticks, 1e-6)
    press_base = np.zeros(ticks)
    for start, stop, pose, _ in cut:
        low, high = max(0, int((start - 4 * SIGMA) * rate)), min(ticks, int((stop + 4 * SIGMA) * rate) + 2)
        if high <= low:
            continue
        time = (np.arange(low, high) + 0.5) / rate
        weight = ndtr((time - start) / SIGMA) - ndtr((time - stop) / SIGMA)
        jaw[low:high] += weight * pose.jaw_weight * pose.jaw
        jaw_sum[low:high] += weight * pose.jaw_weight
        lips[0, low:high] += weight * pose.lip_weight * pose.wide
        lips[1, low:high] += weight * pose.lip_weight * pose.pucker
        lip_sum[low:high] += weight * pose.lip_weight
        if 0 < pose.press < 1:
            press_base[low:high] += weight * pose.press
    jaw = shown(jaw / jaw_sum) * gain
    press, tuck = np.clip(press_base, 0, REST_PRESS), np.zeros(ticks)
    _close(press, [s for s in cut if s.pose.press == 1], rate)
    _close(tuck, [s for s in cut if s.pose.tuck == 1], rate)
    shut = np.clip((press - REST_PRESS) / (1 - REST_PRESS), 0, 1)
    jaw = np.clip(jaw, 0, 1) * (1 - shut) * (1 - 0.75 * tuck)
    return {
        "jaw_open": jaw,
        "lip_wide": ROUNDED * lips[0] / lip_sum,
        "lip_pucker": ROUNDED * lips[1] / lip_sum,
        "lip_press": press,
        "lip_tuck": tuck * (1 - shut),
    }


def shown(jaw: Curve) -> Curve:
    """How far the jaw opens for a mixed target at a gain of 1: nothing stays nothing, 0.17 becomes 0.27, 0.3 becomes
    0.53. Fitted, together with `perform._jaw_gain`, to the quantiles of the lips' opening in 20 tracked GRID clips of a
    person against ours of the same words. A mouth has no room beyond 1."""
    return np.asarray(WIDEST * (1 - np.exp(-((np.maximum(jaw, 0) / HALF) ** STEEP))), np.float64)


def _with_rest(cut: list[Segment], end: float) -> list[Segment]:
    """Fills every gap between segments with the resting mouth, up to `end` seconds."""
    filled: list[Segment] = []
    last = -1.0
    for segment in cut:
        if segment.start > last + 1e-4:
            filled.append(Segment(last, segment.start, _REST[0], -1))
        filled.append(segment)
        last = max(last, segment.end)
    filled.append(Segment(last, end + 1.0, _REST[0], -1))
    return filled


def _close(curve: Curve, closures: Sequence[Segment], rate: int) -> None:
    """Raises `curve` to 1 over every closure, held at least HOLD seconds, with cosine flanks."""
    for start, stop, _, _ in closures:
        lack = max(0.0, HOLD - (stop - start)) / 2
        start, stop = start - lack, stop + lack
        low, high = max(0, int((start - ATTACK) * rate)), min(len(curve), int((stop + RELEASE) * rate) + 2)
        if high <= low:
            continue
        time = np.arange(low, high) / rate
        rise = np.clip((time - start + ATTACK) / ATTACK, 0, 1)
        fall = np.clip((stop + RELEASE - time) / RELEASE, 0, 1)
        shape = 0.5 - 0.5 * np.cos(np.pi * np.minimum(rise, fall))
        np.maximum(curve[low:high], shape, out=curve[low:high])
