"""# Base models

**What it does.** Imports a base voice or face model from a checkpoint that an operator put into the studio's inbox:
looks at it without loading it, checks its digest and both licences, and stores it with where it came from.

**When to run.** By hand, when a new base model was put into `models/inbox` of the studio's home.

**Inputs and form fields.** `manifest`: the name of the manifest in the inbox, without `.yaml`.

**What a human must decide.** Whether the corpus may be used at all: the manifest's author signs for its licence.

**Outputs and where they land.** `memorial model list` and `memorial model show MODEL`; the weights in the folder
`models`; one audit entry with digest and licences.

**If it fails.** The reason names what was refused: *not a safetensors file*, *the digest is ...*, *the licence of the
corpus ...*, *another architecture ...*. Mend the manifest or the file and run it again. Refusals are not tried again.

**Is it safe to re-run?** Yes. The same weights under the same id change nothing; other weights under it are refused.

**Data handling and consent.** Corpora with a licence only; no material of an order, no personal data.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.night import import_base_model, night_task
from memorial_tasks.airflow.tags import Tag


@dag(
    **HOUSE,
    dag_id="memorial_base_models",
    dag_display_name="Base models",
    description="Imports a base model with its digest and licences.",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=[Tag.BASE, Tag.TIER_2, Tag.NO_PERSONAL],
    params={
        "manifest": Param(
            type="string",
            title="Manifest",
            description="Name of the manifest in models/inbox, without .yaml.",
            pattern="^[a-z0-9][a-z0-9.-]{2,63}$",
        )
    },
)
def memorial_base_models() -> None:
    night_task(
        "import_model", import_base_model, display="Import the model", doc="Digest, format, licences.", minutes=60
    )


memorial_base_models()
