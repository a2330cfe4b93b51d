"""Trains a toy in a team, whole, and again with a kill after `STOP` steps: FOLDER. The leader writes the losses of
every step into FOLDER/whole.json and FOLDER/killed.json. Imported by the test, which trains the same toy alone."""

import json
import sys
from pathlib import Path

import torch

from memorial_tasks.face import train as training
from memorial_tasks.face.recipes import Recipe
from memorial_tasks.face.team import ALONE, Team

STOP = 12
PLAN = Recipe(
    name="toy",
    scale=0.5,
    channels=(8, 16),
    critic=4,
    batch=4,
    steps=20,
    warm_up=10,
    temporal=0.5,
    temporal_every=3,
    checkpoint_s=0.0,
)


class Killed(Exception):
    """The toy's training is ended from outside."""


def pairs() -> training.Pairs:
    draw = torch.Generator().manual_seed(7)

    def picture(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)

    moving = (picture(6, 3, 9, 16, 16), picture(6, 3, 3, 16, 16))
    return training.Pairs(picture(12, 9, 16, 16), picture(12, 3, 16, 16), torch.ones(12), moving)


def losses_of(folder: Path, team: Team = ALONE, stop: int = PLAN.steps) -> list[float]:
    """The loss of every step until `stop`, going on from the checkpoint in `folder`."""
    losses: list[float] = []
    step = training._step

    def noted(*arguments: object) -> dict[str, float]:
        if arguments[4].step >= stop:  # type: ignore[attr-defined]
            raise Killed
        found = step(*arguments)  # type: ignore[arg-type]
        losses.append(team.agree(found)["l1"])
        return found

    training._step = noted
    try:
        training.train({"mouth": pairs()}, PLAN, 3, folder, lambda: None, lambda share, what: None, team=team)
    except Killed:
        team.wait()
    finally:
        training._step = step
    return losses


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    team = Team.gather()
    whole = losses_of(folder / "whole", team)
    killed = [*losses_of(folder / "killed", team, STOP), *losses_of(folder / "killed", team)]
    if team.leads:
        (folder / "whole.json").write_text(json.dumps(whole))
        (folder / "killed.json").write_text(json.dumps(killed))
    team.wait()
    team.part()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
