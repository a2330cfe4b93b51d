"""`memorial order`: submit, list, show, run, cancel, estimate."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, err, out, say

app = typer.Typer(no_args_is_help=True, help="Orders: what a family asked for.")

DAG = "memorial_order"


def _summary(row: Any) -> dict[str, Any]:
    from memorial_tasks.production.orders import next_action

    return {
        "order": row.order_id,
        "state": str(row.state),
        "reason_code": row.reason_code,
        "reason": row.reason,
        "stage": row.stage,
        "next_action": next_action(row.order_id, row.state, row.reason_code),
        "purpose": str(row.purpose),
        "language": row.language,
        "priority": row.priority,
        "promised": row.promised.isoformat() if row.promised else None,
        "run_id": row.run_id,
        "film": row.film_uri,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


@app.command()
@answers
def submit(
    file: Annotated[Path, typer.Argument(help="The order file.", metavar="ORDER.yaml")],
    check_only: Annotated[bool, typer.Option("--check", help="Look at everything, store nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Check everything first, then store the material encrypted; prints the order id."""
    from memorial_tasks.production.intake import check
    from memorial_tasks.production.intake import submit as submit_order
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    whisper = (lambda _: None) if as_json else say
    if check_only:
        read, notes = check(studio, file, whisper)
        emit({"order": read.order.order, "ok": True, "notes": [str(note) for note in notes]}) if as_json else out.print(
            f"{read.order.order}: nothing is wrong with it; nothing was stored"
        )
        return
    order = submit_order(studio, file, command_actor(studio.settings), whisper)
    emit({"order": order, "state": "submitted"}) if as_json else out.print(order)


