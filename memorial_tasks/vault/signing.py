"""The studio's Ed25519 keys (permits, consent records, receipts): made once, kept in the keyring."""

import fcntl
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from memorial_tasks.errors import IntegrityError
from memorial_tasks.vault.cipher import write_private


def signing_key(folder: Path, name: str) -> Ed25519PrivateKey:
    """The private key `name` below the keyring, made when it does not exist yet."""
    path = folder / f"{name}.pem"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not path.is_file():
                key = Ed25519PrivateKey.generate()
                write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    stored = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(stored, Ed25519PrivateKey):
        raise IntegrityError("not an Ed25519 key", where=str(path), remedy="restore the keyring's backup")
    return stored


def public_pem(key: Ed25519PublicKey) -> str:
    """The public key as PEM text."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
