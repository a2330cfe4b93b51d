"""Links, the family's side: every opening is decided anew from the registry, by a process that strangers can reach.

The gate that answers the Internet calls `look` and `take`. Neither needs the subject's key: that consent stands is read
from its signed history under the version the film was delivered with (`publish_allowed`), and any change since then,
an objection, a withdrawal, an expiry, closes the link in the same moment.

A `Door` is all the gate has: the registry under a role that sees links and nothing of anybody
(sql/0020_gate.sql), its own key for receipts, the registrar's public keys, and the place the films lie. It never opens
the studio: whoever takes the process over can sign receipts and addresses of delivered films, and nothing else.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.consent.registry import publish_allowed
from memorial_tasks.database.connection import Connection, transaction
from memorial_tasks.database.server import database_url
from memorial_tasks.delivery import codes, registry
from memorial_tasks.delivery.bucket import BucketTarget
from memorial_tasks.delivery.folder import file_digest
from memorial_tasks.delivery.keys import GateKeys, gate_keys
from memorial_tasks.delivery.receipts import Receipt, make_receipt
from memorial_tasks.delivery.registry import LinkRow, Ticket, TicketRow
from memorial_tasks.delivery.target import FILM
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, IntegrityError, MemorialError
from memorial_tasks.production.deliveries import target_of
from memorial_tasks.settings import Settings

GATE = "memorial_gate"  # the database role: links, and what they hand out
FILE_NAME = "memorial-film.mp4"  # what the family's browser saves: no name in it
# Seconds to wait after the 1st, 2nd, ... wrong code; after the last one the link is closed for good.
WAITS = (0, 0, 15, 60, 300, 900, 900, 3600, 3600, 3600)
TICKET_SECONDS = 300  # to begin with, as an address of the bucket
RESUME_SECONDS = 6 * 3600  # to finish a download that broke
_SPARE = 16 << 20  # bytes beyond the film's that a resumed download may fetch again


@dataclass(frozen=True)
class Door:
    """What the gate's process works with."""

    settings: Settings
    database: str
    keys: GateKeys = field(repr=False)

    @classmethod
    def open(cls, settings: Settings | None = None) -> "Door":
        """The door the settings describe. Raises `MemorialError` when `memorial init` has not made its keys yet."""
        settings = settings or Settings()
        keys = gate_keys(settings.gate_dir)
        return cls(settings, database_url(settings.database_url, settings.database_dir), keys)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction of the gate's own role."""
        with transaction(self.database, role=GATE, application="memorial gate") as connection:
            yield connection

    def audit(
        self,
        connection: Connection,
        kind: str,
        row: LinkRow,
        *,
        reason_code: str = "",
        refs: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Append what happened at one link, in the transaction in which it happened."""
        event = AuditEvent(
            type=kind,
            order=row.order_id,
            subject=row.subject_id,
            actor=Actor(kind="family", id=row.link_id),
            at=datetime.now(UTC),
            refs=dict(refs or {}),
            consent_id=row.consent_id,
            reason_code=reason_code or None,
            data={"link": row.link_id, **(data or {})},
        )
        registry.append_entry(connection, event.body())


class LinkRefused(MemorialError):
    """The link opens nothing now. `code` says why in a machine word, `wait_s` when to try again."""

    def __init__(self, code: str, wait_s: int = 0) -> None:
        super().__init__("the link opens nothing", remedy="see its code")
        self.code, self.wait_s = code, wait_s


@dataclass(frozen=True)
class Opened:
    """What a landing page may say: nothing about whom or what."""

    link_id: str
    left: int
    expires_at: datetime


@dataclass(frozen=True)
class Taken:
    """One download, consumed: an address of the bucket, or a ticket for our own file."""

    link_id: str
    receipt: Receipt
    address: str = ""
    ticket: str = ""


def _standing(door: Door, connection: Connection, row: LinkRow) -> str:
    """Why the link opens nothing now, as a machine word; empty when it does. Consent is asked first."""
    if row.order_state in (OrderState.WITHDRAWN, OrderState.ERASED):
        return "consent.ended"
    if row.order_state is OrderState.FROZEN:
        return "consent.frozen"
    try:
        publish_allowed(connection, row.order_id, row.consent_version, row.now, door.keys.trusted)
    except (ConsentRefused, IntegrityError):
        return "consent.ended"
    return _link_standing(row, delivered=row.order_state is OrderState.DELIVERED)


def _link_standing(row: LinkRow, *, delivered: bool) -> str:
    if row.revoke_reason == "superseded":
        return "film.replaced"
    if row.revoked_at is not None or row.delivery_revoked_at is not None or not delivered:
        return "link.revoked"
    if row.now >= row.expires_at:
        return "link.expired"
    if row.left < 1:
        return "link.used"
    return "link.locked" if row.wrong_codes >= len(WAITS) else ""


def state_of(row: LinkRow) -> str:
    """A link's state for a list: ``open``, ``revoked``, ``expired``, ``used``, ``locked``, ``replaced``."""
    return _link_standing(row, delivered=True).rpartition(".")[2] or "open"


def _refuse(door: Door, connection: Connection, row: LinkRow, code: str, wait_s: int = 0) -> LinkRefused:
    """Notes a refusal, in the audit log unless the same one stands there since less than an hour."""
    if registry.note_refusal(connection, row.link_id, code):
        door.audit(connection, "link.refused", row, reason_code=code)
    return LinkRefused(code, wait_s)


def _find(connection: Connection, token: str) -> LinkRow:
    hashed = codes.token_hash(token)
    row = registry.find_link(connection, hashed, lock=True) if hashed else None
    if row is None:
        raise LinkRefused("link.unknown")
    return row


def look(door: Door, token: str) -> Opened:
    """Open the landing page: nothing is consumed, however often and by whomever it is looked at.

    Raises `LinkRefused`.
    """
    with door.transaction() as connection:
        row = _find(connection, token)
        code = _standing(door, connection, row)
        refused = _refuse(door, connection, row, code) if code else None
    if refused:
        raise refused
    return Opened(row.link_id, row.left, row.expires_at)


def take(door: Door, token: str, typed: str) -> Taken:
    """Consume one download: link, code, consent, count and the stored film itself are checked, in this order.

    Of two calls for the last download exactly one succeeds. Raises `LinkRefused`, or `Unavailable` when the bucket
    does not answer (nothing is consumed then).
    """
    row = _check_code(door, token, typed)
    secret = codes.new_token()
    ready = _ready(door, row, secret)
    with door.transaction() as connection:
        row = _find(connection, token)
        code = _standing(door, connection, row) or ("" if ready else "film.changed")
        if not code and not registry.use_link(connection, row.link_id):
            code = "link.used"
        if code:
            refused = _refuse(door, connection, row, code)
        else:
            refused = None
            receipt = _hand_over(door, connection, row, ready)
    if refused:
        raise refused
    address = ready if isinstance(ready, str) else ""
    return Taken(row.link_id, receipt, address, "" if address else secret)


def _check_code(door: Door, token: str, typed: str) -> LinkRow:
    """The link's row when the code is right. The row stays locked meanwhile: guesses at one link come one by one."""
    refused = None
    with door.transaction() as connection:
        row = _find(connection, token)
        code = _standing(door, connection, row)
        if code:
            refused = _refuse(door, connection, row, code)
        elif row.wait_until is not None and row.wait_until > row.now:
            refused = LinkRefused("link.wait", max(1, int((row.wait_until - row.now).total_seconds())))
        elif not codes.code_fits(typed, row.code_salt, row.code_hash):
            wrong = registry.note_wrong_code(connection, row.link_id, WAITS)
            code = "link.locked" if wrong >= len(WAITS) else "link.wrong_code"
            refused = _refuse(door, connection, row, code, WAITS[min(wrong, len(WAITS)) - 1])
        else:
            registry.forget_wrong_codes(connection, row.link_id)
    if refused:
        raise refused
    return row


def _ready(door: Door, row: LinkRow, secret: str) -> str | Ticket | None:
    """The address or ticket to hand out; None when the stored film is not the delivered one any more."""
    placed = row.placed(FILM)
    target = target_of(door.settings)
    if placed is None or placed.sha256 != row.film_sha256 or target.name != row.target:
        return None
    if isinstance(target, BucketTarget):
        if not target.unchanged(row.order_id, row.film_sha256, placed):
            return None
        return target.address(row.order_id, row.film_sha256, FILM, FILE_NAME)
    before = identity(Path(row.place))
    if not before or file_digest(Path(row.place)) != row.film_sha256 or identity(Path(row.place)) != before:
        return None
    hashed = codes.token_hash(secret)
    assert hashed is not None  # noqa: S101 - made by `take`
    return Ticket(hashed, before, placed.size + placed.size // 10 + _SPARE, TICKET_SECONDS)


def _hand_over(door: Door, connection: Connection, row: LinkRow, ready: str | Ticket | None) -> Receipt:
    number, through = row.downloads_used + 1, "s3" if isinstance(ready, str) else "local"
    receipt = make_receipt(
        door.keys.signer,
        kind="download",
        order_id=row.order_id,
        film_sha256=row.film_sha256,
        recipient_ref=row.recipient_ref,
        at=row.now,
        through=through,
        consent_id=row.consent_id or "",
        consent_version=row.consent_version,
        link=row.link_id,
        number=number,
        of=row.downloads_allowed,
    )
    ticket = ready if isinstance(ready, Ticket) else None
    registry.add_download(connection, row.order_id, receipt, link_id=row.link_id, ticket=ticket)
    door.audit(
        connection, "film.downloaded", row,
        refs={"film": row.film_sha256, "recipient": row.recipient_ref, "receipt": receipt.sha256},
        data={"number": number, "of": row.downloads_allowed, "through": through, "receipt": receipt.receipt_id},
    )  # fmt: skip
    return receipt


def identity(path: Path) -> str:
    """What tells a file from one put in its place: inode, size, time of change. Empty when there is none."""
    try:
        found = path.lstat()
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def open_ticket(door: Door, ticket: str) -> tuple[bytes, TicketRow]:
    """The ticket's hash and row, when consent holds and the file is still the very one that was checked.

    Raises `LinkRefused`.
    """
    hashed = codes.token_hash(ticket)
    with door.transaction() as connection:
        row = registry.open_ticket(connection, hashed, RESUME_SECONDS) if hashed else None
        if row is None or hashed is None:
            raise LinkRefused("ticket.over")
        try:
            at = registry.time_now(connection)
            publish_allowed(connection, row.order_id, row.consent_version, at, door.keys.trusted)
        except (ConsentRefused, IntegrityError):
            raise LinkRefused("consent.ended") from None
    if identity(Path(row.place)) != row.file_identity:
        raise LinkRefused("film.changed")
    return hashed, row
