"""The embedded PostgreSQL for tests: one server a session, one migrated database a test."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from memorial_tasks.database.migrate import migrate
from memorial_tasks.database.server import ensure_server, stop_server, url_of


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """Data folder of a running server. Directly below /tmp and open for passage: as root the server runs as a
    user of its own."""
    home = Path(tempfile.mkdtemp(prefix="memorial-test-", dir="/tmp"))
    home.chmod(0o755)
    folder = home / "postgres"
    ensure_server(folder)
    yield folder
    stop_server(folder)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: Path) -> str:
    """Name of a migrated database that tests are copied from."""
    _admin(server, "CREATE DATABASE template_memorial")
    migrate(url_of(server, "template_memorial"))
    return "template_memorial"


@pytest.fixture
def database(server: Path, template: str) -> Iterator[str]:
    """URL of a fresh, migrated database of its own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    _admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield url_of(server, name)
    _admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def empty_database(server: Path) -> Iterator[str]:
    """URL of a fresh database without migrations."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    _admin(server, f"CREATE DATABASE {name}")
    yield url_of(server, name)
    _admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _admin(server: Path, statement: str) -> None:
    connection = psycopg2.connect(url_of(server, "postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
