"""The direction plan as a page a person may edit before it is spoken: shown, changed, checked, stored, audited.

What is said belongs to the consent and cannot be changed here (`memorial order script` does that); how it is said can.
The changed plan is a document of the order, so every result that follows from it gets another key and is made anew.
"""

import hashlib
import json
import tempfile
from pathlib import Path

from memorial_tasks.consent.record import script_digest
from memorial_tasks.database import registry
from memorial_tasks.database.registry import MaterialRow
from memorial_tasks.domain.timing import DirectionPlan
from memorial_tasks.domain.words import MaterialKind, OrderState
from memorial_tasks.errors import InputRefused, MemorialError, Problem
from memorial_tasks.performance.direct import EDITED, edited_plan, plan_to_yaml
from memorial_tasks.production.script import CHANGEABLE
from memorial_tasks.production.steps import current_result
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.vault.cipher import seal
from memorial_tasks.vault.store import EncryptedStore


def current_plan(studio: Studio, order_id: str) -> DirectionPlan:
    """The plan as it would be spoken now. Raises `MemorialError` before there is one."""
    with studio.transaction() as connection:
        row = studio.order(connection, order_id)
        result = current_result(studio, connection, row, "direct")
    if result is None:
        raise MemorialError("the order has no plan yet", where=order_id, remedy="run it up to the step 'direct' first")
    artifact = next(output for output in result.outputs if output.name == "plan.json")
    with tempfile.TemporaryDirectory(prefix="memorial-plan-") as scratch:
        target = Path(scratch) / "plan.json"
        EncryptedStore(studio.store, studio.keyring.unwrap(row.subject_id), Path(scratch)).fetch(artifact.uri, target)
        return DirectionPlan.model_validate_json(target.read_bytes())


def show_plan(studio: Studio, order_id: str) -> str:
    """The plan as YAML, ready to be edited."""
    return plan_to_yaml(current_plan(studio, order_id))


def change_plan(studio: Studio, order_id: str, text: str, who: Who) -> tuple[int, ...]:
    """Store an edited plan; returns the numbers of the lines that changed, none when it says the same.

    Raises `InputRefused` with everything that is wrong in it, `MemorialError` when the order works or is over.
    """
    before = current_plan(studio, order_id)
    plan = edited_plan(text, before)
    changed = tuple(new.index for old, new in zip(before.lines, plan.lines, strict=True) if old != new)
    if not changed:
        return ()
    with studio.transaction() as connection:
        row = studio.order(connection, order_id)
        _require_changeable(row.state, order_id)
        known = {one.material_id for one in registry.list_materials(connection, order_id)}
    if row.script_sha256 != script_digest([line.text for line in plan.lines]):
        what = "the plan is not of the script that was agreed to"
        raise InputRefused([Problem("plan.script", what, "run the order again, then edit its new plan", "lines")])
    key = studio.keyring.unwrap(row.subject_id)
    body = json.dumps(plan.model_dump(mode="json"), ensure_ascii=False, indent=1).encode()
    uri = f"vault://orders/{order_id}/originals/{hashlib.sha256(body).hexdigest()[:16]}/{EDITED}"
    with tempfile.TemporaryDirectory(prefix="memorial-plan-") as scratch:
        source = Path(scratch) / "document"
        source.write_bytes(body)
        sha256, size = EncryptedStore(studio.store, key, Path(scratch)).put(uri, source)
    sealed = seal(EDITED.encode(), key, f"material {order_id} {EDITED}")
    stored = MaterialRow(order_id, EDITED, MaterialKind.DOCUMENT, uri, sha256, size, "application/octet-stream", sealed)
    with studio.transaction() as connection:
        row = studio.order(connection, order_id, lock=True)
        _require_changeable(row.state, order_id)
        if EDITED in known:
            registry.replace_material(connection, stored)
        else:
            registry.add_material(connection, stored)
        registry.set_state(connection, order_id, OrderState.SUBMITTED, allowed_from=CHANGEABLE)
        studio.audit(
            connection, "order.plan_changed", who, row, refs={"plan/now": sha256}, data={"lines": len(changed)}
        )
    return changed


def _require_changeable(state: OrderState, order_id: str) -> None:
    if state not in CHANGEABLE:
        raise MemorialError(
            f"the order is {state}; its plan cannot be changed now",
            where=order_id,
            remedy="cancel the order or wait until its run is over",
        )
