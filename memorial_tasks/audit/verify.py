"""Checking a whole log: every entry against its hash, every hash against every checkpoint, every time against
the clock of the checkpoints around it. The first bad entry is named.

How exactly it can be named depends on what the attacker left. Where an entry no longer fits its stored hash, or
is missing, or has a time that cannot be, it is named exactly. Where somebody rebuilt the hashes too, the roots
differ from the first checkpoint behind the change on, so the entry lies between two checkpoints; with the
hashes kept by an anchor (`known_leaves`) it is again named exactly.
"""

import hashlib
import re
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.event import format_time
from memorial_tasks.audit.merkle import BLOCK, Frontier, root_of
from memorial_tasks.audit.note import Checkpoint, PublicKey
from memorial_tasks.audit.stored import FAN, StoredTree
from memorial_tasks.database.connection import one, rows
from memorial_tasks.errors import IntegrityError

# An act may take this long between its entry's time and its commit, and clocks may differ by this much.
TOLERANCE = timedelta(minutes=15)

KnownLeaves = Callable[[int, int], bytes | None]  # (first, past) -> 32 bytes a leaf, as an anchor kept them

_AT = re.compile(rb'"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"')
_COPY = (
    "COPY (SELECT l.seq, l.leaf, e.recorded_at, e.body FROM audit.leaf l LEFT JOIN audit.event e"
    " ON e.id = l.event_id ORDER BY l.seq) TO STDOUT (FORMAT binary)"
)
CHUNK = 16 * BLOCK
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_sha256 = hashlib.sha256


@dataclass(frozen=True)
class Fault:
    """Something that cannot be in an honest log. `entry` is the first bad one; when only an interval is known it is
    the interval's first and `upto` the one past its last."""

    code: str
    what: str
    entry: int | None = None
    upto: int | None = None

    def __str__(self) -> str:
        if self.entry is None:
            return self.what
        place = f"entry {self.entry}" if self.upto is None else f"between entry {self.entry} and entry {self.upto - 1}"
        return f"{place}: {self.what}"


@dataclass(frozen=True)
class Verification:
    """The answer. `faults` is ordered by entry; `anchored` counts the entries that a trusted checkpoint confirms."""

    ok: bool
    size: int
    root: bytes
    checkpoints: int
    anchored: int
    pending: int
    faults: tuple[Fault, ...]
    seconds: float
    origin: str = ""

    @property
    def first_bad(self) -> Fault | None:
        """The fault at the lowest entry, else the first without one."""
        return self.faults[0] if self.faults else None

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        first = self.first_bad
        return {
            "verified": self.ok,
            "origin": self.origin,
            "size": self.size,
            "root": self.root.hex(),
            "checkpoints": self.checkpoints,
            "anchored": self.anchored,
            "pending": self.pending,
            "first_bad": None if first is None else {"entry": first.entry, "upto": first.upto, "code": first.code},
            "faults": [{"code": f.code, "entry": f.entry, "upto": f.upto, "what": f.what} for f in self.faults],
            "seconds": round(self.seconds, 3),
        }


