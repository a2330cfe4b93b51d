"""Links: one recipient, one film, so many downloads, so long. Every opening is decided anew from the registry.

The gate that answers the Internet calls `look` and `take`. Neither needs the subject's key: that consent stands is read
from its signed history under the version the film was delivered with (`publish_allowed`), and any change since then,
an objection, a withdrawal, an expiry, closes the link in the same moment.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from memorial_tasks.consent.record import ConsentRecord
from memorial_tasks.consent.registry import decide_order, publish_allowed, refusal
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database.connection import Connection
from memorial_tasks.database.registry import OrderRow, get_order
from memorial_tasks.delivery import codes, registry
from memorial_tasks.delivery.bucket import BucketTarget
from memorial_tasks.delivery.folder import file_digest
from memorial_tasks.delivery.receipts import Receipt, make_receipt
from memorial_tasks.delivery.recipients import choose, recipient_ref
from memorial_tasks.delivery.registry import LinkRow, Ticket, TicketRow
from memorial_tasks.delivery.target import FILM
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, IntegrityError, MemorialError, Problem
from memorial_tasks.production.consents import facts_of, permit_for, release_key
from memorial_tasks.production.deliveries import close_links, target_of
from memorial_tasks.production.studio import Studio, Who

FILE_NAME = "memorial-film.mp4"  # what the family's browser saves: no name in it
DOWNLOADS_MOST, DAYS_MOST = 20, 365
# Seconds to wait after the 1st, 2nd, ... wrong code; after the last one the link is closed for good.
WAITS = (0, 0, 15, 60, 300, 900, 900, 3600, 3600, 3600)
TICKET_SECONDS = 300  # to begin with, as an address of the bucket
RESUME_SECONDS = 6 * 3600  # to finish a download that broke
_SPARE = 16 << 20  # bytes beyond the film's that a resumed download may fetch again


class LinkRefused(MemorialError):
    """The link opens nothing now. `code` says why in a machine word, `wait_s` when to try again."""

    def __init__(self, code: str, wait_s: int = 0) -> None:
        super().__init__("the link opens nothing", remedy="see its code")
        self.code, self.wait_s = code, wait_s


@dataclass(frozen=True)
class Issued:
    """A new link. `url` and `code` are shown once and stored nowhere."""

    link_id: str
    url: str
    code: str
    recipient: str
    downloads: int
    expires_at: datetime


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


def base_url(studio: Studio) -> str:
    """Where the gate is reached."""
    return (studio.settings.delivery_url or f"http://127.0.0.1:{studio.settings.delivery_port}").rstrip("/")


# --- the studio's side -------------------------------------------------------------------------------------


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


# --- the family's side -------------------------------------------------------------------------------------


def _standing(studio: Studio, connection: Connection, row: LinkRow) -> str:
    """Why the link opens nothing now, as a machine word; empty when it does. Consent is asked first."""
    order = get_order(connection, row.order_id)
    if order is None or order.state in (OrderState.WITHDRAWN, OrderState.ERASED):
        return "consent.ended"
    if order.state is OrderState.FROZEN:
        return "consent.frozen"
    try:
        publish_allowed(connection, row.order_id, row.consent_version, row.now, studio.keys.trusted)
    except (ConsentRefused, IntegrityError):
        return "consent.ended"
    return _link_standing(row, delivered=order.state is OrderState.DELIVERED)


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


def _refuse(studio: Studio, connection: Connection, row: LinkRow, code: str, wait_s: int = 0) -> LinkRefused:
    """Notes a refusal, in the audit log unless the same one stands there since less than an hour."""
    if registry.note_refusal(connection, row.link_id, code):
        order = get_order(connection, row.order_id)
        who = Who("family", row.link_id)
        studio.audit(connection, "link.refused", who, order, reason_code=code, data={"link": row.link_id})
    return LinkRefused(code, wait_s)


def _find(connection: Connection, token: str) -> LinkRow:
    hashed = codes.token_hash(token)
    row = registry.find_link(connection, hashed, lock=True) if hashed else None
    if row is None:
        raise LinkRefused("link.unknown")
    return row


def look(studio: Studio, token: str) -> Opened:
    """Open the landing page: nothing is consumed, however often and by whomever it is looked at.

    Raises `LinkRefused`.
    """
    with studio.transaction() as connection:
        row = _find(connection, token)
        code = _standing(studio, connection, row)
        refused = _refuse(studio, connection, row, code) if code else None
    if refused:
        raise refused
    return Opened(row.link_id, row.left, row.expires_at)


def take(studio: Studio, token: str, typed: str) -> Taken:
    """Consume one download: link, code, consent, count and the stored film itself are checked, in this order.

    Of two calls for the last download exactly one succeeds. Raises `LinkRefused`, or `Unavailable` when the bucket
    does not answer (nothing is consumed then).
    """
    row = _check_code(studio, token, typed)
    secret = codes.new_token()
    ready = _ready(studio, row, secret)
    with studio.transaction() as connection:
        row = _find(connection, token)
        code = _standing(studio, connection, row) or ("" if ready else "film.changed")
        if not code and not registry.use_link(connection, row.link_id):
            code = "link.used"
        if code:
            refused = _refuse(studio, connection, row, code)
        else:
            refused = None
            receipt = _hand_over(studio, connection, row, ready)
    if refused:
        raise refused
    address = ready if isinstance(ready, str) else ""
    return Taken(row.link_id, receipt, address, "" if address else secret)


def _check_code(studio: Studio, token: str, typed: str) -> LinkRow:
    """The link's row when the code is right. The row stays locked meanwhile: guesses at one link come one by one."""
    refused = None
    with studio.transaction() as connection:
        row = _find(connection, token)
        code = _standing(studio, connection, row)
        if code:
            refused = _refuse(studio, connection, row, code)
        elif row.wait_until is not None and row.wait_until > row.now:
            refused = LinkRefused("link.wait", max(1, int((row.wait_until - row.now).total_seconds())))
        elif not codes.code_fits(typed, row.code_salt, row.code_hash):
            wrong = registry.note_wrong_code(connection, row.link_id, WAITS)
            code = "link.locked" if wrong >= len(WAITS) else "link.wrong_code"
            refused = _refuse(studio, connection, row, code, WAITS[min(wrong, len(WAITS)) - 1])
        else:
            registry.forget_wrong_codes(connection, row.link_id)
    if refused:
        raise refused
    return row


