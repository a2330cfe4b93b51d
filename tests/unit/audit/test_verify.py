"""Checking entries without a database: the same answers from the room and from the stand-alone verifier."""

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorial_tasks.audit import merkle, proof
from memorial_tasks.audit import note as notes
from memorial_tasks.audit.bundle import verifier_path
from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.verify import verify_entries
from memorial_tasks.errors import IntegrityError

START = datetime(2026, 11, 21, tzinfo=UTC)
ACTOR = Actor(kind="service", id="w")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> notes.SigningKeys:
    return notes.create_keys(tmp_path_factory.mktemp("ring"), "memorial-studio/unit")


@pytest.fixture(scope="session")
def alone() -> ModuleType:
    path = verifier_path()
    assert path is not None
    found = importlib.util.spec_from_file_location("audit_verifier", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def entries_of(count: int) -> list[bytes]:
    return [
        AuditEvent(type="a.b", actor=ACTOR, at=START + timedelta(seconds=n), data={"n": n}).body() for n in range(count)
    ]


def note_of(keys: notes.SigningKeys, entries: list[bytes], size: int) -> str:
    root = merkle.root_of([merkle.leaf_hash(entry) for entry in entries[:size]])
    return notes.sign(keys, size, root, START + timedelta(seconds=size))


def test_the_stand_alone_verifier_is_short_and_imports_nothing_of_ours() -> None:
    path = verifier_path()
    assert path is not None
    text = path.read_text()
    assert len(text.splitlines()) < 200
    assert "memorial_tasks" not in text.replace("imports nothing from `memorial_tasks`", "")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_tampering_is_found_by_both_and_named_alike(
    keys: notes.SigningKeys, alone: ModuleType, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    count = data.draw(st.integers(3, 60))
    sizes = sorted(data.draw(st.sets(st.integers(1, count), min_size=1, max_size=4)) | {count})
    honest = entries_of(count)
    texts = [note_of(keys, honest, size) for size in sizes]
    bad = data.draw(st.integers(0, count - 1))
    shown = list(honest)
    how = data.draw(st.sampled_from(["honest", "edit", "delete", "swap", "cut", "insert"]))
    if how == "edit":
        shown[bad] = honest[bad].replace(b'"v":1', b'"v":2')
    elif how == "delete":
        del shown[bad]
    elif how == "swap":
        other = (bad + 1) % count
        shown[bad], shown[other] = shown[other], shown[bad]
        bad = min(bad, other)
    elif how == "cut":
        shown = shown[:bad]
    elif how == "insert":
        shown.insert(bad, honest[bad].replace(b'"v":1', b'"v":2'))

    found = verify_entries(shown, texts, keys.public)
    assert found.ok == (how == "honest")

    folder = tmp_path_factory.mktemp("b")
    (folder / "checkpoints").mkdir()
    (folder / "entries.ndjson").write_bytes(b"".join(entry + b"\n" for entry in shown))
    for size, text in zip(sizes, texts, strict=True):
        (folder / "checkpoints" / f"{size:012d}.note").write_text(text)
    faults = list(alone.check_bundle(folder, alone.read_keys("\n".join(map(str, keys.public))), [], {}))
    assert bool(faults) == (how != "honest")
    if faults:
        first = found.faults[0]
        assert min(entry for entry, _ in faults if entry is not None) == first.entry
        assert first.entry is not None
        assert first.entry <= bad < (first.upto or first.entry + 1)


def test_known_hashes_name_the_entry_exactly(keys: notes.SigningKeys) -> None:
    honest = entries_of(100)
    texts = [note_of(keys, honest, size) for size in (10, 100)]
    kept = b"".join(merkle.leaf_hash(entry) for entry in honest)
    shown = [*honest[:57], honest[57].replace(b'"v":1', b'"v":2'), *honest[58:]]
    vague = verify_entries(shown, texts, keys.public).faults[0]
    assert (vague.entry, vague.upto) == (10, 100)
    exact = verify_entries(
        shown, texts, keys.public, known_leaves=lambda first, past: kept[32 * first : 32 * past]
    ).faults[0]
    assert (exact.entry, exact.upto) == (57, None)


@pytest.mark.parametrize(("shift", "good"), [(-600, True), (-1200, False), (600, True), (1200, False)])
def test_a_time_must_fit_the_checkpoints_around_it(keys: notes.SigningKeys, shift: int, good: bool) -> None:
    honest = entries_of(20)
    moved = AuditEvent(type="a.b", actor=ACTOR, at=START + timedelta(seconds=15 + shift)).body()
    shown = [*honest[:15], moved, *honest[16:]]
    found = verify_entries(shown, [note_of(keys, shown, 10), note_of(keys, shown, 20)], keys.public)
    assert found.ok is good
    if not good:
        assert (found.faults[0].code, found.faults[0].entry) == ("time", 15)


def test_an_empty_log_and_one_without_checkpoints(keys: notes.SigningKeys) -> None:
    empty = verify_entries([], [], keys.public)
    assert (empty.ok, empty.size, empty.root) == (True, 0, merkle.EMPTY_ROOT)
    young = verify_entries(entries_of(3), [], keys.public)
    assert (young.ok, young.checkpoints, young.anchored) == (True, 0, 0)


def test_entry_and_consistency_proofs_stand_alone(keys: notes.SigningKeys, alone: ModuleType, tmp_path: Path) -> None:
    honest = entries_of(40)
    hash_of = merkle.range_hash_of([merkle.leaf_hash(entry) for entry in honest])
    document = {
        "format": proof.ENTRY,
        "origin": keys.origin,
        "index": 7,
        "size": 40,
        "entry": honest[7].decode(),
        "path": [part.hex() for part in merkle.inclusion_proof(7, 40, hash_of)],
        "checkpoint": note_of(keys, honest, 40),
    }
    assert proof.verify_proof(document, keys.public).size == 40
    trusted = alone.read_keys(" ".join(map(str, keys.public)))
    assert list(alone.check_proof(document, trusted, None)) == []
    for change in ({"index": 8}, {"entry": honest[8].decode()}, {"path": []}, {"path": document["path"][::-1]}):
        with pytest.raises(IntegrityError):
            proof.verify_proof(document | change, keys.public)
        assert list(alone.check_proof(document | change, trusted, None))
    grown = {
        "format": proof.CONSISTENCY,
        "old": note_of(keys, honest, 13),
        "new": note_of(keys, honest, 40),
        "path": [part.hex() for part in merkle.consistency_proof(13, 40, hash_of)],
    }
    assert proof.verify_proof(grown, keys.public).size == 40
    with pytest.raises(IntegrityError):
        proof.verify_proof(grown | {"old": note_of(keys, honest[1:], 13)}, keys.public)
    for junk in ({}, {"format": "x", "path": []}, {"format": proof.ENTRY, "path": ["zz"]}):
        with pytest.raises(IntegrityError):
            proof.verify_proof(junk, keys.public)
