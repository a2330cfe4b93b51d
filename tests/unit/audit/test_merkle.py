"""The tree is that of RFC 9162: published vectors, an independent implementation, and every small (m, n)."""

import hashlib

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorial_tasks.audit import merkle

# The test tree of the Certificate Transparency reference implementation.
VECTOR = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves_of(count: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(count)]


def oracle_of(count: int) -> pymerkle.InmemoryTree:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(count):
        tree.append_entry(str(number).encode())
    return tree


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_the_published_ones(count: int) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in VECTOR[:count]]
    assert merkle.root_of(leaves).hex() == ROOTS[count - 1]


def test_published_proofs() -> None:
    leaves = [merkle.leaf_hash(entry) for entry in VECTOR]
    hash_of = merkle.range_hash_of(leaves)
    assert [part.hex() for part in merkle.inclusion_proof(0, 8, hash_of)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [part.hex() for part in merkle.consistency_proof(6, 8, hash_of)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_the_empty_tree() -> None:
    assert merkle.root_of([]) == hashlib.sha256(b"").digest() == merkle.Frontier().root()


@given(st.integers(1, 700))
def test_root_and_frontier_agree_with_pymerkle(count: int) -> None:
    leaves = leaves_of(count)
    frontier = merkle.Frontier()
    frontier.extend(leaves[: count // 3])
    frontier.extend(leaves[count // 3 :])
    assert merkle.root_of(leaves) == oracle_of(count).get_root() == frontier.root()
    assert frontier.size == count


@given(st.data())
def test_inclusion_agrees_with_pymerkle_and_nothing_else_verifies(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, count - 1))
    leaves = leaves_of(count)
    root = merkle.root_of(leaves)
    proof = merkle.inclusion_proof(index, count, merkle.range_hash_of(leaves))
    assert merkle.verify_inclusion(leaves[index], index, count, proof, root)
    # pymerkle's path also holds the leaf itself
    theirs = oracle_of(count).prove_inclusion(index + 1)
    theirs.verify(leaves[index], root, index=index + 1, size=count, algorithm="sha256")
    assert set(proof) <= set(theirs.path)

    other = data.draw(st.integers(0, count + 3).filter(lambda number: number != index))
    assert not merkle.verify_inclusion(leaves[index], other, count, proof, root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"forged"), index, count, proof, root)
    assert not merkle.verify_inclusion(leaves[index], index, count, [*proof, root], root)
    if proof:
        assert not merkle.verify_inclusion(leaves[index], index, count, proof[:-1], root)
        flip = data.draw(st.integers(0, len(proof) - 1))
        forged = [bytes(32) if place == flip else part for place, part in enumerate(proof)]
        assert not merkle.verify_inclusion(leaves[index], index, count, forged, root)


@given(st.data())
def test_consistency_agrees_with_pymerkle_and_a_fork_does_not_verify(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 300))
    old = data.draw(st.integers(1, new))
    leaves = leaves_of(new)
    old_root, new_root = merkle.root_of(leaves[:old]), merkle.root_of(leaves)
    proof = merkle.consistency_proof(old, new, merkle.range_hash_of(leaves))
    assert merkle.verify_consistency(old, new, old_root, new_root, proof)
    theirs = oracle_of(new).prove_consistency(old, new)
    pymerkle.verify_consistency(old_root, new_root, theirs)

    changed = data.draw(st.integers(0, old - 1))
    fork = [merkle.leaf_hash(b"forged") if place == changed else leaf for place, leaf in enumerate(leaves)]
    forged = merkle.consistency_proof(old, new, merkle.range_hash_of(fork))
    assert not merkle.verify_consistency(old, new, old_root, merkle.root_of(fork), forged)
    assert not merkle.verify_consistency(old, new, old_root, merkle.root_of(fork), proof)
    assert not merkle.verify_consistency(old, new, old_root, new_root, [*proof, new_root])


def test_every_small_pair() -> None:
    leaves = leaves_of(40)
    hash_of = merkle.range_hash_of(leaves)
    for new in range(1, 41):
        root = merkle.root_of(leaves[:new])
        for old in range(1, new + 1):
            proof = merkle.consistency_proof(old, new, hash_of)
            assert merkle.verify_consistency(old, new, merkle.root_of(leaves[:old]), root, proof)
            proof = merkle.inclusion_proof(old - 1, new, hash_of)
            assert merkle.verify_inclusion(leaves[old - 1], old - 1, new, proof, root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_no_proof_for_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a log"):
        merkle.inclusion_ranges(index, size)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5)])
def test_no_consistency_backwards_or_from_nothing(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="no consistency proof"):
        merkle.consistency_ranges(old, new)
    assert not merkle.verify_consistency(old, new, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
