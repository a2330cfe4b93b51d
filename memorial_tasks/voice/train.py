"""Training of the tier-0 voice: practice speech and the person's own together, then mostly the person.

Everything is drawn from (seed, step), the weights and the optimiser are saved every few seconds, so a killed training
continues where it stopped and ends with the same model as an undisturbed one.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import RATE, Wave, set_loudness
from memorial_tasks.voice.batches import Example, Window, choose, windows
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.features import CEPSTRA, LF0, VUV, WIDTH, Frames, resynthesise
from memorial_tasks.voice.listen import fit
from memorial_tasks.voice.material import practice_readings, room_tone
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.networks import PERSON, PRACTICE, AcousticModel, Discriminator, DurationModel, Sizes
from memorial_tasks.voice.own_words import keep_clips
from memorial_tasks.voice.phones import PHONES, SILENCE
from memorial_tasks.voice.recipe import Recipe, learning_rate
from memorial_tasks.voice.sequence import DESCRIPTION, TimedRow, describe

Progress = Callable[[float, str], None]
_SAVE_EVERY = 12.0  # seconds


@dataclass
class Trained:
    """What training gives: the model, the utterances kept away from it, and curves for the card."""

    model: VoiceModel
    held_out: tuple[Utterance, ...]
    curves: dict[str, list[tuple[int, float]]]
    resumed: bool


def train_voice(
    corpus: Corpus,
    texts: Sequence[tuple[str, Language]],
    recipe: Recipe,
    checkpoints: Path,
    seed: int = 0,
    progress: Progress = lambda fraction, message: None,
    save_checkpoint: Callable[[], None] = lambda: None,
) -> Trained:
    """Train a voice from `corpus`. `texts` are the script's lines: practice speech reads them too, so that every
    sound of the film has been heard once. `checkpoints` is a folder that survives a kill after `save_checkpoint()`."""
    torch.set_num_threads(max(1, min(2, torch.get_num_threads())))
    learn, held_out = hold_out(corpus)
    progress(0.0, "generating practice speech")
    practice = practice_readings(corpus, texts, recipe.practice, checkpoints / "practice", seed, progress)
    save_checkpoint()
    mean, std = _statistics(learn)
    practice_rows = to_person(practice, learn, mean, std)
    examples = [_example(u.timed, (u.frames - mean) / std, PERSON) for u in learn]
    heard = phone_pairs([u.timed for u in learn])
    examples += [_example(timed, frames, PRACTICE, practice=True) for timed, frames in practice_rows]
    recipe = replace(recipe, mix=float(np.clip(unheard([timed for timed, _ in practice_rows], heard), recipe.mix, 0.6)))
    stats = _duration_statistics(examples)
    sizes = Sizes(
        len(PHONES),
        DESCRIPTION,
        WIDTH,
        phone_hidden=recipe.phone_hidden,
        frame_hidden=recipe.frame_hidden,
        layers=recipe.layers,
    )
    torch.manual_seed(seed)
    run = _Run(
        recipe, examples, sizes, stats, seed, checkpoints / "voice-training.safetensors", progress, save_checkpoint
    )
    resumed = run.resume()
    run.train()
    acoustic, duration = run.acoustic.eval(), run.duration.eval()
    tone, level = room_tone(learn)
    own_rows = [(u.timed, (u.frames - mean) / std) for u in learn]
    ear = fit([*practice_rows, *own_rows], own_rows)
    model = VoiceModel(
        sizes, acoustic, duration, mean, std, np.ones(WIDTH, np.float32), stats[PERSON], tone, level, corpus.language,
        np.zeros(0, np.int16), [], ear, np.ones(513, np.float32),
    )  # fmt: skip
    model.variance = liveliness(model, learn)
    model.colour = colour(model, learn)
    model.clips, model.clip_index = keep_clips(corpus.utterances)
    return Trained(model, held_out, run.curves, resumed)


def hold_out(corpus: Corpus) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Learn from all but a few middling utterances (about 4 % of the speech, at most 5)."""
    count = max(1, min(5, round(0.04 * len(corpus.utterances)))) if len(corpus.utterances) >= 8 else 0
    if not count:
        return corpus.utterances, ()
    order = np.linspace(0, len(corpus.utterances) - 1, count + 2).astype(int)[1:-1]
    away = set(order.tolist())
    learn = tuple(u for number, u in enumerate(corpus.utterances) if number not in away)
    return learn, tuple(corpus.utterances[number] for number in sorted(away))


