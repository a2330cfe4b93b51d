"""Backup and restore of a studio on one machine. docs/runbooks/backup-restore.md is the drill.

What a backup holds: the database (both of them, physically), the vault's ciphertext, the audit trail's checkpoints.
What it does not: delivered films (plain, and made again from the vault) and model files (set-up fetches them).

The keys travel apart, under a passphrase. Whoever erases somebody destroys a key; a copy of the keys that lives on
would undo that, so backups of the keys must be destroyed within the time promised for erasures, and a restore repeats
every erasure whose receipt was kept outside before anything else happens.
"""

import hashlib
import io
import json
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from memorial_tasks import __version__
from memorial_tasks.audit.note import open_note
from memorial_tasks.audit.service import room_of
from memorial_tasks.consent.erasing import reapply_receipts
from memorial_tasks.consent.erasure import RECEIPTS
from memorial_tasks.database.copy import check_copy, copy_server, place_copy
from memorial_tasks.database.server import ensure_server
from memorial_tasks.errors import InputRefused, IntegrityError, MemorialError, Problem
from memorial_tasks.production.studio import Studio
from memorial_tasks.settings import Settings
from memorial_tasks.vault.cipher import seal, unseal, write_private

Say = Callable[[str], None]
FORMAT, LABEL = 1, "memorial keyring backup"
LEAST = 12  # characters of a passphrase
# scrypt as RFC 7914 recommends for files: 128 MiB and about a third of a second.
_N, _R, _P = 1 << 17, 8, 1
_PARTS = ("postgres", "vault", "audit")


