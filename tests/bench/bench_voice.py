"""The voice against the person's real recordings, side by side with copy-synthesis, espeak-ng, flite and other people.

Material: the ``kathleen``, ``grid-s1``, ``others``, ``librispeech`` and ``aishell3`` folders (none is part of the
repository) under MEMORIAL_BENCH_REAL (or MEMORIAL_REAL, ``../shared/real`` otherwise). From kathleen 86 utterances
(4.3 minutes) and again 20 of them (54 s) are learned from, 30 others are spoken and judged. The judge of words is
pocketsphinx with its bundled English model, a weak one: only the difference to the real recordings means anything.
Likeness is the cosine to the mean Resemblyzer embedding of recordings the model has learned from. From grid-s1 60 clips
of 3 s are learned from; his enrolment is the mean of twenty of them, that of the nine others their one clip each.
About eight minutes of one core.

    python -m tests.bench voice
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.domain.timing import DirectedLine
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.voice.audio import RATE, Wave, clean, read_wave, resample, set_loudness, write_wave
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.evaluate import plain_words, word_errors
from memorial_tasks.voice.features import analyse, pitch_range, resynthesise
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.prepare import Recogniser, prepare_voice
from memorial_tasks.voice.recipe import RECIPES
from memorial_tasks.voice.synthesize import SpokenLine, say_line
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import train_voice
from tests.bench.front_ends import agreement

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(
    os.environ.get("MEMORIAL_BENCH_REAL") or os.environ.get("MEMORIAL_REAL") or REPOSITORY.parent / "shared" / "real"
)
TEST, TRAIN, MINUTE = slice(0, 30), slice(60, 146), slice(60, 80)
GRID_TRAIN, GRID_TEST, GRID_ENROL = slice(0, 60), slice(60, 80), slice(0, 20)
Pairs = list[tuple[Path, str]]


def _say(message: str) -> None:
    print(f"  voice {time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


class _Ear:
    """Embeddings and recognised words, each model loaded once."""

    def __init__(self) -> None:
        from resemblyzer import VoiceEncoder

        self._encoder: Any = VoiceEncoder("cpu", verbose=False)
        self._recogniser = Recogniser()

    def embed(self, wave: Wave) -> NDArray[np.float32]:
        """Unit vector float32 [256] of a wave at 24 kHz."""
        return np.asarray(self._encoder.embed_utterance(resample(set_loudness(wave), RATE, 16000)), np.float32)

    def person(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Unit vector of the mean embedding."""
        mean = np.mean([self.embed(wave) for wave in waves], axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def likeness(self, waves: Sequence[Wave], person: NDArray[np.float32]) -> float:
        """Mean cosine."""
        return float(np.mean([self.embed(wave) @ person for wave in waves]))

    def word_error_rate(self, waves: Sequence[Wave], texts: Sequence[str]) -> float:
        """Errors a word over all sentences."""
        errors = words = 0
        for wave, text in zip(waves, texts, strict=True):
            said = plain_words(text)
            words += len(said)
            errors += word_errors(said, plain_words(self._recogniser.words(set_loudness(wave))))
        return errors / words


def _line(text: str) -> DirectedLine:
    return DirectedLine(
        index=0, text=text, language=Language.EN_US, emotion=Emotion.NEUTRAL, intensity=0.5, pace=1.0, pause=0.4,
        gaze="camera",
    )  # fmt: skip


def _speak(model: VoiceModel, texts: Sequence[str]) -> list[SpokenLine]:
    """Every text as the product says it: heard back, and made again where it was not clear."""
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        lines = [(_line(text), front.words(text, Language.EN_US)) for text in texts]
    return [say_line(model, line, words) for line, words in lines]


def _learn(pairs: Pairs, script: Sequence[str]) -> tuple[VoiceModel, float, float]:
    """A voice from (file, transcript) pairs with the CPU seconds of preparation and of training."""
    started = time.process_time()
    corpus = prepare_voice([path for path, _ in pairs], {path.stem: text for path, text in pairs}, Language.EN_US)
    prepared = time.process_time() - started
    with tempfile.TemporaryDirectory() as scratch:
        started = time.process_time()
        texts = [(text, Language.EN_US) for text in script]
        trained = train_voice(corpus, texts, RECIPES["cpu"], Path(scratch), seed=1)
    return trained.model, prepared, time.process_time() - started


def _flite(texts: Sequence[str]) -> list[Wave]:
    """What flite says; empty where the program is not installed."""
    program = shutil.which("flite")
    if program is None:
        _say("flite is not installed: its row is left out")
        return []
    waves = []
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "said.wav"
        for text in texts:
            subprocess.run([program, "-voice", "slt", "-t", text, "-o", str(target)], check=True)
            waves.append(read_wave(target))
    return waves


def _kathleen(ear: _Ear, out: dict[str, float]) -> tuple[NDArray[np.float32], list[str]]:
    """Her figures; returns her enrolment and the sentences."""
    folder = REAL / "kathleen"
    lines = [row.split("|", 1) for row in (folder / "metadata.csv").read_text("utf-8").splitlines() if "|" in row]
    pairs: Pairs = [(folder / f"{name}.flac", text) for name, text in lines]
    texts = [text for _, text in pairs[TEST]]
    natural = [set_loudness(clean(read_wave(path))) for path, _ in pairs[TEST]]
    person = ear.person([clean(read_wave(path)) for path, _ in pairs[TRAIN][:40]])

    def row(name: str, waves: list[Wave]) -> None:
        out[f"voice.wer{name}"] = ear.word_error_rate(waves, texts)
        out[f"voice.similarity{name}"] = ear.likeness(waves, person)
        _say(f"row {name or 'tier 0'}: {out[f'voice.wer{name}']:.3f} {out[f'voice.similarity{name}']:.3f}")

    row("_natural", natural)
    pitch = pitch_range(natural)
    row("_copy", [resynthesise(analyse(wave, pitch)) for wave in natural])
    with Espeak() as espeak:
        speech = [espeak.say(text, "en-us+f3") for text in texts]
    row("_espeak", [resample(item.audio, item.rate, RATE) for item in speech])
    if flite := _flite(texts):
        row("_flite", flite)
    model, out["voice.prepare_s"], out["voice.train_s"] = _learn(pairs[TRAIN], texts)
    started = time.process_time()
    spoken = _speak(model, texts)
    out["voice.rtf"] = (time.process_time() - started) / (sum(line.wave.size for line in spoken) / RATE)
    out["voice.lines_remade"] = float(np.mean([line.tries > 1 for line in spoken]))
    out["voice.lines_unclear"] = float(np.mean([line.unclear > 0 for line in spoken]))
    row("", [line.wave for line in spoken])
    minute, _, out["voice.train_s_1min"] = _learn(pairs[MINUTE], texts)
    row("_1min", [line.wave for line in _speak(minute, texts)])
    _say("the voice of one minute is done")
    out["voice.wer_above_natural"] = out["voice.wer"] - out["voice.wer_natural"]
    out["voice.wer_above_natural_1min"] = out["voice.wer_1min"] - out["voice.wer_natural"]
    strangers = sorted((REAL / "librispeech").glob("*.flac"))
    speakers = sorted({path.stem.split("-")[0] for path in strangers})
    means = [
        ear.likeness([read_wave(path) for path in strangers if path.stem.startswith(f"{one}-")], person)
        for one in speakers
    ]
    out["voice.similarity_others"], out["voice.similarity_nearest_other"] = float(np.mean(means)), max(means)
    return person, texts


def _clip_sound(path: Path) -> Wave:
    """The sound of a film clip at 24 kHz."""
    import av

    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    sound = np.concatenate(frames, axis=1)
    scale = np.float32(32768) if sound.dtype == np.int16 else np.float32(1)
    return resample(sound.astype(np.float32).mean(axis=0) / scale, int(rate), RATE)


def _command(path: Path) -> str:
    """The words of a GRID clip from its time table."""
    words = [line.split()[2] for line in path.with_suffix(".align").read_text("utf-8").splitlines()]
    return " ".join(word for word in words if word not in {"sil", "sp"})


def _grid(ear: _Ear, out: dict[str, float], kathleen: NDArray[np.float32], texts: list[str]) -> None:
    clips = sorted((REAL / "grid-s1").glob("*.mpg"))
    rng = np.random.default_rng(0)
    clips = [clips[number] for number in rng.permutation(len(clips))]
    with tempfile.TemporaryDirectory() as scratch:
        pairs: Pairs = []
        for path in clips[GRID_TRAIN]:
            target = Path(scratch) / f"{path.stem}.wav"
            write_wave(target, _clip_sound(path))
            pairs.append((target, _command(path)))
        commands = [_command(path) for path in clips[GRID_TEST]]
        model, _, out["voice.grid_train_s"] = _learn(pairs, [*commands, *texts[:20]])
        enrolled = [ear.person([clean(read_wave(path)) for path, _ in pairs[GRID_ENROL]])]
    enrolled += [
        ear.person([clean(_clip_sound(path))])
        for path in sorted((REAL / "others").glob("*.mpg"))
        if path.stem != "bbaf2n"  # he is the man of grid-s1
    ]
    said = {
        "_natural": [clean(_clip_sound(path)) for path in clips[GRID_TEST]],
        "": [line.wave for line in _speak(model, commands)],
        "_open": [line.wave for line in _speak(model, texts[:20])],
    }
    for name, waves in said.items():
        cosines = np.array([[ear.embed(wave) @ one for one in enrolled] for wave in waves])
        out[f"voice.grid_nearest{name}"] = float((cosines.argmax(axis=1) == 0).mean())
        out[f"voice.grid_similarity{name}"] = float(cosines[:, 0].mean())
        out[f"voice.grid_similarity_others{name}"] = float(cosines[:, 1:].max(axis=1).mean())
        _say(f"grid-s1{name}: nearest to himself in {out[f'voice.grid_nearest{name}']:.2f}")
    out["voice.wer_grid_commands"] = ear.word_error_rate(said[""], commands)
    out["voice.wer_grid_commands_natural"] = ear.word_error_rate(said["_natural"], commands)
    out["voice.wer_wrong_speaker"] = ear.word_error_rate(said["_open"], texts[:20])
    out["voice.similarity_wrong_speaker"] = ear.likeness(said["_open"], kathleen)


def run() -> dict[str, float]:
    """The ``voice.*`` figures; empty when the material is not there."""
    if not (REAL / "kathleen" / "metadata.csv").is_file():
        return {}
    torch.set_num_threads(1)
    out: dict[str, float] = {}
    if (REAL / "aishell3" / "metadata_pinyin.csv").is_file():
        out |= agreement(REAL / "aishell3")
        _say(f"Mandarin readings agree in {out['voice.zh_agreement']:.3f} of the table")
    ear = _Ear()
    person, texts = _kathleen(ear, out)
    if (REAL / "grid-s1").is_dir():
        _grid(ear, out, person, texts)
    return {key: round(value, 4) for key, value in out.items()}
