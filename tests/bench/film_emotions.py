"""One line in seven emotions, spoken by a trained voice and shown by a person's rig: can they be told apart?

`MEMORIAL_BENCH_SPEAKER` names the ``model.safetensors`` of a trained voice. Each of `TEXTS` is spoken and shown in
every emotion; what is measured is what reaches the family: sound (WORLD) and the landmarks of rendered pictures. A
classifier (Fisher's linear discriminant) judges each sentence after having seen the others only, every measure taken
relative to its sentence. Chance is 1/7.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyworld
from numpy.typing import NDArray

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import LEAD_IN, DirectionPlan, LineTime, SpeechTiming
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.face import track
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.performance.perform import Habits, perform
from memorial_tasks.performance.score import PerformanceScore

TEXTS = (
    "We are all together in the garden now.",
    "Tomorrow morning the train leaves at nine.",
    "Your grandmother kept the letters in a drawer.",
    "There was always a light in the window.",
    "Put the kettle on and sit down with me.",
    "The river runs behind the old house.",
)
VOICE = ("pitch", "melody", "level", "tempo")
FACE = ("corners", "brow", "nod", "sway")
EVERY = 4  # of the rendered pictures one is looked at
INTENSITY = 0.75
Sound = NDArray[np.float32]


def emotions(voice: Path, renderer: Any, models: Any, habits: Habits | None) -> dict[str, float]:
    """The figures of `judged` for a trained voice."""
    from memorial_tasks.voice.model import VoiceModel
    from memorial_tasks.voice.synthesize import speak

    model = VoiceModel.load(voice)
    said = []
    for number, text in enumerate(TEXTS):
        lines = [ScriptLine(text=text, emotion=emotion, intensity=INTENSITY) for emotion in Emotion]
        plan = direct_script(lines, Language.EN_US)
        said.append((plan, *speak(model, plan, seed=number)))
    return judged(said, renderer, models, habits)


def judged(
    said: Sequence[tuple[DirectionPlan, Sound, SpeechTiming]], renderer: Any, models: Any, habits: Habits | None
) -> dict[str, float]:
    """``film.emotion_told`` (all measures), ``film.emotion_told_voice`` and ``_face``: share of lines whose emotion is
    told; ``film.emotion_f_<measure>``: variance between emotions over that within one (F, 6 and 35 degrees). Each plan
    says one sentence in all emotions."""
    rows, labels, sentences = [], [], []
    for number, (plan, sound, timing) in enumerate(said):
        score = perform(timing, sound, timing.sample_rate, plan, number, habits)
        table = np.array([_line(line, timing, sound, score, renderer, models) for line in timing.lines])
        rows.append((table - table.mean(axis=0)) / (np.abs(table).mean(axis=0) + 1e-9))
        labels += [list(Emotion).index(line.emotion) for line in timing.lines]
        sentences += [number] * len(timing.lines)
    table, label, sentence = np.concatenate(rows), np.array(labels), np.array(sentences)
    result = {
        "film.emotion_told": told(table, label, sentence),
        "film.emotion_told_voice": told(table[:, : len(VOICE)], label, sentence),
        "film.emotion_told_face": told(table[:, len(VOICE) :], label, sentence),
        "film.emotion_told_shuffled": told(table, np.random.default_rng(0).permutation(label), sentence),
    }
    return result | {f"film.emotion_f_{name}": spread(table[:, at], label) for at, name in enumerate(VOICE + FACE)}


def _line(
    line: LineTime, timing: SpeechTiming, sound: Sound, score: PerformanceScore, renderer: Any, models: Any
) -> list[float]:
    rate = timing.sample_rate
    low, high = (int((second + LEAD_IN) * 25) for second in (line.start, line.end))
    curves = {name: curve[low:high:EVERY] for name, curve in score.sampled(25).items()}
    pictures = renderer.frames(curves, 25 / EVERY)
    seen = np.array(track.follow(((n * EVERY / 25, picture) for n, picture in enumerate(pictures)), models))
    phones = sum(line.start <= phone.start < line.end for phone in timing.phones)
    return heard(sound[int(line.start * rate) : int(line.end * rate)], rate, phones) + looked(seen)


def heard(spoken: NDArray[np.float32], rate: int, phones: int) -> list[float]:
    """Semitones of the median, their 10 to 90 % range, dB, phones a second."""
    sound = np.ascontiguousarray(spoken, np.float64)
    hertz = pyworld.dio(sound, rate, f0_floor=60, f0_ceil=450)[0]
    tone = 12 * np.log2(hertz[hertz > 0] / 50) if (hertz > 0).any() else np.zeros(1)
    level = 20 * np.log10(np.sqrt((sound**2).mean()) + 1e-9)
    return [float(np.median(tone)), float(np.ptp(np.percentile(tone, [10, 90]))), level, phones * rate / len(sound)]


def looked(seen: NDArray[np.float64]) -> list[float]:
    """Corners of the mouth, brows, the head's lowering in degrees and how fast it turns."""
    column = {name: seen[:, index] for index, name in enumerate(track.COLUMNS)}
    corners = (column["corner_left"] + column["corner_right"]) / 2
    turning = np.hypot(np.diff(column["yaw"]), np.diff(column["pitch"])) / np.diff(column["time"])
    return [float(np.mean(value)) for value in (corners, column["brow"], column["pitch"], turning)]


def told(table: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    """Share of rows whose label a linear discriminant names that has never seen their group."""
    right = 0
    for group in np.unique(groups):
        known = groups != group
        middle, scale = table[known].mean(axis=0), table[known].std(axis=0) + 1e-9
        x, y = (table - middle) / scale, labels[known]
        centres = np.stack([x[known][y == label].mean(axis=0) for label in np.unique(labels)])
        within = x[known] - centres[y]
        covariance = 0.8 * within.T @ within / len(within) + 0.2 * np.eye(x.shape[1]) * (within**2).mean()
        weights = np.linalg.solve(covariance, centres.T)
        scores = x[~known] @ weights - 0.5 * (centres.T * weights).sum(axis=0)
        right += int((scores.argmax(axis=1) == labels[~known]).sum())
    return right / len(labels)


def spread(column: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """F of a one-way analysis of variance."""
    groups = [column[labels == label] for label in np.unique(labels)]
    between = sum(len(group) * (group.mean() - column.mean()) ** 2 for group in groups) / (len(groups) - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (len(column) - len(groups))
    return float(between / max(within, 1e-12))
