"""Every pod a step could run in, as it would be sent to the cluster: right by Kubernetes' schema, right beyond it, and
with nothing in it that a step does not need."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from memorial_tasks.errors import MemorialError
from memorial_tasks.production.remote import require_command, require_image, step_class
from memorial_tasks.settings import REPOSITORY, Settings
from memorial_tasks.steps.contract import STEPS
from memorial_tasks.steps.process import EXIT_PERMIT, EXIT_REFUSED
from memorial_tasks.steps.runner import Ticket
from tests.support.manifests import problems, quantity

pytestmark = pytest.mark.dags

KUBERNETES = "1.34"
IMAGE = "registry.example/memorial-worker@sha256:" + "ab" * 32
ORDER = "order-of-a-family"


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "step_runner": "kubernetes", "step_image": IMAGE, "store": "s3://studio/vault", "profile": "production",
    }  # fmt: skip
    return Settings(**given | changes)


def ticket(step: str) -> Ticket:
    return Ticket(ORDER, step, "c" * 64, "d" * 16, f"vault://orders/{ORDER}/{step}/{'c' * 32}", "permit-1")


def rendered(step: str, **changes: Any) -> dict[str, Any]:
    """The manifest of a step's pod, as JSON."""
    from kubernetes.client import ApiClient

    from memorial_tasks.airflow.pods import build, dressed

    chosen = settings(**changes)
    operator = build(step, display=step, minutes=60, settings=chosen)
    operator.cmds, operator.arguments = chosen.step_command.split(), [step, "--secrets-file", "/run/x"]
    pod = operator.build_pod_request_obj(context=None, dry_run=True)
    document = ApiClient().sanitize_for_serialization(dressed(pod, chosen, ticket(step), "sub-0123456789abcdef"))
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pods() -> dict[str, dict[str, Any]]:
    return {step: rendered(step) for step in STEPS}


STORES: list[dict[str, Any]] = [
    {},
    {"pod_queue": "studio"},
    {"store": "", "pod_vault_claim": "vault"},
    {"store": "", "pod_vault_path": "/srv/vault"},
]


@pytest.mark.parametrize("changes", STORES, ids=["bucket", "queue", "claim", "node-path"])
@pytest.mark.parametrize("step", ["train_face", "animate", "direct"], ids=["gpu", "cpu-heavy", "light"])
def test_the_manifest_is_right_by_schema_and_beyond_it(step: str, changes: dict[str, Any]) -> None:
    import kubernetes_validate

    pod = rendered(step, **changes)
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert problems(pod) == []


def test_every_step_has_a_manifest_without_a_fault(pods: dict[str, dict[str, Any]]) -> None:
    assert {step: problems(pod) for step, pod in pods.items() if problems(pod)} == {}


def _break(**at: Any) -> Callable[[dict[str, Any]], None]:
    def change(pod: dict[str, Any]) -> None:
        for path, value in at.items():
            place: Any = pod
            *way, last = path.split("__")
            for key in way:
                place = place[int(key)] if key.isdigit() else place[key]
            place[last] = value

    return change


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (_break(spec__containers__0__resources={"limits": {"memory": "8GiB"}}), "not a quantity"),
        (
            _break(spec__containers__0__resources={"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}}),
            "more than its limit",
        ),
        (_break(spec__volumes=[]), "no volume scratch"),
        (_break(spec__restartPolicy="Sometimes"), "restartPolicy"),
        (_break(metadata__name="Not_A_Name"), "DNS"),
        (_break(metadata__labels={"memorial.studio/order": "ends-with-"}), "is not a label"),
        (
            _break(spec__containers__0__resources={"requests": {"nvidia.com/gpu": "1"}, "limits": {}}),
            "must equal its limit",
        ),
    ],
)
def test_our_own_check_finds_what_the_schema_lets_through(fault: Callable[[Any], None], said: str) -> None:
    import kubernetes_validate

    pod = rendered("train_face")
    fault(pod)
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert any(said in problem for problem in problems(pod)), problems(pod)


def test_no_pod_can_do_more_than_its_step_needs(pods: dict[str, dict[str, Any]]) -> None:
    for step, pod in pods.items():
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["restartPolicy"] == "Never", step
        assert spec["automountServiceAccountToken"] is False, step
        assert spec["serviceAccountName"] == "memorial-step", step
        assert spec["securityContext"]["runAsNonRoot"] is True, step
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, step
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, step
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, step
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, step
        assert not spec.get("hostNetwork"), step
        assert spec["activeDeadlineSeconds"] == 3600, step
        assert pod["metadata"]["labels"]["memorial.studio/plane"] == "data", step


def test_everything_that_can_be_written_is_memory(pods: dict[str, dict[str, Any]]) -> None:
    for step, pod in pods.items():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert {mount["mountPath"] for mount in writable} == {"/scratch", "/tmp"}, step
        assert all(volumes[mount["name"]]["emptyDir"]["medium"] == "Memory" for mount in writable), step
        room = sum(quantity(volumes[mount["name"]]["emptyDir"]["sizeLimit"]) for mount in writable)
        assert room < quantity(container["resources"]["limits"]["memory"]), step


