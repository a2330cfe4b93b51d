"""Reading the registry for the metrics: aggregates only, one read-only transaction, under the auditor's role.

The audit log is looked at from its end, so that a log of many years costs no more than one of a day.
"""

from typing import Any

from memorial_tasks.database.connection import AUDITOR, Connection, execute, one, rows, transaction
from memorial_tasks.observability.metrics import BUCKETS, Counted, Durations, Snapshot

# Consent is decided a few times an order; this many entries are more than a busy day's.
NEWEST = 200_000


def collect(database: str) -> Snapshot:
    """What the registry says now.

    Raises:
        Unavailable: the database does not answer, or was not set up.
    """
    with transaction(database, role=AUDITOR, application="memorial metrics") as connection:
        execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _read(connection)


def _counted(connection: Connection, sql: str, parameters: dict[str, Any] | None = None) -> list[Counted]:
    """Rows whose last column is the number and whose other columns are the labels."""
    found = [list(row.values()) for row in rows(connection, sql, parameters)]
    return [Counted(tuple(str(label) for label in row[:-1]), float(row[-1])) for row in found]


def _read(connection: Connection) -> Snapshot:
    ages = one(
        connection,
        "SELECT"
        " (SELECT extract(epoch FROM now() - min(updated_at)) FROM orders WHERE state = 'submitted') AS queue,"
        " (SELECT extract(epoch FROM now() - min(updated_at)) FROM orders WHERE state = 'in_review') AS review,"
        " (SELECT count(*) FROM orders WHERE state IN ('submitted', 'running', 'in_review')"
        "   AND promised < current_date) AS late,"
        " (SELECT count(*) FROM erasure WHERE receipt IS NULL) AS erasures,"
        " (SELECT coalesce(max(id), 0) FROM audit.event) AS entries,"
        # the newest placed entries and everything behind them: what is missing among them has no place yet
        " (SELECT extract(epoch FROM now() - min(e.recorded_at)) FROM audit.event e WHERE e.id >"
        "   (SELECT coalesce(max(id), 0) - %(newest)s FROM audit.event)"
        "   AND NOT EXISTS (SELECT FROM audit.leaf l WHERE l.event_id = e.id)) AS lag,"
        " (SELECT extract(epoch FROM now() - max(at)) FROM audit.checkpoint) AS checkpoint,"
        " (SELECT extract(epoch FROM now() - max(at)) FROM audit.anchor) AS anchor",
        {"newest": NEWEST},
    )
    assert ages is not None  # noqa: S101 - a SELECT without FROM has one row
    return Snapshot(
        orders=_counted(connection, "SELECT state, count(*) FROM orders GROUP BY state"),
        late=int(ages["late"]),
        queue_age=_seconds(ages["queue"]),
        review_age=_seconds(ages["review"]),
        runs=_counted(connection, "SELECT step, state, count(*) FROM step_run GROUP BY step, state"),
        durations=_durations(connection),
        retries=_counted(connection, "SELECT step, sum(attempts - 1) FROM step_run GROUP BY step"),
        gpu_minutes=_counted(
            connection, "SELECT step, gpu, sum(gpu_minutes) FROM step_run WHERE gpu <> '' GROUP BY step, gpu"
        ),
        consent_events=_counted(connection, "SELECT type, count(*) FROM consent_event GROUP BY type"),
        decisions=_decisions(connection),
        findings=_counted(
            connection,
            "SELECT step, finding ->> 'code', finding ->> 'severity' AS severity, count(*) FROM step_run,"
            " jsonb_array_elements(CASE jsonb_typeof(metrics -> 'findings') WHEN 'array' THEN metrics -> 'findings'"
            " ELSE '[]' END) AS finding WHERE state = 'done' GROUP BY 1, 2, 3",
        ),
        gates=_counted(
            connection,
            "SELECT step, CASE metrics ->> 'passed' WHEN 'true' THEN 'passed' ELSE 'closed' END AS result, count(*)"
            " FROM step_run WHERE state = 'done' AND metrics ? 'passed' GROUP BY 1, 2",
        ),
        reviews=_counted(
            connection, "SELECT subject_matter, decision, count(*) FROM review GROUP BY subject_matter, decision"
        ),
        deliveries=_counted(
            connection,
            "SELECT CASE WHEN revoked_at IS NULL THEN 'live' ELSE 'revoked' END, count(*) FROM delivery GROUP BY 1",
        ),
        erasures_open=int(ages["erasures"]),
        audit_entries=int(ages["entries"]),
        audit_lag=_seconds(ages["lag"]),
        checkpoint_age=_seconds(ages["checkpoint"]),
        anchor_age=_seconds(ages["anchor"]),
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def _durations(connection: Connection) -> list[Durations]:
    within = ", ".join(f"count(*) FILTER (WHERE wall_s <= {limit:g}) AS b{n}" for n, limit in enumerate(BUCKETS))
    found = rows(
        connection,
        f"SELECT step, count(*) AS n, sum(wall_s) AS seconds, {within}"  # noqa: S608 - numbers of our own
        " FROM step_run WHERE state = 'done' AND wall_s IS NOT NULL GROUP BY step",
    )
    return [
        Durations(
            row["step"], tuple(int(row[f"b{n}"]) for n in range(len(BUCKETS))), int(row["n"]), float(row["seconds"])
        )
        for row in found
    ]


def _decisions(connection: Connection) -> list[Counted]:
    return _counted(
        connection,
        "SELECT body ->> 'decision', count(*) FROM (SELECT convert_from(body, 'UTF8')::jsonb AS body FROM audit.event"
        " WHERE id > (SELECT coalesce(max(id), 0) - %(newest)s FROM audit.event)"
        "   AND recorded_at > now() - interval '1 day') AS newest"
        " WHERE body ->> 'type' = 'consent.decided' AND body ->> 'decision' IS NOT NULL GROUP BY 1",
        {"newest": NEWEST},
    )
