"""Another script for an order that exists: stored beside the old one, and worth nothing before the grantors agree.

The digest of the script is part of the consent. From the moment it changes, every decision about the order is "refused"
until the grantors sign the new one (`memorial consent renew ORDER --script`), so a script that is changed behind their
back makes no film.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from memorial_tasks.consent.record import script_digest
from memorial_tasks.database import registry
from memorial_tasks.database.registry import MaterialRow
from memorial_tasks.domain.order import Order, ScriptLine
from memorial_tasks.domain.words import MaterialKind, OrderState
from memorial_tasks.errors import InputRefused, MemorialError, Problem
from memorial_tasks.production.intake import order_document, spoken_documents
from memorial_tasks.production.order_file import document_problems, parse_document, read_script, translation_problems
from memorial_tasks.production.orders import RESTARTABLE
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.vault.cipher import seal
from memorial_tasks.vault.store import EncryptedStore

CHANGEABLE = (*RESTARTABLE, OrderState.DELIVERED)


def read_new_script(document: bytes, path: Path) -> tuple[Order, tuple[ScriptLine, ...]]:
    """The order with the script in `path` instead of its own: a text with one line a paragraph, or YAML with `script`
    and, where subtitles in another language were ordered, `translation`.

    Raises `InputRefused` with everything that is wrong with it.
    """
    if path.suffix.lower() in {".yaml", ".yml"}:
        given, _ = parse_document(path)
        if surplus := sorted(set(given) - {"script", "translation"}):
            what = f"{len(surplus)} key(s) that are neither script nor translation"
            raise InputRefused([Problem("script.unknown_key", what, "leave them out", file=path.name)])
    else:
        given = {"script": path.name}
    whole: dict[str, Any] = yaml.safe_load(document) | {"translation": {}} | given
    try:
        order = Order.model_validate(whole)
    except ValidationError as error:
        raise InputRefused(document_problems(error, path.name)) from None
    lines, problems = read_script(order, path.parent)
    problems += translation_problems(order, lines)
    if problems:
        raise InputRefused(problems)
    return order, lines


def require_approved_before(studio: Studio, order_id: str) -> None:
    """Raise `MemorialError` unless a person approved a film of this order once: only then its models are known good."""
    with studio.transaction() as connection:
        studio.order(connection, order_id)
        reviews = registry.list_reviews(connection, order_id)
    if not any(one.subject_matter == "film" and one.decision == "approved" for one in reviews):
        raise MemorialError(
            "no film of this order was approved yet",
            where=order_id,
            remedy="run the order and approve its film first; 'memorial order script' changes what it will say",
        )


def change_script(studio: Studio, order_id: str, path: Path, who: Who) -> bool:
    """Store another script for the order; False when it says the same as the one it has.

    Raises `InputRefused` when the file is no script, `MemorialError` when the order works or is over.
    """
    with studio.transaction() as connection:
        _require_changeable(studio.order(connection, order_id).state, order_id)
    order, lines = read_new_script(order_document(studio, order_id), path)
    made = spoken_documents(order, lines)
    with studio.transaction() as connection:
        row = studio.order(connection, order_id)
        known = {one.material_id: one for one in registry.list_materials(connection, order_id)}
    key = studio.keyring.unwrap(row.subject_id)
    fresh = []
    with tempfile.TemporaryDirectory(prefix="memorial-script-") as scratch:
        vault = EncryptedStore(studio.store, key, Path(scratch))
        for name, body in made.items():
            source = Path(scratch) / "document"
            source.write_text(json.dumps(body, ensure_ascii=False, indent=1), "utf-8")
            fresh.append(_put(vault, order_id, name, source, key))
            source.unlink()
    changed = [one for one in fresh if one.sha256 != known[one.material_id].sha256]
    if not changed:
        return False
    digest = script_digest([line.text for line in lines])
    with studio.transaction() as connection:
        row = studio.order(connection, order_id, lock=True)
        _require_changeable(row.state, order_id)
        for one in changed:
            registry.replace_material(connection, one)
        registry.set_script(connection, order_id, digest)
        words = "the script was changed; the grantors have to agree to it"
        registry.set_state(
            connection,
            order_id,
            OrderState.SUBMITTED,
            allowed_from=CHANGEABLE,
            reason_code="script.changed" if digest != row.script_sha256 else "",
            reason=words if digest != row.script_sha256 else "",
        )
        refs = {"script/before": row.script_sha256, "script/now": digest}
        studio.audit(connection, "order.script_changed", who, row, refs=refs, data={"lines": len(lines)})
    return True


def _put(vault: EncryptedStore, order_id: str, name: str, source: Path, key: bytes) -> MaterialRow:
    """The document in the vault under a name of its own: what was made of the old one can still be made again."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    uri = f"vault://orders/{order_id}/originals/{digest[:16]}/{name}"
    sha256, size = vault.put(uri, source)
    sealed = seal(name.encode(), key, f"material {order_id} {name}")
    return MaterialRow(order_id, name, MaterialKind.DOCUMENT, uri, sha256, size, "application/octet-stream", sealed)


def _require_changeable(state: OrderState, order_id: str) -> None:
    if state not in CHANGEABLE:
        raise MemorialError(
            f"the order is {state}; its script cannot be changed now",
            where=order_id,
            remedy="cancel the order or wait until its run is over",
        )
