"""The night's simulation against queueing theory, and its answers against arithmetic."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.production.graph import INPUTS, sources
from tests.bench import night_model
from tests.bench.night_model import (
    CONTROL,
    GPU,
    WAY,
    WORKER,
    Route,
    Task,
    demand,
    limits,
    longest_path,
    order_route,
    read_times,
    scaled,
    simulate,
    smallest_house,
    spread,
)

GPU_STEPS = ("train_face", "train_voice")


def poisson(rate: float, count: int, seed: int) -> list[float]:
    chance, now, found = random.Random(seed), 0.0, []
    for _ in range(count):
        now += chance.expovariate(rate)
        found.append(now)
    return found


def one_visit(seconds: float, station: str = "desk") -> Route:
    return (Task("only", (), ((station, seconds),)),)


class TestQueueingTheory:
    COUNT = 20_000

    @pytest.mark.parametrize("load", [0.5, 0.7])
    def test_one_server_with_fixed_service_waits_as_pollaczek_and_khinchin_say(self, load: float) -> None:
        found = simulate(poisson(load, self.COUNT, 1), [one_visit(1.0)] * self.COUNT, {"desk": 1})
        assert found.waited["desk"] / self.COUNT == pytest.approx(load / (2 * (1 - load)), rel=0.08)

    @pytest.mark.parametrize("load", [0.5, 0.7])
    def test_one_server_with_exponential_service(self, load: float) -> None:
        chance = random.Random(5)
        found = simulate(
            poisson(load, self.COUNT, 2), [one_visit(1.0)] * self.COUNT, {"desk": 1},
            draw=lambda mean: chance.expovariate(1 / mean),
        )  # fmt: skip
        assert found.waited["desk"] / self.COUNT == pytest.approx(load / (1 - load), rel=0.15)

    def test_several_servers_wait_as_erlang_says(self) -> None:
        chance, offered = random.Random(6), 1.6  # on two servers: C(2, 1.6) = 32/45, so the mean wait is 16/9
        found = simulate(
            poisson(offered, self.COUNT, 3), [one_visit(1.0)] * self.COUNT, {"desk": 2},
            draw=lambda mean: chance.expovariate(1 / mean),
        )  # fmt: skip
        assert found.waited["desk"] / self.COUNT == pytest.approx(32 / 45 / (2 - offered), rel=0.15)

    def test_littles_law(self) -> None:
        route = (
            Task("a", (), (("desk", 0.5), ("bench", 1.0))),
            Task("b", (0,), (("bench", 0.7),)),
            Task("c", (0,), (("desk", 0.2),)),
            Task("d", (1, 2), (("desk", 0.1),)),
        )
        count = 3000
        found = simulate(poisson(0.8, count, 4), [route] * count, {"desk": 1, "bench": 2}, draw=spread(1))
        assert found.finished == count
        assert found.present == pytest.approx(found.sojourn, rel=1e-9)

    def test_use_is_arrival_rate_times_service_time(self) -> None:
        found = simulate(poisson(0.6, self.COUNT, 7), [one_visit(1.0)] * self.COUNT, {"desk": 1})
        assert found.use({"desk": 1})["desk"] == pytest.approx(0.6, rel=0.03)


class TestTheWay:
    def test_tasks_begin_when_what_they_need_is_done(self) -> None:
        route = (
            Task("a", (), (("desk", 1.0),)),
            Task("b", (0,), (("desk", 2.0),)),
            Task("c", (0,), (("desk", 5.0),)),
            Task("d", (1, 2), (("desk", 1.0),)),
        )
        assert simulate([0.0], [route], {"desk": 9}).end == pytest.approx(7.0)
        assert simulate([0.0], [route], {"desk": 1}).end == pytest.approx(9.0)
        assert longest_path(route) == pytest.approx(7.0)

    def test_no_more_orders_inside_than_the_batch_lets_in(self) -> None:
        routes = [one_visit(1.0)] * 6
        assert simulate([0.0] * 6, routes, {"desk": 6}, at_once=2).end == pytest.approx(3.0)
        assert simulate([0.0] * 6, routes, {"desk": 6}).end == pytest.approx(1.0)

    def test_every_order_is_finished_and_every_visit_served(self) -> None:
        route = order_route(read_times(), GPU_STEPS)
        servers = dict.fromkeys(demand(route), 3)
        found = simulate([0.0] * 20, [route] * 20, servers, draw=spread(2))
        assert found.finished == 20
        assert sum(found.served.values()) == 20 * sum(len(task.visits) for task in route)

    def test_the_same_seed_gives_the_same_night(self) -> None:
        ends = {simulate([0.0] * 50, [one_visit(1.0)] * 50, {"desk": 2}, draw=spread(4)).end for _ in range(2)}
        assert len(ends) == 1

    def test_a_station_without_a_server_is_named(self) -> None:
        with pytest.raises(ValueError, match="only: no server for desk"):
            simulate([0.0], [one_visit(1.0)], {"bench": 1})

    def test_a_task_cannot_wait_for_a_later_one(self) -> None:
        route = (Task("a", (1,), (("desk", 1.0),)), Task("b", (), (("desk", 1.0),)))
        with pytest.raises(ValueError, match="later"):
            simulate([0.0], [route], {"desk": 1})


class TestTheHouse:
    def test_the_way_keeps_the_order_of_the_graph(self) -> None:
        before: dict[str, set[str]] = {}
        for name, needs in WAY:
            before[name] = set(needs).union(*(before[need] for need in needs)) if needs else set()
        assert set(INPUTS) <= set(before)
        assert all(set(sources(step)) <= before[step] for step in INPUTS)

    def test_the_way_is_the_one_of_the_dag(self) -> None:
        text = (Path(night_model.__file__).parents[2] / "dags" / "memorial_order.py").read_text("utf-8")
        tasks = re.findall(r'= (?:step|act_task)\(\s*"(\w+)"', text)
        reviews = re.findall(r'= review\("(\w+)"(.*second=True)?', text)
        tasks += [f"review_{point}{'_second' if second else ''}" for point, second in reviews if point == "film"]
        assert sorted(tasks) == sorted(name for name, _ in WAY)

    def test_a_step_pays_airflow_twice_and_its_pod_once(self) -> None:
        times = read_times()
        need = demand(order_route(times, GPU_STEPS))
        slices = sum(2 if name in INPUTS else 1 for name, _ in WAY)
        assert need[WORKER] == pytest.approx(slices * times["airflow"]["worker"]["seconds"])
        training = sum(times["steps"][step]["seconds"] for step in GPU_STEPS)
        assert need[GPU] == pytest.approx(training + 2 * times["pod_start"]["gpu"]["seconds"])

    def test_the_answer_is_through_in_time_and_holds_no_less_than_the_work(self) -> None:
        route, orders, hours = order_route(read_times(), GPU_STEPS), 40, 3.0
        answer = smallest_house(route, orders, hours)
        assert answer.hours <= hours
        work = demand(route)
        assert all(answer.servers[name] * hours * 3600 >= orders * seconds for name, seconds in work.items())
        assert all(0 < share <= 1 for share in answer.use.values())
        assert answer.next_bottleneck in CONTROL

    def test_a_night_too_short_for_one_order_is_refused(self) -> None:
        with pytest.raises(ValueError, match="longer than the night"):
            smallest_house(order_route(read_times(), GPU_STEPS), 1, 0.1)

    def test_twice_the_training_needs_about_twice_the_gpus(self) -> None:
        times = read_times()
        slow = scaled(times, "steps", GPU_STEPS, 2.0)
        once, twice = (demand(order_route(one, GPU_STEPS))[GPU] for one in (times, slow))
        assert 1.8 < twice / once < 2
        assert times == read_times()

    def test_the_limits_say_what_one_server_can_do(self) -> None:
        assert limits(one_visit(2.0), 1.0, {"desk": 3}) == {"desk": 5400}


class TestStepTimes:
    def written(self, folder: Path, **changes: Any) -> Path:
        path = folder / "times.json"
        path.write_text(json.dumps(read_times() | changes))
        return path

    def test_a_step_without_a_time_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"no time for .*train_face"):
            read_times(self.written(tmp_path, steps={}))

    def test_every_time_says_whether_it_was_measured(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="how"):
            read_times(self.written(tmp_path, pod_start={"gpu": {"seconds": 1, "how": "guessed"}}))
