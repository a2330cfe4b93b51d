"""Timed speech as what a network is shown: each speaker in their own normal space, with how excited they speak."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.batches import Example
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.features import LF0, VUV, Frames
from memorial_tasks.voice.phones import SILENCE
from memorial_tasks.voice.sequence import TimedRow, describe

_FEW = 8  # utterances from which on a speaker's own spread of excitement is known
_MOST = 2.0  # standard deviations of arousal


def spoken_frames(timed: TimedRow) -> NDArray[np.bool_]:
    """Which frames belong to a phone and not to a pause, bool [edges[-1]]."""
    spoken = np.array([phone.name != SILENCE for phone in timed.row.phones], np.bool_)
    return np.repeat(spoken, np.diff(timed.edges))


def statistics(rows: Sequence[Utterance] | Sequence[tuple[TimedRow, Frames]]) -> tuple[Frames, Frames]:
    """Mean and standard deviation float32 [WIDTH] of one speaker's spoken frames; log F0 over voiced ones only."""
    pairs = [(row.timed, row.frames) if isinstance(row, Utterance) else row for row in rows]
    speech = np.concatenate([frames[spoken_frames(timed)] for timed, frames in pairs])
    mean, std = speech.mean(axis=0), speech.std(axis=0) + 1e-4
    voiced = speech[speech[:, VUV] > 0.5, LF0]
    mean[LF0], std[LF0] = voiced.mean(), voiced.std() + 1e-3
    mean[VUV], std[VUV] = 0.5, 0.5
    return mean.astype(np.float32), std.astype(np.float32)


def arousals(utterances: Sequence[Utterance]) -> list[float]:
    """How excited each utterance of one speaker is, in standard deviations of their own speech, -2..2.

    The mean of three z-scores (pitch, energy, tempo), the carriers of arousal in every study (Scherer 2003). No corpus
    here names emotions, so this is measured and not labelled; 0 for speakers of fewer than eight utterances.
    """
    if len(utterances) < _FEW:
        return [0.0] * len(utterances)
    measured = []
    for utterance in utterances:
        spoken = spoken_frames(utterance.timed)[: len(utterance.frames)]
        speech = utterance.frames[: spoken.size][spoken]
        voiced = speech[speech[:, VUV] > 0.5, LF0]
        lengths = np.diff(utterance.timed.edges)[[phone.name != SILENCE for phone in utterance.timed.row.phones]]
        pitch = float(voiced.mean()) if voiced.size else np.nan
        measured.append([pitch, float(speech[:, 0].mean()), -float(np.log(np.maximum(lengths, 1)).mean())])
    table = np.array(measured)
    table = np.nan_to_num((table - np.nanmean(table, axis=0)) / (np.nanstd(table, axis=0) + 1e-6))
    score = table.mean(axis=1)
    return [float(value) for value in np.clip(score / (score.std() + 1e-6), -_MOST, _MOST)]


def example(timed: TimedRow, frames: Frames, speaker: int, arousal: float | None = None) -> Example:
    """An utterance with normalised `frames` for training; `arousal` only for networks that have a column for it."""
    ids, description = describe(timed.row)
    if arousal is not None:
        description = np.hstack([description, np.full((len(ids), 1), arousal, np.float32)])
    count = min(len(frames), int(timed.edges[-1]))
    return Example(ids, description, np.minimum(timed.edges, count), frames[:count].astype(np.float32), speaker)


def duration_statistics(examples: Sequence[Example], speakers: int) -> Frames:
    """float32 [speakers, 4]: mean and std of log frames of phones, then of pauses inside an utterance."""
    out = np.zeros((speakers, 4), np.float32)
    for speaker in range(speakers):
        phones, pauses = [np.zeros(0)], [np.zeros(0)]
        for item in (one for one in examples if one.speaker == speaker):
            log = np.log(np.maximum(np.diff(item.edges), 1))
            phones.append(log[item.ids != 0])
            pauses.append(log[1:-1][item.ids[1:-1] == 0])
        spoken, silent = np.concatenate(phones), np.concatenate(pauses)
        out[speaker] = (
            spoken.mean() if spoken.size else 0.0,
            (spoken.std() if spoken.size else 0.0) + 0.05,
            silent.mean() if silent.size > 4 else np.log(45.0),
            silent.std() + 0.1 if silent.size > 4 else 0.4,
        )
    return out
