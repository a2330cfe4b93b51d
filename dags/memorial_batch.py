"""# Nightly batch

**What it does.** Looks at every submitted order first (consent, material in the vault) and writes down what it found.
Then starts one `memorial_order` run per ready order, by priority, promised date and age: as many at once as there is
room for, the next one when one of them is finished or waits for a person. In the end it tells how each order stands.

**When to run.** Every night at 22:00. By hand with *dry run* to see what would start and what is broken. A night that
was missed: `airflow backfill create --dag-id memorial_batch --from-date DAY --to-date DAY`; it takes the orders that
had been submitted by then and still wait.

**Inputs and form fields.** `limit`: how many orders to start at most. `dry_run`: look only.

**What a human must decide.** Nothing here; each order stops at its own review.

**Outputs and where they land.** `memorial batch show` and the page *Studio*: per order its state, the failed stage, the
reason and the next action. The same counts go into the notification. XCom holds counts.

**If it fails.** A broken order never stops the others; it is named in the summary with what to do. When a task itself
fails, database or Airflow did not answer: it is tried again and starts nothing twice. The summary is written even
when the night could not be finished.

**Is it safe to re-run?** Yes. A night is one night, however often it runs; an order that runs is not started again.

**Data handling and consent.** Order ids only. Consent is looked at here and decided again by every step.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.night import LONGEST_NIGHT, look, night_task, night_watch, report, wave
from memorial_tasks.airflow.tags import Tag


@dag(
    **HOUSE,
    dag_id="memorial_batch",
    dag_display_name="Nightly batch",
    description="Starts one run per ready order, as room allows, and tells how each ended.",
    doc_md=__doc__,
    schedule="0 22 * * *",
    max_active_runs=1,
    dagrun_timeout=LONGEST_NIGHT + timedelta(hours=2),
    tags=[Tag.BATCH, Tag.TIER_1, Tag.NO_PERSONAL],
    params={
        "limit": Param(500, type="integer", minimum=1, maximum=10_000, title="Limit", description="Orders to start."),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Look at everything, start nothing."),
    },
)
def memorial_batch() -> None:
    looked = night_task("look", look, display="Look at every order", doc="Consent and material, the whole batch first.")
    started = night_watch(
        "start_orders", wave, display="Start what there is room for", doc="Holds no worker slot between two looks."
    )
    told = night_task(
        "report", report, display="Tell how each order stands", doc="Also when not all went well.",
        trigger_rule="all_done",
    )  # fmt: skip
    looked >> started >> told


memorial_batch()
