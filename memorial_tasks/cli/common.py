"""What every command shares: one JSON document or a page for people, and errors that say what, where, remedy."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from memorial_tasks.errors import InputRefused, MemorialError

P = ParamSpec("P")
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
OrderArgument = Annotated[str, typer.Argument(help="The order's id.", metavar="ORDER", show_default=False)]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def emit(document: Any) -> None:
    """The one JSON document of a command."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=1, default=str) + "\n")


def say(text: str) -> None:
    """Progress for people; on standard error, so that it never mixes with a result."""
    err.print(text, style="dim")


def fail(error: MemorialError, as_json: bool) -> int:
    """Tell what went wrong; returns the exit status."""
    problems = [asdict(problem) for problem in error.problems] if isinstance(error, InputRefused) else []
    if as_json:
        body = {"error": type(error).__name__, "what": error.what, "where": error.where, "remedy": error.remedy}
        emit(body | ({"problems": problems} if problems else {}))
    err.print(str(error), style="red", markup=False, soft_wrap=True)
    return 1


def answers(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our errors into exit status 1 with what, where and remedy on standard error. Anything else is a bug."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except MemorialError as error:
            raise typer.Exit(fail(error, bool(kwargs.get("as_json")))) from None

    return wrapped
