"""Making checkpoints: order what is there, compute the root, refuse to sign a log that was changed, sign."""

from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.note import Checkpoint, PublicKey, SigningKeys
from memorial_tasks.audit.sequencer import sequence, sequence_batch, take_lock
from memorial_tasks.audit.stored import StoredTree, store_subtrees
from memorial_tasks.database.connection import SEQUENCER, execute, one, rows, transaction
from memorial_tasks.errors import IntegrityError


def make_checkpoint(
    url: str, keys: SigningKeys, *, outside: Checkpoint | None = None, successor: SigningKeys | None = None
) -> Checkpoint | None:
    """Signs the head of everything committed so far and stores it; the newest one again when nothing is new, None
    for an empty log. `outside`: the newest checkpoint an anchor holds, which the log has to continue. `successor`: the
    keys that sign from now on, announced by this checkpoint.

    Raises:
        IntegrityError: the log no longer agrees with its last checkpoint. Such a log is never signed.
    """
    sequence(url)
    with transaction(url, role=SEQUENCER, application="memorial checkpoint") as connection:
        take_lock(connection)
        size = sequence_batch(connection).size
        last = latest(connection, keys.known)
        if last is not None and notes.retires(last.note, keys.public):
            raise IntegrityError(
                "the log's key was changed: this one signs nothing any more",
                where="audit",
                remedy="try again; when it stays, bring the present key back from its backup",
            )
        store_subtrees(connection, size)
        for known in (last, outside):
            if known is not None:
                _refuse_changed(connection, known, size)
        if last is not None and last.size == size:
            return last
        if size == 0:
            return None
        root = StoredTree(connection).root(size)
        if successor is None:
            note = notes.sign(keys, size, root, datetime.now(UTC))
        else:
            note = notes.sign_rotation(keys, successor, size, root, datetime.now(UTC))
        signed = notes.open_note(note, keys.public)
        execute(
            connection,
            "INSERT INTO audit.checkpoint (size, origin, root, note) VALUES (%s, %s, %s, %s)",
            (size, signed.origin, root, signed.note),
        )
        return signed


def latest(connection: Connection, keys: tuple[PublicKey, ...]) -> Checkpoint | None:
    """The newest stored checkpoint, its signatures checked."""
    row = one(connection, "SELECT note FROM audit.checkpoint ORDER BY size DESC LIMIT 1")
    return None if row is None else notes.open_note(row["note"], keys)


def stored_notes(connection: Connection) -> list[str]:
    """Every stored checkpoint as text, oldest first, unchecked."""
    return [row["note"] for row in rows(connection, "SELECT note FROM audit.checkpoint ORDER BY size")]


def _refuse_changed(connection: Connection, last: Checkpoint, size: int) -> None:
    if size < last.size:
        raise IntegrityError(
            f"the log holds {size} entries but was checkpointed at {last.size}",
            where=f"entry {size}",
            remedy="an old backup was restored or the log was cut: do not write on, call the auditor",
        )
    tree = StoredTree(connection)
    if tree.root(last.size) != last.root:
        raise IntegrityError(
            f"the first {last.size} entries are no longer those that were checkpointed",
            where="audit",
            remedy="run `memorial audit verify`, which names the first bad entry, and call the auditor",
        )
