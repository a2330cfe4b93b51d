"""`memorial review`: what waits for a person, and their answer, through the same call as a click in Airflow."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out
from memorial_tasks.cli.order import DAG

app = typer.Typer(no_args_is_help=True, help="What waits for a person's decision: script, voice, still, film.")
Reason = Annotated[str, typer.Option(help="Why, in a few words, without names.")]
Account = Annotated[str, typer.Option("--as", help="Answer under this account; asks for its password.")]
PasswordFile = Annotated[Path | None, typer.Option(help="Read that password from a file.", dir_okay=False)]


@app.command("list")
@answers
def list_reviews(as_json: Json = False) -> None:
    """Orders that wait for a decision, and at which point."""
    from memorial_tasks.database import registry
    from memorial_tasks.domain.words import OrderState
    from memorial_tasks.production.review import open_point
    from memorial_tasks.production.studio import Studio

    with Studio.open().transaction() as connection:
        rows = registry.list_orders(connection, states=[OrderState.IN_REVIEW], limit=10_000)
    found = [
        {"order": row.order_id, "at": point.name, "task": row.stage, "since": row.updated_at.isoformat()}
        for row in rows
        if (point := open_point(row))
    ]
    if as_json:
        return emit({"reviews": found})
    table = Table("order", "at", "waits since", box=None, header_style="bold")
    for one in found:
        second = " (second person)" if one["task"].endswith("_second") else ""
        table.add_row(one["order"], one["at"] + second, one["since"][:16].replace("T", " "))
    return out.print(table if found else "nothing waits for a decision")


@app.command()
@answers
def show(
    order: OrderArgument,
    at: Annotated[str, typer.Option(help="script, voice, still or film; default: what waits now, else the film.")] = "",
    as_json: Json = False,
) -> None:
    """Put what is to be judged where the reviewer can open it, with findings and measurements, under a permit."""
    from memorial_tasks.production.review import POINTS, export_preview, open_point
    from memorial_tasks.production.studio import Studio, command_actor

    if at and at not in POINTS:
        raise typer.BadParameter(f"one of {', '.join(POINTS)}", param_hint="--at")
    studio = Studio.open()
    with studio.transaction() as connection:
        point = POINTS[at] if at else open_point(studio.order(connection, order)) or POINTS["film"]
    found = export_preview(studio, order, command_actor(studio.settings), point)
    if as_json:
        return emit(found)
    for name, path in found["files"].items():
        out.print(f"{name:<20} {path}", soft_wrap=True)
    for finding in found["findings"]:
        plain = isinstance(finding, str)
        out.print(finding if plain else f"{finding['severity']:<9} {finding['what']}. {finding['remedy']}")
    for name, value in found["metrics"].items():
        if isinstance(value, (int, float, str, bool)):
            out.print(f"{name:<24} {value}", style="dim")
    return None


def _session(settings: Any, account: str, password_file: Path | None) -> Any:
    """The operator's own session, or another person's: their password never comes out of the studio's files."""
    from memorial_tasks.cli.airflow import client

    if not account:
        return client(settings)
    if password_file:
        return client(settings, account, password_file.read_text("utf-8").strip())
    return client(settings, account, typer.prompt("password", hide_input=True, err=True))


def _answer(
    order: str, option: str, reason: str, causes: list[str], account: str, password_file: Path | None, as_json: bool
) -> None:
    from memorial_tasks.cli.airflow import answer_review
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.review import check_causes, may_answer, open_point
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    with studio.transaction() as connection:
        row = studio.order(connection, order)
    point = open_point(row)
    if point is None or not row.run_id:
        raise MemorialError(
            f"the order is {row.state}; nothing waits for a decision", where=order, remedy="see 'memorial review list'"
        )
    causes = list(check_causes(causes))
    person = account or studio.settings.operator
    if option == "Approve" and may_answer(studio, order, point, person):
        remedy = "another person answers with --as NAME"
        raise MemorialError("an approval of this person does not count here", where=order, remedy=remedy)
    with _session(studio.settings, account, password_file) as airflow:
        answer = answer_review(airflow, DAG, row.run_id, row.stage or "review_film", option, reason or None, causes)
    who = (answer.get("responded_by") or {}).get("id")
    document = {"order": order, "at": point.name, "answer": option, "causes": causes, "reviewer": who}
    emit(document) if as_json else out.print(f"{order}: {option} {point.name} by {who}")


@app.command()
@answers
def approve(
    order: OrderArgument,
    reason: Reason = "",
    account: Account = "",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Release exactly what was shown."""
    _answer(order, "Approve", reason, [], account, password_file, as_json)


@app.command()
@answers
def reject(
    order: OrderArgument,
    cause: Annotated[
        list[str] | None,
        typer.Option(help="What is wrong: script, voice, speech, face, motion, film, other; may be given again."),
    ] = None,
    reason: Reason = "",
    account: Account = "",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Do not release it; the causes decide what the next try changes."""
    _answer(order, "Reject", reason, cause or [], account, password_file, as_json)