def _ready(studio: Studio, row: LinkRow, secret: str) -> str | Ticket | None:
    """The address or ticket to hand out; None when the stored film is not the delivered one any more."""
    placed = row.placed(FILM)
    target = target_of(studio.settings)
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


def _hand_over(studio: Studio, connection: Connection, row: LinkRow, ready: str | Ticket | None) -> Receipt:
    order = studio.order(connection, row.order_id)
    number, through = row.downloads_used + 1, "s3" if isinstance(ready, str) else "local"
    receipt = make_receipt(
        studio.keys.registrar,
        kind="download",
        order_id=row.order_id,
        film_sha256=row.film_sha256,
        recipient_ref=row.recipient_ref,
        at=row.now,
        through=through,
        consent_id=order.consent_id or "",
        consent_version=row.consent_version,
        link=row.link_id,
        number=number,
        of=row.downloads_allowed,
    )
    ticket = ready if isinstance(ready, Ticket) else None
    registry.add_download(connection, row.order_id, receipt, link_id=row.link_id, ticket=ticket)
    studio.audit(
        connection, "film.downloaded", Who("family", row.link_id), order,
        refs={"film": row.film_sha256, "recipient": row.recipient_ref},
        data={"link": row.link_id, "number": number, "of": row.downloads_allowed, "through": through,
              "receipt": receipt.receipt_id},
    )  # fmt: skip
    return receipt


def identity(path: Path) -> str:
    """What tells a file from one put in its place: inode, size, time of change. Empty when there is none."""
    try:
        found = path.lstat()
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def open_ticket(studio: Studio, ticket: str) -> tuple[bytes, TicketRow]:
    """The ticket's hash and row, when consent holds and the file is still the very one that was checked.

    Raises `LinkRefused`.
    """
    hashed = codes.token_hash(ticket)
    with studio.transaction() as connection:
        row = registry.open_ticket(connection, hashed, RESUME_SECONDS) if hashed else None
        if row is None or hashed is None:
            raise LinkRefused("ticket.over")
        try:
            at = registry.time_now(connection)
            publish_allowed(connection, row.order_id, row.consent_version, at, studio.keys.trusted)
        except (ConsentRefused, IntegrityError):
            raise LinkRefused("consent.ended") from None
    if identity(Path(row.place)) != row.file_identity:
        raise LinkRefused("film.changed")
    return hashed, row
