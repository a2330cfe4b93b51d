"""The embedded default: one private folder an order, which appears whole or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.delivery.target import FILM, Item, Placed, checked, safe_name, safe_order
from memorial_tasks.errors import Unavailable


def file_digest(path: Path) -> str | None:
    """sha256 of a plain file, a piece at a time; None when there is none."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return None


@dataclass
class _Folder:
    """What `FolderTarget.stage` made: a folder beside the final one, or nothing when that one is right already."""

    target: Path
    made: Path | None
    objects: Sequence[Placed]

    @property
    def place(self) -> str:
        return str(self.target / FILM)

    def publish(self) -> None:
        if self.made is None:
            return
        old = self.target.with_name(f".{self.target.name}.old-{secrets.token_hex(6)}")
        if self.target.exists():
            os.replace(self.target, old)
        os.replace(self.made, self.target)
        _sync_folder(self.target.parent)
        shutil.rmtree(old, ignore_errors=True)
        self.made = None

    def discard(self) -> None:
        if self.made is not None:
            shutil.rmtree(self.made, ignore_errors=True)


@dataclass(frozen=True)
class FolderTarget:
    """Delivers into ``root/ORDER/``."""

    root: Path
    name: str = "local"

    def check(self) -> None:
        """Raises `Unavailable` when the folder cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(
                f"the folder cannot be made ({error.strerror})", where="MEMORIAL_DELIVERIES", remedy="choose another"
            ) from error

    @contextmanager
    def stage(self, order_id: str, film: str, items: Sequence[Item]) -> Iterator[_Folder]:
        """The files in a hidden folder beside ``root/ORDER``; whatever a killed process left there goes first."""
        target = self.root / safe_order(order_id)
        for left in self._leftovers(order_id):
            shutil.rmtree(left, ignore_errors=True)
        objects = tuple(Placed(safe_name(item.name), item.size, item.sha256) for item in items)
        if all(file_digest(target / placed.name) == placed.sha256 for placed in objects):
            yield _Folder(target, None, objects)
            return
        made = self.root / f".{target.name}.new-{secrets.token_hex(6)}"
        staged = _Folder(target, made, objects)
        try:
            made.mkdir(mode=0o700)
            for item in items:
                _write(made / safe_name(item.name), checked(item))
            yield staged
        except OSError as error:
            raise Unavailable(
                f"the film cannot be written ({error.strerror})", where="MEMORIAL_DELIVERIES", remedy="free some space"
            ) from error
        finally:
            staged.discard()

    def _leftovers(self, order_id: str) -> list[Path]:
        safe = safe_order(order_id)
        return [path for kind in ("new", "old") for path in self.root.glob(f".{safe}.{kind}-*")]

    def hide(self, order_id: str, keep: str = "") -> int:
        """The order's folder goes: unlike a bucket's object a file needs no address to be opened. What was delivered
        lies sealed in the vault and is written again when consent allows it. With `keep` the folder is that film's."""
        return 0 if keep else self.erase(order_id)

    def erase(self, order_id: str) -> int:
        """Deletes the order's folder and whatever a killed process left beside it."""
        removed = 0
        for folder in (self.root / safe_order(order_id), *self._leftovers(order_id)):
            if folder.is_symlink():
                folder.unlink()
                removed += 1
            elif folder.is_dir():
                removed += sum(1 for path in folder.rglob("*") if path.is_file())
                shutil.rmtree(folder)
        return removed


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        for chunk in chunks:
            handle.write(chunk)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
