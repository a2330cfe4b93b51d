"""`memorial init`, `doctor` and `studio`: setting up, looking after and running a studio on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from memorial_tasks.cli.common import Json, answers, emit, err, out, say

app = typer.Typer(no_args_is_help=True, help="Airflow and its pages on this machine.")
START_SECONDS = 180


@answers
def init(as_json: Json = False) -> None:
    """Make or bring up to date: database, keys, development certificate authority, model files, Airflow's database."""
    from memorial_tasks.production.setup import set_up
    from memorial_tasks.settings import Settings

    done = set_up(Settings(), (lambda _: None) if as_json else say)
    emit(done) if as_json else out.print(f"the studio in {done['home']} is ready")


@answers
def doctor(as_json: Json = False) -> None:
    """What is installed, reachable and configured; each failing line says the remedy."""
    from memorial_tasks.production.health import examine
    from memorial_tasks.settings import Settings

    found = examine(Settings())
    healthy = all(line.ok for line in found)
    if as_json:
        emit({"healthy": healthy, "checks": [vars(line) for line in found]})
    else:
        table = Table("", "what", "detail", "remedy", box=None, header_style="bold")
        for line in found:
            table.add_row(
                "[green]ok[/green]" if line.ok else "[red]no[/red]",
                line.what,
                line.detail,
                "" if line.ok else line.remedy,
            )
        out.print(table)
    raise typer.Exit(0 if healthy else 1)


def _folder(settings: Any) -> Any:
    return settings.airflow_home / "run"


@app.command()
@answers
def start(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Start Airflow's scheduler, pages, triggerer and DAG processor; does nothing when they run."""
    from memorial_tasks.airflow.environment import airflow_environment
    from memorial_tasks.airflow.supervisor import Supervisor, running
    from memorial_tasks.cli.airflow import client
    from memorial_tasks.errors import Unavailable
    from memorial_tasks.production.studio import Studio

    studio = Studio.open()
    settings = studio.settings
    folder = _folder(settings)
    if foreground:
        Supervisor(airflow_environment(settings, studio.database), folder, lambda text: err.print(text)).run()
        return
    if not running(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "supervisor.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "memorial_tasks.cli", "studio", "start", "--foreground"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "MEMORIAL_HOME": str(settings.root)},
            )
    with client(settings) as airflow:
        if not airflow.ready("memorial_order", START_SECONDS):
            raise Unavailable("Airflow did not start in time", where=str(folder), remedy="read the logs in that folder")
    address = settings.base_url or f"http://127.0.0.1:{settings.api_port}"
    document = {
        "address": address,
        "account": settings.operator,
        "passwords": str(settings.airflow_home / "passwords.json"),
    }
    emit(document) if as_json else out.print(
        f"Airflow's pages: {address}   account: {settings.operator}   password: in {document['passwords']}"
    )


@app.command()
@answers
def stop(as_json: Json = False) -> None:
    """End Airflow and the embedded database of this studio."""
    from memorial_tasks.airflow.supervisor import running
    from memorial_tasks.database.server import stop_server
    from memorial_tasks.settings import Settings

    settings = Settings()
    folder = _folder(settings)
    pids = running(folder)
    if pids:
        os.kill(pids["supervisor"], signal.SIGTERM)
        _wait(lambda: not running(folder), 40)
    stopped = stop_server(settings.database_dir) if not settings.database_url else False
    emit({"stopped": bool(pids), "database_stopped": stopped}) if as_json else out.print(
        "stopped" if pids else "was not running"
    )


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.2)
    return False


@app.command()
@answers
def status(as_json: Json = False) -> None:
    """Which components run."""
    from memorial_tasks.airflow.supervisor import running
    from memorial_tasks.settings import Settings

    pids = running(_folder(Settings()))
    if as_json:
        emit({"running": bool(pids), "pids": pids})
    else:
        out.print("\n".join(f"{name:<16} {pid}" for name, pid in pids.items()) or "not running")
    raise typer.Exit(0 if pids else 1)
