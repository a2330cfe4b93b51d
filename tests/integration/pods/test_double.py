"""The double behaves like a cluster where the other tests rely on it; and the sweep finds what nobody else removed."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from memorial_tasks.airflow.pod_sweep import sweep
from memorial_tasks.airflow.pods import TICKET
from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.production.studio import Studio
from memorial_tasks.settings import Settings
from memorial_tasks.steps.runner import Ticket
from tests.integration.production.conftest import until
from tests.support.noop_orders import place
from tests.support.pod_studio import NAMESPACE, TOKEN, RunningCluster

pytestmark = pytest.mark.integration

SAY = "import os, sys; print(sorted(os.environ), os.getcwd(), open('/secret/key').read()); sys.exit(7)"
WAIT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print("up", flush=True)
time.sleep(60)
"""
DEAF = WAIT.replace("lambda *_: sys.exit(5)", "signal.SIG_IGN")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    running = RunningCluster(tmp_path / "cluster", gpus=1)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def core(cluster: RunningCluster) -> client.CoreV1Api:
    return interface(cluster, TOKEN)


def interface(cluster: RunningCluster, token: str) -> client.CoreV1Api:
    settings = client.Configuration(
        host=f"http://127.0.0.1:{cluster.port}", api_key={"authorization": f"Bearer {token}"}
    )
    settings.proxy = None
    return client.CoreV1Api(client.ApiClient(settings))


def pod(name: str, script: str, *, gpu: bool = False, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "base", "image": "x", "command": ["python", "-c", script], "env": [{"name": "GIVEN", "value": "1"}],
        "volumeMounts": [{"name": "secret", "mountPath": "/secret"}],
    }  # fmt: skip
    if gpu:
        container["resources"] = {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}}
    volumes = [{"name": "secret", "secret": {"secretName": name}}]
    body = {"restartPolicy": "Never", "containers": [container], "volumes": volumes} | spec
    labels = {"app.kubernetes.io/name": "memorial-step"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": body}


def run(core: client.CoreV1Api, body: dict[str, Any]) -> None:
    """Create the pod, then its secret."""
    made = core.create_namespaced_pod(NAMESPACE, body)
    owner = client.V1OwnerReference(api_version="v1", kind="Pod", name=made.metadata.name, uid=made.metadata.uid)
    meta = client.V1ObjectMeta(name=made.metadata.name, owner_references=[owner])
    data = {"key": base64.b64encode(b"a key").decode()}
    core.create_namespaced_secret(NAMESPACE, client.V1Secret(metadata=meta, data=data))


def phase(core: client.CoreV1Api, name: str) -> str:
    try:
        return str(core.read_namespaced_pod(name, NAMESPACE).status.phase)
    except ApiException as error:
        return "gone" if error.status == 404 else str(error.status)


def reaches(core: client.CoreV1Api, name: str, wanted: str, seconds: float = 20) -> None:
    assert until(lambda: phase(core, name) == wanted, seconds, 0.1), phase(core, name)


def said(core: client.CoreV1Api, name: str) -> str:
    """The pod's log; empty while there is none."""
    try:
        answer = core.read_namespaced_pod_log(name, NAMESPACE, _preload_content=False)
    except ApiException:
        return ""
    return str(answer.data.decode())


def has_secret(core: client.CoreV1Api, name: str) -> bool:
    try:
        core.read_namespaced_secret(name, NAMESPACE)
    except ApiException:
        return False
    return True


def test_a_command_runs_with_the_pods_environment_and_files_and_its_exit_status_is_kept(core: client.CoreV1Api) -> None:
    run(core, pod("says", SAY))
    reaches(core, "says", "Failed")
    text = said(core, "says")
    assert "'GIVEN'" in text
    assert "a key" in text
    assert not any(word in text for word in ("MEMORIAL_", "AIRFLOW", "AWS_"))
    (status,) = core.read_namespaced_pod("says", NAMESPACE).status.container_statuses
    assert status.state.terminated.exit_code == 7


def test_a_pod_waits_for_its_secret_and_the_secret_goes_with_it(core: client.CoreV1Api) -> None:
    core.create_namespaced_pod(NAMESPACE, pod("waits", WAIT))
    time.sleep(0.5)
    assert phase(core, "waits") == "Pending"
    run(core, pod("owner", WAIT))
    reaches(core, "owner", "Running")
    core.delete_namespaced_pod("owner", NAMESPACE)
    reaches(core, "owner", "gone")
    assert not has_secret(core, "owner")


def test_deletion_asks_first_and_kills_later(core: client.CoreV1Api, cluster: RunningCluster) -> None:
    run(core, pod("polite", WAIT))
    run(core, pod("deaf", DEAF))
    for name in ("polite", "deaf"):
        reaches(core, name, "Running")
        assert until(lambda n=name: "up" in said(core, n), 10)
        core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=1)
    for name in ("polite", "deaf"):
        reaches(core, name, "gone")
    codes = {event["name"]: event["code"] for event in cluster.history("ended")}
    assert codes == {"polite": 5, "deaf": 137}


