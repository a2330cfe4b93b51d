"""A whole studio for tests: embedded PostgreSQL, real Airflow, real steps, a small fictional family."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.demo.family import make_family
from tests.support.small_family import write_order


def _free_ports() -> int:
    """The first of three free ports in a row: pages, trigger log, worker log. Each test worker looks in a range of its
    own, because a studio listens only seconds after its ports were found."""
    first = 18300 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for base in range(first, first + 500, 7):
        sockets = [socket.socket() for _ in range(3)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return base
    raise RuntimeError("no free ports")


@dataclass
class RunningStudio:
    """The studio as an operator sees it: its folder, its environment, its command."""

    home: Path
    environment: dict[str, str]

    def memorial(self, *arguments: str, expect: int | None = 0) -> Any:
        """``memorial ... --json``; checks the exit status and returns the document."""
        done = subprocess.run(
            [sys.executable, "-m", "memorial_tasks.cli", *arguments, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"memorial {' '.join(arguments)}: {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def state(self, order: str) -> str:
        """The order's state."""
        return str(self.memorial("order", "show", order)["state"])

    def pids(self) -> dict[str, int]:
        """Airflow's processes."""
        found: dict[str, int] = json.loads((self.home / "airflow" / "run" / "pids.json").read_text())
        return found

    def step_process(self, step: str) -> int | None:
        """Process id of a running step of this studio."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (
                b"memorial_tasks.steps" in words
                and step.encode() in words
                and f"file://{self.home}/vault".encode() in words
            ):
                return int(folder.name)
        return None

    def has_checkpoint(self, order: str, step: str) -> bool:
        """True when training has saved its state at least once."""
        return any((self.home / "vault" / "orders" / order / step).glob("*/checkpoint/latest.json"))

    def wait_for(self, order: str, *states: str, timeout: float = 1500) -> str:
        """Wait until the order stands in one of the states."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            state = self.state(order)
            if state in states:
                return state
            assert state not in {"failed", "blocked", "refused"} - set(states), self.memorial("order", "show", order)
            time.sleep(2)
        raise AssertionError(f"{order} is {self.state(order)}, not {states}: {self.memorial('order', 'show', order)}")


def until(true: Callable[[], object], timeout: float, pause: float = 0.2) -> bool:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(pause)
    return False


@pytest.fixture(scope="session")
def studio(assets: Path) -> Iterator[RunningStudio]:
    """Set up, started, and ended with everything it started."""
    home = Path(tempfile.mkdtemp(prefix="memorial-studio-", dir="/tmp"))
    home.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MEMORIAL_", "AIRFLOW"))},
        "MEMORIAL_HOME": str(home),
        "MEMORIAL_ASSETS": str(assets),
        "MEMORIAL_API_PORT": str(_free_ports()),
        "MEMORIAL_TRAIN": "tiny",
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
    }
    running = RunningStudio(home, environment)
    running.memorial("init")
    try:
        running.memorial("studio", "start")
        yield running
    finally:
        running.memorial("studio", "stop", expect=None)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Callable[..., Path]:
    """Writes small orders of one fictional family: fewer photos and recordings, a short script, 720p."""
    full = make_family(tmp_path_factory.mktemp("family"), "en-US", "full-family", assets=assets).parent

    def write(order: str, **changes: Any) -> Path:
        return write_order(full, tmp_path_factory.mktemp(order), order, **changes)

    return write


def kill(pid: int) -> None:
    """What a power cut does."""
    os.kill(pid, signal.SIGKILL)
