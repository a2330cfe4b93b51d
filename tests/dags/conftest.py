"""Every DAG file parsed once, as Airflow's DAG processor does it, without a database."""

import os
import tempfile
from collections.abc import Callable
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


Parse = Callable[[list[Path], str], dict[str, Any]]


@pytest.fixture(scope="session")
def parse() -> Parse:
    """Parses DAG files as they are in a studio that asks a person at the points given."""

    def parsed(dag_files: list[Path], review_at: str) -> dict[str, Any]:
        from airflow.dag_processing.dagbag import DagBag

        found: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MEMORIAL_REVIEW_AT", review_at)
            for path in dag_files:
                bag = DagBag(dag_folder=str(path), collect_dags=True)
                assert bag.import_errors == {}, bag.import_errors
                found.update(bag.dags)
        return found

    return parsed


@pytest.fixture(scope="session")
def dags(dag_files: list[Path], parse: Parse) -> dict[str, Any]:
    """Every DAG, in a studio that asks wherever a person can be asked."""
    return parse(dag_files, "script,voice,still,film")
