"""Training state survives a kill: complete generations only, and encrypted like everything else."""

from pathlib import Path

import pytest

from memorial_tasks.errors import Unavailable
from memorial_tasks.steps.process import Checkpoints
from memorial_tasks.vault.store import EncryptedStore, LocalStore

KEY = bytes(range(32))
PREFIX = "vault://orders/one/train_face/key"


def checkpoints(root: Path, name: str) -> Checkpoints:
    scratch = root / name
    (scratch / "state").mkdir(parents=True)
    folder = scratch / "state" / "saved"
    folder.mkdir()
    return Checkpoints(EncryptedStore(LocalStore(root / "vault"), KEY, scratch), PREFIX, folder)


def test_the_last_saved_generation_comes_back(tmp_path: Path) -> None:
    first = checkpoints(tmp_path, "first")
    for step in (1, 2, 3):
        (first.folder / "deep").mkdir(exist_ok=True)
        (first.folder / "deep" / "weights").write_bytes(b"step %d" % step)
        first.save()
    (first.folder / "deep" / "weights").write_bytes(b"not saved before the kill")
    second = checkpoints(tmp_path, "second")
    assert second.restore() is True
    assert (second.folder / "deep" / "weights").read_bytes() == b"step 3"


def test_a_kill_while_saving_leaves_the_generation_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checkpoints(tmp_path, "first")
    (first.folder / "a").write_bytes(b"one")
    (first.folder / "b").write_bytes(b"one")
    first.save()
    (first.folder / "a").write_bytes(b"two")
    (first.folder / "b").write_bytes(b"two")
    real, calls = EncryptedStore.put, []

    def dies_at_the_second(self: EncryptedStore, uri: str, source: Path) -> tuple[str, int]:
        calls.append(uri)
        if len(calls) == 2:
            raise Unavailable("killed here")
        return real(self, uri, source)

    monkeypatch.setattr(EncryptedStore, "put", dies_at_the_second)
    with pytest.raises(Unavailable):
        first.save()
    monkeypatch.undo()
    second = checkpoints(tmp_path, "second")
    assert second.restore() is True
    assert {path.read_bytes() for path in second.folder.iterdir()} == {b"one"}


def test_old_generations_do_not_pile_up_and_nothing_stays_behind(tmp_path: Path) -> None:
    kept = checkpoints(tmp_path, "first")
    (kept.folder / "weights").write_bytes(b"x" * 1000)
    for _ in range(5):
        kept.save()
    assert len(kept.vault.store.listing(PREFIX)) == 2
    kept.clear()
    assert kept.vault.store.listing(PREFIX) == []
    assert checkpoints(tmp_path, "second").restore() is False


def test_what_did_not_change_is_stored_once_and_comes_back_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film of a thousand shots must not be written a thousand times over."""
    stored: list[str] = []
    real = EncryptedStore.put
    monkeypatch.setattr(
        EncryptedStore, "put", lambda self, uri, source: (stored.append(uri), real(self, uri, source))[1]
    )
    first = checkpoints(tmp_path, "first")
    for number in range(4):
        (first.folder / f"{number}.mp4").write_bytes(b"shot %d" % number)
        (first.folder / ".9.part.mp4").write_bytes(b"half")
        first.save()
    assert sum(uri.endswith(".mp4") for uri in stored) == 4
    second = checkpoints(tmp_path, "second")
    assert second.restore() is True
    assert {path.name: path.read_bytes() for path in second.folder.iterdir()} == {
        f"{number}.mp4": b"shot %d" % number for number in range(4)
    }
    (second.folder / "4.mp4").write_bytes(b"shot 4")
    second.save()
    assert sum(uri.endswith(".mp4") for uri in stored) == 5
