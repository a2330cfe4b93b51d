"""Timed rows put astray, and how far found ones are from the truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.sequence import TimedRow


def astray(timed: TimedRow) -> TimedRow:
    """The same row with every inner edge up to 60 ms away from its place."""
    edges = timed.edges.astype(np.int64)
    moved = edges + np.random.default_rng(int(edges[-1])).integers(-12, 13, edges.size)
    moved[0], moved[-1] = 0, edges[-1]
    moved = np.maximum.accumulate(moved)
    for index in range(1, edges.size - 1):
        moved[index] = min(max(moved[index], moved[index - 1] + 1), edges[-1] - (edges.size - 1 - index))
    return TimedRow(timed.row, moved.astype(np.int32))


def errors(found: Sequence[TimedRow], truth: Sequence[TimedRow]) -> NDArray[np.int64]:
    """Milliseconds between where words begin."""
    return np.array(
        [
            5 * abs(int(one.edges[one.row.word.index(word)]) - int(other.edges[other.row.word.index(word)]))
            for one, other in zip(found, truth, strict=True)
            for word in range(len(other.row.words))
        ]
    )
