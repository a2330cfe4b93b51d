"""Airflow's side of the notices: when a task asks a person, and when one ends for good without success."""

from typing import Any

from airflow.sdk import BaseNotifier


class StudioNotifier(BaseNotifier):
    """Tells the studio's people about the order of this run. Whatever goes wrong here is logged and nothing else.

    `kind` is a notice's kind. Usable as a callback of a task and as a notifier of a question.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def notify(self, context: Any) -> None:
        """Send it."""
        try:
            self._notify(context)
        except Exception as error:  # a notice never fails an order
            self.log.warning("a notice could not be put together: %s", type(error).__name__)

    def _notify(self, context: Any) -> None:
        from memorial_tasks.production.notices import Notice, send
        from memorial_tasks.production.orders import next_action
        from memorial_tasks.production.studio import Studio

        studio, ti = Studio.open(), context["ti"]
        order_id = str((context.get("params") or {}).get("order") or "")
        if not order_id:  # one of the studio's own DAGs failed
            send(studio.settings, Notice("order.stopped", order=ti.dag_id, state="failed", stage=ti.task_id))
            return
        with studio.transaction() as connection:
            order = studio.order(connection, order_id)
        asks = self.kind == "review.due"
        send(
            studio.settings,
            Notice(
                self.kind,
                order=order_id,
                state=str(order.state),
                stage=order.stage or ti.task_id,
                reason_code=order.reason_code,
                next_action=next_action(order_id, order.state, order.reason_code),
                page=f"/memorial/orders/{order_id}/review" if asks else f"/memorial/orders/{order_id}",
            ),
        )
