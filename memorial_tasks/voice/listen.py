"""Hearing a line back: where each phone stands in a sound, and whether its words can be told.

Each phone is three Gaussians (beginning, middle, end; diagonal, over cepstra 1..24 of the person's own frames and of
practice speech moved to their timbre), so it knows both languages, costs a few milliseconds a second of speech, and is
no part of the networks it judges. Alignment is Viterbi (Rabiner 1989) over the states of the written phones; a word's
score is the mean log likelihood of its own states over that of all phones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.features import FRAME, Frames
from memorial_tasks.voice.phones import INDEX, PHONES
from memorial_tasks.voice.sequence import PhoneRow, TimedRow

STATES = 3
_COLUMNS = slice(1, 25)
_FLOOR, _SHRINK = 0.15, 12.0  # least variance (normalised), pseudo-count of the all-phones variance
_Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class WordHeard:
    """One word of a line: `score` nats a frame above chance, `shift` seconds between where it was meant to begin and
    where it was found."""

    score: float
    shift: float


@dataclass(frozen=True)
class Listener:
    """`mean` and `scale` float32 [phones, STATES, 24] of normalised cepstra; `least` the score under which a word of
    real speech is in the lowest two in a hundred; phones never heard have NaN means and are left out of comparisons.
    `made` float32 [2, 24]: what is added to the cepstra of a sound this voice makes, after they are multiplied, so that
    they stand where those of the same recording stand."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    least: float
    made: NDArray[np.float32] = field(default_factory=lambda: np.stack([np.zeros(24), np.ones(24)]).astype(np.float32))

    def likelihoods(self, frames: Frames) -> _Doubles:
        """Log likelihood [frames, phones * STATES] of normalised frames; -inf for phones never heard."""
        return log_likelihoods(self.mean, self.scale, frames[:, _COLUMNS])

    def scores(self, frames: Frames, timed: TimedRow) -> _Doubles:
        """Nats above chance of every word of a timed row, float64 [words]; 0 where no phone is known."""
        likelihood = self.likelihoods(frames)
        return _word_scores(likelihood, timed.row, _state_spans(timed.edges), self._chance(likelihood))

    def hear(self, frames: Frames, timed: TimedRow) -> list[WordHeard]:
        """The words of `timed` looked for in normalised `frames` of a sound that should say them at these times."""
        likelihood = self.likelihoods(self.as_recorded(frames))
        edges = best_edges(likelihood, timed.row)
        scores = _word_scores(likelihood, timed.row, _state_spans(edges), self._chance(likelihood))
        starts = [timed.row.word.index(number) for number in range(len(timed.row.words))]
        return [
            WordHeard(float(score), float(edges[start] - timed.edges[start]) * FRAME)
            for score, start in zip(scores, starts, strict=True)
        ]

    def as_recorded(self, frames: Frames) -> Frames:
        """Normalised frames of a sound this voice made, moved to where recordings stand."""
        out = frames.astype(np.float32)
        out[:, _COLUMNS] = out[:, _COLUMNS] * self.made[1] + self.made[0]
        return out

    @staticmethod
    def _chance(likelihood: _Doubles) -> _Doubles:
        top = likelihood.max(axis=1, keepdims=True)
        known = max(1, int(np.isfinite(likelihood[0]).sum()))
        return np.asarray(np.log(np.exp(likelihood - top).sum(axis=1) / known) + top[:, 0], np.float64)


def fit(rows: Sequence[tuple[TimedRow, Frames]], real: Sequence[tuple[TimedRow, Frames]]) -> Listener:
    """A listener from timed rows with normalised frames; `real` (the person's own) sets its limit."""
    mean, scale = state_statistics([(timed, frames[:, _COLUMNS]) for timed, frames in rows])
    listener = Listener(mean, scale, 0.0)
    scores = [listener.scores(frames, timed) for timed, frames in real]
    least = float(np.percentile(np.concatenate(scores), 2)) if scores else 0.0
    return Listener(listener.mean, listener.scale, least)


def between(made: Frames, recorded: Frames) -> NDArray[np.float32]:
    """`Listener.made` from the frames of what a voice makes [frames, WIDTH] and of recordings that say the same."""
    ours, theirs = made[:, _COLUMNS], recorded[:, _COLUMNS]
    stretch = theirs.std(axis=0) / (ours.std(axis=0) + 1e-3)
    return np.stack([theirs.mean(axis=0) - ours.mean(axis=0) * stretch, stretch]).astype(np.float32)


