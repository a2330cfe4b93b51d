"""The restore drill: a studio with a server of its own is backed up, lost, and brought back.

Everything is readable again, the audit log meets the checkpoints kept outside, and whoever was erased after the backup
is erased once more.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.audit.note import create_keys
from memorial_tasks.audit.service import room_of
from memorial_tasks.consent.erasing import erase_everything
from memorial_tasks.database import registry
from memorial_tasks.database.migrate import migrate
from memorial_tasks.database.server import database_url, stop_server
from memorial_tasks.domain.words import OrderState, Purpose
from memorial_tasks.errors import InputRefused, IntegrityError, MemorialError
from memorial_tasks.observability.collect import collect
from memorial_tasks.observability.export import openmetrics
from memorial_tasks.observability.metrics import samples
from memorial_tasks.production.backup import make_backup, restore_backup
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from memorial_tasks.vault.cipher import seal, unseal
from memorial_tasks.vault.keyring import KeyDestroyed
from memorial_tasks.vault.store import EncryptedStore

pytestmark = pytest.mark.integration
WHO = Who("person", "ann")
NAME, LINE = "Großmutter Lili", "Remember the garden in 1962?"
FILM = b"a film" * 400_000  # more than two chunks of the cipher


@dataclass
class Drill:
    """The studio before the loss, its backup, and the folders kept outside."""

    place: Path
    settings: Settings

    @property
    def backup(self) -> Path:
        return self.place / "backups" / "night"

    @property
    def keyring(self) -> Path:
        return self.place / "medium" / "night.keyring"

    @property
    def passphrase(self) -> Path:
        return self.place / "passphrase"

    def restore(self, home: str, **changes: Path) -> tuple[dict[str, Any], Settings]:
        settings = Settings(home=self.place / home, assets=self.settings.assets)
        places = {
            "source": self.backup,
            "keyring": self.keyring,
            "passphrase_file": self.passphrase,
            "receipts": self.place / "outside" / "receipts",
            "checkpoints": self.place / "outside" / "checkpoints",
        } | changes
        return restore_backup(settings, **places, say=lambda _: None), settings


def enter(studio: Studio, order_id: str) -> None:
    subject = f"sub-{order_id}"
    studio.keyring.create(subject)
    key = studio.keyring.unwrap(subject)
    document = json.dumps({"name": NAME, "script": [LINE]}).encode()
    with studio.transaction() as connection:
        registry.create_order(
            connection,
            registry.NewOrder(
                order_id=order_id,
                subject_id=subject,
                purpose=Purpose.FAMILY_PRIVATE,
                language="zh-CN",
                jurisdictions=("CN",),
                sealed_document=seal(document, key, f"order {order_id}"),
                document_sha256=sha256(document).hexdigest(),
                script_sha256=sha256(LINE.encode()).hexdigest(),
            ),
        )
        studio.audit(connection, "order.submitted", WHO, studio.order(connection, order_id))
    scratch = studio.settings.root / "made"
    scratch.mkdir(exist_ok=True)
    (scratch / "film.mp4").write_bytes(FILM)
    vault = EncryptedStore(studio.store, key, scratch)
    vault.put(f"vault://orders/{order_id}/seal/k/film.mp4", scratch / "film.mp4")
    shutil.rmtree(scratch)


def read(studio: Studio, order_id: str, scratch: Path) -> tuple[dict[str, Any], bytes]:
    key = studio.keyring.unwrap(f"sub-{order_id}")
    with studio.transaction() as connection:
        row = studio.order(connection, order_id)
    assert row.sealed_document is not None
    scratch.mkdir(parents=True, exist_ok=True)
    film = scratch / f"{order_id}.mp4"
    EncryptedStore(studio.store, key, scratch).fetch(f"vault://orders/{order_id}/seal/k/film.mp4", film)
    return json.loads(unseal(row.sealed_document, key, f"order {order_id}")), film.read_bytes()


@pytest.fixture(scope="module")
def drill(assets: Path) -> Iterator[Drill]:
    place = Path(tempfile.mkdtemp(prefix="memorial-drill-", dir="/tmp"))
    place.chmod(0o755)
    made = Drill(place, Settings(home=place / "home", assets=assets))
    settings = made.settings
    homes = ["home", "restored", "whole", "tampered"]
    try:
        migrate(database_url(None, settings.database_dir))
        create_keys(settings.keyring)
        studio = Studio.open(settings)
        for order in ("stays-1", "goes-1"):
            enter(studio, order)
        (place / "passphrase").write_text("correct horse battery\n")
        make_backup(settings, made.backup, place / "medium", made.passphrase, lambda _: None)
        # Life goes on after the backup: somebody is erased, and the log goes on with them.
        erase_everything(studio, "goes-1", reason="requested")
        room = room_of(settings, studio.database)
        room.checkpoint()
        (place / "outside").mkdir()
        shutil.copytree(settings.audit_dir / "erasures", place / "outside" / "receipts")
        (place / "outside" / "checkpoints").mkdir()
        for note in settings.audit_dir.rglob("*.note"):
            shutil.copy(note, place / "outside" / "checkpoints")
        yield made  # its server runs on: a restore beside a living studio must not run into it
    finally:
        for home in homes:
            stop_server(place / home / "postgres")
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def restored(drill: Drill) -> tuple[dict[str, Any], Studio]:
    done, settings = drill.restore("restored")
    return done, Studio.open(settings)


def test_everything_is_readable_again(restored: tuple[dict[str, Any], Studio], tmp_path: Path) -> None:
    done, studio = restored
    document, film = read(studio, "stays-1", tmp_path)
    assert document == {"name": NAME, "script": [LINE]}
    assert film == FILM
    assert done["objects"] == 2


def test_whoever_was_erased_after_the_backup_is_erased_again(restored: tuple[dict[str, Any], Studio]) -> None:
    done, studio = restored
    assert done["erased_again"] == 1
    with pytest.raises(KeyDestroyed):
        studio.keyring.unwrap("sub-goes-1")
    assert not studio.store.exists("vault://orders/goes-1/seal/k/film.mp4")
    with studio.transaction() as connection:
        row = studio.order(connection, "goes-1")
    assert (row.state, row.sealed_document) == (OrderState.ERASED, None)


def test_the_log_meets_the_old_checkpoints_and_is_not_signed_past_the_lost_ones(
    restored: tuple[dict[str, Any], Studio],
) -> None:
    done, studio = restored
    assert (done["checkpoints"], done["checkpoints_after_backup"]) == (1, 1)
    assert done["entries_lost"] == 2, "the erasure's own two entries, written after the backup"
    assert done["may_write_on"] is False
    room = room_of(studio.settings, studio.database)
    assert room.verify().ok
    assert len(list(studio.settings.audit_dir.rglob("*.note"))) == 1, "nothing was signed beside the lost checkpoint"


def test_a_log_that_lost_nothing_goes_on(drill: Drill, tmp_path: Path) -> None:
    notes, none = tmp_path / "checkpoints", tmp_path / "receipts"
    notes.mkdir()
    none.mkdir()
    shutil.copy(sorted((drill.place / "outside" / "checkpoints").glob("*.note"))[0], notes)
    done, settings = drill.restore("whole", checkpoints=notes, receipts=none)
    assert (done["may_write_on"], done["entries_lost"], done["erased_again"]) == (True, 0, 0)
    studio = Studio.open(settings)
    with studio.transaction() as connection:
        studio.audit(connection, "order.started", WHO, studio.order(connection, "stays-1"))
    room = room_of(settings, studio.database)
    made, _ = room.checkpoint()
    assert made is not None
    assert made.size == done["entries"] + 1, "the base backup keeps the transaction numbers the sequencer rests on"
    assert room.verify().ok


def test_a_restored_studio_shows_its_numbers_and_nobodys_name(restored: tuple[dict[str, Any], Studio]) -> None:
    _, studio = restored
    text = openmetrics(samples(collect(studio.database)))
    assert 'memorial_orders{state="erased"} 1' in text
    assert 'memorial_orders{state="submitted"} 1' in text
    assert "memorial_erasures_open 0" in text
    for hidden in (NAME, LINE, "Lili", "garden", "stays-1", "goes-1", "film.mp4"):
        assert hidden not in text


def test_the_keys_do_not_travel_with_the_rest(drill: Drill) -> None:
    held = {path.name for path in drill.backup.rglob("*")}
    assert not held & {"wrapping.key", "sub-stays-1.key", "keyring"}
    sealed = drill.keyring.read_bytes()
    assert drill.keyring.stat().st_mode & 0o077 == 0
    assert (drill.settings.keyring / "wrapping.key").read_bytes() not in sealed
    for path in (path for path in drill.backup.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert NAME.encode() not in content, path.name
        assert LINE.encode() not in content, path.name


def test_a_wrong_passphrase_opens_nothing_and_leaves_nothing(drill: Drill, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase")
    with pytest.raises(IntegrityError, match="cannot be opened"):
        drill.restore("never", passphrase_file=wrong)
    assert not (drill.place / "never").exists()


def test_a_changed_object_or_database_file_stops_the_restore_before_it_begins(drill: Drill, tmp_path: Path) -> None:
    for name in ("vault/orders/stays-1/seal/k/film.mp4", "postgres/PG_VERSION"):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(drill.backup, copy, symlinks=True)
        with (copy / name).open("r+b") as stream:
            stream.write(b"\x00")
        with pytest.raises(IntegrityError):
            drill.restore("never", source=copy)
    assert not (drill.place / "never").exists()


def test_a_home_with_something_in_it_is_left_alone(drill: Drill) -> None:
    before = sorted(path.name for path in (drill.settings.keyring).rglob("*"))
    with pytest.raises(InputRefused, match="not empty"):
        drill.restore("home")
    assert sorted(path.name for path in (drill.settings.keyring).rglob("*")) == before


def test_a_log_that_disagrees_with_a_checkpoint_outside_is_named(drill: Drill, tmp_path: Path) -> None:
    """Somebody restored a log that is not the one whose checkpoint the auditor keeps."""
    notes = tmp_path / "checkpoints"
    notes.mkdir()
    first = sorted((drill.place / "outside" / "checkpoints").glob("*.note"))[0]
    # A checkpoint of the same studio and size over other entries: signed by its keys, so it can only be a fork.
    from datetime import UTC, datetime

    from memorial_tasks.audit import note as notes_of

    keys = notes_of.load_keys(drill.settings.keyring)
    size = notes_of.open_note(first.read_text(), keys.known).size
    (notes / first.name).write_text(notes_of.sign(keys, size, sha256(b"other").digest(), datetime.now(UTC)))
    with pytest.raises(IntegrityError, match="disagrees"):
        drill.restore("tampered", checkpoints=notes)


@pytest.mark.parametrize(
    ("out", "keys"), [("home/inside", "medium"), ("b", "b"), ("b", "b/keys"), ("backups/night", "medium")]
)
def test_bad_places_are_refused(drill: Drill, out: str, keys: str) -> None:
    with pytest.raises(InputRefused):
        make_backup(drill.settings, drill.place / out, drill.place / keys, drill.passphrase, lambda _: None)


def test_a_short_passphrase_is_refused(drill: Drill, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("1234")
    with pytest.raises(InputRefused, match="passphrase"):
        make_backup(drill.settings, drill.place / "x", drill.place / "y", tmp_path / "short", lambda _: None)


def test_a_server_of_ones_own_is_not_dumped(drill: Drill) -> None:
    settings = Settings(home=drill.place / "home", database_url="postgresql://db/memorial")
    with pytest.raises(MemorialError, match="MEMORIAL_DATABASE_URL"):
        make_backup(settings, drill.place / "x", drill.place / "y", drill.passphrase, lambda _: None)
