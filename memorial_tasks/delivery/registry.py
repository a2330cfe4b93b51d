"""Links and hand-overs in the registry: plain functions over a connection that never commit.

Time is the database's, and for one link never earlier than it was seen before: setting a clock back revives nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection

from memorial_tasks.database.connection import execute, one, rows
from memorial_tasks.database.registry import DeliveryRow, record_delivery, renew_delivery
from memorial_tasks.delivery.receipts import Receipt
from memorial_tasks.delivery.target import Placed
from memorial_tasks.domain.words import OrderState


@dataclass(frozen=True)
class LinkRow:
    """One link with what its delivery says. `now` is the time that counts for it."""

    link_id: str
    order_id: str
    delivery_id: str
    code_salt: bytes = field(repr=False)
    code_hash: bytes = field(repr=False)
    recipient_ref: str
    downloads_allowed: int
    downloads_used: int
    wrong_codes: int
    wait_until: datetime | None
    issued_at: datetime
    issued_by: str
    expires_at: datetime
    seen_at: datetime
    refused_code: str
    refused_at: datetime | None
    revoked_at: datetime | None
    revoke_reason: str
    film_sha256: str
    target: str
    place: str
    objects: list[dict[str, Any]]
    consent_version: int
    delivery_revoked_at: datetime | None
    order_state: OrderState
    subject_id: str
    consent_id: str | None
    now: datetime

    @property
    def left(self) -> int:
        """Downloads left."""
        return self.downloads_allowed - self.downloads_used

    def placed(self, name: str) -> Placed | None:
        """One of the delivered files."""
        return next((Placed(**one) for one in self.objects if one["name"] == name), None)


_COLUMNS = """
l.link_id, l.order_id, l.delivery_id, l.code_salt, l.code_hash, l.recipient_ref, l.downloads_allowed, l.downloads_used,
l.wrong_codes, l.wait_until, l.issued_at, l.issued_by, l.expires_at, l.seen_at, l.refused_code, l.refused_at,
l.revoked_at, l.revoke_reason, d.film_sha256, d.target, d.place, d.objects, d.consent_version,
d.revoked_at AS delivery_revoked_at, o.state AS order_state, o.subject_id, o.consent_id,
greatest(clock_timestamp(), l.seen_at) AS now
"""


_JOINED = "delivery_link l JOIN delivery d USING (order_id, delivery_id) JOIN orders o USING (order_id)"


def time_now(connection: Connection) -> datetime:
    """The database's time."""
    row = one(connection, "SELECT clock_timestamp() AS now")
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    now: datetime = row["now"]
    return now


def deliver_once(
    connection: Connection,
    order_id: str,
    film: str,
    target: str,
    *,
    place: str,
    objects: Sequence[Placed],
    consent_version: int,
) -> str:
    """Stores that the film lies at `target`: ``fresh``, ``renewed`` (it had been revoked) or ``known``."""
    documents: list[Mapping[str, Any]] = [placed.document() for placed in objects]
    fresh = record_delivery(
        connection,
        order_id,
        f"delivery-{film[:16]}" if target == "local" else f"delivery-s3-{film[:16]}",
        film_sha256=film,
        target=target,
        place=place,
        objects=documents,
        consent_version=consent_version,
    )
    if fresh:
        return "fresh"
    renewed = renew_delivery(
        connection,
        order_id,
        film_sha256=film,
        target=target,
        place=place,
        objects=documents,
        consent_version=consent_version,
    )
    return "renewed" if renewed else "known"


def end_outdated(connection: Connection, order_id: str, consent_version: int) -> int:
    """Revokes deliveries made under another version of the consent: what was agreed to then may not be what is agreed
    to now. Returns how many were live."""
    return execute(
        connection,
        "UPDATE delivery SET revoked_at = clock_timestamp()"
        " WHERE order_id = %s AND revoked_at IS NULL AND consent_version <> %s",
        (order_id, consent_version),
    )


def supersede(connection: Connection, order_id: str, film: str, target: str) -> int:
    """Revokes the order's other deliveries: another film, or another place. Returns how many were live."""
    return execute(
        connection,
        "UPDATE delivery SET revoked_at = clock_timestamp() WHERE order_id = %s AND revoked_at IS NULL"
        " AND NOT (film_sha256 = %s AND target = %s)",
        (order_id, film, target),
    )


def live_delivery(connection: Connection, order_id: str) -> DeliveryRow | None:
    """The delivery that links hand out now, or None."""
    row = one(
        connection,
        "SELECT * FROM delivery WHERE order_id = %s AND revoked_at IS NULL ORDER BY delivered_at DESC LIMIT 1",
        (order_id,),
    )
    return None if row is None else DeliveryRow(**row)


# --- links ------------------------------------------------------------------------------------------------


