"""Writing to the log: one INSERT in the transaction of the act itself. Ordering comes later (`sequencer`)."""

from collections.abc import Sequence

from psycopg2.extensions import connection as Connection

from memorial_tasks.audit.event import AuditEvent

_INSERT = "INSERT INTO audit.event (body) VALUES (%s)"


def append(connection: Connection, event: AuditEvent) -> None:
    """Writes the entry. It is part of the log if and only if the connection's transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, (event.body(),))


def append_many(connection: Connection, events: Sequence[AuditEvent]) -> None:
    """Writes several entries of one act, in order, in one round trip. (A list of rows costs the server a third less
    than the same bytes in an array: there is nothing to plan.)"""
    if events:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT + ", (%s)" * (len(events) - 1), [event.body() for event in events])
