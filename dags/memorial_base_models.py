"""# Base models

**What it does.** Brings a base voice or face model into the studio: trains one on a licensed corpus, in a step of the
data plane that gets the corpus and nothing else, or imports a checkpoint that an operator put into the inbox. Either
way it looks at the file without loading it, checks digest, architecture and every licence, and stores it with where it
came from. Orders that come in afterwards start their training from the newest base of their config.

**When to run.** By hand, when a corpus or a checkpoint was brought.

**Inputs and form fields.** `corpus`: the name of a folder in `models/corpora` of the studio's home, with `corpus.yaml`
and the files it names; `kind` and `config` say what is trained. `manifest`: the name of a manifest in `models/inbox`,
without `.yaml`. One of the two at least.

**What a human must decide.** Whether the corpus may be used at all: the manifest's author signs for its licences.

**Outputs and where they land.** `memorial model list` and `memorial model show MODEL`; the weights in the folder
`models`; one audit entry with digest and licences.

**If it fails.** The reason names what was refused: *is missing* (an item without licence), *the licence is not one that
allows films*, *no such file beside the manifest*, *people can be learned from*, *not a safetensors file*, *the digest
is ...*, *another architecture ...*. Mend the manifest or the file and run it again. Refusals are not tried again.

**Is it safe to re-run?** Yes. The same weights under the same id change nothing; other weights under it are refused.

**Data handling and consent.** Corpora with a licence only; no material of an order, no personal data.
"""

from datetime import timedelta

from airflow.sdk import Param, dag

from memorial_tasks.airflow.acts import HOUSE
from memorial_tasks.airflow.night import import_base_model, night_task, train_base_model
from memorial_tasks.airflow.tags import Tag

NAME = "^([a-z0-9][a-z0-9.-]{2,63})?$"


@dag(
    **HOUSE,
    dag_id="memorial_base_models",
    dag_display_name="Base models",
    description="Trains or imports a base model with its digest and licences.",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=26),
    tags=[Tag.BASE, Tag.TIER_2, Tag.NO_PERSONAL],
    params={
        "corpus": Param("", type="string", title="Corpus", pattern=NAME, description="A folder in models/corpora."),
        "kind": Param("face", type="string", title="Kind", enum=["face", "voice"], description="What is trained."),
        "config": Param(
            "cpu",
            type="string",
            title="Configuration",
            enum=["tiny", "cpu", "production"],
            description="Orders of the same configuration start from it.",
        ),
        "manifest": Param(
            "", type="string", title="Manifest", pattern=NAME, description="A manifest in models/inbox, without .yaml."
        ),
    },
)
def memorial_base_models() -> None:
    trained = night_task(
        "train_model", train_base_model, display="Train a model", doc="On a licensed corpus.", minutes=24 * 60
    )
    trained >> night_task(
        "import_model", import_base_model, display="Import a model", doc="Digest, format, licences.", minutes=60
    )


memorial_base_models()
