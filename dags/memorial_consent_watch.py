"""# Consent watch

**What it does.** Every five minutes: consents that expired, objections that were raised, withdrawals. Freezes,
halts and erases what they concern, in the registry first and then in Airflow. Has reviews go on whose answer Airflow
stored and did not act upon.

**When to run.** On its schedule. By hand after a court order or a telephone call, once the withdrawal was entered.

**Inputs and form fields.** None.

**What a human must decide.** Nothing here. Objections are decided with `memorial consent resolve`.

**Outputs and where they land.** Order states, audit entries, erasure receipts beside the audit anchors. XCom holds
counts.

**If it fails.** Orders that could not be handled are tried again at the next interval; permits are dead already, so
nothing goes on meanwhile. A failure that stays: see the task's log, then `memorial doctor`.

**Is it safe to re-run?** Yes. Every action is carried out once.

**Data handling and consent.** Reads consent events and order ids; opens no material.
"""

from datetime import timedelta

from airflow.sdk import dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.night import night_task, watch
from memorial_tasks.airflow.tags import Tag


@dag(
    **HOUSE,
    dag_id="memorial_consent_watch",
    dag_display_name="Consent watch",
    description="Expiry, objection and withdrawal: freeze, halt, erase.",
    doc_md=__doc__,
    schedule="*/5 * * * *",
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    tags=[Tag.CONSENT, Tag.TIER_1, Tag.PERSONAL],
)
def memorial_consent_watch() -> None:
    night_task("apply_consent", watch, display="Apply what is due", doc="Freeze, halt, erase; registry first.")


memorial_consent_watch()
