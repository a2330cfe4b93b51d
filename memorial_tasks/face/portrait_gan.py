"""The portrait GAN of the founding text: noise z to a portrait of the person (DCGAN, Radford 2016), torch only.

Exactly the seeds' losses: L_G = -log D(G(z)) and L_D = -log D(x) - log(1 - D(G(z))), the saturating L_G = log(1 -
D(G(z))) as a switch, alternating training, and every stabiliser as a named switch that an ablation turns off alone. It
draws the person's album in the model card and is the bench for the losses; the film's frames never come from it (no
pose control).
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorial_tasks.errors import StepFailed
from memorial_tasks.face.losses import critic_loss, generator_loss, r1_penalty
from memorial_tasks.face.networks import he_
from memorial_tasks.face.saving import Modules, Optimisers, read_state, restore, snapshot, write_state

CHECKPOINT = "portrait-gan.safetensors"
MOODS = ("neutral", "warm", "happy", "sad", "calm", "proud", "grateful")


@dataclass(frozen=True)
class GanConfig:
    """Sizes and switches. `side` is 16, 32 or 64 pixels; `width` the channels before the last layer.

    `ttur`: "seed" (D 1e-4, G 4e-4), "sagan" (D 4e-4, G 1e-4) or "equal" (2e-4 both); `norm`: "batch", "instance" or
    "none"."""

    side: int = 64
    width: int = 32
    noise: int = 128
    batch: int = 16
    steps: int = 1000
    moods: int = 0  # number of emotion labels; 0 trains unconditionally
    saturating: bool = False
    he_init: bool = True
    ttur: str = "seed"
    clip: float = 5.0  # 0 switches gradient clipping off
    schedule: bool = True  # cosine learning rate
    norm: str = "batch"
    dropout: float = 0.3
    r1_gamma: float = 0.5
    r1_every: int = 8
    diff_augment: bool = True
    ema: float = 0.999  # 0 switches averaging off
    checkpoint_s: float = 30.0

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rates of D and G."""
        return {"seed": (1e-4, 4e-4), "sagan": (4e-4, 1e-4), "equal": (2e-4, 2e-4)}[self.ttur]


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=True) if kind == "instance" else nn.Identity()


