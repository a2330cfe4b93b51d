"""The code version of a step: a digest of the sources that decide its result, and of nothing else.

A change in `voice` must not retrain a face. Read from the files without importing them, so that the control plane
can know a result key without loading torch.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES = {".py", ".json", ".yaml", ".csv", ".safetensors"}  # weights that ship decide results as code does


def _word(node: ast.expr) -> str:
    """A member of such a tuple: a plain word, or a member of an enum (``Modality.FACE``)."""
    return node.attr.lower() if isinstance(node, ast.Attribute) else str(ast.literal_eval(node))


@cache
def _constants(step: str) -> dict[str, tuple[str, ...]]:
    tree = ast.parse((PACKAGE / "steps" / f"{step}.py").read_text())
    found: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            name = node.target.id
        else:
            continue
        if name in {"ROOMS", "MODALITIES"} and node.value is not None:
            found[name] = tuple(_word(item) for item in getattr(node.value, "elts", ()))
    return found


def modalities(step: str) -> tuple[str, ...]:
    """The modalities a permit must cover for this step."""
    return _constants(step).get("MODALITIES", ())


@cache
def code_version(step: str) -> str:
    """First 16 hex digits of the sha256 over the step's own file, its rooms and the records of `domain`."""
    digest = hashlib.sha256()
    rooms = sorted({"domain", *_constants(step).get("ROOMS", ())})
    files = [PACKAGE / "steps" / f"{step}.py"]
    for room in rooms:
        files += sorted(path for path in (PACKAGE / room).rglob("*") if path.suffix in SOURCES)
    for path in files:
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def result_key(step: str, version: str, params: Mapping[str, Any], inputs: Mapping[str, str], seed: int) -> str:
    """Hash of everything that decides a result: step, code version, parameters, input digests, seed."""
    body = {"step": step, "code": version, "params": dict(params), "inputs": dict(inputs), "seed": seed}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
