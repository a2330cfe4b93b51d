"""Setting a studio up, and bringing one up to date: everything once, however often it is called."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from memorial_tasks.airflow.environment import airflow_environment
from memorial_tasks.assets import fetch_assets, missing_assets
from memorial_tasks.audit.note import create_keys
from memorial_tasks.consent.keys import consent_keys
from memorial_tasks.database.connection import connect, execute, one
from memorial_tasks.database.migrate import migrate
from memorial_tasks.database.server import database_url
from memorial_tasks.delivery.links import ready_gate
from memorial_tasks.errors import Unavailable
from memorial_tasks.production.credentials import signing_credential, watermark_key
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings

Say = Callable[[str], None]


def set_up(settings: Settings, say: Say) -> dict[str, Any]:
    """Make what is missing; returns what was done."""
    settings.root.mkdir(parents=True, exist_ok=True)
    say("database")
    database = database_url(settings.database_url, settings.database_dir)
    applied = migrate(database)
    say("keys")
    consent_keys(settings.keyring)
    watermark_key(settings.keyring)
    signing_credential(settings)
    create_keys(settings.keyring)
    ready_gate(Studio.open(settings), Who("service", "setup"))
    if missing_assets(settings.assets_dir):
        say("face models and font")
        fetch_assets(settings.assets_dir, lambda fraction, message: say(message))
    say("Airflow's database")
    migrated = _airflow_database(settings, database)
    return {
        "home": str(settings.root),
        "migrations": applied,
        "airflow_migrated": migrated,
        "assets": str(settings.assets_dir),
    }


def _airflow_database(settings: Settings, database: str) -> bool:
    """Create and migrate Airflow's own database; False when it was up to date."""
    environment = airflow_environment(settings, database)
    with closing(connect(database, role=None)) as connection:
        connection.autocommit = True
        if one(connection, "SELECT 1 AS found FROM pg_database WHERE datname = 'airflow'") is None:
            execute(connection, "CREATE DATABASE airflow")
    if (
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "check-migrations", "--migration-wait-timeout", "0"],
            env=environment,
            capture_output=True,
            check=False,
        ).returncode
        == 0
    ):
        return False
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        log = settings.airflow_home / "migrate.log"
        log.write_text(done.stdout + done.stderr)
        raise Unavailable("Airflow's database cannot be migrated", where=str(log), remedy="read the end of that file")
    # A task that waits for its pod holds its GPU, so deferred tasks count.
    pool = ["pools", "set", "gpu", str(settings.gpu_slots), "GPU slots of the cluster", "--include-deferred"]
    subprocess.run([sys.executable, "-m", "airflow", *pool], env=environment, capture_output=True, check=True)
    return True
