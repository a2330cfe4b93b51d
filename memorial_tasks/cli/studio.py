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


@app.command()
@answers
def metrics(
    push: Annotated[bool, typer.Option("--push", help="Send them to MEMORIAL_OTEL_ENDPOINT instead.")] = False,
    serve: Annotated[str, typer.Option("--serve", help="Answer scrapers at HOST:PORT/metrics until stopped.")] = "",
    as_json: Json = False,
) -> None:
    """The studio's numbers as OpenMetrics text: orders, steps, GPUs, consent, reviews, audit. No personal data."""
    from memorial_tasks.database.server import database_url
    from memorial_tasks.errors import Unavailable
    from memorial_tasks.observability import export
    from memorial_tasks.observability.collect import collect
    from memorial_tasks.observability.metrics import samples
    from memorial_tasks.settings import Settings

    settings = Settings()
    database = database_url(settings.database_url, settings.database_dir)
    if serve:
        host, _, port = serve.rpartition(":")
        if not port.isdigit():
            raise typer.BadParameter("give HOST:PORT", param_hint="--serve")
        with export.server(lambda: samples(collect(database)), host or "127.0.0.1", int(port)) as running:
            say(f"http://{host or '127.0.0.1'}:{running.server_address[1]}/metrics")
            running.serve_forever()
        return
    found = samples(collect(database))
    if push:
        if not settings.otel_endpoint:
            raise Unavailable("no collector is named", where="metrics", remedy="set MEMORIAL_OTEL_ENDPOINT")
        export.push(found, settings.otel_endpoint)
        emit({"sent": len(found)}) if as_json else out.print(f"{len(found)} samples sent")
    elif as_json:
        emit({"metrics": [{"name": s.metric.name, "labels": dict(s.labels), "value": s.value} for s in found]})
    else:
        sys.stdout.write(export.openmetrics(found))


@app.command()
@answers
def backup(
    folder: Annotated[str, typer.Option("--out", help="A new folder for database, vault and audit trail.")],
    keyring: Annotated[str, typer.Option("--keyring-out", help="Another place for the keys; never beside the rest.")],
    passphrase_file: Annotated[str, typer.Option("--passphrase-file", help="File with the keys' passphrase.")],
    as_json: Json = False,
) -> None:
    """Copy everything a studio needs to go on: database, vault, audit trail; the keys apart, under a passphrase."""
    from pathlib import Path

    from memorial_tasks.production.backup import make_backup
    from memorial_tasks.settings import Settings

    done = make_backup(Settings(), Path(folder), Path(keyring), Path(passphrase_file), say)
    emit(done) if as_json else out.print(f"{folder}: {done['objects']} objects; keys in {done['keyring']}")


@app.command()
@answers
def restore(
    folder: Annotated[str, typer.Option("--from", help="The backup's folder.")],
    keyring: Annotated[str, typer.Option("--keyring", help="The backup of the keys.")],
    passphrase_file: Annotated[str, typer.Option("--passphrase-file", help="File with the keys' passphrase.")],
    receipts: Annotated[str, typer.Option("--receipts", help="Folder of erasure receipts kept outside.")],
    checkpoints: Annotated[str, typer.Option("--checkpoints", help="Folder of checkpoints kept outside.")],
    as_json: Json = False,
) -> None:
    """Bring a backup back into an empty home, prove its audit log against old checkpoints, and repeat every erasure."""
    from pathlib import Path

    from memorial_tasks.production.backup import restore_backup
    from memorial_tasks.settings import Settings

    done = restore_backup(
        Settings(), Path(folder), Path(keyring), Path(passphrase_file), Path(receipts), Path(checkpoints), say
    )
    emit(done) if as_json else out.print(
        f"restored {done['objects']} objects and {done['entries']} audit entries; erased again: {done['erased_again']};"
        f" audit entries younger than the backup, lost: {done['entries_lost']}"
    )
    if not done["may_write_on"]:
        say("checkpoints outside are younger than this backup: do not write on; docs/audit-format.md, After a restore")
