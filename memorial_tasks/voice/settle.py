"""Phone times settled by the recordings themselves, after a first alignment.

A first alignment (pocketsphinx, or espeak-ng warped onto the recording) knows the order of the phones, and their places
within some 50 ms. From all recordings together follows what each phone sounds like in them, from that where it begins
and ends, from that again what it sounds like: Viterbi training of a hidden Markov model with one Gaussian a state
(Rabiner 1989, section VI.B). Nobody else's speech is needed for it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.features import VUV
from memorial_tasks.voice.listen import best_edges, log_likelihoods, state_statistics
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.text.units import PAUSE_NONE, PAUSE_SHORT

_ROUNDS, _STILL = 6, 0.4  # at most, and the mean movement in frames under which it has settled
_CEPSTRA, _CHANGING, _REACH = 25, 13, 4  # columns, those whose change is looked at, and over how many frames
_VOICING = 1.5  # weight of voicing among the columns
_REST = 8  # frames: a pause shorter than 40 ms belongs to the phone before it


def settle(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The same utterances with better times. A pause that is not heard is taken out of its row."""
    if not utterances:
        return []
    frames = [_columns(utterance) for utterance in utterances]
    timed = [utterance.timed for utterance in utterances]
    for _ in range(_ROUNDS):
        mean, scale = state_statistics(list(zip(timed, frames, strict=True)))
        found = [best_edges(log_likelihoods(mean, scale, own), one.row) for one, own in zip(timed, frames, strict=True)]
        moved = np.concatenate([np.abs(edges - one.edges) for edges, one in zip(found, timed, strict=True)])
        timed = [TimedRow(one.row, edges) for one, edges in zip(timed, found, strict=True)]
        if moved.mean() < _STILL:
            break
    return [
        replace(utterance, timed=heard_pauses(without_rests(one)))
        for utterance, one in zip(utterances, timed, strict=True)
    ]


def _columns(utterance: Utterance) -> NDArray[np.float32]:
    """What tells phones apart, float32 [frames, 39]: envelope, voicing, and how the envelope changes; each utterance in
    its own normal space, so that recordings of several speakers stand side by side."""
    frames = utterance.frames[: int(utterance.timed.edges[-1])].astype(np.float64)
    still = np.column_stack([frames[:, :_CEPSTRA], frames[:, VUV]])
    near = np.pad(still[:, :_CHANGING], ((_REACH, _REACH), (0, 0)), "edge")
    change = near[2 * _REACH :] - near[: -2 * _REACH]
    columns = np.column_stack([still, change])
    columns = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-3)
    columns[:, _CEPSTRA] *= _VOICING
    return np.asarray(columns, np.float32)


def without_rests(timed: TimedRow) -> TimedRow:
    """The row without the pauses between words that are shorter than 40 ms; their time goes to the phone before."""
    row, edges = timed.row, timed.edges
    last = len(row.phones) - 1
    kept = [
        index
        for index, length in enumerate(np.diff(edges))
        if row.word[index] >= 0 or index in {0, last} or length >= _REST
    ]
    phones, word = tuple(row.phones[index] for index in kept), tuple(row.word[index] for index in kept)
    return TimedRow(PhoneRow(phones, word, row.words), edges[[*kept, last + 1]])


def heard_pauses(timed: TimedRow) -> TimedRow:
    """Give each word the pause that is really heard after it, so that a model learns what a pause sounds like."""
    row = timed.row
    heard = {row.word[i - 1] for i in range(1, len(row.word)) if row.word[i] < 0 <= row.word[i - 1]}
    last = len(row.words) - 1
    words = tuple(
        replace(word, pause=word.pause if n == last else max(word.pause, PAUSE_SHORT) if n in heard else PAUSE_NONE)
        for n, word in enumerate(row.words)
    )
    return TimedRow(PhoneRow(row.phones, row.word, words), timed.edges)
