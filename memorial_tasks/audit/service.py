"""The audit room put together: keys, anchors and the acts that need both. What commands, DAGs and pages call."""

import json
import re
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorial_tasks.audit import note as notes
from memorial_tasks.audit.anchor import (
    Anchor,
    AnchorResult,
    BucketAnchor,
    DirectoryAnchor,
    KeepingAnchor,
    TimestampAnchor,
    anchor_pending,
    check_timestamps,
    newest_outside,
)
from memorial_tasks.audit.checkpoint import make_checkpoint
from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.audit.note import KEY_FILE, NEXT_FILE, Checkpoint, SigningKeys
from memorial_tasks.audit.report import Person
from memorial_tasks.audit.verify import Fault, Verification, verify_database
from memorial_tasks.database.connection import AUDITOR, SEQUENCER, Connection, one, rows, transaction
from memorial_tasks.errors import InputRefused, IntegrityError, Problem, Unavailable
from memorial_tasks.settings import Settings


@dataclass(frozen=True)
class AuditRoom:
    """Where the log lies (`url`), its keys, and the anchors. The first anchor is always the local folder."""

    url: str
    keys: SigningKeys = field(repr=False)
    folder: DirectoryAnchor
    others: tuple[Anchor, ...] = ()

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """All of them."""
        return (self.folder, *self.others)

    @property
    def readable(self) -> list[KeepingAnchor]:
        """Those that can be read back."""
        return [self.folder, *(anchor for anchor in self.others if isinstance(anchor, BucketAnchor))]

    def checkpoint(self) -> tuple[Checkpoint | None, AnchorResult]:
        """Seals what happened so far and anchors it. Never signs a log smaller than what an anchor has seen.

        Raises:
            IntegrityError: the log was changed, cut, forked or restored.
        """
        outside = newest_outside([self.folder], self.keys.known)
        made = make_checkpoint(self.url, self.keys, outside=outside)
        return made, anchor_pending(self.url, self.keys.known, self.anchors)

    def rotate_key(self, keyring: Path, actor: Actor) -> tuple["AuditRoom", Checkpoint, AnchorResult]:
        """Changes the log's signing key: an entry says so, a checkpoint over it names the new key and is signed by the
        old and the new one, and the old secret is destroyed. Interrupted, it is finished by the next call.

        Raises:
            IntegrityError: as for `checkpoint`. The key is not changed then.
        """
        coming = notes.create_next(keyring)
        log, clock = (str(key) for key in coming.public)
        event = AuditEvent(type="key.rotated", actor=actor, data={"next": log, "next_clock": clock})
        with transaction(self.url, role=SEQUENCER, application="memorial rotate-key") as connection:
            append(connection, event)
        outside = newest_outside([self.folder], self.keys.known)
        made = make_checkpoint(self.url, self.keys, outside=outside, successor=coming)
        if made is None or not notes.announces(made.note, coming.public):
            raise IntegrityError("the new key was not announced", where="audit", remedy="run rotate-key again")
        room = replace(self, keys=notes.promote_next(keyring))
        return room, made, anchor_pending(self.url, room.keys.known, self.anchors)

    def verify(self, *, trusted: Sequence[str] = ()) -> Verification:
        """The whole log against its own checkpoints, those of every readable anchor, and `trusted` ones."""
        outside = [text for anchor in self.readable for text in anchor.read()]

        def known(first: int, past: int) -> bytes | None:
            for anchor in self.readable:
                if (found := anchor.leaves(first, past)) is not None:
                    return found
            return None

        from memorial_tasks.consent.check import history_problems

        def cut_from_the_registry() -> tuple[Fault, ...]:
            """The log may be whole while the registry it speaks of was cut: a withdrawal removed by hand, say."""
            with transaction(self.url, role=AUDITOR, application="memorial verify") as connection:
                return tuple(Fault(problem.code, problem.what) for problem in history_problems(connection))

        with (
            ThreadPoolExecutor(1) as beside,
            transaction(self.url, role=AUDITOR, application="memorial verify") as connection,
        ):
            looking = beside.submit(cut_from_the_registry)
            found = verify_database(connection, self.keys.public, trusted=[*outside, *trusted], known_leaves=known)
            stamps = [(each, _stamps(connection, each)) for each in self.others if isinstance(each, TimestampAnchor)]
            wrong = [fault for each, stamped in stamps for fault in check_timestamps(stamped, each.roots)]
            lost = (*wrong, *looking.result())
        return replace(found, ok=found.ok and not lost, faults=(*found.faults, *lost))

    def entries(
        self,
        *,
        order: str | None = None,
        subject: str | None = None,
        kind: str | None = None,
        between: tuple[str, str] | None = None,
        after: int = -1,
        newest: int = 100,
    ) -> list[dict[str, Any]]:
        """The newest sequenced entries that fit, in order: ``{"entry": number, ...the entry's own fields}``. `between`
        are the first and last time as text; `kind` is how the type begins."""
        wanted = [
            f'"order":"{order}"' if order else "",
            f'"subject":"{subject}"' if subject else "",
            f'"type":"{kind}' if kind else "",
        ]
        first, last = between or ("", "~")
        with transaction(self.url, role=AUDITOR, application="memorial audit list") as connection:
            found = rows(
                connection,
                "SELECT l.seq, e.body FROM audit.leaf l JOIN audit.event e ON e.id = l.event_id WHERE l.seq > %s"
                " AND position(%s::bytea in e.body) > 0 AND position(%s::bytea in e.body) > 0"
                " AND position(%s::bytea in e.body) > 0"
                " AND substring(e.body from position('\\x226174223a22'::bytea in e.body) + 6 for 24) BETWEEN %s AND %s"
                " ORDER BY l.seq DESC LIMIT %s",
                (after, *(text.encode() for text in wanted), first.encode(), last.encode(), newest),
            )
        entries = [{"entry": row["seq"], **json.loads(row["body"])} for row in reversed(found)]
        # the bytes were only searched; a value elsewhere in the entry may look alike
        return [
            entry
            for entry in entries
            if (order is None or entry.get("order") == order) and (subject is None or entry.get("subject") == subject)
        ]


