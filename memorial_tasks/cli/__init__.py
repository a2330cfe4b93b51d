"""The `memorial` command: one file per noun, each importing its room only when it is used."""

import logging
import os

import typer


def application() -> typer.Typer:
    """The whole command."""
    from memorial_tasks.cli import (
        audit,
        batch,
        consent,
        delivery,
        model,
        order,
        plan,
        preview,
        quality,
        review,
        studio,
        verify,
    )

    app = typer.Typer(
        name="memorial",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Memorial Studio: consented, labelled and provable memorial films.",
    )
    app.command()(studio.init)
    app.command()(studio.doctor)
    app.command()(verify.verify)
    app.command()(order.render)
    app.command()(preview.preview)
    app.command()(consent.erase)
    app.add_typer(order.app, name="order")
    app.add_typer(plan.app, name="plan")
    app.add_typer(batch.app, name="batch")
    app.add_typer(consent.app, name="consent")
    app.add_typer(review.app, name="review")
    app.add_typer(delivery.app, name="delivery")
    app.add_typer(model.app, name="model")
    app.add_typer(quality.app, name="quality")
    app.add_typer(audit.app, name="audit")
    app.add_typer(studio.app, name="studio")
    return app


def main() -> None:
    """Entry point."""
    from memorial_tasks.observability.logs import set_up

    asked = os.environ.get("MEMORIAL_JSON_LOGS", "").lower() in {"1", "true", "yes", "on"}
    set_up("command", level=logging.INFO if asked else logging.WARNING)
    application()()
