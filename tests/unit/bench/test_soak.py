"""The soak's own parts: when it strikes, and how it counts processor time."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.bench.soak import KINDS, Meter, processes, timetable, tree

CHILD = "import time, sys\nstart = time.process_time()\nwhile time.process_time() - start < float(sys.argv[1]): pass\n"


@pytest.mark.parametrize("kills", [1, 4, 5, 20])
def test_every_kind_strikes_once_before_any_strikes_again(kills: int) -> None:
    plan = timetable(kills, 1800, random.Random(8))
    assert [moment for moment, _ in plan] == sorted(moment for moment, _ in plan)
    assert all(0 < moment < 1800 for moment, _ in plan)
    counts = Counter(kind for _, kind in plan)
    assert sum(counts.values()) == kills
    assert max(counts.values()) - min(counts.get(kind, 0) for kind in KINDS) <= 1


def test_the_same_seed_strikes_at_the_same_moments() -> None:
    assert timetable(20, 1800, random.Random(3)) == timetable(20, 1800, random.Random(3))


def test_processor_time_of_ended_children_is_counted() -> None:
    before = sum(process.cpu + process.reaped for process in tree(os.getpid(), processes()))
    subprocess.run([sys.executable, "-c", CHILD, "0.2"], check=True)
    after = sum(process.cpu + process.reaped for process in tree(os.getpid(), processes()))
    assert after - before >= 0.19


def test_a_component_keeps_its_time_when_it_is_killed_and_started_anew(tmp_path: Path) -> None:
    (tmp_path / "airflow" / "run").mkdir(parents=True)
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    meter = Meter(tmp_path)
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", CHILD + "time.sleep(60)", "0.1"]) as child:
            (tmp_path / "airflow" / "run" / "pids.json").write_text(f'{{"supervisor": 1, "triggerer": {child.pid}}}')
            deadline = time.monotonic() + 30
            while processes()[child.pid].cpu < 0.1 and time.monotonic() < deadline:
                time.sleep(0.02)
            meter.look()
            child.kill()
    assert len(meter.used) == 3  # two triggerers and the database
    assert meter.total()["triggerer"] >= 0.2


def test_a_studio_that_is_down_has_no_components(tmp_path: Path) -> None:
    assert Meter(tmp_path).roots() == {}
