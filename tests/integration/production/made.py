"""Orders whose steps have results, for tests that judge decisions and never look at a picture.

The rows stand under the result keys of the real plan; their outputs are digests without bytes, because making the real
ones takes minutes and what is tested here reads digests only.
"""

import hashlib
from datetime import UTC, datetime

from memorial_tasks.database import registry
from memorial_tasks.database.registry import MaterialRow
from memorial_tasks.domain.job import ArtifactRef, Result
from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.production.graph import DOCUMENT, INPUTS
from memorial_tasks.production.steps import plan
from memorial_tasks.production.studio import Studio

MORE = {"speak": {"speech.wav"}, "train_face": {"face/sheet.png"}, "output_gate": {"report.json"}}


def left_by(source: str) -> list[str]:
    """What a source has to leave for the steps that read it, after the graph itself."""
    takes = {take.pattern.replace("*", "made") for takes in INPUTS.values() for take in takes if take.source == source}
    return sorted(takes | MORE.get(source, set()))


def make(studio: Studio, order_id: str) -> None:
    """Give every step of the order a finished result that follows from its key: made anew, it is another one."""
    with studio.transaction() as connection:
        known = {row.material_id for row in registry.list_materials(connection, order_id)}
        for name in left_by(DOCUMENT):
            if name not in known:
                digest = hashlib.sha256(name.encode()).hexdigest()
                row = MaterialRow(order_id, name, MaterialKind.DOCUMENT, f"vault://{name}", digest, 1, "text/plain")
                registry.add_material(connection, row)
        order = studio.order(connection, order_id)
        for step in INPUTS:
            planned = plan(studio, connection, order, step)
            options = {"code_version": planned.version, "params": planned.params, "inputs": planned.inputs}
            registry.start_step(connection, order_id, step, planned.key, **options)
            outputs = tuple(
                ArtifactRef(
                    name=name,
                    uri=f"vault://orders/{order_id}/{step}/{name}",
                    sha256=hashlib.sha256(f"{planned.key}/{name}".encode()).hexdigest(),
                    size=1,
                )
                for name in left_by(step)
            )
            at = datetime.now(UTC)
            registry.finish_step(
                connection,
                Result(
                    step=step, order=order_id, result_key=planned.key, code_version=planned.version, outputs=outputs,
                    metrics={"passed": True, "findings": []}, started_at=at, finished_at=at, wall_s=0.1, cpu_s=0.1,
                    peak_memory_mb=1.0,
                ),
            )  # fmt: skip
