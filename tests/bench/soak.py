"""``python -m tests.bench.soak --orders 500 --kills 20 --minutes 30``: a night under fire.

Places fictional orders (`tests.support.noop_orders`), starts the nightly batch in a real studio of its own (Airflow
with its supervisor, embedded PostgreSQL, step processes with stand-in bodies: `tests.support.noop_server`), and
meanwhile kills scheduler, triggerer and workers with ``kill -9`` and stops or kills the database. Reviews are answered
through Airflow's own interface, as an operator would. In the end the registry and the audit log are asked what became
of every order (`tests.bench.verdict`).

``--json FILE`` writes the figures where `python -m tests.bench production` finds them: build/soak.json.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from memorial_tasks.airflow.client import open_client
from memorial_tasks.airflow.night import ORDER_DAG
from memorial_tasks.audit.event import parse_body
from memorial_tasks.cli.airflow import SETTLED
from memorial_tasks.database.connection import rows
from memorial_tasks.database.server import ensure_server, stop_server
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.production.graph import INPUTS, sources
from memorial_tasks.production.studio import Studio, now
from tests.bench.verdict import Entry, Kill, Standing, Verdict, judge
from tests.integration.production.conftest import RunningStudio, _free_ports, until
from tests.support.noop_orders import place
from tests.support.pod_studio import settings_of, url_of_airflow

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "build" / "soak.json"
STAND_INS = "steps.sock"
KINDS = ("scheduler", "triggerer", "worker", "database", "database crash")
OVER = {"delivered", "failed", "blocked", "refused", "rejected", "cancelled", "withdrawn", "erased"}
TICK = os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    """One line with the time of day."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


# --- processes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process as the kernel counts it; `cpu` in seconds, its own, and `reaped` that of its ended children."""

    pid: int
    parent: int
    cpu: float
    reaped: float


