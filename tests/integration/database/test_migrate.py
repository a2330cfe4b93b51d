"""Migrations: once each, all or nothing, never edited, and safe when several start at once."""

import shutil
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from memorial_tasks.database.connection import APP, execute, one, transaction
from memorial_tasks.database.migrate import load, migrate, pending, sql_folder
from memorial_tasks.errors import IntegrityError, Unavailable

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "sql"
    shutil.copytree(sql_folder(), target)
    return target


def test_once_and_then_nothing(empty_database: str) -> None:
    names = [migration.name for migration in load()]
    assert pending(empty_database) == names
    assert migrate(empty_database) == names
    assert migrate(empty_database) == pending(empty_database) == []


def test_two_at_once_apply_each_file_once(empty_database: str) -> None:
    code = "import sys; from memorial_tasks.database.migrate import migrate; print(len(migrate(sys.argv[1])))"
    both = [
        subprocess.Popen([sys.executable, "-c", code, empty_database], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    done = sorted(int(each.communicate(timeout=60)[0]) for each in both)
    assert done == [0, len(load())]


def test_an_edited_file_is_refused(empty_database: str, folder: Path) -> None:
    migrate(empty_database, folder)
    with (folder / "0002_registry.sql").open("a") as stream:
        stream.write("-- just a comment\n")
    with pytest.raises(IntegrityError, match=r"0002_registry\.sql was edited"):
        migrate(empty_database, folder)


def test_a_removed_file_is_refused(empty_database: str, folder: Path) -> None:
    migrate(empty_database, folder)
    (folder / "0003_audit.sql").unlink()
    with pytest.raises(IntegrityError, match="its file is gone"):
        migrate(empty_database, folder)


def test_a_failing_file_leaves_nothing_behind(empty_database: str, folder: Path) -> None:
    (folder / "0900_broken.sql").write_text("CREATE TABLE memorial.half (n int); SELECT 1 / 0;")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        migrate(empty_database, folder)
    with transaction(empty_database, role=None) as connection:
        found = one(connection, "SELECT to_regclass('memorial.half') AS half, to_regclass('memorial.orders') AS orders")
    assert found == {"half": None, "orders": None}


@pytest.mark.parametrize("name", ["registry.sql", "12_short.sql", "0004_Upper.sql"])
def test_a_misnamed_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(IntegrityError, match="is not named"):
        load(folder)


def test_two_files_with_one_number_are_refused(folder: Path) -> None:
    (folder / "0003_other.sql").write_text("SELECT 1;")
    with pytest.raises(IntegrityError, match="share a number"):
        load(folder)


def test_before_the_first_migration_the_remedy_is_named(empty_database: str, server: Path) -> None:
    # roles belong to the whole server: look at one that has none
    with pytest.raises((Unavailable, psycopg2.Error)) as caught, transaction(empty_database, role=APP) as connection:
        execute(connection, "SELECT 1 FROM orders")
    assert isinstance(caught.value, psycopg2.errors.UndefinedTable) or "memorial init" in str(caught.value)
