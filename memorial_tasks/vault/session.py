"""Credentials for a bucket out of a file that is written anew while it is used.

A pod's credentials end within the hour (AWS ends a session that one role opened for another then), training does not.
So whoever started the pod renews the file, and the client here reads it again before each credential ends.
"""

import json
from pathlib import Path
from typing import Any

from memorial_tasks.errors import MemorialError, Unavailable

FIELDS = frozenset({"access_key", "secret_key", "token", "expiry_time"})


def read_credentials(path: Path) -> dict[str, str]:
    """The file's document: botocore's words ``access_key``, ``secret_key``, ``token``, ``expiry_time`` (ISO 8601), and
    ``region`` where the file names one.

    Raises `MemorialError` for a file that is none, without repeating anything of it.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise Unavailable(
            f"the credentials for the vault cannot be read ({error.strerror})", where=path.name, remedy="try again"
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.keys() >= FIELDS:
        raise MemorialError("no credentials for the vault", where=path.name, remedy="call an engineer")
    return {name: str(found[name]) for name in (*sorted(FIELDS), "region") if found.get(name)}


def session_of(path: Path) -> Any:
    """A boto3 session whose credentials are those of the file, at every moment.

    botocore looks into the file from 15 minutes before the credentials end (`RefreshableCredentials`), so a file that
    is renewed at half its time is read in good time.
    """
    import boto3
    from botocore.credentials import RefreshableCredentials
    from botocore.session import get_session

    given = read_credentials(path)
    session = get_session()
    # The documented way of boto3 for credentials of one's own: there is no public setter for refreshable ones.
    session._credentials = RefreshableCredentials.create_from_metadata(
        metadata=given, refresh_using=lambda: read_credentials(path), method="memorial-file"
    )
    return boto3.Session(botocore_session=session, region_name=given.get("region"))
