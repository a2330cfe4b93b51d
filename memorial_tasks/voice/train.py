"""From a person's prepared speech to their voice: tier 0 from their minutes alone, tier 1 on top of a base voice.

Tier 0 begins with the networks that generated speech has taught (`pretrain`) and learns all of them anew for the
person, with practice speech among the person's own so that the other language is not forgotten. Tier 1 takes a base
voice as it is and learns only what the person has of their own (`networks.Adapter`, their code, the last layer).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import RATE, Wave, set_loudness
from memorial_tasks.voice.base import Base, pretrained
from memorial_tasks.voice.batches import Example
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.examples import arousals, duration_statistics, example, spoken_frames, statistics
from memorial_tasks.voice.features import CEPSTRA, LF0, VUV, WIDTH, Frames, resynthesise
from memorial_tasks.voice.learn import Progress, Run, tiny_is_zero
from memorial_tasks.voice.listen import Listener, between, fit
from memorial_tasks.voice.material import breaths, practice_readings, room_tone
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.networks import PERSON, PRACTICE
from memorial_tasks.voice.own_words import keep_clips
from memorial_tasks.voice.practice_texts import ENGLISH, MANDARIN
from memorial_tasks.voice.recipe import Recipe
from memorial_tasks.voice.sequence import TimedRow, spoken_row
from memorial_tasks.voice.synthesize import heard_frames, say_row
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.vocoder import Vocoder, VocoderRun, copy_distances

_OWN = ("adapter", "speaker", "leave")  # what a person changes of a base voice, by the names of the networks' parts
_COMPARED = 6  # recordings from which follows how what this voice makes differs from what was recorded
_OTHER_SENTENCES = 16  # of the other language, said to know how it sounds in this voice
_Rows = list[tuple[TimedRow, Frames]]


@dataclass
class Trained:
    """What training gives: the model, the utterances kept away from it, and curves for the card."""

    model: VoiceModel
    held_out: tuple[Utterance, ...]
    curves: dict[str, list[tuple[int, float]]]
    resumed: bool
    vocoder: dict[str, float] = field(default_factory=dict)  # distances of `with_better_vocoder`


@dataclass(frozen=True)
class _Speech:
    """What a training learns from: the person's utterances and the generated ones, both in the person's space."""

    learn: tuple[Utterance, ...]
    held_out: tuple[Utterance, ...]
    own: _Rows
    practice: _Rows
    mean: Frames
    std: Frames


@tiny_is_zero()
def train_voice(
    corpus: Corpus,
    recipe: Recipe,
    checkpoints: Path,
    seed: int = 0,
    progress: Progress = lambda fraction, message: None,
    save_checkpoint: Callable[[], None] = lambda: None,
    base: Base | None = None,
) -> Trained:
    """Train a voice from `corpus`, of tier 1 with a `base`, of tier 0 without. `checkpoints` is a folder
    that survives a kill after `save_checkpoint()`; both tiers may share it."""
    torch.set_num_threads(max(1, min(2, torch.get_num_threads())))
    learn, held_out = hold_out(corpus)
    progress(0.0, "generating practice speech")
    practice = practice_readings(corpus, recipe.practice, checkpoints / "practice", seed, progress)
    save_checkpoint()
    mean, std = statistics(learn)
    own = [(u.timed, np.asarray((u.frames - mean) / std, np.float32)) for u in learn]
    speech = _Speech(learn, held_out, own, to_person(practice, learn, mean, std), mean, std)
    path = checkpoints / ("voice-training.safetensors" if base is None else "voice-tuning.safetensors")
    torch.manual_seed(seed)
    if base is None:
        run = _from_pretrained(speech, recipe, seed, path, progress, save_checkpoint)
    else:
        run = _from_base(speech, base, recipe, seed, path, progress, save_checkpoint)
    run.resume()
    run.train()
    model = _model(corpus, speech, run, base)
    measured: dict[str, float] = {}
    if recipe.vocoder and held_out:
        vocoder = VocoderRun(
            learn, mean, std, recipe.vocoder, checkpoints / "vocoder.safetensors", seed,
            lambda fraction, message: progress(0.9 + 0.1 * fraction, message), save_checkpoint,
        )  # fmt: skip
        vocoder.resume()
        vocoder.train()
        run.curves["vocoder"] = [(step, distance) for step, distance, _ in vocoder.curve]
        measured = with_better_vocoder(model, vocoder.vocoder(), held_out)
    return Trained(model, held_out, run.curves, run.resumed, measured)


def with_better_vocoder(model: VoiceModel, vocoder: Vocoder, held_out: Sequence[Utterance]) -> dict[str, float]:
    """Give `model` the vocoder if it is nearer to the held-out recordings than WORLD both when it copies them and when
    it says what the networks predict. The distances measured (`vocoder.spectral_distance`)."""
    predicted = [replace(u, frames=model.frames(u.timed.row, u.timed.edges)) for u in held_out]
    out = {
        "world_copy": copy_distances(resynthesise, held_out),
        "gan_copy": copy_distances(vocoder.sound, held_out),
        "world_made": copy_distances(resynthesise, predicted),
        "gan_made": copy_distances(vocoder.sound, predicted),
    }
    if out["gan_copy"] < out["world_copy"] and out["gan_made"] < out["world_made"]:
        model.vocoder = vocoder
    return {name: round(value, 4) for name, value in out.items()}


def _from_pretrained(
    speech: _Speech, recipe: Recipe, seed: int, path: Path, progress: Progress, save_checkpoint: Callable[[], None]
) -> Run:
    own = _own_examples(speech)
    practice = [example(timed, frames, PRACTICE, 0.0) for timed, frames in speech.practice]
    sizes, acoustic, duration = pretrained().for_person(0)
    stats = duration_statistics(own + practice, 2)
    return Run(
        recipe, own + practice, sizes, stats, seed, path, progress, save_checkpoint, ready=(acoustic, duration)
    )  # fmt: skip


def _own_examples(speech: _Speech) -> list[Example]:
    levels = arousals(speech.learn)
    return [example(timed, frames, PERSON, level) for (timed, frames), level in zip(speech.own, levels, strict=True)]


def _from_base(
    speech: _Speech,
    base: Base,
    recipe: Recipe,
    seed: int,
    path: Path,
    progress: Progress,
    save_checkpoint: Callable[[], None],
) -> Run:
    own = _own_examples(speech)
    sizes, acoustic, duration = base.for_person(recipe.adapter)
    stats = np.stack([base.stats[PRACTICE], duration_statistics(own, 2)[PERSON]])
    return Run(
        replace(recipe, mix=0.0),
        own,
        sizes,
        stats,
        seed,
        path,
        progress,
        save_checkpoint,
        ready=(acoustic, duration),
        trainable=lambda name: any(part in name.split(".") for part in _OWN),
    )


def _model(corpus: Corpus, speech: _Speech, run: Run, base: Base | None) -> VoiceModel:
    """The trained networks with everything else a voice needs, fitted on the person's recordings."""
    tone, level = room_tone(speech.learn)
    model = VoiceModel(
        run.acoustic.sizes, run.acoustic.eval(), run.duration.eval(), speech.mean, speech.std,
        np.ones(WIDTH, np.float32), run.stats[PERSON], tone, level, corpus.language, np.zeros(0, np.int16), [],
        fit(speech.own, speech.own), np.ones(513, np.float32), base.name if base else "", breaths(speech.learn),
    )  # fmt: skip
    model.variance = liveliness(model, speech.learn)
    model.colour = colour(model, speech.learn)
    model.listener = listener(model, speech)
    model.clips, model.clip_index = keep_clips(corpus.utterances)
    return model


