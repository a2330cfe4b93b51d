"""A GAN vocoder on top of WORLD: what WORLD makes of a person's frames, corrected towards their real recordings.

The generator sees the frames and the spectrogram of WORLD's wave and returns a gain and a turn of phase for every bin
of it; the wave is its inverse short-time Fourier transform (the iSTFT head of Kaneko et al. 2022, ConvNeXt trunk at
frame rate as in Siuzdak 2023). It begins as WORLD itself, so minutes of training can only be measured against that.
Two judges: of periods (Kong et al. 2020) and of resolutions (Jang et al. 2021). Losses: log spectra in three
resolutions, least-squares GAN, feature matching.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from memorial_tasks.voice.audio import Wave
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.features import HOP, WIDTH, Frames, resynthesise
from memorial_tasks.voice.learn import SAVE_EVERY, Progress
from memorial_tasks.voice.recipe import VocoderRecipe
from memorial_tasks.voice.state import load_state, read_words, save_state

BINS, _FFT = 257, 512
_RESOLUTIONS = ((1024, 240, 960), (512, 120, 480), (256, 60, 240))  # points, hop, window
_FLOOR = 1e-4
_Maps = list[Tensor]


class _Block(nn.Module):
    """ConvNeXt block in one dimension, [B, width, T]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Residual."""
        inner = self.norm(self.near(hidden).transpose(1, 2))
        out: Tensor = hidden + self.narrow(functional.gelu(self.wide(inner))).transpose(1, 2)
        return out


class Generator(nn.Module):
    """Frames and WORLD's wave -> a better wave of the same length."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        self.enter = nn.Conv1d(WIDTH + BINS, width, 5, padding=2)
        self.trunk = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.leave = nn.Conv1d(width, 2 * BINS, 1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)
        self.window: Tensor

    def forward(self, frames: Tensor, world: Tensor) -> Tensor:
        """`frames` [B, T, WIDTH] normalised, `world` [B, T * HOP] -> [B, T * HOP]."""
        spectrum = torch.stft(world, _FFT, HOP, window=self.window, return_complex=True)
        level = torch.log(spectrum.abs() + _FLOOR)
        given = functional.pad(frames.transpose(1, 2), (0, spectrum.shape[2] - frames.shape[1]), mode="replicate")
        hidden = self.trunk(self.enter(torch.cat([given, level], dim=1)))
        gain, turn = self.leave(hidden).chunk(2, dim=1)
        better = spectrum * torch.polar(torch.exp(gain.clamp(-4, 3)), turn)
        return torch.istft(better, _FFT, HOP, window=self.window, length=world.shape[1])


class PeriodJudge(nn.Module):
    """Looks at every `period`-th sample side by side. [B, samples] -> logits and the maps on the way."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        sizes = (1, channels, 2 * channels, 4 * channels)
        layers = [nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList([*layers, nn.Conv2d(sizes[-1], 1, (3, 1), padding=(1, 0))])

    def forward(self, wave: Tensor) -> _Maps:
        """Feature maps, the last one the logits."""
        size = wave.shape[1] // self.period * self.period
        return _maps(self.layers, wave[:, :size].reshape(len(wave), 1, -1, self.period))


class ResolutionJudge(nn.Module):
    """Looks at a magnitude spectrogram. [B, samples] -> logits and the maps on the way."""

    def __init__(self, resolution: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.resolution = resolution
        sizes = (1, channels, channels, 2 * channels)
        layers = [nn.Conv2d(a, b, (3, 7), (1, 2), padding=(1, 3)) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList([*layers, nn.Conv2d(sizes[-1], 1, 3, padding=1)])

    def forward(self, wave: Tensor) -> _Maps:
        """Feature maps, the last one the logits."""
        return _maps(self.layers, _magnitude(wave, self.resolution).transpose(1, 2)[:, None])


def _maps(layers: nn.ModuleList, hidden: Tensor) -> _Maps:
    out: _Maps = []
    for number, layer in enumerate(layers):
        hidden = layer(hidden)
        if number < len(layers) - 1:
            hidden = functional.leaky_relu(hidden, 0.1)
        out.append(hidden)
    return out


class Judges(nn.Module):
    """All discriminators together."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        periods = [PeriodJudge(period, channels) for period in (2, 3, 5, 7)]
        self.judges = nn.ModuleList([*periods, *(ResolutionJudge(one, channels) for one in _RESOLUTIONS)])

    def forward(self, wave: Tensor) -> list[_Maps]:
        """What each judge sees."""
        return [judge(wave) for judge in self.judges]


def _magnitude(wave: Tensor, resolution: tuple[int, int, int]) -> Tensor:
    points, hop, size = resolution
    window = torch.hann_window(size, device=wave.device)
    return torch.stft(wave, points, hop, size, window=window, return_complex=True).abs()


def spectral_distance(made: Tensor, real: Tensor) -> Tensor:
    """Mean over three resolutions of spectral convergence and log-magnitude difference (Yamamoto et al. 2020)."""
    total = torch.zeros((), device=made.device)
    for resolution in _RESOLUTIONS:
        x, y = _magnitude(made, resolution), _magnitude(real, resolution)
        convergence = torch.linalg.vector_norm(y - x) / torch.linalg.vector_norm(y).clamp_min(1e-6)
        total = total + convergence + (torch.log(x + _FLOOR) - torch.log(y + _FLOOR)).abs().mean()
    return total / len(_RESOLUTIONS)


def judge_loss(real: list[_Maps], made: list[_Maps]) -> Tensor:
    """Least squares: real to 1, made to 0."""
    pairs = zip(real, made, strict=True)
    return torch.stack([(1 - a[-1]).pow(2).mean() + b[-1].pow(2).mean() for a, b in pairs]).mean()