class PortraitGenerator(nn.Module):
    """`forward(z [B, noise], mood [B] or None) -> pictures [B, 3, side, side] in -1..1`."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        self.moods = nn.Embedding(config.moods, config.noise) if config.moods else None
        doublings = (config.side // 4).bit_length() - 2
        top = config.width * 2**doublings
        self.start = nn.Linear(config.noise, top * 16)
        layers: list[nn.Module] = [_norm(config.norm, top), nn.ReLU()]
        channels = top
        for _ in range(doublings):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1),
                _norm(config.norm, channels // 2),
                nn.ReLU(),
            ]
            channels //= 2
        layers += [nn.ConvTranspose2d(channels, 3, 4, 2, 1), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        if config.he_init:
            he_(self)

    def forward(self, z: Tensor, mood: Tensor | None = None) -> Tensor:
        if self.moods is not None and mood is not None:
            z = z * (1 + self.moods(mood))
        first = self.start(z)
        pictures: Tensor = self.body(first.view(len(z), -1, 4, 4))
        return pictures


class PortraitCritic(nn.Module):
    """`forward(pictures [B, 3, side, side], mood [B] or None) -> logits [B]`; mood by projection (Miyato 2018)."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, config.width, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels = config.width
        for _ in range((config.side // 4).bit_length() - 2):
            layers += [nn.Conv2d(channels, channels * 2, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(config.dropout)]
            channels *= 2
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(channels * 16, 1)
        self.moods = nn.Embedding(config.moods, channels * 16) if config.moods else None
        if config.he_init:
            he_(self)

    def forward(self, pictures: Tensor, mood: Tensor | None = None) -> Tensor:
        features = self.body(pictures).flatten(1)
        logits: Tensor = self.last(features).squeeze(1)
        if self.moods is not None and mood is not None:
            logits = logits + (self.moods(mood) * features).sum(dim=1) / features.shape[1] ** 0.5
        return logits


@dataclass
class GanResult:
    """The averaged generator, the discriminator, and one row of losses for each step."""

    generator: PortraitGenerator
    critic: PortraitCritic
    curves: list[dict[str, float]] = field(default_factory=list)


def train_portrait_gan(
    pictures: Tensor,
    config: GanConfig,
    seed: int,
    moods: Tensor | None = None,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    device: torch.device | None = None,
    checkpoints: Path | None = None,
    save_checkpoint: Callable[[], None] = lambda: None,
) -> GanResult:
    """Alternate one D and one G update a step on `pictures` float [N, 3, side, side] in -1..1, `moods` int [N].

    Deterministic on a CPU for a seed; what a kill left in the folder `checkpoints` is continued to the very same
    weights. `StepFailed` when a loss is not finite."""
    device = device or torch.device("cpu")
    torch.manual_seed(seed)
    generator, critic = PortraitGenerator(config).to(device), PortraitCritic(config).to(device)
    average = PortraitGenerator(config).to(device)
    average.load_state_dict(generator.state_dict())
    d_rate, g_rate = config.rates
    g_optimiser = torch.optim.Adam(generator.parameters(), g_rate, betas=(0.5, 0.999))
    d_optimiser = torch.optim.Adam(critic.parameters(), d_rate, betas=(0.5, 0.999))
    result = GanResult(average, critic)
    modules = {"g": generator, "d": critic, "e": average}
    optimisers = {"go": g_optimiser, "do": d_optimiser}
    identity = {"config": asdict(config), "seed": seed, "pictures": len(pictures)}
    path = checkpoints / CHECKPOINT if checkpoints else None
    begin, last_save = _resume(path, identity, modules, optimisers, result, device), time.monotonic()
    for step in range(begin, config.steps):
        torch.manual_seed(seed * 1_000_003 + step)  # draws depend on seed and step alone: a resumed run repeats them
        for optimiser, rate in ((g_optimiser, g_rate), (d_optimiser, d_rate)):
            for group in optimiser.param_groups:
                group["lr"] = rate * (0.5 * (1 + math.cos(math.pi * step / config.steps)) if config.schedule else 1)
        index = torch.randint(len(pictures), (config.batch,))
        real = pictures[index].to(device)
        mood = moods[index].to(device) if moods is not None and config.moods else None
        fake = generator(torch.randn(config.batch, config.noise, device=device), mood)
        row = _critic_update(critic, d_optimiser, real, fake.detach(), mood, config, step)
        judged = critic(_shaken(fake) if config.diff_augment else fake, mood)
        g_loss = generator_loss(judged, config.saturating)
        g_optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(g_loss)
        if config.clip:
            nn.utils.clip_grad_norm_(generator.parameters(), config.clip)
        g_optimiser.step()
        _average(average, generator, config.ema, step)
        row["g"] = float(g_loss.detach())
        if not all(value == value and abs(value) < 1e6 for value in row.values()):
            raise StepFailed(
                "the portrait GAN's loss is not finite",
                where=f"step {step}",
                remedy="use the stabilisers, or another seed",
            )
        result.curves.append(row)
        progress((step + 1) / config.steps, f"portraits: step {step + 1} of {config.steps}")
        if path is not None and time.monotonic() - last_save >= config.checkpoint_s:
            tensors = snapshot(modules, optimisers)
            write_state(path, tensors, identity, {"step": step + 1, "curves": result.curves})
            save_checkpoint()
            last_save = time.monotonic()
    average.requires_grad_(False).eval()
    return result


def _resume(
    path: Path | None,
    identity: dict[str, Any],
    modules: Modules,
    optimisers: Optimisers,
    result: GanResult,
    device: torch.device,
) -> int:
    """The step to go on with; 0 without a checkpoint of the same training."""
    found = read_state(path, identity, device) if path else None
    if found is None:
        return 0
    flat, state = found
    restore(flat, modules, optimisers)
    result.curves.extend(state["curves"])
    return int(state["step"])


def _critic_update(
    critic: PortraitCritic,
    optimiser: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    mood: Tensor | None,
    config: GanConfig,
    step: int,
) -> dict[str, float]:
    penalise = config.r1_gamma > 0 and step % config.r1_every == 0
    shown = (_shaken(real) if config.diff_augment else real).detach().requires_grad_(penalise)
    real_logits = critic(shown, mood)
    fake_logits = critic(_shaken(fake) if config.diff_augment else fake, mood)
    loss = critic_loss(real_logits, fake_logits)
    total = loss + 0.5 * config.r1_gamma * config.r1_every * r1_penalty(real_logits, shown) if penalise else loss
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(total)
    if config.clip:
        nn.utils.clip_grad_norm_(critic.parameters(), config.clip)
    optimiser.step()
    right = 0.5 * ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean())
    return {"d": float(loss.detach()), "right": float(right)}


def _average(average: PortraitGenerator, generator: PortraitGenerator, decay: float, step: int) -> None:
    keep = min(decay, (1 + step) / (10 + step)) if decay else 0.0
    with torch.no_grad():
        for mean, value in zip(average.parameters(), generator.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)
        for kept, buffer in zip(average.buffers(), generator.buffers(), strict=True):
            kept.copy_(buffer)


def _shaken(pictures: Tensor) -> Tensor:
    """DiffAugment (Zhao 2020): colour, shift, cut-out, each picture on its own, differentiable."""
    count, _, height, width = pictures.shape
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    gain = torch.rand(count, 1, 1, 1, device=pictures.device) * 0.5 + 0.75
    pictures = (pictures - mean) * gain + mean + (torch.rand(count, 1, 1, 1, device=pictures.device) - 0.5) * 0.4
    reach = height // 8
    padded = F.pad(pictures, (reach, reach, reach, reach))
    tops, lefts = torch.randint(0, 2 * reach + 1, (2, count)).tolist()
    pictures = torch.stack([p[:, t : t + height, x : x + width] for p, t, x in zip(padded, tops, lefts, strict=True)])
    mask = torch.ones(count, 1, height, width, device=pictures.device)
    for item, (y, x) in enumerate(torch.randint(0, height, (count, 2)).tolist()):
        mask[item, :, max(0, y - height // 6) : y + height // 6, max(0, x - width // 6) : x + width // 6] = 0
    return pictures * mask


def sample(generator: PortraitGenerator, count: int, seed: int, mood: int | None = None) -> Tensor:
    """`count` portraits float [count, 3, side, side] in -1..1, the same for the same seed."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.config.noise, generator=draw)
    label = torch.full((count,), mood) if mood is not None and generator.config.moods else None
    with torch.inference_mode():
        pictures: Tensor = generator(z, label)
    return pictures


def interpolate(generator: PortraitGenerator, count: int, seed: int) -> Tensor:
    """A strip of `count` portraits along the great circle between two draws, float [count, 3, side, side]."""
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, generator.config.noise, generator=draw)
    angle = torch.arccos((F.normalize(a, dim=0) @ F.normalize(b, dim=0)).clamp(-1, 1))
    t = torch.linspace(0, 1, count)[:, None]
    z = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    with torch.inference_mode():
        pictures: Tensor = generator(z)
    return pictures


def nearest_training_distance(pictures: Tensor, training: Tensor) -> Tensor:
    """Smallest root-mean-square difference of each picture [N, 3, s, s] to any training picture: near 0 is
    memorised."""
    flat, known = pictures.flatten(1), training.flatten(1)
    nearest: Tensor = torch.cdist(flat, known).min(dim=1).values
    return nearest / float(flat.shape[1] ** 0.5)
