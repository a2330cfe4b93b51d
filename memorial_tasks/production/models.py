"""Base models, brought by an operator or trained here: looked at without being loaded, refused by name, stored with
their licence, and handed to the training of an order that can start from one.

A checkpoint comes with a manifest (YAML) beside it. Only safetensors are taken: its header is data and is read here
without any library that could run code out of a file; the weights themselves are never opened by the control plane.
"""

import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import StringConstraints, ValidationError

from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.corpus import FREE, MODEL_ID, free
from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.domain.order import Record, RelativePath
from memorial_tasks.errors import InputRefused, MemorialError, ModelRefused
from memorial_tasks.production.order_file import document_problems, parse_document
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.steps.runner import Progress, finished
from memorial_tasks.vault.store import EncryptedStore

MODEL_FILE = "model.safetensors"
BASE_INPUT = "base/model.safetensors"
# Steps that take a base model, and of which kind: a training starts from it, the examination compares with its people.
TUNED = {"train_face": "face", "train_voice": "voice", "evaluate_face": "face"}
MAX_HEADER = 100 << 20  # the format's own limit
BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Corpus(Record):
    """What the model was learned from."""

    name: Word
    licence: Word
    source: Word


class Manifest(Record):
    """What the operator says about the checkpoint."""

    model: Annotated[str, StringConstraints(pattern=MODEL_ID)]
    kind: Literal["voice", "face"]
    architecture: Word
    file: RelativePath = MODEL_FILE
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    licence: Word
    source: Word
    corpus: Corpus


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself."""

    metadata: dict[str, str]
    parameters: int


@dataclass(frozen=True)
class BaseModelRow:
    """An imported base model."""

    model_id: str
    kind: str
    architecture: str
    sha256: str
    size: int
    parameters: int
    licence: str
    corpus: str
    corpus_licence: str
    source: str
    imported_by: str
    imported_at: datetime


def read_header(path: Path) -> Header:
    """The header of a safetensors file: 8 bytes of length, little endian, then JSON; every tensor's type, shape and
    place must fit the file exactly (https://github.com/huggingface/safetensors, "Format").

    Raises `ModelRefused` for anything else, pickles above all.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        first = handle.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise _not_safetensors(path)
        text = handle.read(length)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        spans = sorted(_span(tensor) for tensor in header.values())
        parameters = sum(prod(tensor["shape"]) for tensor in header.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _not_safetensors(path) from None
    end = 0
    for begin, stop in spans:
        if begin != end:
            raise _not_safetensors(path)
        end = stop
    if not spans or end != size - 8 - length:
        raise _not_safetensors(path)
    return Header({str(name): str(value) for name, value in metadata.items()}, parameters)


def _span(tensor: dict[str, Any]) -> tuple[int, int]:
    begin, stop = tensor["data_offsets"]
    if stop - begin != prod(tensor["shape"]) * BYTES[tensor["dtype"]]:
        raise ValueError("a tensor's place does not fit its shape")
    return int(begin), int(stop)


def _not_safetensors(path: Path) -> ModelRefused:
    return ModelRefused(
        "not a safetensors file",
        where=path.name,
        remedy="convert the checkpoint with the safetensors library on a machine of its own; pickles are never opened",
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest in `path`; `InputRefused` with everything that is wrong with it."""
    document, _ = parse_document(path)
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise InputRefused(document_problems(error, path.name)) from None


def architectures() -> dict[str, frozenset[str]]:
    """What our networks can be: the word stands as ``format`` in the checkpoint's own metadata."""
    return {"voice": frozenset({"memorial-voice-base-1"}), "face": frozenset({"memorial-face-base-1"})}


def check_model(path: Path) -> tuple[Manifest, Path, Header]:
    """Manifest, file and header of a checkpoint that may be imported.

    Raises:
        InputRefused: the manifest lacks something, a licence included.
        ModelRefused: the file is not what the manifest says, or its licence does not allow films for families.
    """
    manifest = read_manifest(path)
    for what, licence in (("model", manifest.licence), ("corpus", manifest.corpus.licence)):
        if not free(licence):
            raise ModelRefused(
                f"the licence of the {what} is not one that allows films for families and the public",
                where=f"{path.name} {what}",
                remedy=f"use one of {', '.join(sorted(FREE))}; LicenseRef-own for recordings of the studio's own",
            )
    file = path.parent / manifest.file
    if not file.is_file():
        raise ModelRefused("the checkpoint is not there", where=manifest.file, remedy="put it beside its manifest")
    header = read_header(file)
    if (found := _digest(file)) != manifest.sha256:
        raise ModelRefused(
            f"the digest is {found[:16]}..., not the manifest's", where=file.name, remedy="fetch the file again"
        )
    known, given = architectures()[manifest.kind], header.metadata.get("format", "")
    if manifest.architecture not in known or given != manifest.architecture:
        raise ModelRefused(
            f"another architecture ({given or 'none named'}) than our {manifest.kind} networks have",
            where=file.name,
            remedy=f"it must name {' or '.join(sorted(known))} as format in its metadata",
        )
    return manifest, file, header


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_of(studio: Studio, model_id: str) -> Path:
    """Where an imported model lies."""
    return studio.settings.root / "models" / model_id


def import_model(studio: Studio, path: Path, who: Who) -> BaseModelRow:
    """Look at the checkpoint a manifest names and take it over; importing the same one twice changes nothing.

    Raises `ModelRefused` or `InputRefused` as `check_model`, and when the id belongs to other weights.
    """
    manifest, file, header = check_model(path)
    target = folder_of(studio, manifest.model)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target / f".{MODEL_FILE}.part"
    try:
        with studio.transaction() as connection:
            execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"model {manifest.model}",))
            known = _find(connection, manifest.model)
            if known is not None and known.sha256 != manifest.sha256:
                raise ModelRefused("this id belongs to other weights", where=manifest.model, remedy="choose another id")
            shutil.copyfile(file, temporary)
            if _digest(temporary) != manifest.sha256:
                raise ModelRefused("the file changed while it was read", where=file.name, remedy="import it again")
            if known is None:
                _store(connection, manifest, file.stat().st_size, header.parameters, who)
                data = {"model": manifest.model, "kind": manifest.kind, "architecture": manifest.architecture}
                licences = {"licence": manifest.licence, "corpus_licence": manifest.corpus.licence}
                studio.audit(connection, "model.imported", who, refs={"model": manifest.sha256}, data=data | licences)
            os.replace(temporary, target / MODEL_FILE)
            row = _find(connection, manifest.model)
    finally:
        temporary.unlink(missing_ok=True)
    if row is None:
        raise MemorialError("the model was not recorded", where=manifest.model, remedy="import it again")
    return row


def train_model(
    studio: Studio, kind: str, corpus: Path, config: str, who: Who, progress: Progress = lambda share, what: None
) -> BaseModelRow:
    """Train a base of `kind` (face, voice) on the corpus manifest `corpus` and take it over.

    The training is a step in a process of its own, like every other, but belongs to no order: it gets no key and no
    vault, only the corpus. Raises `InputRefused` for a corpus without licences, `ModelRefused` for one that is not
    free, `StepFailed` when the training ended without a model."""
    with tempfile.TemporaryDirectory(prefix="memorial-base-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "memorial_tasks.steps.train_base", kind, str(corpus.resolve())]
        command += ["--out", str(folder), "--config", config, "--assets", str(studio.settings.assets_dir)]
        finished([*command, "--with-parent"], "train_base", progress)
        return import_model(studio, folder / "base.yaml", who)


def base_of(studio: Studio, connection: Any, order: OrderRow, step: str, config: str) -> BaseModelRow | None:
    """The base model this step of this order takes: the newest of its kind and config (any, where the step has none)
    that the studio had when the order came in. A later import never changes what is half done.

    Raises `ModelRefused` when its weights are gone or are others than were imported."""
    kind = TUNED.get(step)
    if kind is None:
        return None
    found = rows(
        connection,
        "SELECT * FROM base_model WHERE kind = %s AND architecture = ANY(%s) AND imported_at < %s"
        " ORDER BY imported_at DESC, model_id",
        (kind, sorted(architectures()[kind]), order.created_at),
    )
    for row in (BaseModelRow(**each) for each in found):
        file = folder_of(studio, row.model_id) / MODEL_FILE
        if not file.is_file():
            raise ModelRefused(
                "the weights of the base model are not there", where=row.model_id, remedy="import them again"
            )
        if not config or read_header(file).metadata.get("config", config) == config:
            return row
    return None


def with_base(
    studio: Studio,
    connection: Any,
    order: OrderRow,
    step: str,
    params: Mapping[str, Any],
    inputs: tuple[ArtifactRef, ...],
) -> tuple[ArtifactRef, ...]:
    """The step's inputs, and the base model it starts from where there is one: an input like any other, so that its
    digest decides the result's key and stands in the audit log."""
    row = base_of(studio, connection, order, step, str(params.get("config", "")))
    if row is None:
        return inputs
    place = f"vault://orders/{order.order_id}/base/{row.sha256}.safetensors"
    return (*inputs, ArtifactRef(name=BASE_INPUT, uri=place, sha256=row.sha256, size=row.size))


def seal_base(studio: Studio, vault: EncryptedStore, inputs: Iterable[ArtifactRef]) -> None:
    """Lay the base model among `inputs`, if any, where the step finds it: a copy under the subject's key, because a
    step reaches its own order's objects only. Raises `ModelRefused` as `checked_weights`."""
    for artifact in inputs:
        if artifact.name != BASE_INPUT or studio.store.exists(artifact.uri):
            continue
        with studio.transaction() as connection:
            row = one(connection, "SELECT * FROM base_model WHERE sha256 = %s", (artifact.sha256,))
        if row is None:
            raise ModelRefused("the base model is not imported", where=artifact.sha256[:16], remedy="import it again")
        vault.put(artifact.uri, checked_weights(studio, BaseModelRow(**row)))


def checked_weights(studio: Studio, row: BaseModelRow) -> Path:
    """The stored weights of a base model. `ModelRefused` when they are not the imported ones any more."""
    file = folder_of(studio, row.model_id) / MODEL_FILE
    if not file.is_file() or _digest(file) != row.sha256:
        raise ModelRefused(
            "the stored weights are not the imported ones", where=row.model_id, remedy="import them again"
        )
    return file


def _store(connection: Any, manifest: Manifest, size: int, parameters: int, who: Who) -> None:
    execute(
        connection,
        "INSERT INTO base_model (model_id, kind, architecture, sha256, size, parameters, licence, corpus,"
        " corpus_licence, source, imported_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            manifest.model, manifest.kind, manifest.architecture, manifest.sha256, size, parameters, manifest.licence,
            manifest.corpus.name, manifest.corpus.licence, manifest.source, who.id,
        ),
    )  # fmt: skip


def _find(connection: Any, model_id: str) -> BaseModelRow | None:
    row = one(connection, "SELECT * FROM base_model WHERE model_id = %s", (model_id,))
    return None if row is None else BaseModelRow(**row)


def get_model(studio: Studio, model_id: str) -> BaseModelRow:
    """One imported model; `MemorialError` when there is none."""
    with studio.transaction() as connection:
        row = _find(connection, model_id)
    if row is None:
        raise MemorialError("no such model", where="model", remedy="see 'memorial model list'")
    return row


def list_models(studio: Studio) -> list[BaseModelRow]:
    """Every imported model, newest first."""
    with studio.transaction() as connection:
        return [BaseModelRow(**row) for row in rows(connection, "SELECT * FROM base_model ORDER BY imported_at DESC")]


def export_model(studio: Studio, model_id: str, folder: Path) -> Path:
    """Copy a model and its manifest into `folder`, so that another studio can import it.

    Raises `ModelRefused` when the stored weights are not the imported ones any more.
    """
    row = get_model(studio, model_id)
    source = checked_weights(studio, row)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / MODEL_FILE)
    corpus = {"name": row.corpus, "licence": row.corpus_licence, "source": row.source}
    manifest = {
        "model": row.model_id, "kind": row.kind, "architecture": row.architecture, "file": MODEL_FILE,
        "sha256": row.sha256, "licence": row.licence, "source": row.source, "corpus": corpus,
    }  # fmt: skip
    path = folder / f"{model_id}.yaml"
    path.write_text(json.dumps(manifest, indent=1), "utf-8")  # JSON is YAML
    return path
