"""Connections and transactions. One act, one transaction, and its audit entry inside it."""

import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg2
import psycopg2.extras
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection

from memorial_tasks.errors import Unavailable

__all__ = [
    "APP",
    "AUDITOR",
    "OWNER",
    "SEQUENCER",
    "Connection",
    "Spare",
    "committed",
    "connect",
    "execute",
    "one",
    "rows",
    "transaction",
]

APP = "memorial_app"  # reads and writes the registry, may only insert into the audit log
SEQUENCER = "memorial_sequencer"  # orders audit entries and stores checkpoints
AUDITOR = "memorial_auditor"  # reads everything, writes nothing
OWNER = "memorial_owner"  # owns the tables; migrations only

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
Row: TypeAlias = dict[str, Any]


def connect(url: str, *, role: str | None = APP, application: str = "memorial") -> Connection:
    """Opens a connection that acts as `role` (None: as whoever the URL logs in), with dict rows and UTC.

    Raises:
        Unavailable: nobody answers, or the migrations that make the roles have not run yet.
    """
    options = "-c search_path=memorial -c timezone=UTC" + (f" -c role={role}" if role else "")
    try:
        return psycopg2.connect(
            url,
            options=options,
            application_name=application,
            connect_timeout=10,
            cursor_factory=psycopg2.extras.RealDictCursor,
        )
    except psycopg2.OperationalError as error:
        if role and f'"{role}"' in str(error):
            raise Unavailable(
                f"the database has no role {role} that this login may take",
                where="database",
                remedy="run `memorial init`, or grant the role to the login",
            ) from error
        raise Unavailable(
            "the database does not answer",
            where="database",
            remedy="run `memorial doctor`; check MEMORIAL_DATABASE_URL",
        ) from error


@contextmanager
def committed(connection: Connection) -> Iterator[None]:
    """One transaction on a connection: committed when the block ends, rolled back when it raises."""
    try:
        yield
        connection.commit()
    except psycopg2.OperationalError as error:
        _roll_back(connection)
        raise Unavailable(
            f"the database stopped answering ({error.pgcode or 'connection lost'})",
            where="database",
            remedy="try again; run `memorial doctor` when it stays",
        ) from error
    except BaseException:
        _roll_back(connection)
        raise


@contextmanager
def transaction(url: str, *, role: str | None = APP, application: str = "memorial") -> Iterator[Connection]:
    """A connection with one transaction: committed when the block ends, rolled back when it raises. Nothing is
    retried: whoever knows the act knows whether it may be done twice."""
    connection = connect(url, role=role, application=application)
    try:
        with committed(connection):
            yield connection
    finally:
        connection.close()


class Spare:
    """Transactions one after the other on one connection that is kept between them, where `keep` asks for it.

    A new connection is a new process of the server, which reads its catalogue anew: a third of what a short act costs.
    Nested or simultaneous transactions get connections of their own. One that lay idle for longer than `fresh` seconds
    is not used again: what lies between here and the server may have forgotten it without telling anybody.
    """

    def __init__(self, keep: bool = False, fresh: float = 60.0) -> None:
        self.keep = keep
        self.fresh = fresh
        self._kept: list[tuple[Connection, float]] = []  # and when it was put back

    @contextmanager
    def transaction(self, url: str) -> Iterator[Connection]:
        """As `transaction`."""
        connection = self._take() or connect(url)
        try:
            with committed(connection):
                yield connection
            if self.keep and not self._kept:
                self._kept.append((connection, time.monotonic()))
                return
            connection.close()
        except BaseException:
            connection.close()
            raise

    def _take(self) -> Connection | None:
        """The kept connection, unless the server has said something meanwhile: that is its farewell."""
        while self._kept:
            connection, since = self._kept.pop()
            young = time.monotonic() - since <= self.fresh
            if young and not select.select([connection.fileno()], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def close(self) -> None:
        """Let go of the kept connection; the next transaction makes a new one."""
        while self._kept:
            self._kept.pop()[0].close()


def rows(connection: Connection, statement: str, parameters: Parameters = None) -> list[Row]:
    """All rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [_plain(row) for row in cursor.fetchall()]


def one(connection: Connection, statement: str, parameters: Parameters = None) -> Row | None:
    """The first row of a query, or None."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
        return None if row is None else _plain(row)


def execute(connection: Connection, statement: str, parameters: Parameters = None) -> int:
    """Runs a statement and returns how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def unique_violation(error: psycopg2.Error) -> bool:
    """True when `error` says that such a row exists already."""
    return bool(error.pgcode == errorcodes.UNIQUE_VIOLATION)


def _roll_back(connection: Connection) -> None:
    if not connection.closed:
        connection.rollback()


def _plain(row: Mapping[str, Any]) -> Row:
    """psycopg2 hands out bytea as a view on its own buffer; callers want bytes."""
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}
