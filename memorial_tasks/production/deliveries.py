"""Handing the film over: once, whole, and only while consent and approval hold."""

import os
import secrets
import shutil
from pathlib import Path

from memorial_tasks.consent.registry import publish_allowed
from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, MemorialError
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.orders import OPEN
from memorial_tasks.production.review import film_of, require_release
from memorial_tasks.production.steps import current_result
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.vault.store import EncryptedStore


def deliver(studio: Studio, order_id: str, who: Who) -> Path:
    """Put the film where the family gets it: once, whole, and only while consent and approval hold.

    The registry's row and the order's state change in one transaction after the bytes are in place under a
    temporary name; the last rename makes the film visible. A crash before it leaves nothing; after it, everything.
    """
    film = require_release(studio, order_id, who)
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        sealed = film_of(studio, connection, order)
        package = current_result(studio, connection, order, "package")
        token = permit_for(studio, connection, order, "deliver", ())
    permit, key = release_key(studio, token, order, "deliver", who)
    folder = studio.settings.deliveries_dir / order_id
    target = folder / "film.mp4"
    artifact = next(artifact for artifact in sealed.outputs if artifact.name == "film.mp4")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    vault = EncryptedStore(studio.store, key, folder)
    temporary = folder / f".film-{secrets.token_hex(6)}.mp4"
    parcel = folder / f".parcel-{secrets.token_hex(6)}"
    try:
        for item in package.outputs if package else ():
            (parcel / item.name).parent.mkdir(parents=True, exist_ok=True)
            vault.fetch(item.uri, parcel / item.name)
        digest, _ = vault.fetch(artifact.uri, temporary)
        if digest != film:
            raise MemorialError("the film is not the approved one", where=order_id, remedy="review the film again")
        with studio.transaction() as connection:
            order = studio.order(connection, order_id, lock=True)
            if order.state not in (OrderState.IN_REVIEW, OrderState.RUNNING, OrderState.DELIVERED):
                raise ConsentRefused(f"the order is {order.state}", where=order_id, remedy="see 'memorial order show'")
            publish_allowed(connection, order_id, permit.consent_version, now(), studio.keys.trusted)
            fresh = registry.record_delivery(
                connection, order_id, f"delivery-{film[:16]}", film_sha256=film, target="local", recipient_ref=""
            )
            registry.set_film(connection, order_id, str(target))
            registry.set_state(connection, order_id, OrderState.DELIVERED, allowed_from=OPEN)
            if fresh:
                studio.audit(
                    connection,
                    "film.delivered",
                    who,
                    order,
                    decision="delivered",
                    refs={"film": film},
                    data={"target": "local"},
                )
            for made in sorted(parcel.iterdir()) if parcel.is_dir() else ():
                shutil.rmtree(folder / made.name, ignore_errors=True)
                os.replace(made, folder / made.name)
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        shutil.rmtree(parcel, ignore_errors=True)
    return target
