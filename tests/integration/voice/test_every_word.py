"""No word is missing or said twice, in five hundred sentences of both languages."""

import numpy as np
import pytest
import torch

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import WIDTH
from memorial_tasks.voice.listen import STATES, Listener
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.networks import AcousticModel, DurationModel, Sizes
from memorial_tasks.voice.phones import PHONES, SILENCE
from memorial_tasks.voice.sequence import DESCRIPTION, spoken_row
from memorial_tasks.voice.synthesize import say_row
from memorial_tasks.voice.text.front import FrontEnd
from tests.support.sentences import five_hundred

pytestmark = [pytest.mark.integration]


def _untrained() -> VoiceModel:
    """Networks with chance weights: what is claimed must hold whatever they say."""
    torch.manual_seed(0)
    sizes = Sizes(len(PHONES), DESCRIPTION, WIDTH, phone_hidden=16, frame_hidden=8, layers=1)
    ones = np.ones(WIDTH, np.float32)
    ear = Listener(np.zeros((len(PHONES), STATES, 24), np.float32), np.ones((len(PHONES), STATES, 24), np.float32), 0.0)
    return VoiceModel(
        sizes, AcousticModel(sizes).eval(), DurationModel(sizes).eval(), 0 * ones, ones, ones,
        np.array([2.7, 0.8, 3.8, 0.9], np.float32), np.ones(513, np.float32), -70.0, Language.EN_US,
        np.zeros(0, np.int16), [], ear, np.ones(513, np.float32),
    )  # fmt: skip


def test_every_phone_of_every_word_has_its_own_time_once_and_in_order() -> None:
    model = _untrained()
    texts = five_hundred()
    assert len(texts) == 500
    with Espeak() as espeak:
        _check(model, FrontEnd(espeak), texts)


def _check(model: VoiceModel, front: FrontEnd, texts: list[tuple[str, Language]]) -> None:
    for text, language in texts:
        words = front.words(text, language)
        row = spoken_row(words)
        timed, frames = say_row(model, row)
        assert len(frames) == timed.edges[-1]
        assert (np.diff(timed.edges) >= 1).all()
        said = [phone for phone in row.phones if phone.name != SILENCE]
        assert said == [phone for word in words for phone in word.phones]
        order = [number for number in row.word if number >= 0]
        assert order == sorted(order)
        assert set(order) == set(range(len(words)))
