"""# One order, from papers to a signed film

**What it does.** Takes one submitted order all the way: consent, material check, face and voice training, speech,
film, label and signature, human review, consent once more, delivery. One run is one order.

**When to run.** `memorial order run ORDER`, the nightly batch, or the form: give the order id and nothing else.

**Inputs and form fields.** `order`: the id that `memorial order submit` printed. No names, no files, no scripts.

**What a human must decide.** Wherever the studio asks (`MEMORIAL_REVIEW_AT`: script, voice, still, film; there is a
task for each of these and for no other): read, listen, look, watch; *Approve* only what the family may see. A film for
a wider public needs two persons. A rejection says what is wrong and by that what the next try changes. No answer within
seven days is a rejection.

**Outputs and where they land.** Every result is encrypted in the vault; the film goes to the deliveries folder of
the studio. The order's page, `memorial order show ORDER` and `memorial audit report ORDER` tell what happened.

**If it fails.** The reason stands in the order's state (`memorial order show ORDER`). *refused*: consent does not
cover it, see `memorial consent show`. *blocked*: a gate found something critical, see `memorial quality report`.
*failed*: a technical fault after all retries, see the task's log, mend it, then `memorial order run ORDER` again.

**Is it safe to re-run?** Yes. A step whose result is there is not repeated, training resumes from its last
checkpoint, nothing is delivered twice.

**Data handling and consent.** Every step needs a live permit and gets the subject's key for itself alone. Marking a
task as success opens nothing: delivery reads consent and approval from the registry again.
"""

from datetime import timedelta
from functools import partial

from airflow.sdk import Param, chain, dag

from memorial_tasks.airflow.acts import HOUSE, act_task
from memorial_tasks.airflow.reviews import review_task
from memorial_tasks.airflow.steps import step_task
from memorial_tasks.airflow.tags import Tag
from memorial_tasks.production import acts
from memorial_tasks.settings import Settings

DELIVERY = "Consent and approval, anew; then the film, once, whole, labelled; then the permits end."


@dag(
    **HOUSE,
    dag_id="memorial_order",
    dag_display_name="Memorial order",
    description="One order: consent, checks, training, film, review, delivery.",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=20_000,  # a run that waits for a person counts, and may wait for a week of nights
    dagrun_timeout=timedelta(days=10),
    tags=[Tag.ORDER, Tag.TIER_1, Tag.PERSONAL],
    params={
        "order": Param(
            type="string",
            title="Order id",
            description="The id that 'memorial order submit' printed.",
            pattern="^[a-z0-9-]{3,64}$",
        )
    },
)
def memorial_order() -> None:
    settings = Settings.current()
    step, review = partial(step_task, settings), partial(review_task, settings)
    consent = act_task("check_consent", acts.begin, display="Check consent", doc="Does consent cover this order now?")
    ingest = step("ingest", display="Take in the material")
    quality = step("quality_gate", display="Measure and accept the material", then=acts.material_gate)
    prepare_face = step("prepare_face", display="Prepare the face")
    prepare_voice = step("prepare_voice", display="Prepare the voice")
    train_face = step("train_face", display="Train the face", minutes=720)
    train_voice = step("train_voice", display="Train the voice", minutes=720)
    direct = step("direct", display="Direct the script")
    speak = step("speak", display="Speak the script")
    animate = step("animate", display="Animate the face", minutes=240)
    compose = step("compose", display="Compose the film", minutes=240)
    seal = step("seal", display="Label and sign the film", minutes=240)
    output = step("output_gate", display="Measure and accept the film", then=acts.film_gate)
    package = step("package", display="Pack what the family gets")
    script_review = review("script", display="Review the script")
    voice_review = review("voice", display="Review the voice")
    still_review = review("still", display="Review the face")
    film_review = review("film", display="Review the film")
    second_review = review("film", display="Review the film, second person", second=True)
    deliver = act_task("deliver", acts.hand_over, display="Check consent again and deliver", doc=DELIVERY, minutes=60)

    way = (consent, ingest, quality, script_review, [prepare_face, prepare_voice], [train_face, train_voice], direct,
           speak, voice_review, still_review, animate, compose, seal, output, package, film_review, second_review,
           deliver)  # fmt: skip
    chain(*(task for task in way if task is not None))  # two lists side by side: face to face, voice to voice


memorial_order()
