"""A sealed log to attack: 700 entries under three checkpoints, anchored outside, and the tools of both sides."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from memorial_tasks.audit.bundle import export_bundle, verifier_path
from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append_many
from memorial_tasks.audit.service import AuditRoom, open_room
from memorial_tasks.database.connection import AUDITOR, Connection, execute, transaction

TABLES = ("event", "leaf", "batch", "subtree", "checkpoint", "anchor")
SIZES = (250, 520, 700)


def entry(number: int, **changes: object) -> AuditEvent:
    return AuditEvent(
        **{
            "type": "step.finished",
            "order": f"order-{number % 7}",
            "actor": Actor(kind="service", id="worker"),
            "refs": {"film.mp4": f"{number:064x}"},
            "data": {"n": number},
            **changes,
        }
    )


def write(url: str, numbers: range, **changes: object) -> None:
    with transaction(url) as connection:
        append_many(connection, [entry(number, **changes) for number in numbers])


@contextmanager
def superuser(url: str) -> Iterator[Connection]:
    """An insider who may do anything to the database: triggers off, changes, triggers on again."""
    with transaction(url, role=None) as connection:
        for table in TABLES:
            execute(connection, f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")
        yield connection
        for table in TABLES:
            for trigger in ("keep_rows", "keep_table"):
                execute(connection, f"ALTER TABLE audit.{table} ENABLE ALWAYS TRIGGER {trigger}")


@dataclass
class Outsider:
    """A person with the exported bundle, the stand-alone verifier, the log's key and one old checkpoint."""

    room: AuditRoom
    folder: Path
    old_checkpoint: Path

    def look(self, *more: str, name: str = "bundle") -> tuple[bool, str]:
        """Exports the log as it stands and runs the stand-alone verifier in a bare interpreter."""
        bundle = self.folder / name
        with transaction(self.room.url, role=AUDITOR) as connection:
            export_bundle(connection, self.room.keys.public, bundle)
        key = self.folder / "key.txt"
        key.write_text("".join(f"{part}\n" for part in self.room.keys.public))
        command = [sys.executable, "-I", str(verifier_path()), str(bundle), "--key", str(key)]
        done = subprocess.run(
            [*command, "--checkpoint", str(self.old_checkpoint), *more], capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert lines[-1] == ("OK" if done.returncode == 0 else "FAILED")
        return done.returncode == 0, done.stdout


@pytest.fixture
def room(database: str, tmp_path: Path) -> AuditRoom:
    """The sealed log."""
    room = open_room(database, tmp_path / "keyring", tmp_path / "audit")
    start = 0
    for size in SIZES:
        write(database, range(start, size))
        made, _ = room.checkpoint()
        assert made is not None
        assert made.size == size
        start = size
    return room


@pytest.fixture
def outsider(room: AuditRoom, tmp_path: Path) -> Outsider:
    """Keeps the second of the three checkpoints."""
    old = tmp_path / "old.note"
    old.write_text(room.folder.read()[1])
    return Outsider(room, tmp_path, old)


@pytest.fixture
def backdated() -> Callable[[bytes], bytes]:
    """The same entry with a time one year earlier."""

    def change(body: bytes) -> bytes:
        document = json.loads(body)
        at = datetime.fromisoformat(document["at"])
        return AuditEvent(**{**document, "at": at.replace(year=at.year - 1)}).body()

    return change
