"""The link gate's own key, and which keys a delivery receipt may be signed with.

The gate is the one process that strangers reach, so it gets a folder of its own and nothing of the keyring: one
private key that signs download receipts, and the registrar's public keys to read consents with. The studio keeps the
public half in its keyring, for ever, so that receipts of replaced keys still verify; the audit log says when which key
came.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from memorial_tasks.consent.keys import REGISTRAR, SigningKey, key_id
from memorial_tasks.errors import MemorialError
from memorial_tasks.vault.cipher import write_private
from memorial_tasks.vault.signing import public_pem, signing_key

GATE_KEY = "delivery-gate"


@dataclass(frozen=True)
class GateKeys:
    """The gate's signing key, and the registrar's public keys by key id."""

    signer: SigningKey
    trusted: dict[str, Ed25519PublicKey]


def make_gate_keys(keyring: Path, folder: Path, introduce: Callable[[str], None]) -> None:
    """The gate's folder as it has to be now, made or brought up to date by the control plane. A new key is introduced
    (with its public PEM's sha256) before it is published, so that no receipt verifies by a key the log does not name.
    Safe to call often and from several processes."""
    signer = SigningKey.of(signing_key(folder, GATE_KEY))
    published, pem = keyring / f"{GATE_KEY}-{signer.kid}.pub.pem", public_pem(signer.public).encode()
    if not published.exists():
        introduce(sha256(pem).hexdigest())
        write_private(published, pem)
    for source in keyring.glob(f"{REGISTRAR}-*.pub.pem"):
        if not (folder / source.name).exists():
            write_private(folder / source.name, source.read_bytes())


def gate_keys(folder: Path) -> GateKeys:
    """What lies in the gate's folder. Raises `MemorialError` when something is missing: the gate makes no keys."""
    private, trusted = folder / f"{GATE_KEY}.pem", _public(folder, REGISTRAR)
    if not private.is_file() or not trusted:
        raise MemorialError(
            "the gate has no keys",
            where="MEMORIAL_GATE",
            remedy="run `memorial init`; where the gate runs apart, give it a copy of the studio's folder 'gate'",
        )
    return GateKeys(SigningKey.of(signing_key(folder, GATE_KEY)), trusted)


def receipt_keys(keyring: Path) -> dict[str, Ed25519PublicKey]:
    """Every key that ever signed a delivery receipt of this studio: the gate's for downloads, the registrar's for
    archives and for downloads before the gate had a key."""
    return _public(keyring, REGISTRAR) | _public(keyring, GATE_KEY)


def _public(folder: Path, name: str) -> dict[str, Ed25519PublicKey]:
    found = {}
    for path in sorted(folder.glob(f"{name}-*.pub.pem")):
        key = serialization.load_pem_public_key(path.read_bytes())
        if isinstance(key, Ed25519PublicKey):
            found[key_id(key)] = key
    return found
