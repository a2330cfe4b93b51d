"""Doing an order again and comparing every digest: does the same material, code and seed still give the same film?"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.errors import MemorialError
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.production.steps import compute, current_result, modalities_of, plan
from memorial_tasks.production.studio import Studio, Who

# Pages and archives that name the moment they were written; what they say is compared through the reports themselves.
DATED = ("docs.tar.gz",)


@dataclass(frozen=True)
class Difference:
    """One output that came out otherwise: `again` is empty when it was not made at all."""

    step: str
    name: str
    before: str
    again: str


def compare(step: str, before: tuple[ArtifactRef, ...], again: tuple[ArtifactRef, ...]) -> list[Difference]:
    """Outputs whose digests differ, by name; dated pages are left out."""
    old = {artifact.name: artifact.sha256 for artifact in before if artifact.name not in DATED}
    new = {artifact.name: artifact.sha256 for artifact in again if artifact.name not in DATED}
    return [
        Difference(step, name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def replay(
    studio: Studio, order_id: str, who: Who, say: Callable[[str], None], steps: tuple[str, ...] = tuple(INPUTS)
) -> tuple[list[str], list[Difference]]:
    """Re-run every step on the inputs it had and compare; returns the steps done and all differences.

    Each step reads the recorded inputs, so the first difference names the step that is to blame and not a later one.
    Needs a live permit like the first time; what is made here is deleted again.
    """
    done: list[str] = []
    differences: list[Difference] = []
    for step in steps:
        with studio.transaction() as connection:
            order = studio.order(connection, order_id)
            row = current_result(studio, connection, order, step)
            if row is None:
                raise MemorialError(
                    f"{step} has no result of the code as it is now", where=order_id, remedy="run the order"
                )
            planned = plan(studio, connection, order, step)
            token = permit_for(studio, connection, order, step, modalities_of(step))
        permit, key = release_key(studio, token, order, step, who)
        say(f"{step}: again")
        prefix = f"vault://orders/{order_id}/replay/{secrets.token_hex(8)}"
        try:
            result = compute(studio, order, planned, token, permit, key, prefix)
            found = compare(step, row.outputs, result.outputs)
        finally:
            for uri in studio.store.listing(prefix):
                studio.store.delete(uri)
        done.append(step)
        differences += found
        say(f"{step}: {'the same' if not found else f'{len(found)} of {len(row.outputs)} outputs differ'}")
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        decision = "differs" if differences else "same"
        data = {"steps": len(done), "differences": len(differences)}
        studio.audit(connection, "order.replayed", who, order, decision=decision, data=data)
    return done, differences
