"""Checking a whole log: every entry against its hash, every hash against every checkpoint, every time against
the clock of the checkpoints around it. The first bad entry is named.

How exactly it can be named depends on what the attacker left. Where an entry no longer fits its stored hash, or
is missing, or has a time that cannot be, it is named exactly. Where somebody rebuilt the hashes too, the roots
differ from the first checkpoint behind the change on, so the entry lies between two checkpoints; with the
hashes kept by an anchor (`known_leaves`) it is again named exactly.
"""

import hashlib
import re
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import sub
from typing import Any

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.event import format_time
from memorial_tasks.audit.merkle import BLOCK, Frontier, root_of
from memorial_tasks.audit.note import Checkpoint, PublicKey
from memorial_tasks.audit.stored import FAN, StoredTree
from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.errors import IntegrityError

# An act may take this long between its entry's time and its commit, and clocks may differ by this much.
TOLERANCE = timedelta(minutes=15)

KnownLeaves = Callable[[int, int], bytes | None]  # (first, past) -> 32 bytes a leaf, as an anchor kept them

_AT = re.compile(rb'"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"')
_AT_KEY = b'"at":"'
_SHAPE = b'0000-00-00T00:00:00.000Z"'
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_COPY = (
    "COPY (SELECT l.seq, l.leaf, coalesce(e.recorded_at, '-infinity'), coalesce(e.body, '') FROM audit.leaf l"
    " LEFT JOIN audit.event e ON e.id = l.event_id AND e.id BETWEEN {low} AND {high}"  # else all events are read
    " WHERE l.seq >= {first} AND l.seq < {past})"
    " TO STDOUT (FORMAT binary)"
)
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_BODY_AT = 66
CHUNK = 16 * BLOCK
AT_ONCE = 128 * BLOCK  # entries read from the database in one go: some 20 MB
_LARGEST_GAP = 10_000_000  # a hole this large is told and not walked through
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_MINUTE = 60_000_000  # microseconds, as PostgreSQL counts
_TOLERANCE = int(TOLERANCE.total_seconds() * 1e6)
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

    def feed(
        self,
        bodies: Sequence[bytes | None],
        leaves: Sequence[bytes] | None = None,
        recorded: Sequence[int] | None = None,
    ) -> None:
        """Takes the next entries, their stored hashes and the times the database noted (microseconds since 2000), when
        there are any. None is an entry that is gone."""
        at = self._frontier.size
        hashes = self._hashes(bodies, leaves, at)
        times = _times_of(bodies)
        if recorded is not None:
            self._check_recorded(times, recorded, at)
        start = 0
        while start < len(hashes):
            stop = self._stops[self._next].size if self._next < len(self._stops) else at + len(hashes)
            end = min(len(hashes), max(stop - at, start))
            self._check_times(bodies, times, start, end, at)
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

    def _check_times(
        self, bodies: Sequence[bytes | None], times: Sequence[bytes | None], start: int, end: int, at: int
    ) -> None:
        earliest, last = self._windows
        part = [time for time in times[start:end] if time is not None]
        if len(part) == end - start and (not part or (earliest <= min(part) and max(part) <= last)):
            return
        for place in range(start, end):
            found = times[place]
            if bodies[place] is None:
                continue  # gone: reported already
            if found is None:
                self.faults.append(Fault("malformed", "the entry has no readable time", at + place))
            elif not earliest <= found <= last:
                self.faults.append(
                    Fault(
                        "time",
                        f"the entry says {found.decode()}, but the checkpoints around it allow"
                        f" {earliest.decode() or 'any time'} to {last.decode().strip('~') or 'now'}:"
                        " it was back-dated or moved",
                        at + place,
                    )
                )

    def _check_recorded(self, times: Sequence[bytes | None], recorded: Sequence[int], at: int) -> None:
        """The time the database noted beside each entry, against the time in the entry."""
        minutes = {text: _minute(text) for text in {text[:16] for text in times if text is not None}}
        said = [noted if text is None else minutes[text[:16]] for noted, text in zip(recorded, times, strict=True)]
        apart = list(map(sub, recorded, said))
        if apart and -_TOLERANCE < min(apart) <= max(apart) < _TOLERANCE + _MINUTE:
            return
        what = "the time the database noted is not the one in the entry: it was back-dated"
        self.faults += [
            Fault("time", what, at + place)
            for place, gap in enumerate(apart)
            if not -_TOLERANCE < gap < _TOLERANCE + _MINUTE
        ]

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
    everything = [*outside, *texts]
    history, wrong = notes.follow_keys(everything, keys)
    faults += [Fault("rotation", what) for what in wrong]
    for text in everything:
        try:
            checkpoint = notes.open_note(text, history.at(notes.size_of(text)))
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
    check = LogCheck(good, sizes, known_leaves, faults)
    for chunk in read_log(connection):
        check.faults += chunk.faults
        check.feed(chunk.bodies, chunk.leaves, chunk.recorded)
    _check_unsequenced(connection, check)
    _check_subtrees(connection, check)
    waiting = one(connection, _PENDING)
    return check.result(pending=int(waiting["n"]) if waiting else 0)


@dataclass(frozen=True)
class Chunk:
    """Consecutive entries as they are stored: what was hashed (None: gone), the stored hash, and the time the database
    noted in microseconds since 2000. `faults`: numbers that are missing or stand twice."""

    bodies: list[bytes | None]
    leaves: list[bytes]
    recorded: list[int]
    faults: list[Fault] = field(default_factory=list)