def add_link(
    connection: Connection,
    link_id: str,
    delivery: DeliveryRow,
    *,
    token_hash: bytes,
    code_salt: bytes,
    code_hash: bytes,
    recipient_ref: str,
    downloads: int,
    expires_at: datetime,
    issued_by: str,
) -> None:
    """Stores a link."""
    execute(
        connection,
        "INSERT INTO delivery_link (link_id, order_id, delivery_id, token_hash, code_salt, code_hash, recipient_ref,"
        " downloads_allowed, expires_at, issued_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            link_id, delivery.order_id, delivery.delivery_id, token_hash, code_salt, code_hash, recipient_ref,
            downloads, expires_at, issued_by,
        ),
    )  # fmt: skip


def _link(row: Mapping[str, Any]) -> LinkRow:
    return LinkRow(**{**row, "order_state": OrderState(row["order_state"])})


def append_entry(connection: Connection, body: bytes) -> None:
    """An entry of the audit log in the gate's words: the database lets it say what happened at a link, no more."""
    execute(connection, "SELECT audit.append_from_gate(%s)", (body,))


def find_link(connection: Connection, token_hash: bytes, *, lock: bool = False) -> LinkRow | None:
    """The link of a token. `lock` holds it against every other request until this transaction ends."""
    if lock:  # first the lock, then the reading: what another request changed meanwhile has to be seen
        execute(connection, "SELECT 1 FROM delivery_link WHERE token_hash = %s FOR UPDATE", (token_hash,))
    row = one(
        connection,
        f"SELECT {_COLUMNS} FROM {_JOINED}"  # noqa: S608
        " WHERE l.token_hash = %s",
        (token_hash,),
    )
    if row is None:
        return None
    if lock:
        execute(
            connection,
            "UPDATE delivery_link SET seen_at = greatest(seen_at, clock_timestamp()) WHERE token_hash = %s",
            (token_hash,),
        )
    return _link(row)


def list_links(connection: Connection, order_id: str) -> list[LinkRow]:
    """Every link of an order, by time."""
    found = rows(
        connection,
        f"SELECT {_COLUMNS} FROM {_JOINED}"  # noqa: S608
        " WHERE l.order_id = %s ORDER BY l.issued_at",
        (order_id,),
    )
    return [_link(row) for row in found]


def order_of_link(connection: Connection, link_id: str) -> str | None:
    """The order a link belongs to."""
    row = one(connection, "SELECT order_id FROM delivery_link WHERE link_id = %s", (link_id,))
    return None if row is None else str(row["order_id"])


def note_wrong_code(connection: Connection, link_id: str, waits: Sequence[int]) -> int:
    """Counts a wrong code and returns how many there were; `waits` are the seconds to wait after the 1st, 2nd, ..."""
    row = one(
        connection,
        "UPDATE delivery_link SET wrong_codes = wrong_codes + 1, wait_until = clock_timestamp() + make_interval(secs =>"
        " (%s::integer[])[least(wrong_codes + 1, %s)]) WHERE link_id = %s RETURNING wrong_codes",
        (list(waits), len(waits), link_id),
    )
    return 0 if row is None else int(row["wrong_codes"])


def forget_wrong_codes(connection: Connection, link_id: str) -> None:
    """After the right code."""
    execute(
        connection,
        "UPDATE delivery_link SET wrong_codes = 0, wait_until = NULL WHERE link_id = %s AND wrong_codes > 0",
        (link_id,),
    )


def use_link(connection: Connection, link_id: str) -> bool:
    """Takes one download off the link; False when there was none left."""
    changed = execute(
        connection,
        "UPDATE delivery_link SET downloads_used = downloads_used + 1"
        " WHERE link_id = %s AND downloads_used < downloads_allowed AND revoked_at IS NULL",
        (link_id,),
    )
    return changed == 1


def note_refusal(connection: Connection, link_id: str, code: str) -> bool:
    """Remembers a refusal; True when it has to go into the audit log (another one, or an hour later)."""
    changed = execute(
        connection,
        "UPDATE delivery_link SET refused_code = %(code)s, refused_at = clock_timestamp() WHERE link_id = %(link)s"
        " AND (refused_code <> %(code)s OR refused_at IS NULL OR refused_at < clock_timestamp() - interval '1 hour')",
        {"code": code, "link": link_id},
    )
    return changed == 1


def revoke_links(
    connection: Connection, order_id: str, reason: str, *, link_id: str = "", dead_only: bool = False
) -> list[str]:
    """Closes the order's links (or one, or those whose delivery is revoked); returns the ids closed by this call."""
    found = rows(
        connection,
        "UPDATE delivery_link l SET revoked_at = clock_timestamp(), revoke_reason = %(reason)s"
        " WHERE l.order_id = %(order)s AND l.revoked_at IS NULL AND (%(link)s = '' OR l.link_id = %(link)s)"
        " AND (NOT %(dead)s OR EXISTS (SELECT 1 FROM delivery d WHERE d.order_id = l.order_id"
        " AND d.delivery_id = l.delivery_id AND d.revoked_at IS NOT NULL)) RETURNING l.link_id",
        {"order": order_id, "reason": reason, "link": link_id, "dead": dead_only},
    )
    return sorted(row["link_id"] for row in found)


