"""Erasure: everything under our control is gone, a crash anywhere loses nothing, and a backup brings nothing back."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.audit.service import room_of
from memorial_tasks.consent import registry
from memorial_tasks.consent.erasing import erase_everything, reapply_receipts
from memorial_tasks.consent.erasure import (
    FolderShelf,
    VaultShelf,
    erase_subject,
    reapply,
    receipt_file,
    verify_erasure,
)
from memorial_tasks.consent.events import EventType
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database.connection import rows
from memorial_tasks.database.server import _programs
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, IntegrityError, MemorialError, PermitRefused
from memorial_tasks.production.consents import release_key
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.vault.keyring import KeyDestroyed
from memorial_tasks.vault.store import EncryptedStore

pytestmark = pytest.mark.integration
WHO = Who("person", "ann")
SUBJECT = "sub-order-1"


def fill(house: Any, order: str = "order-1") -> list[str]:
    """Objects, a delivery, a report, as a finished order leaves them."""
    settings = house.studio.settings
    scratch = settings.root / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    vault = EncryptedStore(house.studio.store, house.studio.keyring.unwrap(f"sub-{order}"), scratch)
    source = scratch / "film"
    source.write_bytes(b"a face" * 1000)
    uris = [
        f"vault://orders/{order}/{name}"
        for name in ("originals/photo-1.jpg", "train_face/k/face/model.safetensors", "seal/k/film.mp4")
    ]
    for uri in uris:
        vault.put(uri, source)
    for folder in (settings.deliveries_dir, settings.reports_dir):
        (folder / order / "inner").mkdir(parents=True)
        (folder / order / "inner" / "film.mp4").write_bytes(b"film")
    return uris


def erase(house: Any, **arguments: Any) -> dict[str, Any]:
    document, _ = erase_everything(house.studio, arguments.pop("subject", SUBJECT), reason="requested")
    return document


def test_everything_is_gone_and_the_receipt_proves_it(house: Any) -> None:
    house.enter()
    house.enter("order-2")
    uris, others = fill(house), fill(house, "order-2")
    house.happens(EventType.OBJECTED, detail={"name": "周敏"}, sealer=house.sealer)
    document = erase(house)
    receipt = verify_erasure(document, house.studio.keys.trusted)
    assert receipt["orders"] == ["order-1"]
    assert receipt["erased"]["vault"] == {"objects": 3}
    assert receipt["erased"]["key"] == {"keys": 1}
    assert receipt["erased"]["deliveries"] == {"files": 1, "links": 0}
    assert receipt["not_within_reach"]
    assert not any(house.studio.store.exists(uri) for uri in uris)
    assert all(house.studio.store.exists(uri) for uri in others), "another subject is untouched"
    assert not (house.studio.settings.deliveries_dir / "order-1").exists()
    assert (house.studio.settings.deliveries_dir / "order-2").exists()
    with pytest.raises(KeyDestroyed):
        house.studio.keyring.unwrap(SUBJECT)
    order = house.order()
    assert (order.state, order.sealed_document) == (OrderState.ERASED, None)
    assert house.order("order-2").state is OrderState.SUBMITTED


def test_the_trail_stays_provable_without_the_person(house: Any) -> None:
    house.enter()
    house.happens(EventType.OBJECTED, detail={"name": "周敏"}, sealer=house.sealer)
    with house.tx() as connection:
        before = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
    erase(house)
    with house.tx() as connection:
        after = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
        detail = registry.read_detail(
            connection, "order-1", before.events[-1].event_id, house.sealer, house.studio.keys.trusted
        )
    assert after.record is None
    assert (after.skeleton, after.signature) == (before.skeleton, before.signature)
    assert [event.type.value for event in after.events][-2:] == ["erasure_scheduled", "erased"]
    assert detail is None
    types = [entry.type for entry in house.audit()]
    assert types[-1] == "subject.erased"
    assert "erasure.started" in types
    decision = house.decide()
    assert decision.decision == "refused"
    assert [reason.code for reason in decision.against] == ["house.not_erased"]
    with pytest.raises(ConsentRefused):
        house.permit()
    with pytest.raises(ConsentRefused, match="erased"):
        house.happens(EventType.GIVEN)


def test_erasing_twice_gives_the_same_receipt(house: Any) -> None:
    house.enter()
    fill(house)
    assert erase(house) == erase(house) == erase(house, subject="order-1")
    assert house.count("erasure") == 1
    with pytest.raises(MemorialError, match="no such subject"):
        erase(house, subject="sub-nobody")


class Crash(Exception):
    pass


class Crashing:
    """A shelf that fails a number of times before it works."""

    name = "second"

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0

    def erase(self, subject_id: str, orders: Sequence[str]) -> Mapping[str, int]:
        self.calls += 1
        if self.calls <= self.failures:
            raise Crash
        return {"files": 1}


def test_a_crash_at_any_point_is_continued_and_the_key_goes_first(house: Any) -> None:
    house.enter()
    uris = fill(house)
    shelf = Crashing(2)

    def attempt() -> Any:
        return erase_subject(
            house.studio.transaction,
            SUBJECT,
            keyring=house.studio.keyring,
            shelves=[VaultShelf(house.studio.store), shelf],
            keys=house.studio.keys,
            reason="requested",
            operator="ann",
            now=lambda: house.at,
        )

    for _ in range(2):
        with pytest.raises(Crash):
            attempt()
        assert not any(house.studio.store.exists(uri) for uri in uris)
        with pytest.raises(KeyDestroyed):
            house.studio.keyring.unwrap(SUBJECT)
        with pytest.raises(ConsentRefused):
            house.permit()
        assert house.order().state is OrderState.WITHDRAWN, "not erased before everything is"
        assert house.count("erasure") == 1
    receipt = attempt()
    assert json.loads(receipt.body)["erased"]["vault"] == {"objects": 3}, "what was done before the crash is told"
    assert house.order().state is OrderState.ERASED
    assert house.events().count("erasure_scheduled") == house.events().count("erased") == 1


@pytest.mark.parametrize("stop_at", range(1, 9))
def test_killed_in_any_transaction_it_finishes_when_called_again(house: Any, stop_at: int) -> None:
    house.enter()
    fill(house)
    opened = 0

    def begin() -> Any:
        nonlocal opened
        opened += 1
        if opened == stop_at:
            raise Crash
        return house.studio.transaction()

    def attempt(transaction: Any) -> Any:
        return erase_subject(
            transaction,
            SUBJECT,
            keyring=house.studio.keyring,
            shelves=[VaultShelf(house.studio.store), FolderShelf("deliveries", house.studio.settings.deliveries_dir)],
            keys=house.studio.keys,
            reason="requested",
            operator="ann",
            now=lambda: house.at,
        )

    try:
        attempt(begin)
        assert opened < stop_at
    except Crash:
        attempt(house.studio.transaction)
    assert house.order().state is OrderState.ERASED
    assert [entry.type for entry in house.audit()].count("subject.erased") == 1
    assert not house.studio.store.listing("vault://orders/order-1")


def test_a_forged_receipt_is_refused(house: Any) -> None:
    house.enter()
    document = erase(house)
    document["receipt"]["orders"] = ["order-2"]
    with pytest.raises(IntegrityError):
        verify_erasure(document, house.studio.keys.trusted)
    with pytest.raises(IntegrityError):
        reapply(
            [document], house.studio.transaction, keyring=house.studio.keyring, shelves=[], keys=house.studio.keys,
            operator="ann", now=lambda: house.at,
        )  # fmt: skip


def test_a_restored_backup_brings_nothing_back(house: Any, tmp_path: Path) -> None:
    """Keyring, store and deliveries are put back as they were the day before; the receipts make it true again."""
    house.enter()
    uris = fill(house)
    root, backup = house.studio.settings.root, tmp_path / "backup"
    places = ("keyring", "vault", "deliveries")
    for place in places:
        shutil.copytree(root / place, backup / place)
    document = erase(house)
    for place in places:
        shutil.rmtree(root / place, ignore_errors=True)
        shutil.copytree(backup / place, root / place)
    assert house.studio.keyring.unwrap(SUBJECT), "the backup did bring the key back"
    assert house.studio.store.exists(uris[0])
    # Even before anybody re-applies the receipts, the registry gives no key away.
    with pytest.raises(ConsentRefused):
        house.permit()
    assert reapply_receipts(house.studio) == [SUBJECT]
    with pytest.raises(KeyDestroyed):
        house.studio.keyring.unwrap(SUBJECT)
    assert not house.studio.store.listing("vault://orders/order-1")
    assert reapply_receipts(house.studio) == []
    path = receipt_file(house.studio.settings.audit_dir, SUBJECT)
    assert json.loads(path.read_bytes()) == document


def test_a_whole_backup_put_back_brings_nothing_back(house: Any, tmp_path: Path) -> None:
    """A real restore: database dump, vault, keyring and deliveries of the day before the erasure, all of them."""
    house.at = now()
    house.enter()
    house.enter("order-2")
    uris = fill(house)
    root, backup, url = house.studio.settings.root, tmp_path / "backup", house.studio.database
    places = ("keyring", "vault", "deliveries", "reports")
    for place in places:
        shutil.copytree(root / place, backup / place)
    dump = backup / "database.dump"
    subprocess.run([_programs() / "pg_dump", "-Fc", "-f", str(dump), url], check=True)
    erase(house)

    for place in places:
        shutil.rmtree(root / place, ignore_errors=True)
        shutil.copytree(backup / place, root / place)
    restore = [_programs() / "pg_restore", "--clean", "--if-exists", "--single-transaction", "-d", url, str(dump)]
    subprocess.run(restore, check=True)
    house.studio = Studio.open(house.studio.settings)
    assert house.order().state is OrderState.SUBMITTED, "the restored registry knows of no erasure"
    assert house.studio.keyring.unwrap(SUBJECT)
    assert house.studio.store.exists(uris[0])

    # Before anybody did anything: a permit is to be had from what was restored, a key is not.
    token, _ = house.permit()
    with pytest.raises(PermitRefused, match="restored backup"):
        release_key(house.studio, token, house.order(), "train_face", WHO)
    assert reapply_receipts(house.studio) == [SUBJECT]
    with pytest.raises(KeyDestroyed):
        house.studio.keyring.unwrap(SUBJECT)
    assert not house.studio.store.listing("vault://orders/order-1")
    assert not any((root / place / "order-1").exists() for place in ("deliveries", "reports"))
    assert house.order().state is OrderState.ERASED
    with house.tx() as connection:
        assert registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer).record is None
    assert house.order("order-2").state is OrderState.SUBMITTED
    assert house.studio.keyring.unwrap("sub-order-2")
    checkpoint, _ = room_of(house.studio.settings, house.studio.database).checkpoint()
    assert checkpoint is not None
    assert room_of(house.studio.settings, house.studio.database).verify().ok


def test_a_restored_database_learns_of_the_erasure_again(house: Any) -> None:
    house.enter()
    fill(house)
    erase(house)
    with house.superuser() as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_event WHERE type IN ('erased', 'erasure_scheduled')")
        cursor.execute("UPDATE subject SET erased_at = NULL")
        cursor.execute("UPDATE orders SET state = 'delivered'")
        cursor.execute("DELETE FROM erasure_step")
        cursor.execute("DELETE FROM erasure")
    assert reapply_receipts(house.studio) == [SUBJECT]
    assert house.order().state is OrderState.ERASED
    assert house.events()[-1] == "erased"


def test_the_backup_of_store_and_database_alone_is_noise(house: Any) -> None:
    """Crypto-shredding: what was copied out before can be opened by nobody."""
    house.enter()
    fill(house)
    with house.tx() as connection:
        (row,) = rows(connection, "SELECT sealed_body, subject_id FROM consent_record")
    erase(house)
    assert (
        KeyringSealer(house.studio.keyring).open(SUBJECT, row["sealed_body"], registry.record_label("order-1")) is None
    )
    commitments = {
        sha256(word.encode()).hexdigest() for word in ("陈秀英", "林晓", "daughter", "1931-04-02", "2019-11-20")
    }
    text = " ".join(entry.model_dump_json() for entry in house.audit())
    assert not [digest for digest in commitments if digest in text]


def test_the_watch_notices_an_erasure_cut_short(house: Any) -> None:
    from memorial_tasks.consent.watch import due_actions

    house.enter()
    house.happens(EventType.ERASURE_SCHEDULED, actor_kind="system", valid_from=house.at)
    with house.tx() as connection:
        (action,) = due_actions(connection, house.at + timedelta(seconds=1), house.studio.keys.trusted)
    assert action.kind == "erase"


def test_what_killed_steps_left_behind_goes_too(tmp_path: Path) -> None:
    from memorial_tasks.consent.erasing import ScratchShelf

    dead, alive = tmp_path / "memorial-99999999-abc", tmp_path / f"memorial-{os.getpid()}-abc"
    for folder in (dead, alive):
        (folder / "inputs").mkdir(parents=True)
        (folder / "inputs" / "photo.png").write_bytes(b"a face")
    assert ScratchShelf((tmp_path, tmp_path / "none")).erase("sub-1", ["order-1"]) == {"files": 1}
    assert not dead.exists()
    assert alive.exists(), "a living step is stopped by the watch, not by pulling its files away"
