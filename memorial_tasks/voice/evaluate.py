"""How good a voice is, in numbers: mel-cepstral distortion, word errors by the same judge, timbre."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.align import warp_path
from memorial_tasks.voice.features import CEPSTRA, LF0, VUV, Frames, cepstral_scale


def distortion(real: Frames, made: Frames) -> float:
    """Mel-cepstral distortion in dB over 24 coefficients after time warping, where the real voice is heard
    (lower is better)."""
    left, right = real[::2, 1:25], made[::2, 1:25]
    path, _ = warp_path(left, right)
    quiet, loud = np.percentile(real[::2, 0], [5, 95])
    heard = real[::2, 0] > quiet + 0.35 * (loud - quiet)
    return float(np.sqrt(((left - right[path]) ** 2).sum(axis=1))[heard].mean() * cepstral_scale())


def frame_distortion(real: Frames, made: Frames) -> float:
    """Mel-cepstral distortion in dB frame by frame, for frames that stand at the same times."""
    count = min(len(real), len(made))
    return float(
        np.sqrt(((real[:count, 1:CEPSTRA] - made[:count, 1:CEPSTRA]) ** 2).sum(axis=1)).mean() * cepstral_scale()
    )


def word_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein distance in words: substitutions, deletions and insertions."""
    row: NDArray[np.int64] = np.arange(len(heard) + 1)
    for i, word in enumerate(reference, 1):
        previous, row = row, np.empty_like(row)
        row[0] = i
        for j, other in enumerate(heard, 1):
            row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (word != other))
    return int(row[-1])


def plain_words(text: str) -> list[str]:
    """Lower-case words without punctuation, for comparing what was said with what was heard."""
    return [word for word in "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split() if word]


def pitch_agreement(real: Frames, made: Frames) -> tuple[float, float]:
    """Root mean square difference in cents and correlation of log F0, for frames that stand at the same times.
    Counted where the real voice sounds; (nan, nan) when it hardly does."""
    count = min(len(real), len(made))
    voiced = real[:count, VUV] > 0.5
    if voiced.sum() < 20:
        return float("nan"), float("nan")
    left, right = real[:count][voiced, LF0], made[:count][voiced, LF0]
    cents = 1200 / np.log(2) * np.sqrt(((left - right) ** 2).mean())
    return float(cents), float(np.corrcoef(left, right)[0, 1])
