"""Training the refiner: supervised first, then against a discriminator; torch, safetensors and the standard library
only.

Features: alternating updates with the seeds' losses, R1, DiffAugment, feature matching at two scales, EMA, gradient
clipping, both orders of rates, a temporal discriminator over triples, a start from a base model, several processes
(`team`), bfloat16, channels_last and compilation on a GPU where asked, a checkpoint every few seconds from which
training continues to the very same weights. Answers: losses that are not finite or run away go back to the last good
state at half the rate; a discriminator at chance, or one that always wins, gets another rate; too little memory a
smaller batch. Limits: a team cannot make its batch smaller, it says so instead.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from memorial_tasks.errors import ModelRefused, StepFailed
from memorial_tasks.face import motion
from memorial_tasks.face.losses import (
    augment,
    critic_loss,
    feature_matching,
    generator_loss,
    pyramid_l1,
    r1_penalty,
    total_variation,
)
from memorial_tasks.face.networks import PatchCritic, RefinerNet, composite
from memorial_tasks.face.recipes import Recipe
from memorial_tasks.face.saving import Modules, Optimisers, read_state, restore, snapshot, write_state
from memorial_tasks.face.team import ALONE, Team
from memorial_tasks.tensors import save_tensors

CHECKPOINT = "face-training.safetensors"
MARKS = (0.0, 0.1, 0.5)  # shares of the steps at which a training is shown
WATCHED, CHANCE, SURE = 50, 0.55, 0.95  # adversarial steps looked at together; shares of right answers


@dataclass(frozen=True)
class Pairs:
    """Tensors of one patch, uint8: `inputs` [P, 9, H, W], `targets` [P, 3, H, W]; `weight` float [P]: how often
    drawn; `moving`, for the temporal discriminator: inputs [T, 3, 9, H, W] and targets [T, 3, 3, H, W] of triples."""

    inputs: Tensor
    targets: Tensor
    weight: Tensor
    moving: tuple[Tensor, Tensor] | None = None

    def batch(
        self, index: Tensor, draw: torch.Generator, device: torch.device, team: Team = ALONE
    ) -> tuple[Tensor, Tensor]:
        """Network inputs and targets of this process's share of the chosen pairs, shifted and re-lit alike: few photos
        must teach more than themselves."""
        dy, dx = (int(torch.randint(-3, 4, (1,), generator=draw)) for _ in range(2))
        gain = 1 + 0.16 * (team.share(torch.rand(len(index), 1, 1, 1, generator=draw)) - 0.5).to(device)
        lift = 0.10 * (team.share(torch.rand(len(index), 1, 1, 1, generator=draw)) - 0.5).to(device)
        index = team.share(index)
        inputs, target = normalise(self.inputs[index].to(device)), self.targets[index].to(device).float() / 127.5 - 1
        both = torch.roll(torch.cat([inputs, target], 1), (dy, dx), (2, 3))
        inputs, target = both[:, :9], both[:, 9:]
        pictures = (inputs[:, :6] * gain + lift).clamp(-1, 1)
        return torch.cat([pictures, inputs[:, 6:]], 1), (target * gain + lift).clamp(-1, 1)

    def triples(
        self, count: int, draw: torch.Generator, device: torch.device, team: Team = ALONE
    ) -> tuple[Tensor, Tensor]:
        """This process's share of `count` triples, none re-lit: inputs [B, 3, 9, H, W] and targets [B, 3, 3, H, W]."""
        if self.moving is None:
            raise ValueError("these pairs hold no triples")
        inputs, targets = self.moving
        index = team.share(torch.randint(0, len(inputs), (count,), generator=draw))
        shown = inputs[index].to(device)
        flat = normalise(shown.flatten(0, 1))
        return flat.reshape(shown.shape), targets[index].to(device).float() / 127.5 - 1


def normalise(inputs: Tensor) -> Tensor:
    """uint8 [B, 9, H, W] to float: pictures to -1..1, rasters to 0..1."""
    x = inputs.float()
    return torch.cat([x[:, :6] / 127.5 - 1, x[:, 6:] / 255], 1)


