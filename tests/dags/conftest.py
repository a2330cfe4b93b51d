"""Every DAG file parsed once, as Airflow's DAG processor does it, without a database."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Before the first import of airflow: a home of its own and no examples.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="memorial-airflow-"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"


@pytest.fixture(scope="session")
def dag_files() -> list[Path]:
    return sorted((ROOT / "dags").glob("*.py"))


@pytest.fixture(scope="session")
def dags(dag_files: list[Path]) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    found: dict[str, Any] = {}
    for path in dag_files:
        bag = DagBag(dag_folder=str(path), collect_dags=True)
        assert bag.import_errors == {}, bag.import_errors
        found.update(bag.dags)
    return found
