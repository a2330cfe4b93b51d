"""The training loop of the voice networks: windows drawn from (seed, step), the losses, checkpoints every few seconds.

A killed training continues where it stopped and ends with the same weights as an undisturbed one.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from memorial_tasks.voice.batches import Example, Window, choose, shares, windows
from memorial_tasks.voice.features import CEPSTRA, LF0, VUV, WIDTH
from memorial_tasks.voice.networks import PERSON, PRACTICE, AcousticModel, Discriminator, DurationModel, Sizes
from memorial_tasks.voice.recipe import Recipe, learning_rate
from memorial_tasks.voice.state import load_state, read_words, save_state

Progress = Callable[[float, str], None]
SAVE_EVERY = 12.0  # seconds


@contextmanager
def tiny_is_zero() -> Iterator[None]:
    """While training, numbers too small to matter count as zero: a processor is many times slower with them. It keeps
    that for all who come after in the process, so it is taken back."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class Run:
    """One training with its state; `train` may be interrupted after any step and taken up by `resume`.

    `duration_stats` float32 [speakers, 4] are the mean and spread of log frames of phones, then of pauses. With
    `ready`, its networks are taken up and only what `trainable` names in them is changed.
    """

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
        ready: tuple[AcousticModel, DurationModel] | None = None,
        trainable: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.recipe, self.examples, self.seed, self.path = recipe, examples, seed, path
        self.progress, self.save_checkpoint = progress, save_checkpoint
        self.acoustic, self.duration = ready or (AcousticModel(sizes), DurationModel(sizes))
        self.judge = Discriminator(CEPSTRA - 1)
        self.stats = duration_stats
        for module in (self.acoustic, self.duration):
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(trainable(name))
        rates = {"acoustic": recipe.rate, "duration": recipe.duration_rate, "judge": 5e-4}
        self.optimisers = {
            name: torch.optim.Adam([p for p in module.parameters() if p.requires_grad], rates[name])
            for name, module in self._modules().items()
        }
        self.step, self.resumed = 0, False
        self.total = recipe.duration_steps + recipe.steps + recipe.adversarial_steps
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self._saved = time.monotonic()
        weights = shares(examples)
        practice = np.array([example.speaker == PRACTICE for example in examples])
        self._weights = [np.where(practice, weights, 0), np.where(practice, 0, weights)]

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
            if self.step == self.total or time.monotonic() - self._saved > SAVE_EVERY:
                self.save()

    def _one(self, step: int) -> tuple[str, float]:
        recipe = self.recipe
        if step < recipe.duration_steps:
            return "duration", self._duration_step(step)
        step -= recipe.duration_steps
        if step < recipe.steps:
            return "acoustic", self._acoustic_step(step, recipe.mix)
        return "adversarial", self._adversarial_step(step)

    def _duration_step(self, step: int) -> float:
        numbers = self._draw(16, self.recipe.mix, self.seed * 7919 + step)
        chosen = [self.examples[int(number)] for number in numbers]
        size = max(len(example.ids) for example in chosen)
        ids = torch.zeros(len(chosen), size, dtype=torch.int64)
        description = torch.zeros(len(chosen), size, chosen[0].description.shape[1])
        target = torch.zeros(len(chosen), size)
        mask = torch.zeros(len(chosen), size)
        for row, example in enumerate(chosen):
            count = len(example.ids)
            mean, std, pause_mean, pause_std = self.stats[example.speaker]
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
        self._update(
            "duration", self.duration, loss, learning_rate(step, self.recipe.duration_steps, self.recipe.duration_rate)
        )
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
        loss = frame_loss(self._predict(batch), batch.target, batch.mask, batch.speaker)
        self._update("acoustic", self.acoustic, loss, learning_rate(step, self.recipe.steps, self.recipe.rate))
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
        plain = frame_loss(predicted, batch.target, batch.mask, batch.speaker)
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
        words = self._own() | {"step": str(self.step), "curves": json.dumps(self.curves)}
        save_state(self.path, self._modules(), self.optimisers, words)
        self.save_checkpoint()
        self._saved = time.monotonic()

    def _own(self) -> dict[str, str]:
        sizes = json.dumps(asdict(self.acoustic.sizes))
        return {"total": str(self.total), "seed": str(self.seed), "sizes": sizes}

    def resume(self) -> None:
        """Take up a checkpoint of the same training; nothing when there is none, or one of another architecture."""
        words = read_words(self.path)
        if not words or any(words.get(key) != value for key, value in self._own().items()):
            return
        load_state(self.path, self._modules(), self.optimisers)
        self.step, self.resumed = int(words["step"]), True
        curves = json.loads(words["curves"])
        self.curves = {key: [(int(a), float(b)) for a, b in value] for key, value in curves.items()}


_COLUMN_WEIGHT = torch.ones(WIDTH)
_COLUMN_WEIGHT[LF0] = 3.0
_COLUMN_WEIGHT[VUV] = 2.0


def frame_loss(predicted: Tensor, target: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
    """Mean squared error of normalised frames [B, T, WIDTH] under `mask` [B, T] of speakers int64 [B]; log F0 counts
    fully where the target is voiced and a tenth elsewhere. Practice speech has no aperiodicity to learn from."""
    error = (predicted - target) ** 2 * _COLUMN_WEIGHT
    voiced = (target[:, :, VUV] > 0).float() * 0.9 + 0.1
    weight = torch.ones_like(error)
    weight[:, :, LF0] = voiced
    weight[:, :, VUV + 1 :] = (speaker != PRACTICE).float()[:, None, None]
    return (error * weight * mask[:, :, None]).sum() / (mask.sum() * WIDTH)
