"""The doctor knows which plane it stands on: the control plane is not ill for want of what only pods need."""

import importlib.util
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from memorial_tasks.consent.keys import consent_keys
from memorial_tasks.delivery.keys import make_gate_keys
from memorial_tasks.production import health
from memorial_tasks.production.health import Check
from memorial_tasks.settings import Settings

DIGEST = "registry.example/worker@sha256:" + "ab" * 32


@pytest.fixture
def control_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the control plane's packages alone, as `docker/airflow.Dockerfile` makes it."""
    real = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return None if name in health.PACKAGES["worker"] else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(health, "_database", lambda settings: iter([Check("database", True, "not asked")]))


def checks(tmp_path: Path, **given: Any) -> dict[str, Check]:
    return {one.what: one for one in health.examine(Settings(home=tmp_path, **given))}


@pytest.mark.usefixtures("control_image")
def test_where_steps_run_as_pods_the_worker_s_packages_and_models_are_not_missed(tmp_path: Path) -> None:
    found = checks(tmp_path, step_runner="kubernetes", step_image=DIGEST, pod_vault_claim="vault")
    assert found["packages of 'worker'"].ok
    assert "order submit" in found["packages of 'worker'"].detail, "what cannot be done here is said all the same"
    assert "face models and font" not in found
    assert found["steps in pods"].ok


@pytest.mark.usefixtures("control_image")
def test_where_steps_run_here_they_are(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert not found["packages of 'worker'"].ok
    assert "torch" in found["packages of 'worker'"].detail
    assert "face models and font" in found
    assert "steps in pods" not in found


@pytest.mark.usefixtures("control_image")
@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({}, "MEMORIAL_STEP_IMAGE"),
        ({"step_image": DIGEST}, "MEMORIAL_STORE"),
        ({"step_image": "worker:latest", "profile": "production", "store": "s3://vault"}, "MEMORIAL_STEP_IMAGE"),
    ],
)
def test_pods_that_could_not_start_are_found_before_the_night(
    tmp_path: Path, given: dict[str, Any], setting: str
) -> None:
    found = checks(tmp_path, step_runner="kubernetes", **given)["steps in pods"]
    assert not found.ok
    assert setting in found.detail
    assert found.remedy


def test_a_gate_without_keys_is_found(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert not health._gate(settings).ok
    consent_keys(settings.keyring)
    make_gate_keys(settings.keyring, settings.gate_dir, lambda digest: None)
    assert health._gate(settings).ok


def test_a_studio_that_runs_code_from_before_an_update_is_found(tmp_path: Path) -> None:
    """Its tasks fail one by one, as the worker runs other code than they were made for."""
    settings = Settings(home=tmp_path)
    pids = settings.airflow_home / "run" / "pids.json"
    pids.parent.mkdir(parents=True)
    pids.write_text(json.dumps({"supervisor": os.getpid(), "scheduler": os.getpid()}))
    assert health._airflow(settings).ok
    newest = max(path.stat().st_mtime for path in health.PACKAGE.rglob("*.py"))
    os.utime(pids, (newest - 1, newest - 1))
    found = health._airflow(settings)
    assert not found.ok
    assert found.remedy == "memorial studio stop, then memorial studio start"


@pytest.fixture
def airflow() -> Iterator[tuple[str, dict[str, str]]]:
    """Stands in for Airflow's health page, which says of each part whether it is healthy."""
    parts = {"metadatabase": "healthy", "scheduler": "healthy"}

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = ", ".join(f'"{name}": {{"status": "{status}"}}' for name, status in parts.items())
            self.send_response(200 if self.path == "/api/v2/monitor/health" else 404)
            self.end_headers()
            self.wfile.write(f"{{{said}}}".encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", parts
    server.shutdown()
    server.server_close()


def test_an_airflow_that_others_started_is_asked_at_its_address(
    tmp_path: Path, airflow: tuple[str, dict[str, str]]
) -> None:
    address, parts = airflow
    settings = Settings(home=tmp_path, base_url=address)
    assert health._airflow(settings).ok
    parts["scheduler"] = "unhealthy"
    ill = health._airflow(settings)
    assert (ill.ok, ill.detail) == (False, "not healthy: scheduler")
    away = health._airflow(Settings(home=tmp_path, base_url="http://127.0.0.1:9"))
    assert not away.ok
    assert "127.0.0.1:9" in away.remedy
