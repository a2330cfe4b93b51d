"""How long and how large the refiner is trained: `tiny` for tests and demos, `cpu`, `production` for a GPU."""

from dataclasses import dataclass

from memorial_tasks.errors import InputRefused, Problem


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
    seconds: float
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

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rates of the discriminator and the generator."""
        return {"seed": (1e-4, 4e-4), "sagan": (4e-4, 1e-4)}[self.ttur]


RECIPES = {
    "tiny": Recipe("tiny", 0.5, (16, 32, 64), 12, 6, 240, 120, 14.0, sources=2, evaluate_every=50),
    "cpu": Recipe("cpu", 1.0, (16, 32, 64, 96), 16, 6, 360, 180, 150.0),
    "production": Recipe(
        "production",
        2.0,
        (48, 96, 192, 384, 384),
        64,
        16,
        4000,
        400,
        1800.0,
        sources=6,
        ema=0.999,
        adversarial=0.5,
        evaluate_every=200,
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`; `InputRefused` for an unknown one."""
    if name not in RECIPES:
        raise InputRefused(
            [
                Problem(
                    "face.config",
                    f"there is no face training config {name!r}",
                    f"choose one of {', '.join(RECIPES)}",
                    field="config",
                )
            ]
        )
    return RECIPES[name]