def listener(model: VoiceModel, speech: _Speech) -> Listener:
    """What hears this voice's lines back. It knows phones from the person's own speech and from practice; those of
    the other language as this voice says them in general sentences, because espeak's Mandarin, moved as far towards the
    person as English allows, tells nothing of an English voice's. Phones of their own language that the person never
    recorded are not judged."""
    learned = speech.own[:: max(1, len(speech.own) // _COMPARED)][:_COMPARED]
    made = [heard_frames(model, model.sound(model.frames(timed.row, timed.edges))) for timed, _ in learned]
    sizes = [min(len(ours), len(theirs)) for ours, (_, theirs) in zip(made, learned, strict=True)]
    spoken = np.concatenate([spoken_frames(timed)[:size] for (timed, _), size in zip(learned, sizes, strict=True)])
    ours = np.concatenate([frames[:size] for frames, size in zip(made, sizes, strict=True)])[spoken]
    theirs = np.concatenate([frames[:size] for (_, frames), size in zip(learned, sizes, strict=True)])[spoken]
    ear = replace(model.listener, made=between(ours, theirs))
    heard = {phone.name for timed, _ in speech.own for phone in timed.row.phones}
    rows = [(timed, frames) for timed, frames in speech.practice if heard.issuperset(p.name for p in timed.row.phones)]
    english = model.language == Language.EN_US
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for text in (MANDARIN if english else ENGLISH)[:_OTHER_SENTENCES]:
            timed, frames = say_row(model, spoken_row(front.words(text, Language.ZH_CN if english else Language.EN_US)))
            rows.append((timed, ear.as_recorded(heard_frames(model, model.sound(frames)))))
    return replace(fit([*rows, *speech.own], speech.own), made=ear.made)


def hold_out(corpus: Corpus) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Learn from all but a few middling utterances (about 4 % of the speech, at most 5)."""
    count = max(1, min(5, round(0.04 * len(corpus.utterances)))) if len(corpus.utterances) >= 8 else 0
    if not count:
        return corpus.utterances, ()
    order = np.linspace(0, len(corpus.utterances) - 1, count + 2).astype(int)[1:-1]
    away = set(order.tolist())
    learn = tuple(u for number, u in enumerate(corpus.utterances) if number not in away)
    return learn, tuple(corpus.utterances[number] for number in sorted(away))


def _phone_means(rows: Sequence[tuple[TimedRow, Frames]]) -> dict[str, tuple[NDArray[np.float64], int]]:
    """Mean frame of the middle of each phone, with the number of occurrences."""
    sums: dict[str, tuple[NDArray[np.float64], int]] = {}
    for timed, frames in rows:
        for phone, start, end in zip(timed.row.phones, timed.edges, timed.edges[1:], strict=False):
            third = (end - start) // 3
            middle = frames[start + third : max(end - third, start + third + 1)].mean(axis=0).astype(np.float64)
            total, count = sums.get(phone.name, (np.zeros(frames.shape[1]), 0))
            sums[phone.name] = (total + middle, count + 1)
    return {name: (total / count, count) for name, (total, count) in sums.items()}


def to_person(
    practice: Sequence[tuple[TimedRow, Frames]], learn: Sequence[Utterance], mean: Frames, std: Frames
) -> list[tuple[TimedRow, Frames]]:
    """Practice frames moved into the person's normalised space.

    First both are normalised by their own mean and spread; then a linear map of the cepstra, fitted by ridge
    regression on the phones both have said, brings the practice voice's phones near the person's.
    """
    own_mean, own_std = statistics(practice)
    normal = [(timed, ((frames - own_mean) / own_std).astype(np.float32)) for timed, frames in practice]
    theirs = _phone_means(normal)
    ours = _phone_means([(u.timed, (u.frames - mean) / std) for u in learn])
    shared = [name for name in theirs if name in ours and theirs[name][1] >= 3 and ours[name][1] >= 3]
    if len(shared) >= 8:
        x = np.array([theirs[name][0][:CEPSTRA] for name in shared])
        y = np.array([ours[name][0][:CEPSTRA] for name in shared])
        weight = np.sqrt(np.array([min(ours[name][1], 30) for name in shared]))[:, None]
        centre_x, centre_y = np.average(x, 0, weight[:, 0]), np.average(y, 0, weight[:, 0])
        # the penalty pulls towards "no change", not towards zero
        left = (weight * (x - centre_x)).T @ (weight * (x - centre_x)) + 15.0 * np.eye(CEPSTRA)
        right = (weight * (x - centre_x)).T @ (weight * (y - centre_y - (x - centre_x)))
        matrix = np.eye(CEPSTRA) + np.linalg.solve(left, right)
        for _, frames in normal:
            frames[:, :CEPSTRA] = (frames[:, :CEPSTRA] - centre_x) @ matrix + centre_y
    return normal


def liveliness(model: VoiceModel, utterances: Sequence[Utterance]) -> NDArray[np.float32]:
    """Ratio of the spread of real frames to that of predicted ones, per column, over up to 30 utterances."""
    real: list[NDArray[np.float32]] = []
    made: list[NDArray[np.float32]] = []
    for utterance in utterances[:: max(1, len(utterances) // 30)]:
        predicted = model.frames(utterance.timed.row, utterance.timed.edges, liveliness=0.0)
        spoken = spoken_frames(utterance.timed)[: len(predicted)]
        voiced = spoken & (utterance.frames[: len(predicted), VUV] > 0.5)
        if voiced.sum() < 20:
            continue
        for frames, store in ((utterance.frames[: len(predicted)], real), (predicted, made)):
            spread = frames[spoken].std(axis=0)
            spread[LF0] = frames[voiced, LF0].std()
            store.append(spread)
    if not real:
        return np.ones(WIDTH, np.float32)
    return np.asarray(np.clip(np.mean(real, axis=0) / (np.mean(made, axis=0) + 1e-6), 1.0, 2.5), np.float32)


def colour(model: VoiceModel, utterances: Sequence[Utterance]) -> NDArray[np.float32]:
    """Gain float32 [513], 0 to 12 kHz, from the long-term spectrum of the model's speech to that of the recordings,
    over up to 20 utterances. Smoothed over about a critical band and at most 12 dB. Measured on kathleen: likeness
    0.827 without, 0.834 with."""
    chosen = utterances[:: max(1, len(utterances) // 20)][:20]
    real = _long_term([u.wave for u in chosen])
    made = _long_term([resynthesise(model.frames(u.timed.row, u.timed.edges)) for u in chosen])
    mel = 1127 * np.log1p(np.linspace(0, RATE / 2, real.size) / 700)
    difference = 0.5 * np.log(real / made)
    weight = np.exp(-0.5 * ((mel[:, None] - mel[None]) / 60.0) ** 2)
    smooth = np.clip(weight @ difference / weight.sum(axis=1), -1.4, 1.4)
    return np.asarray(np.exp(smooth), np.float32)


def _long_term(waves: Sequence[Wave]) -> NDArray[np.float64]:
    """Mean power spectrum [513] of waves brought to one loudness."""
    return np.asarray(
        np.mean(
            [(np.abs(signal.stft(set_loudness(wave), RATE, nperseg=1024)[2]) ** 2).mean(axis=1) for wave in waves],
            axis=0,
        )
        + 1e-12,
        np.float64,
    )
