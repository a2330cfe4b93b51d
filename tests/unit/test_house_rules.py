"""The walls of the house (DESIGN section 3): who may import whom, and what must never be imported at all."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "memorial_tasks"

# A room not named here may import any room. `errors`, `tensors` and `domain` are open to everybody.
KNOWS: dict[str, set[str]] = {
    "domain": set(),
    "face": set(),
    "voice": set(),
    "performance": set(),
    "video": {"performance"},
    "provenance": set(),
    "quality": set(),
    "vault": set(),
    "database": set(),
    "observability": {"consent", "database", "steps"},
}
DATA_PLANE = {"face", "voice", "performance", "video", "provenance", "quality"}
NETWORKS = ("face/networks.py", "voice/networks.py")
TORCH_ONLY = {"torch", "numpy", "math", "collections", "dataclasses", "typing", "__future__", "itertools", "functools"}


def modules() -> Iterator[Path]:
    yield from sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(imported module, whether it happens at module level), type-checking blocks included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, id(node) in top


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "memorial_tasks" and len(parts) > 1 else None


def test_rooms_import_only_the_rooms_they_know() -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules()
        for module, _ in imports(path)
        if (own := path.relative_to(PACKAGE).parts[0]) in KNOWS
        and (other := room_of(module)) not in {None, own, "domain", "errors", "tensors"}
        and other not in KNOWS[own]
    ]
    assert broken == []


def test_only_the_airflow_room_and_the_dags_import_airflow() -> None:
    broken = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.relative_to(PACKAGE).parts[0] != "airflow"
        and any(module == "airflow" or module.startswith("airflow.") for module, _ in imports(path))
    ]
    assert broken == []


def test_the_data_plane_holds_neither_database_nor_credentials() -> None:
    forbidden = {"psycopg2", "boto3", "memorial_tasks.settings", "memorial_tasks.database", "memorial_tasks.production"}
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in modules()
        if path.relative_to(PACKAGE).parts[0] in DATA_PLANE
        for module, _ in imports(path)
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]
    assert broken == []


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_need_nothing_but_torch(name: str) -> None:
    """So that they run on any GPU machine that has nothing else of ours installed."""
    path = PACKAGE / name
    outside = {module.split(".")[0] for module, _ in imports(path)} - TORCH_ONLY
    assert outside - {"memorial_tasks"} == set()


def test_nothing_unpickles() -> None:
    """`torch.load` and pickle run code out of a file; weights are safetensors, always."""
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                call = f"{node.value.id}.{node.attr}"
                if call in {"torch.load", "torch.save", "pickle.load", "pickle.loads", "joblib.load"}:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {call}")
        if any(module in {"pickle", "joblib", "shelve", "marshal"} for module, _ in imports(path)):
            found.append(f"{path.relative_to(ROOT)} imports a pickling module")
    assert found == []


def test_the_control_plane_needs_no_package_of_the_worker() -> None:
    """Its image carries none of them: every module of these rooms is imported with all of them hidden."""
    rooms = ("domain", "consent", "audit", "vault", "database", "delivery", "production", "observability", "cli")
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in rooms
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if path.stem not in {"__init__", "__main__"}
    ]
    hidden = ("numpy", "torch", "cv2", "av", "soundfile", "librosa", "pandas", "scipy", "great_expectations", "c2pa",
              "PIL", "pyworld", "onnxruntime")  # fmt: skip
    script = f"""
import importlib, sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ImportError(name + " is not in the control plane's image")
sys.meta_path.insert(0, Hidden())
for name in {names!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-800:]


def test_every_dag_file_stays_wiring() -> None:
    for path in sorted((ROOT / "dags").glob("*.py")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 130, path.name
