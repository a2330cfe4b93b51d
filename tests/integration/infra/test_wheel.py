"""A wheel, installed away from the checkout, has everything: migrations, DAGs, pages, the auditor's verifier."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.integration
MADE_OF = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "constraints.txt")
PARTS = (*MADE_OF, "sql", "dags", "tools", "infra/pods")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the checkout; dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        path = ROOT / part
        shutil.copytree(path, source / part, ignore=skip) if path.is_dir() else shutil.copy(path, source / part)
    shutil.copytree(ROOT / "memorial_tasks", source / "memorial_tasks", ignore=skip)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(source)], check=True, cwd=folder
    )
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", *offline, "--target", str(target), str(wheel)], check=True, cwd=folder)
    shutil.rmtree(source)
    return target


def run(installed: Path, *command: str, **environment: str) -> str:
    """A command with the installed package first, from a folder that is no checkout."""
    kept = {**os.environ, "PYTHONPATH": str(installed), **environment}
    done = subprocess.run(
        [sys.executable, *command], cwd=installed.parent, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_migrations_dags_and_verifier_are_found_inside(installed: Path) -> None:
    script = (
        "from memorial_tasks.database.migrate import load, sql_folder\n"
        "from memorial_tasks.airflow.environment import dags_folder\n"
        "from memorial_tasks.settings import Settings\n"
        "print(sql_folder()); print(dags_folder()); print(len(load())); print(Settings().home)\n"
    )
    sql, dags, count, home = run(installed, "-c", script, HOME=str(installed.parent)).split()
    assert Path(sql) == installed / "memorial_tasks" / "sql"
    assert Path(dags) == installed / "memorial_tasks" / "dags"
    assert int(count) == len(list((ROOT / "sql").glob("*.sql")))
    assert {path.name for path in Path(dags).glob("*.py")} == {path.name for path in (ROOT / "dags").glob("*.py")}
    assert Path(home) == installed.parent / ".memorial", "a package keeps its studio in the user's home"
    assert (installed / "memorial_tasks" / "audit" / "audit_verifier.py").is_file()
    assert (installed / "memorial_tasks" / "pods" / "gpu.yaml").is_file()


def test_no_file_of_the_package_was_left_behind(installed: Path) -> None:
    def data(root: Path) -> set[str]:
        kept = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        return {name for name in kept if not name.endswith((".py", ".pyc")) and "__pycache__" not in name}

    missing = data(ROOT / "memorial_tasks") - data(installed / "memorial_tasks")
    assert missing == set()


def test_a_database_is_set_up_from_the_wheel(installed: Path, empty_database: str) -> None:
    script = "import sys; from memorial_tasks.database.migrate import migrate; print(len(migrate(sys.argv[1])))"
    assert int(run(installed, "-c", script, empty_database)) == len(list((ROOT / "sql").glob("*.sql")))
    assert int(run(installed, "-c", script, empty_database)) == 0
