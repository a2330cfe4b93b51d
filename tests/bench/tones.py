"""Which Mandarin tone a pitch contour is: a judge fitted on real recordings.

Each syllable's log F0, in standard deviations of its utterance and freed of the utterance's downward drift, is read at
five places of its voiced part; where the syllable before ended and the next one begins stands beside them, because
tones bend to their neighbours (Xu 1997). The judge is linear discriminant analysis over these numbers. It hears real
recordings it was not fitted on right only in part, so only the difference to them means anything. Syllables in the
neutral tone, and those with less than 50 ms of voice, are not judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.features import LF0, VUV, Frames
from memorial_tasks.voice.phones import FINALS
from memorial_tasks.voice.sequence import TimedRow

_LEAST = 10  # voiced frames
_PLACES = np.linspace(0.1, 0.95, 5)
TONES = (1, 2, 3, 4)
_Doubles = NDArray[np.float64]
Syllables = list[tuple[int, _Doubles]]


def syllables(timed: TimedRow, frames: Frames) -> Syllables:
    """(tone meant, seven numbers) of every syllable of one utterance that can be judged."""
    spans = []
    for phone, start, end in zip(timed.row.phones, timed.edges, timed.edges[1:], strict=False):
        if phone.name not in FINALS or phone.tone not in (*TONES, 5):
            continue
        part = frames[int(start) : int(end)]
        voiced = part[part[:, VUV] > 0.5, LF0].astype(np.float64)
        if voiced.size >= _LEAST:
            places = np.interp(_PLACES * (voiced.size - 1), np.arange(voiced.size), voiced)
            spans.append((phone.tone, (int(start) + int(end)) / 2, places))
    if len(spans) < 2:
        return []
    when = np.array([middle for _, middle, _ in spans])
    values = np.array([places for _, _, places in spans])
    drift = min(0.0, float(np.polyfit(when, values.mean(axis=1), 1)[0])) if len(spans) > 3 else 0.0
    level = values - drift * (when - when.mean())[:, None]
    normal = (level - level.mean()) / (level.std() + 1e-6)
    before = np.r_[0.0, normal[:-1, -1]]
    after = np.r_[normal[1:, 0], 0.0]
    numbers = np.column_stack([normal, before, after])
    return [(tone, row) for (tone, _, _), row in zip(spans, numbers, strict=True) if tone in TONES]


@dataclass(frozen=True)
class ToneJudge:
    """Linear discriminants: a syllable is the tone with the greatest `weights` [4, 7] times numbers plus `bias` [4]."""

    weights: _Doubles
    bias: _Doubles

    @staticmethod
    def fit(known: Syllables) -> "ToneJudge":
        """Class means and one shared covariance, drawn a tenth towards its diagonal. Tones count alike."""
        x, y = np.array([row for _, row in known]), np.array([tone for tone, _ in known])
        means = np.array([x[y == tone].mean(axis=0) for tone in TONES])
        inner = x - means[y - 1]
        covariance = inner.T @ inner / len(x)
        covariance = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance)) + 1e-3 * np.eye(x.shape[1])
        weights = np.linalg.solve(covariance, means.T).T
        return ToneJudge(weights, -0.5 * (weights * means).sum(axis=1))

    def hear(self, numbers: _Doubles) -> int:
        """The tone 1..4 of one syllable."""
        return TONES[int(np.argmax(self.weights @ numbers + self.bias))]

    def accuracy(self, said: Syllables) -> float:
        """Share of syllables heard in the tone that was meant."""
        return float(np.mean([self.hear(row) == tone for tone, row in said])) if said else float("nan")


def left_out_accuracy(utterances: Sequence[Syllables]) -> float:
    """Accuracy over utterances, each judged by a judge that was fitted on all the others."""
    right = total = 0
    for number, own in enumerate(utterances):
        judge = ToneJudge.fit([item for other, rest in enumerate(utterances) if other != number for item in rest])
        right += sum(judge.hear(row) == tone for tone, row in own)
        total += len(own)
    return right / total if total else float("nan")
