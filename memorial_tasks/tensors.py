"""Writing tensors so that the same tensors are the same bytes. Everything this house trains or measures is kept as
safetensors, and a digest of the file stands in the audit log: who makes it again must get that digest again.

The library keeps a file's metadata in a hash map and writes it in whatever order that gives, another one every time; so
the header is put in order afterwards. Tensors themselves it already sorts.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def save_arrays(arrays: "Mapping[str, NDArray[np.generic]]", path: Path | str, about: Mapping[str, str] = {}) -> None:
    """Write NumPy arrays and what they are (`about`) to `path`, the same bytes every time."""
    from safetensors.numpy import save_file

    save_file(dict(arrays), str(path), dict(about) or None)
    _order(Path(path))


def save_tensors(tensors: "Mapping[str, torch.Tensor]", path: Path | str, about: Mapping[str, str] = {}) -> None:
    """Write torch tensors, made contiguous, and what they are (`about`) to `path`, the same bytes every time."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path), dict(about) or None)
    _order(Path(path))


def _order(path: Path) -> None:
    """Sort the metadata in the header of a safetensors file (8 bytes little-endian length, JSON, tensors), in place."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
        about = header.pop("__metadata__", None)
        if about is None or len(about) < 2:
            return
        ordered = {"__metadata__": dict(sorted(about.items())), **header}
        text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > size:
            raise ValueError(f"{path.name}: the header does not fit its place when it is written again")
        file.seek(8)
        file.write(text.ljust(size))
