"""From the timing of the speech to the performance of the face: every control curve of one film."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.timing import LEAD_IN, TAIL, DirectionPlan, LineTime, SpeechTiming
from memorial_tasks.domain.words import Emotion
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance import life
from memorial_tasks.performance.prosody import Prosody, measure
from memorial_tasks.performance.score import CHANNELS, RATE_HZ, PerformanceScore
from memorial_tasks.performance.visemes import REST_PRESS, is_silence, lip_curves

Curve = NDArray[np.float64]
PHRASE_GAP: Final = 0.12  # seconds of silence that end a phrase
HEAD_LIMIT: Final = 5.5  # degrees
# How much brows and silent lips move of themselves, set against tracked clips of a person (GRID). The brows' unrest
# goes with the voice and comes back to nothing within a second, so that however lively it is it does not blur what an
# emotion does to them.
BROW_UNREST: Final = 0.38
BROW_RETURN: Final = 0.30  # seconds
LIP_UNREST: Final = 0.038
PARTED: Final = 0.55  # jaw: lips part for the breath before a phrase, in its last half second


class Mien(NamedTuple):
    """What an emotion does to the face at full intensity."""

    smile: float = 0.0
    cheek: float = 0.0
    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_lower: float = 0.0
    squint: float = 0.0
    pitch: float = 0.0  # degrees, positive is a lowered head
    roll: float = 0.0
    motion: float = 1.0  # gain of head and brow accents
    jaw: float = 1.0


# Action units: joy 6+12, sadness 1+4+15, tenderness a soft 12 with 1, pride 12 with the head raised
# (Tracy & Robins 2004).
MIENS: Final = MappingProxyType(
    {
        Emotion.NEUTRAL: Mien(),
        Emotion.WARM: Mien(0.42, 0.30, 0.14, 0.05, 0.0, 0.16, 0.4, 1.3, 0.95, 0.95),
        Emotion.HAPPY: Mien(0.75, 0.62, 0.08, 0.26, 0.0, 0.26, -0.5, 0.6, 1.35, 1.16),
        Emotion.SAD: Mien(-0.40, 0.0, 0.55, -0.12, 0.22, 0.10, 1.9, 0.9, 0.60, 0.76),
        Emotion.CALM: Mien(0.16, 0.10, 0.05, 0.0, 0.0, 0.05, 0.2, 0.3, 0.65, 0.85),
        Emotion.PROUD: Mien(0.30, 0.22, 0.0, 0.30, 0.0, 0.12, -1.8, -0.3, 1.15, 1.08),
        Emotion.GRATEFUL: Mien(0.46, 0.34, 0.34, 0.12, 0.0, 0.14, 1.2, 0.5, 1.05, 0.97),
    }
)
GAZES: Final = MappingProxyType({"camera": (0.0, 0.0), "away": (0.34, 0.04), "down": (0.06, 0.40)})


@dataclass(frozen=True)
class Habits:
    """The person's own ways, where a home video showed them; the defaults are people's average."""

    blinks_per_minute: float | None = None
    head_gain: float = 1.0
    brow_gain: float = 1.0
    jaw_gain: float = 1.0
    smile_bias: float = 0.0  # added to every smile
    smile_lean: float = 0.0  # -1..1: the left corner (the image's right) lifts more than the right


class Accent(NamedTuple):
    """A word that stands out: time of its loudest moment and how much it stands out, 0..1."""

    time: float
    size: float


def perform(
    timing: SpeechTiming,
    speech: NDArray[np.float32],
    sample_rate: int,
    plan: DirectionPlan,
    seed: int,
    habits: Habits | None = None,
    lead_in: float = LEAD_IN,
    tail: float = TAIL,
) -> PerformanceScore:
    """The score of the whole film: `lead_in` seconds, the speech, `tail` seconds.

    `speech` is mono float32 [N] in -1..1 at `sample_rate`. The same seed gives the same score; every curve draws
    from a generator of its own. Raises `InputRefused` when the speech does not fit its timing.
    """
    habits = habits or Habits()
    if abs(len(speech) / sample_rate - timing.duration) > 0.25:
        raise InputRefused(
            [Problem("timing.mismatch", "timing.json and speech.wav are not of one length", "run the speak step again")]
        )
    ticks = round((lead_in + timing.duration + tail) * RATE_HZ)
    sound = _shifted(measure(speech, sample_rate, timing.lines, RATE_HZ), lead_in, ticks)
    speaking = _speaking(timing, lead_in, ticks)
    ends = [end + lead_in for end in phrase_ends(timing)]
    random = {
        name: np.random.default_rng([seed & 0xFFFFFFFF, index])
        for index, name in enumerate(("blink", "gaze", "yaw", "pitch", "roll", "shift", "breath", "brow", "lips"))
    }
    mien = _mien(timing.lines, lead_in, ticks)
    accents = [Accent(a.time + lead_in, a.size) for a in find_accents(timing, sound, lead_in)]

    curves = lip_curves(timing.phones, ticks, RATE_HZ, _jaw_gain(sound, mien, habits), lead_in)
    curves["jaw_open"] = _resting(curves, speaking, random["lips"])
    curves |= _expression(mien, accents, sound.loudness, speaking, habits, random["brow"])
    target = _gaze_target(timing, plan, lead_in, ticks)
    curves["gaze_x"], curves["gaze_y"] = life.gaze(target, ticks, RATE_HZ, random["gaze"])
    times = life.blink_times(speaking, ends, RATE_HZ, random["blink"], habits.blinks_per_minute)
    curves["blink_left"], curves["blink_right"] = life.blinks(times, ticks, RATE_HZ, random["blink"])
    curves["breath"] = life.breath(speaking, RATE_HZ, random["breath"])
    curves |= _head(mien, accents, sound, speaking, curves["breath"], habits, random)
    limited = {
        name: np.clip(curves[name], limits.low, limits.high).astype(np.float32) for name, limits in CHANNELS.items()
    }
    return PerformanceScore(limited, lead_in, RATE_HZ, {"seed": str(seed)})


def phrase_ends(timing: SpeechTiming) -> list[float]:
    """Seconds at which a stretch of speech ends, because a pause follows or the track is over."""
    spoken = [phone for phone in timing.phones if not is_silence(phone.phone)]
    ends = [one.end for one, two in pairwise(spoken) if two.start - one.end >= PHRASE_GAP]
    return [*ends, spoken[-1].end] if spoken else []


def find_accents(timing: SpeechTiming, sound: Prosody, lead_in: float, share: float = 0.3) -> list[Accent]:
    """The words that stand out by loudness, pitch and length: about `share` of them, at least 0.55 s apart."""
    words = [word for word in timing.words if word.end > word.start]
    if len(words) < 2:
        return [Accent((word.start + word.end) / 2, 0.6) for word in words]
    marks = np.zeros((len(words), 3))
    peaks = np.zeros(len(words))
    starts = np.array([phone.start for phone in timing.phones if not is_silence(phone.phone)])
    for index, word in enumerate(words):
        low = min(len(sound.loudness) - 1, int((word.start + lead_in) * RATE_HZ))
        high = max(low + 1, int((word.end + lead_in) * RATE_HZ))
        loud = sound.loudness[low:high]
        sounds = max(1, int(((starts >= word.start - 1e-3) & (starts < word.end - 1e-3)).sum()))
        marks[index] = loud.max(), sound.pitch[low:high].max(), (word.end - word.start) / sounds
        peaks[index] = word.start + int(loud.argmax()) / RATE_HZ
    spread = marks.std(axis=0)
    strength = ((marks - marks.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)).sum(axis=1) / 3
    chosen: list[Accent] = []
    for index in np.argsort(-strength)[: max(1, round(share * len(words)))]:
        if all(abs(peaks[index] - other.time) >= 0.55 for other in chosen):
            chosen.append(Accent(float(peaks[index]), float(np.clip(0.45 + 0.3 * strength[index], 0.25, 1))))
    return sorted(chosen)


def _shifted(sound: Prosody, lead_in: float, ticks: int) -> Prosody:
    before = round(lead_in * RATE_HZ)

    def placed(curve: Curve) -> Curve:
        out = np.zeros(ticks)
        room = min(len(curve), ticks - before)
        out[before : before + room] = curve[:room]
        return out

    return Prosody(placed(sound.loudness), placed(sound.pitch), placed(sound.voiced))


def _speaking(timing: SpeechTiming, lead_in: float, ticks: int) -> Curve:
    """1 while the person speaks, short gaps included, 0 in pauses."""
    out = np.zeros(ticks)
    last = -1.0
    for phone in timing.phones:
        if is_silence(phone.phone):
            continue
        start = last if 0 <= phone.start - last < PHRASE_GAP else phone.start
        out[int((start + lead_in) * RATE_HZ) : int((phone.end + lead_in) * RATE_HZ) + 1] = 1
        last = phone.end
    return out


def _mien(lines: Sequence[LineTime], lead_in: float, ticks: int) -> dict[str, Curve]:
    """The emotional face over time; it changes in the pause before a line, over about 0.8 s."""
    raw = {name: np.full(ticks, getattr(Mien(), name)) for name in Mien._fields}
    changes = [0] + [
        int(((one.end + two.start) / 2 + lead_in) * RATE_HZ) for one, two in pairwise(lines)
    ] + [ticks]  # fmt: skip
    for line, (low, high) in zip(lines, pairwise(changes), strict=True):
        full, plain = MIENS[line.emotion], Mien()
        for name in Mien._fields:
            rest = getattr(plain, name)
            raw[name][low:high] = rest + (getattr(full, name) - rest) * line.intensity
    if lines:  # before the first word and after the last the face is half way between rest and the line
        begin, end = int(lead_in * RATE_HZ * 0.5), int((lines[-1].end + lead_in + 0.5) * RATE_HZ)
        for name in Mien._fields:
            rest = getattr(Mien(), name)
            for span in (slice(0, begin), slice(min(end, ticks), ticks)):
                raw[name][span] = rest + 0.75 * (raw[name][span] - rest)
    return {name: life.smooth(curve, 0.25, RATE_HZ) for name, curve in raw.items()}


def _jaw_gain(sound: Prosody, mien: dict[str, Curve], habits: Habits) -> Curve:
    """Loud syllables open wider: 0.5 at a whisper, 1.1 at the usual loudest, times the emotion's and person's gain."""
    loud = life.smooth(sound.loudness, 0.05, RATE_HZ)
    return (0.50 + 0.62 * np.clip(loud, 0, 1.2)) * mien["jaw"] * habits.jaw_gain


def _resting(curves: dict[str, Curve], speaking: Curve, random: np.random.Generator) -> Curve:
    """The jaw's curve with what a silent mouth does: it drifts by fractions of a millimetre, and parts a little for the
    breath before a phrase. Closures stay closed."""
    ticks = len(speaking)
    breaths = _breaths(speaking)
    parted = np.zeros(ticks)
    for breath in breaths:  # some take air long before they speak, some hardly
        size, rise = PARTED * random.uniform(0.6, 1.4), random.uniform(0.25, 0.70)
        parted = np.maximum(parted, life.bumps([breath - 0.04], [size], rise, 0.14, ticks, RATE_HZ))
    drift = LIP_UNREST * np.abs(1 + life.wander(ticks, RATE_HZ, 0.9, random))
    silent = 1 - life.smooth(speaking, 0.06, RATE_HZ)
    shut = np.clip((curves["lip_press"] - REST_PRESS) / (1 - REST_PRESS), 0, 1)
    return np.maximum(curves["jaw_open"], (drift + parted) * silent * (1 - shut))


def _breaths(speaking: Curve) -> list[float]:
    """Seconds at which speech begins after a silence long enough to take air in."""
    turns = np.diff(speaking)
    begins, ends = np.flatnonzero(turns > 0.5), np.flatnonzero(turns < -0.5)
    before = np.concatenate([[-1], ends])[np.searchsorted(ends, begins)]
    return [float(begin) / RATE_HZ for begin in begins[begins - before > 2 * PHRASE_GAP * RATE_HZ]]


def _expression(
    mien: dict[str, Curve],
    accents: Sequence[Accent],
    loudness: Curve,
    speaking: Curve,
    habits: Habits,
    random: np.random.Generator,
) -> dict[str, Curve]:
    ticks = len(speaking)
    times, sizes = [a.time for a in accents], [a.size for a in accents]
    raised = life.bumps(times, sizes, 0.14, 0.26, ticks, RATE_HZ) * mien["motion"] * habits.brow_gain
    voiced = 0.35 + 0.65 * np.clip(life.smooth(loudness, 0.10, RATE_HZ), 0, 1)
    unrest = BROW_UNREST * life.wander(ticks, RATE_HZ, 0.35, random) * voiced * habits.brow_gain
    restless = unrest - life.smooth(unrest, BROW_RETURN, RATE_HZ)
    talk = life.smooth(speaking, 0.15, RATE_HZ)
    smile = (mien["smile"] + habits.smile_bias) * (1 - 0.18 * talk)
    return {
        "smile": smile,
        "smile_lean": habits.smile_lean * np.clip(smile, 0, 1),
        "cheek": mien["cheek"],
        "brow_inner": mien["brow_inner"] + 0.50 * raised + restless,
        "brow_outer": mien["brow_outer"] + 0.60 * raised + restless,
        "brow_lower": mien["brow_lower"],
        "squint": mien["squint"],
    }


def _head(
    mien: dict[str, Curve],
    accents: Sequence[Accent],
    sound: Prosody,
    speaking: Curve,
    breathing: Curve,
    habits: Habits,
    random: dict[str, np.random.Generator],
) -> dict[str, Curve]:
    """Slow sway, nods on accents, the chin following the melody; half of all that while listening."""
    ticks = len(speaking)
    gain = mien["motion"] * habits.head_gain * (0.45 + 0.55 * life.smooth(speaking, 0.4, RATE_HZ))
    times, sizes = [a.time for a in accents], [a.size for a in accents]
    nods = life.bumps(times, sizes, 0.22, 0.5, ticks, RATE_HZ)
    sides = random["yaw"].choice([-1.0, 1.0], len(accents))
    turns = life.bumps(times, [size * side for size, side in zip(sizes, sides, strict=True)], 0.35, 0.7, ticks, RATE_HZ)
    melody = life.smooth(sound.pitch, 0.12, RATE_HZ)

    def sway(name: str, period: float) -> Curve:
        return life.wander(ticks, RATE_HZ, period, random[name])

    yaw = (1.25 * sway("yaw", 4.0) + 0.8 * turns) * gain
    pitch = mien["pitch"] + (0.7 * sway("pitch", 3.5) + 1.7 * nods - 0.22 * melody) * gain
    roll = mien["roll"] + (0.75 * sway("roll", 5.0) + 0.35 * turns) * gain
    soft = {
        name: HEAD_LIMIT * np.tanh(curve / HEAD_LIMIT)
        for name, curve in (("yaw", yaw), ("pitch", pitch), ("roll", roll))
    }
    return {
        "head_yaw": soft["yaw"],
        "head_pitch": soft["pitch"],
        "head_roll": soft["roll"],
        "head_x": 0.010 * sway("shift", 5.0) * gain + 0.003 * soft["yaw"],
        "head_y": 0.006 * sway("shift", 4.0) * gain + 0.004 * soft["pitch"] - 0.006 * breathing,
    }


def _gaze_target(timing: SpeechTiming, plan: DirectionPlan, lead_in: float, ticks: int) -> NDArray[np.float64]:
    """Where the lines want the eyes: a line that looks away still comes back to the camera at its end."""
    target = np.zeros((ticks, 2))
    wanted = {line.index: line.gaze for line in plan.lines}
    for line in timing.lines:
        x, y = GAZES.get(wanted.get(line.index, "camera"), (0.0, 0.0))
        side = -1.0 if line.index % 2 else 1.0
        back = line.start + 0.8 * (line.end - line.start)
        target[int((line.start + lead_in - 0.1) * RATE_HZ) : int((back + lead_in) * RATE_HZ)] = (x * side, y)
    return target
