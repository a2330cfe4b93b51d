"""Everything an insider with all rights on the database can do, and that it is found, with the first bad entry.

Each attack is looked at three ways: by the studio with its anchored hashes (exact), by an outsider who has the
exported bundle and one old checkpoint, and by the room's own bundle check, which must agree with the outsider.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.bundle import verify_bundle
from memorial_tasks.audit.checkpoint import make_checkpoint
from memorial_tasks.audit.service import AuditRoom, open_room
from memorial_tasks.audit.stored import StoredTree, store_subtrees
from memorial_tasks.database.connection import AUDITOR, Connection, execute, one, rows, transaction
from memorial_tasks.database.server import url_of
from memorial_tasks.errors import IntegrityError
from tests.integration.audit.conftest import Outsider, superuser, write

pytestmark = pytest.mark.integration
BAD = 300  # the entry the attacker cares about, under the second checkpoint


def body_of(connection: Connection, seq: int) -> bytes:
    found = one(
        connection, "SELECT e.body FROM audit.event e JOIN audit.leaf l ON l.event_id = e.id WHERE l.seq = %s", (seq,)
    )
    assert found is not None
    return bytes(found["body"])


def edit(connection: Connection, seq: int, body: bytes) -> None:
    execute(
        connection,
        "UPDATE audit.event SET body = %s WHERE id = (SELECT event_id FROM audit.leaf WHERE seq = %s)",
        (body, seq),
    )


def rebuild_leaves(connection: Connection) -> None:
    """The careful attacker: every stored hash is made to fit again."""
    execute(connection, "UPDATE audit.leaf l SET leaf = e.leaf FROM audit.event e WHERE e.id = l.event_id")
    execute(connection, "DELETE FROM audit.subtree")
    store_subtrees(connection, 699)


def resign_everything(connection: Connection, room: AuditRoom) -> None:
    """The insider who also has the signing key: all checkpoints are made anew."""
    tree = StoredTree(connection)
    for row in rows(connection, "SELECT size, note FROM audit.checkpoint ORDER BY size"):
        at = notes.open_note(row["note"], room.keys.public).at
        assert at is not None
        root = tree.root(row["size"])
        note = notes.sign(room.keys, row["size"], root, at)
        execute(
            connection,
            "UPDATE audit.checkpoint SET root = %s, note = %s WHERE size = %s",
            (root, note, row["size"]),
        )


def forged(body: bytes) -> bytes:
    return body.replace(b'"type":"step.finished"', b'"type":"step.failedxx"')


def edit_plainly(connection: Connection, room: AuditRoom) -> None:
    edit(connection, BAD, forged(body_of(connection, BAD)))


def edit_carefully(connection: Connection, room: AuditRoom) -> None:
    edit_plainly(connection, room)
    rebuild_leaves(connection)


def edit_and_resign(connection: Connection, room: AuditRoom) -> None:
    edit_carefully(connection, room)
    resign_everything(connection, room)


def delete_event(connection: Connection, room: AuditRoom) -> None:
    execute(connection, "DELETE FROM audit.event WHERE id = (SELECT event_id FROM audit.leaf WHERE seq = %s)", (BAD,))


def delete_entry(connection: Connection, room: AuditRoom) -> None:
    delete_event(connection, room)
    execute(connection, "DELETE FROM audit.leaf WHERE seq = %s", (BAD,))


def delete_and_close_the_gap(connection: Connection, room: AuditRoom) -> None:
    delete_entry(connection, room)
    execute(connection, "UPDATE audit.leaf SET seq = -seq WHERE false")
    for seq in range(BAD + 1, 700):
        execute(connection, "UPDATE audit.leaf SET seq = %s WHERE seq = %s", (seq - 1, seq))
    rebuild_leaves(connection)


def swap_two(connection: Connection, room: AuditRoom) -> None:
    first, second = body_of(connection, BAD), body_of(connection, BAD + 1)
    edit(connection, BAD, second)
    edit(connection, BAD + 1, first)


def swap_two_carefully(connection: Connection, room: AuditRoom) -> None:
    swap_two(connection, room)
    rebuild_leaves(connection)


def insert_one(connection: Connection, room: AuditRoom) -> None:
    """A new entry is pushed in at `BAD`; every later one moves up by one."""
    bodies = [body_of(connection, seq) for seq in range(BAD, 700)]
    for seq, body in zip(range(BAD, 700), [forged(bodies[0]), *bodies], strict=False):
        edit(connection, seq, body)
    rebuild_leaves(connection)


@pytest.mark.parametrize(
    ("attack", "code", "exact_for_outsider"),
    [
        (edit_plainly, "changed", True),
        (edit_carefully, "rewritten", False),
        (edit_and_resign, "rewritten", False),
        (delete_event, "deleted", True),
        (delete_entry, "deleted", True),
        (delete_and_close_the_gap, "rewritten", False),
        (swap_two, "changed", True),
        (swap_two_carefully, "rewritten", False),
        (insert_one, "rewritten", False),
    ],
)
def test_a_superuser_changes_the_past(
    room: AuditRoom,
    outsider: Outsider,
    attack: Callable[[Connection, AuditRoom], None],
    code: str,
    exact_for_outsider: bool,
) -> None:
    assert room.verify().ok
    assert outsider.look(name="before")[0]
    with superuser(room.url) as connection:
        attack(connection, room)

    found = room.verify()
    assert not found.ok
    first = next(fault for fault in found.faults if fault.entry is not None)
    assert (first.code, first.entry, first.upto) == (code, BAD, None)

    honest, said = outsider.look()
    assert not honest
    if exact_for_outsider:
        assert f"entry {BAD}: " in said
    else:
        assert "lies between 250 and 519" in said or "lies between 0 and 519" in said
    # with the hashes an anchor kept the outsider is exact too
    assert f"entry {BAD}: " in outsider.look("--anchor", str(room.folder.folder), name="anchored")[1]
    own = verify_bundle(outsider.folder / "bundle", room.keys.public, trusted=[outsider.old_checkpoint.read_text()])
    assert not own.ok
    assert own.faults[0].entry is not None
    assert own.faults[0].entry <= BAD < (own.faults[0].upto or BAD + 1)


def test_the_tail_is_cut_off(room: AuditRoom, outsider: Outsider) -> None:
    with superuser(room.url) as connection:
        execute(connection, "DELETE FROM audit.event WHERE id IN (SELECT event_id FROM audit.leaf WHERE seq >= 400)")
        execute(connection, "DELETE FROM audit.leaf WHERE seq >= 400")
        execute(connection, "DELETE FROM audit.checkpoint WHERE size > 400")
        execute(connection, "DELETE FROM audit.batch WHERE first_seq >= 400")
        execute(connection, "UPDATE audit.batch SET count = 150 WHERE first_seq = 250")
    found = room.verify()
    assert [(fault.code, fault.entry) for fault in found.faults] == [("cut", 400)]
    honest, said = outsider.look()
    assert not honest
    assert "entry 250: the log ends after 400 entries, a checkpoint counts 520" in said
    with pytest.raises(IntegrityError, match="checkpointed at 700"):
        room.checkpoint()


def test_everything_is_truncated(room: AuditRoom, outsider: Outsider) -> None:
    with superuser(room.url) as connection:
        execute(
            connection, "TRUNCATE audit.event, audit.leaf, audit.batch, audit.subtree, audit.checkpoint, audit.anchor"
        )
    found = room.verify()
    assert (found.size, found.faults[0].code, found.faults[0].entry) == (0, "cut", 0)
    honest, said = outsider.look()
    assert not honest
    assert "entry 0: the log ends after 0 entries" in said


def test_an_entry_is_back_dated_in_place(
    room: AuditRoom, outsider: Outsider, backdated: Callable[[bytes], bytes]
) -> None:
    with superuser(room.url) as connection:
        edit(connection, BAD, backdated(body_of(connection, BAD)))
        rebuild_leaves(connection)
        resign_everything(connection, room)
    found = room.verify()
    assert not found.ok
    assert "time" in {fault.code for fault in found.faults if fault.entry == BAD}
    honest, said = outsider.look()
    assert not honest
    assert f"entry {BAD}: its time does not fit" in said


def test_a_new_entry_carries_an_old_date(
    room: AuditRoom, outsider: Outsider, backdated: Callable[[bytes], bytes]
) -> None:
    """No superuser needed: the application itself lies. Signed, anchored, consistent, and still found."""
    with transaction(room.url, role=AUDITOR) as connection:
        body = backdated(body_of(connection, 5))
    with transaction(room.url) as connection:
        execute(connection, "INSERT INTO audit.event (body) VALUES (%s)", (body,))
    room.checkpoint()
    found = room.verify()
    assert [(fault.code, fault.entry) for fault in found.faults] == [("time", 700), ("time", 700)]
    honest, said = outsider.look()
    assert not honest
    assert "entry 700: its time does not fit" in said


def test_the_noted_time_is_changed(room: AuditRoom) -> None:
    with superuser(room.url) as connection:
        execute(
            connection,
            "UPDATE audit.event SET recorded_at = recorded_at - interval '1 year' WHERE id ="
            " (SELECT event_id FROM audit.leaf WHERE seq = %s)",
            (BAD,),
        )
    assert [(fault.code, fault.entry) for fault in room.verify().faults] == [("time", BAD)]


@pytest.mark.parametrize("statement", ["UPDATE audit.event SET body = 'xx'", "DELETE FROM audit.leaf",
                                       "TRUNCATE audit.checkpoint", "UPDATE audit.anchor SET place = ''"])  # fmt: skip
def test_triggers_hold_even_with_replication_role(room: AuditRoom, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), transaction(room.url, role=None) as connection:
        execute(connection, f"SET session_replication_role = replica; {statement}")
    assert room.verify().ok


def test_the_log_is_forked_with_the_real_key(room: AuditRoom, outsider: Outsider, server: Path) -> None:
    """Two continuations of one log, each signed and consistent in itself, are shown to two people."""
    fork = room.url.rpartition("?")[0].rpartition("/")[2] + "_fork"
    _admin(server, f"CREATE DATABASE {fork} TEMPLATE {room.url.rpartition('?')[0].rpartition('/')[2]}")
    try:
        write(room.url, range(1000, 1100))
        write(url_of(server, fork), range(2000, 2100))
        mine, _ = room.checkpoint()
        theirs = make_checkpoint(url_of(server, fork), room.keys)
        assert mine is not None
        assert theirs is not None
        assert (mine.size, mine.origin) == (theirs.size, theirs.origin)
        found = room.verify(trusted=[theirs.note])
        assert "forked" in {fault.code for fault in found.faults}
        assert {fault.entry for fault in found.faults if fault.code == "rewritten"} == {700}
        outsider.old_checkpoint.write_text(theirs.note)
        honest, said = outsider.look()
        assert not honest
        assert "the log was forked" in said
        assert "lies between 700 and 799" in said
    finally:
        _admin(server, f"DROP DATABASE {fork} WITH (FORCE)")


def test_an_old_backup_is_restored(room: AuditRoom, outsider: Outsider, server: Path, tmp_path: Path) -> None:
    name = room.url.rpartition("?")[0].rpartition("/")[2]
    backup = name + "_backup"
    _admin(server, f"CREATE DATABASE {backup} TEMPLATE {name}")
    try:
        write(room.url, range(700, 900))
        newest, _ = room.checkpoint()
        assert newest is not None
        restored = open_room(url_of(server, backup), tmp_path / "keyring", tmp_path / "audit")
        found = restored.verify()
        assert [(fault.code, fault.entry, fault.upto) for fault in found.faults] == [("cut", 700, None)]
        # written on after the restore, past the lost entries: the studio refuses to sign before it gets that far ...
        write(restored.url, range(5000, 5100))
        with pytest.raises(IntegrityError, match="an old backup was restored"):
            restored.checkpoint()
        # ... and after, because it no longer continues what an anchor holds
        write(restored.url, range(5100, 5300))
        with pytest.raises(IntegrityError, match="no longer those that were checkpointed"):
            restored.checkpoint()
        # an insider who signs it all the same is betrayed by the anchored checkpoint
        make_checkpoint(restored.url, restored.keys)
        assert {fault.entry for fault in restored.verify().faults} == {700}
        outsider.room, outsider.old_checkpoint = restored, tmp_path / "newest.note"
        outsider.old_checkpoint.write_text(newest.note)
        honest, said = outsider.look()
        assert not honest
        assert "entry 700: the entries differ from the checkpoint of size 900" in said
    finally:
        _admin(server, f"DROP DATABASE {backup} WITH (FORCE)")


def test_a_checkpoint_of_another_log_is_presented(room: AuditRoom, outsider: Outsider, tmp_path: Path) -> None:
    other = notes.create_keys(tmp_path / "other")
    foreign = notes.sign(other, 520, b"\1" * 32, notes.open_note(room.folder.read()[1], room.keys.public).at)  # type: ignore[arg-type]
    found = room.verify(trusted=[foreign])
    assert [fault.code for fault in found.faults] == ["checkpoint"]
    outsider.old_checkpoint.write_text(foreign)
    honest, said = outsider.look()
    assert not honest
    assert "not signed by this log's key" in said


def test_a_checkpoint_is_altered(room: AuditRoom, outsider: Outsider) -> None:
    text = outsider.old_checkpoint.read_text()
    outsider.old_checkpoint.write_text(text.replace("\n520\n", "\n519\n"))
    assert [fault.code for fault in room.verify(trusted=[outsider.old_checkpoint.read_text()]).faults] == ["checkpoint"]
    honest, said = outsider.look()
    assert not honest
    assert "a signature is wrong" in said


def test_an_entry_is_slipped_in_behind_the_sequencer(room: AuditRoom) -> None:
    with superuser(room.url) as connection:
        execute(
            connection,
            "INSERT INTO audit.event (xid, body) SELECT '5'::xid8, body FROM audit.event LIMIT 1",
        )
    found = room.verify()
    assert [fault.code for fault in found.faults] == ["inserted"]


def test_the_proof_cache_is_spoiled(room: AuditRoom) -> None:
    with superuser(room.url) as connection:
        execute(connection, "UPDATE audit.subtree SET hash = %s WHERE level = 2 AND idx = 1", (bytes(32),))
    found = room.verify()
    assert [(fault.code, fault.entry, fault.upto) for fault in found.faults] == [("subtree", None, None)]
    write(room.url, range(700, 710))
    with pytest.raises(IntegrityError, match="no longer those that were checkpointed"):
        room.checkpoint()


def test_a_changed_log_is_never_signed_again(room: AuditRoom) -> None:
    with superuser(room.url) as connection:
        edit(connection, 690, forged(body_of(connection, 690)))
        rebuild_leaves(connection)
    write(room.url, range(700, 710))
    with pytest.raises(IntegrityError, match="no longer those that were checkpointed"):
        room.checkpoint()


def test_the_key_is_lost(room: AuditRoom, tmp_path: Path) -> None:
    (tmp_path / "keyring" / notes.KEY_FILE).unlink()
    with pytest.raises(Exception, match="signing key is gone"):
        open_room(room.url, tmp_path / "keyring", tmp_path / "audit")


def _admin(server: Path, statement: str) -> None:
    connection = psycopg2.connect(url_of(server, "postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