def make_backup(settings: Settings, out: Path, keyring_out: Path, passphrase_file: Path, say: Say) -> dict[str, Any]:
    """A backup in the new folder `out`, the keys as one sealed file in `keyring_out`. Seals the audit log first, so
    that the copy ends at a checkpoint.

    Raises:
        InputRefused: the places or the passphrase will not do.
        IntegrityError: the audit log was changed; nothing is copied then.
    """
    _own_database_only(settings)
    out, keyring_out = out.expanduser().resolve(), keyring_out.expanduser().resolve()
    passphrase = _passphrase(passphrase_file)
    _places(settings, out, keyring_out)
    studio = Studio.open(settings)
    say("audit checkpoint")
    checkpoint, _ = room_of(settings, studio.database).checkpoint()
    with _appearing(out) as building:
        say("database")
        copy_server(settings.database_dir, building / "postgres")
        say("vault")
        objects = _copy_tree(settings.vault_dir, building / "vault") if not settings.store else {}
        (building / "vault").mkdir(exist_ok=True)
        _copy_tree(settings.audit_dir, building / "audit")
        manifest = {
            "format": FORMAT,
            "memorial_tasks": __version__,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "store": "local" if not settings.store else settings.store,
            "checkpoint": checkpoint.size if checkpoint else 0,
            "objects": len(objects),
            "files": {
                path.relative_to(building).as_posix(): _digest(path)
                for path in sorted(building.rglob("*"))
                if path.is_file()
            },
        }
        (building / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    say("keys")
    # Last: a key destroyed meanwhile stays destroyed in the copy, and one made meanwhile opens nothing of it.
    name = keyring_out / f"{out.name}.keyring"
    write_private(name, _seal_keyring(settings.keyring, passphrase))
    say("keep the keys elsewhere, and destroy them within the time you promise for erasures")
    return {
        "backup": str(out),
        "keyring": str(name),
        "objects": len(objects),
        "checkpoint": manifest["checkpoint"],
        "store": manifest["store"],
    }


def restore_backup(
    settings: Settings,
    source: Path,
    keyring: Path,
    passphrase_file: Path,
    receipts: Path,
    checkpoints: Path,
    say: Say,
) -> dict[str, Any]:
    """Bring a backup back into an empty home; returns what was restored and what was erased again.

    `receipts` and `checkpoints` are the folders kept outside the studio: the backup's own are of its own age. Order of
    things: everything is checked, then placed, then erasures are repeated, then the audit log is proven.

    Raises:
        InputRefused: the home is not empty, or a place is missing.
        IntegrityError: the backup, the keys' file or a receipt was changed, or the passphrase is wrong; or the log
            disagrees with a checkpoint kept outside. In the last case the studio is in place and the erasures are done,
            but it must not be worked in before the auditor has looked.
    """
    _own_database_only(settings)
    source, receipts = source.expanduser().resolve(), receipts.expanduser().resolve()
    checkpoints = checkpoints.expanduser().resolve()
    _empty_home(settings, source, receipts, checkpoints)
    say("checking the backup")
    manifest = _checked(source)
    opened = _open_keyring(keyring, _passphrase(passphrase_file))
    say("putting it in place")
    settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _appearing(settings.keyring) as building, tarfile.open(fileobj=io.BytesIO(opened)) as archive:
        archive.extractall(building, filter="data")
    for part, target in (("vault", settings.vault_dir), ("audit", settings.audit_dir)):
        with _appearing(target) as building:
            _copy_tree(source / part, building)
    # Last of all, so that a home with a database is a home with everything.
    place_copy(source / "postgres", settings.database_dir)
    kept = settings.audit_dir / RECEIPTS
    for receipt in sorted(receipts.glob("*.json")):
        write_private(kept / receipt.name, receipt.read_bytes())
    say("database")
    ensure_server(settings.database_dir)
    studio = Studio.open(settings)
    say("repeating erasures")
    again = reapply_receipts(studio)
    say("proving the audit log")
    return _proven(settings, studio, checkpoints, int(manifest["checkpoint"])) | {
        "restored": str(settings.root),
        "made_at": manifest["made_at"],
        "objects": manifest["objects"],
        "erased_again": len(again),
    }


def _proven(settings: Settings, studio: Studio, checkpoints: Path, upto: int) -> dict[str, Any]:
    """The restored log against every checkpoint kept outside that is no younger than the backup (of `upto` entries).

    What younger ones speak of was lost with the studio. Signing on would fork the log they belong to, so nothing is
    signed then, and what was lost is said: docs/audit-format.md, "After a restore".
    """
    room = room_of(settings, studio.database)
    notes = [path.read_text(encoding="utf-8") for path in sorted(checkpoints.rglob("*.note"))]
    sizes = {text: open_note(text, room.keys.known).size for text in notes}
    later = [size for size in sizes.values() if size > upto]
    found = room.verify(trusted=[text for text in notes if sizes[text] <= upto])
    if not found.ok:
        raise IntegrityError(
            f"the restored audit log disagrees with what was kept outside: {found.first_bad}",
            where="audit",
            remedy="do not work in this studio; give backup and checkpoints to the auditor",
        )
    if not later:
        room.checkpoint()
    return {
        "entries": upto,
        "checkpoints": len(notes) - len(later),
        "checkpoints_after_backup": len(later),
        "entries_lost": max(later, default=upto) - upto,
        "may_write_on": not later,
    }


def _own_database_only(settings: Settings) -> None:
    if settings.database_url:
        raise MemorialError(
            "this studio uses a database server of its own",
            where="MEMORIAL_DATABASE_URL",
            remedy="use that server's physical backups (base backup or snapshot with point-in-time recovery), never a"
            " dump: docs/runbooks/backup-restore.md",
        )


def _passphrase(path: Path) -> bytes:
    try:
        found = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _refused("backup.passphrase", "the passphrase's file cannot be read", "name a readable file") from error
    if len(found) < LEAST:
        raise _refused("backup.passphrase", f"the passphrase has fewer than {LEAST} characters", "choose a longer one")
    return found.encode()


def _places(settings: Settings, out: Path, keyring_out: Path) -> None:
    if out.exists():
        raise _refused("backup.out", "the backup's folder exists already", "name a new folder")
    if keyring_out == out or out in keyring_out.parents or keyring_out in out.parents:
        raise _refused(
            "backup.keyring", "the keys would lie beside what they open", "name another place, best a medium"
        )
    for place in (out, keyring_out):
        if settings.root == place or settings.root in place.parents:
            raise _refused("backup.out", "the backup would lie in the studio's own home", "name a place outside")


def _empty_home(settings: Settings, source: Path, *kept: Path) -> None:
    for folder in (settings.database_dir, settings.vault_dir, settings.keyring, settings.audit_dir):
        if folder.exists():
            raise _refused("restore.home", "the home is not empty", "set MEMORIAL_HOME to a new folder")
    for folder in (source, *kept):
        if not folder.is_dir():
            raise _refused("restore.place", f"there is no folder {folder.name}", "name a folder that exists")


def _refused(code: str, what: str, remedy: str) -> InputRefused:
    return InputRefused([Problem(code, what, remedy)])


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder built beside its place and renamed when it is complete: half of one is never seen under the name."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        yield building
        building.rename(target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _copy_tree(source: Path, target: Path) -> dict[str, str]:
    """Copy the files below `source`; returns their sha256 by relative path. Half-written ones (hidden) stay behind."""
    digests: dict[str, str] = {}
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in sorted(source.rglob("*") if source.is_dir() else ()):
        name = path.relative_to(source)
        if not path.is_file() or path.is_symlink() or any(part.startswith(".") for part in name.parts):
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:  # erased while we copied
            continue
        digests[name.as_posix()] = _digest(copy)
    return digests


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(source: Path) -> dict[str, Any]:
    """The manifest, after every file was compared with it."""
    try:
        manifest: dict[str, Any] = json.loads((source / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError("this is no complete backup", where="manifest.json", remedy="take another") from error
    if manifest.get("format") != FORMAT or not all((source / part).is_dir() for part in _PARTS):
        raise IntegrityError("this is no backup of this version", where="manifest.json", remedy="take another")
    for name, digest in manifest["files"].items():
        if not (source / name).is_file() or _digest(source / name) != digest:
            raise IntegrityError("a file of the backup was changed or is missing", where=name, remedy="take another")
    check_copy(source / "postgres")
    return manifest


def _seal_keyring(keyring: Path, passphrase: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(path for path in keyring.rglob("*") if path.is_file() and not path.name.startswith(".")):
            archive.add(path, arcname=path.relative_to(keyring).as_posix(), recursive=False)
    salt = secrets.token_bytes(16)
    sealed = seal(packed.getvalue(), Scrypt(salt, 32, _N, _R, _P).derive(passphrase), LABEL)
    return b"MSK1" + salt + sealed


def _open_keyring(path: Path, passphrase: bytes) -> bytes:
    try:
        found = path.expanduser().read_bytes()
    except OSError as error:
        raise _refused("restore.keyring", "the keys' backup cannot be read", "name the .keyring file") from error
    if found[:4] != b"MSK1":
        raise IntegrityError("this is no backup of keys", where=path.name, remedy="name the .keyring file")
    try:
        return unseal(found[20:], Scrypt(found[4:20], 32, _N, _R, _P).derive(passphrase), LABEL)
    except IntegrityError:
        raise IntegrityError(
            "the keys cannot be opened", where=path.name, remedy="use the passphrase they were sealed with"
        ) from None
