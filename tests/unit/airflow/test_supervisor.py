"""The supervisor: what dies is started again, and what is ended takes everything it forked with it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memorial_tasks.airflow import supervisor
from memorial_tasks.airflow.supervisor import Supervisor, running

# Stands in for `python -m airflow NAME`: a process that forks a worker and waits, as the scheduler does.
COMPONENT = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(worker.pid))
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], object], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Supervisor, Path, list[str]]]:
    script = tmp_path / "airflow.py"
    script.write_text(COMPONENT)
    note = tmp_path / "worker.pid"
    monkeypatch.setattr(supervisor, "COMPONENTS", {"scheduler": (str(note),)})
    monkeypatch.setattr(supervisor, "GRACE", 3.0)
    real = supervisor.subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        return real([sys.executable, str(script), *command[3:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(supervisor.subprocess, "Popen", popen)
    said: list[str] = []
    started = Supervisor({"PATH": os.environ["PATH"]}, tmp_path / "run", said.append)
    started.start()
    assert until(lambda: note.is_file() and note.read_text())
    yield started, note, said
    started.stop()


def test_a_killed_component_is_started_again_and_its_workers_end(
    studio: tuple[Supervisor, Path, list[str]],
) -> None:
    started, note, said = studio
    first, worker = started.components["scheduler"].process.pid, int(note.read_text())
    note.unlink()
    os.kill(first, signal.SIGKILL)
    assert until(lambda: started.components["scheduler"].process.poll() is not None)
    started.watch()
    second = started.components["scheduler"].process.pid
    assert second != first
    assert until(lambda: alive(second) and note.is_file())
    assert not alive(worker)
    assert "scheduler ended" in said[0]


def test_stopping_ends_every_process(studio: tuple[Supervisor, Path, list[str]]) -> None:
    started, note, _ = studio
    pid, worker = started.components["scheduler"].process.pid, int(note.read_text())
    started.stop()
    assert until(lambda: not alive(pid) and not alive(worker))
    assert running(started.folder) == {}


def test_nothing_runs_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    (tmp_path / "pids.json").write_text('{"supervisor": 999999999}')
    assert running(tmp_path) == {}
    (tmp_path / "pids.json").write_text("half writ")
    assert running(tmp_path) == {}
