"""Tensors are written so that the same tensors are the same bytes, and any reader can read them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from memorial_tasks.tensors import save_arrays, save_tensors

ABOUT = {"kind": "face-bank", "version": "1", "说": '引号 " 与 \\ 和\n换行', "licence": "CC0-1.0", "empty": ""}
ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(3, np.uint8)}


def test_the_same_tensors_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path, digests = tmp_path / "x.safetensors", set()
    for _ in range(12):  # five keys in a hash map: without order two writings agree once in 120 times
        save_arrays(ARRAYS, path, ABOUT)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        save_tensors({name: torch.from_numpy(array) for name, array in ARRAYS.items()}, path, ABOUT)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_what_was_written_is_read_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    array = np.random.default_rng(1).standard_normal((7, 5)).astype(np.float32)
    save_arrays({"points": array}, path, ABOUT)
    assert np.array_equal(load_file(path)["points"], array)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == ABOUT
    save_arrays({"points": array}, path)
    assert np.array_equal(load_file(path)["points"], array)
