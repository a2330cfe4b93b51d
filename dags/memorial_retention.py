"""# Retention

**What it does.** Every night: makes sure that everything erased stays erased, also after a restore from backup, and
names orders whose run vanished without finishing them.

**When to run.** On its schedule, and at once after any restore from backup.

**Inputs and form fields.** None.

**What a human must decide.** Nothing.

**Outputs and where they land.** Audit entries and order states. XCom holds counts.

**If it fails.** A receipt that cannot be read: restore the receipts folder from its own backup and run this again.
Until then no restored studio may produce.

**Is it safe to re-run?** Yes.

**Data handling and consent.** Reads erasure receipts, which hold no personal data.
"""

from datetime import timedelta

from airflow.sdk import dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.night import night_task, retention
from memorial_tasks.airflow.tags import Tag


@dag(
    **HOUSE,
    dag_id="memorial_retention",
    dag_display_name="Retention",
    description="What was erased stays erased; lost runs are named.",
    doc_md=__doc__,
    schedule="30 4 * * *",
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    tags=[Tag.RETENTION, Tag.TIER_2, Tag.PERSONAL],
)
def memorial_retention() -> None:
    night_task("keep_promises", retention, display="Keep what was promised", doc="Erasures, lost runs.", minutes=180)


memorial_retention()
