"""Airflow's configuration: one for all components, secrets private and made once."""

from pathlib import Path

import pytest

from memorial_tasks.airflow.environment import accounts, airflow_environment, metadata_url, operator_password
from memorial_tasks.settings import Settings


@pytest.mark.parametrize(
    ("ours", "airflows"),
    [
        ("postgresql://postgres@/memorial?host=/run/pg", "postgresql+psycopg2://postgres:@/airflow?host=/run/pg"),
        ("postgresql://u:p%40ss@db:6432/m", "postgresql+psycopg2://u:p%40ss@db:6432/airflow"),
        ("postgresql://u@db/m", "postgresql+psycopg2://u:@db:5432/airflow"),
    ],
)
def test_airflows_database_lies_beside_ours(ours: str, airflows: str) -> None:
    assert metadata_url(ours) == airflows


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", api_port=18999, store="s3://bucket/x", train="tiny")


def test_the_three_places_that_name_the_port_agree(settings: Settings) -> None:
    found = airflow_environment(settings, "postgresql://postgres@/memorial?host=/run/pg")
    assert found["AIRFLOW__API__PORT"] == "18999"
    assert ":18999" in found["AIRFLOW__API__BASE_URL"]
    assert ":18999/execution/" in found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]


def test_every_setting_reaches_the_workers(settings: Settings) -> None:
    found = airflow_environment(settings, "postgresql://postgres@/memorial?host=/run/pg")
    assert found["MEMORIAL_HOME"] == str(settings.root)
    assert found["MEMORIAL_STORE"] == "s3://bucket/x"
    assert found["MEMORIAL_TRAIN"] == "tiny"
    assert "MEMORIAL_DATABASE_URL" not in found


def test_secrets_are_made_once_and_private(settings: Settings) -> None:
    first = airflow_environment(settings, "postgresql://postgres@/memorial?host=/run/pg")
    second = airflow_environment(settings, "postgresql://postgres@/memorial?host=/run/pg")
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"):
        assert first[name] == second[name]
        assert len(first[name]) >= 32
    for name in ("secrets.json", "passwords.json"):
        assert (settings.airflow_home / name).stat().st_mode & 0o077 == 0
    assert len(operator_password(settings)) >= 16


def test_nothing_listens_beyond_this_machine_by_default(settings: Settings) -> None:
    assert airflow_environment(settings, "postgresql://postgres@/m?host=/run/pg")["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_every_reviewer_gets_an_account_of_their_own_that_may_answer_and_no_more(settings: Settings) -> None:
    more = settings.model_copy(update={"reviewers": "rita, sam"})
    found = airflow_environment(more, "postgresql://postgres@/m?host=/run/pg")
    assert found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "operator:admin,rita:user,sam:user"
    first = accounts(more)
    assert len(set(first.values())) == 3
    assert accounts(more) == first
    assert accounts(settings) == {"operator": first["operator"]}
    assert (more.airflow_home / "reviewers.json").stat().st_mode & 0o077 == 0
