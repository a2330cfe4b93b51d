"""What an auditor compares: every consent event the audit log speaks of must be in the registry, byte for byte.

The chain of signatures shows edits and gaps inside a history; only the log, which is anchored outside, shows that its
end was cut off.
"""

from psycopg2.extensions import connection as Connection

from memorial_tasks.errors import Problem

# Read as text and parsed by PostgreSQL: one pass over the log, whatever its size.
_MISSING = """
WITH told AS (
    SELECT convert_from(body, 'UTF8')::jsonb AS entry FROM audit.event
    WHERE position('"consent_event"'::bytea IN body) > 0
)
SELECT entry->>'order' AS order_id, (entry->'data'->>'seq')::integer AS seq
FROM told LEFT JOIN memorial.consent_event e
    ON e.order_id = entry->>'order' AND e.seq = (entry->'data'->>'seq')::integer
    AND encode(sha256(e.body), 'hex') = entry->'refs'->>'consent_event'
WHERE e.order_id IS NULL ORDER BY 1, 2
"""
_UNTOLD = """
SELECT e.order_id, e.seq FROM memorial.consent_event e
WHERE NOT EXISTS (
    SELECT FROM audit.event a WHERE position(encode(sha256(e.body), 'hex')::bytea IN a.body) > 0
) ORDER BY 1, 2
"""


def history_problems(connection: Connection, *, untold: bool = False) -> list[Problem]:
    """Consent events that the audit log knows and the registry has lost or changed.

    Args:
        connection: a connection that may read both (role ``memorial_auditor``).
        untold: also look for events the log does not know (slow on a long log).
    """
    with connection.cursor() as cursor:
        cursor.execute(_MISSING)
        missing = [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in cursor.fetchall()]
        extra = []
        if untold:
            cursor.execute(_UNTOLD)
            extra = [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in cursor.fetchall()]
    remedy = "stop the order, keep the database as it is, and call the auditor"
    problems = [
        Problem(
            "consent.event_missing",
            f"event {seq} of the consent of {order} is in the audit log but not in the registry",
            remedy,
        )
        for order, seq in missing
    ]
    return problems + [
        Problem(
            "consent.event_untold",
            f"event {seq} of the consent of {order} is in the registry but not in the audit log",
            remedy,
        )
        for order, seq in extra
    ]
