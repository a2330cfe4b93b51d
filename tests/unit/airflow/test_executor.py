"""What the scheduler has imported before it forks, no task imports again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOOK = """
import json, sys, threading
from pathlib import Path
import airflow.jobs.scheduler_job_runner  # as in the scheduler
from memorial_tasks.airflow.executor import preload
preload()
before = set(sys.modules)
threads = threading.active_count()
from airflow.dag_processing.dagbag import BundleDagBag
from memorial_tasks.production import deliveries, gates, orders, review, steps
from memorial_tasks.production.studio import Studio
for name in ("memorial_order", "memorial_batch"):
    path = Path(sys.argv[1]) / f"{name}.py"
    bag = BundleDagBag(dag_folder=str(path), safe_mode=False, load_op_links=False, bundle_path=path.parent,
                       bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
heavy = {"torch", "cv2", "librosa", "pandas", "great_expectations"} & set(sys.modules)
print(json.dumps({"new": sorted(set(sys.modules) - before), "threads": threads, "heavy": sorted(heavy)}))
"""


@pytest.fixture(scope="module", params=["local", "kubernetes"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "memorial_tasks" / "airflow" / "plugins"),
        "MEMORIAL_HOME": str(home / "studio"),
        "MEMORIAL_STEP_RUNNER": request.param,
        "MEMORIAL_STEP_IMAGE": "registry.example/memorial-worker@sha256:" + "0" * 64,
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(ROOT / "dags")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_a_task_finds_the_rooms_and_airflows_operators_imported(found: dict[str, object]) -> None:
    new = found["new"]
    assert isinstance(new, list)
    ours = [name for name in new if name.startswith(("memorial_tasks.", "airflow.providers."))]
    assert ours == []


def test_nothing_is_started_before_the_fork(found: dict[str, object]) -> None:
    """A thread does not survive a fork, and what it held stays locked in the child for ever."""
    assert found["threads"] == 1
    assert found["heavy"] == []
