"""Training states as safetensors: every weight and optimiser moment, so that a killed training goes on as if it had
not been killed. torch, safetensors and the standard library only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

Modules = Mapping[str, nn.Module]
Optimisers = Mapping[str, torch.optim.Optimizer]


def snapshot(modules: Modules, optimisers: Optimisers) -> dict[str, Tensor]:
    """Copies of every weight, buffer and moment on the CPU; names must not hold a slash."""
    flat = {
        f"{name}/{key}": value.detach().cpu().clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for name, optimiser in optimisers.items():
        for number, moments in optimiser.state_dict()["state"].items():
            for key, value in moments.items():
                flat[f"{name}/{number}/{key}"] = torch.as_tensor(value).detach().cpu().clone()
    return flat


def restore(flat: Mapping[str, Tensor], modules: Modules, optimisers: Optimisers) -> None:
    """Put what `snapshot` took back in place."""
    for name, module in modules.items():
        prefix = f"{name}/"
        module.load_state_dict({key[len(prefix) :]: value for key, value in flat.items() if key.startswith(prefix)})
    for name, optimiser in optimisers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in flat.items():
            if key.startswith(f"{name}/"):
                _, number, part = key.split("/")
                moments.setdefault(int(number), {})[part] = value.clone()
        document = optimiser.state_dict()
        document["state"] = moments
        optimiser.load_state_dict(document)


def write_state(
    path: Path, tensors: Mapping[str, Tensor], identity: Mapping[str, Any], state: Mapping[str, Any]
) -> None:
    """Write atomically: a kill in between leaves the older file whole. `identity` says which training it belongs to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part_file = path.with_suffix(".part")
    about = json.dumps({"identity": identity, "state": state})
    save_file({key: value.contiguous() for key, value in tensors.items()}, str(part_file), metadata={"face": about})
    part_file.replace(path)


def read_state(
    path: Path, identity: Mapping[str, Any], device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of a training of the same identity; None when there is none, or the file is torn: then the
    training starts anew rather than fail."""
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get("face", "{}"))
            flat = {key: file.get_tensor(key).to(device) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        return None
    return (flat, about["state"]) if about.get("identity") == json.loads(json.dumps(identity)) else None
