"""Utterances as tensors, and the windows a training step sees. Every step draws from its own seed, so a resumed
training sees what an uninterrupted one would have seen."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memorial_tasks.voice.networks import POSITIONS

_AROUND = 6  # phones of context on either side of a window


@dataclass(frozen=True)
class Example:
    """One utterance ready for training. `ids` int64 [P], `description` [P, D], `edges` int [P + 1] in frames,
    `frames` float32 [T, W] normalised, `speaker` the row of its code: 0 practice, 1 the person, others of a base."""

    ids: NDArray[np.int64]
    description: NDArray[np.float32]
    edges: NDArray[np.int32]
    frames: NDArray[np.float32]
    speaker: int


@dataclass(frozen=True)
class Window:
    """A batch of windows; see `AcousticModel.forward`. `target` [B, L, W], `mask` [B, L]."""

    ids: Tensor
    description: Tensor
    speaker: Tensor
    lengths: Tensor
    owner: Tensor
    position: Tensor
    target: Tensor
    mask: Tensor


def frame_positions(edges: NDArray[np.int32], stack: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Owner phone int64 [T'] and place inside it float32 [T', POSITIONS] of every stacked frame."""
    total = int(edges[-1])
    centre = np.minimum(np.arange(0, total, stack) + (stack - 1) / 2, total - 0.5)
    owner = np.clip(np.searchsorted(edges, centre, side="right") - 1, 0, len(edges) - 2)
    start, end = edges[owner], edges[owner + 1]
    length = np.maximum(end - start, 1)
    share = (centre - start + 0.5) / length
    position = np.stack([share, 1 - share, 4 * share * (1 - share), np.log(length) / 3], axis=1)
    return owner.astype(np.int64), position.astype(np.float32)


def windows(examples: list[Example], numbers: NDArray[np.int64], length: int, stack: int, seed: int) -> Window:
    """Random windows of `length` stacked frames from the utterances called `numbers`."""
    rng = np.random.default_rng(seed)
    parts = [_window(examples[int(number)], length, stack, rng) for number in numbers]
    phones = max(len(part[0]) for part in parts)
    count, columns = len(parts), parts[0][1].shape[1]
    width = parts[0][4].shape[1]
    ids = np.zeros((count, phones), np.int64)
    description = np.zeros((count, phones, columns), np.float32)
    owner = np.zeros((count, length), np.int64)
    position = np.zeros((count, length, POSITIONS), np.float32)
    target = np.zeros((count, length * stack, width), np.float32)
    mask = np.zeros((count, length * stack), np.float32)
    for row, (own_ids, own_description, own_owner, own_position, own_frames) in enumerate(parts):
        ids[row, : len(own_ids)] = own_ids
        description[row, : len(own_ids)] = own_description
        owner[row, : len(own_owner)] = own_owner
        position[row, : len(own_owner)] = own_position
        target[row, : len(own_frames)] = own_frames
        mask[row, : len(own_frames)] = 1.0
    speakers = np.array([examples[int(number)].speaker for number in numbers], np.int64)
    return Window(
        torch.from_numpy(ids),
        torch.from_numpy(description),
        torch.from_numpy(speakers),
        torch.tensor([len(part[0]) for part in parts]),
        torch.from_numpy(owner),
        torch.from_numpy(position),
        torch.from_numpy(target),
        torch.from_numpy(mask),
    )


# ids, description, owner, position, frames
_Floats = NDArray[np.float32]
_Part = tuple[NDArray[np.int64], _Floats, NDArray[np.int64], _Floats, _Floats]


def _window(example: Example, length: int, stack: int, rng: np.random.Generator) -> _Part:
    owner, position = frame_positions(example.edges, stack)
    start = int(rng.integers(0, max(1, len(owner) - length + 1)))
    owner, position = owner[start : start + length], position[start : start + length]
    first = max(0, int(owner[0]) - _AROUND)
    last = min(len(example.ids), int(owner[-1]) + _AROUND + 1)
    frames = example.frames[start * stack : (start + len(owner)) * stack]
    return example.ids[first:last], example.description[first:last], owner - first, position, frames


def shares(examples: list[Example]) -> NDArray[np.float64]:
    """How often each utterance is drawn, [utterances]: by its length, and each speaker by the square root of all they
    have said, so that a speaker or a language with little speech is learned beside one with much."""
    lengths = np.array([len(example.frames) for example in examples], np.float64)
    speakers = np.array([example.speaker for example in examples])
    return np.asarray(lengths / np.sqrt(np.bincount(speakers, lengths))[speakers], np.float64)


def choose(examples: list[Example], weights: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    """`count` utterance numbers drawn with `weights`."""
    return np.random.default_rng(seed).choice(len(examples), count, p=weights / weights.sum())
