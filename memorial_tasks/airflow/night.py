"""Tasks that a schedule starts: each a thin shell around one act of `production.night`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException

from memorial_tasks.airflow.acts import OWNER, who

ORDER_DAG = "memorial_order"


def night_task(name: str, act: Callable[..., Any], *, display: str, doc: str, minutes: int = 30) -> Any:
    """A task that runs `act(studio, airflow, who)`; errors that a retry cannot mend end it at once."""

    @task(
        task_id=name,
        task_display_name=display,
        retries=3,
        retry_delay=timedelta(seconds=20),
        execution_timeout=timedelta(minutes=minutes),
        owner=OWNER,
        doc_md=doc,
    )
    def run() -> Any:
        from memorial_tasks.airflow.client import AirflowClient
        from memorial_tasks.airflow.environment import operator_password
        from memorial_tasks.errors import MemorialError
        from memorial_tasks.production.studio import Studio

        studio = Studio.open()
        settings = studio.settings
        address = f"http://127.0.0.1:{settings.api_port}"
        try:
            with AirflowClient(address, settings.operator, operator_password(settings)) as airflow:
                return act(studio, airflow, who())
        except MemorialError as error:
            if error.retryable:
                raise
            raise AirflowFailException(str(error)) from None

    return run()


def watch(studio: Any, airflow: Any, _actor: Any) -> dict[str, Any]:
    """Apply expiry, objection and withdrawal; stop the runs they concern."""
    from memorial_tasks.errors import MemorialError, Unavailable
    from memorial_tasks.production.night import watch_consents

    def stop(run_id: str) -> None:
        try:
            airflow.stop_run(ORDER_DAG, run_id, "stopped by the consent watch")
        except Unavailable:
            raise
        except MemorialError as error:
            if "404" not in error.what:  # a run that is gone needs no stopping
                raise

    watched = watch_consents(studio, stop)
    if watched.failed:
        raise Unavailable(
            f"{len(watched.failed)} order(s) could not be handled", where="watch", remedy="see the next try"
        )
    return {kind: len(orders) for kind, orders in watched.done.items()}


def checkpoint(studio: Any, _airflow: Any, _actor: Any) -> dict[str, Any]:
    """Sign and anchor a checkpoint."""
    from memorial_tasks.production.night import seal_audit

    return seal_audit(studio)


def batch(studio: Any, airflow: Any, actor: Any, *, limit: int, dry_run: bool) -> list[dict[str, Any]]:
    """Look at every waiting order, then start the ready ones."""
    from memorial_tasks.production.night import plan_batch, start_batch

    candidates = plan_batch(studio, limit, actor)
    if not dry_run:
        candidates = start_batch(studio, candidates, lambda order, run_id: _start(airflow, order, run_id), actor)
    return [vars(candidate) for candidate in candidates]


def _start(airflow: Any, order: str, run_id: str) -> None:
    from memorial_tasks.errors import MemorialError

    try:
        airflow.trigger(ORDER_DAG, run_id, {"order": order})
    except MemorialError as error:
        if "409" not in error.what:  # the run exists: an earlier try of this task started it
            raise


def retention(studio: Any, airflow: Any, actor: Any) -> dict[str, Any]:
    """Keep erased what was erased; name orders whose run vanished."""
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.night import fail_lost_runs, keep_promises

    def ended(run_id: str) -> bool:
        try:
            return bool(airflow.run(ORDER_DAG, run_id)["state"] in {"success", "failed"})
        except MemorialError as error:
            return "404" in error.what

    return keep_promises(studio, actor) | {"lost_runs": len(fail_lost_runs(studio, ended, actor))}
