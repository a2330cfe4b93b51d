"""The acts by the names the DAGs use. Each takes (studio, order id, who) and imports its room only when it is called,
because Airflow parses DAG files every half minute."""

from collections.abc import Mapping
from typing import Any

REVIEW_BODY = """\
LOOK before you answer.

| look at | where |
|---|---|
| what is to be judged, its findings and measurements | the page *Studio*, `memorial review show {{ params.order }}` |
| who consented, on which papers | `memorial consent show {{ params.order }}` |
| what was made from what | `memorial order show {{ params.order }}` |

Your answer is bound to exactly this POINT and to your account. No answer within seven days is a rejection. An approval
does not count where another person has to approve as well and that person would be you; then the question stays open.
"""

REVIEW_LOOK: Mapping[str, str] = {
    "script": "Read the script. Approving certifies that it is what the family asked for and can harm nobody",
    "voice": "Listen to the voice. Approving certifies that it is the person's voice and says the script",
    "still": "Look at the face. Approving certifies that it is the person's face",
    "film": "Watch the film. Approving certifies that it shows what the order asks for, that the AI label can be read, "
    "and that nothing in it could harm the family. Do all this",
}

# What a reviewer may say is wrong, in the words of the form; `production.review.CAUSES` says what each one changes.
REVIEW_CAUSES: Mapping[str, str] = {
    "script": "the script: a new one is needed",
    "voice": "the voice does not sound like the person: it is learned anew",
    "speech": "the voice is right, the way it speaks is not: it is spoken anew",
    "face": "the face does not look like the person: it is learned anew",
    "motion": "the face is right, the way it moves is not: it is animated anew",
    "film": "picture, sound, subtitles or label: something has to be mended first",
    "other": "something else: nothing changes by itself",
}


def begin(studio: Any, order: str, who: Any) -> None:
    """Take up the order and check its consent."""
    from memorial_tasks.production import orders

    orders.begin(studio, order, who)


def material_gate(studio: Any, order: str, who: Any) -> None:
    """Stop unless the material passed."""
    from memorial_tasks.production import gates

    gates.gate(studio, order, "quality_gate", who)
    gates.export_report(studio, order, "quality_gate")


def film_gate(studio: Any, order: str, who: Any) -> None:
    """Stop unless the film passed."""
    from memorial_tasks.production import gates

    gates.gate(studio, order, "output_gate", who)
    gates.export_report(studio, order, "output_gate")


def hand_over(studio: Any, order: str, who: Any) -> None:
    """Deliver the film, if consent and approval hold for exactly this film at this moment, and close the order."""
    from memorial_tasks.production import deliveries, orders

    deliveries.deliver(studio, order, who)
    orders.close(studio, order, who)
