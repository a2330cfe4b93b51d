"""One line in seven emotions: a classifier of our own, knowing nothing but measurements, tells them apart."""

import numpy as np
import pytest
import pyworld
from numpy.typing import NDArray

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import DirectedLine, LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.performance.perform import perform

RATE = 16000
WORDS = (
    ("my", "M AY"),
    ("dear", "D IY R"),
    ("people", "P IY P AX L"),
    ("we", "W IY"),
    ("are", "AA R"),
    ("home", "HH OW M"),
)
TAKES = 6
NAMES = ("f0", "range", "energy", "tempo", "smile", "brow_inner", "brow_outer", "nod", "sway")
Table = NDArray[np.float64]


def said(line: DirectedLine, take: int) -> tuple[SpeechTiming, NDArray[np.float32]]:
    """A speaker who does what the plan says, and like every speaker never twice the same: half a semitone, five percent
    of tempo and ten of loudness between takes. Stands in for the trained voice, which unit tests do not have."""
    random = np.random.default_rng(100 + take)
    pitch = 120 * 2 ** ((line.pitch_shift + random.normal(0, 0.5)) / 12)
    pace, loud = line.pace * random.normal(1, 0.05), 0.12 * line.energy * random.normal(1, 0.1)
    phones, words, waves, clock, phase = [PhoneTime(phone="SIL", start=0, end=0.3)], [], [], 0.3, 0.0
    for number, (text, names) in enumerate(WORDS):
        begin = clock
        for name in names.split():
            vowel = name[0] in "AEIOU"
            length = (0.15 if vowel else 0.07) / pace
            time = clock + np.arange(round(length * RATE)) / RATE
            melody = 2.2 * line.pitch_range * np.sin(2 * np.pi * (time - 0.3) * pace / 0.9 + 0.2 * take)
            steps = 2 * np.pi * pitch * 2 ** (melody / 12) / RATE
            angle = phase + np.cumsum(steps)
            phase = float(angle[-1])
            level = loud * (1.0 if vowel else 0.3) * (1.25 if number % 3 == 1 else 1.0)
            waves.append((sum(np.sin(k * angle) / k for k in range(1, 9)) * level).astype(np.float32))
            phones.append(PhoneTime(phone=name, start=clock, end=clock + length, stress=float(vowel)))
            clock += length
        words.append(WordTime(text=text, start=begin, end=clock))
    sound = np.concatenate([np.zeros(round(0.3 * RATE)), *waves, np.zeros(round(0.4 * RATE))]).astype(np.float32)
    phones.append(PhoneTime(phone="SIL", start=clock, end=clock + 0.4))
    spoken = LineTime(
        index=0, text=line.text, language=line.language, emotion=line.emotion, intensity=line.intensity, start=0.3,
        end=clock,
    )  # fmt: skip
    return SpeechTiming(
        sample_rate=RATE, duration=len(sound) / RATE, lines=(spoken,), words=tuple(words), phones=tuple(phones)
    ), sound


def measured(timing: SpeechTiming, sound: NDArray[np.float32], curves: dict[str, NDArray[np.float32]]) -> list[float]:
    """What can be heard and seen: from the sound itself (WORLD), and from the curves while the line is spoken."""
    line = timing.lines[0]
    spoken = np.ascontiguousarray(sound[int(line.start * RATE) : int(line.end * RATE)], np.float64)
    hertz = pyworld.dio(spoken, RATE, f0_floor=60, f0_ceil=400)[0]
    tone = 12 * np.log2(hertz[hertz > 0] / 100)
    here = {name: curve[int((line.start + 0.8) * 100) : int((line.end + 0.8) * 100)] for name, curve in curves.items()}
    return [
        float(np.median(tone)), float(np.ptp(np.percentile(tone, [10, 90]))),
        float(20 * np.log10(np.sqrt((spoken**2).mean()))), len(timing.phones) / (line.end - line.start),
        float(here["smile"].mean()), float(here["brow_inner"].mean()), float(here["brow_outer"].mean()),
        float(here["head_pitch"].mean()),
        float(np.abs(np.diff(np.stack([here[f"head_{axis}"] for axis in ("yaw", "pitch", "roll")]))).mean() * 100),
    ]  # fmt: skip


