"""Migrations: the numbered plain-SQL files of ``sql/``, each applied once, in order, and never edited afterwards.

``0001_roles.sql`` runs as the login of the URL, which must be allowed to make roles; every later file runs as
the owner role, so that nobody who can log in owns a table.
"""

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from psycopg2.extensions import connection as Connection

from memorial_tasks.database.connection import OWNER, execute, one, rows, transaction
from memorial_tasks.errors import IntegrityError, Unavailable

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 0x6D656D6D  # "memm": one migration at a time
_FIRST = "0001"

_LEDGER = """
CREATE SCHEMA IF NOT EXISTS memorial;
CREATE TABLE IF NOT EXISTS memorial.migration (
    number      text PRIMARY KEY,
    name        text NOT NULL,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


@dataclass(frozen=True)
class Migration:
    """One file of the folder."""

    number: str
    name: str
    sql: str
    sha256: str


def sql_folder() -> Path:
    """Where the migrations lie: ``sql/`` beside the package (a checkout, the container image), or ``sql`` inside
    the package when it was installed as a wheel."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "sql", package / "sql"):
        if (folder / "0001_roles.sql").is_file():
            return folder
    raise Unavailable(
        "the migrations (sql/) are missing", where="database", remedy="reinstall, or copy sql/ beside memorial_tasks/"
    )


def load(folder: Path | None = None) -> list[Migration]:
    """The migrations of `folder`, in order.

    Raises:
        IntegrityError: a name does not fit ``NNNN_words.sql``, or two files share a number.
    """
    found: list[Migration] = []
    for path in sorted((folder or sql_folder()).glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise IntegrityError(f"{path.name} is not named NNNN_words.sql", where="sql", remedy="rename it")
        text = path.read_text(encoding="utf-8")
        found.append(Migration(match[1], path.name, text, hashlib.sha256(text.encode()).hexdigest()))
    for earlier, later in pairwise(found):
        if earlier.number == later.number:
            raise IntegrityError(f"{earlier.name} and {later.name} share a number", where="sql", remedy="renumber one")
    return found


def migrate(url: str, folder: Path | None = None) -> list[str]:
    """Applies what is missing and returns the names of the files applied now. All of it or nothing.

    Raises:
        IntegrityError: a file already applied was edited, renamed or removed since.
    """
    wanted = load(folder)
    with transaction(url, role=None, application="memorial migrate") as connection:
        execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        execute(connection, _LEDGER)
        _refuse_edited(connection, wanted)
        applied = {row["number"] for row in rows(connection, "SELECT number FROM memorial.migration")}
        done: list[str] = []
        for migration in wanted:
            if migration.number not in applied:
                _apply(connection, migration)
                done.append(migration.name)
        return done


def pending(url: str, folder: Path | None = None) -> list[str]:
    """The names of the files that `migrate` would apply."""
    with transaction(url, role=None, application="memorial migrate") as connection:
        known = one(connection, "SELECT to_regclass('memorial.migration') IS NOT NULL AS known")
        applied = set()
        if known and known["known"]:
            applied = {row["number"] for row in rows(connection, "SELECT number FROM memorial.migration")}
        return [migration.name for migration in load(folder) if migration.number not in applied]


def _apply(connection: Connection, migration: Migration) -> None:
    if migration.number != _FIRST:
        execute(connection, f"SET LOCAL ROLE {OWNER}")
    execute(connection, migration.sql)
    execute(connection, "RESET ROLE")
    execute(
        connection,
        "INSERT INTO memorial.migration (number, name, sha256) VALUES (%s, %s, %s)",
        (migration.number, migration.name, migration.sha256),
    )


def _refuse_edited(connection: Connection, wanted: list[Migration]) -> None:
    files = {migration.number: migration for migration in wanted}
    for row in rows(connection, "SELECT number, name, sha256 FROM memorial.migration ORDER BY number"):
        file = files.get(row["number"])
        if file is None or file.name != row["name"]:
            raise IntegrityError(
                f"migration {row['name']} was applied but its file is gone", where="sql", remedy="bring the file back"
            )
        if file.sha256 != row["sha256"]:
            raise IntegrityError(
                f"migration {row['name']} was edited after it was applied",
                where="sql",
                remedy="undo the edit and write the change as a new migration",
            )
