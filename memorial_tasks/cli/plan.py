"""`memorial plan`: how every line is to be said, shown as YAML and changed by a person before it is spoken."""

from pathlib import Path
from typing import Annotated

import typer

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out

app = typer.Typer(no_args_is_help=True, help="Emotion, intensity, tempo and pauses of every line.")


@app.command()
@answers
def show(order: OrderArgument, as_json: Json = False) -> None:
    """The plan as it would be spoken now: YAML on standard output, to be saved, edited and given to `plan edit`."""
    from memorial_tasks.production.plans import current_plan, show_plan
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    if as_json:
        emit(current_plan(studio, order).model_dump(mode="json"))
    else:
        typer.echo(show_plan(studio, order), nl=False)


@app.command()
@answers
def edit(
    order: OrderArgument,
    file: Annotated[Path, typer.Argument(help="The edited YAML of `plan show`.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Store a changed plan. What is said cannot be changed here, how it is said can; the order is then run again."""
    from memorial_tasks.errors import MemorialError
    from memorial_tasks.production.plans import change_plan
    from memorial_tasks.production.studio import Studio, command_actor

    if not file.is_file():
        raise MemorialError("no such file", where=file.name, remedy="check the path")
    studio = Studio.open()
    changed = change_plan(studio, order, file.read_text("utf-8"), command_actor(studio.settings))
    if as_json:
        emit({"order": order, "changed": list(changed)})
    elif changed:
        out.print(f"{order}: {len(changed)} lines changed; run it with: memorial order run {order}")
    else:
        out.print(f"{order}: the plan says the same as before")
