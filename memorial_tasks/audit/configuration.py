"""Changes of the studio's settings, noticed and written into the log by whoever opens the studio with them first."""

import fcntl
import hmac
import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from memorial_tasks.audit.event import Actor, AuditEvent
from memorial_tasks.audit.log import append
from memorial_tasks.database.connection import Connection, execute, one
from memorial_tasks.vault.cipher import write_private

KEY_FILE = "settings-digest.key"
OF_ONE_PROCESS = frozenset({"home", "assets", "operator"})  # where it runs and who types; not what the studio does
_LOCK = 0x6D656D63  # "memc"
_LAST = "SELECT fingerprint, digests FROM memorial.configuration ORDER BY id DESC LIMIT 1"


def digests_of(settings: Mapping[str, Any], key: bytes) -> dict[str, str]:
    """A keyed digest of every setting: shows that one changed, and never its value (some are passwords)."""
    return {
        name: hmac.new(key, f"memorial/setting/1\0{name}\0{value}".encode(), sha256).hexdigest()
        for name, value in sorted(settings.items())
        if name not in OF_ONE_PROCESS
    }


def note_settings(connection: Connection, settings: Mapping[str, Any], keyring: Path) -> list[str]:
    """Writes ``settings.changed`` when these are not the settings last recorded; returns the names that changed.

    One short query when nothing changed. Of many processes that open the studio at once, one writes: the others wait
    until the caller's transaction ends.
    """
    digests = digests_of(settings, _key(keyring))
    fingerprint = sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    if one(connection, "SELECT to_regclass('memorial.configuration') AS there") == {"there": None}:
        return []  # an older database that 'memorial init' has not brought up to date yet
    last = one(connection, _LAST)
    if last and last["fingerprint"] == fingerprint:
        return []
    execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    last = one(connection, _LAST)
    if last and last["fingerprint"] == fingerprint:
        return []
    before = last["digests"] if last else {}
    changed = sorted(name for name in digests.keys() | before.keys() if digests.get(name) != before.get(name))
    execute(
        connection,
        "INSERT INTO memorial.configuration (fingerprint, digests) VALUES (%s, %s)",
        (fingerprint, json.dumps(digests)),
    )
    event = AuditEvent(
        type="settings.changed",
        actor=Actor(kind="service", id="studio"),
        refs={name: digests[name] for name in changed if name in digests},
        data={"changed": len(changed), "first": last is None},
    )
    append(connection, event)
    return changed


def _key(keyring: Path) -> bytes:
    path = keyring / KEY_FILE
    if not path.is_file():
        keyring.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (keyring / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not path.is_file():
                write_private(path, secrets.token_bytes(32))
    return path.read_bytes()
