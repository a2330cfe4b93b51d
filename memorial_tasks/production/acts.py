"""The acts by the names the DAGs use. Each takes (studio, order id, who) and imports its room only when it is called,
because Airflow parses DAG files every half minute."""

from typing import Any

REVIEW_BODY = """\
Watch the film and look at the findings before you answer.

| look at | where |
|---|---|
| the film, the contact sheet, the findings | `memorial review show {{ params.order }}` |
| who consented, on which papers | `memorial consent show {{ params.order }}` |
| what was made from what | `memorial order show {{ params.order }}` |

Approving certifies that the film shows what the order asks for, that the AI label can be read, and that nothing in it
could harm the family. The answer is bound to exactly this film and to your account.
"""


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


def release_gate(studio: Any, order: str, who: Any) -> None:
    """Stop unless consent and approval hold for exactly this film."""
    from memorial_tasks.production import review

    review.require_release(studio, order, who)


def hand_over(studio: Any, order: str, who: Any) -> None:
    """Deliver the film."""
    from memorial_tasks.production import deliveries

    deliveries.deliver(studio, order, who)


def finish(studio: Any, order: str, who: Any) -> None:
    """Close the order."""
    from memorial_tasks.production import orders

    orders.close(studio, order, who)
