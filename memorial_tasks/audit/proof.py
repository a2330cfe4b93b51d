"""Proofs a person can carry away: one JSON document, checked with nothing but the log's public key.

``memorial-audit-proof/1`` shows that one entry stands in the log of a signed checkpoint;
``memorial-audit-file/1`` gathers the proofs of every entry that names a file's digest;
``memorial-audit-consistency/1`` shows that an old checkpoint's log is the beginning of a newer one's.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import merkle
from memorial_tasks.audit import note as notes
from memorial_tasks.audit.checkpoint import latest
from memorial_tasks.audit.note import Checkpoint, PublicKey
from memorial_tasks.audit.stored import StoredTree
from memorial_tasks.database.connection import one, rows
from memorial_tasks.errors import InputRefused, IntegrityError, Problem

ENTRY, FILE, CONSISTENCY = "memorial-audit-proof/1", "memorial-audit-file/1", "memorial-audit-consistency/1"


def prove_entry(connection: Connection, index: int, keys: tuple[PublicKey, ...]) -> dict[str, Any]:
    """The proof of entry `index` under the newest checkpoint. About a millisecond at a million entries.

    Raises:
        InputRefused: there is no such entry under a checkpoint.
        IntegrityError: the stored log does not give a valid proof, so it was changed.
    """
    head = _head(connection, keys)
    row = one(
        connection,
        "SELECT e.body, l.leaf FROM audit.leaf l LEFT JOIN audit.event e ON e.id = l.event_id WHERE l.seq = %s",
        (index,),
    )
    if row is None or index >= head.size:
        raise _unknown(f"there is no entry {index} under a checkpoint; the log holds {head.size}")
    if row["body"] is None:
        raise IntegrityError("the entry is gone", where=f"entry {index}", remedy="run `memorial audit verify`")
    leaf = merkle.leaf_hash(row["body"])
    path = StoredTree(connection).inclusion_proof(index, head.size)
    if not merkle.verify_inclusion(leaf, index, head.size, path, head.root):
        raise IntegrityError(
            "the entry does not fit the signed log", where=f"entry {index}", remedy="run `memorial audit verify`"
        )
    return {
        "format": ENTRY,
        "origin": head.origin,
        "index": index,
        "size": head.size,
        "entry": row["body"].decode(),
        "path": [part.hex() for part in path],
        "checkpoint": head.note,
        **_keys_of(connection, keys),
    }


def prove_digest(connection: Connection, sha256: str, keys: tuple[PublicKey, ...]) -> dict[str, Any]:
    """The proofs of every entry that names this digest, oldest first; `proofs` is empty when none does."""
    head = _head(connection, keys)
    found = rows(
        connection,
        "SELECT l.seq FROM audit.event e JOIN audit.leaf l ON l.event_id = e.id"
        " WHERE position(%s::bytea in e.body) > 0 AND l.seq < %s ORDER BY l.seq LIMIT 1000",
        (f':"{sha256}"'.encode(), head.size),
    )
    proofs = [prove_entry(connection, row["seq"], keys) for row in found]
    return {"format": FILE, "origin": head.origin, "sha256": sha256, "proofs": proofs}


def prove_consistency(connection: Connection, old: Checkpoint, keys: tuple[PublicKey, ...]) -> dict[str, Any]:
    """The proof that the log of the checkpoint `old` is the beginning of today's.

    Raises:
        IntegrityError: it is not.
    """
    head = _head(connection, keys)
    path: list[bytes] = []
    if 0 < old.size <= head.size:
        path = StoredTree(connection).consistency_proof(old.size, head.size)
    if not merkle.verify_consistency(old.size, head.size, old.root, head.root, path):
        raise IntegrityError(
            f"the log of the old checkpoint ({old.size} entries) is not the beginning of today's ({head.size})",
            where="audit",
            remedy="it was forked, cut or restored: run `memorial audit verify --checkpoint` with the old one",
        )
    return {
        "format": CONSISTENCY,
        "origin": head.origin,
        "old": old.note,
        "new": head.note,
        "path": [part.hex() for part in path],
        **_keys_of(connection, keys),
    }


def verify_proof(proof: Mapping[str, Any], keys: Sequence[PublicKey]) -> Checkpoint:
    """Checks an entry or consistency proof against `keys` and returns the checkpoint it rests on.

    Raises:
        IntegrityError: it proves nothing.
    """
    try:
        path = [bytes.fromhex(part) for part in proof["path"]]
        history, _ = notes.follow_keys(proof.get("rotations", ()), keys)

        def opened(note: str) -> Checkpoint:
            return notes.open_note(note, history.at(notes.size_of(note)))

        if proof["format"] == ENTRY:
            head = opened(proof["checkpoint"])
            leaf = merkle.leaf_hash(proof["entry"].encode())
            good = head.size == proof["size"] and merkle.verify_inclusion(
                leaf, proof["index"], head.size, path, head.root
            )
        elif proof["format"] == CONSISTENCY:
            old, head = opened(proof["old"]), opened(proof["new"])
            good = old.origin == head.origin and merkle.verify_consistency(
                old.size, head.size, old.root, head.root, path
            )
        else:
            raise KeyError("format")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError("this is no proof", where="proof", remedy="give the document as it was written") from error
    if not good:
        raise IntegrityError("the proof does not lead to the signed root", where="proof", remedy="it was altered")
    return head


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _head(connection: Connection, keys: tuple[PublicKey, ...]) -> Checkpoint:
    head = latest(connection, keys)
    if head is None:
        raise _unknown("the log has no checkpoint yet")
    return head


def _keys_of(connection: Connection, keys: tuple[PublicKey, ...]) -> dict[str, Any]:
    """The log's present keys, and the checkpoints that changed them for whoever holds an earlier one."""
    found = rows(
        connection, "SELECT note FROM audit.checkpoint WHERE position('\nnext-key ' in note) > 0 ORDER BY size"
    )
    turned = {"rotations": [row["note"] for row in found]} if found else {}
    return {"keys": [str(key) for key in keys], **turned}


def _unknown(what: str) -> InputRefused:
    return InputRefused(
        [Problem("audit.unknown", what, "see `memorial audit list`, or run `memorial audit checkpoint`")]
    )
