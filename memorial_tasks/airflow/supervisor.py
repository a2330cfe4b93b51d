"""Airflow's four components under one roof: started together, restarted when one dies, ended together.

``airflow standalone`` leaves orphans behind when it is stopped, and a scheduler that meets a server error ends
for good; a studio that must run through the night needs neither.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler",),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer",),
}
GRACE = 15.0


@dataclass
class Component:
    """One running component."""

    name: str
    process: subprocess.Popen[bytes]
    restarts: int = 0
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps the components running until it is told to stop."""

    def __init__(self, environment: Mapping[str, str], folder: Path, say: Callable[[str], None]) -> None:
        self.environment, self.folder, self.say = dict(environment), folder, say
        self.components: dict[str, Component] = {}
        self.stopping = False

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / f"{name}.log").open("ab") as log:
            # A process group of its own: ending it ends the workers the component forked as well.
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", *COMPONENTS[name]],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _record(self) -> None:
        state = {"supervisor": os.getpid()} | {n: c.process.pid for n, c in self.components.items()}
        (self.folder / "pids.json").write_text(json.dumps(state))

    def start(self) -> None:
        """Start every component."""
        for name in COMPONENTS:
            self.components[name] = Component(name, self._start(name))
        self._record()

    def watch(self) -> None:
        """One round: restart what has ended, waiting longer each time it ends soon after its start."""
        for name, component in list(self.components.items()):
            code = component.process.poll()
            if code is None or self.stopping:
                continue
            quick = time.monotonic() - component.started < 60
            component.restarts = component.restarts + 1 if quick else 1
            _end_group(component.process, 2.0)
            self.say(f"{name} ended with code {code}; starting it again (see {self.folder / (name + '.log')})")
            time.sleep(min(2 * (component.restarts - 1), 20))
            self.components[name] = Component(name, self._start(name), component.restarts)
            self._record()

    def run(self) -> None:
        """Start, watch and, on SIGTERM or SIGINT, end everything."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        self.start()
        try:
            while not self.stopping:
                self.watch()
                time.sleep(1)
        finally:
            self.stop()

    def stop(self) -> None:
        """End every component and what it forked."""
        self.stopping = True
        for component in self.components.values():
            _signal_group(component.process.pid, signal.SIGTERM)
        for component in self.components.values():
            _end_group(component.process, GRACE)
        (self.folder / "pids.json").unlink(missing_ok=True)


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    return True


def _end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    deadline = time.monotonic() + grace
    _signal_group(process.pid, signal.SIGTERM)
    while time.monotonic() < deadline:
        process.poll()
        if not _signal_group(process.pid, 0):
            return
        time.sleep(0.1)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def running(folder: Path) -> dict[str, int]:
    """Process ids of the studio that runs from `folder`; empty when none does."""
    path = folder / "pids.json"
    if not path.is_file():
        return {}
    try:
        state: dict[str, int] = json.loads(path.read_text())
        os.kill(state["supervisor"], 0)
    except (ValueError, KeyError, ProcessLookupError):
        return {}
    return state
