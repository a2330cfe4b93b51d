"""Where encrypted objects lie: a local folder, or a bucket through boto3. Both hold ciphertext only.

Object names are made by us (order id, step, result key, artifact name); they are checked again here, because
a name with ``..`` must not leave the vault whoever made it.
"""

import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.vault.session import session_of

SCHEME = "vault://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/=-]{0,500}")


def object_name(uri: str) -> str:
    """The name inside the store of ``vault://name``; `MemorialError` for anything that is not one."""
    name = uri.removeprefix(SCHEME)
    if uri == name or not _NAME.fullmatch(name) or any(part in {"", ".", ".."} for part in name.split("/")):
        raise MemorialError("not an address in the vault", where=uri[:80], remedy="use addresses the vault returned")
    return name


class Store(Protocol):
    """What every store can do. All names are ``vault://`` addresses."""

    def put(self, uri: str, source: Path) -> None:
        """Store the file; the object appears whole or not at all."""

    def fetch(self, uri: str, target: Path) -> None:
        """Copy the object to `target`; `MemorialError` when there is none."""

    def reading(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """The object as a stream, never as a whole; `MemorialError` when there is none."""

    def exists(self, uri: str) -> bool:
        """True when the object is there."""

    def listing(self, prefix: str) -> list[str]:
        """Addresses of all objects below the prefix, sorted."""

    def delete(self, uri: str) -> int:
        """Remove the object with all its versions; returns how many objects were removed."""


class LocalStore:
    """Objects as files below one private folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, uri: str) -> Path:
        return self.root / object_name(uri)

    def put(self, uri: str, source: Path) -> None:
        path = self._path(uri)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            shutil.copyfile(source, temporary)
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise Unavailable(
                "the vault cannot be written", where=uri, remedy=f"free space or mend the disk ({error.strerror})"
            ) from error

    def fetch(self, uri: str, target: Path) -> None:
        try:
            shutil.copyfile(self._path(uri), target)
        except FileNotFoundError:
            raise MemorialError(
                "the object is not in the vault", where=uri, remedy="it may have been erased; see the audit log"
            ) from None

    @contextmanager
    def reading(self, uri: str) -> Iterator[BinaryIO]:
        try:
            handle = self._path(uri).open("rb")
        except FileNotFoundError:
            raise MemorialError(
                "the object is not in the vault", where=uri, remedy="it may have been erased; see the audit log"
            ) from None
        with handle:
            yield handle

    def exists(self, uri: str) -> bool:
        return self._path(uri).is_file()

    def listing(self, prefix: str) -> list[str]:
        folder = self._path(prefix.rstrip("/"))
        if not folder.is_dir():
            return []
        return sorted(
            f"{SCHEME}{path.relative_to(self.root).as_posix()}"
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )

    def delete(self, uri: str) -> int:
        path = self._path(uri)
        if not path.is_file():
            return 0
        path.unlink()
        return 1


class S3Store:
    """Objects in a bucket below one prefix. Deleting removes every version, because a delete marker erases nothing."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None = None, credentials: Path | None = None) -> None:
        import boto3

        self.bucket, self.prefix = bucket, prefix.strip("/")
        session = session_of(credentials) if credentials else boto3
        self.client = session.client("s3", endpoint_url=endpoint)

    def _key(self, uri: str) -> str:
        name = object_name(uri)
        return f"{self.prefix}/{name}" if self.prefix else name

    def put(self, uri: str, source: Path) -> None:
        self.client.upload_file(str(source), self.bucket, self._key(uri))

    def fetch(self, uri: str, target: Path) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.download_file(self.bucket, self._key(uri), str(target))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey"}:
                raise MemorialError(
                    "the object is not in the vault", where=uri, remedy="it may have been erased; see the audit log"
                ) from None
            raise Unavailable("the bucket does not answer", where=uri, remedy="see the store's own logs") from error

    @contextmanager
    def reading(self, uri: str) -> Iterator[BinaryIO]:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            body = self.client.get_object(Bucket=self.bucket, Key=self._key(uri))["Body"]
            with io.BufferedReader(body) as handle:  # the network gives what it has; a reader here gets what it asked
                yield handle
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey"}:
                raise MemorialError(
                    "the object is not in the vault", where=uri, remedy="it may have been erased; see the audit log"
                ) from None
            raise Unavailable("the bucket does not answer", where=uri, remedy="see the store's own logs") from error
        except (BotoCoreError, HTTPClientError) as error:
            raise Unavailable("the bucket stopped answering", where=uri, remedy="try again") from error

    def exists(self, uri: str) -> bool:
        key = self._key(uri)
        answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(item["Key"] == key for item in answer.get("Contents", ()))

    def listing(self, prefix: str) -> list[str]:
        start = self._key(prefix.rstrip("/")) + "/"
        cut = len(self.prefix) + 1 if self.prefix else 0
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start)
        return sorted(f"{SCHEME}{item['Key'][cut:]}" for page in pages for item in page.get("Contents", ()))

    def delete(self, uri: str) -> int:
        key, removed = self._key(uri), 0
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=key):
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if item["Key"] == key:
                    self.client.delete_object(Bucket=self.bucket, Key=key, VersionId=item["VersionId"])
                    removed += 1
        return removed


def open_store(url: str, endpoint: str | None = None, credentials: Path | None = None) -> Store:
    """The store at ``file:///folder`` or ``s3://bucket/prefix``; `credentials` is a file as `vault.session` reads it,
    without one boto3's own chain is asked."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalStore(Path(parts.path))
    if parts.scheme == "s3" and parts.netloc:
        return S3Store(parts.netloc, parts.path, endpoint, credentials)
    raise MemorialError(
        "unknown kind of store", where="MEMORIAL_STORE", remedy="use file:///folder or s3://bucket/prefix"
    )


@contextmanager
def _scratch_file(folder: Path) -> Iterator[Path]:
    path = folder / f".vault-{secrets.token_hex(8)}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class EncryptedStore:
    """A store seen through one subject's data key: plaintext files go in and come out, ciphertext is kept."""

    def __init__(self, store: Store, data_key: bytes, scratch: Path) -> None:
        self.store, self._key, self.scratch = store, data_key, scratch

    def put(self, uri: str, source: Path) -> tuple[str, int]:
        """Encrypt and store; returns sha256 and size of the plaintext."""
        from memorial_tasks.vault.cipher import encrypt_stream

        with _scratch_file(self.scratch) as sealed:
            with source.open("rb") as plain, sealed.open("wb") as target:
                digest = encrypt_stream(plain, target, self._key, uri)
            self.store.put(uri, sealed)
        return digest

    def fetch(self, uri: str, target: Path) -> tuple[str, int]:
        """Fetch and decrypt; returns sha256 and size of the plaintext. `target` appears whole or not at all."""
        from memorial_tasks.vault.cipher import decrypt_stream

        partial = target.with_name(f".{target.name}.partial")
        try:
            with _scratch_file(self.scratch) as sealed:
                self.store.fetch(uri, sealed)
                with sealed.open("rb") as source, partial.open("wb") as plain:
                    digest = decrypt_stream(source, plain, self._key, uri)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return digest

    def chunks(self, uri: str) -> Iterator[bytes]:
        """The plaintext, a chunk of 1 MiB at a time: it is never on disk and never whole in memory."""
        from memorial_tasks.vault.cipher import decrypt_chunks

        with self.store.reading(uri) as source:
            yield from decrypt_chunks(source, self._key, uri)
