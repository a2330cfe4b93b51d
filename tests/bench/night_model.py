"""``python -m tests.bench.night_model``: how many GPUs and Airflow workers does a night of 10,000 orders need?

A discrete-event simulation of the way through the house (`dags/memorial_order.py` with pods): every Airflow task
passes the scheduler, the database and the API server and holds a worker; a step's pod holds a GPU or a place for a pod,
start-up included, and no worker meanwhile, because it is deferred; when it is done the task comes back once more. Step
times come from ``step_times.json``, with what was measured and what was not. The answer is the smallest house that is
through in time, how busy each of its stations is, and which one gives way next. `tests/unit/bench` holds the simulation
against queueing theory.
"""

import argparse
import heapq
import json
import math
import random
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memorial_tasks.production.graph import INPUTS
from memorial_tasks.settings import Settings

STEP_TIMES = Path(__file__).with_name("step_times.json")
HOUR = 3600.0
GPU, POD, WORKER, SCHEDULER, DATABASE, API = "gpu", "cpu pod", "worker", "scheduler", "database", "api-server"
# Stations of the control plane: one of each is what a small installation has.
CONTROL = (SCHEDULER, DATABASE, API)
BUSY_AT_MOST = 0.95  # a first guess leaves this much room for queues
SPREAD = 0.3  # coefficient of variation of a step's time between orders

Draw = Callable[[float], float]


@dataclass(frozen=True)
class Task:
    """A task of an order: the tasks it waits for (their places in the order), and the stations it visits, how long."""

    name: str
    needs: tuple[int, ...]
    visits: tuple[tuple[str, float], ...]


Route = tuple[Task, ...]


@dataclass
class Outcome:
    """What a simulation found. Times in seconds."""

    end: float = 0.0  # when the last order was through
    finished: int = 0
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # server seconds by station
    waited: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # seconds in the queue by station
    served: Counter[str] = field(default_factory=Counter)
    sojourn: float = 0.0  # seconds in the house, all orders together
    present: float = 0.0  # orders in the house, integrated over time

    def use(self, servers: Mapping[str, int]) -> dict[str, float]:
        """Share of the time that a station's servers were busy."""
        return {name: self.busy[name] / (self.end * count) if self.end else 0.0 for name, count in servers.items()}


class _House:
    """The running simulation: stations with a queue each (first come, first served), orders with a route each."""

    def __init__(
        self, arrivals: Iterable[float], routes: Sequence[Route], servers: Mapping[str, int], at_once: int, draw: Draw
    ) -> None:
        self.coming, self.routes, self.at_once, self.draw = deque(enumerate(arrivals)), routes, at_once, draw
        self.free = dict(servers)
        self.queues: dict[str, deque[tuple[float, int, int, int]]] = {name: deque() for name in servers}
        self.events: list[tuple[float, int, int, int, int]] = []  # time, tie, order, task, visit that ends
        self.ties = 0
        self.inside: dict[int, float] = {}  # order -> when it came in
        self.left: dict[int, list[int]] = {}  # order -> for each task, how many others it waits for; all done: -1
        self.after = {route: _followers(route) for route in set(routes)}
        self.found = Outcome()

    def run(self) -> Outcome:
        """From one event to the next until nobody is left."""
        now = 0.0
        while self.coming or self.events:
            door = self.coming[0][1] if self.coming and len(self.inside) < self.at_once else math.inf
            then = max(now, min(door, self.events[0][0] if self.events else math.inf))
            self.found.present += len(self.inside) * (then - now)
            now = then
            if door <= now:
                self.enter(now, self.coming.popleft()[0])
            else:
                self.leave(now, *heapq.heappop(self.events)[2:])
        return self.found

    def enter(self, now: float, order: int) -> None:
        """An order comes in; what waits for nothing begins."""
        self.inside[order] = now
        self.left[order] = [len(task.needs) for task in self.routes[order]]
        for number, task in enumerate(self.routes[order]):
            if not task.needs:
                self.visit(now, order, number, 0)

    def visit(self, now: float, order: int, task: int, visit: int) -> None:
        """The order comes to a station: it is served, or waits its turn."""
        name, seconds = self.routes[order][task].visits[visit]
        if self.free[name]:
            self.free[name] -= 1
            self.serve(now, name, seconds, order, task, visit)
        else:
            self.queues[name].append((now, order, task, visit))

    def serve(self, now: float, name: str, seconds: float, order: int, task: int, visit: int) -> None:
        """A server takes it up."""
        took = self.draw(seconds)
        self.found.busy[name] += took
        self.found.served[name] += 1
        self.ties += 1
        heapq.heappush(self.events, (now + took, self.ties, order, task, visit))

    def leave(self, now: float, order: int, task: int, visit: int) -> None:
        """A service ends: the server takes the next in its queue, the order goes on."""
        route = self.routes[order]
        name = route[task].visits[visit][0]
        if self.queues[name]:
            since, other, its_task, its_visit = self.queues[name].popleft()
            self.found.waited[name] += now - since
            self.serve(now, name, self.routes[other][its_task].visits[its_visit][1], other, its_task, its_visit)
        else:
            self.free[name] += 1
        if visit + 1 < len(route[task].visits):
            self.visit(now, order, task, visit + 1)
        else:
            self.done(now, order, task)

    def done(self, now: float, order: int, task: int) -> None:
        """A task is over: what waited for it begins; after the last one the order leaves."""
        left = self.left[order]
        left[task] = -1
        for other in self.after[self.routes[order]][task]:
            left[other] -= 1
            if left[other] == 0:
                self.visit(now, order, other, 0)
        if not any(count >= 0 for count in left):
            self.found.sojourn += now - self.inside.pop(order)
            self.found.finished += 1
            self.found.end = now
            del self.left[order]


