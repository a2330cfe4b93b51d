"""A base voice (tier 1): many speakers of both languages in one set of networks, for a person to be learned on top.

The networks are those of tier 0 (BiLSTM encoder and decoder, explicit durations, `networks`), with a code for every
speaker and one column for how excited an utterance is spoken. Every speaker is learned in their own normal space, so
what the networks share is how phones follow each other, and what a person adds is small.

A base whose recipe rehearses begins with the networks that ship (`pretrained`) and learns again, beside the recordings,
what their voices say by themselves: one woman's hour alone would make them forget everybody else. The file that ships,
and bases of other sizes than its, begin with nothing.

A base voice is one safetensors file: the weights, each speaker's mean, spread and tempo, and in its metadata the
architecture, the sizes, the phone table and the licences.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, ModelRefused, Problem
from memorial_tasks.tensors import save_tensors
from memorial_tasks.voice.batches import Example
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.examples import arousals, duration_statistics, example, statistics
from memorial_tasks.voice.features import LF0, VUV, WIDTH
from memorial_tasks.voice.learn import Progress, Run, tiny_is_zero
from memorial_tasks.voice.licensed import (
    CorpusManifest,
    Part,
    Spoken,
    by_speaker,
    read_manifest,
    read_part,
    with_pinyin,
)
from memorial_tasks.voice.listen import STATES, Listener
from memorial_tasks.voice.material import practice_readings
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.networks import PERSON, PRACTICE, AcousticModel, DurationModel, Sizes
from memorial_tasks.voice.phones import PHONES
from memorial_tasks.voice.prepare import prepare_reading
from memorial_tasks.voice.pretrain_texts import sentences
from memorial_tasks.voice.recipe import Recipe, base_recipe
from memorial_tasks.voice.sequence import DESCRIPTION, spoken_row
from memorial_tasks.voice.settle import settle
from memorial_tasks.voice.synthesize import say_row
from memorial_tasks.voice.text.front import FrontEnd

ARCHITECTURE = "memorial-voice-base-1"
MODEL_FILE = "model.safetensors"
SHIPPED = Path(__file__).with_name("pretrained.safetensors")
_FEW_SECONDS = 20.0  # a speaker heard for less shares a code with others of their language and pitch
_HIGH = 165.0  # Hz between low and high voices
_POOLS = (" low", " high")
_TRUST = 600.0  # frames that a few-words speaker's own mean is weighed against
_CHUNK = 60  # utterances prepared between two checkpoints
_LEAST_SECONDS = 30.0


@cache
def pretrained() -> "Base":
    """The networks that ship (made by `pretrain`). Read once in a process; whoever trains them takes a copy."""
    return Base.load(SHIPPED)


@dataclass(frozen=True)
class Base:
    """A base voice in memory. `speakers` name the codes from 2 on (0 practice, 1 the person to come); `mean`, `std`
    float32 [speakers + 2, WIDTH] of each one's frames; `stats` float32 [speakers + 2, 4] as `duration_statistics`."""

    name: str
    sizes: Sizes
    acoustic: AcousticModel
    duration: DurationModel
    speakers: tuple[str, ...]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    stats: NDArray[np.float32]
    licence: str

    def for_person(self, adapter: int) -> tuple[Sizes, AcousticModel, DurationModel]:
        """Copies of the networks with `adapter` units for a person, who begins as the mean of all speakers."""
        sizes = replace(self.sizes, adapter=adapter)
        acoustic, duration = AcousticModel(sizes), DurationModel(sizes)
        for own, shared in ((acoustic, self.acoustic), (duration, self.duration)):
            own.load_state_dict(own.state_dict() | shared.state_dict())
            codes = own.encoder.speaker.weight
            with torch.no_grad():
                codes[PERSON] = codes[PERSON + 1 :].mean(dim=0)
        return sizes, acoustic, duration

    def voice(self, speaker: str) -> VoiceModel:
        """The base voice of one of its own speakers, as a voice that can speak (lines are not heard back)."""
        row = self.speakers.index(speaker) + PERSON + 1
        sizes, acoustic, duration = self.for_person(0)
        for network in (acoustic, duration):
            with torch.no_grad():
                network.encoder.speaker.weight[PERSON] = network.encoder.speaker.weight[row]
        language = Language.ZH_CN if speaker.startswith("zh") else Language.EN_US
        return VoiceModel(
            sizes, acoustic.eval(), duration.eval(), self.mean[row], self.std[row], np.ones(WIDTH, np.float32),
            self.stats[row], np.ones(513, np.float32), -70.0, language, np.zeros(0, np.int16), [], _deaf(),
            np.ones(513, np.float32), self.name,
        )  # fmt: skip

    def save(self, path: Path, licences: Sequence[dict[str, str]] = ()) -> str:
        """Write the base voice; the file's sha256."""
        tensors: dict[str, Tensor] = {}
        for prefix, network in (("acoustic", self.acoustic), ("duration", self.duration)):
            tensors |= {f"{prefix}.{key}": value.contiguous() for key, value in network.state_dict().items()}
        for key in ("mean", "std", "stats"):
            tensors[f"own.{key}"] = torch.from_numpy(np.ascontiguousarray(getattr(self, key)))
        metadata = {
            "format": ARCHITECTURE,
            "name": self.name,
            "licence": self.licence,
            "corpora": json.dumps(list(licences), ensure_ascii=False),
            "sizes": json.dumps(asdict(self.sizes)),
            "phones": " ".join(PHONES),
            "speakers": json.dumps(self.speakers),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        save_tensors(tensors, draft, metadata)
        draft.replace(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    @staticmethod
    def load(path: Path, sha256: str = "") -> "Base":
        """Read a base voice. Raises `ModelRefused` for a file that is none, of another architecture or phone table,
        without a licence, or with another digest than `sha256`."""
        if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise ModelRefused("the base voice is not the one that was imported", where=path.name, remedy=_AGAIN)
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                # what ships is stored in half precision
                tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            raise ModelRefused("the base voice cannot be read", where=path.name, remedy=_AGAIN) from error
        if metadata.get("format") != ARCHITECTURE or metadata.get("phones") != " ".join(PHONES):
            what = f"another architecture ({metadata.get('format') or 'none named'}) or phone table than ours"
            raise ModelRefused(what, where=path.name, remedy="import a base voice trained with this version")
        if not metadata.get("licence"):
            raise ModelRefused("the base voice names no licence", where=path.name, remedy=_AGAIN)
        try:
            return _from_tensors(metadata, tensors)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise ModelRefused("the base voice has another shape", where=path.name, remedy=_AGAIN) from error


_AGAIN = "import the base voice again, or leave it out: the voice is then learned from the person alone"


def _from_tensors(metadata: dict[str, str], tensors: dict[str, Tensor]) -> Base:
    sizes = Sizes(**json.loads(metadata["sizes"]))
    if (sizes.width, sizes.description, sizes.phones) != (WIDTH, DESCRIPTION, len(PHONES)):
        raise ValueError("other features")
    acoustic, duration = AcousticModel(sizes), DurationModel(sizes)
    networks: list[tuple[str, nn.Module]] = [("acoustic.", acoustic), ("duration.", duration)]
    for prefix, network in networks:
        own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        network.load_state_dict(own)
    arrays = [tensors[f"own.{key}"].numpy() for key in ("mean", "std", "stats")]
    speakers = tuple(str(name) for name in json.loads(metadata["speakers"]))
    if any(len(array) != len(speakers) + 2 for array in arrays) or sizes.speakers != len(speakers) + 2:
        raise ValueError("speakers do not fit")
    mean, std, stats = arrays
    return Base(metadata["name"], sizes, acoustic.eval(), duration.eval(), speakers, mean, std, stats,
                metadata["licence"])  # fmt: skip


def _deaf() -> Listener:
    nothing = np.full((len(PHONES), STATES, 24), np.nan, np.float32)
    return Listener(nothing, np.ones_like(nothing), 0.0)


@tiny_is_zero()
def train(
    corpus_manifest: Path,
    out_folder: Path,
    config: str,
    progress: Progress = lambda fraction, message: None,
    checkpoints: Path | None = None,
    save_checkpoint: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train a base voice from the corpora that `corpus_manifest` names (`licensed.CorpusManifest`).

    Writes the weights (`MODEL_FILE`) and ``card.json`` into `out_folder`. `checkpoints` (``out_folder/checkpoints``
    unless given) keeps prepared speech and the state of training, so a killed run goes on. Returns the card.

    Raises `InputRefused` for a manifest or corpus that is not what it says, and for less than 30 s of usable speech.
    """
    manifest = read_manifest(corpus_manifest)
    recipe = base_recipe(config)
    scratch = checkpoints or out_folder / "checkpoints"
    speech = prepared(manifest, scratch, progress, save_checkpoint)
    seconds = sum(u.seconds for group in speech.values() for u in group)
    if seconds < _LEAST_SECONDS:
        what = f"{seconds:.0f} s of usable speech in all parts"
        raise InputRefused([Problem("base.too_little", what, "add recordings", corpus_manifest.name)])
    base, run = _learned(manifest, speech, recipe, seed, scratch, progress, save_checkpoint)
    corpora = [{"name": p.folder.name, "licence": p.licence, "source": p.source} for p in manifest.parts]
    if recipe.rehearsed:
        corpora.append({"name": pretrained().name, "licence": pretrained().licence, "source": "ships with the studio"})
    digest = base.save(out_folder / MODEL_FILE, corpora)
    card = {
        "format": 1,
        "kind": "voice",
        "architecture": ARCHITECTURE,
        "model": manifest.model,
        "sha256": digest,
        "config": config,
        "minutes": round(seconds / 60, 2),
        "speakers": len(speech),
        "minutes_by_language": _minutes(speech),
        "parameters": sum(p.numel() for network in (base.acoustic, base.duration) for p in network.parameters()),
        "corpora": corpora,
        "curves": run.curves,
        "resumed": run.resumed,
    }
    (out_folder / "card.json").write_text(json.dumps(card, indent=1), "utf-8")
    progress(1.0, "base voice trained")
    return card


def _minutes(speech: dict[str, list[Utterance]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, group in speech.items():
        language = name.split(" ")[0]
        out[language] = round(out.get(language, 0.0) + sum(u.seconds for u in group) / 60, 2)
    return out


def prepared(
    manifest: CorpusManifest, scratch: Path, progress: Progress, save_checkpoint: Callable[[], None]
) -> dict[str, list[Utterance]]:
    """Utterances by code name (``en kathleen``; ``zh low`` for speakers of a few words), prepared once."""
    found: dict[str, list[Utterance]] = {}
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for number, part in enumerate(manifest.parts):
            spoken = read_part(part)
            reads = with_pinyin(front.words, spoken)
            short = "zh" if part.spoken == Language.ZH_CN else "en"
            left = part.minutes * 60
            for speaker, items in by_speaker(spoken).items():
                for at in range(0, len(items), _CHUNK):
                    if left <= 0:
                        break
                    share = (number + at / len(items)) / len(manifest.parts)
                    progress(0.4 * share, "preparing the corpus")
                    chunk = items[at : at + _CHUNK]
                    folder = scratch / "prepared" / f"{number:02d}-{_safe(speaker)}-{at:05d}"
                    ready = _chunk(chunk, part, folder, espeak, reads)
                    save_checkpoint()
                    left -= sum(u.seconds for u in ready)
                    found.setdefault(f"{short} {speaker}", []).extend(ready)
    return _pooled(_settled(found))


def _settled(found: dict[str, list[Utterance]]) -> dict[str, list[Utterance]]:
    """All speakers of a language settle together: one sentence of one speaker says little of how its phones sound."""
    out = dict(found)
    for language in {name.split(" ")[0] for name in found}:
        names = [name for name in sorted(found) if name.startswith(f"{language} ")]
        rest = iter(settle([utterance for name in names for utterance in found[name]]))
        out |= {name: [next(rest) for _ in found[name]] for name in names}
    return out


def _safe(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _chunk(items: list[Spoken], part: Part, folder: Path, espeak: Espeak, reads: Any) -> list[Utterance]:
    if (folder / "features.json").is_file():
        return list(Corpus.load(folder).utterances)
    texts = {item.path.stem: item.text for item in items}
    ready = prepare_reading([item.path for item in items], texts, part.spoken, espeak, reads)
    if not ready:
        return []
    Corpus(part.spoken, tuple(ready)).save(folder)
    return list(Corpus.load(folder).utterances)  # as a run that goes on reads it: sounds are stored in 16 bits


def _pooled(found: dict[str, list[Utterance]]) -> dict[str, list[Utterance]]:
    out: dict[str, list[Utterance]] = {}
    for name, group in found.items():
        voiced = [u.frames[u.frames[:, VUV] > 0.5, LF0] for u in group]
        if sum(u.seconds for u in group) >= _FEW_SECONDS or not voiced or not np.concatenate(voiced).size:
            out.setdefault(name, []).extend(group)
            continue
        pitch = float(np.exp(np.median(np.concatenate(voiced))))
        language = name.split(" ")[0]
        out.setdefault(language + _POOLS[pitch > _HIGH], []).extend(group)
    return {name: group for name, group in out.items() if group}


def _own_space(
    group: list[Utterance], pooled: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[NDArray[np.float32]]]:
    """Mean, spread and normalised frames of one code. In a pool every utterance may be another person: its mean is
    drawn towards its own as far as its length can be trusted, its pitch wholly."""
    mean, std = statistics(group)
    if not pooled:
        return mean, std, [np.asarray((u.frames - mean) / std, np.float32) for u in group]
    out = []
    for utterance in group:
        own, _ = statistics([utterance])
        trust = len(utterance.frames) / (len(utterance.frames) + _TRUST)
        centre = trust * own + (1 - trust) * mean
        centre[LF0], centre[VUV] = own[LF0] if np.isfinite(own[LF0]) else mean[LF0], mean[VUV]
        out.append(np.asarray((utterance.frames - centre) / std, np.float32))
    return mean, std, out


def _begun(shipped: Base, sizes: Sizes, new: int) -> tuple[AcousticModel, DurationModel]:
    """Networks of `sizes` that know what the shipped ones do. The code of practice speech stays; the `new` speakers,
    and the person to come, begin as the mean of the shipped voices, whose codes follow theirs."""
    acoustic, duration = AcousticModel(sizes), DurationModel(sizes)
    for own, known in ((acoustic, shipped.acoustic), (duration, shipped.duration)):
        codes = known.encoder.speaker.weight.detach()
        voices = codes[PERSON + 1 :]
        table = torch.cat([codes[:PERSON], voices.mean(dim=0).expand(1 + new, -1), voices])
        own.load_state_dict(known.state_dict() | {"encoder.speaker.weight": table})
    return acoustic, duration


def _rehearsal(shipped: Base, count: int, first: int, seed: int) -> list[Example]:
    """`count` sentences in each shipped voice as the shipped networks say them, each voice in its own normal space,
    their codes from `first` on. Learned again beside the recordings they keep the networks from forgetting the many
    (pseudorehearsal, Robins 1995)."""
    texts = sentences(count * len(shipped.speakers), seed + 2)
    out = []
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for number, speaker in enumerate(shipped.speakers):
            voice = shipped.voice(speaker)
            for text in islice(texts, count):
                timed, frames = say_row(voice, spoken_row(front.words(text, Language.EN_US)))
                normal = np.asarray((frames - voice.mean) / voice.std, np.float32)
                out.append(example(timed, normal, first + number, 0.0))
    return out


def _learned(
    manifest: CorpusManifest,
    speech: dict[str, list[Utterance]],
    recipe: Recipe,
    seed: int,
    scratch: Path,
    progress: Progress,
    save_checkpoint: Callable[[], None],
) -> tuple[Base, Run]:
    shipped = pretrained() if recipe.rehearsed else None
    names = (*sorted(speech), *((f"{name}, generated" for name in shipped.speakers) if shipped else ()))
    whole = Corpus(Language.EN_US, tuple(u for name in sorted(speech) for u in speech[name]))
    generated = practice_readings(
        whole, recipe.practice, scratch / "practice", seed, lambda f, message: progress(0.4 + f, message), foreign=2
    )
    save_checkpoint()
    own_mean, own_std = statistics(generated)
    means, stds = [own_mean, np.zeros_like(own_mean)], [own_std, np.ones_like(own_std)]
    practice = [(timed, np.asarray((frames - own_mean) / own_std, np.float32)) for timed, frames in generated]
    examples: list[Example] = [example(timed, frames, PRACTICE, 0.0) for timed, frames in practice]
    for number, name in enumerate(sorted(speech)):
        pooled = name.endswith(_POOLS)
        mean, std, normal = _own_space(speech[name], pooled)
        means, stds = [*means, mean], [*stds, std]
        levels = [0.0] * len(normal) if pooled else arousals(speech[name])
        for utterance, frames, level in zip(speech[name], normal, levels, strict=True):
            examples.append(example(utterance.timed, frames, number + 2, level))
    sizes = Sizes(
        len(PHONES), DESCRIPTION, WIDTH, stack=recipe.stack, phone_hidden=recipe.phone_hidden,
        frame_hidden=recipe.frame_hidden, layers=recipe.layers, duration_hidden=recipe.duration_hidden, speaker=16,
        speakers=len(names) + 2, style=1,
    )  # fmt: skip
    if shipped:
        examples += _rehearsal(shipped, recipe.rehearsed, len(speech) + PERSON + 1, seed)
        means, stds = [*means, *shipped.mean[PERSON + 1 :]], [*stds, *shipped.std[PERSON + 1 :]]
    stats = duration_statistics(examples, sizes.speakers)
    if shipped:
        stats[-len(shipped.speakers) :] = shipped.stats[PERSON + 1 :]
    torch.manual_seed(seed)
    run = Run(
        recipe, examples, sizes, stats, seed, scratch / "base-training.safetensors",
        lambda fraction, message: progress(0.5 + 0.5 * fraction, message), save_checkpoint,
        ready=_begun(shipped, sizes, len(speech)) if shipped else None,
    )  # fmt: skip
    run.resume()
    run.train()
    mean_table, std_table = np.stack(means).astype(np.float32), np.stack(stds).astype(np.float32)
    base = Base(
        manifest.model, sizes, run.acoustic.eval(), run.duration.eval(), names, mean_table, std_table, stats,
        manifest.licence,
    )  # fmt: skip
    return base, run
