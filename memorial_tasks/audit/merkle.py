"""The Merkle tree of RFC 9162 (Certificate Transparency version 2), section 2.1, as pure functions over hashes.

A proof is a list of hashes of ranges of leaves. `inclusion_ranges` and `consistency_ranges` say which ranges;
who holds the tree (a list in memory, a database) says what their hashes are. Everything is SHA-256.
"""

import hashlib
from collections.abc import Callable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
BLOCK = 256  # leaves that are hashed together

_sha256 = hashlib.sha256
RangeHash = Callable[[int, int], bytes]  # (first, past the last) -> hash of that range of leaves


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry: ``SHA-256(0x00 || entry)``."""
    return _sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: ``SHA-256(0x01 || left || right)``."""
    return _sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Root over `hashes`, which are leaves or equally high complete subtrees, the last one possibly incomplete.

    Pairing level by level and carrying an odd last hash up gives the same tree as the RFC's split at the
    largest power of two below the size.
    """
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        above = [_sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) & 1:
            above.append(level[-1])
        level = above
    return level[0]


class Frontier:
    """A growing tree that keeps only the roots of its complete subtrees (about log2(size) hashes)."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []  # (height, hash), highest first

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash."""
        self._push(0, leaf)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Adds many leaf hashes; whole blocks are hashed level by level, which is several times quicker."""
        start, total = 0, len(leaves)
        while start < total and self.size % BLOCK:
            self._push(0, leaves[start])
            start += 1
        while start + BLOCK <= total:
            self._push(8, root_of(leaves[start : start + BLOCK]))
            start += BLOCK
        for leaf in leaves[start:]:
            self._push(0, leaf)

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        if not self._peaks:
            return EMPTY_ROOT
        result = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            result = node_hash(peak, result)
        return result

    def _push(self, height: int, value: bytes) -> None:
        self.size += 1 << height
        while self._peaks and self._peaks[-1][0] == height:
            value = node_hash(self._peaks.pop()[1], value)
            height += 1
        self._peaks.append((height, value))


# --- proofs -----------------------------------------------------------------------------------------------


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Ranges whose hashes prove that leaf `index` is in the tree of `size` leaves, leaf side first (2.1.3.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not in a log of {size} entries")
    found: list[tuple[int, int]] = []
    first, past = 0, size
    while past - first > 1:
        middle = first + _split(past - first)
        if index < middle:
            found.append((middle, past))
            past = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Ranges whose hashes prove that the tree of `old` leaves is the beginning of the one of `new` (2.1.4.1).

    Empty when the sizes are equal.

    Raises:
        ValueError: `old` is 0 or larger than `new`.
    """
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new} entries")
    found: list[tuple[int, int]] = []
    first, past, whole = 0, new, True
    while old != past:
        middle = first + _split(past - first)
        if old <= middle:
            found.append((middle, past))
            past = middle
        else:
            found.append((first, middle))
            first, whole = middle, False
    if not whole:
        found.append((first, past))
    return found[::-1]


def inclusion_proof(index: int, size: int, hash_of: RangeHash) -> list[bytes]:
    """The proof itself."""
    return [hash_of(first, past) for first, past in inclusion_ranges(index, size)]


def consistency_proof(old: int, new: int, hash_of: RangeHash) -> list[bytes]:
    """The proof itself."""
    return [hash_of(first, past) for first, past in consistency_ranges(old, new)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2: True when `leaf` is entry `index` of the tree with `size` leaves and this `root`."""
    if not 0 <= index < size:
        return False
    position, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and result == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162, 2.1.4.2: True when the tree `old_root` is the beginning of the tree `new_root`."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    before = after = hashes[0]
    for value in hashes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            before, after = node_hash(value, before), node_hash(value, after)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            after = node_hash(after, value)
        position, last = position >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def range_hash_of(leaves: Sequence[bytes]) -> RangeHash:
    """The hashes of a tree held in memory."""

    def hash_of(first: int, past: int) -> bytes:
        return root_of(leaves[first:past])

    return hash_of


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1
