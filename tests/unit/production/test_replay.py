"""Comparing two runs of a step: every output by its digest, and nothing that only names the hour."""

from pathlib import Path
from types import SimpleNamespace

from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.production.replay import compare, compare_sealed, tampered
from memorial_tasks.vault.store import EncryptedStore, open_store


def outputs(**digests: str) -> tuple[ArtifactRef, ...]:
    return tuple(
        ArtifactRef(name=name.replace("_", "."), uri=f"vault://x/{name}", sha256=digit * 64, size=1)
        for name, digit in digests.items()
    )


def test_the_same_outputs_have_no_differences() -> None:
    assert compare("speak", outputs(speech_wav="a", timing_json="b"), outputs(timing_json="b", speech_wav="a")) == []


def test_every_difference_is_named_in_order() -> None:
    found = compare("speak", outputs(b_wav="a", a_wav="a", gone_json="c"), outputs(b_wav="b", a_wav="b", new_json="d"))
    assert [(one.name, one.before[:1], one.again[:1]) for one in found] == [
        ("a.wav", "a", "b"),
        ("b.wav", "a", "b"),
        ("gone.json", "c", ""),
        ("new.json", "", "d"),
    ]


def test_pages_that_carry_the_hour_are_left_out() -> None:
    before = (ArtifactRef(name="docs.tar.gz", uri="vault://x/d", sha256="a" * 64, size=1),)
    after = (ArtifactRef(name="docs.tar.gz", uri="vault://x/d", sha256="b" * 64, size=1),)
    assert compare("quality_gate", before, after) == []


def test_of_a_sealed_film_all_but_the_manifest_is_compared() -> None:
    signed = outputs(film_mp4="a", seal_json="b", notes_txt="c"), outputs(film_mp4="d", seal_json="e", notes_txt="c")
    assert compare("seal", *signed) == []
    assert [each.name for each in compare("package", *signed)] == ["film.mp4", "seal.json"]
    assert compare_sealed({"content_sha256": "a" * 64}, {"content_sha256": "a" * 64}) == []
    other = compare_sealed({"content_sha256": "a" * 64}, {"content_sha256": "b" * 64})
    assert [(each.step, each.before[:1], each.again[:1]) for each in other] == [("seal", "a", "b")]
    # a report from before the digest was kept proves nothing
    assert compare_sealed({}, {"content_sha256": "b" * 64})
    assert compare_sealed({}, {})


def test_a_file_changed_or_lost_in_the_vault_is_named(tmp_path: Path) -> None:
    studio = SimpleNamespace(store=open_store(f"file://{tmp_path / 'vault'}", None))
    key = bytes(range(32))
    vault = EncryptedStore(studio.store, key, tmp_path)
    stored = []
    for name in ("kept.wav", "other.wav", "changed.wav", "lost.wav"):
        source = tmp_path / name
        source.write_bytes(name.encode() * 100)
        sha256, size = vault.put(f"vault://orders/o/{name}", source)
        stored.append(ArtifactRef(name=name, uri=f"vault://orders/o/{name}", sha256=sha256, size=size))
    assert tampered(studio, key, tuple(stored), "speak") == []  # type: ignore[arg-type]
    # another file of the same family, rightly encrypted, is put in its place; one is damaged; one is gone
    vault.put("vault://orders/o/other.wav", tmp_path / "kept.wav")
    damaged = next(path for path in (tmp_path / "vault").rglob("changed.wav*") if path.is_file())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    studio.store.delete("vault://orders/o/lost.wav")
    found = tampered(studio, key, tuple(stored), "speak")  # type: ignore[arg-type]
    assert [each.name for each in found] == ["other.wav", "changed.wav", "lost.wav"]
    assert found[0].again == stored[0].sha256
    assert found[1].again == found[2].again == ""
