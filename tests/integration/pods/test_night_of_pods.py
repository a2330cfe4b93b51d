"""A nightly batch through pods, unattended: good orders reach their review, broken ones are named and cost nobody else.

One good order keeps it short; ``python -m tests.bench pods`` runs the night of twenty with three broken ones.
"""

import pytest

from tests.support.pod_night import Night, place_orders, run_night
from tests.support.pod_studio import PodStudio

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def night(studio: PodStudio) -> Night:
    place_orders(studio, 1)
    return run_night(studio, 900)


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


def test_the_good_order_went_through_one_pod_a_step(night: Night, studio: PodStudio) -> None:
    from memorial_tasks.steps.contract import STEPS

    rows = studio.order_steps("night-01")
    assert set(rows) == set(STEPS)
    assert all(row["state"] == "done" and row["attempts"] == 1 for row in rows.values())
    made = [
        event["manifest"]["metadata"]["labels"]["memorial.studio/step"]
        for event in studio.cluster.history("created")
        if event["manifest"]["metadata"]["labels"]["memorial.studio/order"] == "night-01"
    ]
    assert sorted(made) == sorted(STEPS)


def test_nothing_is_left_on_the_cluster_but_the_pod_that_refused(night: Night, studio: PodStudio) -> None:
    state = studio.cluster.state()
    left = {pod["labels"]["memorial.studio/order"] for pod in state["pods"].values() if not pod["deleting"]}
    assert left & {"night-01", "night-too-few", "night-unreadable"} <= {"night-unreadable"}
    assert state["secrets"] == []


def test_training_waited_in_the_pool_of_the_gpus(night: Night, studio: PodStudio) -> None:
    with studio.airflow() as airflow:
        run_id = str(studio.memorial("order", "show", "night-01")["run_id"])
        pools = {task["task_id"]: task["pool"] for task in airflow.tasks("memorial_order", run_id)}
        assert airflow.slots("gpu") == studio.settings.gpu_slots
    assert {task for task, pool in pools.items() if pool == "gpu"} == {"train_face"}
