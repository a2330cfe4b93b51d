"""Links, the studio's side: one recipient, one film, so many downloads, so long. `door` is the family's side."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from memorial_tasks.consent.record import ConsentRecord
from memorial_tasks.consent.registry import decide_order, publish_allowed, refusal
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow
from memorial_tasks.delivery import codes, registry
from memorial_tasks.delivery.keys import make_gate_keys
from memorial_tasks.delivery.recipients import choose, recipient_ref
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError, Problem
from memorial_tasks.production.consents import facts_of, permit_for, release_key
from memorial_tasks.production.deliveries import close_links
from memorial_tasks.production.studio import Studio, Who

DOWNLOADS_MOST, DAYS_MOST = 20, 365


@dataclass(frozen=True)
class Issued:
    """A new link. `url` and `code` are shown once and stored nowhere."""

    link_id: str
    url: str
    code: str
    recipient: str
    downloads: int
    expires_at: datetime


def base_url(studio: Studio) -> str:
    """Where the gate is reached."""
    return (studio.settings.delivery_url or f"http://127.0.0.1:{studio.settings.delivery_port}").rstrip("/")


def ready_gate(studio: Studio, who: Who) -> None:
    """The gate's folder of keys, made or brought up to date; a new key stands in the audit log."""

    def introduce(digest: str) -> None:
        with studio.transaction() as connection:
            studio.audit(connection, "key.gate_made", who, refs={"key/delivery-gate": digest})

    make_gate_keys(studio.settings.keyring, studio.settings.gate_dir, introduce)


def consented(studio: Studio, connection: Connection, order: OrderRow) -> ConsentRecord:
    """The consent record of an order that consent covers now; `ConsentRefused` otherwise."""
    decision, consent = decide_order(
        connection,
        order.order_id,
        studio.keys.trusted,
        KeyringSealer(studio.keyring),
        now=registry.time_now(connection),
        purpose=order.purpose,
        facts=facts_of(studio, order),
    )
    if not decision.granted or consent.record is None:
        raise refusal(decision, order.order_id)
    return consent.record


def issue(
    studio: Studio, order_id: str, who: Who, *, recipient: str = "", downloads: int = 1, days: int = 30
) -> Issued:
    """Make a link for one recipient. It never outlives the consent, and all links and archives together never hand
    out more copies than the consent allows.

    Raises:
        ConsentRefused: consent does not hold, does not name this recipient, or allows no more copies.
        InputRefused: numbers out of range, or the recipient has to be named.
        MemorialError: nothing is delivered that a link could hand out.
    """
    _check_numbers(downloads, days)
    ready_gate(studio, who)
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        record = consented(studio, connection, order)
        chosen = choose(record, recipient)
        permit = permit_for(studio, connection, order, "deliver", ())
    _, key = release_key(studio, permit, order, "deliver", who)
    link_id, token, code = f"lnk-{secrets.token_hex(8)}", codes.new_token(), codes.new_code()
    salt, reference = secrets.token_bytes(16), recipient_ref(key, record, chosen)
    hashed = codes.token_hash(token)
    assert hashed is not None  # noqa: S101 - made a line above
    with studio.transaction() as connection:
        order = studio.order(connection, order_id, lock=True)
        delivery = registry.live_delivery(connection, order_id)
        if order.state is not OrderState.DELIVERED or delivery is None:
            raise MemorialError(
                "nothing is delivered that a link could hand out",
                where=order_id,
                remedy=f"run 'memorial order run {order_id}': it delivers under the consent as it is now",
            )
        at = registry.time_now(connection)
        try:
            publish_allowed(connection, order_id, delivery.consent_version, at, studio.keys.trusted)
        except ConsentRefused as error:
            raise ConsentRefused(error.what, where=order_id, remedy=f"run 'memorial order run {order_id}'") from error
        require_copies(connection, record, downloads)
        expires = min(at + timedelta(days=days), record.valid_until)
        registry.add_link(
            connection, link_id, delivery,
            token_hash=hashed, code_salt=salt, code_hash=codes.code_hash(codes.normal_code(code) or "", salt),
            recipient_ref=reference, downloads=downloads, expires_at=expires, issued_by=who.id,
        )  # fmt: skip
        studio.audit(
            connection, "link.issued", who, order,
            refs={"film": delivery.film_sha256, "recipient": reference},
            data={"link": link_id, "downloads": downloads, "days": days},
        )  # fmt: skip
    return Issued(link_id, f"{base_url(studio)}/film/{token}", code, chosen, downloads, expires)


def _check_numbers(downloads: int, days: int) -> None:
    found = []
    if not 1 <= downloads <= DOWNLOADS_MOST:
        what = f"{downloads} downloads are not possible"
        found.append(Problem("delivery.downloads", what, f"give 1 to {DOWNLOADS_MOST}", "downloads"))
    if not 1 <= days <= DAYS_MOST:
        found.append(Problem("delivery.days", f"{days} days are not possible", f"give 1 to {DAYS_MOST}", "days"))
    if found:
        raise InputRefused(found)


def require_copies(connection: Connection, record: ConsentRecord, wanted: int) -> None:
    """Raises `ConsentRefused` when `wanted` more copies would be more than the consent allows."""
    promised = registry.copies_promised(connection, record.order_id)
    if promised + wanted > record.scope.max_copies:
        raise ConsentRefused(
            f"the consent allows {record.scope.max_copies} copies and {promised} are promised or handed out",
            where=record.order_id,
            remedy="revoke links that are not needed, or let the grantor consent to more",
        )


def revoke(studio: Studio, link_or_order: str, who: Who) -> list[str]:
    """Close one link, or every link of an order; returns the ids closed by this call.

    Raises `MemorialError` when there is no such link or order.
    """
    with studio.transaction() as connection:
        order_id = registry.order_of_link(connection, link_or_order)
        if order_id is None:
            order_id, link_id = studio.order(connection, link_or_order, lock=True).order_id, ""
        else:
            link_id = link_or_order
        return close_links(studio, connection, order_id, who, "revoked", link_id=link_id)
