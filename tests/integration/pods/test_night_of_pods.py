"""A nightly batch through pods, unattended: good orders reach their review, broken ones are named and cost nobody else,
although triggerer, scheduler and database are killed on the way.

One good order keeps it short; ``python -m tests.bench pods`` runs the night of twenty with three broken ones, and
``python -m tests.bench.soak`` the night of five hundred under twenty kills.
"""

from random import Random

import pytest

from memorial_tasks.production.graph import INPUTS, sources
from memorial_tasks.production.studio import Studio
from tests.bench.soak import Meter, Trouble, entries, standings
from tests.bench.verdict import Kill, judge
from tests.support.pod_night import Night, place_orders, run_night
from tests.support.pod_studio import PodStudio, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def kills() -> list[Kill]:
    """What was killed in the night, and when."""
    return []


@pytest.fixture(scope="module")
def night(studio: PodStudio, kills: list[Kill]) -> Night:
    place_orders(studio, 1)
    trouble = Trouble(studio.home, Meter(studio.home), Random(8))

    def harm(kind: str) -> None:
        kills.append(trouble.do(kind))

    return run_night(studio, 900, [lambda kind=kind: harm(kind) for kind in ("triggerer", "scheduler", "database")])


def test_every_order_has_an_end_of_its_own(night: Night) -> None:
    assert night.states() == {
        "night-01": "in_review",
        "night-unreadable": "blocked",
        "night-too-few": "blocked",
        "night-lost": "not_started",
    }


def test_the_broken_ones_are_named_with_stage_reason_and_next_action(night: Night) -> None:
    lines = {line["order"]: line for line in night.summary["orders"]}
    assert lines["night-unreadable"]["failed_stage"] == "ingest"
    assert lines["night-unreadable"]["reason_code"] == "photo.unreadable"
    assert lines["night-too-few"]["reason_code"].startswith(("quality", "photos"))
    assert lines["night-lost"]["reason_code"] == "material.lost"
    assert all(lines[order]["next_action"] for order in lines if order != "night-01")


def test_the_good_order_went_through_a_pod_for_every_step(night: Night, studio: PodStudio) -> None:
    from memorial_tasks.steps.contract import STEPS

    rows = studio.order_steps("night-01")
    assert set(rows) == set(STEPS)
    assert {row["state"] for row in rows.values()} == {"done"}
    made = [
        event["manifest"]["metadata"]["labels"]["memorial.studio/step"]
        for event in studio.cluster.history("created")
        if event["manifest"]["metadata"]["labels"]["memorial.studio/order"] == "night-01"
    ]
    assert set(made) == set(STEPS)


def test_what_was_killed_meanwhile_lost_nothing_and_doubled_nothing(
    night: Night, kills: list[Kill], studio: PodStudio
) -> None:
    assert [kill.what for kill in kills] == ["triggerer", "scheduler", "database"]
    opened = Studio.open(studio.settings)
    graph = {step: sources(step) for step in INPUTS}
    verdict = judge(["night-01"], {"night-01": standings(opened)["night-01"]}, entries(opened), kills, graph)
    assert (verdict.lost, verdict.doubled, verdict.disordered) == ((), (), ())
    assert len(verdict.unfinished) == 1  # in review: nobody has answered


def test_nothing_is_left_on_the_cluster_but_pods_that_ended(night: Night, studio: PodStudio) -> None:
    """A kill may fall between a pod's end and its deletion: it stays for a day, its secret until the next watch."""
    with studio.airflow() as airflow:
        airflow.trigger("memorial_consent_watch", "after-the-night", {})
        wait_until(lambda: airflow.over("memorial_consent_watch", "after-the-night"), 180, "the watch did not end")
    state = studio.cluster.state()
    orders = {"night-01", "night-too-few", "night-unreadable"}
    left = [pod for pod in state["pods"].values() if pod["labels"]["memorial.studio/order"] in orders]
    found = {(pod["labels"]["memorial.studio/order"], pod["phase"]) for pod in left if not pod["deleting"]}
    assert found <= {("night-unreadable", "Failed")} | {(order, "Succeeded") for order in orders}
    assert state["secrets"] == []


def test_training_waited_in_the_pool_of_the_gpus(night: Night, studio: PodStudio) -> None:
    with studio.airflow() as airflow:
        run_id = str(studio.memorial("order", "show", "night-01")["run_id"])
        pools = {task["task_id"]: task["pool"] for task in airflow.tasks("memorial_order", run_id)}
        assert airflow.slots("gpu") == studio.settings.gpu_slots
    assert {task for task, pool in pools.items() if pool == "gpu"} == {"train_face"}