def fooling_loss(real: list[_Maps], made: list[_Maps]) -> Tensor:
    """Least squares of the made towards 1, plus twice the distance of the judges' inner maps."""
    fooled = torch.stack([(1 - maps[-1]).pow(2).mean() for maps in made]).mean()
    inner = [(a - b).abs().mean() for x, y in zip(real, made, strict=True) for a, b in zip(x[:-1], y[:-1], strict=True)]
    return fooled + 2.0 * torch.stack(inner).mean()


@dataclass
class Vocoder:
    """A trained generator with the normal space of its frames, `mean` and `std` float32 [WIDTH]."""

    generator: Generator
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def sound(self, frames: Frames) -> Wave:
        """The wave at 24 kHz of [frames, WIDTH]."""
        world = _exact(resynthesise(frames), len(frames))
        with torch.no_grad():
            given = torch.from_numpy(np.asarray((frames - self.mean) / self.std, np.float32))[None]
            return np.asarray(self.generator(given, torch.from_numpy(world)[None])[0].numpy(), np.float32)


def _exact(wave: Wave, frames: int) -> Wave:
    return np.pad(wave[: frames * HOP], (0, max(0, frames * HOP - wave.size))).astype(np.float32)


class VocoderRun:
    """One training of a vocoder: may be killed after any step and taken up by `resume`; drawn from (seed, step)."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        mean: NDArray[np.float32],
        std: NDArray[np.float32],
        recipe: VocoderRecipe,
        path: Path,
        seed: int = 0,
        progress: Progress = lambda fraction, message: None,
        save_checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        self.recipe, self.path, self.seed = recipe, path, seed
        self.progress, self.save_checkpoint = progress, save_checkpoint
        self.mean, self.std = mean, std
        self._material = [
            (np.asarray((u.frames - mean) / std, np.float32), _exact(resynthesise(u.frames), len(u.frames)),
             _exact(u.wave, len(u.frames)))
            for u in utterances if len(u.frames) > recipe.frames
        ]  # fmt: skip
        torch.manual_seed(seed)
        self.generator, self.judges = Generator(recipe.width, recipe.blocks), Judges(recipe.judge)
        self.optimisers = {
            "generator": torch.optim.AdamW(self.generator.parameters(), recipe.rate, betas=(0.8, 0.99)),
            "judges": torch.optim.AdamW(self.judges.parameters(), recipe.rate, betas=(0.8, 0.99)),
        }
        self.step, self.resumed = 0, False
        self.curve: list[tuple[int, float, float]] = []  # step, spectral distance, judges' loss
        self._saved = time.monotonic()

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "judges": self.judges}

    def _own(self) -> dict[str, str]:
        return {"recipe": json.dumps(asdict(self.recipe)), "seed": str(self.seed)}

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, step))
        size, parts = self.recipe.frames, []
        for number in rng.integers(0, len(self._material), self.recipe.batch):
            frames, world, real = self._material[int(number)]
            at = int(rng.integers(0, len(frames) - size))
            sound = slice(at * HOP, (at + size) * HOP)
            parts.append((frames[at : at + size], world[sound], real[sound]))
        frames_, world_, real_ = (torch.from_numpy(np.stack(column)) for column in zip(*parts, strict=True))
        return frames_, world_, real_

    def train(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run the remaining steps, or until `until` says enough."""
        while self.step < self.recipe.steps and not until():
            distance, judged = self._one(self.step)
            self.step += 1
            if self.step % 10 == 0 or self.step == self.recipe.steps:
                self.curve.append((self.step, round(distance, 4), round(judged, 4)))
                self.progress(self.step / self.recipe.steps, f"vocoder step {self.step} of {self.recipe.steps}")
            if time.monotonic() - self._saved > SAVE_EVERY:
                self.save()
        self.save()

    def _one(self, step: int) -> tuple[float, float]:
        frames, world, real = self._batch(step)
        made = self.generator(frames, world)
        distance = spectral_distance(made, real)
        if step < self.recipe.warm:
            self._update("generator", distance)
            return float(distance.detach()), 0.0
        judged = judge_loss(self.judges(real), self.judges(made.detach()))
        self._update("judges", judged)
        self._update("generator", distance * 10.0 + fooling_loss(self.judges(real), self.judges(made)))
        return float(distance.detach()), float(judged.detach())

    def _update(self, name: str, loss: Tensor) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._modules()[name].parameters(), 5.0)
        optimiser.step()

    def save(self) -> None:
        """Write the state beside the other checkpoints."""
        words = self._own() | {"step": str(self.step), "curve": json.dumps(self.curve)}
        save_state(self.path, self._modules(), self.optimisers, words)
        self.save_checkpoint()
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Take up a checkpoint of the same training, if there is one."""
        words = read_words(self.path)
        if not words or any(words.get(key) != value for key, value in self._own().items()):
            return
        load_state(self.path, self._modules(), self.optimisers)
        self.step, self.resumed = int(words["step"]), True
        self.curve = [(int(a), float(b), float(c)) for a, b, c in json.loads(words["curve"])]

    def vocoder(self) -> Vocoder:
        """What has been learned so far."""
        return Vocoder(self.generator.eval(), self.mean, self.std)


def copy_distances(sound: Callable[[Frames], Wave], utterances: Sequence[Utterance]) -> float:
    """Mean `spectral_distance` of recordings spoken again from their own frames."""
    values = []
    for utterance in utterances:
        made = torch.from_numpy(_exact(sound(utterance.frames), len(utterance.frames)))[None]
        real = torch.from_numpy(_exact(utterance.wave, len(utterance.frames)))[None]
        values.append(float(spectral_distance(made, real)))
    return float(np.mean(values))
