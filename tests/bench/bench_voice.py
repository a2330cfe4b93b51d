"""The voice against her real recordings: word errors by the same recogniser, likeness of timbre, training time, speed.

Material: the ``kathleen`` folder (CC0, not part of the repository) under MEMORIAL_BENCH_REAL (or MEMORIAL_REAL,
``../shared/real`` otherwise). 86 utterances (about 4.4 minutes) are learned from, 20 others are spoken and judged.
The judge is pocketsphinx with its bundled English model, a weak one: only the difference to the real recordings means
anything. Likeness is the cosine to the mean Resemblyzer embedding of the training recordings.

    python tests/bench/bench_voice.py
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.domain.timing import DirectedLine
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.voice.audio import RATE, Wave, clean, read_wave, resample, set_loudness
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.evaluate import plain_words, word_errors
from memorial_tasks.voice.features import analyse, pitch_range, resynthesise
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.prepare import Recogniser, prepare_voice
from memorial_tasks.voice.recipe import RECIPES
from memorial_tasks.voice.synthesize import speak_line
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import train_voice

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(
    os.environ.get("MEMORIAL_BENCH_REAL") or os.environ.get("MEMORIAL_REAL") or REPOSITORY.parent / "shared" / "real"
)
TRAIN, TEST = slice(20, 106), slice(0, 20)


class _Judge:
    """Word errors and likeness over a set of sentences."""

    def __init__(self, learned: list[Wave]) -> None:
        from resemblyzer import VoiceEncoder

        self._encoder: Any = VoiceEncoder("cpu", verbose=False)
        self._recogniser = Recogniser()
        mean = np.mean([self._embed(wave) for wave in learned], axis=0)
        self._person = mean / np.linalg.norm(mean)

    def _embed(self, wave: Wave) -> NDArray[np.float32]:
        return np.asarray(self._encoder.embed_utterance(resample(wave, RATE, 16000)), np.float32)

    def __call__(self, waves: list[Wave], texts: list[str]) -> tuple[float, float]:
        errors = words = 0
        for wave, text in zip(waves, texts, strict=True):
            said = plain_words(text)
            words += len(said)
            errors += word_errors(said, plain_words(self._recogniser.words(set_loudness(wave))))
        likeness = float(np.mean([self._embed(wave) @ self._person for wave in waves]))
        return errors / words, likeness


def _speak(model: VoiceModel, texts: list[str]) -> list[Wave]:
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        lines = [(_line(text), front.words(text, Language.EN_US)) for text in texts]
    return [speak_line(model, line, words).wave for line, words in lines]


def _line(text: str) -> DirectedLine:
    return DirectedLine(
        index=0, text=text, language=Language.EN_US, emotion=Emotion.NEUTRAL, intensity=0.5, pace=1.0, pause=0.4,
        gaze="camera",
    )  # fmt: skip


def run() -> dict[str, float]:
    """The ``voice.*`` figures; empty when the material is not there."""
    folder = REAL / "kathleen"
    table = folder / "metadata.csv"
    if not table.is_file():
        return {}
    torch.set_num_threads(1)
    rows = [line.split("|", 1) for line in table.read_text("utf-8").splitlines() if "|" in line]
    files = {path.stem: path for path in folder.rglob("*.flac")}
    learned = [(files[name], text) for name, text in rows[TRAIN]]
    tested = [(files[name], text) for name, text in rows[TEST]]
    texts = [text for _, text in tested]
    natural = [set_loudness(clean(read_wave(path))) for path, _ in tested]
    judge = _Judge([clean(read_wave(path)) for path, _ in learned[:40]])
    out: dict[str, float] = {}
    out["voice.wer_natural"], out["voice.similarity_natural"] = judge(natural, texts)

    started = time.process_time()
    corpus = prepare_voice([path for path, _ in learned], {path.stem: text for path, text in learned}, Language.EN_US)
    out["voice.prepare_s"] = time.process_time() - started
    with tempfile.TemporaryDirectory() as scratch:
        started = time.process_time()
        trained = train_voice(corpus, [(text, Language.EN_US) for text in texts], RECIPES["cpu"], Path(scratch), seed=1)
        out["voice.train_s"] = time.process_time() - started
    started = time.process_time()
    spoken = _speak(trained.model, texts)
    out["voice.rtf"] = (time.process_time() - started) / (sum(wave.size for wave in spoken) / RATE)
    out["voice.wer"], out["voice.similarity"] = judge(spoken, texts)

    pitch = pitch_range(natural)
    out["voice.wer_copy"], out["voice.similarity_copy"] = judge(
        [resynthesise(analyse(wave, pitch)) for wave in natural], texts
    )
    with Espeak() as espeak:
        floor = [espeak.say(text, "en-us+f3") for text in texts]
    out["voice.wer_espeak"], out["voice.similarity_espeak"] = judge(
        [resample(speech.audio, speech.rate, RATE) for speech in floor], texts
    )
    return {key: round(value, 4) for key, value in out.items()}


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
