"""# Audit checkpoint

**What it does.** Orders what happened since the last round, signs a checkpoint over the whole log and puts it
outside the database: a folder an auditor keeps, a write-once bucket and a time stamp where they are configured.

**When to run.** On its schedule, every ten minutes. By hand before handing the log to an auditor.

**Inputs and form fields.** None.

**What a human must decide.** Nothing.

**Outputs and where they land.** Signed notes in the audit folder and at every configured anchor.

**If it fails.** *anchor missed*: the log is sealed, but not everywhere; mend the anchor, the next round catches up.
*the log was changed, cut, forked or restored*: stop, touch nothing, run `memorial audit verify` and call the
auditor.

**Is it safe to re-run?** Yes. Without new entries nothing is written.

**Data handling and consent.** Hashes and identifiers only; no personal data.
"""

from datetime import timedelta

from airflow.sdk import dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.night import checkpoint, night_task
from memorial_tasks.airflow.tags import Tag


@dag(
    **HOUSE,
    dag_id="memorial_audit_checkpoint",
    dag_display_name="Audit checkpoint",
    description="Signs the audit log and anchors it outside the database.",
    doc_md=__doc__,
    schedule="*/10 * * * *",
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    tags=[Tag.AUDIT, Tag.TIER_1, Tag.NO_PERSONAL],
)
def memorial_audit_checkpoint() -> None:
    night_task("seal_log", checkpoint, display="Seal and anchor the log", doc="Sequencer, checkpoint, anchors.")


memorial_audit_checkpoint()
