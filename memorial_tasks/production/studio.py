"""One open studio: its database, vault, keyring and keys, and what every act needs of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from memorial_tasks.audit.configuration import note_settings
from memorial_tasks.audit.event import Actor, AuditEvent, RunRef
from memorial_tasks.audit.log import append
from memorial_tasks.consent.keys import ConsentKeys, consent_keys
from memorial_tasks.database.connection import Connection, Spare
from memorial_tasks.database.registry import OrderRow, get_order
from memorial_tasks.database.server import database_url
from memorial_tasks.domain.order import valid_order_id
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.settings import Settings
from memorial_tasks.vault.keyring import Keyring, KmsKeyring, LocalKeyring
from memorial_tasks.vault.store import Store, open_store

_NAMES_THE_IMAGE = ("step.started", "step.finished", "step.failed")


@dataclass(frozen=True)
class Who:
    """Who acts, and within which run: goes into every audit entry."""

    kind: str  # person, service, family, auditor
    id: str
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    attempt: int = 0


@dataclass(frozen=True)
class Studio:
    """Everything an act needs. Cheap to open; a connection is made for each transaction, unless `spare` keeps one."""

    settings: Settings
    database: str
    store: Store
    keyring: Keyring
    keys: ConsentKeys = field(repr=False)
    spare: Spare = field(default_factory=Spare, repr=False, compare=False)

    @classmethod
    def open(cls, settings: Settings | None = None, *, keep: bool = False) -> "Studio":
        """Open the studio the settings describe; starts the embedded database when there is no other.

        `keep`: a process that lives for one act and makes ten transactions of it keeps its connection between them.
        """
        settings = settings or Settings.current()
        keyring: Keyring = (
            KmsKeyring(settings.keyring, settings.kms_key_id) if settings.kms_key_id else LocalKeyring(settings.keyring)
        )
        database = database_url(settings.database_url, settings.database_dir, ask=not keep)
        spare = Spare(keep)
        # An unreachable database is told by the first act, with its own remedy.
        with suppress(Unavailable), spare.transaction(database) as connection:
            note_settings(connection, settings.model_dump(mode="json"), settings.keyring)
        return cls(
            settings=settings,
            database=database,
            store=open_store(settings.store_url, settings.s3_endpoint),
            keyring=keyring,
            keys=consent_keys(settings.keyring),
            spare=spare,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction of the application's role."""
        with self.spare.transaction(self.database) as connection:
            yield connection

    def order(self, connection: Connection, order_id: str, *, lock: bool = False) -> OrderRow:
        """The order, or a refusal that says what to do. `order_id` may come from anywhere, so it is checked first."""
        row = get_order(connection, order_id, lock=lock) if valid_order_id(order_id) else None
        if row is None:
            raise MemorialError("no such order", where="order", remedy="see 'memorial order list'")
        return row

    def audit(
        self,
        connection: Connection,
        kind: str,
        who: Who,
        order: OrderRow | None = None,
        *,
        decision: str = "",
        reason_code: str = "",
        refs: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
        order_id: str = "",
        subject: str = "",
    ) -> None:
        """Append one entry to the audit log, in the transaction of the act it records."""
        image = self.settings.image_digest or self.settings.step_image.partition("@")[2]
        if image and kind in _NAMES_THE_IMAGE:
            data = {**(data or {}), "image": image}
        run = None
        if who.run_id:
            run = RunRef(dag_id=who.dag_id, run_id=who.run_id, task_id=who.task_id, try_=who.attempt)
        append(
            connection,
            AuditEvent(
                type=kind,
                order=order.order_id if order else order_id or None,
                subject=order.subject_id if order else subject or None,
                actor=Actor(kind=who.kind, id=who.id),
                at=now(),
                run=run,
                refs=dict(refs or {}),
                consent_id=order.consent_id if order else None,
                decision=decision or None,
                reason_code=reason_code or None,
                data=dict(data or {}),
            ),
        )


def now() -> datetime:
    """The time of the control plane, in UTC."""
    return datetime.now(UTC)


def command_actor(settings: Settings) -> Who:
    """Who acts when the command is used."""
    return Who("person", settings.operator)
