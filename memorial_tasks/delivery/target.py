"""Where films are handed to the outside: a folder of this machine, or a bucket. What both promise."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

from memorial_tasks.domain.order import valid_order_id
from memorial_tasks.errors import IntegrityError, MemorialError

FILM = "film.mp4"
_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".html": "text/html; charset=utf-8",
    ".png": "image/png",
    ".vtt": "text/vtt; charset=utf-8",
    ".srt": "application/x-subrip; charset=utf-8",
}


@dataclass(frozen=True)
class Item:
    """One file to hand over. `chunks` yields its plaintext from the vault, each time anew."""

    name: str  # below the order's own place: film.mp4, page/index.html
    size: int
    sha256: str
    chunks: Callable[[], Iterator[bytes]] = field(repr=False)

    @property
    def media_type(self) -> str:
        """For the browser that receives it."""
        return _MEDIA_TYPES.get(PurePosixPath(self.name).suffix, "application/octet-stream")


@dataclass(frozen=True)
class Placed:
    """One file in its place. `version` is the bucket's, empty in a folder."""

    name: str
    size: int
    sha256: str
    version: str = ""

    def document(self) -> dict[str, Any]:
        """As it is kept in the registry."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256, "version": self.version}


class Staged(Protocol):
    """Files whose bytes lie at the target, checked, but which nobody was given yet."""

    @property
    def place(self) -> str:
        """The film's address: a path or ``s3://...``."""

    @property
    def objects(self) -> Sequence[Placed]:
        """Everything that lies there."""

    def publish(self) -> None:
        """Makes them the order's delivered files, all at once. Called just before the registry's commit."""

    def discard(self) -> None:
        """Removes what was staged and not published, for good."""


class Target(Protocol):
    """A place to deliver to."""

    @property
    def name(self) -> str:
        """The registry's word for it."""

    def check(self) -> None:
        """Raises `MemorialError` when the place must not be used."""

    def stage(self, order_id: str, film: str, items: Sequence[Item]) -> AbstractContextManager[Staged]:
        """Brings the files there, whole and verified. What lies there already and is right is not sent again."""

    def hide(self, order_id: str, keep: str = "") -> int:
        """No address opens any more; nothing is destroyed. `keep` names the film (sha256) that stays."""

    def erase(self, order_id: str) -> int:
        """Destroys every copy and every version of the order's files; returns how many."""


def checked(item: Item) -> Iterator[bytes]:
    """The item's bytes; `IntegrityError` at the end unless they were exactly the ones that were approved."""
    digest, size = hashlib.sha256(), 0
    for chunk in item.chunks():
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if digest.hexdigest() != item.sha256 or size != item.size:
        raise IntegrityError(
            "the vault's copy is not the file that was approved", where=item.name, remedy="run the order again"
        )


def safe_order(order_id: str) -> str:
    """The order id as part of a path or key; `MemorialError` for anything that is not one."""
    if not valid_order_id(order_id):
        raise MemorialError("not an order id", where="order", remedy="see 'memorial order list'")
    return order_id


def safe_name(name: str) -> str:
    """An item's name as a relative path; `IntegrityError` when it would leave its place."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or any(part in {"..", "."} or part.startswith(".") for part in path.parts):
        raise IntegrityError("an artifact's name leaves its folder", where="delivery", remedy="call an engineer")
    return str(path)
