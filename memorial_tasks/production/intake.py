"""Submitting an order: look at everything first, list every problem at once, then store it whole or not at all."""

import hashlib
import json
import re
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from memorial_tasks.consent.record import record_from_order, script_digest
from memorial_tasks.consent.registry import open_consent
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database import registry
from memorial_tasks.database.registry import MaterialRow, NewOrder
from memorial_tasks.domain.order import Order, ScriptLine
from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import InputRefused, MemorialError, Problem, Unavailable
from memorial_tasks.production.consents import MATERIAL, controller_of, submission_problems
from memorial_tasks.production.order_file import OrderFile, read_order
from memorial_tasks.production.points import read_points
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.quality.inventory import list_material
from memorial_tasks.quality.transcripts import read_transcripts
from memorial_tasks.settings import REPOSITORY
from memorial_tasks.vault.cipher import seal
from memorial_tasks.vault.store import EncryptedStore

Say = Callable[[str], None]
INSPECTION_SECONDS = 1800
SPOKEN: Mapping[str, MaterialKind] = {"voice": MaterialKind.VOICE, "video": MaterialKind.VIDEO}


@dataclass(frozen=True)
class Piece:
    """One file of the material, with the id it goes by from now on."""

    kind: MaterialKind
    path: Path
    name: str  # the family's own name, relative to the order: sealed in the registry
    artifact: str  # photo/photo-0001.jpg


@dataclass(frozen=True)
class Inspection:
    """What was found on the material: `notes` refuse nothing; `captured` is the day a camera wrote into a file, by its
    name relative to the order."""

    problems: list[Problem]
    notes: list[Problem]
    captured: dict[str, date]


def inspect_material(order: Order, folder: Path, assets: Path) -> Inspection:
    """Have the material decoded and looked at in a process of its own.

    Intake is the one place where material is opened before a permit exists: the family hands it over for exactly
    this look, in a process without keys or credentials, and nothing of it is kept when the answer is no.
    """
    command = [
        sys.executable,
        "-m",
        "memorial_tasks.quality.inspect",
        "--order-folder",
        str(folder),
        "--assets",
        str(assets),
    ]
    command.append("--notes")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "2", "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            input=order.model_dump_json().encode(),
            capture_output=True,
            timeout=INSPECTION_SECONDS,
            env=environment,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise Unavailable(
            "the inspection of the material did not finish", where="intake", remedy="run 'memorial doctor', try again"
        ) from None
    return Inspection(
        [Problem(**one) for one in answer["problems"]],
        [Problem(**one) for one in answer["notes"]],
        {file: date.fromisoformat(day) for file, day in answer["captured"].items()},
    )


def collect(order: Order, folder: Path) -> Iterator[Piece]:
    """Every material file of the order, in a stable order. Transcripts are read apart."""
    files, _ = list_material(folder, order.materials)
    counts: Counter[MaterialKind] = Counter()
    for file in files:
        counts[file.kind] += 1
        suffix = Path(file.file).suffix.lower()
        suffix = suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ""
        artifact = f"{file.kind}/{file.kind}-{counts[file.kind]:04d}{suffix}"
        yield Piece(file.kind, folder / file.file, file.file, artifact)


def spoken_documents(order: Order, script: tuple[ScriptLine, ...]) -> dict[str, Any]:
    """What follows from the script alone: its lines as they are to be spoken, and as they are to be read."""
    subtitles = {str(language): list(lines) for language, lines in order.translation.items()}
    subtitles.setdefault(str(order.language), [line.text for line in script])
    return {"script.json": [line.model_dump(mode="json") for line in script], "subtitles.json": subtitles}


def shown_documents(order: Order, pieces: list[Piece]) -> dict[str, Any]:
    """What is shown besides the film of the person: which file an interlude means, which lines answer a question."""
    names = {piece.path.name: Path(piece.artifact).stem for piece in pieces if piece.kind is MaterialKind.INTERLUDE}
    made: dict[str, Any] = {"interludes.json": names} if names else {}
    if order.answers:
        made["answers.json"] = [answer.model_dump(mode="json") for answer in order.answers]
    return made


def documents(read: OrderFile, pieces: list[Piece]) -> dict[str, bytes]:
    """What the steps read beside the material: script, lexicon, subtitles, transcripts. All personal, all encrypted."""
    order = read.order
    person = order.subject
    title = {"name": person.name, "born": person.born.isoformat(), "died": person.died.isoformat()}
    made: dict[str, Any] = {"title.json": title, "lexicon.json": order.lexicon, **spoken_documents(order, read.script)}
    made |= shown_documents(order, pieces)
    for field, kind in SPOKEN.items():
        given = getattr(order.materials, field)
        by_name = read_transcripts(read.folder / given)[0] if given else {}
        texts = {
            Path(piece.artifact).stem: by_name[piece.path.name]
            for piece in pieces
            if piece.kind is kind and piece.path.name in by_name
        }
        if texts:
            made[f"transcript/{field}.json"] = texts
    if order.materials.own_voice:
        spoken = [piece for piece in pieces if piece.kind in SPOKEN.values()]
        own = [Path(piece.artifact).stem for piece in spoken if piece.path.name in order.materials.own_voice]
        made["own_voice.json"] = own
    if points := _points(read, pieces):
        made["points.json"] = points
    return {name: json.dumps(value, ensure_ascii=False, indent=1).encode() for name, value in made.items()}


def _points(read: OrderFile, pieces: list[Piece]) -> dict[str, Any]:
    """Points set by hand, by the id their photo goes by from now on."""
    given = read.order.materials.photos
    by_name = read_points(read.folder / given)[0] if given else {}
    return {
        Path(piece.artifact).stem: by_name[piece.path.name].model_dump(mode="json")
        for piece in pieces
        if piece.kind is MaterialKind.PHOTO and piece.path.name in by_name
    }