def _followers(route: Route) -> list[list[int]]:
    return [[other for other, task in enumerate(route) if number in task.needs] for number in range(len(route))]


def simulate(
    arrivals: Iterable[float],
    routes: Sequence[Route],
    servers: Mapping[str, int],
    *,
    at_once: int | None = None,
    draw: Draw = float,
) -> Outcome:
    """Let the orders through the house. `arrivals`: when each comes, in ascending order; `at_once`: how many the batch
    lets work at once, the others wait outside; `draw` makes a service time of its mean.

    Raises `ValueError` when a route visits a station that has no server, or a task waits for a later one.
    """
    _check(routes, servers)
    return _House(arrivals, routes, servers, at_once or len(routes), draw).run()


def _check(routes: Sequence[Route], servers: Mapping[str, int]) -> None:
    for route in set(routes):
        for number, task in enumerate(route):
            without = [name for name, _ in task.visits if servers.get(name, 0) < 1]
            if without or not task.visits:
                raise ValueError(f"{task.name}: no server for {', '.join(without) or 'it: it visits no station'}")
            if any(need >= number for need in task.needs):
                raise ValueError(f"{task.name} waits for a task that comes later")


# --- the house -------------------------------------------------------------------------------------------------------

# Task, what it waits for, in a studio that asks a person about the film only. Their time is counted apart, since
# it is spent by day.
WAY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("check_consent", ()),
    ("ingest", ("check_consent",)),
    ("quality_gate", ("ingest",)),
    ("prepare_face", ("quality_gate",)),
    ("prepare_voice", ("quality_gate",)),
    ("train_face", ("prepare_face",)),
    ("train_voice", ("prepare_voice",)),
    ("direct", ("train_face", "train_voice")),
    ("speak", ("direct",)),
    ("animate", ("speak",)),
    ("compose", ("animate",)),
    ("seal", ("compose",)),
    ("output_gate", ("seal",)),
    ("package", ("output_gate",)),
    ("review_film", ("package",)),
    ("review_film_second", ("review_film",)),
    ("deliver", ("review_film_second",)),
)


