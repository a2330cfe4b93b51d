"""The training recipes by name, and how a step's learning rate and data mix are set."""

from dataclasses import dataclass

from memorial_tasks.errors import InputRefused, Problem


@dataclass(frozen=True)
class Recipe:
    """One training. `practice` sentences of generated speech; `first` steps on practice and person mixed evenly, then
    `steps` steps with `mix` of the windows still practice; `adversarial` weight of the LSTM discriminator (0: off).

    The discriminator stays off by measurement: on kathleen, 240 steps with weight 1 took word errors from 30 to 52 %
    and likeness from 0.82 to 0.75, against the same 240 steps without it."""

    practice: int
    first: int
    steps: int
    duration_steps: int
    batch: int = 8
    window: int = 120  # stacked frames
    phone_hidden: int = 64
    frame_hidden: int = 128
    layers: int = 2
    mix: float = 0.25
    rate: float = 2.5e-3
    adversarial: float = 0.0
    adversarial_steps: int = 0


RECIPES = {
    "tiny": Recipe(
        practice=26, first=70, steps=330, duration_steps=120, frame_hidden=96, layers=1, rate=4e-3
    ),  # half a CPU minute; measured better than fewer steps on more practice speech
    "cpu": Recipe(practice=90, first=300, steps=600, duration_steps=300),
    "production": Recipe(
        practice=300, first=1500, steps=6000, duration_steps=1500, batch=16, frame_hidden=192, phone_hidden=96
    ),
}


def recipe(config: str) -> Recipe:
    """The recipe called `config`. Raises `InputRefused` for another name."""
    if config not in RECIPES:
        raise InputRefused(
            [Problem("voice.config", f"no training recipe {config!r}", f"use one of {', '.join(RECIPES)}", "config")]
        )
    return RECIPES[config]


def learning_rate(step: int, total: int, top: float) -> float:
    """Short warm-up, level, then a straight fall to a twentieth over the last 60 %."""
    if step < 20:
        return top * (step + 1) / 20
    fall = max(0.0, (step / max(1, total) - 0.4) / 0.6)
    return top * (1 - 0.95 * fall)