def _stamps(connection: Connection, anchor: TimestampAnchor) -> list[tuple[str, bytes]]:
    found = rows(
        connection,
        "SELECT c.note, a.receipt FROM audit.anchor a JOIN audit.checkpoint c USING (size)"
        " WHERE a.target = %s AND a.receipt IS NOT NULL ORDER BY size",
        (anchor.target,),
    )
    return [(row["note"], row["receipt"]) for row in found]


def write_report(
    room: AuditRoom,
    about: str,
    folder: Path,
    assets: Path,
    people_of: Callable[[str], Sequence[Person]] = lambda order: (),
) -> dict[str, Any]:
    """Writes the report about an order, a subject or a period into `folder` and says where. `people_of` an order tells
    the names to show, when there are any to tell.

    Raises:
        InputRefused: the log has no entry about it.
    """
    from memorial_tasks.audit import report as reports

    made, missed = None, ""
    try:
        made, _ = room.checkpoint()
    except IntegrityError as error:  # the report is the place to say so
        missed = str(error)
    period = reports.period_of(about)
    kind = "period" if period else "order"
    entries = room.entries(between=period, newest=20_000) if period else room.entries(order=about, newest=20_000)
    if not entries and not period:
        kind, entries = "subject", room.entries(subject=about, newest=20_000)
    if not entries:
        problem = Problem("audit.unknown", "the log has no entry about this", "see `memorial audit list`")
        raise InputRefused([problem])
    checkpoint = made.note if made else missed
    orders = dict.fromkeys(entry["order"] for entry in entries if entry.get("order")) if kind != "period" else {}
    people = [person for order in orders for person in people_of(order)]
    facts = reports.build(about, kind, entries, room.verify(), checkpoint, datetime.now(UTC), people)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    page = folder / f"audit-{re.sub('[^A-Za-z0-9._-]', '-', about)}.html"
    page.write_text(reports.html(facts), encoding="utf-8")
    document: dict[str, Any] = {
        "about": about,
        "kind": kind,
        "entries": len(entries),
        "verified": facts.verification.ok,
        "html": str(page),
        "pdf": None,
        "pdf_missing": "",
    }
    try:
        from memorial_tasks.audit.pages import pdf
        from memorial_tasks.video.fonts import cjk_font

        pdf(facts, page.with_suffix(".pdf"), cjk_font(assets))
        document["pdf"] = str(page.with_suffix(".pdf"))
    except (Unavailable, ImportError) as error:
        document["pdf_missing"] = str(error)
    return document


