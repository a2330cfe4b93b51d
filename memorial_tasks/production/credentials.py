"""What marks and signs a film: the manifest's signing credential and the watermark key."""

import fcntl
import secrets
from pathlib import Path

from memorial_tasks.errors import MemorialError
from memorial_tasks.provenance.authority import check_credential, create_authority, load_credential
from memorial_tasks.settings import Settings
from memorial_tasks.steps.contract import SigningCredential
from memorial_tasks.vault.cipher import write_private


def signing_credential(settings: Settings) -> SigningCredential:
    """The studio's own credential when one is configured, otherwise the development authority's.

    Raises `MemorialError` in production without a credential of the studio's own.
    """
    given = (settings.signing_chain, settings.signing_key, settings.signing_anchors)
    if all(given):
        chain, key, anchors = (Path(str(path)) for path in given)
        stored = load_credential(chain, key, anchors)
    elif settings.profile == "production":
        raise MemorialError(
            "production needs a signing credential of the studio's own",
            where="MEMORIAL_SIGNING_CHAIN, MEMORIAL_SIGNING_KEY, MEMORIAL_SIGNING_ANCHORS",
            remedy="enrol with a certificate authority and set all three",
        )
    else:
        stored = create_authority(settings.keyring / "authority")
    check_credential(stored, production=settings.profile == "production")
    return SigningCredential(chain_pem=stored.chain_pem, key_pem=stored.key_pem, anchors_pem=stored.anchors_pem)


def watermark_key(keyring: Path) -> bytes:
    """The studio's 32-byte watermark key, made once."""
    path = keyring / "watermark.key"
    if not path.is_file():
        keyring.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (keyring / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not path.is_file():
                write_private(path, secrets.token_bytes(32))
    return path.read_bytes()