def processes() -> dict[int, Process]:
    """Every process of the machine, from /proc."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        user, system, child_user, child_system = (int(word) / TICK for word in words[11:15])
        pid = int(folder.name)
        found[pid] = Process(pid, int(words[1]), user + system, child_user + child_system)
    return found


def tree(root: int, every: dict[int, Process]) -> list[Process]:
    """A process and everything below it that lives."""
    children: dict[int, list[int]] = defaultdict(list)
    for process in every.values():
        children[process.parent].append(process.pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        if pid in every:
            found.append(every[pid])
            waiting += children[pid]
    return found


@dataclass
class Meter:
    """Processor time of the studio's components, each over all its incarnations.

    A tree's time is its living processes' own and that of the children they have waited for. What a killed process had
    used since the last look (two seconds) is missed.
    """

    home: Path
    used: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)  # of the process, of what it started

    def roots(self) -> dict[str, int]:
        """The studio's components by name, as they run now."""
        found: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError):  # absent, or half written
            found = json.loads((self.home / "airflow" / "run" / "pids.json").read_text())
            found.pop("supervisor", None)
        with contextlib.suppress(OSError, ValueError):
            found["stand-ins"] = int((self.home / STAND_INS).with_suffix(".pid").read_text())
        with contextlib.suppress(OSError, ValueError, IndexError):
            found["database"] = int((self.home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        return found

    def look(self) -> None:
        """Read the clocks once."""
        every = processes()
        for name, pid in self.roots().items():
            if pid in every:
                below = sum(process.cpu + process.reaped for process in tree(pid, every))
                own = every[pid].cpu
                self.used[name, pid] = (own, max(below - own, self.used.get((name, pid), (0.0, 0.0))[1]))

    def total(self) -> dict[str, float]:
        """Seconds by component. What the scheduler started are the workers, tasks and step processes."""
        found: dict[str, float] = defaultdict(float)
        for (name, _), (own, below) in self.used.items():
            if name == "scheduler":
                found["scheduler"] += own
                found["workers, tasks and steps"] += below
            else:
                found[name] += own + below
        return dict(found)


@contextlib.contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Read the clocks every two seconds."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(2):
            meter.look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        meter.look()


# --- faults ----------------------------------------------------------------------------------------------------------


@dataclass
class Trouble:
    """Does harm to a studio and waits until what was hit runs again."""

    home: Path
    meter: Meter
    chance: random.Random

    def do(self, kind: str) -> Kill:
        """One fault, once what it hits is there."""
        needed = {"worker": "scheduler", "database crash": "database"}.get(kind, kind)
        if not until(lambda: needed in self.meter.roots(), 60):
            raise RuntimeError(f"the {needed} is not there")
        at = datetime.now(UTC)
        if kind == "database":
            stop_server(self.home / "postgres")
            time.sleep(self.chance.uniform(1, 5))
            self._database_back()
        elif kind == "database crash":
            self._kill(self.meter.roots()["database"])
            time.sleep(self.chance.uniform(1, 5))
            self._database_back()
        elif kind == "worker":
            self._kill(self._busy_worker())
        else:
            before = self.meter.roots()[kind]
            self._kill(before)
            self._back(kind, before)
        return Kill(kind, at, datetime.now(UTC))

    def _busy_worker(self) -> int:
        """A worker with a task, or one of the task's processes."""
        every = processes()
        scheduler = self.meter.roots()["scheduler"]
        below = tree(scheduler, every)[1:]
        parents = {process.parent for process in below}
        busy = [process.pid for process in below if process.pid in parents or process.parent != scheduler]
        return self.chance.choice(sorted(busy) or sorted(process.pid for process in below) or [scheduler])

    @staticmethod
    def _kill(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _database_back(self) -> None:
        """Recovery may take longer than one start waits for it."""

        def answers() -> bool:
            with contextlib.suppress(Unavailable):
                ensure_server(self.home / "postgres")
                return True
            return False

        if not until(answers, 300, 1.0):
            raise RuntimeError("the database did not come back")

    def _back(self, kind: str, before: int) -> None:
        if not until(lambda: self.meter.roots().get(kind, before) != before, 60):
            raise RuntimeError(f"the {kind} did not come back")


def timetable(kills: int, seconds: float, chance: random.Random) -> list[tuple[float, str]]:
    """When to do what, in seconds from the start: every kind once before any a second time, spread over the run."""
    kinds: list[str] = []
    while len(kinds) < kills:
        kinds += chance.sample(KINDS, len(KINDS))
    step = seconds / (kills + 1)
    return [(step * (number + chance.uniform(0.6, 1.4)), kind) for number, kind in enumerate(kinds[:kills])]


# --- the studio ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stand_ins(home: Path) -> Iterator[str]:
    """The process that answers for step processes (`tests.support.noop_server`); the command that reaches it."""
    socket = home / STAND_INS
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([sys.executable, "-m", "tests.support.noop_server", str(socket)], env=environment)
    socket.with_suffix(".pid").write_text(str(server.pid))
    try:
        if not until(socket.exists, 60):
            raise RuntimeError("the stand-ins do not answer")
        yield f"python -I -S {ROOT / 'tests' / 'support' / 'noop_client.py'} {socket}"
    finally:
        server.terminate()
        server.wait()


def started_alone() -> float:
    """Processor seconds of a step process that starts and does nothing: what the stand-ins leave out."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        subprocess.run([sys.executable, "-c", "import tests.support.noop_steps"], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5


def open_studio(home: Path, assets: Path, command: str, at_once: int, parallelism: int) -> RunningStudio:
    """A studio of its own whose steps have stand-in bodies."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MEMORIAL_", "AIRFLOW"))},
        "MEMORIAL_HOME": str(home),
        "MEMORIAL_ASSETS": str(assets),
        "MEMORIAL_API_PORT": str(_free_ports()),
        "MEMORIAL_STEP_COMMAND": command,
        "MEMORIAL_PARALLELISM": str(parallelism),
        "MEMORIAL_BATCH_ORDERS": str(at_once),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    return RunningStudio(home, environment)


@dataclass
class Reviewer:
    """Answers what waits for a person as our own command does: once a question has been parked for a while."""

    seen: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, studio: Studio) -> None:
        """Answer what can be answered; the rest waits for the next look."""
        form: dict[str, Any] = {"reason": None, "causes": []}
        with open_client(studio.settings) as airflow:
            waiting = airflow.parked(ORDER_DAG, answered=False)
            self.seen = {question: self.seen.get(question, time.monotonic()) for question in waiting}
            for (run_id, task), since in self.seen.items():
                if time.monotonic() - since >= SETTLED:
                    with contextlib.suppress(MemorialError):  # Airflow is being killed
                        airflow.answer(ORDER_DAG, run_id, task, "Approve", form)


def standings(studio: Studio) -> dict[str, Standing]:
    """What the registry says of every order."""
    statement = (
        "SELECT o.order_id AS order, o.state, concat_ws(' ', nullif(o.stage, ''), nullif(o.reason_code, ''),"
        " nullif(o.reason, '')) AS reason,"
        " (SELECT count(*) FROM delivery d WHERE d.order_id = o.order_id) AS deliveries FROM orders o"
    )
    with studio.transaction() as connection:
        return {row["order"]: Standing(**row) for row in rows(connection, statement)}