@dataclass
class Part:
    """Everything that is trained for one patch."""

    generator: RefinerNet
    critic: PatchCritic
    average: RefinerNet
    motion: motion.MotionCritic | None
    g_optimiser: torch.optim.Adam
    d_optimiser: torch.optim.Adam
    m_optimiser: torch.optim.Adam | None


@dataclass
class Trained:
    """The result: averaged generators by patch name, curves, and what happened on the way."""

    generators: dict[str, RefinerNet]
    curves: list[dict[str, float]]
    steps: int
    seconds: float
    events: list[str] = field(default_factory=list)
    resumed: bool = False


@dataclass
class _State:
    step: int = 0
    seconds: float = 0.0
    rate: float = 1.0
    batch: int = 0
    critic_rate: float = 1.0
    told: list[float] = field(default_factory=list)  # how often the critics were right lately
    best: dict[str, float] = field(default_factory=dict)
    curves: list[dict[str, float]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


def train(
    pairs: Mapping[str, Pairs],
    recipe: Recipe,
    seed: int,
    checkpoints: Path,
    save_checkpoint: Callable[[], None],
    progress: Callable[[float, str], None],
    evaluate: Callable[[str, RefinerNet], float] | None = None,
    device: torch.device | None = None,
    start: Mapping[str, RefinerNet] | None = None,
    team: Team = ALONE,
    shown: Callable[[float, Mapping[str, RefinerNet]], None] | None = None,
) -> Trained:
    """Train one generator a patch.

    `evaluate(patch, generator) -> dB` scores on photos never trained on; the best average seen is returned. A
    checkpoint in the folder `checkpoints` of the same recipe and seed is continued. `start` gives the weights to begin
    with (a base model's; see `base.py`), by patch. `shown(share, generators)` is called by the leader at the shares
    `MARKS` of the steps with the averages of that moment, and at the end with what is delivered. Every process of a
    `team` must be given the same pairs and the same folder; its leader writes. Deterministic on a CPU: steps end it,
    never a clock.
    Raises `StepFailed` when training diverges again and again.
    """
    device = device or torch.device(team.device)
    torch.manual_seed(seed)
    parts = {name: _new_part(recipe, device, (start or {}).get(name)) for name in pairs}
    kept = {name: _copy(part.average) for name, part in parts.items()}
    state = _State(batch=recipe.batch)
    resumed = _resume(checkpoints / CHECKPOINT, recipe, seed, parts, kept, state, device)
    names = list(pairs)
    last, good, failures = snapshot(*_pieces(parts, kept)), state.step, 0
    clock = _clock(device)
    started, last_save = clock() - state.seconds, time.monotonic()
    marks = {round(share * recipe.steps): share for share in MARKS}
    while state.step < recipe.steps:
        if shown is not None and team.leads and state.step in marks:
            shown(marks[state.step], {n: part.average for n, part in parts.items()})
        name = names[1] if len(names) > 1 and state.step % 3 == 2 else names[0]
        try:
            losses = _step(parts[name], pairs[name], recipe, seed, state, device, team)
        except torch.OutOfMemoryError:
            _halve_batch(state, parts, team)
            continue
        losses = team.agree(losses)
        state.seconds = clock() - started
        if _ran_away(losses, state.best.get("l1:" + name, math.inf)):
            failures += 1
            restore(last, *_pieces(parts, kept))
            _set_back(state, good, failures)
            continue
        _balance(state, losses)
        state.best["l1:" + name] = min(state.best.get("l1:" + name, math.inf), losses["l1"])
        state.step += 1
        if state.step % 10 == 0 or state.step == recipe.steps or "m" in losses:
            about = {"step": float(state.step), "patch": float(names.index(name))}
            state.curves.append(about | {k: round(v, 5) for k, v in losses.items()})
        if evaluate is not None and (state.step % recipe.evaluate_every == 0 or state.step == recipe.steps):
            _judge(parts, kept, state, evaluate)
        if state.step % 25 == 0:
            last, good = snapshot(*_pieces(parts, kept)), state.step
        _tell(state, recipe, progress)
        if team.leads and time.monotonic() - last_save >= recipe.checkpoint_s:
            _save(checkpoints / CHECKPOINT, recipe, seed, parts, kept, state)
            save_checkpoint()
            last_save = time.monotonic()
    if evaluate is None:
        kept = {name: part.average for name, part in parts.items()}
    if team.leads:
        if shown is not None:
            shown(1.0, kept)
        _save(checkpoints / CHECKPOINT, recipe, seed, parts, kept, state)
        save_checkpoint()
    team.wait()
    return Trained(
        {n: g.eval() for n, g in kept.items()}, state.curves, state.step, state.seconds, state.events, resumed
    )


def _tell(state: _State, recipe: Recipe, progress: Callable[[float, str], None]) -> None:
    left = state.seconds / state.step * (recipe.steps - state.step)
    progress(state.step / recipe.steps, f"step {state.step}, {left:.0f} s left")


def _ran_away(losses: Mapping[str, float], best: float) -> bool:
    """Whether a loss is not finite, or four times the best one so far."""
    return not all(math.isfinite(v) for v in losses.values()) or losses["l1"] > 4 * max(best, 0.02)


def _set_back(state: _State, good: int, failures: int) -> None:
    """Answer to divergence. Raises `StepFailed` when it came too often."""
    if failures > 5:
        raise StepFailed(
            "training diverged six times", where="train_face", remedy="use fewer, cleaner photos or another seed"
        )
    state.events.append(f"step {state.step}: losses ran away, back to step {good} at half the rate")
    state.step, state.rate = good + 1, state.rate * 0.5  # other batches than those that led astray


def _halve_batch(state: _State, parts: Mapping[str, Part], team: Team) -> None:
    """Answer to too little memory. Raises `StepFailed` when one pair at a time is too much already, and in a team,
    whose others would wait for this process's gradients."""
    if team.size > 1:
        raise StepFailed(
            "one device of the team has too little memory for its share of the batch",
            where="train_face",
            remedy="use more processes, or one alone, which makes its batches smaller",
        )
    if state.batch == 1:
        raise StepFailed(
            "the device has too little memory for a batch of one", where="train_face", remedy="use config cpu"
        )
    state.batch //= 2
    state.events.append(f"step {state.step}: out of memory, going on with batches of {state.batch}")
    for part in parts.values():
        part.g_optimiser.zero_grad(set_to_none=True)
        part.d_optimiser.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds of work: on a CPU the time the process really had, so that a busy machine does not shorten the
    training."""
    if device.type != "cpu":
        return time.monotonic
    return lambda: time.process_time() / torch.get_num_threads()


def _new_part(recipe: Recipe, device: torch.device, start: RefinerNet | None) -> Part:
    d_rate, g_rate = recipe.rates
    generator = RefinerNet(recipe.channels)
    if start is not None:
        generator.load_state_dict(start.state_dict())
    generator = generator.to(device)
    critic = PatchCritic(recipe.critic, recipe.scales).to(device)
    moved = motion.MotionCritic(recipe.critic).to(device) if recipe.temporal > 0 else None
    average = _copy(generator)
    if device.type == "cuda" and recipe.channels_last:
        generator, critic = (n.to(memory_format=torch.channels_last) for n in (generator, critic))  # type: ignore[call-overload]
    if device.type == "cuda" and recipe.compiled:
        generator.compile()
    return Part(
        generator,
        critic,
        average,
        moved,
        torch.optim.Adam(generator.parameters(), g_rate, betas=(0.5, 0.999)),
        torch.optim.Adam(critic.parameters(), d_rate, betas=(0.5, 0.999)),
        torch.optim.Adam(moved.parameters(), d_rate, betas=(0.5, 0.999)) if moved else None,
    )


def _copy(network: RefinerNet) -> RefinerNet:
    device = next(network.parameters()).device
    twin = RefinerNet(network.channels).to(device)
    twin.load_state_dict(network.state_dict())
    return twin.requires_grad_(False).eval()


def _step(
    part: Part,
    pairs: Pairs,
    recipe: Recipe,
    seed: int,
    state: _State,
    device: torch.device,
    team: Team = ALONE,
) -> dict[str, float]:
    """One alternating update. Batches and noise depend on seed and step alone, so a resumed run repeats them
    exactly."""
    step = state.step
    torch.manual_seed(seed * 1_000_003 + step)
    draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
    index = torch.multinomial(pairs.weight, state.batch, replacement=True, generator=draw)
    inputs, target = pairs.batch(index, draw, device, team)
    mask, rasters = inputs[:, 6:7], inputs[:, 6:]
    weight = mask * (1 + inputs[:, 7:8]) + 1e-3
    ramp = max(0.0, min(1.0, (step - recipe.warm_up) / max(1, (recipe.steps - recipe.warm_up) // 2)))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps)))
    d_rate, g_rate = recipe.rates
    critic_rate = d_rate * state.critic_rate
    for optimiser, rate in (
        (part.g_optimiser, g_rate),
        (part.d_optimiser, critic_rate),
        (part.m_optimiser, critic_rate),
    ):
        for group in optimiser.param_groups if optimiser else ():
            group["lr"] = rate * state.rate * (0.1 + 0.9 * cosine)
    made, alpha = _make(part.generator, inputs, recipe)
    l1 = ((made - target).abs() * weight).sum() / (weight.sum() * 3)
    loss = 10 * l1 + 2 * pyramid_l1(made, target, weight) + 0.01 * total_variation(alpha)
    losses = {"l1": float(l1.detach()), "d": 0.0, "g": 0.0, "real": 0.5}
    if ramp > 0:
        # Outside the mask nothing is made: the critic is shown the true picture there and judges only what is ours.
        shown = target * (1 - mask) + made * mask
        losses |= _critic_step(part, target, shown.detach(), rasters, recipe, step, draw, team)
        pictures, raster = augment(shown, rasters, draw) if recipe.diff_augment else (shown, rasters)
        part.critic.requires_grad_(False)
        fake, fake_features = part.critic(pictures, raster)
        with torch.no_grad():
            _, real_features = part.critic(target, rasters)
        adversarial = generator_loss(fake, recipe.saturating)
        loss = loss + ramp * recipe.adversarial * adversarial
        if not recipe.diff_augment:
            loss = loss + ramp * recipe.matching * feature_matching(real_features, fake_features)
        else:
            _, plain = part.critic(shown, rasters)
            loss = loss + ramp * recipe.matching * feature_matching(real_features, plain)
        part.critic.requires_grad_(True)
        losses["g"] = float(adversarial.detach())
        if part.motion is not None and pairs.moving is not None and step % recipe.temporal_every == 0:
            paid, told = _moving(part, pairs, recipe, max(team.size, state.batch // 2), draw, device, team)
            loss, losses = loss + ramp * recipe.temporal * paid, losses | told
    part.g_optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    team.average_gradients(part.generator)
    norm = nn.utils.clip_grad_norm_(part.generator.parameters(), recipe.clip)
    if not math.isfinite(float(loss.detach())) or not math.isfinite(float(norm)):
        return losses | {"l1": math.nan}
    part.g_optimiser.step()
    decay = min(recipe.ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(part.average.parameters(), part.generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
    return losses


def _make(generator: RefinerNet, inputs: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The composited pictures and the alpha for network inputs [B, 9, H, W], in the recipe's precision."""
    cuda = inputs.device.type == "cuda"
    if cuda and recipe.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16" and cuda):
        picture, alpha = generator(inputs)
    return composite(inputs, picture.float(), alpha.float()), alpha


def _moving(
    part: Part, pairs: Pairs, recipe: Recipe, count: int, draw: torch.Generator, device: torch.device, team: Team
) -> tuple[Tensor, dict[str, float]]:
    """Teach the temporal discriminator one batch of triples; what the generator pays for its own, and the figures."""
    if part.motion is None or part.m_optimiser is None:
        raise ValueError("this part has no temporal discriminator")
    inputs, real = pairs.triples(count - count % team.size, draw, device, team)
    flat = inputs.flatten(0, 1)
    made, _ = _make(part.generator, flat, recipe)
    mask = inputs[:, :, 6:7]
    shown = real * (1 - mask) + made.reshape(real.shape) * mask
    rasters = inputs[:, 1, 6:]
    told = motion.teach(part.motion, part.m_optimiser, real, shown, rasters, recipe.clip, team)
    return motion.loss_of(part.motion, real, shown, rasters, recipe.matching, recipe.saturating), told


def _balance(state: _State, losses: Mapping[str, float]) -> None:
    """Watch how often the critics are right and answer: at chance they teach nothing and learn faster, always right
    they are too strong and learn slower. Every answer is an event, and the rate stays within a factor of four."""
    if losses["d"] == 0.0:
        return  # still supervised
    state.told.append(losses["real"])
    if len(state.told) < WATCHED:
        return
    right = sum(state.told) / len(state.told)
    state.told.clear()
    if right < CHANCE and state.critic_rate < 4:
        state.critic_rate *= 2
        state.events.append(f"step {state.step}: the discriminator is at chance ({right:.2f}), its rate is doubled")
    elif right > SURE and state.critic_rate > 0.25:
        state.critic_rate /= 2
        state.events.append(f"step {state.step}: the discriminator wins ({right:.2f}), its rate is halved")


def _critic_step(
    part: Part,
    real: Tensor,
    fake: Tensor,
    rasters: Tensor,
    recipe: Recipe,
    step: int,
    draw: torch.Generator,
    team: Team,
) -> dict[str, float]:
    real_in, real_raster = augment(real, rasters, draw) if recipe.diff_augment else (real, rasters)
    fake_in, fake_raster = augment(fake, rasters, draw) if recipe.diff_augment else (fake, rasters)
    penalise = recipe.r1_gamma > 0 and step % recipe.r1_every == 0
    real_in = real_in.detach().requires_grad_(penalise)
    real_logits, _ = part.critic(real_in, real_raster)
    fake_logits, _ = part.critic(fake_in, fake_raster)
    loss = critic_loss(real_logits, fake_logits)
    if penalise:
        loss = loss + 0.5 * recipe.r1_gamma * recipe.r1_every * r1_penalty(real_logits, real_in)
    part.d_optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    team.average_gradients(part.critic)
    nn.utils.clip_grad_norm_(part.critic.parameters(), recipe.clip)
    part.d_optimiser.step()
    right = 0.5 * ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean())
    return {"d": float(loss.detach()), "real": float(right)}