def accuracy(table: Table, labels: NDArray[np.int64], takes: NDArray[np.int64]) -> float:
    """Linear discriminant analysis (Fisher 1936) on one common, shrunken covariance; each take is judged by a
    classifier that never heard it."""
    right = 0
    for take in np.unique(takes):
        known, asked = takes != take, takes == take
        middle, spread = table[known].mean(axis=0), table[known].std(axis=0) + 1e-9
        x, y = (table - middle) / spread, labels[known]
        centres = np.stack([x[known][y == label].mean(axis=0) for label in np.unique(labels)])
        within = x[known] - centres[y]
        covariance = 0.8 * within.T @ within / len(within) + 0.2 * np.eye(x.shape[1]) * (within**2).mean()
        weights = np.linalg.solve(covariance, centres.T)
        scores = x[asked] @ weights - 0.5 * (centres.T * weights).sum(axis=0)
        right += int((scores.argmax(axis=1) == labels[asked]).sum())
    return right / len(labels)


@pytest.fixture(scope="module")
def performances() -> tuple[Table, NDArray[np.int64], NDArray[np.int64]]:
    rows, labels, takes = [], [], []
    for label, emotion in enumerate(Emotion):
        for take in range(TAKES):
            text = ScriptLine(text="my dear people we are home", emotion=emotion, intensity=0.75)
            plan = direct_script([text], Language.EN_US)
            timing, sound = said(plan.lines[0], take)
            score = perform(timing, sound, RATE, plan, seed=1000 * label + take)
            rows.append(measured(timing, sound, dict(score.curves)))
            labels.append(label)
            takes.append(take)
    return np.array(rows), np.array(labels), np.array(takes)


def test_all_measurements_together_tell_the_seven_apart(performances) -> None:
    table, labels, takes = performances
    assert accuracy(table, labels, takes) > 0.9
    shuffled = np.random.default_rng(0).permutation(labels)
    assert accuracy(table, shuffled, takes) < 0.4, "the classifier finds what is not there"


@pytest.mark.parametrize(
    ("what", "columns"),
    [("voice", ("f0", "range", "energy", "tempo")), ("face", ("smile", "brow_inner", "brow_outer"))],
)
def test_the_voice_alone_and_the_face_alone_carry_emotion(performances, what, columns) -> None:
    table, labels, takes = performances
    chosen = table[:, [NAMES.index(name) for name in columns]]
    assert accuracy(chosen, labels, takes) > 0.6, what


@pytest.mark.parametrize("name", NAMES)
def test_every_single_measure_moves_with_the_emotion(performances, name) -> None:
    """More spread between emotions than within one (F of a one-way analysis of variance, 6 and 35 degrees)."""
    table, labels, _ = performances
    column = table[:, NAMES.index(name)]
    groups = [column[labels == label] for label in range(len(Emotion))]
    between = sum(len(group) * (group.mean() - column.mean()) ** 2 for group in groups) / (len(groups) - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (len(column) - len(groups))
    assert between / within > 3.4, "not beyond the 1 % limit of chance"


def test_the_directions_are_those_people_expect(performances) -> None:
    table, labels, _ = performances
    mean = {emotion: table[labels == label].mean(axis=0) for label, emotion in enumerate(Emotion)}
    joy, grief, plain = (mean[emotion] for emotion in (Emotion.HAPPY, Emotion.SAD, Emotion.NEUTRAL))
    for name in ("f0", "range", "energy", "tempo", "smile", "sway"):
        at = NAMES.index(name)
        assert joy[at] > plain[at] > grief[at], name
    assert grief[NAMES.index("brow_inner")] > plain[NAMES.index("brow_inner")]
    assert grief[NAMES.index("nod")] > plain[NAMES.index("nod")] > mean[Emotion.PROUD][NAMES.index("nod")]
