"""Changing the signing key: whoever trusts the old or the new one can follow; a forged change is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memorial_tasks.audit import note as notes
from memorial_tasks.audit import proof
from memorial_tasks.audit.bundle import verify_bundle
from memorial_tasks.audit.checkpoint import make_checkpoint
from memorial_tasks.audit.event import Actor
from memorial_tasks.audit.service import AuditRoom, open_room
from memorial_tasks.audit.stored import StoredTree
from memorial_tasks.database.connection import AUDITOR, SEQUENCER, execute, transaction
from memorial_tasks.errors import IntegrityError
from tests.integration.audit.conftest import Outsider, write

pytestmark = pytest.mark.integration
WHO = Actor(kind="person", id="ann")


def store(room: AuditRoom, note: str) -> None:
    """An insider puts a note beside the honest ones."""
    size = notes.size_of(note)
    with transaction(room.url, role=SEQUENCER) as connection:
        execute(
            connection,
            "INSERT INTO audit.checkpoint (size, origin, root, note) VALUES (%s, 'x', %s, %s)",
            (size, bytes(32), note),
        )


def root_at(room: AuditRoom, size: int) -> bytes:
    with transaction(room.url, role=AUDITOR) as connection:
        return StoredTree(connection).root(size)


def test_everybody_can_follow_a_change_of_keys(room: AuditRoom, outsider: Outsider, tmp_path: Path) -> None:
    old = room.keys
    turned, made, _ = room.rotate_key(tmp_path / "keyring", WHO)
    assert turned.keys.public != old.public
    assert turned.keys.former == old.public
    assert [entry["data"]["next"] for entry in turned.entries(kind="key.rotated")] == [str(turned.keys.public[0])]
    write(room.url, range(800, 850))
    turned.checkpoint()
    again, last, _ = turned.rotate_key(tmp_path / "keyring", WHO)  # twice, so that there is a chain to follow
    assert turned.verify().ok
    assert again.verify().ok
    for person, keys in {"old": old, "middle": turned.keys, "new": again.keys}.items():
        outsider.room = AuditRoom(room.url, keys, room.folder)
        honest, said = outsider.look(name=person)
        assert honest, said
        assert verify_bundle(tmp_path / person, keys.public).ok
    with transaction(room.url, role=AUDITOR) as connection:
        document = proof.prove_entry(connection, 5, again.keys.public)
        since = proof.prove_consistency(connection, notes.open_note(made.note, old.public), again.keys.public)
    for trusted in (old.public, turned.keys.public, again.keys.public):
        assert proof.verify_proof(document, trusted).size == last.size
        assert proof.verify_proof(since, trusted).size == last.size
    with pytest.raises(IntegrityError):
        proof.verify_proof(document | {"rotations": []}, old.public)
    # opened anew, the studio knows all its keys
    assert open_room(room.url, tmp_path / "keyring", tmp_path / "audit").checkpoint()[0].note == last.note  # type: ignore[union-attr]


@pytest.mark.parametrize("signed_by", ["the new key alone", "a stranger's pair"])
def test_a_forged_change_of_keys_is_found(room: AuditRoom, outsider: Outsider, tmp_path: Path, signed_by: str) -> None:
    thief = notes.create_keys(tmp_path / "thief", room.keys.origin)
    stranger = notes.create_keys(tmp_path / "stranger", room.keys.origin)
    write(room.url, range(700, 710))
    forged = notes.sign_rotation(stranger, thief, 710, root_at(room, 700), datetime.now(UTC))
    if signed_by == "the new key alone":
        body, _, _ = forged.partition("\n\n")
        body = body.replace(str(stranger.public[0]), str(room.keys.public[0]))
        body = body.replace(str(stranger.public[1]), str(room.keys.public[1]))
        forged = notes._signed(body + "\n", (thief,), datetime.now(UTC))
    store(room, forged)
    found = room.verify()
    assert not found.ok
    assert "rotation" in {fault.code for fault in found.faults}
    honest, said = outsider.look()
    assert not honest
    assert "a change of keys" in said or "not signed by this log's key" in said


def test_a_retired_key_signs_nothing_any_more(room: AuditRoom, outsider: Outsider, tmp_path: Path) -> None:
    """The old secret was stolen before it was retired; it is of no use for what comes after."""
    turned, made, _ = room.rotate_key(tmp_path / "keyring", WHO)
    write(room.url, range(800, 810))
    with pytest.raises(IntegrityError, match="key was changed"):
        make_checkpoint(room.url, room.keys)  # a process that was started before the change
    turned.checkpoint()
    store(room, notes.sign(room.keys, made.size + 5, root_at(room, made.size), datetime.now(UTC)))
    assert [fault.code for fault in turned.verify().faults] == ["checkpoint"]
    outsider.room = turned
    honest, said = outsider.look()
    assert not honest
    assert "a retired key" in said


@pytest.mark.parametrize("cut_short", ["before the checkpoint", "after the checkpoint"])
def test_a_change_that_was_cut_short_is_finished(
    room: AuditRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_short: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if cut_short == "before the checkpoint":
            patch.setattr("memorial_tasks.audit.service.make_checkpoint", killed)
        else:
            patch.setattr(notes, "promote_next", killed)
        with pytest.raises(KeyboardInterrupt):
            room.rotate_key(tmp_path / "keyring", WHO)
    after = open_room(room.url, tmp_path / "keyring", tmp_path / "audit")
    done = cut_short == "after the checkpoint"
    assert (after.keys.public != room.keys.public) is done
    assert (tmp_path / "keyring" / notes.NEXT_FILE).exists() is not done
    if not done:
        after, _, _ = after.rotate_key(tmp_path / "keyring", WHO)
    write(room.url, range(900, 910))
    after.checkpoint()
    assert after.verify().ok