def _spoken(timed: TimedRow) -> NDArray[np.bool_]:
    spoken = np.array([phone.name != SILENCE for phone in timed.row.phones], np.bool_)
    return np.repeat(spoken, np.diff(timed.edges))


def _statistics(utterances: Sequence[Utterance]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    speech = np.concatenate([u.frames[_spoken(u.timed)] for u in utterances])
    mean, std = speech.mean(axis=0), speech.std(axis=0) + 1e-4
    voiced = speech[speech[:, VUV] > 0.5, LF0]
    mean[LF0], std[LF0] = voiced.mean(), voiced.std() + 1e-3
    mean[VUV], std[VUV] = 0.5, 0.5
    return mean.astype(np.float32), std.astype(np.float32)


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
    speech = np.concatenate([frames[_spoken(timed)] for timed, frames in practice])
    own_mean, own_std = speech.mean(axis=0), speech.std(axis=0) + 1e-4
    voiced = speech[speech[:, VUV] > 0.5, LF0]
    own_mean[LF0], own_std[LF0] = voiced.mean(), voiced.std() + 1e-3
    own_mean[VUV], own_std[VUV] = 0.5, 0.5
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


def phone_pairs(rows: Sequence[TimedRow]) -> Counter[tuple[str, str]]:
    """How often each phone follows each other phone."""
    pairs: Counter[tuple[str, str]] = Counter()
    for timed in rows:
        names = [phone.name for phone in timed.row.phones]
        pairs.update(pairwise(names))
    return pairs


def unheard(rows: Sequence[TimedRow], heard: Mapping[tuple[str, str], int]) -> float:
    """Share of the phone pairs of `rows` that the person never said."""
    pairs = phone_pairs(rows)
    return sum(count for pair, count in pairs.items() if pair not in heard) / max(1, sum(pairs.values()))


def _example(
    timed: TimedRow,
    frames: Frames,
    speaker: int,
    practice: bool = False,
) -> Example:
    ids, description = describe(timed.row)
    count = min(len(frames), int(timed.edges[-1]))
    return Example(
        ids, description, np.minimum(timed.edges, count), frames[:count].astype(np.float32), speaker, practice
    )


def _duration_statistics(examples: Sequence[Example]) -> NDArray[np.float32]:
    """[2 speakers, 4]: mean and std of log frames of phones, then of pauses inside an utterance."""
    out = np.zeros((2, 4), np.float32)
    for speaker in (PRACTICE, PERSON):
        phones, pauses = [], []
        for example in (e for e in examples if e.speaker == speaker and e.practice == (speaker == PRACTICE)):
            log = np.log(np.maximum(np.diff(example.edges), 1))
            phones.append(log[example.ids != 0])
            pauses.append(log[1:-1][example.ids[1:-1] == 0])
        spoken = np.concatenate(phones) if phones else np.zeros(1)
        silent = np.concatenate(pauses) if pauses else np.zeros(0)
        out[speaker] = (
            spoken.mean(),
            spoken.std() + 0.05,
            silent.mean() if silent.size > 4 else np.log(45.0),
            silent.std() + 0.1 if silent.size > 4 else 0.4,
        )
    return out


def liveliness(model: VoiceModel, utterances: Sequence[Utterance]) -> NDArray[np.float32]:
    """Ratio of the spread of real frames to that of predicted ones, per column, over up to 30 utterances."""
    real: list[NDArray[np.float32]] = []
    made: list[NDArray[np.float32]] = []
    for utterance in utterances[:: max(1, len(utterances) // 30)]:
        predicted = model.frames(utterance.timed.row, utterance.timed.edges, liveliness=0.0)
        spoken = _spoken(utterance.timed)[: len(predicted)]
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


class _Run:
    """One training with its state; `train` may be interrupted after any step and taken up by `resume`."""

    def __init__(
        self,
        recipe: Recipe,
        examples: list[Example],
        sizes: Sizes,
        duration_stats: NDArray[np.float32],
        seed: int,
        path: Path,
        progress: Progress,
        save_checkpoint: Callable[[], None],
    ) -> None:
        self.recipe, self.examples, self.seed, self.path = recipe, examples, seed, path
        self.progress, self.save_checkpoint = progress, save_checkpoint
        self.acoustic, self.duration = AcousticModel(sizes), DurationModel(sizes)
        self.judge = Discriminator(CEPSTRA - 1)
        self.stats = duration_stats
        self.optimisers = {
            "acoustic": torch.optim.Adam(self.acoustic.parameters(), recipe.rate),
            "duration": torch.optim.Adam(self.duration.parameters(), 2e-3),
            "judge": torch.optim.Adam(self.judge.parameters(), 5e-4),
        }
        self.step = 0
        self.total = recipe.duration_steps + recipe.first + recipe.steps + recipe.adversarial_steps
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self._saved = time.monotonic()
        lengths = np.array([len(example.frames) for example in examples], np.float64)
        practice = np.array([example.practice for example in examples])
        self._weights = [np.where(practice, lengths, 0), np.where(practice, 0, lengths)]

    def _modules(self) -> dict[str, nn.Module]:
        return {"acoustic": self.acoustic, "duration": self.duration, "judge": self.judge}

    def _draw(self, count: int, mix: float, step_seed: int) -> NDArray[np.int64]:
        practice = round(count * mix) if self._weights[PRACTICE].sum() > 0 else 0
        parts = [
            choose(self.examples, self._weights[speaker], amount, step_seed * 2 + speaker)
            for speaker, amount in ((PRACTICE, practice), (PERSON, count - practice))
            if amount
        ]
        return np.concatenate(parts)

    def train(self) -> None:
        """Run the remaining steps."""
        self.acoustic.train()
        self.duration.train()
        losses: list[float] = []
        name = ""
        while self.step < self.total:
            torch.manual_seed(self.seed * 1_000_003 + self.step)
            before = name
            name, loss = self._one(self.step)
            losses = [*losses, loss] if name == before else [loss]
            self.step += 1
            if self.step % 25 == 0 or self.step == self.total:
                self.curves.setdefault(name, []).append((self.step, round(float(np.mean(losses)), 4)))
                losses = []
                self.progress(0.1 + 0.8 * self.step / self.total, f"training step {self.step} of {self.total}")
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self.save()

    def _one(self, step: int) -> tuple[str, float]:
        recipe = self.recipe
        if step < recipe.duration_steps:
            return "duration", self._duration_step(step)
        step -= recipe.duration_steps
        if step < recipe.first + recipe.steps:
            mix = 0.5 if step < recipe.first else recipe.mix
            return "acoustic", self._acoustic_step(step, mix)
        return "adversarial", self._adversarial_step(step)

    def _duration_step(self, step: int) -> float:
        mix = 0.5 if step < self.recipe.duration_steps // 2 else self.recipe.mix
        numbers = self._draw(16, mix, self.seed * 7919 + step)
        chosen = [self.examples[int(number)] for number in numbers]
        size = max(len(example.ids) for example in chosen)
        ids = torch.zeros(len(chosen), size, dtype=torch.int64)
        description = torch.zeros(len(chosen), size, chosen[0].description.shape[1])
        target = torch.zeros(len(chosen), size)
        mask = torch.zeros(len(chosen), size)
        for row, example in enumerate(chosen):
            count = len(example.ids)
            mean, std, pause_mean, pause_std = self.stats[PRACTICE if example.practice else PERSON]
            log = np.log(np.maximum(np.diff(example.edges), 1))
            normal = np.where(example.ids == 0, (log - pause_mean) / pause_std, (log - mean) / std)
            ids[row, :count] = torch.from_numpy(example.ids)
            description[row, :count] = torch.from_numpy(example.description)
            target[row, :count] = torch.from_numpy(normal.astype(np.float32))
            # the silence around an utterance is an accident of cutting
            mask[row, 1 : count - 1] = 1.0
        speakers = torch.tensor([example.speaker for example in chosen])
        lengths = torch.tensor([len(example.ids) for example in chosen])
        out = self.duration(ids, description, speakers, lengths)
        loss = (functional.smooth_l1_loss(out, target, reduction="none") * mask).sum() / mask.sum()
        self._update("duration", self.duration, loss, learning_rate(step, self.recipe.duration_steps, 2e-3))
        return float(loss.detach())

    def _batch(self, step: int, mix: float) -> Window:
        numbers = self._draw(self.recipe.batch, mix, self.seed * 104_729 + step)
        return windows(self.examples, numbers, self.recipe.window, self.acoustic.sizes.stack, self.seed * 31 + step)

    def _predict(self, batch: Window) -> Tensor:
        out: Tensor = self.acoustic(
            batch.ids, batch.description, batch.speaker, batch.lengths, batch.owner, batch.position
        )
        return out

    def _acoustic_step(self, step: int, mix: float) -> float:
        batch = self._batch(step, mix)
        loss = frame_loss(self._predict(batch), batch.target, batch.mask)
        total = self.recipe.first + self.recipe.steps
        self._update("acoustic", self.acoustic, loss, learning_rate(step, total, self.recipe.rate))
        return float(loss.detach())

    def _adversarial_step(self, step: int) -> float:
        """The seeds' audio GAN: LSTM generator against LSTM discriminator on the cepstra, in the person's windows.
        The judge minimises -log D(x) - log(1 - D(G)), the voice the frame loss plus w * -log D(G), with w scaled by
        the ratio of both losses (Saito et al. 2017)."""
        batch = self._batch(step, 0.0)
        predicted = self._predict(batch)
        real, made = batch.target[:, :, 1:CEPSTRA], predicted[:, :, 1:CEPSTRA]
        judge_loss = (
            functional.softplus(-self.judge(real)).mean() + functional.softplus(self.judge(made.detach())).mean()
        )
        self._update("judge", self.judge, judge_loss, 5e-4)
        plain = frame_loss(predicted, batch.target, batch.mask)
        fooled = functional.softplus(-self.judge(made)).mean()
        weight = self.recipe.adversarial * float(plain.detach()) / max(float(fooled.detach()), 1e-6)
        self._update("acoustic", self.acoustic, plain + weight * fooled, self.recipe.rate * 0.1)
        return float(judge_loss.detach())

    def _update(self, name: str, module: nn.Module, loss: Tensor, rate: float) -> None:
        optimiser = self.optimisers[name]
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()

    def save(self) -> None:
        """Write weights, optimiser state and the step to the checkpoint folder."""
        tensors: dict[str, Tensor] = {}
        for name, module in self._modules().items():
            tensors |= {f"{name}/{key}": value.contiguous() for key, value in module.state_dict().items()}
            for number, state in self.optimisers[name].state_dict()["state"].items():
                tensors |= {f"adam.{name}/{number}/{key}": value.contiguous() for key, value in state.items()}
        metadata = {
            "step": str(self.step),
            "total": str(self.total),
            "seed": str(self.seed),
            "sizes": json.dumps(asdict(self.acoustic.sizes)),
            "curves": json.dumps(self.curves),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".part")
        save_file(tensors, draft, metadata=metadata)
        draft.replace(self.path)
        self.save_checkpoint()
        self._saved = time.monotonic()

    def resume(self) -> bool:
        """Take up a checkpoint of the same training; False when there is none, or one of another architecture."""
        if not self.path.is_file():
            return False
        with safe_open(self.path, "pt") as file:
            metadata = file.metadata() or {}
            own = (str(self.total), str(self.seed), json.dumps(asdict(self.acoustic.sizes)))
            if tuple(metadata.get(key) for key in ("total", "seed", "sizes")) != own:
                return False
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        for name, module in self._modules().items():
            prefix = f"{name}/"
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            states: dict[int, dict[str, Tensor]] = {}
            prefix = f"adam.{name}/"
            for key, value in tensors.items():
                if key.startswith(prefix):
                    number, field = key.removeprefix(prefix).split("/")
                    states.setdefault(int(number), {})[field] = value
            whole = self.optimisers[name].state_dict()
            self.optimisers[name].load_state_dict({"state": states, "param_groups": whole["param_groups"]})
        self.step = int(metadata["step"])
        self.curves = {
            key: [(int(a), float(b)) for a, b in value] for key, value in json.loads(metadata["curves"]).items()
        }
        return True


_COLUMN_WEIGHT = torch.ones(WIDTH)
_COLUMN_WEIGHT[LF0] = 3.0
_COLUMN_WEIGHT[VUV] = 2.0


def frame_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of normalised frames [B, T, WIDTH] under `mask` [B, T]; log F0 counts fully where the target
    is voiced and a tenth elsewhere."""
    error = (predicted - target) ** 2 * _COLUMN_WEIGHT
    voiced = (target[:, :, VUV] > 0).float() * 0.9 + 0.1
    weight = torch.ones_like(error)
    weight[:, :, LF0] = voiced
    return (error * weight * mask[:, :, None]).sum() / (mask.sum() * WIDTH)
