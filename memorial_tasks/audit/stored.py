"""Hashes of ranges of the stored log, a handful of rows each, so that a proof costs the same at any size.

Besides the leaves, the log stores the hash of every complete subtree of 256, 65 536, ... leaves (`audit.node`).
Any range of the tree is then at most 256 stored hashes a level.
"""

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import merkle
from memorial_tasks.audit.merkle import BLOCK
from memorial_tasks.database.connection import execute, one
from memorial_tasks.errors import IntegrityError

_LEAVES = "SELECT string_agg(leaf, ''::bytea ORDER BY seq) AS h FROM audit.leaf WHERE seq >= %s AND seq < %s"
_NODES = (
    "SELECT string_agg(hash, ''::bytea ORDER BY idx) AS h FROM audit.node WHERE level = %s AND idx >= %s AND idx < %s"
)


class StoredTree:
    """Reads range hashes from the database. Blocks once read are kept: make a new one for every proof or checkpoint."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks: dict[tuple[int, int], list[bytes]] = {}

    def hash_of(self, first: int, past: int) -> bytes:
        """Hash of the leaves `first` .. `past` - 1. `first` must be a multiple of the largest power of two below
        the range's length, as it is in every range of a proof."""
        level, width = 0, 1
        while width * BLOCK < past - first:
            level, width = level + 1, width * BLOCK
        hashes = self._hashes(level, first // width, past // width)
        if rest := past % width:
            hashes.append(self.hash_of(past - rest, past))
        return merkle.root_of(hashes)

    def root(self, size: int) -> bytes:
        """Root of the first `size` entries."""
        return merkle.EMPTY_ROOT if size == 0 else self.hash_of(0, size)

    def _hashes(self, level: int, first: int, past: int) -> list[bytes]:
        found: list[bytes] = []
        for block in range(first // BLOCK, (past + BLOCK - 1) // BLOCK):
            hashes = self._block(level, block)
            start, end = max(first - block * BLOCK, 0), min(past - block * BLOCK, BLOCK)
            if len(hashes) < end:
                width = BLOCK**level
                raise IntegrityError(
                    "the stored log has a hole",
                    where=f"entry {(block * BLOCK + len(hashes)) * width}",
                    remedy="run `memorial audit verify` and call the auditor",
                )
            found += hashes[start:end]
        return found

    def _block(self, level: int, block: int) -> list[bytes]:
        key = (level, block)
        if key not in self._blocks:
            ends = (block * BLOCK, (block + 1) * BLOCK)
            row = one(self._connection, _LEAVES, ends) if level == 0 else one(self._connection, _NODES, (level, *ends))
            joined = bytes(row["h"]) if row and row["h"] is not None else b""
            self._blocks[key] = [joined[at : at + 32] for at in range(0, len(joined), 32)]
        return self._blocks[key]


def store_nodes(connection: Connection, size: int) -> int:
    """Stores the hash of every complete subtree of the first `size` entries that is not stored yet; returns how many.
    Part of making a checkpoint, under the sequencer's lock."""
    stored, level = 0, 1
    while size >= BLOCK**level:
        row = one(connection, "SELECT coalesce(max(idx) + 1, 0) AS n FROM audit.node WHERE level = %s", (level,))
        first = int(row["n"]) if row else 0
        for start in range(first, size // BLOCK**level, 1024):
            wanted = range(start, min(start + 1024, size // BLOCK**level))
            tree = StoredTree(connection)
            hashes = [tree.hash_of(idx * BLOCK**level, (idx + 1) * BLOCK**level) for idx in wanted]
            execute(
                connection,
                "INSERT INTO audit.node (level, idx, hash)"
                " SELECT %s, idx, hash FROM unnest(%s::bigint[], %s::bytea[]) u(idx, hash)",
                (level, list(wanted), hashes),
            )
            stored += len(hashes)
        level += 1
    return stored
