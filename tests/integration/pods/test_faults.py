"""Pods that end badly, through a real scheduler and triggerer: what is retried, what is not, and what is left behind.

All stories run side by side in one studio, because a studio takes half a minute to start and the stories mostly wait.
"""

import time
from dataclasses import dataclass
from typing import Any

import pytest

from memorial_tasks.database import registry
from memorial_tasks.production import orders
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.production.steps import run_step
from memorial_tasks.production.studio import Studio, Who, command_actor
from tests.support.noop_orders import PHOTO
from tests.support.pod_studio import PodStudio, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

INTERRUPTED, STEADY = (b"train until resumed", PHOTO), (b"train 14 seconds", PHOTO)
BEFORE_TRAINING = ("ingest", "quality_gate", "prepare_face")


def made_ready(studio: PodStudio, order: str, *photos: bytes, step: str = "train_face") -> str:
    """Place an order and do here what comes before `step`; returns the id of the run that is to do the step."""
    studio.place(order, *photos)
    opened = Studio.open(studio.settings)
    run_id = orders.restart(opened, order, command_actor(studio.settings))
    orders.begin(opened, order, Who("service", "test", f"only_{step}", run_id, "begin", 1))
    for earlier in BEFORE_TRAINING if step == "train_face" else ():
        run_step(opened, order, earlier, Who("service", "test"))
    return run_id


def start(studio: PodStudio, order: str, step: str = "train_face") -> None:
    """Run the DAG of the step alone."""
    with studio.airflow() as airflow:
        airflow.trigger(f"only_{step}", f"{order}--1", {"order": order})


def _working(studio: PodStudio, order: str) -> str:
    """Wait until a pod trains and has saved once; returns its name."""
    found: list[str] = []

    def trains() -> bool:
        name = studio.cluster.running(order, "train_face")
        found[:] = [name] if name and studio.has_checkpoint(order, "train_face") else []
        return bool(found)

    wait_until(trains, 180, f"{order} never trained: {studio.cluster.state()['pods']}")
    return found[0]


def _state(studio: PodStudio, order: str, step: str) -> str:
    opened = Studio.open(studio.settings)
    with opened.transaction() as connection:
        row = registry.latest_step(connection, order, step)
    return row.state if row else ""


def _withdraw(studio: PodStudio, order: str, pod: str) -> dict[str, Any]:
    """Withdraw consent, stop the run as the watch does, wait for the pod to go; what the cluster looks like then."""
    run_id = str(studio.memorial("order", "show", order)["run_id"])
    studio.memorial("consent", "withdraw", order, expect=None)
    with studio.airflow() as airflow:
        airflow.stop_run("only_train_face", run_id, "stopped by the consent watch")
    wait_until(lambda: pod not in studio.cluster.state()["pods"], 90, "the withdrawn order's pod works on")
    return studio.cluster.state()


@dataclass
class Stories:
    """What became of each order, and what the cluster saw."""

    rows: dict[str, dict[str, Any]]
    shown: dict[str, dict[str, Any]]
    first: dict[str, str]
    at_withdrawal: dict[str, Any]


@pytest.fixture(scope="module")
def stories(studio: PodStudio) -> Stories:
    cluster, first = studio.cluster, {}

    def working(order: str) -> str:
        return _working(studio, order)

    def trained(*orders_: str) -> None:
        for order in orders_:
            wait_until(lambda o=order: _state(studio, o, "train_face") == "done", 240, f"{order} was not trained")

    cluster.ask("faults", lose_logs=True)  # from the first pod to the last: no log is ever read
    for order in ("pod-evicted", "pod-vanished", "pod-withdrawn", "pod-forgotten"):
        made_ready(studio, order, *INTERRUPTED)
    for order in ("pod-cut-off", "pod-restarted"):
        made_ready(studio, order, *STEADY)
    made_ready(studio, "pod-refused", b"unreadable", PHOTO, step="ingest")
    made_ready(studio, "pod-plain", step="ingest")

    for order in ("pod-evicted", "pod-vanished", "pod-withdrawn"):
        start(studio, order)
    for order in ("pod-refused", "pod-plain"):
        start(studio, order, "ingest")
    for order, fault in (("pod-evicted", "evict"), ("pod-vanished", "vanish")):
        first[order] = working(order)
        cluster.ask(fault, name=first[order])
    first["pod-withdrawn"] = working("pod-withdrawn")
    at_withdrawal = _withdraw(studio, "pod-withdrawn", first["pod-withdrawn"])
    trained("pod-evicted", "pod-vanished")

    for order in ("pod-cut-off", "pod-restarted"):
        start(studio, order)
    for order in ("pod-cut-off", "pod-restarted"):
        first[order] = working(order)
    cluster.ask("network", seconds=5)
    time.sleep(5)
    cluster.kill()
    time.sleep(2)
    cluster.start()
    trained("pod-cut-off", "pod-restarted")

    start(studio, "pod-forgotten")
    first["pod-forgotten"] = working("pod-forgotten")
    cluster.kill()
    cluster.forget()
    cluster.start()
    trained("pod-forgotten")

    names = [*first, "pod-refused", "pod-plain"]
    shown = {order: studio.memorial("order", "show", order) for order in names}
    rows = {order: {row["step"]: row for row in shown[order]["steps"]} for order in names}
    return Stories(rows, shown, first, at_withdrawal)


