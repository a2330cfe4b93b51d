"""The signing keys of the consent room: one for records and receipts, one for permits.

Two keys, because they live differently: the registrar's signature must stay verifiable for years, a permit for minutes.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from memorial_tasks.vault.cipher import write_private
from memorial_tasks.vault.signing import public_pem, signing_key

REGISTRAR, PERMIT = "consent-registrar", "consent-permit"


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of SHA-256 over the raw public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return sha256(raw).hexdigest()[:16]


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key pair (RFC 8032) with its key id."""

    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    kid: str

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> "SigningKey":
        """Wraps a private key."""
        return cls(private, private.public_key(), key_id(private.public_key()))

    @classmethod
    def generate(cls) -> "SigningKey":
        """A fresh key pair that is stored nowhere."""
        return cls.of(Ed25519PrivateKey.generate())

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"


@dataclass(frozen=True)
class ConsentKeys:
    """Both keys, and every public key of the registrar that was ever valid, by key id."""

    registrar: SigningKey
    permit: SigningKey
    trusted: dict[str, Ed25519PublicKey]

    @classmethod
    def generate(cls) -> "ConsentKeys":
        """Fresh keys that are stored nowhere."""
        registrar = SigningKey.generate()
        return cls(registrar, SigningKey.generate(), {registrar.kid: registrar.public})


def consent_keys(keyring: Path) -> ConsentKeys:
    """The keys in the keyring folder, made when they do not exist yet; safe to call from several processes."""
    registrar = SigningKey.of(signing_key(keyring, REGISTRAR))
    permit = SigningKey.of(signing_key(keyring, PERMIT))
    public = keyring / f"{REGISTRAR}-{registrar.kid}.pub.pem"
    if not public.exists():  # stays behind when the key is replaced, so that older signatures still verify
        write_private(public, public_pem(registrar.public).encode())
    trusted = {registrar.kid: registrar.public}
    for path in sorted(keyring.glob(f"{REGISTRAR}-*.pub.pem")):
        key = serialization.load_pem_public_key(path.read_bytes())
        if isinstance(key, Ed25519PublicKey):
            trusted[key_id(key)] = key
    return ConsentKeys(registrar, permit, trusted)
