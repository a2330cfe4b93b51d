"""One byte range of one file (RFC 9110, section 14). Several ranges in one request are refused."""

import re
from dataclasses import dataclass

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Range:
    """Bytes `first` to `last`, both included, of a file of `size` bytes."""

    first: int
    last: int
    size: int
    partial: bool

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    @property
    def header(self) -> str:
        """The Content-Range of the answer."""
        return f"bytes {self.first}-{self.last}/{self.size}"


def wanted_range(header: str | None, size: int) -> Range | None:
    """The range asked for; the whole file when none was; None when it cannot be satisfied (status 416)."""
    if not header:
        return Range(0, size - 1, size, partial=False) if size else None
    match = _ONE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":  # the last n bytes
        count = min(int(match[2]), size)
        return Range(size - count, size - 1, size, partial=True) if count else None
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    return Range(first, last, size, partial=True) if first <= last else None