def test_a_step_as_a_pod_ends_like_a_step_here(stories: Stories, studio: PodStudio) -> None:
    row = stories.rows["pod-plain"]["ingest"]
    assert row["state"] == "done"
    assert row["attempts"] == 1
    assert row["metrics"] == {"photos": 2, "recorded_s": 1.0}


def test_a_refusal_reaches_the_order_with_its_reason_and_is_not_tried_again(stories: Stories) -> None:
    """The pod's log was lost: the reason came through the vault."""
    order = stories.shown["pod-refused"]
    assert order["state"] == "blocked"
    assert order["reason_code"] == "photo.unreadable"
    assert "send it again" in order["reason"]
    assert stories.rows["pod-refused"]["ingest"]["attempts"] == 1


@pytest.mark.parametrize("order", ["pod-evicted", "pod-vanished"])
def test_an_evicted_training_resumes_from_its_checkpoint(stories: Stories, order: str) -> None:
    row = stories.rows[order]["train_face"]
    assert row["attempts"] == 2
    assert 0 < row["metrics"]["ticks_before"] <= row["metrics"]["ticks"]


@pytest.mark.parametrize("order", ["pod-cut-off", "pod-restarted"])
def test_a_lost_network_and_a_restarted_cluster_cost_no_try(stories: Stories, order: str) -> None:
    row = stories.rows[order]["train_face"]
    assert row["attempts"] == 1
    assert row["metrics"]["ticks_before"] == 0


def test_a_cluster_that_forgot_its_pods_is_given_them_again(stories: Stories) -> None:
    row = stories.rows["pod-forgotten"]["train_face"]
    assert row["attempts"] == 2
    assert row["metrics"]["ticks_before"] > 0


def test_withdrawal_ends_the_pod_at_work_and_takes_its_secret(stories: Stories) -> None:
    name = stories.first["pod-withdrawn"]
    assert name not in stories.at_withdrawal["pods"]
    assert name not in stories.at_withdrawal["secrets"]
    ended = [one for one in stories.at_withdrawal["history"] if one["name"] == name]
    assert {"started", "deletion asked", "ended"} <= {one["what"] for one in ended}
    assert stories.shown["pod-withdrawn"]["state"] == "withdrawn"
    assert stories.rows["pod-withdrawn"]["train_face"]["state"] != "done"


def test_no_secret_outlives_its_step(stories: Stories, studio: PodStudio) -> None:
    assert studio.cluster.state()["secrets"] == []


def test_every_secret_was_owned_by_its_one_pod(stories: Stories) -> None:
    made = [one for one in stories.at_withdrawal["history"] if one["what"] == "secret created"]
    assert made
    assert all(one["owners"] == [one["name"]] for one in made)


def test_no_key_is_in_any_manifest_log_or_table_of_airflow(stories: Stories, studio: PodStudio) -> None:
    """The subjects' keys, as bytes and as the text they travel in."""
    import base64

    from memorial_tasks.database.connection import rows

    opened = Studio.open(studio.settings)
    with opened.transaction() as connection:
        subjects = [
            row["subject_id"] for row in rows(connection, "SELECT subject_id FROM subject WHERE erased_at IS NULL")
        ]
    words = []
    for subject in subjects:
        key = opened.keyring.unwrap(subject)
        words += [base64.b64encode(key), key]
    assert words
    manifests = str([one.get("manifest") for one in stories.at_withdrawal["history"]]).encode()
    texts = [manifests, *(path.read_bytes() for path in (studio.home / "airflow").rglob("*.log")), studio.dump()]
    assert all(word not in text for word in words for text in texts)


def test_the_pods_the_cluster_got_were_hardened(stories: Stories) -> None:
    made = [one["manifest"] for one in stories.at_withdrawal["history"] if one["what"] == "created"]
    for pod in made:
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "@sha256:" in container["image"]
        assert {one["name"] for one in container["env"]} <= {"MEMORIAL_SCRATCH", "OMP_NUM_THREADS"}
        order = pod["metadata"]["labels"]["memorial.studio/order"]
        mounts = {one["name"]: one for one in container["volumeMounts"]}
        assert mounts["vault"]["subPath"] == f"orders/{order}"


def test_every_step_of_the_house_is_known_to_the_stories() -> None:
    """Keeps `BEFORE_TRAINING` honest: what training reads is made by it."""
    assert {"ingest", "quality_gate", "prepare_face"} == set(BEFORE_TRAINING) <= set(INPUTS)
