"""Base models an operator brings: taken with digest and licences, refused by name, never opened."""

import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import yaml
from safetensors.torch import save_file

from memorial_tasks.database.connection import AUDITOR, rows, transaction
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.errors import InputRefused, MemorialError, ModelRefused
from memorial_tasks.production import models
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from memorial_tasks.vault.store import EncryptedStore

pytestmark = pytest.mark.integration

WHO = Who("person", "ann")
FORMAT, FACE = "memorial-voice-base-1", "memorial-face-base-1"


@pytest.fixture
def studio(database: str, tmp_path: Path) -> Studio:
    return Studio.open(Settings(home=tmp_path / "home", database_url=database))


@pytest.fixture
def brought(tmp_path: Path) -> Callable[..., Path]:
    """A checkpoint with its manifest, written by the library itself; keys of the manifest as the test wants them."""

    def write(written: str = FORMAT, **changes: Any) -> Path:
        folder = tmp_path / "brought"
        folder.mkdir(exist_ok=True)
        file = folder / "model.safetensors"
        about = {"format": written, "config": "cpu"}
        save_file({"a": torch.zeros(3, 4), "b": torch.ones(5, dtype=torch.float16)}, file, metadata=about)
        document = {
            "model": "zh-base-1",
            "kind": "voice",
            "architecture": FORMAT,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "licence": "Apache-2.0",
            "source": "https://models.example/zh-base-1",
            "corpus": {"name": "aishell-3", "licence": "Apache-2.0", "source": "https://corpora.example/aishell-3"},
        }
        path = folder / "manifest.yaml"
        path.write_text(yaml.safe_dump(document | changes), "utf-8")
        return path

    return write


def audited(studio: Studio) -> int:
    with transaction(studio.database, role=AUDITOR) as connection:
        found = rows(connection, "SELECT 1 FROM audit.event WHERE position('model.imported'::bytea in body) > 0")
    return len(found)


def test_a_model_is_imported_once_with_its_licences(studio: Studio, brought: Callable[..., Path]) -> None:
    path = brought()
    row = models.import_model(studio, path, WHO)
    assert models.import_model(studio, path, WHO) == row
    assert (row.parameters, row.licence, row.corpus_licence) == (17, "Apache-2.0", "Apache-2.0")
    assert [one.model_id for one in models.list_models(studio)] == ["zh-base-1"]
    stored = models.folder_of(studio, "zh-base-1") / models.MODEL_FILE
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == row.sha256
    assert audited(studio) == 1


