"""# One order, from papers to a signed film

**What it does.** Takes one submitted order all the way: consent, material check, face and voice training, speech,
film, label and signature, human review, consent once more, delivery. One run is one order.

**When to run.** `memorial order run ORDER`, the nightly batch, or the form: give the order id and nothing else.

**Inputs and form fields.** `order`: the id that `memorial order submit` printed. No names, no files, no scripts.

**What a human must decide.** Wherever the studio asks (`MEMORIAL_REVIEW_AT`: script, voice, still, film): read, listen,
look, watch; *Approve* only what the family may see. A film for a wider public needs two persons. A rejection says what
is wrong and by that what the next try changes. No answer within seven days is a rejection.

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

from airflow.sdk import Param, dag

from memorial_tasks.airflow.acts import HOUSE, act_task
from memorial_tasks.airflow.reviews import review_task
from memorial_tasks.airflow.steps import step_task
from memorial_tasks.airflow.tags import Tag
from memorial_tasks.production import acts


@dag(
    **HOUSE,
    dag_id="memorial_order",
    dag_display_name="Memorial order",
    description="One order: consent, checks, training, film, review, delivery.",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=2000,
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
    consent = act_task("check_consent", acts.begin, display="Check consent", doc="Does consent cover this order now?")
    ingest = step_task("ingest", display="Take in the material")
    quality = step_task("quality_gate", display="Measure the material")
    material = act_task("accept_material", acts.material_gate, display="Accept the material", doc="The quality gate.")
    prepare_face = step_task("prepare_face", display="Prepare the face")
    prepare_voice = step_task("prepare_voice", display="Prepare the voice")
    train_face = step_task("train_face", display="Train the face", minutes=720)
    train_voice = step_task("train_voice", display="Train the voice", minutes=720)
    direct = step_task("direct", display="Direct the script")
    speak = step_task("speak", display="Speak the script")
    animate = step_task("animate", display="Animate the face", minutes=240)
    compose = step_task("compose", display="Compose the film", minutes=240)
    seal = step_task("seal", display="Label and sign the film", minutes=240)
    output = step_task("output_gate", display="Measure the film")
    film = act_task("accept_film", acts.film_gate, display="Accept the film", doc="The output gate.")
    package = step_task("package", display="Pack what the family gets")
    script_review = review_task("script", display="Review the script")
    voice_review = review_task("voice", display="Review the voice")
    still_review = review_task("still", display="Review the face")
    film_review = review_task("film", display="Review the film")
    second_review = review_task("film", display="Review the film, second person", second=True)
    again = act_task(
        "check_release", acts.release_gate, display="Check consent again", doc="Consent and approval, anew."
    )
    deliver = act_task("deliver", acts.hand_over, display="Deliver the film", doc="Once, whole, labelled.", minutes=60)
    close = act_task("close", acts.finish, display="Close the order", doc="Ends the permits.")

    consent >> ingest >> quality >> material >> script_review >> [prepare_face, prepare_voice]
    prepare_face >> train_face
    prepare_voice >> train_voice
    [train_face, train_voice] >> direct >> speak >> voice_review >> still_review >> animate >> compose >> seal
    seal >> output >> film >> package >> film_review >> second_review >> again >> deliver >> close


memorial_order()
