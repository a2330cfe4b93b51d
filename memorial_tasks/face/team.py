"""Several processes that train one model together: torch and the standard library only.

`torchrun` starts them and tells each its place. Every process draws the same batch, works on its share, and the mean of
all gradients is what each applies (synchronous data parallelism, Li 2020): so all hold the same weights after every
step and the loss curve is that of one process with the whole batch, but for rounding and the discriminator's dropout.
The averaging is done here and not by a wrapper, because a step of a GAN runs one network several times and freezes the
other meanwhile.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from memorial_tasks.errors import StepFailed

PATIENCE = timedelta(minutes=5)  # how long one process waits for another that may have died


@dataclass(frozen=True)
class Team:
    """This process's `rank` among `size`; `device` says where what is exchanged must lie (NCCL: on the GPU)."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @staticmethod
    def gather() -> "Team":
        """The team `torchrun` started this process in (RANK, WORLD_SIZE, LOCAL_RANK); alone without it. NCCL where
        there are GPUs, gloo on processors."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return Team()
        cuda = torch.cuda.is_available()
        device = f"cuda:{int(os.environ['LOCAL_RANK'])}" if cuda else "cpu"
        if cuda:
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
        return Team(int(os.environ["RANK"]), size, device)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and tells the progress."""
        return self.rank == 0

    def share(self, items: Tensor) -> Tensor:
        """This process's part of a batch. `StepFailed` when it cannot be shared evenly: means would be crooked."""
        if len(items) % self.size:
            raise StepFailed(
                f"a batch of {len(items)} cannot be shared by {self.size} processes",
                where="train_face",
                remedy="start a number of processes that divides the recipe's batch",
            )
        return items[self.rank :: self.size]

    def average_gradients(self, network: nn.Module) -> None:
        """Every gradient becomes the mean over the team, in place; one exchange for all of them."""
        if self.size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].reshape(gradient.shape))
            start += gradient.numel()

    def agree(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of each number over the team, so that all take the same decisions."""
        if self.size == 1:
            return dict(values)
        flat = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(flat)
        return dict(zip(values, (flat / self.size).tolist(), strict=True))

    def wait(self) -> None:
        """Until all are here: what the leader wrote can be read afterwards."""
        if self.size > 1:
            distributed.barrier()

    def part(self) -> None:
        """Leave the team; nothing is exchanged afterwards."""
        if self.size > 1:
            distributed.destroy_process_group()


ALONE = Team()