@dataclass
class LogCheck:
    """Checks entries as they come, in order. Feed chunks with `feed`, then ask `result`.

    `checkpoints` have verified signatures; `trusted` are the sizes of those that came from outside.
    """

    checkpoints: Sequence[Checkpoint]
    trusted: frozenset[int] = frozenset()
    known_leaves: KnownLeaves | None = None
    faults: list[Fault] = field(default_factory=list)
    times: list[bytes | None] = field(default_factory=list)  # what the entries last fed say

    def __post_init__(self) -> None:
        self._started = time.perf_counter()
        self._frontier = Frontier()
        self._stops = sorted(self.checkpoints, key=lambda checkpoint: checkpoint.size)
        self._next = 0
        self._agreed = 0  # entries up to here fit a checkpoint
        self._anchored = 0
        self._broken = False  # a root differed: later roots say nothing new
        self._segment: list[bytes] = []  # leaves since the last checkpoint
        self._windows: tuple[bytes, bytes] = (b"", b"")
        self._set_window()

    def feed(self, bodies: Sequence[bytes | None], leaves: Sequence[bytes] | None = None) -> None:
        """Takes the next entries, and their stored hashes when there are any. None is an entry that is gone."""
        at = self._frontier.size
        self.times = []
        hashes = self._hashes(bodies, leaves, at)
        start = 0
        while start < len(hashes):
            stop = self._stops[self._next].size if self._next < len(self._stops) else at + len(hashes)
            end = min(len(hashes), max(stop - at, start))
            self._check_times(bodies, start, end, at)
            self._frontier.extend(hashes[start:end])
            self._segment += hashes[start:end]
            start = end
            self._reach()

    @property
    def size(self) -> int:
        """Entries fed so far."""
        return self._frontier.size

    def result(self, *, pending: int = 0, origin: str = "") -> Verification:
        """The answer over everything fed."""
        self._reach()
        size = self._frontier.size
        if self._next < len(self._stops):
            self.faults.append(self._cut(self._stops[self._next]))
        ordered = sorted(self.faults, key=lambda fault: (fault.entry is None, fault.entry or 0, fault.upto or 0))
        return Verification(
            ok=not ordered,
            size=size,
            root=self._frontier.root(),
            checkpoints=len(self._stops),
            anchored=self._anchored,
            pending=pending,
            faults=tuple(ordered),
            seconds=time.perf_counter() - self._started,
            origin=origin or (self._stops[0].origin if self._stops else ""),
        )

    def _hashes(self, bodies: Sequence[bytes | None], leaves: Sequence[bytes] | None, at: int) -> list[bytes]:
        if None not in bodies:
            computed = [_sha256(b"\0" + body).digest() for body in bodies]  # type: ignore[operator]
            if leaves is None or computed == leaves:
                return computed
        result: list[bytes] = []
        for place, body in enumerate(bodies):
            stored = leaves[place] if leaves is not None else None
            if body is None:
                self.faults.append(Fault("deleted", "the entry is gone", at + place))
                result.append(stored or bytes(32))
                continue
            own = _sha256(b"\0" + body).digest()
            if stored is not None and own != stored:
                self.faults.append(Fault("changed", "the entry does not fit its hash: it was changed", at + place))
            result.append(stored or own)
        return result

    def _check_times(self, bodies: Sequence[bytes | None], start: int, end: int, at: int) -> None:
        earliest, last = self._windows
        for place in range(start, end):
            body = bodies[place]
            found = _AT.search(body, 0, 512) if body is not None else None
            self.times.append(found[1] if found else None)
            if body is None:
                continue
            if found is None:
                self.faults.append(Fault("malformed", "the entry has no readable time", at + place))
            elif not earliest <= found[1] <= last:
                self.faults.append(
                    Fault(
                        "time",
                        f"the entry says {found[1].decode()}, but the checkpoints around it allow"
                        f" {earliest.decode() or 'any time'} to {last.decode().strip('~') or 'now'}:"
                        " it was back-dated or moved",
                        at + place,
                    )
                )

    def _reach(self) -> None:
        """Compares the root with every checkpoint of the size reached."""
        moved = False
        while self._next < len(self._stops) and self._stops[self._next].size == self._frontier.size:
            checkpoint = self._stops[self._next]
            self._next += 1
            moved = True
            if self._frontier.root() == checkpoint.root:
                self._agreed = checkpoint.size
                if checkpoint.size in self.trusted and not self._broken:
                    self._anchored = checkpoint.size
            elif not self._broken:
                self._broken = True
                self.faults.append(self._locate(checkpoint))
        if moved:
            self._segment = []
            self._set_window()

    def _locate(self, checkpoint: Checkpoint) -> Fault:
        first = checkpoint.size - len(self._segment)
        what = f"the entries differ from the checkpoint of size {checkpoint.size} signed {_when(checkpoint)}"
        exact = self._first_unknown(first, checkpoint.size)
        if exact is not None and exact < checkpoint.size:
            return Fault("rewritten", f"{what}; this is the first whose anchored hash differs", exact)
        return Fault("rewritten", what, first, checkpoint.size if checkpoint.size > first + 1 else None)

    def _cut(self, checkpoint: Checkpoint) -> Fault:
        size = self.size
        first = size - len(self._segment)
        what = (
            f"the log ends after {size} entries, but a checkpoint signed {_when(checkpoint)} counts {checkpoint.size}:"
            " entries were taken out or cut off, or an old copy was restored"
        )
        exact = size if first == size else self._first_unknown(first, checkpoint.size)
        if exact is not None:
            return Fault("cut", what, exact)
        return Fault("cut", what, first, checkpoint.size)

    def _first_unknown(self, first: int, past: int) -> int | None:
        """The first entry since `first` that is not the anchored one; None when no anchor holds those hashes."""
        known = self.known_leaves(first, past) if self.known_leaves else None
        if known is None:
            return None
        for place, leaf in enumerate(self._segment):
            if known[32 * place : 32 * place + 32] != leaf:
                return first + place
        return first + len(self._segment)

    def _set_window(self) -> None:
        before = self._stops[self._next - 1].at if self._next else None
        after = self._stops[self._next].at if self._next < len(self._stops) else None
        self._windows = (
            format_time(before - TOLERANCE).encode() if before else b"",
            format_time(after + TOLERANCE).encode() if after else b"~",
        )