def test_a_pod_has_one_secret_of_its_own_and_none_in_its_environment(pods: dict[str, dict[str, Any]]) -> None:
    for step, pod in pods.items():
        (secret,) = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        assert secret == {"secretName": pod["metadata"]["name"], "defaultMode": 0o400}, step
        (container,) = pod["spec"]["containers"]
        assert not container.get("envFrom"), step
        assert {item["name"] for item in container["env"]} == {"MEMORIAL_SCRATCH", "OMP_NUM_THREADS"}, step
        assert all("valueFrom" not in item for item in container["env"]), step


def test_the_secret_is_owned_by_its_pod_and_cannot_be_changed() -> None:
    from kubernetes.client import ApiClient, V1ObjectMeta, V1Pod

    from memorial_tasks.airflow.pods import secret_of

    pod = V1Pod(metadata=V1ObjectMeta(name="step-x-1", namespace="memorial-steps", uid="u-1"))
    secret = ApiClient().sanitize_for_serialization(secret_of(pod, b"{}"))
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "step-x-1", "u-1")
    assert secret["metadata"]["name"] == "step-x-1"
    assert secret["immutable"] is True


def test_only_training_asks_for_a_gpu_and_a_node_that_has_one(pods: dict[str, dict[str, Any]]) -> None:
    asking = {
        step for step, pod in pods.items() if "nvidia.com/gpu" in pod["spec"]["containers"][0]["resources"]["limits"]
    }
    assert asking == {"train_face"}
    for step in asking:
        spec = pods[step]["spec"]
        assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_a_vault_in_a_folder_is_mounted_for_one_order_only() -> None:
    pod = rendered("ingest", store="", pod_vault_claim="vault")
    (mount,) = [one for one in pod["spec"]["containers"][0]["volumeMounts"] if one["name"] == "vault"]
    assert mount == {"name": "vault", "mountPath": f"/vault/orders/{ORDER}", "subPath": f"orders/{ORDER}"}


def test_a_vault_in_a_bucket_is_mounted_nowhere(pods: dict[str, dict[str, Any]]) -> None:
    assert {volume["name"] for pod in pods.values() for volume in pod["spec"]["volumes"]} == {
        "scratch",
        "tmp",
        "secrets",
    }


def test_the_queue_is_named_only_where_there_is_one() -> None:
    assert rendered("direct", pod_queue="studio")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "studio"
    assert "kueue.x-k8s.io/queue-name" not in rendered("direct")["metadata"]["labels"]


@pytest.mark.parametrize("image", ["registry.example/memorial-worker:latest", "memorial-worker", ""])
def test_production_refuses_an_image_that_can_change(image: str) -> None:
    with pytest.raises(MemorialError, match="image"):
        require_image(settings(step_image=image))
    assert require_image(settings(step_image=IMAGE)) == IMAGE


def test_production_runs_no_stand_in_for_a_step() -> None:
    with pytest.raises(MemorialError, match="MEMORIAL_STEP_COMMAND"):
        require_command(settings(step_command="python -m tests.support.noop_steps"))
    assert require_command(settings(step_command="nice python -m memorial_tasks.steps"))[0] == "nice"
    assert require_command(settings(profile="development", step_command="anything else")) == ["anything", "else"]


def test_the_operator_waits_without_a_worker_and_holds_its_gpu() -> None:
    from memorial_tasks.airflow.pods import build
    from memorial_tasks.airflow.retries import POLICY

    for step in STEPS:
        operator = build(step, display=step, minutes=60, settings=settings())
        assert operator.deferrable is True
        assert operator.durable is True
        assert operator.do_xcom_push is False
        assert operator.on_finish_action.value == "delete_succeeded_pod"
        assert operator.on_kill_action.value == "delete_pod"
        assert operator.startup_timeout_seconds >= 1200
        assert operator.schedule_timeout_seconds >= 1200
        assert operator.retry_policy is POLICY
        assert operator.pool == ("gpu" if step_class(settings(), step) == "gpu" else "default_pool")


def test_the_pool_of_the_gpus_counts_tasks_that_wait() -> None:
    """Otherwise a deferred task frees its slot while its pod still holds the GPU."""
    source = (REPOSITORY / "memorial_tasks" / "production" / "setup.py").read_text()
    assert '"pools", "set", "gpu"' in source
    assert "--include-deferred" in source


def test_the_trigger_can_be_stored_and_taken_up_again() -> None:
    from datetime import UTC, datetime

    from airflow.sdk.module_loading import import_string

    from memorial_tasks.airflow.pod_trigger import StepPodTrigger

    given = StepPodTrigger(
        pod_name="p", pod_namespace="n", trigger_start_time=datetime.now(UTC), base_container_name="base",
        patience=60.0, renew_at=1.5, renew_seconds=3600, trigger_kwargs={"ticket": ticket("ingest").dump()},
    )  # fmt: skip
    path, kwargs = given.serialize()
    again = import_string(path)(**kwargs)
    assert type(again) is StepPodTrigger
    assert again.serialize() == (path, kwargs)


