"""Tasks that a schedule starts: each a thin shell around one act of `production.night` or `production.batch`."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from airflow.sdk import PokeReturnValue, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from memorial_tasks.airflow.acts import who
from memorial_tasks.airflow.retries import retryable

ORDER_DAG = "memorial_order"
GPU_POOL = "gpu"
# How often a night looks whether there is room again. Each look is a short task; between two it holds no worker slot.
LOOK_AGAIN = timedelta(seconds=30)
LONGEST_NIGHT = timedelta(hours=24)


class OrderRuns:
    """The runs of `memorial_order`, through Airflow's REST interface."""

    def __init__(self, airflow: Any) -> None:
        self.airflow = airflow

    def start(self, order: str, run_id: str) -> None:
        """Start an order's run; one that exists is left as it is."""
        self.airflow.start(ORDER_DAG, order, run_id)

    def over(self, run_id: str) -> bool | None:
        """Whether it is over; None when there is no such run."""
        found: bool | None = self.airflow.over(ORDER_DAG, run_id)
        return found


def with_airflow(act: Callable[[Any, Any, Any], Any]) -> Any:
    """`act(studio, airflow, who)` with both open; what no retry can mend ends the task at once."""
    from memorial_tasks.airflow.client import open_client
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    try:
        with open_client(studio.settings) as airflow:
            return act(studio, airflow, who())
    except MemorialError as error:
        if retryable(error):
            raise
        raise AirflowFailException(str(error)) from None


def night_task(name: str, act: Callable[..., Any], *, display: str, doc: str, minutes: int = 30, **options: Any) -> Any:
    """A task that runs `act(studio, airflow, who)`."""

    @task(task_id=name, task_display_name=display, execution_timeout=timedelta(minutes=minutes), doc_md=doc, **options)
    def run() -> Any:
        return with_airflow(act)

    return run()


def night_watch(name: str, act: Callable[..., bool], *, display: str, doc: str) -> Any:
    """A task that asks `act(studio, airflow, who)` again and again until it says that all is done."""

    @task.sensor(
        task_id=name,
        task_display_name=display,
        mode="reschedule",
        poke_interval=LOOK_AGAIN.total_seconds(),
        timeout=LONGEST_NIGHT.total_seconds(),
        execution_timeout=timedelta(minutes=30),
        doc_md=doc,
    )
    def run() -> Any:
        return PokeReturnValue(is_done=with_airflow(act))

    return run()


def watch(studio: Any, airflow: Any, _actor: Any) -> dict[str, Any]:
    """Apply expiry, objection and withdrawal; stop the runs they concern, and what is left of them on the cluster.
    Then take up the answers that Airflow let lie."""
    from memorial_tasks.airflow.pod_sweep import sweep
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
    swept = sweep(studio) | {"answers": hear(airflow)}
    if watched.failed:
        raise Unavailable(
            f"{len(watched.failed)} order(s) could not be handled", where="watch", remedy="see the next try"
        )
    return {kind: len(orders) for kind, orders in watched.done.items()} | swept


def hear(airflow: Any) -> int:
    """Have every review go on whose answer was accepted and did not wake it; returns how many.

    Airflow 3.3.2 parks a question and takes its answer in two transactions. When they overlap, the one that answers
    waits for the other's lock and then still sees the state from before: the answer is stored, nothing moves, and a
    second answer is refused. One of 500 orders answered by a machine met it. The next try finds the answer (`Review`).
    """
    left: list[tuple[str, str]] = airflow.parked(ORDER_DAG, answered=True)
    for run_id, name in left:
        airflow.try_again(ORDER_DAG, run_id, name, "its answer was stored and not taken up")
    return len(left)


def checkpoint(studio: Any, _airflow: Any, _actor: Any) -> dict[str, Any]:
    """Sign and anchor a checkpoint."""
    from memorial_tasks.production.night import seal_audit

    return seal_audit(studio)


def _night(context: Any) -> str:
    """The night this run stands for. A scheduled and a backfilled run of one night are the same night."""
    run = context["dag_run"]
    moment = context.get("logical_date")
    kind = getattr(run.run_type, "value", run.run_type)
    if moment is not None and kind in {"scheduled", "backfill"}:
        return f"night-{moment:%Y-%m-%d}"
    return f"hand-{run.run_id}"[:128]


