"""Data keys, one a subject, wrapped by a key that never leaves its keeper.

Destroying a subject's wrapped key makes everything encrypted under it unreadable (crypto-shredding, NIST SP
800-88r2), also in backups of the store and the database. Therefore back the keyring up apart from both, and let
those backups expire within the promised time.
"""

import fcntl
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from memorial_tasks.errors import IntegrityError, MemorialError
from memorial_tasks.vault.cipher import KEY_BYTES, seal, unseal, write_private


class KeyDestroyed(MemorialError):
    """The subject was erased: the key is gone on purpose and cannot come back."""


class Keyring(Protocol):
    """Keeps one data key a subject."""

    def create(self, subject: str) -> None:
        """Make a data key unless the subject has one; `KeyDestroyed` when it was erased."""

    def unwrap(self, subject: str) -> bytes:
        """The subject's data key, 32 bytes; `KeyDestroyed` or `MemorialError` when there is none."""

    def destroy(self, subject: str) -> bool:
        """Destroy every copy of the key; True when there was one. A tombstone stays, so it cannot be recreated."""


def _safe(subject: str) -> str:
    if not subject.replace("-", "").replace("_", "").isalnum():
        raise MemorialError("not a subject id", where="subject", remedy="use the id the studio gave")
    return subject


class LocalKeyring:
    """Wrapped keys as private files, the wrapping key beside them. For one machine; production uses KMS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _wrapping_key(self) -> bytes:
        path = self.folder / "wrapping.key"
        if not path.is_file():
            if any(self.folder.glob("subjects/*.key")):
                raise IntegrityError("the wrapping key is gone", where=str(path), remedy="restore it from its backup")
            write_private(path, secrets.token_bytes(KEY_BYTES))
        return path.read_bytes()

    def _files(self, subject: str) -> tuple[Path, Path]:
        stem = self.folder / "subjects" / _safe(subject)
        return stem.with_suffix(".key"), stem.with_suffix(".destroyed")

    def create(self, subject: str) -> None:
        with self._lock():
            key, tombstone = self._files(subject)
            if tombstone.exists():
                raise KeyDestroyed("this subject was erased", where=subject, remedy="submit under a new subject")
            if not key.exists():
                write_private(key, seal(secrets.token_bytes(KEY_BYTES), self._wrapping_key(), f"subject {subject}"))

    def unwrap(self, subject: str) -> bytes:
        key, tombstone = self._files(subject)
        if tombstone.exists():
            raise KeyDestroyed("this subject was erased", where=subject, remedy="nothing can be made of it any more")
        if not key.exists():
            raise MemorialError("no data key for this subject", where=subject, remedy="restore the keyring's backup")
        return unseal(key.read_bytes(), self._wrapping_key(), f"subject {subject}")

    def destroy(self, subject: str) -> bool:
        with self._lock():
            key, tombstone = self._files(subject)
            if not tombstone.exists():
                write_private(tombstone, json.dumps({"destroyed_at": datetime.now(UTC).isoformat()}).encode())
            if not key.exists():
                return False
            # Overwriting before unlinking helps on plain disks and costs nothing; the tombstone is what is promised.
            key.write_bytes(secrets.token_bytes(key.stat().st_size))
            key.unlink()
            return True


class KmsKeyring:
    """Data keys wrapped by AWS KMS through boto3; the wrapped bytes lie in the local keyring folder."""

    def __init__(self, folder: Path, key_id: str, endpoint: str | None = None, client: Any = None) -> None:
        import boto3

        self.folder, self.key_id = folder, key_id
        self.client = client or boto3.client("kms", endpoint_url=endpoint)

    def _files(self, subject: str) -> tuple[Path, Path]:
        stem = self.folder / "subjects" / _safe(subject)
        return stem.with_suffix(".kms"), stem.with_suffix(".destroyed")

    def create(self, subject: str) -> None:
        key, tombstone = self._files(subject)
        if tombstone.exists():
            raise KeyDestroyed("this subject was erased", where=subject, remedy="submit under a new subject")
        if not key.exists():
            answer = self.client.generate_data_key_without_plaintext(
                KeyId=self.key_id, KeySpec="AES_256", EncryptionContext={"subject": subject}
            )
            write_private(key, answer["CiphertextBlob"])

    def unwrap(self, subject: str) -> bytes:
        key, tombstone = self._files(subject)
        if tombstone.exists():
            raise KeyDestroyed("this subject was erased", where=subject, remedy="nothing can be made of it any more")
        if not key.exists():
            raise MemorialError("no data key for this subject", where=subject, remedy="restore the keyring's backup")
        answer = self.client.decrypt(
            CiphertextBlob=key.read_bytes(), KeyId=self.key_id, EncryptionContext={"subject": subject}
        )
        return bytes(answer["Plaintext"])

    def destroy(self, subject: str) -> bool:
        key, tombstone = self._files(subject)
        if not tombstone.exists():
            write_private(tombstone, json.dumps({"destroyed_at": datetime.now(UTC).isoformat()}).encode())
        if not key.exists():
            return False
        key.unlink()
        return True