class _Rows:
    """What psycopg2 copies into: each row goes straight into the list, which saves a Python call an entry."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.write = self.rows.append


def read_log(connection: Connection) -> Iterator[Chunk]:
    """The whole log in order and without gaps, `AT_ONCE` entries at a time: what is missing stands there as None."""
    execute(connection, "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0")
    last = one(connection, "SELECT coalesce(max(seq) + 1, 0) AS n FROM audit.leaf")
    size = int(last["n"]) if last else 0
    spans = ((first, min(first + AT_ONCE, size)) for first in range(0, size, AT_ONCE))
    with ThreadPoolExecutor(1) as ahead:  # the database sends the next part while this one is hashed
        span = next(spans, None)
        coming = ahead.submit(_copy, connection, *span) if span else None
        while span and coming:
            (first, past), found = span, coming.result()
            if not found and (missing := _missing_from(connection, first)) > _LARGEST_GAP:
                what = f"{missing} entries and their hashes are gone; nothing behind them was read"
                yield Chunk([], [], [], [Fault("deleted", what, first)])
                return
            span = next(spans, None)
            coming = ahead.submit(_copy, connection, *span) if span else None
            yield _chunk(found, first, past)


def _missing_from(connection: Connection, first: int) -> int:
    """How many numbers are missing from `first` on."""
    found = one(connection, "SELECT min(seq) - %s AS n FROM audit.leaf WHERE seq >= %s", (first, first))
    return int(found["n"]) if found and found["n"] is not None else 0


def _copy(connection: Connection, first: int, past: int) -> list[bytes]:
    """Rows of PostgreSQL's binary COPY format: field count (2 bytes); seq, leaf, recorded_at, body, each after its
    length (4 bytes). So seq stands at 6, leaf at 18, recorded_at at 54, body at 66."""
    span = one(
        connection,
        "SELECT coalesce(min(event_id), 0) AS low, coalesce(max(event_id), 0) AS high FROM audit.leaf"
        " WHERE seq >= %s AND seq < %s",
        (first, past),
    )
    taken = _Rows()
    with connection.cursor() as cursor:
        cursor.copy_expert(_COPY.format(first=first, past=past, **(span or {})), taken)
    found = taken.rows
    found[0] = found[0].removeprefix(_COPY_HEAD)
    while found and len(found[-1]) < _BODY_AT:
        found.pop()  # the end mark
    return found


def _chunk(found: list[bytes], first: int, past: int) -> Chunk:
    found.sort()  # by number: rows differ in it first
    numbers = _big_endian(b"".join([row[6:14] for row in found]))
    recorded = _big_endian(b"".join([row[54:62] for row in found])).tolist()
    bodies: list[bytes | None] = [row[_BODY_AT:] for row in found]
    if b"" in bodies:
        bodies = [body or None for body in bodies]
    leaves = [row[18:50] for row in found]
    if numbers == array("q", range(first, past)):
        return Chunk(bodies, leaves, recorded)
    place = {number: index for index, number in enumerate(numbers)}
    faults = [Fault("deleted", "two entries have one number", a) for a, b in pairwise(numbers) if a == b]
    missing = [number for number in range(first, past) if number not in place]
    faults += [
        Fault("deleted", "entry and hash are gone", number)
        for before, number in zip([-2, *missing], missing, strict=False)
        if before != number - 1
    ]
    order = [place.get(number) for number in range(first, past)]
    return Chunk(
        [None if at is None else bodies[at] for at in order],
        [bytes(32) if at is None else leaves[at] for at in order],
        [0 if at is None else recorded[at] for at in order],
        faults,
    )


def _big_endian(joined: bytes) -> "array[int]":
    numbers = array("q", joined)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _times_of(bodies: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """What each entry gives as its time; None for one that is gone or has no readable time."""
    if None not in bodies:  # all of them at once, which is several times quicker
        places = [body.find(_AT_KEY, 0, 512) for body in bodies]  # type: ignore[union-attr]
        found = [body[at + 6 : at + 31] for body, at in zip(bodies, places, strict=True)]  # type: ignore[index]
        if -1 not in places and b"".join(found).translate(_DIGITS) == _SHAPE * len(found):
            return [text[:24] for text in found]
    matches = [_AT.search(body, 0, 512) if body is not None else None for body in bodies]
    return [match[1] if match else None for match in matches]


def _minute(text: bytes) -> int:
    """Microseconds since 2000 of ``2026-11-21T01:44``; far from anything ever noted when there is no such date."""
    try:
        parsed = datetime.fromisoformat(text.decode() + "+00:00")
    except ValueError:
        parsed = datetime.min.replace(tzinfo=UTC)
    return (parsed - _EPOCH) // timedelta(microseconds=1)


_PENDING = (
    "SELECT count(*) AS n FROM audit.event WHERE xid >="
    " coalesce((SELECT upto_xid FROM audit.batch ORDER BY first_seq DESC LIMIT 1), '0'::xid8)"
)


def _check_unsequenced(connection: Connection, check: LogCheck) -> None:
    """Entries that lie before the sequencer's position without being in the log were put there by hand."""
    last = one(connection, "SELECT upto_xid::text AS upto FROM audit.batch ORDER BY first_seq DESC LIMIT 1")
    if last is None:
        return
    counted = one(
        connection,
        "SELECT (SELECT count(*) FROM audit.event WHERE xid < %s::xid8) - (SELECT count(*) FROM audit.leaf) AS n",
        (last["upto"],),
    )
    if counted == {"n": 0} and not check.faults:
        return  # as many as the log has, and none of those is missing
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
