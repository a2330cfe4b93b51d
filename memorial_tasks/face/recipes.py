"""How long and how large the face is trained: `configs/tiny.yaml` for tests and demos, `cpu`, `production` (a GPU)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.face.portrait_gan import GanConfig

CONFIGS = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class Recipe:
    """`scale` of the patches (1.0: 96x128 mouth, 48x128 eyes), channels, rates (`ttur` gives D's and G's) and weights.

    The seeds' order of rates, D 1e-4 and G 4e-4, trains the supervised refiner faster; `sagan` is the usual reverse."""

    name: str
    scale: float
    channels: tuple[int, ...]
    critic: int
    batch: int
    steps: int
    warm_up: int
    sources: int = 3
    ttur: str = "seed"
    clip: float = 5.0
    ema: float = 0.99
    adversarial: float = 0.25
    matching: float = 2.0
    r1_gamma: float = 1.0
    r1_every: int = 16
    saturating: bool = False
    diff_augment: bool = True
    checkpoint_s: float = 15.0
    evaluate_every: int = 60
    scales: int = 2  # of the discriminator
    temporal: float = 0.0  # weight of the temporal discriminator over triples; 0: none
    temporal_every: int = 4  # steps
    base_steps: int = 0  # steps from a base model; 0: as many as without one
    precision: str = "float32"  # or bfloat16; this and the next two work on a GPU only
    channels_last: bool = False
    compiled: bool = False

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rates of the discriminator and the generator."""
        return {"seed": (1e-4, 4e-4), "sagan": (4e-4, 1e-4)}[self.ttur]


def names() -> list[str]:
    """The configs there are."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def recipe(name: str) -> Recipe:
    """The refiner's recipe of the config called `name`; `InputRefused` for an unknown one."""
    chosen = _config(name)["refiner"]
    return Recipe(name=name, **{**chosen, "channels": tuple(chosen["channels"])})


def portrait_config(name: str) -> GanConfig | None:
    """The portrait GAN's config, None where the config trains none; `InputRefused` for an unknown one."""
    chosen = _config(name)["portrait"]
    return GanConfig(**chosen) if chosen else None


def _config(name: str) -> dict[str, Any]:
    import yaml  # here, because training loops import torch and the standard library only

    path = CONFIGS / f"{name}.yaml"
    if name not in names():
        raise InputRefused(
            [
                Problem(
                    "face.config",
                    f"there is no face training config {name!r}",
                    f"choose one of {', '.join(names())}",
                    field="config",
                )
            ]
        )
    config: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return config