def copies_promised(connection: Connection, order_id: str) -> int:
    """How many copies were or can still be handed out: open links in full, closed ones as far as used, archives."""
    row = one(
        connection,
        "SELECT (SELECT coalesce(sum(CASE WHEN revoked_at IS NULL AND expires_at > clock_timestamp()"
        " THEN downloads_allowed ELSE downloads_used END), 0) FROM delivery_link WHERE order_id = %(order)s)"
        " + (SELECT count(*) FROM delivery_download WHERE order_id = %(order)s AND link_id IS NULL) AS copies",
        {"order": order_id},
    )
    return 0 if row is None else int(row["copies"])


# --- hand-overs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ticket:
    """Leave to fetch the embedded default's file once: `ticket_hash` of the secret, the file as it was, bytes."""

    ticket_hash: bytes
    file_identity: str
    allowance: int
    seconds: int


@dataclass(frozen=True)
class DownloadRow:
    """One hand-over as it is listed."""

    receipt_id: str
    order_id: str
    link_id: str | None
    at: datetime
    receipt: bytes
    kid: str
    signature: str
    bytes_sent: int
    completed_at: datetime | None


def add_download(
    connection: Connection, order_id: str, receipt: Receipt, *, link_id: str | None = None, ticket: Ticket | None = None
) -> None:
    """Stores a hand-over with its receipt."""
    execute(
        connection,
        "INSERT INTO delivery_download (receipt_id, order_id, link_id, receipt, kid, signature, ticket_hash,"
        " ticket_until, file_identity, bytes_left) VALUES (%s, %s, %s, %s, %s, %s, %s,"
        " clock_timestamp() + make_interval(secs => %s), %s, %s)",
        (
            receipt.receipt_id, order_id, link_id, receipt.body, receipt.signature.kid, receipt.signature.value,
            ticket.ticket_hash if ticket else None, ticket.seconds if ticket else None,
            ticket.file_identity if ticket else None, ticket.allowance if ticket else None,
        ),
    )  # fmt: skip


def list_downloads(connection: Connection, order_id: str) -> list[DownloadRow]:
    """Every hand-over of an order, by time."""
    found = rows(
        connection,
        "SELECT receipt_id, order_id, link_id, at, receipt, kid, signature, bytes_sent, completed_at"
        " FROM delivery_download WHERE order_id = %s ORDER BY at",
        (order_id,),
    )
    return [DownloadRow(**row) for row in found]


_LIVE = """
FROM delivery_link l, delivery d, orders o
WHERE w.ticket_hash = %(ticket)s AND l.link_id = w.link_id AND d.order_id = l.order_id
  AND d.delivery_id = l.delivery_id AND o.order_id = l.order_id
  AND w.ticket_until > clock_timestamp() AND w.completed_at IS NULL
  AND l.revoked_at IS NULL AND d.revoked_at IS NULL AND o.state = 'delivered'
"""


@dataclass(frozen=True)
class TicketRow:
    """A ticket that is good now."""

    order_id: str
    link_id: str
    film_sha256: str
    place: str
    consent_version: int
    file_identity: str
    bytes_left: int


def open_ticket(connection: Connection, ticket_hash: bytes, seconds: int) -> TicketRow | None:
    """The ticket when it is good now; from its first use on it lives for `seconds`, so that a broken download can be
    taken up again."""
    row = one(
        connection,
        "UPDATE delivery_download w SET ticket_until = CASE WHEN bytes_sent = 0"  # noqa: S608
        f" THEN clock_timestamp() + make_interval(secs => %(seconds)s) ELSE w.ticket_until END {_LIVE}"
        " RETURNING w.order_id, w.link_id, d.film_sha256, d.place, d.consent_version, w.file_identity, w.bytes_left",
        {"ticket": ticket_hash, "seconds": seconds},
    )
    return None if row is None else TicketRow(**row)


def take_bytes(connection: Connection, ticket_hash: bytes, count: int) -> bool:
    """Takes `count` bytes off the ticket just before they are sent; False when it is used up, or consent, link or
    delivery ended meanwhile: a running download stops there."""
    changed = execute(
        connection,
        "UPDATE delivery_download w SET bytes_left = w.bytes_left - %(count)s,"  # noqa: S608
        f" bytes_sent = w.bytes_sent + %(count)s {_LIVE} AND w.bytes_left >= %(count)s",
        {"ticket": ticket_hash, "count": count},
    )
    return changed == 1


def finish_ticket(connection: Connection, ticket_hash: bytes, size: int) -> bool:
    """After the file's last byte went out: the ticket is over once as much as the whole film was sent."""
    changed = execute(
        connection,
        "UPDATE delivery_download SET completed_at = clock_timestamp()"
        " WHERE ticket_hash = %s AND completed_at IS NULL AND bytes_sent >= %s",
        (ticket_hash, size),
    )
    return changed == 1
