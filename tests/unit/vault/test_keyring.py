"""Data keys: one a subject, and once destroyed gone for good."""

import json
from pathlib import Path

import pytest

from memorial_tasks.errors import IntegrityError, MemorialError
from memorial_tasks.vault.keyring import KeyDestroyed, LocalKeyring


@pytest.fixture
def keyring(tmp_path: Path) -> LocalKeyring:
    return LocalKeyring(tmp_path / "keyring")


def test_every_subject_has_its_own_key_and_keeps_it(keyring: LocalKeyring) -> None:
    keyring.create("sub-one")
    keyring.create("sub-two")
    first = keyring.unwrap("sub-one")
    keyring.create("sub-one")
    assert keyring.unwrap("sub-one") == first
    assert keyring.unwrap("sub-two") != first
    assert len(first) == 32


def test_the_key_itself_is_in_no_file(keyring: LocalKeyring) -> None:
    keyring.create("sub-one")
    key = keyring.unwrap("sub-one")
    for path in keyring.folder.rglob("*"):
        if path.is_file():
            assert key not in path.read_bytes()
            assert path.name == ".lock" or path.stat().st_mode & 0o077 == 0


def test_a_destroyed_key_stays_destroyed(keyring: LocalKeyring) -> None:
    keyring.create("sub-one")
    saved = (keyring.folder / "subjects" / "sub-one.key").read_bytes()
    assert keyring.destroy("sub-one") is True
    assert keyring.destroy("sub-one") is False
    (keyring.folder / "subjects" / "sub-one.key").write_bytes(saved)  # somebody restores a backup
    for act in (keyring.unwrap, keyring.create):
        with pytest.raises(KeyDestroyed):
            act("sub-one")
    assert "destroyed_at" in json.loads((keyring.folder / "subjects" / "sub-one.destroyed").read_text())


def test_a_wrapped_key_of_another_subject_does_not_open(keyring: LocalKeyring) -> None:
    keyring.create("sub-one")
    keyring.create("sub-two")
    subjects = keyring.folder / "subjects"
    (subjects / "sub-two.key").write_bytes((subjects / "sub-one.key").read_bytes())
    with pytest.raises(IntegrityError):
        keyring.unwrap("sub-two")


def test_a_lost_wrapping_key_is_never_silently_replaced(keyring: LocalKeyring) -> None:
    keyring.create("sub-one")
    (keyring.folder / "wrapping.key").unlink()
    with pytest.raises(IntegrityError, match="backup"):
        keyring.unwrap("sub-one")


@pytest.mark.parametrize("subject", ["../other", "", "a/b", "sub one"])
def test_subject_ids_cannot_leave_the_folder(keyring: LocalKeyring, subject: str) -> None:
    with pytest.raises(MemorialError):
        keyring.create(subject)