def state_statistics(
    rows: Sequence[tuple[TimedRow, NDArray[np.float32]]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and variance float32 [phones, STATES, columns] of each third of each phone in normalised `rows`; the mean of
    a phone that is not among them is NaN."""
    total = np.zeros((len(PHONES), STATES, 3, rows[0][1].shape[1]))
    for timed, frames in rows:
        for phone, spans in zip(timed.row.phones, _state_spans(timed.edges), strict=True):
            for state, (start, end) in enumerate(spans):
                part = frames[start:end].astype(np.float64)
                total[INDEX[phone.name], state, 0] += len(part)
                total[INDEX[phone.name], state, 1] += part.sum(axis=0)
                total[INDEX[phone.name], state, 2] += (part**2).sum(axis=0)
    count = total[:, :, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total[:, :, 1] / count, np.nan)
        spread = total[:, :, 2] - np.nan_to_num(mean) ** 2 * count
    common = spread.sum(axis=(0, 1)) / np.maximum(count.sum(axis=(0, 1)), 1)
    scale = np.maximum((spread + _SHRINK * common) / (count + _SHRINK), _FLOOR)
    return mean.astype(np.float32), scale.astype(np.float32)


def log_likelihoods(mean: NDArray[np.float32], scale: NDArray[np.float32], frames: NDArray[np.float32]) -> _Doubles:
    """Log likelihood [frames, phones * STATES] of normalised `frames` [frames, columns]; -inf where a mean is NaN."""
    x = frames.astype(np.float64)
    centre = mean.reshape(-1, x.shape[1]).astype(np.float64)
    known = np.isfinite(centre[:, 0])
    centre, precision = centre[known], 1.0 / scale.reshape(-1, x.shape[1])[known].astype(np.float64)
    out = np.full((len(x), len(known)), -np.inf)
    spread = (centre**2 * precision).sum(axis=1) - np.log(precision).sum(axis=1)
    out[:, known] = -0.5 * (x**2 @ precision.T - 2 * x @ (centre * precision).T + spread)
    return out


def _state_spans(edges: Sequence[int] | NDArray[np.int32]) -> list[list[tuple[int, int]]]:
    """First and last frame of the beginning, middle and end of every phone; short phones share frames."""
    out = []
    for start, end in pairwise(edges):
        cuts = np.linspace(int(start), max(int(end), int(start) + 1), STATES + 1)
        out.append([(int(a), max(int(a) + 1, round(float(b)))) for a, b in pairwise(cuts)])
    return out


def _word_scores(likelihood: _Doubles, row: PhoneRow, spans: list[list[tuple[int, int]]], chance: _Doubles) -> _Doubles:
    sums, counts = np.zeros(len(row.words)), np.zeros(len(row.words))
    for phone, word, own in zip(row.phones, row.word, spans, strict=True):
        if word < 0:
            continue
        for state, (start, end) in enumerate(own):
            values = likelihood[start:end, INDEX[phone.name] * STATES + state] - chance[start:end]
            values = np.maximum(values[np.isfinite(values)], -15.0)
            sums[word] += values.sum()
            counts[word] += values.size
    return np.asarray(sums / np.maximum(counts, 1), np.float64)


def best_edges(likelihood: _Doubles, row: PhoneRow) -> NDArray[np.int32]:
    """Edges int32 [phones + 1] of the best path through the states of `row`, each held for a frame or more."""
    columns = np.array([INDEX[phone.name] * STATES + state for phone in row.phones for state in range(STATES)])
    score = likelihood[:, columns]
    score = np.where(np.isfinite(score), score, np.nanmedian(np.where(np.isfinite(score), score, np.nan)))
    frames, states = score.shape
    if frames < states:  # faster than one frame a state: spread evenly
        return np.asarray(np.round(np.linspace(0, frames, len(row.phones) + 1)), np.int32)
    best = np.full(states, -np.inf)
    best[0] = score[0, 0]
    stayed = np.ones((frames, states), np.bool_)
    for frame in range(1, frames):
        moved = np.r_[-np.inf, best[:-1]]
        stay = best >= moved
        stayed[frame] = stay
        best = np.where(stay, best, moved) + score[frame]
    path = np.empty(frames, np.int64)
    state = states - 1
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(not stayed[frame, state])
    starts = np.searchsorted(path, np.arange(0, states, STATES))
    return np.asarray(np.r_[starts, frames], np.int32)