def look(studio: Any, airflow: Any, actor: Any) -> dict[str, int]:
    """Look at every waiting order and write down which are ready; a night that was looked at before stays as it is.

    Orders whose run is over without a word are named first: they would hold a place all night.
    """
    from memorial_tasks.production.batch import open_batch
    from memorial_tasks.production.night import fail_lost_runs

    context = get_current_context()
    night, params = _night(context), context["params"]
    until = context.get("logical_date") if night.startswith("night-") else None
    fail_lost_runs(studio, OrderRuns(airflow), actor)
    found = open_batch(
        studio, night, limit=int(params["limit"]), until=until, dry_run=bool(params["dry_run"]), who=actor
    )
    return dict(found["counts"])


def capacity(studio: Any, airflow: Any) -> int:
    """How many orders may work at once: the studio's setting, or the slots of the GPU pool, or half of what this
    machine runs at once, because an order works on face and voice side by side."""
    settings = studio.settings
    pods = airflow.slots(GPU_POOL) if settings.step_runner == "kubernetes" else None
    return int(settings.batch_orders or pods or max(1, settings.parallelism // 2))


def wave(studio: Any, airflow: Any, actor: Any) -> bool:
    """Start what there is room for. True when all were started and none works any more, or when it is morning."""
    from datetime import datetime

    from memorial_tasks.production.batch import start_wave, still_working, summary
    from memorial_tasks.production.studio import now

    night = _night(get_current_context())
    found = summary(studio, night)
    if found["dry_run"] or found["closed_at"]:
        return True
    runs = OrderRuns(airflow)
    if now() - datetime.fromisoformat(found["opened_at"]) > timedelta(hours=studio.settings.batch_hours):
        return True
    working = still_working(studio, night, runs, actor)
    waiting = start_wave(studio, night, capacity(studio, airflow), runs, actor)
    return waiting == 0 and working == 0 and still_working(studio, night, runs, actor) == 0


def report(studio: Any, airflow: Any, actor: Any) -> dict[str, int]:
    """Write down how every order of the night stands, and tell it. An order that waits for a person whose run is over
    would be taken for one that waits, so these are named first; the summary is written also when Airflow is away."""
    from memorial_tasks.errors import Unavailable
    from memorial_tasks.production.batch import at_risk, close_batch
    from memorial_tasks.production.night import fail_lost_runs
    from memorial_tasks.production.notices import Notice, send

    with suppress(Unavailable):
        fail_lost_runs(studio, OrderRuns(airflow), actor)
    found = close_batch(studio, _night(get_current_context()), actor)
    if not found["dry_run"]:
        send(studio.settings, Notice("batch.closed", counts=found["counts"]))
        late = tuple(order.order_id for order in at_risk(studio, studio.settings.promise_days))
        if late:
            send(studio.settings, Notice("deadline.at_risk", orders=late[:100]))
    return dict(found["counts"])


def _form_word(name: str) -> str:
    """A field of this run's form that names something in the studio's `models` folder; empty when it was left empty."""
    import re

    from memorial_tasks.domain.corpus import MODEL_ID

    word = get_current_context()["params"].get(name) or ""
    if word and not (isinstance(word, str) and re.fullmatch(MODEL_ID, word)):
        raise AirflowFailException(f"{name} is no valid name: lower case letters, digits, '.' and '-', 3 to 64 of them")
    return str(word)


def train_base_model(studio: Any, _airflow: Any, actor: Any) -> dict[str, str]:
    """Train a base model on the corpus that this run's form names, and import it; nothing when it names none."""
    from memorial_tasks.production.models import train_model

    name, params = _form_word("corpus"), get_current_context()["params"]
    if not name and not _form_word("manifest"):
        raise AirflowFailException("the form names neither a corpus to learn from nor a manifest to import")
    if not name:
        return {}
    corpus = studio.settings.root / "models" / "corpora" / name / "corpus.yaml"
    row = train_model(studio, str(params["kind"]), corpus, str(params["config"]), actor)
    return {"model": row.model_id, "sha256": row.sha256}


def import_base_model(studio: Any, _airflow: Any, actor: Any) -> dict[str, str]:
    """Import the checkpoint whose manifest lies in the studio's inbox under the name of this run's form; nothing when
    it names none."""
    from memorial_tasks.production.models import import_model

    name = _form_word("manifest")
    if not name:
        return {}
    row = import_model(studio, studio.settings.root / "models" / "inbox" / f"{name}.yaml", actor)
    return {"model": row.model_id, "sha256": row.sha256}


def retention(studio: Any, airflow: Any, actor: Any) -> dict[str, Any]:
    """Keep erased what was erased; name orders whose run vanished."""
    from memorial_tasks.production.night import fail_lost_runs, keep_promises

    return keep_promises(studio, actor) | {"lost_runs": len(fail_lost_runs(studio, OrderRuns(airflow), actor))}
