"""The state of a training in one safetensors file: weights, Adam's moments, and plain words about it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_Modules = Mapping[str, nn.Module]
_Optimisers = Mapping[str, torch.optim.Optimizer]


def save_state(path: Path, modules: _Modules, optimisers: _Optimisers, words: Mapping[str, str]) -> None:
    """Write the state; a kill in the middle leaves the former one whole."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value.contiguous() for key, value in module.state_dict().items()}
        for number, state in optimisers[name].state_dict()["state"].items():
            tensors |= {f"adam.{name}/{number}/{key}": value.contiguous() for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    save_file(tensors, draft, metadata=dict(words))
    draft.replace(path)


def read_words(path: Path) -> dict[str, str]:
    """What `save_state` was told; empty when there is no file."""
    if not path.is_file():
        return {}
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def load_state(path: Path, modules: _Modules, optimisers: _Optimisers) -> None:
    """Take up what `save_state` wrote for the same modules."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    for name, module in modules.items():
        prefix = f"{name}/"
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        states: dict[int, dict[str, Tensor]] = {}
        prefix = f"adam.{name}/"
        for key, value in tensors.items():
            if key.startswith(prefix):
                number, field = key.removeprefix(prefix).split("/")
                states.setdefault(int(number), {})[field] = value
        groups = optimisers[name].state_dict()["param_groups"]
        optimisers[name].load_state_dict({"state": states, "param_groups": groups})