def entries(studio: Studio) -> list[Entry]:
    """The whole audit log, as an auditor reads it."""
    with closing(psycopg2.connect(studio.database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, body FROM audit.event ORDER BY id")
        found = [(int(number), parse_body(bytes(body))) for number, body in cursor.fetchall()]
    return [
        Entry(
            number, event.at, event.type, event.order or "", str(event.data.get("step", "")),
            str(event.data.get("result_key", "")), event.decision or "",
        )
        for number, event in found
    ]  # fmt: skip


@dataclass(frozen=True)
class Tasks:
    """How Airflow's tasks of the orders went. Seconds are medians over the tasks that succeeded."""

    done: int
    tries: int
    wait_for_scheduler: float  # last task before it ended -> queued
    wait_for_worker: float  # queued -> the task's process works
    runs: float  # the task's process, with the step inside


def tasks(studio: Studio) -> Tasks:
    """From Airflow's own tables: the only thing it is asked, and only for times."""
    with closing(psycopg2.connect(url_of_airflow(studio.database))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, try_number, queued_dttm, start_date, end_date FROM task_instance WHERE dag_id = %s"
            " AND state = 'success' AND queued_dttm IS NOT NULL ORDER BY run_id, start_date",
            (ORDER_DAG,),
        )
        found = cursor.fetchall()
    gaps, waits, runs = [], [], []
    ends: dict[str, list[datetime]] = defaultdict(list)
    for run_id, _, queued, start, end in found:
        before = [moment for moment in ends[run_id] if moment <= queued]
        if before:
            gaps.append((queued - max(before)).total_seconds())
        waits.append((start - queued).total_seconds())
        runs.append((end - start).total_seconds())
        ends[run_id].append(end)

    def middle(values: list[float]) -> float:
        return round(statistics.median(values), 3) if values else 0.0

    return Tasks(len(found), sum(row[1] for row in found), middle(gaps), middle(waits), middle(runs))


def stranded(studio: Studio, told: list[Entry]) -> list[str]:
    """Orders on their way of which nothing was heard for five minutes, and where their tasks stand: what a kill left
    without anybody who would go on with it."""
    heard = {entry.order: entry.at for entry in told}
    silent = now() - timedelta(minutes=5)
    with studio.transaction() as connection:
        moving = rows(connection, "SELECT order_id, run_id FROM orders WHERE state IN ('running', 'in_review')")
    found = [row for row in moving if heard[row["order_id"]] < silent]
    with closing(psycopg2.connect(url_of_airflow(studio.database))) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, string_agg(concat_ws(' ', task_id, state, try_number), ', ') FROM task_instance"
            " WHERE run_id = ANY(%s) AND coalesce(state, '') <> 'success' GROUP BY run_id",
            ([row["run_id"] for row in found],),
        )
        tasks_of = dict(cursor.fetchall())
    return [f"{row['order_id']}: {tasks_of.get(row['run_id'], 'its run is over')}" for row in found]


# --- the run ---------------------------------------------------------------------------------------------------------


@dataclass
class Soak:
    """One soak as it was asked for."""

    orders: int
    kills: int
    kills_within: float
    minutes: float
    at_once: int
    parallelism: int
    seed: int

    def run(self) -> dict[str, Any]:
        """Do it all; returns the figures. Ends everything it started, whatever happens."""
        home = Path(tempfile.mkdtemp(prefix="memorial-soak-", dir="/tmp"))
        home.chmod(0o755)
        assets = Path(os.environ.get("MEMORIAL_ASSETS", ROOT / ".memorial" / "assets"))
        with stand_ins(home) as command:
            running = open_studio(home, assets, command, self.at_once, self.parallelism)
            try:
                running.memorial("init")
                studio = Studio.open(settings_of(running.environment))
                say(f"placing {self.orders} orders")
                names = [place(studio, f"soak-{number:04d}") for number in range(1, self.orders + 1)]
                running.memorial("studio", "start")
                return self._night(running, studio, names)
            finally:
                running.memorial("studio", "stop", expect=None)
                stop_server(home / "postgres")
                shutil.rmtree(home, ignore_errors=True)

    def _night(self, running: RunningStudio, studio: Studio, names: list[str]) -> dict[str, Any]:
        meter = Meter(running.home)
        trouble = Trouble(running.home, meter, random.Random(self.seed))
        plan = timetable(self.kills, self.kills_within * 60, trouble.chance)
        kills: list[Kill] = []
        reviewer = Reviewer()
        idle = self._idle(meter)
        before, began, over = meter.total(), time.monotonic(), 0
        with metered(meter):
            running.memorial("batch", "run")
            while time.monotonic() - began < self.minutes * 60 and over < len(names):
                if plan and time.monotonic() - began > plan[0][0]:
                    kills.append(trouble.do(plan.pop(0)[1]))
                    say(f"kill {len(kills)}: {kills[-1].what}, back after {_seconds(kills[-1]):.1f} s")
                with contextlib.suppress(MemorialError, psycopg2.Error):
                    reviewer.look(studio)
                    now_over = sum(one.state in OVER for one in standings(studio).values())
                    if now_over != over:
                        say(f"{now_over} of {len(names)} orders are over")
                    over = now_over
                time.sleep(1)
            seconds = time.monotonic() - began
            time.sleep(5)  # the last orders' closing entries
        used = {name: value - before.get(name, 0.0) for name, value in sorted(meter.total().items())}
        return self._figures(studio, names, kills, seconds, used, idle)

    @staticmethod
    def _idle(meter: Meter) -> float:
        """Processor seconds a second of a studio that has nothing to do."""
        meter.look()
        before, start = sum(meter.total().values()), time.monotonic()
        time.sleep(15)
        meter.look()
        return (sum(meter.total().values()) - before) / (time.monotonic() - start)

    def _figures(
        self,
        studio: Studio,
        names: list[str],
        kills: list[Kill],
        seconds: float,
        used: dict[str, float],
        idle: float,
    ) -> dict[str, Any]:
        """`production.overhead_s_per_step`: processor seconds of everything a task costs, what an idle studio uses and
        what components need to start again after kills included; the step's own work is milliseconds."""
        graph = {step: sources(step) for step in INPUTS}
        told = entries(studio)
        verdict: Verdict = judge(names, standings(studio), told, kills, graph)
        went = tasks(studio)
        delivered = len(names) - len(verdict.lost) - len(verdict.unfinished)
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "asked": {**vars(self), "cores": os.cpu_count(), "load": round(os.getloadavg()[1], 1)},
            "kills": [f"{kill.what}, {_seconds(kill):.1f} s" for kill in kills],
            "seconds": round(seconds, 1),
            "verdict": {
                "lost": list(verdict.lost), "unfinished": list(verdict.unfinished), "doubled": list(verdict.doubled),
                "disordered": list(verdict.disordered), "repeated_after_kills": verdict.repeated,
                "stranded": stranded(studio, told),
            },
            "tasks": vars(went),
            "cpu_s": {name: round(value, 1) for name, value in used.items()},
            "cpu_idle_per_s": round(idle, 3),
            "cpu_s_per_task": {name: round(value / max(1, went.done), 3) for name, value in used.items()},
            "production.orders_per_hour": round(3600 * delivered / seconds, 1),
            "production.lost": len(verdict.lost),
            "production.unfinished": len(verdict.unfinished),
            "production.doubled": len(verdict.doubled),
            "production.disordered": len(verdict.disordered),
            "cpu_s_of_a_step_process_left_out": round(started_alone(), 3),
            "production.overhead_s_per_step": round(sum(used.values()) / max(1, went.done), 3),
        }  # fmt: skip


def _seconds(kill: Kill) -> float:
    return (kill.until - kill.at).total_seconds()


def main() -> int:
    """Exit 1 unless every order was delivered once and in order."""
    reader = argparse.ArgumentParser(description="A night under fire; see the module's text.")
    reader.add_argument("--orders", type=int, default=500)
    reader.add_argument("--kills", type=int, default=20)
    reader.add_argument("--kills-within", type=float, default=0.0, help="minutes; default: four fifths of the time")
    reader.add_argument("--minutes", type=float, default=30.0, help="after so long the verdict is spoken")
    reader.add_argument("--at-once", type=int, default=60, help="orders that work at once")
    reader.add_argument("--parallelism", type=int, default=4, help="tasks at once")
    reader.add_argument("--seed", type=int, default=8, help="of the kills")
    reader.add_argument("--json", type=Path, default=RESULT, help="where the figures go")
    asked = reader.parse_args()
    within = asked.kills_within or 0.8 * asked.minutes
    found = Soak(asked.orders, asked.kills, within, asked.minutes, asked.at_once, asked.parallelism, asked.seed).run()
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return int(any(found[f"production.{fault}"] for fault in ("lost", "unfinished", "doubled", "disordered")))


if __name__ == "__main__":
    sys.exit(main())
