"""A studio whose steps run as pods on the double (`tests.support.cluster`): real scheduler, triggerer and workers."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from psycopg2.extensions import make_dsn

from memorial_tasks.airflow.client import AirflowClient
from memorial_tasks.airflow.environment import operator_password
from memorial_tasks.production.studio import Studio
from memorial_tasks.settings import Settings
from tests.integration.production.conftest import RunningStudio, _free_ports, until
from tests.support.noop_orders import PHOTO, place

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-test"
NAMESPACE = "memorial-steps"
DAGS = ROOT / "tests" / "integration" / "pods" / "dags"


def free_port() -> int:
    """A port nobody listens on, from the range the kernel hands out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningCluster:
    """The double as a test sees it: started, killed, restarted, and asked for faults."""

    folder: Path
    gpus: int = 2
    port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the API server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "double.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.cluster", "--port", str(self.port), "--control-port",
                 str(self.control_port), "--folder", str(self.folder), "--token", TOKEN, "--gpus", str(self.gpus)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        assert until(lambda: self.process.poll() is None and self.answers(), 30), (
            self.folder / "double.log"
        ).read_text()

    def answers(self) -> bool:
        """True once the control address answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.control_port}/double/state", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """The API server is gone from one moment to the next; what runs on the node goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def forget(self) -> None:
        """Lose what the API server knew, as when it comes back from an old backup."""
        for kind in ("pods", "secrets"):
            for path in (self.folder / kind).glob("*.json"):
                path.unlink()

    def stop(self) -> None:
        """End the double and every process of its pods."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for path in (self.folder / "run").glob("*/pid"):
            try:
                os.kill(int(path.read_text()), signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                continue

    def ask(self, kind: str, **body: Any) -> None:
        """Ask for a fault: evict, vanish, network, faults."""
        httpx.post(f"http://127.0.0.1:{self.control_port}/double/{kind}", json=body, trust_env=False).raise_for_status()

    def state(self) -> dict[str, Any]:
        """Pods, secrets and everything that happened."""
        found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.control_port}/double/state", trust_env=False).json()
        return found

    def history(self, what: str, name: str = "") -> list[dict[str, Any]]:
        """What happened of one kind; `name` is how the pods' names begin."""
        return [one for one in self.state()["history"] if one["what"] == what and one["name"].startswith(name)]

    def running(self, order: str, step: str) -> str | None:
        """Name of the pod that works on a step of an order now."""
        for name, pod in self.state()["pods"].items():
            labels = pod["labels"]
            wanted = (order, step)
            if (labels.get("memorial.studio/order"), labels.get("memorial.studio/step")) == wanted and pod["pid"]:
                return str(name)
        return None

    def connection(self) -> str:
        """Airflow's connection to it."""
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "double",
            "clusters": [{"name": "double", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "airflow", "user": {"token": TOKEN}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "airflow"}}],
        }  # fmt: skip
        extra = {"kube_config": json.dumps(config), "namespace": NAMESPACE}
        return json.dumps({"conn_type": "kubernetes", "extra": extra})


@dataclass
class PodStudio(RunningStudio):
    """A running studio and the cluster its steps run on."""

    cluster: RunningCluster = field(default=None)  # type: ignore[assignment]
    settings: Settings = field(default=None)  # type: ignore[assignment]

    def place(self, order: str, *photos: bytes, **changes: Any) -> str:
        """Submit an order of stand-in material."""
        return place(Studio.open(self.settings), order, photos=photos or (PHOTO, PHOTO), **changes)

    def airflow(self) -> AirflowClient:
        """Airflow's REST interface as the operator."""
        address = f"http://127.0.0.1:{self.settings.api_port}"
        return AirflowClient(address, self.settings.operator, operator_password(self.settings))

    def dump(self) -> bytes:
        """Everything Airflow's own database holds, as text."""
        url = Studio.open(self.settings).database
        found = b""
        with closing(psycopg2.connect(url_of_airflow(url))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            for (table,) in cursor.fetchall():
                buffer = io.BytesIO()
                cursor.copy_expert(f'COPY "{table}" TO STDOUT', buffer)
                found += buffer.getvalue()
        return found

    def end(self) -> None:
        """End everything that was started, however far that got."""
        self.memorial("studio", "stop", expect=None)
        self.cluster.stop()

    def order_steps(self, order: str) -> dict[str, dict[str, Any]]:
        """The registry's rows of the order's steps, by step."""
        return {row["step"]: row for row in self.memorial("order", "show", order)["steps"]}


def url_of_airflow(url: str) -> str:
    """Airflow's own database on the same server."""
    return make_dsn(url, dbname="airflow")


def settings_of(environment: dict[str, str]) -> Settings:
    """The settings that an environment describes."""
    named = {name.removeprefix("MEMORIAL_").lower(): value for name, value in environment.items()}
    return Settings(**{name: value for name, value in named.items() if name in Settings.model_fields})


def bundle(name: str, folder: Path) -> dict[str, Any]:
    """A folder of DAG files."""
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": local, "kwargs": {"path": str(folder)}}


def launch_studio(home: Path, assets: Path, gpus: int, **more: str) -> PodStudio:
    """Set up and start a studio whose steps are pods."""
    base = _free_ports()
    cluster = RunningCluster(home / "cluster", gpus)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MEMORIAL_", "AIRFLOW"))},
        "MEMORIAL_HOME": str(home),
        "MEMORIAL_ASSETS": str(assets),
        "MEMORIAL_API_PORT": str(base),
        "MEMORIAL_TRAIN": "tiny",
        "MEMORIAL_STEP_RUNNER": "kubernetes",
        "MEMORIAL_STEP_COMMAND": "python -m tests.support.noop_steps",
        "MEMORIAL_STEP_IMAGE": "registry.example/memorial-worker@sha256:" + "0" * 64,
        "MEMORIAL_POD_VAULT_PATH": str(home / "vault"),
        "MEMORIAL_POD_POLL_SECONDS": "0.5",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [bundle("house", ROOT / "dags"), bundle("pods", DAGS)]
        ),
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": cluster.connection(),
        # Airflow starts a DAG it has never run when its hour was not long ago: a studio set up in the evening would
        # have its night at once, and the night takes orders that only stand in the registry, as here, for lost ones.
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        "PYTHONPATH": str(ROOT),
        **more,
    }
    studio = PodStudio(home, environment, cluster, settings_of(environment))
    try:
        cluster.start()
        studio.memorial("init")
        studio.memorial("studio", "start")
        with studio.airflow() as airflow:
            assert all(airflow.ready(f"only_{step}", 60) for step in ("ingest", "train_face"))
    except BaseException:
        studio.end()
        raise
    return studio


def wait_until(true: Callable[[], object], seconds: float, why: str = "") -> None:
    """Wait until something holds, or fail with what was waited for."""
    assert until(true, seconds, 0.3), why or "what was waited for did not happen"