def test_a_second_gpu_pod_waits_and_a_deadline_ends_the_first(core: client.CoreV1Api) -> None:
    run(core, pod("first", WAIT, gpu=True, activeDeadlineSeconds=2))
    run(core, pod("second", WAIT, gpu=True))
    reaches(core, "first", "Running")
    assert phase(core, "second") == "Pending"
    reaches(core, "first", "Failed")
    assert core.read_namespaced_pod("first", NAMESPACE).status.reason == "DeadlineExceeded"
    reaches(core, "second", "Running")


@pytest.mark.parametrize("forget", [False, True])
def test_pods_go_on_while_the_api_restarts_and_end_when_it_forgot_them(
    core: client.CoreV1Api, cluster: RunningCluster, forget: bool
) -> None:
    run(core, pod("works", WAIT))
    reaches(core, "works", "Running")
    assert until(lambda: cluster.state()["pods"]["works"]["pid"], 10)
    pid = cluster.state()["pods"]["works"]["pid"]
    cluster.kill()
    assert Path(f"/proc/{pid}").exists()
    if forget:
        cluster.forget()
    cluster.start()
    assert phase(core, "works") == ("gone" if forget else "Running")
    assert until(lambda: Path(f"/proc/{pid}").exists() is not forget, 5)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda core: core.list_namespaced_secret(NAMESPACE), 403),
        (lambda core: core.create_namespaced_pod(NAMESPACE, pod("Bad_Name", WAIT)), 422),
        (lambda core: core.create_namespaced_pod(NAMESPACE, pod("no-volume", WAIT, volumes=[])), 422),
    ],
)
def test_what_a_cluster_refuses_is_refused(core: client.CoreV1Api, call: Callable[[Any], Any], code: int) -> None:
    with pytest.raises(ApiException) as refused:
        call(core)
    assert refused.value.status == code


def test_a_stranger_is_turned_away(cluster: RunningCluster) -> None:
    with pytest.raises(ApiException) as refused:
        interface(cluster, "another").list_namespaced_pod(NAMESPACE)
    assert refused.value.status == 401


def test_the_sweep_ends_what_was_stopped_and_takes_secrets_of_what_is_over(
    core: client.CoreV1Api, database: str, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home", database_url=database, step_runner="kubernetes")
    studio = Studio.open(settings)
    for order in ("sweep-works", "sweep-stopped", "sweep-over"):
        place(studio, order)
    with studio.transaction() as connection:
        registry.set_state(connection, "sweep-stopped", OrderState.WITHDRAWN, allowed_from=list(OrderState))
    for order, script in (("sweep-works", WAIT), ("sweep-stopped", WAIT), ("sweep-over", "pass")):
        body = pod(order, script)
        body["metadata"]["annotations"] = {TICKET: json.dumps(Ticket(order, "ingest", "k", "c", "p", "q").dump())}
        run(core, body)
    reaches(core, "sweep-works", "Running")
    reaches(core, "sweep-stopped", "Running")
    reaches(core, "sweep-over", "Succeeded")
    assert sweep(studio, core) == {"pods": 1, "secrets": 2}
    reaches(core, "sweep-stopped", "gone")
    assert phase(core, "sweep-works") == "Running"
    assert phase(core, "sweep-over") == "Succeeded"
    assert [has_secret(core, name) for name in ("sweep-works", "sweep-stopped", "sweep-over")] == [True, False, False]
    assert sweep(Studio.open(settings.model_copy(update={"step_runner": "local"})), core) == {}
