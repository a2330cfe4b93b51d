"""The vault's objects: whole or not at all, and never outside the vault."""

from pathlib import Path

import pytest

from memorial_tasks.errors import IntegrityError, MemorialError
from memorial_tasks.vault.store import EncryptedStore, LocalStore, object_name, open_store

KEY = bytes(range(32))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "vault")


@pytest.fixture
def vault(store: LocalStore, tmp_path: Path) -> EncryptedStore:
    return EncryptedStore(store, KEY, tmp_path)


@pytest.mark.parametrize(
    "uri",
    [
        "vault://../x",
        "vault:///etc/passwd",
        "vault://a/../../b",
        "vault://a//b",
        "file:///x",
        "vault://",
        "vault://a\0b",
    ],
)
def test_addresses_cannot_leave_the_vault(uri: str) -> None:
    with pytest.raises(MemorialError, match="address"):
        object_name(uri)


def test_what_lies_in_the_store_is_ciphertext(vault: EncryptedStore, store: LocalStore, tmp_path: Path) -> None:
    plain = tmp_path / "photo.png"
    plain.write_bytes(b"a very private picture" * 100)
    digest, size = vault.put("vault://orders/one/photo.png", plain)
    stored = (store.root / "orders/one/photo.png").read_bytes()
    assert b"private" not in stored
    assert size == plain.stat().st_size
    target = tmp_path / "again.png"
    assert vault.fetch("vault://orders/one/photo.png", target) == (digest, size)
    assert target.read_bytes() == plain.read_bytes()


def test_an_object_copied_to_another_order_does_not_open(
    vault: EncryptedStore, store: LocalStore, tmp_path: Path
) -> None:
    plain = tmp_path / "a"
    plain.write_bytes(b"x")
    vault.put("vault://orders/one/a", plain)
    store.put("vault://orders/two/a", store.root / "orders/one/a")
    with pytest.raises(IntegrityError):
        vault.fetch("vault://orders/two/a", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert not list(tmp_path.glob(".*partial"))


def test_listing_and_deleting(store: LocalStore, tmp_path: Path) -> None:
    plain = tmp_path / "a"
    plain.write_bytes(b"x")
    for name in ("orders/one/b", "orders/one/a/c", "orders/two/a"):
        store.put(f"vault://{name}", plain)
    assert store.listing("vault://orders/one") == ["vault://orders/one/a/c", "vault://orders/one/b"]
    assert store.delete("vault://orders/one/b") == 1
    assert store.delete("vault://orders/one/b") == 0
    assert not store.exists("vault://orders/one/b")
    assert store.listing("vault://orders/none") == []


def test_a_missing_object_says_so(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(MemorialError, match="erased"):
        store.fetch("vault://orders/one/none", tmp_path / "x")


def test_unknown_stores_are_refused() -> None:
    with pytest.raises(MemorialError, match="s3://"):
        open_store("ftp://somewhere")
