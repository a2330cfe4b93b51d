"""DAGs.md says what the DAGs say."""

from pathlib import Path

import pytest

from memorial_tasks.airflow.handbook import handbook

pytestmark = pytest.mark.dags

ROOT = Path(__file__).resolve().parents[2]


def test_the_handbook_is_the_dags_own_words() -> None:
    assert (ROOT / "DAGs.md").read_text("utf-8") == handbook(ROOT / "dags"), "run 'make docs'"
