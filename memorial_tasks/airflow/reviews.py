"""Asking a person, at any point of an order's way: one class for script, voice sample, still and film."""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Param

from memorial_tasks.airflow.acts import guarded
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
        if given and given["responded_at"] > guarded(lambda studio, order, _: review.made_at(studio, order, point)):
            return self.execute_complete(context, given)
        return super().execute(context)

    def _given(self, context: Any) -> dict[str, Any] | None:
        """An answer that was given but not acted upon.

        Airflow 3.3.2 can lose one: when the answer comes before its scheduler has noticed that the question was
        parked, it takes the parked attempt's end for a foreign change and tries the task again; asking anew
        would throw a person's decision away.
        """
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail

        if context["ti"].try_number == 1:
            return None
        try:
            found = get_hitl_detail_content_detail(ti_id=context["ti"].id)
        except AirflowRuntimeError:
            return None
        if not found.response_received or found.responded_at is None:
            return None
        person = found.responded_by_user
        return {
            "timedout": False,
            "chosen_options": list(found.chosen_options or []),
            "params_input": found.params_input or {},
            "responded_at": found.responded_at,
            "responded_by_user": {"id": person.id, "name": person.name} if person else None,
        }

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
