"""Handing the film over: once, whole, and only while consent and approval hold. And taking it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import psycopg2

from memorial_tasks.consent.registry import publish_allowed
from memorial_tasks.database import registry
from memorial_tasks.database.connection import Connection, connect, execute
from memorial_tasks.delivery import registry as links
from memorial_tasks.delivery.bucket import BucketTarget
from memorial_tasks.delivery.folder import FolderTarget
from memorial_tasks.delivery.target import FILM, Item, Target
from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, IntegrityError, Unavailable
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.orders import OPEN
from memorial_tasks.production.review import film_of, require_release
from memorial_tasks.production.steps import current_result
from memorial_tasks.production.studio import Studio, Who, now
from memorial_tasks.settings import Settings
from memorial_tasks.vault.store import EncryptedStore

_WAIT_SECONDS = 900  # for another process that delivers the same order


def target_of(settings: Settings) -> Target:
    """Where films go: the delivery bucket when there is one, else the folder of this machine."""
    if not settings.delivery_bucket:
        return FolderTarget(settings.deliveries_dir)
    return _bucket(
        settings.delivery_bucket,
        settings.delivery_endpoint or settings.s3_endpoint,
        settings.delivery_kms_key,
        settings.delivery_role or "",
    )


@lru_cache(maxsize=8)
def _bucket(bucket: str, endpoint: str | None, kms_key: str | None, role: str) -> BucketTarget:
    """One client a bucket and process: making one costs more than using it."""
    return BucketTarget(bucket, endpoint=endpoint, kms_key=kms_key, role=role)


@contextmanager
def _alone(studio: Studio, order_id: str) -> Iterator[None]:
    """One delivery of an order at a time, on whatever machine. The lock is the connection's, not a transaction's: an
    upload may take minutes, and when the process dies the lock goes with it."""
    connection = connect(studio.database, application="memorial delivery")
    try:
        connection.autocommit = True
        execute(connection, "SELECT set_config('statement_timeout', %s, false)", (str(_WAIT_SECONDS * 1000),))
        try:
            execute(connection, "SELECT pg_advisory_lock(hashtextextended(%s, 5))", (order_id,))
        except psycopg2.Error as error:
            raise Unavailable(
                "another process delivers this order", where=order_id, remedy="wait for it, then look again"
            ) from error
        yield
    finally:
        connection.close()


def items_of(vault: EncryptedStore, film: ArtifactRef, more: tuple[ArtifactRef, ...]) -> list[Item]:
    """What is handed over: the film and whatever was packed with it, straight from the vault."""

    def item(artifact: ArtifactRef) -> Item:
        return Item(artifact.name, artifact.size, artifact.sha256, lambda: vault.chunks(artifact.uri))

    return [item(film), *(item(artifact) for artifact in more)]


def _renditions(items: list[Item]) -> dict[str, str]:
    """Digests of what was handed over beside the film and is sealed by itself, so that each of them is on record."""
    ending = (".mp4", ".m4a", ".png")
    own = [one for one in items[1:] if one.name.endswith(ending) and not one.name.startswith("page/")]
    return {f"made/{one.name}": one.sha256 for one in own}


def deliver(studio: Studio, order_id: str, who: Who) -> str:
    """Put the film where the family gets it: once, whole, and only while consent and approval hold. Returns the
    film's address, a path or ``s3://...``.

    The bytes come first, checked against the approved digest and reachable by nobody; then one transaction compares
    the consent's version, writes the registry's row and the audit entry, and makes the files visible. A process killed
    before that transaction has delivered nothing, one killed after it everything, and the next call finds out which.

    Raises:
        ConsentRefused: consent or approval is missing, or ended while the film was on its way.
        IntegrityError: the vault's film is not the approved one.
        Unavailable: the target cannot be written now.
    """
    film = require_release(studio, order_id, who)
    target = target_of(studio.settings)
    target.check()
    with _alone(studio, order_id):
        with studio.transaction() as connection:
            order = studio.order(connection, order_id)
            sealed = next(ref for ref in film_of(studio, connection, order).outputs if ref.name == FILM)
            package = current_result(studio, connection, order, "package")
            token = permit_for(studio, connection, order, "deliver", ())
        if sealed.sha256 != film:
            raise IntegrityError("the film is not the approved one", where=order_id, remedy="review the film again")
        permit, key = release_key(studio, token, order, "deliver", who)
        vault = EncryptedStore(studio.store, key, studio.settings.root)
        items = items_of(vault, sealed, package.outputs if package else ())
        with target.stage(order_id, film, items) as staged:
            try:
                with studio.transaction() as connection:
                    order = studio.order(connection, order_id, lock=True)
                    if order.state not in (*OPEN, OrderState.DELIVERED):
                        raise ConsentRefused(
                            f"the order is {order.state}", where=order_id, remedy="see 'memorial order show'"
                        )
                    publish_allowed(connection, order_id, permit.consent_version, now(), studio.keys.trusted)
                    links.end_outdated(connection, order_id, permit.consent_version)
                    close_links(studio, connection, order_id, who, "outdated", dead_only=True)
                    told = links.deliver_once(
                        connection, order_id, film, target.name,
                        place=staged.place, objects=staged.objects, consent_version=permit.consent_version,
                    )  # fmt: skip
                    links.supersede(connection, order_id, film, target.name)
                    close_links(studio, connection, order_id, who, "superseded", dead_only=True)
                    registry.set_film(connection, order_id, staged.place)
                    registry.set_state(connection, order_id, OrderState.DELIVERED, allowed_from=OPEN)
                    if told != "known":
                        kind = "s3" if isinstance(target, BucketTarget) else "local"
                        studio.audit(
                            connection, "film.delivered", who, order,
                            decision="delivered", refs={"film": film} | _renditions(items),
                            data={"target": kind, "told": told},
                        )  # fmt: skip
                    staged.publish()
            except ConsentRefused:
                staged.discard()
                raise
        target.hide(order_id, keep=film)
    return staged.place


def close_links(
    studio: Studio,
    connection: Connection,
    order_id: str,
    who: Who,
    reason: str,
    *,
    link_id: str = "",
    dead_only: bool = False,
) -> list[str]:
    """Closes links of the order, each with its audit entry; returns the ids of those closed by this call."""
    closed = links.revoke_links(connection, order_id, reason, link_id=link_id, dead_only=dead_only)
    if closed:
        order = studio.order(connection, order_id)
        for one in closed:
            studio.audit(connection, "link.revoked", who, order, reason_code=f"link.{reason}", data={"link": one})
    return closed


def withdraw_deliveries(studio: Studio, order_id: str, who: Who, *, erase: bool) -> dict[str, int]:
    """Nobody gets the film any more: every delivery and every link of the order is revoked, and addresses already
    given out stop working. With `erase` the delivered copies under our control are destroyed as well, every version;
    without it the bucket keeps its older versions. The film itself stays sealed in the vault either way.

    Calling it again does nothing new and writes nothing into the audit log. The registry comes first: when the bucket
    does not answer, the gate is closed all the same, and the next call finishes.

    Returns how many deliveries and links were revoked and how many objects hidden or erased by this call.

    Raises:
        Unavailable: the bucket does not answer; call it again.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        revoked = registry.revoke_deliveries(connection, order_id)
        closed = close_links(studio, connection, order_id, who, "withdrawn")
        if order.film_uri:
            registry.set_film(connection, order_id, None)
    target = target_of(studio.settings)
    touched = target.erase(order_id) if erase else target.hide(order_id)
    if not isinstance(target, FolderTarget):  # delivered here before there was a bucket
        touched += FolderTarget(studio.settings.deliveries_dir).erase(order_id)
    if revoked or closed or touched:
        with studio.transaction() as connection:
            studio.audit(
                connection, "film.withdrawn", who, order,
                data={"deliveries": revoked, "links": len(closed), "objects": touched, "erased": erase},
            )  # fmt: skip
    return {"deliveries": revoked, "links": len(closed), "objects": touched}
