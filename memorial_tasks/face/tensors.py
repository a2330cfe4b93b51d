"""From a bank's pairs to what the training loop draws from."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face.bank import PhotoBank
from memorial_tasks.face.mouth import TEETH_OPENING
from memorial_tasks.face.pairs import PairSet
from memorial_tasks.face.train import Pairs


def weighted_pairs(bank: PhotoBank, found: PairSet) -> Pairs:
    """Pairs bent from the base photo are what the film shows, so they are drawn as often as all others together; open
    mouths, rare among photos, twice as often."""
    base = found.source == bank.base_index
    weight = np.where(base, 1.0 / max(base.sum(), 1), 1.0 / max((~base).sum(), 1))
    opening = np.array([geo.mouth_opening(bank.points[t]) for t in found.target])
    weight *= np.where(opening >= TEETH_OPENING, 2.0, 1.0)
    return Pairs(torch.from_numpy(found.inputs), torch.from_numpy(found.targets), torch.from_numpy(weight).float())


def with_triples(
    pairs: Mapping[str, Pairs], triples: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]
) -> dict[str, Pairs]:
    """The same pairs with the triples of `pairs.make_triples` for the temporal discriminator."""
    return {
        name: replace(part, moving=(torch.from_numpy(triples[name][0]), torch.from_numpy(triples[name][1])))
        if name in triples
        else part
        for name, part in pairs.items()
    }
