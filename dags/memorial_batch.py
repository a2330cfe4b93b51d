"""# Nightly batch

**What it does.** Looks at every submitted order first (consent, material in the vault), then starts one
`memorial_order` run per ready order, by priority, promised date and age.

**When to run.** Every night at 22:00. By hand with *dry run* to see what would start and what is broken.

**Inputs and form fields.** `limit`: how many orders to start at most. `dry_run`: look only.

**What a human must decide.** Nothing here; each order stops at its own review.

**Outputs and where they land.** The summary is this task's return value: per order started or not, reason, next
action.

**If it fails.** A broken order never stops the others; it is named in the summary with what to do. When the task
itself fails, database or Airflow did not answer: it is tried again and starts nothing twice.

**Is it safe to re-run?** Yes. An order that runs is not started again.

**Data handling and consent.** Order ids only. Consent is checked here and again by every step.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import Param, dag, get_current_context

from memorial_tasks.airflow.acts import OWNER
from memorial_tasks.airflow.night import batch, night_task
from memorial_tasks.airflow.tags import Tag


def start(studio: Any, airflow: Any, actor: Any) -> Any:
    """The batch with the limits of this run's form."""
    params = get_current_context()["params"]
    return partial(batch, limit=int(params["limit"]), dry_run=bool(params["dry_run"]))(studio, airflow, actor)


@dag(
    dag_id="memorial_batch",
    dag_display_name="Nightly batch",
    description="Starts one run per ready order, by priority and promised date.",
    doc_md=__doc__,
    schedule="0 22 * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=[Tag.BATCH, Tag.TIER_1, Tag.NO_PERSONAL],
    owner_links={OWNER: "mailto:studio-operations@localhost"},
    params={
        "limit": Param(500, type="integer", minimum=1, maximum=5000, title="Limit", description="Orders to start."),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Look at everything, start nothing."),
    },
)
def memorial_batch() -> None:
    night_task("start_orders", start, display="Start the ready orders", doc="Looks at all first; isolates failures.")


memorial_batch()
