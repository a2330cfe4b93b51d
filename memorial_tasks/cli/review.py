"""`memorial review`: what waits for a person, and their answer, through the same call as a click in Airflow."""

from typing import Annotated

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out
from memorial_tasks.cli.order import DAG

app = typer.Typer(no_args_is_help=True, help="Films that wait for a person's decision.")
TASK = "review_film"
Reason = Annotated[str, typer.Option(help="Why, in a few words, without names.")]


@app.command("list")
@answers
def list_reviews(as_json: Json = False) -> None:
    """Orders that wait for a decision."""
    from memorial_tasks.database import registry
    from memorial_tasks.domain.words import OrderState
    from memorial_tasks.production.studio import Studio

    with Studio.open().transaction() as connection:
        rows = registry.list_orders(connection, states=[OrderState.IN_REVIEW])
    if as_json:
        return emit({"reviews": [{"order": row.order_id, "since": row.updated_at.isoformat()} for row in rows]})
    table = Table("order", "waits since", box=None, header_style="bold")
    for row in rows:
        table.add_row(row.order_id, f"{row.updated_at:%Y-%m-%d %H:%M}")
    return out.print(table if rows else "nothing waits for a decision")


@app.command()
@answers
def show(order: OrderArgument, as_json: Json = False) -> None:
    """Put film, contact sheet and findings where the reviewer can open them, under a permit."""
    from memorial_tasks.production.review import export_preview
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()
    found = export_preview(studio, order, command_actor(studio.settings))
    if as_json:
        return emit(found)
    for name, path in found["files"].items():
        out.print(f"{name:<16} {path}")
    for finding in found["findings"]:
        out.print(f"{finding['severity']:<9} {finding['what']}. {finding['remedy']}")
    return None


def _answer(order: str, option: str, reason: str, as_json: bool) -> None:
    from memorial_tasks.cli.airflow import answer_review, client
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    with studio.transaction() as connection:
        row = studio.order(connection, order)
    if str(row.state) != "in_review" or not row.run_id:
        raise MemorialError(
            f"the order is {row.state}; nothing waits for a decision", where=order, remedy="see 'memorial review list'"
        )
    with client(studio.settings) as airflow:
        answer = answer_review(airflow, DAG, row.run_id, TASK, option, reason or None)
    who = (answer.get("responded_by") or {}).get("id")
    emit({"order": order, "answer": option, "reviewer": who}) if as_json else out.print(f"{order}: {option} by {who}")


@app.command()
@answers
def approve(order: OrderArgument, reason: Reason = "", as_json: Json = False) -> None:
    """Release exactly the film that was shown."""
    _answer(order, "Approve", reason, as_json)


@app.command()
@answers
def reject(order: OrderArgument, reason: Reason = "", as_json: Json = False) -> None:
    """Do not release it; say why."""
    _answer(order, "Reject", reason, as_json)