def open_checkpoints(
    texts: Iterable[str], keys: Sequence[PublicKey], trusted: Iterable[str] = ()
) -> tuple[list[Checkpoint], frozenset[int], list[Fault]]:
    """Checks signatures. Returns the good ones, the sizes of the trusted ones, and what is wrong with the rest.
    Two signed checkpoints of one size with different roots are a fork, whichever of them the entries fit."""
    good: dict[tuple[int, bytes], Checkpoint] = {}
    faults: list[Fault] = []
    sizes: set[int] = set()
    outside = list(trusted)
    for text in [*outside, *texts]:
        try:
            checkpoint = notes.open_note(text, keys)
        except IntegrityError as error:
            faults.append(Fault("checkpoint", str(error)))
            continue
        if text in outside:
            sizes.add(checkpoint.size)
        for (size, root), other in good.items():
            if size == checkpoint.size and root != checkpoint.root and other.origin == checkpoint.origin:
                faults.append(
                    Fault("forked", f"two different checkpoints of size {size} are signed: the log was forked")
                )
        good.setdefault((checkpoint.size, checkpoint.root), checkpoint)
    return list(good.values()), frozenset(sizes), faults


def verify_entries(
    entries: Iterable[bytes],
    checkpoints: Iterable[str],
    keys: Sequence[PublicKey],
    *,
    trusted: Iterable[str] = (),
    leaves: bytes | None = None,
    known_leaves: KnownLeaves | None = None,
) -> Verification:
    """Verifies entries given in order (an empty one is a hole), e.g. from an exported bundle. `leaves` are the
    stored hashes, 32 bytes each."""
    good, sizes, faults = open_checkpoints(checkpoints, keys, trusted)
    check = LogCheck(good, sizes, known_leaves, faults)
    chunk: list[bytes | None] = []
    at = 0

    def flush() -> None:
        nonlocal chunk, at
        stored = None
        if leaves is not None:
            part = leaves[32 * at : 32 * (at + len(chunk))]
            stored = [part[i : i + 32] for i in range(0, len(part), 32)]
            stored += [_sha256(b"\0" + (body or b"")).digest() for body in chunk[len(stored) :]]
        check.feed(chunk, stored)
        at += len(chunk)
        chunk = []

    for entry in entries:
        chunk.append(entry or None)
        if len(chunk) == CHUNK:
            flush()
    flush()
    if leaves is not None and len(leaves) != 32 * at:
        check.faults.append(Fault("cut", f"{len(leaves) // 32} hashes were exported for {at} entries", at))
    return check.result()


def verify_database(
    connection: Connection,
    keys: Sequence[PublicKey],
    *,
    trusted: Iterable[str] = (),
    known_leaves: KnownLeaves | None = None,
) -> Verification:
    """Verifies the log in the database against its own checkpoints and the `trusted` ones from outside. Reads only;
    takes one snapshot, so it may run beside writers.

    Args:
        connection: as `memorial_auditor`, with no statement run yet in its transaction.
    """
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    texts = [row["note"] for row in rows(connection, "SELECT note FROM audit.checkpoint ORDER BY size")]
    good, sizes, faults = open_checkpoints(texts, keys, trusted)
    reader = _Checker(LogCheck(good, sizes, known_leaves, faults))
    copy_rows(connection, reader)
    check = reader.check
    _check_unsequenced(connection, check)
    _check_subtrees(connection, check)
    waiting = one(connection, _PENDING)
    return check.result(pending=int(waiting["n"]) if waiting else 0)


