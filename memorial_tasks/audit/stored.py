"""Hashes of ranges of the stored log, a handful of rows each, so that a proof costs the same at any size.

Besides the leaves, the log stores the hash of every complete subtree of 16, 256, 4096, ... leaves
(`audit.subtree`). Any range of a proof is then at most 15 stored hashes a level, and all of them together are
one query.
"""

from collections.abc import Iterable, Iterator

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import merkle
from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.errors import IntegrityError

FAN = 16
_STORE_AT_ONCE = 4096  # subtrees

_BLOCKS = """
SELECT w.level, w.block, CASE WHEN w.level = 0
    THEN (SELECT string_agg(l.leaf, ''::bytea ORDER BY l.seq) FROM audit.leaf l
          WHERE l.seq >= w.block * 16 AND l.seq < w.block * 16 + 16)
    ELSE (SELECT string_agg(s.hash, ''::bytea ORDER BY s.idx) FROM audit.subtree s
          WHERE s.level = w.level AND s.idx >= w.block * 16 AND s.idx < w.block * 16 + 16)
    END AS joined
FROM unnest(%s::smallint[], %s::bigint[]) AS w(level, block)
"""
_LEAVES = "SELECT string_agg(leaf, ''::bytea ORDER BY seq) AS h FROM audit.leaf WHERE seq >= %s AND seq < %s"
_SUBTREES = (
    "SELECT string_agg(hash, ''::bytea ORDER BY idx) AS h FROM audit.subtree"
    " WHERE level = %s AND idx >= %s AND idx < %s"
)


class StoredTree:
    """Reads range hashes from the database. What was read is kept: make a new one for every proof or checkpoint."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks: dict[tuple[int, int], list[bytes]] = {}

    def hash_of(self, first: int, past: int) -> bytes:
        """Hash of the leaves `first` .. `past` - 1. `first` must be a multiple of the largest power of two below
        the range's length, as it is in every range of a proof."""
        self._fetch(_blocks_of(first, past))
        return self._hash(first, past)

    def hashes_of(self, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        """`hash_of` for many ranges, in one query."""
        wanted = list(ranges)
        self._fetch(block for first, past in wanted for block in _blocks_of(first, past))
        return [self._hash(first, past) for first, past in wanted]

    def root(self, size: int) -> bytes:
        """Root of the first `size` entries."""
        return merkle.EMPTY_ROOT if size == 0 else self.hash_of(0, size)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """The proof that entry `index` is in the tree of `size` entries."""
        return self.hashes_of(merkle.inclusion_ranges(index, size))

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `old` entries is the beginning of the one of `new`."""
        return self.hashes_of(merkle.consistency_ranges(old, new))

    def _hash(self, first: int, past: int) -> bytes:
        width, level = _width(first, past)
        hashes: list[bytes] = []
        for block in range(first // width // FAN, (past // width + FAN - 1) // FAN):
            found = self._blocks[level, block]
            start, end = max(first // width - block * FAN, 0), min(past // width - block * FAN, FAN)
            if len(found) < end:
                raise IntegrityError(
                    "the stored log has a hole",
                    where=f"entry {(block * FAN + len(found)) * width}",
                    remedy="run `memorial audit verify` and call the auditor",
                )
            hashes += found[start:end]
        if rest := past % width:
            hashes.append(self._hash(past - rest, past))
        return merkle.root_of(hashes)

    def _fetch(self, blocks: Iterable[tuple[int, int]]) -> None:
        wanted = sorted(set(blocks) - self._blocks.keys())
        if not wanted:
            return
        levels, numbers = [level for level, _ in wanted], [block for _, block in wanted]
        for row in rows(self._connection, _BLOCKS, (levels, numbers)):
            self._blocks[row["level"], row["block"]] = _cut(row["joined"])


def store_subtrees(connection: Connection, size: int) -> int:
    """Stores the hash of every complete subtree of the first `size` entries that is not stored yet; returns how many.
    Part of making a checkpoint, under the sequencer's lock."""
    stored, level = 0, 1
    while size >= FAN**level:
        row = one(connection, "SELECT coalesce(max(idx) + 1, 0) AS n FROM audit.subtree WHERE level = %s", (level,))
        first, past = int(row["n"]) if row else 0, size // FAN**level
        for start in range(first, past, _STORE_AT_ONCE):
            numbers = list(range(start, min(start + _STORE_AT_ONCE, past)))
            ends = (numbers[0] * FAN, (numbers[-1] + 1) * FAN)
            found = one(connection, _LEAVES, ends) if level == 1 else one(connection, _SUBTREES, (level - 1, *ends))
            below = _cut(found["h"] if found else None)
            if len(below) != ends[1] - ends[0]:
                raise IntegrityError(
                    "the stored log has a hole",
                    where=f"between entry {ends[0] * FAN ** (level - 1)} and {ends[1] * FAN ** (level - 1)}",
                    remedy="run `memorial audit verify` and call the auditor",
                )
            hashes = [merkle.root_of(below[at : at + FAN]) for at in range(0, len(below), FAN)]
            execute(
                connection,
                "INSERT INTO audit.subtree (level, idx, hash)"
                " SELECT %s, idx, hash FROM unnest(%s::bigint[], %s::bytea[]) u(idx, hash)",
                (level, numbers, hashes),
            )
            stored += len(numbers)
        level += 1
    return stored


def _width(first: int, past: int) -> tuple[int, int]:
    """(leaves a stored hash covers, its level) for reading a range."""
    width, level = 1, 0
    while width * FAN < past - first:
        width, level = width * FAN, level + 1
    return width, level


def _blocks_of(first: int, past: int) -> Iterator[tuple[int, int]]:
    """The (level, block) pairs that `_hash` will read."""
    width, level = _width(first, past)
    for block in range(first // width // FAN, (past // width + FAN - 1) // FAN):
        yield level, block
    if rest := past % width:
        yield from _blocks_of(past - rest, past)


def _cut(joined: bytes | None) -> list[bytes]:
    whole = joined or b""
    return [whole[at : at + 32] for at in range(0, len(whole), 32)]