@app.command("list")
@answers
def list_orders(
    state: Annotated[list[str] | None, typer.Option(help="Only orders in this state; may be given again.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 1000,
    as_json: Json = False,
) -> None:
    """All orders by priority, promised date and age."""
    from memorial_tasks.database import registry
    from memorial_tasks.domain.words import OrderState
    from memorial_tasks.production.studio import Studio

    try:
        states = [OrderState(word) for word in state] if state else None
    except ValueError:
        raise typer.BadParameter(f"one of {', '.join(OrderState)}", param_hint="--state") from None
    with Studio.open().transaction() as connection:
        rows = registry.list_orders(connection, states=states, limit=limit)
    if as_json:
        return emit({"orders": [_summary(row) for row in rows]})
    table = Table("order", "state", "promised", "reason", box=None, header_style="bold")
    for row in rows:
        table.add_row(row.order_id, str(row.state), str(row.promised or ""), escape(row.reason[:80]))
    return out.print(table if rows else "no orders yet; 'memorial order submit ORDER.yaml' brings one")


def _step(row: Any) -> dict[str, Any]:
    return {
        "step": row.step,
        "state": row.state,
        "result_key": row.result_key,
        "code_version": row.code_version,
        "attempts": row.attempts,
        "wall_s": row.wall_s,
        "peak_memory_mb": row.peak_memory_mb,
        "gpu": row.gpu,
        "gpu_minutes": row.gpu_minutes,
        "gpu_driver": row.gpu_driver,
        "cost": None if row.cost is None else float(row.cost),
        "started_at": row.started_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "metrics": row.metrics,
    }


def _cost(steps: list[Any]) -> dict[str, Any]:
    """Minutes, and money by currency as it was priced when each step ended; `unpriced` steps are in no sum."""
    money: dict[str, float] = {}
    for row in steps:
        if row.cost is not None:
            money[row.currency] = round(money.get(row.currency, 0.0) + float(row.cost), 4)
    return {
        "wall_minutes": round(sum(row.wall_s or 0 for row in steps) / 60, 2),
        "gpu_minutes": round(sum(row.gpu_minutes or 0 for row in steps), 2),
        "money": money,
        "unpriced": sum(row.state == "done" and row.cost is None for row in steps),
    }


@app.command()
@answers
def show(
    order: OrderArgument,
    manifest: Annotated[bool, typer.Option("--manifest", help="Everything needed to run it again.")] = False,
    as_json: Json = False,
) -> None:
    """One order: state, reason, steps, reviews, deliveries, cost."""
    from memorial_tasks.database import registry
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    with studio.transaction() as connection:
        row = studio.order(connection, order)
        steps = registry.list_steps(connection, order)
        reviews, deliveries = registry.list_reviews(connection, order), registry.list_deliveries(connection, order)
        materials = registry.list_materials(connection, order)
    document = _summary(row) | {
        "consent_id": row.consent_id,
        "materials": len(materials),
        "steps": [_step(step) for step in steps],
        "reviews": [vars(review) for review in reviews],
        "deliveries": [vars(delivery) for delivery in deliveries],
        "cost": _cost(steps),
    }
    if manifest:
        document["manifest"] = {
            "document_sha256": row.document_sha256,
            "script_sha256": row.script_sha256,
            "materials": {item.material_id: item.sha256 for item in materials},
            "steps": [
                {
                    "step": step.step,
                    "code_version": step.code_version,
                    "params": step.params,
                    "inputs": {item.name: item.sha256 for item in step.inputs},
                    "outputs": {item.name: item.sha256 for item in step.outputs},
                }
                for step in steps
            ],
        }
    if as_json or manifest:
        return emit(document)
    out.print(f"[bold]{order}[/bold]  {row.state}  {escape(row.reason)}", soft_wrap=True)
    if document["next_action"]:
        out.print(f"next: {document['next_action']}", soft_wrap=True)
    table = Table("step", "state", "tries", "seconds", "memory MB", box=None, header_style="bold")
    for step in steps:
        seconds, memory = f"{step.wall_s or 0:.1f}", f"{step.peak_memory_mb or 0:.0f}"
        table.add_row(step.step, step.state, str(step.attempts), seconds, memory)
    out.print(table)
    for review in reviews:
        why = escape(" ".join([*review.causes, review.reason]))
        words = f"{review.subject_matter} {review.decision} by {review.reviewer}"
        out.print(f"review: {words} {review.decided_at:%Y-%m-%d %H:%M} {why}", soft_wrap=True)
    cost = document["cost"]
    money = ", ".join(f"{amount:.2f} {currency}" for currency, amount in cost["money"].items())
    used = f"{cost['wall_minutes']} minutes, {cost['gpu_minutes']} of them with a GPU"
    out.print(f"cost: {used}" + (f", {money}" if money else ""))
    return out.print(f"film: {row.film_uri or 'not delivered'}", soft_wrap=True)


@app.command()
@answers
def run(
    order: OrderArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Show live progress until the run ends.")] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="Answer the review with Approve; for demonstrations.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Trigger the order's DAG run; a second call while it runs starts nothing new."""
    from memorial_tasks.production.studio import Studio

    _trigger(Studio.open(), order, follow=follow, approve=approve, as_json=as_json)


def _trigger(studio: Any, order: str, *, follow: bool, approve: bool, as_json: bool) -> None:
    from memorial_tasks.cli.airflow import client, stop_run
    from memorial_tasks.production.orders import restart
    from memorial_tasks.production.review import outdated
    from memorial_tasks.production.studio import command_actor

    with client(studio.settings) as airflow, studio.transaction() as connection:
        known = studio.order(connection, order)
        ended = airflow.over(DAG, known.run_id) if known.run_id else None
    replaced = ended is False and outdated(studio, order)
    run_id = restart(studio, order, command_actor(studio.settings), run_ended=ended is True or replaced)
    if replaced:
        stop_run(studio.settings, DAG, str(known.run_id), "it asked about what has to be made anew")
    with client(studio.settings) as airflow:
        airflow.start(DAG, order, run_id)
        if follow or approve:
            followed = _follow(airflow, studio, order, run_id, approve, quiet=as_json)
            with studio.transaction() as connection:
                row = studio.order(connection, order)
            emit(_summary(row)) if as_json else out.print(f"{order}: {row.state} {escape(row.reason)}", soft_wrap=True)
            raise typer.Exit(0 if followed and str(row.state) in {"delivered", "in_review"} else 1)
    emit({"order": order, "run_id": run_id}) if as_json else out.print(run_id)


def _follow(airflow: Any, studio: Any, order: str, run_id: str, approve: bool, quiet: bool) -> bool:
    """Print every change of a task's state until the run ends; True when it ended well, or waits for a person."""
    seen: dict[str, str] = {}
    from memorial_tasks.cli.airflow import answer_review

    began, asked = time.monotonic(), dict[str, int]()
    while True:
        state = airflow.run(DAG, run_id)["state"]
        for task in sorted(airflow.tasks(DAG, run_id), key=lambda t: (t["start_date"] or "9", t["task_id"])):
            name, now = task["task_id"], task["state"] or "waiting"
            if seen.get(name) != now and now not in {"waiting", "scheduled", "queued"}:
                seen[name] = now
                if not quiet:
                    seconds = f"{task['duration']:.1f} s" if task.get("duration") and now == "success" else ""
                    err.print(
                        f"  {time.monotonic() - began:6.1f} s  {now:<16} {task['task_display_name']:<24} {seconds}"
                    )
            if now == "awaiting_input" and asked.get(name, 0) < task["try_number"]:
                asked[name] = task["try_number"]
                if not approve:
                    if not quiet:
                        err.print(f"  waiting for a person: 'memorial review approve {order}' or Airflow's page")
                    return True
                answer_review(airflow, DAG, run_id, name, "Approve", None)
        if state in {"success", "failed"}:
            return bool(state == "success")
        time.sleep(1.0)


@app.command()
@answers
def script(
    order: OrderArgument,
    file: Annotated[Path, typer.Argument(help="Text with one line a paragraph, or YAML with script and translation.")],
    as_json: Json = False,
) -> None:
    """Give an order another script; nothing is made of it before the grantors agree to it."""
    from memorial_tasks.production.script import change_script
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    changed = change_script(studio, order, file, command_actor(studio.settings))
    if as_json:
        return emit({"order": order, "changed": changed})
    if not changed:
        return out.print(f"{order}: that is the script it has")
    return out.print(f"{order}: the script is stored; when the grantors agree: memorial consent renew {order} --script")


@answers
def render(
    order: OrderArgument,
    script_file: Annotated[Path, typer.Option("--script", help="The other script: text or YAML.")],
    as_json: Json = False,
) -> None:
    """Make another film of an approved order's models: stores the script, and runs the order once the grantors have
    agreed to it (`memorial consent renew ORDER --script`, then this command again). Neither face nor voice is learned
    anew."""
    from memorial_tasks.production.script import change_script, require_approved_before
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    require_approved_before(studio, order)
    changed = change_script(studio, order, script_file, command_actor(studio.settings))
    if not _agreed(studio, order):
        next_ = f"when the grantors agree: memorial consent renew {order} --script, then this command again"
        if as_json:
            emit({"order": order, "changed": changed, "run_id": None, "next": next_})
        else:
            out.print(f"{order}: the script is stored and nothing runs yet; {next_}", soft_wrap=True)
        raise typer.Exit(1)
    _trigger(studio, order, follow=False, approve=False, as_json=as_json)


def _agreed(studio: Any, order: str) -> bool:
    """True when consent covers the order with the script it has now."""
    from memorial_tasks.delivery.links import consented
    from memorial_tasks.errors import ConsentRefused

    with studio.transaction() as connection:
        try:
            consented(studio, connection, studio.order(connection, order))
        except ConsentRefused:
            return False
    return True


@app.command()
@answers
def cancel(order: OrderArgument, as_json: Json = False) -> None:
    """Stop an order; nothing is deleted."""
    from memorial_tasks.cli.airflow import stop_run
    from memorial_tasks.production.orders import cancel as cancel_order
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    moved = cancel_order(studio, order, command_actor(studio.settings))
    with studio.transaction() as connection:
        row = studio.order(connection, order)
    if moved and row.run_id:
        stop_run(studio.settings, DAG, row.run_id, "cancelled by the studio")
    emit(_summary(row)) if as_json else out.print(f"{order}: {row.state}")
    raise typer.Exit(0 if moved else 1)


@app.command()
@answers
def replay(
    order: OrderArgument,
    step: Annotated[list[str] | None, typer.Option(help="Only this step; may be given again.")] = None,
    as_json: Json = False,
) -> None:
    """Do every step again on the inputs it had and compare every digest; names the first that differs."""
    from memorial_tasks.production.graph import INPUTS
    from memorial_tasks.production.replay import replay as replay_order
    from memorial_tasks.production.studio import Studio, command_actor

    unknown = set(step or ()) - set(INPUTS)
    if unknown:
        raise typer.BadParameter(f"one of {', '.join(INPUTS)}", param_hint="--step")
    studio = Studio.open()
    chosen = tuple(name for name in INPUTS if not step or name in step)
    done, differences = replay_order(studio, order, command_actor(studio.settings), say, chosen)
    if as_json:
        emit({"order": order, "same": not differences, "steps": done, "differences": [vars(d) for d in differences]})
    elif differences:
        first = differences[0]
        out.print(f"{order}: {len(differences)} outputs differ; the first is {first.name} of {first.step}")
    else:
        out.print(f"{order}: {len(done)} steps done again, every digest the same")
    raise typer.Exit(1 if differences else 0)


@app.command()
@answers
def estimate(order: OrderArgument, as_json: Json = False) -> None:
    """Minutes, storage and money an order will take, from this studio's own finished orders."""
    from memorial_tasks.production.estimates import estimate as estimate_order
    from memorial_tasks.production.studio import Studio

    found = estimate_order(Studio.open(), order)
    if as_json:
        return emit(found)
    if not found["runs"]:
        return out.print("no finished order like this one to learn from yet; nothing is promised")
    table = Table("step", "minutes", "GPU minutes", "from runs", "by", box=None, header_style="bold")
    for step in found["steps"]:
        minutes, gpu = f"{step['minutes']:.2f}", f"{step['gpu_minutes']:.2f}"
        table.add_row(step["step"], minutes, gpu, str(step["runs"]), step["by"])
    out.print(table)
    error = found["expected_error"]
    sure = f"past orders were off by {100 * error:.0f} %" if error is not None else "too few orders to say how sure"
    out.print(f"wall time about {found['wall_minutes']:.1f} minutes ({sure}), storage {found['storage_mb']:.0f} MB")
    if found["cost"] is None:
        return out.print("no cost: set MEMORIAL_GPU_PRICE_PER_MINUTE and MEMORIAL_CPU_PRICE_PER_MINUTE")
    return out.print(f"cost about {found['cost']:.2f} {found['currency']}")
