"""Asking a person, at any point of an order's way: one class for script, voice sample, still and film."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Param

from memorial_tasks.airflow.acts import guarded
from memorial_tasks.airflow.client import open_client
from memorial_tasks.airflow.notify import StudioNotifier
from memorial_tasks.production.acts import REVIEW_BODY, REVIEW_CAUSES, REVIEW_LOOK
from memorial_tasks.settings import Settings

ANSWER_WITHIN = timedelta(days=7)
# Asking costs nothing, and a run that gives up here leaves a person before a question nobody listens to: whatever is
# restarted within these seven days costs a try of every open question, and so may an answer that comes too quickly.
TRIES_TO_ASK = 20


def review_task(settings: Settings, at: str, *, display: str, second: bool = False) -> "Review | None":
    """The question about the order of this run at this point, with its form; None where this studio asks nobody.

    What may be delivered is decided by the settings as they are then, not by the tasks of this DAG.
    """
    if at not in [word.strip() for word in settings.review_at.split(",")]:
        return None
    return Review(
        at=at,
        second=second,
        task_id=f"review_{at}{'_second' if second else ''}",
        task_display_name=display,
        subject=f"{'A second person: r' if second else 'R'}elease the {at} of order {{{{ params.order }}}}?",
        body=REVIEW_BODY.replace("LOOK", REVIEW_LOOK[at]).replace("POINT", at),
        defaults="Reject",
        params={
            "causes": Param(
                [],
                type=["null", "array"],
                items={"type": "string", "enum": list(REVIEW_CAUSES)},
                examples=list(REVIEW_CAUSES),
                values_display=dict(REVIEW_CAUSES),
                title="If you reject: what is wrong",
                description="Decides what the next try changes.",
            ),
            "reason": Param(None, type=["null", "string"], title="Reason, without names", maxLength=500),
        },
        notifiers=[StudioNotifier("review.due")],
        response_timeout=ANSWER_WITHIN,
        retries=TRIES_TO_ASK,
        doc_md=f"{REVIEW_LOOK[at]}. The answer is bound to exactly this {at}.",
    )


class Review(ApprovalOperator):
    """Puts something before a person and records the answer in the registry and the audit log.

    Default and time-out are "Reject"; an answer without a responder is no approval. The answer is bound to the digest
    of what was shown, so an approval never carries over to another script, voice or film. Where the studio asks
    nobody at this point the task ends at once; what may be delivered is decided by the registry alone.

    `second` asks another person where the purpose needs two. An approval that does not count (the same person again,
    or whoever entered the order) is noted and the question asked anew.
    """

    def __init__(self, *, at: str, second: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.at, self.second = at, second

    def execute(self, context: Any) -> Any:
        """Ask, unless nobody has to be asked or the answer is there already."""
        from memorial_tasks.production import review

        point = review.POINTS[self.at]
        asked = guarded(lambda studio, order, actor: review.open_review(studio, order, point, self.second, actor))
        if asked is None:
            self.log.info("nobody has to be asked here")
            return None
        given = self._given(context)
        if given and given["responded_at"] > guarded(lambda studio, order, _: review.open_since(studio, order, point)):
            return self.execute_complete(context, given)
        return super().execute(context)

    def _given(self, context: Any) -> dict[str, Any] | None:
        """An answer that was given but not acted upon: asking anew would throw a person's decision away.

        Airflow 3.3.2 can lose one. When it comes before the scheduler has noticed that the question was parked, the
        parked attempt's end is taken for a foreign change and the task is tried again: the answer is found here. When
        it comes while the question is being parked, `night.hear` has the task tried again, and Airflow keeps the
        answer with the try before.
        """
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail

        ti = context["ti"]
        if ti.try_number == 1:
            return None
        with suppress(AirflowRuntimeError):  # this try has not asked yet
            found = get_hitl_detail_content_detail(ti_id=ti.id)
            if found.response_received and found.responded_at is not None:
                who = (found.responded_by_user.id, found.responded_by_user.name) if found.responded_by_user else None
                return _event(found.chosen_options, found.params_input, found.responded_at, who)
        with open_client(Settings.current()) as airflow:
            before = airflow.earlier(ti.dag_id, ti.run_id, ti.task_id, ti.try_number - 1)
        if not before or not before["response_received"]:
            return None
        person, at = before["responded_by_user"], datetime.fromisoformat(before["responded_at"])
        who = (person["id"], person["name"]) if person else None
        return _event(before["chosen_options"], before["params_input"], at, who)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Record the answer; ask anew when it is an approval that does not count."""
        from memorial_tasks.production import review

        point = review.POINTS[self.at]
        reviewer = (event.get("responded_by_user") or {}).get("id") or None
        params = event.get("params_input") or {}
        approved = self.APPROVE in event.get("chosen_options", [])

        def decide(studio: Any, order: str, actor: Any) -> bool | None:
            code = review.may_answer(studio, order, point, reviewer) if approved and reviewer else ""
            if code:
                review.note_uncounted(studio, order, point, str(reviewer), code, actor)
                return None
            return review.record_decision(
                studio,
                order,
                point,
                approved=approved,
                reviewer=reviewer,
                reason=str(params.get("reason") or ""),
                causes=params.get("causes") or (),
                review_id=f"{actor.run_id}.{actor.task_id}.{actor.attempt}",
                who=actor,
            )

        verdict = guarded(decide)
        if verdict is None:
            self.log.info("this approval does not count; another person is asked")
            return HITLOperator.execute(self, context)
        answer = {**event, "chosen_options": [self.APPROVE if verdict else self.REJECT]}
        return super().execute_complete(context, answer)


def _event(
    chosen: Sequence[str] | None, params: Mapping[str, Any] | None, at: datetime, who: tuple[str, str] | None
) -> dict[str, Any]:
    """An answer as Airflow hands it to `execute_complete`."""
    return {
        "timedout": False,
        "chosen_options": list(chosen or []),
        "params_input": dict(params or {}),
        "responded_at": at,
        "responded_by_user": {"id": who[0], "name": who[1]} if who else None,
    }