def test_what_is_exported_can_be_imported_elsewhere(
    studio: Studio, brought: Callable[..., Path], tmp_path: Path
) -> None:
    models.import_model(studio, brought(), WHO)
    manifest = models.export_model(studio, "zh-base-1", tmp_path / "out")
    assert models.check_model(manifest)[0].corpus.name == "aishell-3"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"sha256": "0" * 64}, "the digest is"),
    ({"licence": "CC-BY-NC-4.0"}, "licence of the model"),
    ({"corpus": {"name": "scraped", "licence": "unknown", "source": "https://x.example"}}, "licence of the corpus"),
    ({"architecture": "somebody-elses-1"}, "another architecture"),
    ({"kind": "face"}, "another architecture"),
    ({"file": "missing.safetensors"}, "not there"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused_is_named_and_nothing_is_kept(
    studio: Studio, brought: Callable[..., Path], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelRefused, match=words) as refused:
        models.import_model(studio, brought(**change), WHO)
    assert refused.value.remedy
    assert models.list_models(studio) == []
    assert not (studio.settings.root / "models").exists()


@pytest.mark.parametrize("missing", ["licence", "corpus", "sha256"])
def test_a_manifest_without_licence_corpus_or_digest_is_refused(
    studio: Studio, brought: Callable[..., Path], missing: str
) -> None:
    path = brought()
    document = yaml.safe_load(path.read_text("utf-8"))
    del document[missing]
    path.write_text(yaml.safe_dump(document), "utf-8")
    with pytest.raises(InputRefused, match=missing):
        models.import_model(studio, path, WHO)


def header(tensors: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


HOSTILE = {
    "a pickle": pickle.dumps({"weights": [1.0]}),
    "empty": b"",
    "a header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "no tensors": header({}, b""),
    "a tensor beyond the end": header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"\0" * 8),
    "a shape that does not fit": header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 16]}}, b"\0" * 16),
    "bytes nobody named": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 64),
    "a negative place": header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, b""),
    "a list": struct.pack("<Q", 2) + b"[]",
    "an unknown type": header({"a": {"dtype": "OBJ", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_only_safetensors_are_taken(studio: Studio, brought: Callable[..., Path], content: bytes) -> None:
    path = brought(sha256=hashlib.sha256(content).hexdigest())
    (path.parent / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelRefused, match="not a safetensors file"):
        models.import_model(studio, path, WHO)


def test_other_weights_never_take_the_place_of_a_model(studio: Studio, brought: Callable[..., Path]) -> None:
    path = brought()
    kept = models.import_model(studio, path, WHO)
    save_file({"a": torch.ones(1)}, path.parent / "model.safetensors", metadata={"format": FORMAT})
    document = yaml.safe_load(path.read_text("utf-8"))
    document["sha256"] = hashlib.sha256((path.parent / "model.safetensors").read_bytes()).hexdigest()
    path.write_text(yaml.safe_dump(document), "utf-8")
    with pytest.raises(ModelRefused, match="belongs to other weights"):
        models.import_model(studio, path, WHO)
    stored = models.folder_of(studio, "zh-base-1") / models.MODEL_FILE
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == kept.sha256


def test_stored_weights_that_were_changed_are_not_exported(
    studio: Studio, brought: Callable[..., Path], tmp_path: Path
) -> None:
    models.import_model(studio, brought(), WHO)
    with (models.folder_of(studio, "zh-base-1") / models.MODEL_FILE).open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x7f")
    with pytest.raises(ModelRefused, match="not the imported ones"):
        models.export_model(studio, "zh-base-1", tmp_path / "out")


def test_a_model_nobody_imported_is_an_error_with_a_remedy(studio: Studio) -> None:
    with pytest.raises(MemorialError, match="no such model"):
        models.get_model(studio, "unknown-1")


def taken(studio: Studio, step: str, config: str, at: datetime | None = None) -> tuple[Any, ...]:
    """What an order that came in at `at` (now) is given to start its training from."""
    order = cast(OrderRow, SimpleNamespace(order_id="order-1", created_at=at or datetime.now(UTC)))
    with studio.transaction() as connection:
        return models.with_base(studio, connection, order, step, {"config": config}, ())


def test_a_training_starts_from_the_newest_base_of_its_kind_and_config_that_was_there_when_the_order_came(
    studio: Studio, brought: Callable[..., Path]
) -> None:
    before = datetime.now(UTC)
    assert taken(studio, "train_face", "cpu") == ()
    face = models.import_model(studio, brought(FACE, model="face-1", kind="face", architecture=FACE), WHO)
    assert [one.sha256 for one in taken(studio, "train_face", "cpu")] == [face.sha256]
    assert taken(studio, "train_face", "tiny") == ()  # trained with other sizes
    assert taken(studio, "train_face", "cpu", before) == ()
    assert taken(studio, "train_voice", "cpu") == ()
    assert taken(studio, "speak", "cpu") == ()


def test_the_step_gets_the_imported_weights_under_the_subjects_key_or_nothing(
    studio: Studio, brought: Callable[..., Path], tmp_path: Path
) -> None:
    models.import_model(studio, brought(FACE, model="face-1", kind="face", architecture=FACE), WHO)
    (artifact,) = taken(studio, "train_face", "cpu")
    assert artifact.name == "base/model.safetensors"
    stored = models.folder_of(studio, "face-1") / models.MODEL_FILE
    weights = stored.read_bytes()
    vault = EncryptedStore(studio.store, bytes(32), tmp_path)
    stored.write_bytes(weights[:-1] + b"\x7f")
    with pytest.raises(ModelRefused, match="not the imported ones"):
        models.seal_base(studio, vault, (artifact,))
    stored.write_bytes(weights)
    models.seal_base(studio, vault, (artifact,))
    models.seal_base(studio, vault, (artifact,))
    assert vault.fetch(artifact.uri, tmp_path / "seen")[0] == artifact.sha256
    assert (tmp_path / "seen").read_bytes() == weights
    stored.unlink()
    with pytest.raises(ModelRefused, match="not there"):
        taken(studio, "train_face", "cpu")


def test_a_corpus_without_licence_is_refused_by_the_step_and_nothing_is_kept(studio: Studio, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.yaml"
    item = {"person": "s1", "file": "a.png", "source": "https://corpora.example"}
    corpus.write_text(yaml.safe_dump({"model": "face-1", "licence": "CC0-1.0", "items": [item]}), "utf-8")
    with pytest.raises(InputRefused, match="without a licence"):
        models.train_model(studio, "face", corpus, "tiny", WHO)
    assert models.list_models(studio) == []