def _judge(
    parts: dict[str, Part], kept: dict[str, RefinerNet], state: _State, evaluate: Callable[[str, RefinerNet], float]
) -> None:
    for name, part in parts.items():
        score = evaluate(name, part.average)
        state.curves.append(
            {"step": float(state.step), "patch": float(list(parts).index(name)), "held_out_db": round(score, 3)}
        )
        if score > state.best.get("db:" + name, -math.inf) - 0.10:  # among equals the later, sharper one
            state.best["db:" + name] = max(score, state.best.get("db:" + name, -math.inf))
            kept[name].load_state_dict(part.average.state_dict())


# --- checkpoints ---


def _pieces(parts: Mapping[str, Part], kept: Mapping[str, RefinerNet]) -> tuple[Modules, Optimisers]:
    """Everything that changes in training, by name."""
    modules: dict[str, torch.nn.Module] = {}
    optimisers: dict[str, torch.optim.Optimizer] = {}
    for name, part in parts.items():
        modules |= {f"{name}.g": part.generator, f"{name}.d": part.critic, f"{name}.e": part.average}
        modules[f"{name}.k"] = kept[name]
        optimisers |= {f"{name}.go": part.g_optimiser, f"{name}.do": part.d_optimiser}
        if part.motion is not None and part.m_optimiser is not None:
            modules[f"{name}.m"], optimisers[f"{name}.mo"] = part.motion, part.m_optimiser
    return modules, optimisers