class RowReader:
    """Takes the rows of `copy_rows` one by one (psycopg2 calls `write` once a row) and hands them on in chunks."""

    _HEAD = b"PGCOPY\n\xff\r\n\0"
    _FIXED = struct.Struct(">hiqi32si")  # field count; seq; leaf; length of recorded_at, -1 when the event is gone
    _REST = struct.Struct(">qi")  # recorded_at; length of the body

    def __init__(self) -> None:
        self._bodies: list[bytes | None] = []
        self._leaves: list[bytes] = []
        self._recorded: list[int] = []
        self._expected = 0

    def take(self, bodies: list[bytes | None], leaves: list[bytes], recorded: list[int]) -> None:
        """The next entries, in order and without gaps; None is an entry that is gone. `recorded` are the times the
        database noted, in microseconds since 2000."""
        raise NotImplementedError

    def gap(self, seq: int, missing: int) -> None:
        """`missing` entries from `seq` on have no row; negative: a number stands twice."""

    def write(self, row: bytes) -> None:
        """One row in PostgreSQL's binary COPY format."""
        if row.startswith(self._HEAD):
            row = row[19:]
        if len(row) < self._FIXED.size:
            return  # the end mark
        _, _, seq, _, leaf, has_event = self._FIXED.unpack_from(row)
        if seq != self._expected:
            self._fill(seq)
        if has_event == 8:
            recorded, length = self._REST.unpack_from(row, 54)
            self._bodies.append(row[66 : 66 + length])
            self._recorded.append(recorded)
        else:
            self._bodies.append(None)
            self._recorded.append(0)
        self._leaves.append(leaf)
        self._expected = seq + 1
        if len(self._bodies) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Hands on what is left."""
        if self._bodies:
            self.take(self._bodies, self._leaves, self._recorded)
            self._bodies, self._leaves, self._recorded = [], [], []

    def _fill(self, seq: int) -> None:
        missing = seq - self._expected
        self.gap(self._expected, missing)
        for _ in range(missing):
            self._bodies.append(None)
            self._leaves.append(bytes(32))
            self._recorded.append(0)
            if len(self._bodies) >= CHUNK:
                self.flush()


class _Checker(RowReader):
    """Checks rows as they arrive."""

    def __init__(self, check: LogCheck) -> None:
        super().__init__()
        self.check = check
        self._size = 0
        self._minutes: dict[bytes, int] = {}
        self._tolerance = int(TOLERANCE.total_seconds() * 1e6)

    def take(self, bodies: list[bytes | None], leaves: list[bytes], recorded: list[int]) -> None:
        self.check.feed(bodies, leaves)
        for place, (noted, text) in enumerate(zip(recorded, self.check.times, strict=True)):
            if text is None:
                continue  # gone or malformed: reported already
            at = self._minutes.get(text[:16])
            if at is None:
                at = self._parse(text[:16])
            if not -self._tolerance < noted - at < self._tolerance + 60_000_000:
                self.check.faults.append(
                    Fault(
                        "time",
                        "the time the database noted is not the one in the entry: it was back-dated",
                        self._size + place,
                    )
                )
        self._size += len(bodies)

    def gap(self, seq: int, missing: int) -> None:
        what = "entry and hash are gone" if missing > 0 else "two entries have one number"
        self.check.faults.append(Fault("deleted", what, seq))

    def _parse(self, minute: bytes) -> int:
        """Once a minute of log, not once an entry."""
        try:
            parsed = datetime.fromisoformat(minute.decode() + "+00:00")
        except ValueError:
            parsed = datetime.min.replace(tzinfo=UTC)  # no such date: far from whatever was noted
        self._minutes[minute] = (parsed - _EPOCH) // timedelta(microseconds=1)
        return self._minutes[minute]


def copy_rows(connection: Connection, reader: RowReader) -> None:
    """Streams the whole log, in order, into `reader`."""
    with connection.cursor() as cursor:
        cursor.copy_expert(_COPY, reader)
    reader.flush()


_PENDING = (
    "SELECT count(*) AS n FROM audit.event WHERE xid >="
    " coalesce((SELECT upto_xid FROM audit.batch ORDER BY first_seq DESC LIMIT 1), '0'::xid8)"
)


def _check_unsequenced(connection: Connection, check: LogCheck) -> None:
    """Entries that lie before the sequencer's position without being in the log were put there by hand."""
    last = one(connection, "SELECT upto_xid::text AS upto FROM audit.batch ORDER BY first_seq DESC LIMIT 1")
    if last is None:
        return
    found = rows(
        connection,
        "SELECT e.id FROM audit.event e WHERE e.xid < %s::xid8"
        " AND NOT EXISTS (SELECT FROM audit.leaf l WHERE l.event_id = e.id) ORDER BY e.id LIMIT 10",
        (last["upto"],),
    )
    for row in found:
        check.faults.append(Fault("inserted", f"event {row['id']} was slipped in behind the sequencer"))


def _check_subtrees(connection: Connection, check: LogCheck) -> None:
    """The stored subtree hashes are only a cache, but a wrong one would spoil proofs: each level has to give the
    root of the newest checkpoint. Says nothing where the log itself is at fault."""
    newest = max(check.checkpoints, key=lambda checkpoint: checkpoint.size, default=None)
    if check.faults or newest is None or newest.size > check.size:
        return
    level, width = 1, FAN
    while width <= newest.size:
        count = newest.size // width
        row = one(
            connection,
            "SELECT string_agg(hash, ''::bytea ORDER BY idx) AS h FROM audit.subtree WHERE level = %s AND idx < %s",
            (level, count),
        )
        joined = bytes((row or {}).get("h") or b"")
        hashes = [joined[at : at + 32] for at in range(0, len(joined), 32)]
        if len(hashes) == count and newest.size % width:
            hashes.append(StoredTree(connection).hash_of(count * width, newest.size))
        if root_of(hashes) != newest.root:
            check.faults.append(Fault("subtree", f"a stored hash over {width} entries is wrong: proofs would fail"))
            return
        level, width = level + 1, width * FAN


def _when(checkpoint: Checkpoint) -> str:
    return format_time(checkpoint.at) if checkpoint.at else "at an unknown time"
