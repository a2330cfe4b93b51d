"""Doing an order again and comparing every digest: does the same material, code and seed still give the same film?"""

import json
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection
from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.errors import MemorialError
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.production.steps import compute, current_result, modalities_of, plan
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.steps.code import code_version
from memorial_tasks.vault.store import EncryptedStore

# Pages and archives that name the moment they were written; what they say is compared through the reports themselves.
DATED = ("docs.tar.gz",)
# A manifest carries an id and a signature that are new every time. So of a sealed film everything but the manifest is
# compared: picture, sound, labels, watermark and AIGC key as they were about to be signed, by the digest in its report.
SIGNED = {"seal": ("film.mp4", "seal.json")}
CONTENT = "content_sha256"


@dataclass(frozen=True)
class Difference:
    """One output that came out otherwise: `again` is empty when it was not made at all."""

    step: str
    name: str
    before: str
    again: str


def compare(step: str, before: tuple[ArtifactRef, ...], again: tuple[ArtifactRef, ...]) -> list[Difference]:
    """Outputs whose digests differ, by name; dated pages and what is newly signed every time are left out."""
    left_out = (*DATED, *SIGNED.get(step, ()))
    old = {artifact.name: artifact.sha256 for artifact in before if artifact.name not in left_out}
    new = {artifact.name: artifact.sha256 for artifact in again if artifact.name not in left_out}
    return [
        Difference(step, name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def compare_sealed(before: Mapping[str, Any], again: Mapping[str, Any]) -> list[Difference]:
    """What differs between two reports of sealing (``seal.json``), the manifest aside."""
    old, new = str(before.get(CONTENT, "")), str(again.get(CONTENT, ""))
    return [] if old and old == new else [Difference("seal", "film.mp4 without its manifest", old, new)]


def replay(
    studio: Studio, order_id: str, who: Who, say: Callable[[str], None], steps: tuple[str, ...] = tuple(INPUTS)
) -> tuple[list[str], list[Difference]]:
    """Re-run every step on the inputs it had and compare; returns the steps done, and what differs in the first that
    does.

    Before a step is done again its stored inputs are read and compared with the registry, after it its stored outputs:
    a file changed in the vault is named, and is not mistaken for a step that gives something else.
    Needs a live permit like the first time; what is made here is deleted again.
    """
    done: list[str] = []
    differences: list[Difference] = []
    for step in steps:
        with studio.transaction() as connection:
            order = studio.order(connection, order_id)
            row = current_result(studio, connection, order, step)
            if row is None:
                differences.append(_other_code(connection, order_id, step))
                break
            planned = plan(studio, connection, order, step)
            token = permit_for(studio, connection, order, step, modalities_of(step))
        permit, key = release_key(studio, token, order, step, who)
        say(f"{step}: again")
        prefix = f"vault://orders/{order_id}/replay/{secrets.token_hex(8)}"
        try:
            found = tampered(studio, key, planned.inputs, step)
            if not found:
                result = compute(studio, order, planned, token, permit, key, prefix)
                found = tampered(studio, key, row.outputs, step) + compare(step, row.outputs, result.outputs)
                if step in SIGNED:
                    found += compare_sealed(*(_document(studio, key, each) for each in (row.outputs, result.outputs)))
        finally:
            for uri in studio.store.listing(prefix):
                studio.store.delete(uri)
        done.append(step)
        differences += found
        say(f"{step}: {'the same' if not found else f'{len(found)} of {len(row.outputs)} outputs differ'}")
        if found:
            break  # what follows would only repeat it
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        decision = "differs" if differences else "same"
        data = {"steps": len(done), "differences": len(differences)}
        studio.audit(connection, "order.replayed", who, order, decision=decision, data=data)
    return done, differences


def _other_code(connection: Connection, order_id: str, step: str) -> Difference:
    """The step was done, but by other code or with other parameters than the studio's now."""
    last = registry.latest_step(connection, order_id, step)
    if last is None or last.state != "done":
        raise MemorialError(f"{step} was never finished", where=order_id, remedy="run the order")
    now = code_version(step)
    return Difference(step, "code" if last.code_version != now else "parameters", last.code_version, now)


def tampered(studio: Studio, key: bytes, stored: tuple[ArtifactRef, ...], step: str) -> list[Difference]:
    """Artifacts in the vault that are no longer what the registry says: changed, damaged or gone."""
    found = []
    with tempfile.TemporaryDirectory(prefix="memorial-replay-") as folder:
        vault = EncryptedStore(studio.store, key, Path(folder))
        for artifact in stored:
            try:
                digest, _ = vault.fetch(artifact.uri, Path(folder) / "artifact")
            except MemorialError:
                digest = ""
            if digest != artifact.sha256:
                found.append(Difference(step, artifact.name, artifact.sha256, digest))
    return found


def _document(studio: Studio, key: bytes, outputs: tuple[ArtifactRef, ...]) -> dict[str, Any]:
    report = next(artifact for artifact in outputs if artifact.name == "seal.json")
    with tempfile.TemporaryDirectory(prefix="memorial-replay-") as folder:
        target = Path(folder) / "seal.json"
        EncryptedStore(studio.store, key, Path(folder)).fetch(report.uri, target)
        document: dict[str, Any] = json.loads(target.read_text("utf-8"))
    return document