def _identity(recipe: Recipe, seed: int, parts: Mapping[str, Part]) -> dict[str, Any]:
    """A checkpoint is continued only by a training of the same of these."""
    return {
        "recipe": recipe.name,
        "channels": list(recipe.channels),
        "steps": recipe.steps,
        "temporal": recipe.temporal,
        "seed": seed,
        "patches": sorted(parts),
    }


def _save(
    path: Path, recipe: Recipe, seed: int, parts: dict[str, Part], kept: dict[str, RefinerNet], state: _State
) -> None:
    write_state(path, snapshot(*_pieces(parts, kept)), _identity(recipe, seed, parts), asdict(state))


def _resume(
    path: Path,
    recipe: Recipe,
    seed: int,
    parts: dict[str, Part],
    kept: dict[str, RefinerNet],
    state: _State,
    device: torch.device,
) -> bool:
    found = read_state(path, _identity(recipe, seed, parts), device)
    if found is None:
        return False
    flat, saved = found
    restore(flat, *_pieces(parts, kept))
    for name, value in saved.items():
        setattr(state, name, value)
    return True


# --- the delivered model ---


def on_cpu(network: RefinerNet) -> RefinerNet:
    """A frozen copy on the CPU, in full precision."""
    twin = RefinerNet(network.channels)
    twin.load_state_dict({k: v.cpu() for k, v in network.state_dict().items()})
    return twin.requires_grad_(False).eval()


