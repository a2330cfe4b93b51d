"""What ships of the voice before it hears anybody, taught by generated speech alone: its networks, and the model that
places phones (`ctc`).

    python -m memorial_tasks.voice.pretrain FOLDER

makes both files again, on any machine with flite and espeak-ng, in half an hour of one core. English is spoken by
flite (four voices; its speech is clear, which espeak-ng's is not: a recogniser misses 21 % of flite's words and 87 % of
espeak's) and by espeak-ng, Mandarin by espeak-ng. A person's training begins here: what remains to be learned is how
this one person sounds, which takes a minute of speech and less than a minute of one core.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
import yaml
from safetensors import safe_open

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import StepFailed
from memorial_tasks.tensors import save_tensors
from memorial_tasks.voice import base, ctc
from memorial_tasks.voice.base import SHIPPED
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.licensed import read_manifest
from memorial_tasks.voice.practice import Reading, read_words
from memorial_tasks.voice.practice_texts import ENGLISH, MANDARIN
from memorial_tasks.voice.pretrain_texts import sentences
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, PAUSE_SHORT

_VOICES = {"slt": 360, "rms": 220, "awb": 140, "kal16": 60}  # of flite, and how many sentences each says
_VARIANTS = (  # of espeak-ng's voices
    "", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5", "croak", "klatt2", "klatt3", "klatt4",
)  # fmt: skip
_WHOLE = 0.3  # share of readings that are a sentence as it is written
_LICENCE = "LicenseRef-own"  # spoken for this purpose by free programs; nobody was recorded


def speak_corpus(folder: Path, progress: Callable[[str], None] = lambda message: None) -> Path:
    """Have flite say its sentences into `folder`, one folder a voice in the layout of LJSpeech; the corpus manifest.
    What was said before is kept. Raises `StepFailed` without flite."""
    program = shutil.which("flite")
    if program is None:
        raise StepFailed("flite is not installed", remedy="install the package flite; only this command needs it")
    texts = iter(list(sentences(sum(_VOICES.values()), seed=1)))
    for voice, count in _VOICES.items():
        target = folder / voice
        target.mkdir(parents=True, exist_ok=True)
        rows = []
        for number in range(count):
            name, text = f"{voice}-{number:04d}", next(texts)
            rows.append(f"{name}|{text}\n")
            if not (target / f"{name}.wav").is_file():
                draft = target / f"{name}.part"
                subprocess.run([program, "-voice", voice, "-t", text, "-o", str(draft)], check=True)
                draft.replace(target / f"{name}.wav")
        (target / "metadata.csv").write_text("".join(rows), "utf-8")
        progress(f"flite has spoken as {voice}")
    part = {"layout": "ljspeech", "licence": _LICENCE, "source": "flite 2.2"}
    manifest = {
        "model": "pretrained",
        "licence": "Apache-2.0",
        "source": "generated speech",
        "parts": [part | {"folder": voice} for voice in _VOICES],
    }
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), "utf-8")
    return path


def pretrain(folder: Path, progress: Callable[[float, str], None] = lambda fraction, message: None) -> Path:
    """Make the shipped file again in `folder`. A command that was cut off goes on."""
    manifest = speak_corpus(folder, lambda message: progress(0.0, message))
    base.train(manifest, folder, "pretrained", progress)
    halve(folder / base.MODEL_FILE, folder / SHIPPED.name)
    return folder / SHIPPED.name


def teach_aligner(
    folder: Path, espeak_readings: int = 1200, progress: Callable[[float, str], None] = lambda fraction, message: None
) -> Path:
    """Make the shipped model of phones again in `folder`, from flite's sentences and from espeak-ng in many voices."""
    manifest = read_manifest(speak_corpus(folder, lambda message: progress(0.0, message)))
    spoken = base.prepared(manifest, folder / "checkpoints", progress, lambda: None)
    clear = [Reading(one.wave, one.timed) for group in spoken.values() for one in group]
    readings = [*many_voices(espeak_readings), *clear]
    model = ctc.taught(readings, progress=lambda fraction, message: progress(0.4 + 0.6 * fraction, message))
    ctc.write(model, folder / ctc.FILE.name)
    return folder / ctc.FILE.name


def many_voices(count: int, seed: int = 5) -> Iterator[Reading]:
    """Words of the general sentences of both languages in new orders, and the sentences themselves, read by espeak-ng:
    every reading in another of its voices, at another pace and pitch. Those whose phones it changed are left out."""
    random = Random(seed)
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        said = {
            language: [front.words(text, language) for text in texts]
            for language, texts in ((Language.EN_US, ENGLISH), (Language.ZH_CN, MANDARIN))
        }
        for _ in range(count):
            language = random.choice([Language.EN_US, Language.EN_US, Language.ZH_CN])
            words = random.choice(said[language])
            if random.random() > _WHOLE:
                pool = [word for sentence in said[language] for word in sentence]
                pauses = (PAUSE_SHORT, *[PAUSE_NONE] * 5)
                words = [
                    replace(random.choice(pool), pause=random.choice(pauses)) for _ in range(random.randint(4, 10))
                ]
                words[-1] = replace(words[-1], pause=PAUSE_LONG)
            reading = read_words(
                espeak, words, variant=random.choice(_VARIANTS), rate=random.randint(110, 230),
                pitch=random.randint(15, 85), pitch_range=random.randint(20, 80),
            )  # fmt: skip
            if reading is not None:
                yield reading


def halve(source: Path, target: Path) -> None:
    """Write a base voice with its weights in half precision: 3 MB instead of 6, which nobody hears."""
    with safe_open(source, "pt") as file:
        about = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    halved = {key: value if key.startswith("own.") else value.to(torch.float16) for key, value in tensors.items()}
    save_tensors(halved, target, about)


def main() -> None:
    """Make the files and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m memorial_tasks.voice.pretrain", description=__doc__)
    parser.add_argument("folder", type=Path, help="where speech, checkpoints and the files are written")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)

    def tell(fraction: float, message: str) -> None:
        sys.stderr.write(f"\r{fraction:4.0%} {message:<40}")
        sys.stderr.flush()

    sys.stdout.write(f"{teach_aligner(folder, progress=tell)}\n{pretrain(folder, tell)}\n")


if __name__ == "__main__":
    main()
