"""The embedded server: started once for everybody, survives who started it, recovers from a crash."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from memorial_tasks.database.server import database_url, ensure_server, socket_folder, stop_server
from memorial_tasks.errors import Unavailable

pytestmark = pytest.mark.integration

START = """
import sys
from pathlib import Path
from memorial_tasks.database.server import ensure_server
print(ensure_server(Path(sys.argv[1])))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="memorial-server-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    for data in folder.rglob("postmaster.pid"):
        stop_server(data.parent)
    shutil.rmtree(folder, ignore_errors=True)


def query(url: str, statement: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            connection.commit()
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def test_many_processes_start_one_server(home: Path) -> None:
    starters = [
        subprocess.Popen([sys.executable, "-c", START, str(home / "pg")], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    urls = {starter.communicate(timeout=90)[0].strip() for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * 6
    assert len(urls) == 1
    # the processes are gone, the server is not
    assert query(urls.pop(), "SELECT current_database()") == "memorial"


def test_a_crashed_server_is_started_again_with_its_data(home: Path) -> None:
    url = ensure_server(home / "pg")
    query(url, "CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(int((home / "pg/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    time.sleep(0.3)
    assert ensure_server(home / "pg") == url
    assert query(url, "SELECT n FROM kept") == 7


def test_a_server_that_says_it_is_ready_is_taken_at_its_word_and_a_dead_one_is_started(home: Path) -> None:
    folder = home / "postgres"
    url = ensure_server(folder)
    assert database_url(None, folder, ask=False) == url
    pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    assert query(database_url(None, folder, ask=False), "SELECT 1") == 1


def test_a_pid_file_that_names_another_process_does_not_block(home: Path) -> None:
    ensure_server(home / "pg")
    stop_server(home / "pg")
    lines = [str(os.getpid()), str(home / "pg"), "0", "5432", str(home / "pg"), "", "1 1", "ready"]
    (home / "pg/postmaster.pid").write_text("\n".join(lines) + "\n")
    assert query(ensure_server(home / "pg"), "SELECT 1") == 1


def test_a_long_path_gets_a_short_private_socket(home: Path) -> None:
    folder = home / ("x" * 90) / "pg"
    assert query(ensure_server(folder), "SELECT 1") == 1
    sockets = socket_folder(folder)
    assert sockets != folder
    assert sockets.stat().st_mode & 0o777 == 0o700
    stop_server(folder)
    shutil.rmtree(sockets, ignore_errors=True)


def test_nobody_else_may_enter_and_nothing_listens_on_the_network(home: Path) -> None:
    url = ensure_server(home / "pg")
    assert (home / "pg").stat().st_mode & 0o777 == 0o700
    assert query(url, "SHOW listen_addresses") == ""


def test_stopping_says_whether_something_ran(home: Path) -> None:
    assert stop_server(home / "pg") is False
    ensure_server(home / "pg")
    assert stop_server(home / "pg") is True
    assert stop_server(home / "pg") is False


def test_a_folder_with_other_things_in_it_is_refused(home: Path) -> None:
    (home / "pg").mkdir()
    (home / "pg/letter.txt").write_text("dear family")
    with pytest.raises(Unavailable, match="not empty"):
        ensure_server(home / "pg")
    assert (home / "pg/letter.txt").exists()
