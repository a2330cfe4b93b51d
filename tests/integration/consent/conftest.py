"""A small studio on a database of its own, with orders that have consent and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from memorial_tasks.audit.event import AuditEvent, parse_body
from memorial_tasks.consent import registry
from memorial_tasks.consent.events import ConsentEvent, EventType
from memorial_tasks.consent.record import ConsentRecord, record_from_order, script_digest
from memorial_tasks.consent.rules import Decision
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.database.connection import Connection, one, rows
from memorial_tasks.database.registry import NewOrder, OrderRow, create_order, get_order
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import Modality
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings

SCRIPT = ["我很好。", "你们不要挂念。"]
NAMES = ("陈秀英", "林晓", "陈国强", "周敏")  # subject, grantor, her brother, somebody else: none may leak
WHO = Who("person", "tester")


def document_of(order_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The order of a daughter for the family's own use."""
    return {
        "order": order_id,
        "subject": {"name": NAMES[0], "born": "1931-04-02", "died": "2019-11-20", "domicile": "CN"},
        "grantors": [{"name": NAMES[1], "relation": "daughter", "evidence": ["p/kinship.pdf", "p/death.pdf"]}],
        "purpose": "family_private",
        "jurisdictions": ["CN"],
        "language": "zh-CN",
        "script": [{"text": text} for text in SCRIPT],
        "materials": {"photos": "photos", "voice": "voice"},
        **changes,
    }


@dataclass
class House:
    """A studio and a clock that the test sets."""

    studio: Studio
    at: datetime

    @property
    def sealer(self) -> KeyringSealer:
        return KeyringSealer(self.studio.keyring)

    def later(self, **time: float) -> datetime:
        """Moves the clock."""
        self.at += timedelta(**time)
        return self.at

    @contextmanager
    def tx(self) -> Iterator[Connection]:
        with self.studio.transaction() as connection:
            yield connection

    @contextmanager
    def superuser(self) -> Iterator[Connection]:
        """What an insider with the database's own login can do: triggers off, everything writable."""
        connection = psycopg2.connect(self.studio.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET search_path TO memorial")
                for table in ("consent_record", "consent_event", "consent_action"):
                    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            yield connection
            with connection.cursor() as cursor:
                for table in ("consent_record", "consent_event", "consent_action"):
                    cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
            connection.commit()
        finally:
            connection.close()

    def enter(
        self,
        order_id: str = "order-1",
        *,
        operator: str = "ann",
        subject_id: str = "",
        captured: Mapping[str, tuple[str, date]] | None = None,
        **changes: Any,
    ) -> ConsentRecord:
        """Submits an order as far as consent sees it; `subject_id`: an id other than the order's own."""
        subject = subject_id or f"sub-{order_id}"
        order = Order.model_validate(document_of(order_id, changes))
        self.studio.keyring.create(subject)
        papers = {path: sha256(path.encode()).hexdigest() for path in _papers(order)}
        record = record_from_order(
            order, papers, script_digest(SCRIPT), ["d" * 64], subject_id=subject, now=self.at, captured=captured
        )
        with self.tx() as connection:
            create_order(
                connection,
                NewOrder(
                    order_id=order_id,
                    subject_id=subject,
                    purpose=order.purpose,
                    language=order.language,
                    jurisdictions=order.jurisdictions,
                    sealed_document=b"sealed",
                    document_sha256="0" * 64,
                    script_sha256=record.script_sha256,
                    consent_id=record.consent_id,
                ),
            )
            registry.open_consent(connection, record, self.studio.keys, self.sealer, operator=operator, now=self.at)
        return record

    def decide(self, order_id: str = "order-1", **arguments: Any) -> Decision:
        with self.tx() as connection:
            return registry.decide_order(
                connection, order_id, self.studio.keys.trusted, self.sealer, **({"now": self.at} | arguments)
            )[0]

    def permit(self, order_id: str = "order-1", **arguments: Any) -> tuple[str, Permit]:
        given: dict[str, Any] = {
            "steps": ["train_face"],
            "now": self.at,
            "lifetime": timedelta(minutes=10),
            "modalities": [Modality.FACE],
        }
        with self.tx() as connection:
            return registry.grant_permit(connection, order_id, self.studio.keys, self.sealer, **(given | arguments))

    def release(self, token: str, order_id: str = "order-1", step: str = "train_face", **arguments: Any) -> Permit:
        with self.tx() as connection:
            return registry.release(
                connection,
                token,
                self.studio.keys,
                **({"order": order_id, "step": step, "now": self.at, "modalities": ["face"]} | arguments),
            )

    def happens(self, type: EventType, order_id: str = "order-1", **fields: Any) -> ConsentEvent:
        given: dict[str, Any] = {"actor_kind": "co_kin", "actor": "p-x", "now": self.at}
        with self.tx() as connection:
            return registry.append_event(connection, order_id, type, self.studio.keys, **(given | fields))

    def order(self, order_id: str = "order-1") -> OrderRow:
        with self.tx() as connection:
            row = get_order(connection, order_id)
        assert row is not None
        return row

    def events(self, order_id: str = "order-1") -> list[str]:
        with self.tx() as connection:
            found = rows(connection, "SELECT type FROM consent_event WHERE order_id = %s ORDER BY seq", (order_id,))
        return [row["type"] for row in found]

    def audit(self) -> list[AuditEvent]:
        """Everything in the audit log, read as an auditor may."""
        connection = psycopg2.connect(self.studio.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT body FROM audit.event ORDER BY id")
                return [parse_body(bytes(row[0])) for row in cursor.fetchall()]
        finally:
            connection.close()

    def count(self, table: str) -> int:
        with self.tx() as connection:
            row = one(connection, f"SELECT count(*) AS n FROM {table}")
        return int(row["n"]) if row else 0


def _papers(order: Order) -> list[str]:
    papers = [paper for person in order.grantors for paper in person.evidence]
    papers += [paper for relative in order.co_kin for paper in relative.evidence]
    papers += [paper for other in order.consent.third_parties for paper in other.evidence]
    return [paper.file for paper in (*papers, *order.subject.lifetime_arrangement.evidence)]


@pytest.fixture
def house(database: str, tmp_path: Path) -> House:
    settings = Settings(home=tmp_path / "home", database_url=database, operator="ann")
    return House(Studio.open(settings), datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