class TestHowAPodEnded:
    """What its status says about the step: a refusal, an error that may pass, or nothing at all."""

    @staticmethod
    def pod(phase: str, *, code: int | None = None, reason: str = "", why: str = "", condition: str = "") -> Any:
        from kubernetes.client import models as k8s

        state = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code or 0, reason=why))
        statuses = [
            k8s.V1ContainerStatus(name="base", image="", image_id="", ready=False, restart_count=0, state=state)
        ]
        conditions = [k8s.V1PodCondition(type=condition, status="True", reason="PreemptionByScheduler")]
        return k8s.V1Pod(
            status=k8s.V1PodStatus(
                phase=phase, reason=reason or None, container_statuses=statuses if code is not None else None,
                conditions=conditions if condition else None,
            )
        )  # fmt: skip

    @pytest.mark.parametrize("code", [0, EXIT_REFUSED, EXIT_PERMIT, 5, 137])
    def test_the_exit_status_is_taken_as_it_is(self, code: int) -> None:
        from memorial_tasks.airflow.pods import how_it_ended

        assert how_it_ended(self.pod("Failed" if code else "Succeeded", code=code)).code == code

    @pytest.mark.parametrize(
        "given",
        [
            {"phase": "Failed", "reason": "Evicted", "code": 137},
            {"phase": "Failed", "reason": "NodeShutdown", "code": 3},
            {"phase": "Failed", "code": 143, "condition": "DisruptionTarget"},
            {"phase": "Failed", "reason": "DeadlineExceeded"},
            {"phase": "Unknown"},
        ],
    )
    def test_what_came_from_outside_says_nothing_about_the_step(self, given: dict[str, Any]) -> None:
        from memorial_tasks.airflow.pods import how_it_ended

        ended = how_it_ended(self.pod(**given))
        assert ended.code is None
        assert ended.lost

    def test_a_pod_that_is_gone_says_nothing(self) -> None:
        from memorial_tasks.airflow.pods import how_it_ended

        assert how_it_ended(None).code is None

    def test_too_little_memory_is_named(self) -> None:
        from memorial_tasks.airflow.pods import how_it_ended

        ended = how_it_ended(self.pod("Failed", code=137, why="OOMKilled"))
        assert ended.event is not None
        assert "memory" in ended.event["what"]


def test_only_the_steps_own_words_reach_airflows_log() -> None:
    from memorial_tasks.airflow.pod_trigger import protocol_line

    assert protocol_line('{"progress": 0.5, "message": "photos"}') == " 50 % photos"
    assert protocol_line('2026-01-01T00:00:00Z {"progress": 1.0, "message": "done"}') == "100 % done"
    assert (
        protocol_line('{"error": "StepFailed", "what": "no space", "where": "x.py:1"}') == "StepFailed: no space x.py:1"
    )
    for line in ("grandma.jpg could not be opened", '{"anything": "grandma.jpg"}', "[1, 2]", '"grandma"', ""):
        assert protocol_line(line) is None


def test_airflow_may_do_with_the_cluster_what_it_does_and_nothing_else() -> None:
    """The Role is what the double enforces in the integration tests; here it is kept small."""
    documents = list(yaml.safe_load_all((Path(REPOSITORY) / "infra" / "pods" / "rbac.yaml").read_text()))
    (role,) = [one for one in documents if one["kind"] == "Role"]
    rights = {(verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]}
    assert ("list", "secrets") not in rights
    assert not any(resource in {"pods/exec", "pods/attach", "*"} or verb == "*" for verb, resource in rights)
    (account,) = [one for one in documents if one["metadata"]["name"] == "memorial-step"]
    assert account["automountServiceAccountToken"] is False


PARSE = """
import json, os, sys, time
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
import airflow.sdk, airflow.providers.standard.operators.hitl
start = time.process_time()
import importlib.util
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from airflow.sdk.definitions.dag import DAG
from memorial_tasks.airflow.pods import StepPod
seconds = time.process_time() - start
(dag,) = [one for one in (module.memorial_order(),) if isinstance(one, DAG)]
pods = sorted(task.task_id for task in dag.tasks if isinstance(task, StepPod))
print(json.dumps({"seconds": seconds, "pods": pods, "modules": list(sys.modules)}))
"""


def test_the_order_is_parsed_quickly_with_every_step_as_a_pod(tmp_path: Path) -> None:
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path), "MEMORIAL_STEP_RUNNER": "kubernetes", "MEMORIAL_STEP_IMAGE": IMAGE,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(REPOSITORY / "dags" / "memorial_order.py")],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["pods"] == sorted(STEPS)
    assert answer["seconds"] < 2.0
    assert not {"torch", "cv2", "librosa", "pandas", "great_expectations"} & set(answer["modules"])
