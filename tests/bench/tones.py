"""Which Mandarin tone a pitch contour is: a judge of speech that knows nothing but Chao's tone letters.

Each syllable's log F0, in standard deviations of its utterance and freed of the utterance's downward drift, is read at
five places of its voiced part and compared with the four citation tones (Chao 1930: 55, 35, 21(4), 51). It is told
nothing of the speakers, so only the difference to the same judge on real recordings means anything. Syllables in the
neutral tone, and those with less than 50 ms of voice, are not judged.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.features import LF0, VUV, Frames
from memorial_tasks.voice.phones import FINALS
from memorial_tasks.voice.sequence import TimedRow

_LEAST = 10  # voiced frames
_LETTERS = {1: (5, 5, 5, 5, 5), 2: (3, 3, 3.5, 4.2, 5), 3: (2.5, 1.7, 1.1, 1.1, 1.6), 4: (5, 4.6, 3.6, 2.3, 1)}
# one tone letter is about 0.7 standard deviations of an utterance's pitch, letter 3 its middle
TEMPLATES = {tone: (np.array(letters, np.float64) - 3.0) * 0.7 for tone, letters in _LETTERS.items()}
_LEVEL = 0.4  # weight of the height against the shape: height moves with emphasis and place, shape does not


def nearest_tone(contour: NDArray[np.float64]) -> int:
    """The tone 1..4 whose template is nearest to five values in standard deviations."""

    def distance(tone: int) -> float:
        other = TEMPLATES[tone]
        shape = (contour - contour.mean()) - (other - other.mean())
        return float((shape**2).mean() + _LEVEL * (contour.mean() - other.mean()) ** 2)

    return min(TEMPLATES, key=distance)


def tones_heard(timed: TimedRow, frames: Frames) -> list[tuple[int, int]]:
    """(tone meant, tone heard) of every syllable of one utterance that can be judged."""
    spans = []
    for phone, start, end in zip(timed.row.phones, timed.edges, timed.edges[1:], strict=False):
        if phone.name not in FINALS or phone.tone not in TEMPLATES:
            continue
        part = frames[int(start) : int(end)]
        voiced = part[part[:, VUV] > 0.5, LF0].astype(np.float64)
        if voiced.size >= _LEAST:
            places = np.interp(np.linspace(0.1, 0.95, 5) * (voiced.size - 1), np.arange(voiced.size), voiced)
            spans.append((phone.tone, (int(start) + int(end)) / 2, places))
    if len(spans) < 2:
        return []
    when = np.array([middle for _, middle, _ in spans])
    values = np.array([places for _, _, places in spans])
    drift = min(0.0, float(np.polyfit(when, values.mean(axis=1), 1)[0])) if len(spans) > 3 else 0.0
    level = values - drift * (when - when.mean())[:, None]
    normal = (level - level.mean()) / (level.std() + 1e-6)
    return [(tone, nearest_tone(contour)) for (tone, _, _), contour in zip(spans, normal, strict=True)]


def accuracy(pairs: Sequence[tuple[int, int]]) -> float:
    """Share of syllables heard in the tone that was meant."""
    return float(np.mean([meant == heard for meant, heard in pairs])) if pairs else float("nan")
