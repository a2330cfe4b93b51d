"""How near is `memorial order estimate` to what an order then takes? Real orders, real steps, one after the other.

Orders of the generated family, different in photos, recordings, length and picture size, are made by a studio of their
own up to the film's review. Before each one runs, the studio is asked what it will take; afterwards that is held
against what it took. Only orders that ran alone are judged, because an estimate speaks of an order's own work.

The first `TAUGHT` orders are the history and nobody judges them. `MEMORIAL_BENCH_ESTIMATES=N` judges N more (5).
"""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from memorial_tasks.database.connection import rows
from memorial_tasks.database.server import stop_server
from memorial_tasks.demo.family import make_family
from memorial_tasks.production.estimates import foreseen, past_orders, wall
from memorial_tasks.production.studio import Studio
from tests.integration.production.conftest import RunningStudio, _free_ports
from tests.support.pod_studio import settings_of
from tests.support.small_family import write_order

ROOT = Path(__file__).resolve().parents[2]
TAUGHT = 4
JUDGED = int(os.environ.get("MEMORIAL_BENCH_ESTIMATES", "5"))
ALLOWED = 0.25


@dataclass(frozen=True)
class Judged:
    """One order: minutes and cost as foreseen, and as they were."""

    minutes: tuple[float, float]
    cost: tuple[float, float]


def off(pair: tuple[float, float]) -> float:
    """Relative error."""
    told, true = pair
    return abs(told - true) / true


def shapes(count: int) -> Iterator[dict[str, Any]]:
    """Orders as different as the family's material allows; always the same ones."""
    chance = random.Random(25)
    for _ in range(count):
        yield {"photos": chance.randint(5, 20), "recordings": chance.randint(12, 30), "lines": chance.randint(2, 8)}


def make(running: RunningStudio, path: Path, order: str) -> Judged | None:
    """Ask, run to the review, compare; None where nothing was foreseen yet."""
    running.memorial("order", "submit", str(path))
    told = running.memorial("order", "estimate", order)
    began = time.monotonic()
    running.memorial("order", "run", order)
    running.wait_for(order, "in_review", timeout=3600)
    elapsed = (time.monotonic() - began) / 60
    shown = running.memorial("order", "show", order)
    took = {row["step"]: row["wall_s"] / 60 for row in shown["steps"]}
    cost = sum(float(row["cost"]) for row in shown["steps"])
    text = f"{order}: foreseen {told['wall_minutes']} min, took {wall(took):.2f} min of steps, {elapsed:.2f} in all"
    print(text, file=sys.stderr, flush=True)
    if told["runs"] < TAUGHT:
        return None
    return Judged((told["wall_minutes"], wall(took)), (told["cost"], cost))


def left_out(studio: Studio) -> list[float]:
    """Each order estimated from all the others, as they stand in the end: relative errors of the minutes."""
    with studio.transaction() as connection:
        names = [row["order_id"] for row in rows(connection, "SELECT order_id FROM orders ORDER BY order_id")]
        history = past_orders(connection, names)
    found = []
    for past in history:
        rest = [other for other in history if other is not past]
        true = wall({step: work.seconds / 60 for step, work in past.steps.items()})
        found.append(off((wall(foreseen(rest, past.size)), true)))
    return found


def run() -> dict[str, Any]:
    """`estimates.left_out_*`: every order from all the others. `estimates.off_*` and `estimates.cost_off_*`: what was
    foreseen before an order ran. All are to stay below 0.25."""
    assets = Path(os.environ.get("MEMORIAL_ASSETS", ROOT / ".memorial" / "assets"))
    home = Path(tempfile.mkdtemp(prefix="memorial-estimates-", dir="/tmp"))
    home.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MEMORIAL_", "AIRFLOW"))},
        "MEMORIAL_HOME": str(home / "studio"),
        "MEMORIAL_ASSETS": str(assets),
        "MEMORIAL_API_PORT": str(_free_ports()),
        "MEMORIAL_TRAIN": "tiny",
        "MEMORIAL_CPU_PRICE_PER_MINUTE": "0.05",
        "PYTHONPATH": str(ROOT),
    }
    running = RunningStudio(home / "studio", environment)
    running.memorial("init")
    try:
        running.memorial("studio", "start")
        full = make_family(home / "family", "en-US", "full-family", assets=assets).parent
        found = []
        for number, shape in enumerate(shapes(TAUGHT + JUDGED)):
            order = f"estimate-{number:02d}"
            found.append(make(running, write_order(full, home / order, order, **shape), order))
            shutil.rmtree(home / order)
        others = left_out(Studio.open(settings_of(environment)))
    finally:
        running.memorial("studio", "stop", expect=None)
        stop_server(running.home / "postgres")
        shutil.rmtree(home, ignore_errors=True)
    judged = [one for one in found if one is not None]
    minutes, costs = [off(one.minutes) for one in judged], [off(one.cost) for one in judged]
    return {
        "estimates.left_out_median": median(others),
        "estimates.left_out_worst": max(others),
        "estimates.judged": len(judged),
        "estimates.off_median": median(minutes),
        "estimates.off_worst": max(minutes),
        "estimates.cost_off_median": median(costs),
        "estimates.cost_off_worst": max(costs),
        "estimates.within_a_quarter": sum(one <= ALLOWED for one in minutes + costs) / len(minutes + costs),
    }
