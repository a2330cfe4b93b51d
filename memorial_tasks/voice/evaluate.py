"""How good a voice is, in numbers: mel-cepstral distortion, word errors by the same judge, timbre."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.align import warp_path
from memorial_tasks.voice.audio import Wave
from memorial_tasks.voice.features import CEPSTRA, Frames, cepstral_scale


def distortion(real: Frames, made: Frames) -> float:
    """Mel-cepstral distortion in dB over the first 24 coefficients after time warping (lower is better)."""
    left, right = real[::2, 1:25], made[::2, 1:25]
    path, _ = warp_path(left, right)
    return float(np.sqrt(((left - right[path]) ** 2).sum(axis=1)).mean() * cepstral_scale())


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


def voiced_pitch(wave: Wave, frames: Frames) -> float:
    """Median pitch in Hz of the voiced frames."""
    from memorial_tasks.voice.features import LF0, VUV

    voiced = frames[frames[:, VUV] > 0.5, LF0]
    return float(np.exp(np.median(voiced))) if voiced.size else 0.0
