"""`memorial batch`: what a night will start, what became of it, and starting one by hand."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from memorial_tasks.cli.common import Json, answers, emit, out

app = typer.Typer(no_args_is_help=True, help="Nights: every ready order started, every other one named.")
DAG = "memorial_batch"


def _tell(found: dict[str, Any]) -> None:
    over = "" if found["closed_at"] else "  (not over yet)"
    out.print(f"[bold]{found['batch']}[/bold]{over}  " + ", ".join(f"{n} {s}" for s, n in found["counts"].items()))
    _table(found["orders"])


def _table(lines: list[dict[str, Any]]) -> None:
    table = Table("order", "state", "stage", "reason", "next", box=None, header_style="bold")
    for line in lines:
        table.add_row(
            line["order"], line["state"], line["failed_stage"], escape(line["reason"][:100]), line["next_action"]
        )
    out.print(table if lines else "no order waits")


@app.command("list")
@answers
def list_nights(as_json: Json = False) -> None:
    """The newest nights."""
    from memorial_tasks.production.batch import list_batches
    from memorial_tasks.production.studio import Studio

    found = list_batches(Studio.open())
    if as_json:
        return emit({"batches": found})
    table = Table("batch", "opened", "orders", "started", "over", box=None, header_style="bold")
    for row in found:
        over = "yes" if row["closed_at"] else "no"
        table.add_row(row["batch"], f"{row['opened_at']:%Y-%m-%d %H:%M}", str(row["orders"]), str(row["started"]), over)
    return out.print(table if found else "no night yet")


@app.command()
@answers
def show(
    batch: Annotated[str | None, typer.Argument(help="The night's id; the newest when left out.")] = None,
    as_json: Json = False,
) -> None:
    """What became of a night: per order its state, the stage it failed in, the reason and what to do."""
    from memorial_tasks.production.batch import summary
    from memorial_tasks.production.studio import Studio

    found = summary(Studio.open(), batch)
    emit(found) if as_json else _tell(found)


@app.command()
@answers
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at everything, start nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Orders to start at most.")] = 500,
    as_json: Json = False,
) -> None:
    """Start a batch now. With --dry-run say what it would start and what is broken; then no Airflow is needed."""
    from memorial_tasks.cli.airflow import client
    from memorial_tasks.production.batch import plan
    from memorial_tasks.production.studio import Studio, now

    studio = Studio.open()
    if dry_run:
        lines = [
            {
                "order": one.order,
                "state": "ready" if one.ready else "not_started",
                "failed_stage": one.stage,
                "reason_code": one.reason_code,
                "reason": one.reason,
                "next_action": one.next_action,
            }
            for one in plan(studio, limit=limit)
        ]
        return emit({"dry_run": True, "orders": lines}) if as_json else _table(lines)
    run_id = f"{now():%Y-%m-%dT%H-%M-%S}"
    with client(studio.settings) as airflow:
        airflow.trigger(DAG, run_id, {"limit": limit, "dry_run": False})
    return emit({"batch": f"hand-{run_id}", "run_id": run_id}) if as_json else out.print(f"hand-{run_id}")
