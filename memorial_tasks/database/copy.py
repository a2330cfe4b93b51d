"""Copies of the embedded PostgreSQL: physical ones, because the audit log's order rests on transaction numbers.

A dump loads the rows into a server that counts its transactions anew; the sequencer then refuses to write on. A base
backup (``pg_basebackup``) keeps them, and both databases, roles and grants with them.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from memorial_tasks.database.server import ADMIN, _allow_passage, _last_lines, _program, _server_user, socket_folder
from memorial_tasks.errors import IntegrityError, Unavailable


def _closed(folder: Path) -> None:
    """Hand a tree to whoever runs the server."""
    user = _server_user()
    if user:
        _allow_passage(folder)
        os.chown(folder, *user)
        for path in folder.rglob("*"):
            os.chown(path, *user, follow_symlinks=False)
    folder.chmod(0o700)


def copy_server(folder: Path, target: Path) -> None:
    """A base backup of the running server of `folder` in the new folder `target`, checked file by file.

    Raises:
        Unavailable: the server does not answer, or the disk is full.
        IntegrityError: what was copied is not what the server sent.
    """
    with tempfile.TemporaryDirectory(prefix="memorial-copy-") as made:
        scratch = Path(made) / "base"
        scratch.mkdir()
        _closed(scratch)
        Path(made).chmod(0o711)
        done = _program(
            "pg_basebackup", "-h", str(socket_folder(folder)), "-U", ADMIN, "-D", str(scratch), "--format=plain",
            "--wal-method=stream", "--checkpoint=fast", "--no-password", "--manifest-checksums=SHA256",
        )  # fmt: skip
        if done.returncode != 0:
            raise Unavailable(
                f"the database could not be copied: {_last_lines(done.stdout)}",
                where="database",
                remedy="check free space and that the database answers",
            )
        shutil.copytree(scratch, target, symlinks=True)
    check_copy(target)


def check_copy(copy: Path) -> None:
    """Every file of a base backup against the manifest the server wrote (PostgreSQL manual, "Backup Manifest Format").

    Raises:
        IntegrityError: a file is missing or was changed.
    """
    try:
        written = (copy / "backup_manifest").read_bytes()
        manifest = json.loads(written)
        body = written[: written.rindex(b'"Manifest-Checksum"')]
    except (OSError, ValueError) as error:
        raise _damaged("backup_manifest") from error
    if hashlib.sha256(body).hexdigest() != manifest["Manifest-Checksum"]:
        raise _damaged("backup_manifest")
    for entry in manifest["Files"]:
        path = copy / entry["Path"]
        if not path.is_file():
            raise _damaged(entry["Path"])
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != entry["Checksum"]:
                raise _damaged(entry["Path"])


def _damaged(name: str) -> IntegrityError:
    return IntegrityError(
        "the copy of the database is damaged", where=name, remedy="take another backup; do not restore this one"
    )


def place_copy(copy: Path, folder: Path) -> None:
    """Put a base backup where a server of ours can start from it. `folder` must not exist."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    building = Path(tempfile.mkdtemp(prefix=folder.name + ".new-", dir=folder.parent))
    building.rmdir()
    shutil.copytree(copy, building, symlinks=True)
    # The socket's lock came along and names the server that was copied: while that one lives, this one would not start.
    for left in (*building.glob(".s.PGSQL.*"), building / "server.log"):
        left.unlink(missing_ok=True)
    _closed(building)
    building.rename(folder)
