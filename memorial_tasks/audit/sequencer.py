"""The single sequencer: gives every committed entry its number in the log.

Entries are written by many transactions at once, and their database ids are handed out before they commit, so
that neither ids nor times say which entries are complete. The rule that does: every transaction below the
oldest one still running (``pg_snapshot_xmin``) has either committed or rolled back for good. So each batch takes
all entries of the transactions from where the last batch stopped up to that point, and nothing can appear
behind it later.

A batch is one transaction under an advisory lock. Two sequencers at once are safe (one waits or leaves), and a
killed one leaves either a whole batch or none.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from memorial_tasks.database.connection import SEQUENCER, execute, one, transaction
from memorial_tasks.errors import IntegrityError

LOCK = 0x6D656D61  # "mema"; also held while a checkpoint is made
BATCH = 50_000  # entries; one transaction that wrote more still goes into one batch


@dataclass(frozen=True)
class Sequenced:
    """What one call did: `added` entries, after which the log holds `size`. `busy`: another sequencer is at work."""

    added: int
    size: int
    busy: bool = False


def sequence(url: str, *, wait: bool = True) -> Sequenced:
    """Orders everything that is complete by now. With `wait` false it leaves at once when another one is at work.

    Raises:
        IntegrityError: the tables contradict each other, so somebody changed them. Nothing is written then.
    """
    added = 0
    while True:
        with transaction(url, role=SEQUENCER, application="memorial sequencer") as connection:
            if not _take_lock(connection, wait):
                return Sequenced(added, 0, busy=True)
            done = sequence_batch(connection)
        added += done.added
        if done.added == 0:
            return Sequenced(added, done.size)


def follow(url: str, stop: Callable[[], bool], *, pause: float = 0.2) -> None:
    """Sequences until `stop()` is true, looking again every `pause` seconds. For a process of its own."""
    while not stop():
        sequence(url, wait=False)
        time.sleep(pause)


def sequence_batch(connection: Connection, limit: int = BATCH) -> Sequenced:
    """One batch inside the caller's transaction, which must hold the lock (`take_lock`)."""
    size, start = _position(connection)
    upto = _number(connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS n")
    if upto < start:
        raise IntegrityError(
            "the transaction counter went backwards: this database was rebuilt from a dump",
            where="audit",
            remedy="restore a physical backup, or open a new log; see docs/audit-format.md",
        )
    upto = _cut(connection, start, upto, limit)
    added = execute(
        connection,
        "INSERT INTO audit.leaf (seq, event_id, leaf)"
        " SELECT %s + row_number() OVER (ORDER BY id) - 1, id, leaf FROM audit.event"
        " WHERE xid >= %s::text::xid8 AND xid < %s::text::xid8",
        (size, start, upto),
    )
    if added:
        execute(
            connection,
            "INSERT INTO audit.batch (first_seq, count, upto_xid) VALUES (%s, %s, %s::text::xid8)",
            (size, added, upto),
        )
    return Sequenced(added, size + added)


def take_lock(connection: Connection) -> None:
    """Waits until no other sequencer is at work; held until the transaction ends."""
    _take_lock(connection, wait=True)


def _take_lock(connection: Connection, wait: bool) -> bool:
    if wait:
        execute(connection, "SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        return True
    row = one(connection, "SELECT pg_try_advisory_xact_lock(%s) AS taken", (LOCK,))
    return bool(row and row["taken"])


def _position(connection: Connection) -> tuple[int, int]:
    """(entries in the log, first transaction not yet in it)."""
    last = one(
        connection,
        "SELECT first_seq + count AS size, upto_xid::text::bigint AS upto FROM audit.batch"
        " ORDER BY first_seq DESC LIMIT 1",
    )
    size, start = (int(last["size"]), int(last["upto"])) if last else (0, 0)
    leaves = _number(connection, "SELECT coalesce(max(seq) + 1, 0) AS n FROM audit.leaf")
    if leaves != size:
        raise IntegrityError(
            f"the log should hold {size} entries but its last one is number {leaves - 1}",
            where=f"entry {min(size, leaves)}",
            remedy="somebody changed the tables: run `memorial audit verify` and call the auditor",
        )
    return size, start


def _cut(connection: Connection, start: int, upto: int, limit: int) -> int:
    """A transaction number at or below `upto` that keeps the batch near `limit` entries."""
    row = one(
        connection,
        "SELECT xid::text::bigint AS n FROM audit.event WHERE xid >= %s::text::xid8 AND xid < %s::text::xid8"
        " ORDER BY xid OFFSET %s LIMIT 1",
        (start, upto, limit),
    )
    return upto if row is None else min(upto, int(row["n"]) + 1)


def _number(connection: Connection, statement: str) -> int:
    row = one(connection, statement)
    return int(row["n"]) if row else 0
