"""How the commands reach the studio's Airflow."""

import time
from collections.abc import Sequence
from typing import Any

from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.settings import Settings


def client(settings: Settings, account: str = "", password: str = "") -> Any:
    """A session of the operator's account, or of the account whose password is given."""
    from memorial_tasks.airflow.client import open_client

    return open_client(settings, account, password)


# Airflow 3.3.2 can lose an answer that arrives before its scheduler has noticed that the question was parked: it takes
# the parked attempt's end for a foreign change and tries the task again, which then finds the answer or asks anew.
SETTLED, TAKEN_UP = 5.0, 120.0


def answer_review(
    airflow: Any, dag: str, run_id: str, task: str, option: str, reason: str | None, causes: Sequence[str] = ()
) -> dict[str, Any]:
    """Answer a review and stay until the answer was taken up. A question that a further try asks anew, because Airflow
    lost the answer with the try before, is answered anew; one that the same try asks again wants another person.

    Raises `MemorialError` when nothing is asked or the answer did not count and the question is open again,
    `Unavailable` when the answer was not taken up in time.
    """
    answer: dict[str, Any] = {}
    began, since, answered = time.monotonic(), 0.0, 0
    while time.monotonic() - began < TAKEN_UP:
        state, attempt = _stands(airflow.tasks(dag, run_id), task)
        if answer and state in {"success", "failed", "skipped"}:
            return answer
        if state == "awaiting_input":
            since = since or time.monotonic()
            if time.monotonic() - since >= SETTLED:
                if answer and not airflow.question(dag, run_id, task)["response_received"]:
                    if attempt <= answered:
                        remedy = "answer again, as another person where two have to agree"
                        raise MemorialError("this answer does not count", where=run_id, remedy=remedy)
                    answer = {}
                if not answer:
                    form = {"causes": list(causes), "reason": reason}
                    answer, answered = airflow.answer(dag, run_id, task, option, form), attempt
                since = 0.0
        else:
            since = 0.0
            if not answer and time.monotonic() - began > TAKEN_UP / 2:
                raise MemorialError("no question is open", where=run_id, remedy="see 'memorial order show'")
        time.sleep(0.5)
    raise Unavailable("the answer was not taken up yet", where=run_id, remedy="see the review task in Airflow's page")


def _stands(tasks: Sequence[dict[str, Any]], task: str) -> tuple[str | None, int]:
    """State and try of a task; no state where it has none or there is no such task."""
    return next(((row["state"], row["try_number"]) for row in tasks if row["task_id"] == task), (None, 0))


def stop_run(settings: Settings, dag: str, run_id: str, note: str) -> bool:
    """Stop a run; False when there is none, or nobody to ask. The registry has stopped the order already."""
    try:
        with client(settings) as airflow:
            airflow.stop_run(dag, run_id, note)
    except MemorialError:
        return False
    return True
