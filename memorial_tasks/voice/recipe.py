"""The training recipes by name, and how a step's learning rate and data mix are set."""

from dataclasses import dataclass

from memorial_tasks.errors import InputRefused, Problem


@dataclass(frozen=True)
class VocoderRecipe:
    """`steps` in all, the first `warm` of them without judges; `frames` of 5 ms a window, `width` and
    `blocks` of the generator."""

    steps: int
    warm: int
    batch: int = 4
    frames: int = 160
    width: int = 96
    blocks: int = 4
    judge: int = 12  # channels of the judges' first layer
    rate: float = 4e-4


@dataclass(frozen=True)
class Recipe:
    """One training. `practice` sentences of generated speech, `steps` steps in which `mix` of the windows are practice;
    `adversarial` weight of the LSTM discriminator (0: off).

    The discriminator stays off by measurement: on kathleen, 240 steps with weight 1 took word errors from 30 to 52 %
    and likeness from 0.82 to 0.75, against the same 240 steps without it."""

    practice: int
    steps: int
    duration_steps: int
    batch: int = 8
    window: int = 120  # stacked frames
    stack: int = 2  # frames of 5 ms predicted at once
    phone_hidden: int = 64
    frame_hidden: int = 128
    layers: int = 2
    duration_hidden: int = 48
    mix: float = 0.25
    rate: float = 2.5e-3
    duration_rate: float = 2e-3
    adapter: int = 0  # units of a person's adapters beside the layers of a base voice
    adversarial: float = 0.0
    adversarial_steps: int = 0
    vocoder: VocoderRecipe | None = None
    rehearsed: int = 0  # sentences in each voice that ships; a base without begins with nothing


VOCODER = VocoderRecipe(steps=20_000, warm=1000, batch=8, frames=160, width=192, blocks=6, judge=24)
# Everything the networks know is learned anew for the person; the sizes are those of what ships (`pretrain`).
RECIPES = {
    "tiny": Recipe(practice=26, steps=130, duration_steps=50, batch=8, window=60, rate=3e-3),
    "cpu": Recipe(practice=60, steps=400, duration_steps=100, batch=16, window=60, rate=3e-3),  # a CPU minute
    "production": Recipe(practice=150, steps=1500, duration_steps=400, batch=16, rate=1e-3, vocoder=VOCODER),
}


# The person on top of a base voice: only what is theirs is learned, so few steps do.
TUNING = {
    "tiny": Recipe(practice=26, steps=100, duration_steps=40, adapter=16, batch=8, window=60, rate=2e-3),
    "cpu": Recipe(practice=60, steps=250, duration_steps=100, adapter=32, batch=16, window=60, rate=2e-3),
    "production": Recipe(
        practice=300, steps=3000, duration_steps=600, adapter=64, batch=16, rate=1e-3, vocoder=VOCODER
    ),
}
# `mix` is the share of generated speech, which knows both languages whatever the corpora speak.
BASES = {
    "tiny": Recipe(
        practice=4, steps=60, duration_steps=40, batch=4, window=40, stack=4, phone_hidden=16, frame_hidden=32,
        duration_hidden=16, layers=1,
    ),
    "cpu": Recipe(
        practice=60, steps=1200, duration_steps=300, batch=16, window=60, phone_hidden=96, frame_hidden=160,
        duration_hidden=64, rate=1.5e-3, duration_rate=1e-3, rehearsed=40,
    ),
    # what ships (`pretrain`): four voices that say some thousand words
    "pretrained": Recipe(
        practice=200, steps=4000, duration_steps=600, batch=16, window=60, phone_hidden=96, frame_hidden=160,
        duration_hidden=64, mix=0.35,
    ),
    "production": Recipe(
        practice=600, steps=60_000, duration_steps=8000, batch=32, phone_hidden=192, frame_hidden=384,
        duration_hidden=96, mix=0.1, rate=1e-3,
    ),
}  # fmt: skip


def base_recipe(config: str) -> Recipe:
    """The recipe for a base voice called `config`. Raises `InputRefused` for another name."""
    return _named(BASES, config)


def tuning_recipe(config: str) -> Recipe:
    """The recipe for a person on top of a base voice called `config`. Raises `InputRefused` for another name."""
    return _named(TUNING, config)


def recipe(config: str) -> Recipe:
    """The recipe called `config`. Raises `InputRefused` for another name."""
    return _named(RECIPES, config)


def _named(recipes: dict[str, Recipe], config: str) -> Recipe:
    if config not in recipes:
        raise InputRefused(
            [Problem("voice.config", f"no training recipe {config!r}", f"use one of {', '.join(recipes)}", "config")]
        )
    return recipes[config]


def learning_rate(step: int, total: int, top: float) -> float:
    """Short warm-up, level, then a straight fall to a twentieth over the last 60 %."""
    if step < 20:
        return top * (step + 1) / 20
    fall = max(0.0, (step / max(1, total) - 0.4) / 0.6)
    return top * (1 - 0.95 * fall)
