"""A generated test voice. espeak-ng stands in for a person here, in tests only."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.prepare import prepare_voice
from memorial_tasks.voice.recipe import Recipe
from memorial_tasks.voice.train import Trained, train_voice

SENTENCES = (
    "The old boat drifted gently past the harbour.",
    "My father measured each piece of wood twice.",
    "Thank you for your kindness and for every letter.",
    "The garden looked beautiful this morning.",
    "She laughed, shook her head, and poured some tea.",
    "Grandmother joined the village choir when she was fifteen.",
    "You were such a good boy.",
    "Look after each other and tell the truth.",
    "We used to listen to music by the fire.",
)


@pytest.fixture(scope="session")
def espeak() -> Iterator[Espeak]:
    with Espeak() as process:
        yield process


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, str]]:
    """Nine short sentences as noisy WAV files with half a second of quiet around, and their transcripts. Spoken by a
    process of their own: what espeak-ng says depends a little on what it said before."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(5)
    texts = {}
    files = []
    with Espeak() as own:
        spoken = [own.say(text, "en-us+m3", rate=140, pitch=50) for text in SENTENCES]
    for number, (text, speech) in enumerate(zip(SENTENCES, spoken, strict=True)):
        wave = np.pad(speech.audio, speech.rate // 2)
        wave = wave + rng.normal(0, 3e-4, wave.size)
        path = folder / f"tape-{number}.wav"
        soundfile.write(path, wave, speech.rate, subtype="PCM_16")
        texts[path.stem] = text
        files.append(path)
    return files, texts


@pytest.fixture(scope="session")
def corpus(recordings: tuple[list[Path], dict[str, str]]) -> Corpus:
    return prepare_voice(recordings[0], recordings[1], Language.EN_US)


@pytest.fixture(scope="session")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A voice trained for a few seconds: its speech is poor, its times and words are not."""
    torch.set_num_threads(1)
    recipe = Recipe(practice=8, steps=40, duration_steps=30, batch=4, window=50)
    return train_voice(corpus, recipe, tmp_path_factory.mktemp("ck"), seed=3)
