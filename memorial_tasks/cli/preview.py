"""`memorial preview`: the film of an order, small and at once, in a browser of this machine."""

from typing import Annotated

import typer

from memorial_tasks.cli.common import Json, OrderArgument, answers, emit, out, say


@answers
def preview(
    order: OrderArgument,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 0,
    browse: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Watch an order that has been spoken, rendered while it plays. Labelled, audited, and not kept."""
    import webbrowser

    from memorial_tasks.production.preview import preview as show
    from memorial_tasks.production.studio import Studio, command_actor

    studio = Studio.open()

    def ready(address: str) -> None:
        say(f"the preview is at {address} until it was watched once; stop with Ctrl-C")
        if browse:
            webbrowser.open(address)

    made = show(studio, order, command_actor(studio.settings), ready, port)
    speed = round(made.rendered_s / max(made.took_s, 1e-3), 2)
    if as_json:
        emit({"order": order, "seconds": round(made.rendered_s, 2), "took": round(made.took_s, 2), "speed": speed})
    else:
        out.print(f"{made.rendered_s:.0f} s rendered in {made.took_s:.0f} s: {speed} times as fast as it plays")
