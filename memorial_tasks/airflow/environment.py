"""Airflow's configuration for one studio on one machine, as environment variables.

Written down once and handed to every component alike: components that disagree on a port or a secret fail in ways
that take a night to find.
"""

import fcntl
import json
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from memorial_tasks.settings import REPOSITORY, Settings
from memorial_tasks.vault.cipher import write_private


def _secrets(home: Path) -> dict[str, str]:
    """Secrets all components share, made once and readable by this user only."""
    path = home / "secrets.json"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not path.is_file():
            from cryptography.fernet import Fernet

            made = {
                "fernet": Fernet.generate_key().decode(),
                "jwt": secrets.token_urlsafe(48),
                "session": secrets.token_urlsafe(32),
                "password": secrets.token_urlsafe(18),
            }
            write_private(path, json.dumps(made).encode())
    found: dict[str, str] = json.loads(path.read_text())
    return found


def dags_folder() -> Path:
    """Where the DAG files lie: ``dags/`` beside the package (a checkout), or inside it when installed as a wheel."""
    inside = REPOSITORY / "memorial_tasks" / "dags"
    return inside if inside.is_dir() else REPOSITORY / "dags"


def operator_password(settings: Settings) -> str:
    """Password of the operator account of the local studio."""
    return _secrets(settings.airflow_home)["password"]


def accounts(settings: Settings) -> dict[str, str]:
    """Name and password of every account of the local pages: the operator, and the reviewers the settings name."""
    made = _secrets(settings.airflow_home)
    given = [name.strip() for name in settings.reviewers.split(",")]
    names = [name for name in given if name and name != settings.operator]
    path = settings.airflow_home / "reviewers.json"
    with (settings.airflow_home / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
        if set(names) - set(known):
            known |= {name: secrets.token_urlsafe(18) for name in names if name not in known}
            write_private(path, json.dumps(known).encode())
    return {settings.operator: made["password"]} | {name: known[name] for name in names}


def metadata_url(database_url: str) -> str:
    """SQLAlchemy address of Airflow's own database, beside ours on the same server."""
    from psycopg2.extensions import parse_dsn

    parts = parse_dsn(database_url)
    user = quote(parts.get("user", "postgres"), safe="")
    login = f"{user}:{quote(parts['password'], safe='')}" if parts.get("password") else f"{user}:"
    host = parts.get("host", "")
    if host.startswith("/"):
        return f"postgresql+psycopg2://{login}@/airflow?host={quote(host, safe='/')}"
    return f"postgresql+psycopg2://{login}@{host or 'localhost'}:{parts.get('port', '5432')}/airflow"


def airflow_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """The whole environment of every Airflow component of this studio."""
    home, made = settings.airflow_home, _secrets(settings.airflow_home)
    passwords = home / "passwords.json"
    people = accounts(settings)
    write_private(passwords, json.dumps(people).encode())
    address = f"http://127.0.0.1:{settings.api_port}"
    configuration = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder()),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "memorial_tasks" / "airflow" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "memorial_tasks.airflow.executor.StudioExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(settings.parallelism),
        "AIRFLOW__CORE__FERNET_KEY": made["fernet"],
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{'admin' if name == settings.operator else 'user'}" for name in people
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url(database_url),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "3",
        "AIRFLOW__API__PORT": str(settings.api_port),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(settings.api_port + 1),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(settings.api_port + 2),
        "AIRFLOW__API__BASE_URL": settings.base_url or address,
        "AIRFLOW__API__SECRET_KEY": made["session"],
        "AIRFLOW__API_AUTH__JWT_SECRET": made["jwt"],
        # The files change with an update, which restarts everything; reading them anew costs a tenth of a core at 30 s.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__DAG_VERSION_INFLATION_CHECK_LEVEL": "error",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        # A step killed with its worker is noticed within a minute instead of five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
        "AIRFLOW__TRIGGERER__CAPACITY": "50",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__LOGGING__JSON_LOGS": str(settings.json_logs),
        "AIRFLOW__METRICS__OTEL_ON": str(settings.otel_endpoint is not None),
        "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
        "MEMORIAL_HOME": str(settings.root),
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
        # Face and voice train side by side: threads that wait for a core spin, and both get slower than alone.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2))),
    }
    if settings.otel_endpoint:
        configuration["OTEL_EXPORTER_OTLP_ENDPOINT"] = settings.otel_endpoint
        configuration["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    # Every setting travels to the workers as it is here, or a task would act for another studio.
    for name, value in settings.model_dump(exclude={"home"}, exclude_none=True).items():
        if value != "":
            configuration[f"MEMORIAL_{name.upper()}"] = str(value)
    return {**os.environ, **configuration}
