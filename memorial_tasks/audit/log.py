"""Writing to the log: one INSERT in the transaction of the act itself. Ordering comes later (`sequencer`)."""

from collections.abc import Sequence

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit.event import AuditEvent

_INSERT = "INSERT INTO audit.event (body) VALUES (%s)"
_INSERT_MANY = (
    "INSERT INTO audit.event (body) SELECT body FROM unnest(%s::bytea[]) WITH ORDINALITY u(body, n) ORDER BY n"
)


def append(connection: Connection, event: AuditEvent) -> None:
    """Writes the entry. It is part of the log if and only if the connection's transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, (event.body(),))


def append_many(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Writes several entries of one act, in order, in one round trip."""
    if events:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT_MANY, ([event.body() for event in events],))