def read_times(path: Path = STEP_TIMES) -> dict[str, Any]:
    """The step times. Raises `ValueError` for a file that lacks a step or gives no provenance."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    missing = sorted(set(INPUTS) - set(found["steps"]))
    if missing:
        raise ValueError(f"{path.name}: no time for {', '.join(missing)}")
    rows = [*found["steps"].values(), *found["airflow"].values(), *found["pod_start"].values()]
    if any(row["how"] not in {"measured", "assumed"} or row["seconds"] < 0 for row in rows):
        raise ValueError(f"{path.name}: every time needs 'seconds' and 'how': measured or assumed")
    return found


def order_route(times: Mapping[str, Any], gpu_steps: Iterable[str]) -> Route:
    """The way of one order through the stations."""
    airflow = {name: float(row["seconds"]) for name, row in times["airflow"].items()}
    touch = tuple((name, airflow[name]) for name in (SCHEDULER, DATABASE, API, WORKER))
    place = {name: number for number, (name, _) in enumerate(WAY)}
    on_gpu = set(gpu_steps)

    def visits(name: str) -> tuple[tuple[str, float], ...]:
        if name not in INPUTS:
            return touch
        kind, start = (GPU, "gpu") if name in on_gpu else (POD, "cpu")
        seconds = float(times["steps"][name]["seconds"]) + float(times["pod_start"][start]["seconds"])
        return (*touch, (kind, seconds), *touch)

    return tuple(Task(name, tuple(place[need] for need in needs), visits(name)) for name, needs in WAY)


def demand(route: Route) -> dict[str, float]:
    """Seconds of each station that one order takes."""
    found: dict[str, float] = defaultdict(float)
    for task in route:
        for name, seconds in task.visits:
            found[name] += seconds
    return dict(found)


def longest_path(route: Route) -> float:
    """Seconds one order takes when it waits for nothing."""
    ends: list[float] = []
    for task in route:
        begins = max((ends[need] for need in task.needs), default=0.0)
        ends.append(begins + sum(seconds for _, seconds in task.visits))
    return max(ends)


@dataclass(frozen=True)
class Answer:
    """The smallest house found that is through in time, and what it is like inside."""

    servers: dict[str, int]
    hours: float
    use: dict[str, float]
    at_once: int

    @property
    def next_bottleneck(self) -> str:
        """The busiest station of the control plane: GPUs and workers are bought, this one has to be rebuilt."""
        return max(CONTROL, key=lambda name: self.use[name])


def spread(seed: int) -> Draw:
    """Service times that vary from order to order: gamma with the mean given and the variation `SPREAD`."""
    chance, shape = random.Random(seed), 1 / SPREAD**2
    return lambda mean: chance.gammavariate(shape, mean / shape) if mean else 0.0


def smallest_house(route: Route, orders: int, hours: float, *, seed: int = 8, at_once: int | None = None) -> Answer:
    """Servers of each station with which `orders` that all wait in the evening are through within `hours`.

    Begins with what the work itself needs and adds where the queue is worst until the night is long enough.

    Raises `ValueError` when one order alone takes longer than the night.
    """
    need, night = demand(route), hours * HOUR
    working = night - longest_path(route)  # while the first order is on its way in, and the last one out, much is idle
    if working <= 0:
        raise ValueError("one order alone takes longer than the night")
    servers = {name: max(1, math.ceil(orders * seconds / working / BUSY_AT_MOST)) for name, seconds in need.items()}
    while True:
        room = at_once or 3 * servers[GPU] + servers[POD]
        found = simulate([0.0] * orders, [route] * orders, servers, at_once=room, draw=spread(seed))
        if found.end <= night:
            return Answer(servers, found.end / HOUR, found.use(servers), room)
        worst = max(servers, key=lambda name: found.waited[name] / servers[name])
        servers[worst] += max(1, servers[worst] // 50)


def limits(route: Route, hours: float, servers: Mapping[str, int]) -> dict[str, int]:
    """Orders a night at which each station can do no more, by the work alone."""
    return {name: int(servers[name] * hours * HOUR / seconds) for name, seconds in demand(route).items() if seconds}


def scaled(times: Mapping[str, Any], part: str, names: Iterable[str], factor: float) -> dict[str, Any]:
    """The times with some of them multiplied."""
    rows = dict(times[part])
    rows |= {name: {**rows[name], "seconds": rows[name]["seconds"] * factor} for name in names}
    return {**times, part: rows}


def report(orders: int, hours: float, *, seed: int = 8) -> dict[str, Any]:
    """The answer, and how it moves with what is not known well."""
    times, gpu_steps = read_times(), [name.strip() for name in Settings().gpu_steps.split(",")]
    route = order_route(times, gpu_steps)
    answer = smallest_house(route, orders, hours, seed=seed)
    one_of_each = {**answer.servers, **dict.fromkeys(CONTROL, 1)}
    worst = max(CONTROL, key=lambda name: demand(route)[name])
    changes = {
        "training takes half": scaled(times, "steps", gpu_steps, 0.5),
        "training takes twice": scaled(times, "steps", gpu_steps, 2.0),
        "a GPU pod starts five times slower": scaled(times, "pod_start", ["gpu"], 5.0),
        "a task costs half": scaled(times, "airflow", times["airflow"], 0.5),
    }
    return {
        "orders": orders,
        "hours": hours,
        "servers": answer.servers,
        "through_after_h": round(answer.hours, 2),
        "use": {name: round(value, 3) for name, value in sorted(answer.use.items())},
        "orders_at_once": answer.at_once,
        "seconds_of_each_per_order": {name: round(value, 1) for name, value in sorted(demand(route).items())},
        "next_bottleneck": answer.next_bottleneck,
        "orders_a_night_with_one_of_each": {name: limits(route, hours, one_of_each)[name] for name in CONTROL},
        "first_to_give_way_with_one_of_each": worst,
        "reviewers_by_day_8_h": math.ceil(orders * times["review"]["seconds"] / (8 * HOUR)),
        "by_the_work_alone": _needs(route, orders, hours),
        "sensitivity": {
            name: _needs(order_route(changed, gpu_steps), orders, hours) for name, changed in changes.items()
        },
        "assumed": sorted(
            name for part in ("steps", "pod_start", "airflow") for name, row in times[part].items()
            if row["how"] == "assumed"
        ),
    }  # fmt: skip


def _needs(route: Route, orders: int, hours: float) -> dict[str, int]:
    """GPUs, workers and schedulers by the work alone: enough for telling how the answer moves."""
    need = demand(route)
    return {name: math.ceil(orders * need[name] / (hours * HOUR) / BUSY_AT_MOST) for name in (GPU, WORKER, SCHEDULER)}


def main() -> int:
    """Print the answer."""
    reader = argparse.ArgumentParser(description="What a night needs; see the module's text.")
    reader.add_argument("--orders", type=int, default=10_000)
    reader.add_argument("--hours", type=float, default=10.0)
    reader.add_argument("--seed", type=int, default=8)
    asked = reader.parse_args()
    print(json.dumps(report(asked.orders, asked.hours, seed=asked.seed), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