def open_room(
    url: str,
    keyring: Path,
    audit_dir: Path,
    *,
    bucket: str | None = None,
    s3_endpoint: str | None = None,
    tsa_url: str | None = None,
    tsa_roots: Path | None = None,
) -> AuditRoom:
    """The audit room of a studio. The signing key is made when neither a key nor a checkpoint exists yet.

    Args:
        bucket: ``s3://bucket/prefix`` of a bucket with Object Lock, in another account.
        tsa_url: an RFC 3161 authority; `tsa_roots` is a PEM file with the certificates to trust.
    """
    folder = DirectoryAnchor(audit_dir / "checkpoints")
    others: list[Anchor] = []
    if bucket:
        others.append(_bucket(bucket, s3_endpoint))
    if tsa_url:
        roots = tsa_roots.read_bytes() if tsa_roots and tsa_roots.is_file() else b""
        others.append(TimestampAnchor(tsa_url, http_post(tsa_url), split_pem(roots)))
    return AuditRoom(url, _finish_rotation(url, keyring, _keys(url, keyring, folder)), folder, tuple(others))


def room_of(settings: Settings, url: str) -> AuditRoom:
    """The audit room the studio's settings describe."""
    return open_room(
        url,
        settings.keyring,
        settings.audit_dir,
        bucket=settings.audit_bucket,
        s3_endpoint=settings.s3_endpoint,
        tsa_url=settings.tsa_url,
        tsa_roots=settings.tsa_roots,
    )


def http_post(url: str, timeout: float = 20.0) -> Any:
    """A function that posts a time-stamp query to `url`."""
    if not url.startswith(("https://", "http://")):
        raise Unavailable("the time-stamp authority's address is no http(s) address", where="MEMORIAL_TSA_URL")

    def post(query: bytes) -> bytes:
        request = urllib.request.Request(url, query, {"Content-Type": "application/timestamp-query"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return bytes(answer.read(1 << 20))

    return post


def _keys(url: str, keyring: Path, folder: DirectoryAnchor) -> SigningKeys:
    if not (keyring / KEY_FILE).exists():
        with transaction(url, role=AUDITOR, application="memorial audit") as connection:
            row = one(connection, "SELECT count(*) AS n FROM audit.checkpoint")
        if (row and row["n"]) or folder.read():
            raise Unavailable(
                "the audit log has checkpoints but its signing key is gone",
                where=KEY_FILE,
                remedy="bring the key back from its backup; a new key would look like a forged log",
            )
        return notes.create_keys(keyring)
    return notes.load_keys(keyring)


def _finish_rotation(url: str, keyring: Path, keys: SigningKeys) -> SigningKeys:
    """A change of keys that was cut short after its checkpoint was stored: the new key is the key already."""
    if not (keyring / NEXT_FILE).exists():
        return keys
    with transaction(url, role=AUDITOR, application="memorial audit") as connection:
        last = one(connection, "SELECT note FROM audit.checkpoint ORDER BY size DESC LIMIT 1")
    if last is not None and notes.announces(last["note"], notes.create_next(keyring).public):
        return notes.promote_next(keyring)
    return keys


def _bucket(address: str, endpoint: str | None) -> BucketAnchor:
    import boto3

    name, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/") or "audit"
    return BucketAnchor(boto3.client("s3", endpoint_url=endpoint), name, prefix + "/")


def split_pem(bundle: bytes) -> tuple[bytes, ...]:
    end = b"-----END CERTIFICATE-----"
    return tuple(part.strip() + b"\n" + end + b"\n" for part in bundle.split(end) if b"BEGIN CERTIFICATE" in part)