def check(studio: Studio, path: Path, say: Say) -> tuple[OrderFile, list[Problem]]:
    """Everything that can be wrong with an order, found before anything is stored.

    Returns the order and notes worth telling. Raises `InputRefused` with all problems.
    """
    read, found = _look(studio, path, say)
    return read, found.notes


def _look(studio: Studio, path: Path, say: Say) -> tuple[OrderFile, Inspection]:
    read, readable, problems = read_order(path)
    found = Inspection([], [], {})
    if readable is not None:
        with studio.transaction() as connection:
            if registry.order_exists(connection, readable.order):
                problems.append(
                    Problem("order.id_used", "this order id is already used", "choose another id", "order", path.name)
                )
        say("looking at the material")
        found = inspect_material(readable, path.parent.resolve(), studio.settings.assets_dir)
        problems += found.problems
        if readable.materials.photos:
            problems += read_points(path.parent / readable.materials.photos)[1]
        if read is not None:
            problems += submission_problems(studio, read, now(), found.captured)
    if problems or read is None:
        raise InputRefused([one if one.file else replace(one, file=path.name) for one in dict.fromkeys(problems)])
    return read, found


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def submit(studio: Studio, path: Path, who: Who, say: Say = lambda _: None) -> str:
    """Check the order, store it encrypted, enter its consent record; returns the order id.

    Nothing is stored when anything is wrong, and nothing half-stored remains when storing fails.
    """
    read, found = _look(studio, path, say)
    for note in found.notes:
        say(f"note: {note}")
    order, subject = read.order, f"sub-{secrets.token_hex(8)}"
    pieces = list(collect(order, read.folder))
    studio.keyring.create(subject)
    key = studio.keyring.unwrap(subject)
    stored: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="memorial-intake-") as scratch:
            vault = EncryptedStore(studio.store, key, Path(scratch))
            rows = _store(vault, read, pieces, key, stored, Path(scratch), say)
        evidence = {name: _digest(read.folder / name) for name in read.evidence}
        digests = [row.sha256 for row in rows if row.kind in MATERIAL]
        digest_of = {piece.name: row.sha256 for piece, row in zip(pieces, rows, strict=False)}  # material comes first
        record = record_from_order(
            order,
            evidence,
            script_digest([line.text for line in read.script]),
            digests,
            subject_id=subject,
            now=now(),
            captured={file: (digest_of[file], day) for file, day in found.captured.items()},
            controller=controller_of(studio.settings),
        )
        new = NewOrder(
            order_id=order.order,
            subject_id=subject,
            purpose=order.purpose,
            language=str(order.language),
            jurisdictions=order.jurisdictions,
            sealed_document=seal(read.source, key, f"order {order.order}"),
            document_sha256=hashlib.sha256(read.source).hexdigest(),
            script_sha256=record.script_sha256,
            deliver=order.deliver.model_dump(mode="json") | {"train": studio.settings.train},
            consent_id=record.consent_id,
            priority=order.priority,
            promised=order.promised,
        )
        with studio.transaction() as connection:
            registry.create_order(connection, new)
            for row in rows:
                registry.add_material(connection, row)
            open_consent(connection, record, studio.keys, KeyringSealer(studio.keyring), operator=who.id, now=now())
            stored_order = studio.order(connection, order.order)
            studio.audit(
                connection,
                "order.submitted",
                who,
                stored_order,
                refs={f"material/{row.material_id}": row.sha256 for row in rows[:400]},
                data={"materials": len(rows), "purpose": str(order.purpose), "language": str(order.language)},
            )
    except BaseException:
        for uri in stored:
            studio.store.delete(uri)
        studio.keyring.destroy(subject)
        raise
    return order.order


def _store(
    vault: EncryptedStore,
    read: OrderFile,
    pieces: list[Piece],
    key: bytes,
    stored: list[str],
    scratch: Path,
    say: Say,
) -> list[MaterialRow]:
    """Encrypt material, papers and documents into the vault; `stored` collects what must go if anything fails."""
    order, rows = read.order, []

    def put(kind: MaterialKind, artifact: str, source: Path, name: str) -> None:
        uri = f"vault://orders/{order.order}/originals/{artifact}"
        stored.append(uri)
        sha256, size = vault.put(uri, source)
        sealed = seal(name.encode(), key, f"material {order.order} {artifact}")
        rows.append(MaterialRow(order.order, artifact, kind, uri, sha256, size, "application/octet-stream", sealed))

    for number, piece in enumerate(pieces, start=1):
        put(piece.kind, piece.artifact, piece.path, piece.name)
        if number % 20 == 0 or number == len(pieces):
            say(f"stored {number} of {len(pieces)} files")
    for number, name in enumerate(read.evidence, start=1):
        put(MaterialKind.EVIDENCE, f"evidence/evidence-{number:04d}", read.folder / name, name)
    for name, body in documents(read, pieces).items():
        source = scratch / "document"
        source.write_bytes(body)
        put(MaterialKind.DOCUMENT, name, source, name)
        source.unlink()
    return rows


def order_document(studio: Studio, order_id: str) -> bytes:
    """The order as the family wrote it, for people who may read it; `MemorialError` once it was erased."""
    from memorial_tasks.vault.cipher import unseal

    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
    if order.sealed_document is None:
        raise MemorialError("the order was erased", where=order_id, remedy="only the audit trail remains")
    return unseal(order.sealed_document, studio.keyring.unwrap(order.subject_id), f"order {order_id}")