def save_model(
    path: Path,
    generators: Mapping[str, RefinerNet],
    scale: float,
    about: Mapping[str, Any],
    architecture: str = "",
    beside: Mapping[str, Tensor] = MappingProxyType({}),
) -> None:
    """Write the averaged generators as safetensors with their architecture in the metadata; an empty map is allowed.
    `architecture` stands as `format` in the metadata of a base model; `beside` are further tensors of it, by names no
    generator has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, g in generators.items()
        for key, value in g.state_dict().items()
    }
    tensors |= beside
    if not tensors:
        tensors = {"none": torch.zeros(1)}
    channels = {name: list(g.channels) for name, g in generators.items()}
    document = {"kind": "face-refiner", "version": 1, "scale": scale, "channels": channels, **about}
    named = {"format": architecture, "config": str(about.get("config", ""))} if architecture else {}
    save_tensors(tensors, path, {"face": json.dumps(document), **named})


def read_about(path: Path) -> tuple[dict[str, Any], str]:
    """What a model file says about itself, and its `format` (that of base models); `ModelRefused` for other files."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            return json.loads(metadata.get("face", "{}")), metadata.get("format", "")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelRefused(
            "the face model is not a readable safetensors file", where=path.name, remedy="train the face again"
        ) from error


def load_model(path: Path) -> tuple[dict[str, RefinerNet], dict[str, Any]]:
    """The generators of a model file and its description; `ModelRefused` for other formats and architectures."""
    about, _ = read_about(path)
    if about.get("kind") != "face-refiner" or about.get("version") != 1:
        raise ModelRefused(
            "the weights are not a face refiner of this version", where=path.name, remedy="train the face again"
        )
    with safe_open(str(path), framework="pt") as file:
        flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    generators = {}
    for name, channels in about["channels"].items():
        network = RefinerNet(channels)
        try:
            network.load_state_dict({k[len(name) + 1 :]: v for k, v in flat.items() if k.startswith(name + ".")})
        except RuntimeError as error:
            raise ModelRefused(
                "the weights do not fit the architecture they name", where=path.name, remedy="train the face again"
            ) from error
        generators[name] = network.requires_grad_(False).eval()
    return generators, about
