"""A certificate authority for development, and the rule that nothing signed by it is ever delivered.

A C2PA signer that the public trust list accepts belongs to one studio and to one conforming product, so no open-source
tool can bring it along: in production the studio configures its own chain. `create_authority` makes a private root and
a leaf that c2pa-rs accepts (P-256, KeyUsage digitalSignature, EKU emailProtection, AKI and SKI).
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from memorial_tasks.errors import InputRefused, Problem

DEVELOPMENT = "Memorial Studio Development - not for delivery"
_ROOT_DAYS, _LEAF_DAYS, _RENEW_DAYS = 3650, 366, 30
_FILES = {"root_key": "root.key.pem", "root": "root.pem", "key": "signing.key.pem", "chain": "signing-chain.pem"}


class Credential(Protocol):
    """What signs: a PEM chain (leaf first), its private key in PEM, and the anchors that make the chain trusted."""

    @property
    def chain_pem(self) -> str: ...
    @property
    def key_pem(self) -> str: ...
    @property
    def anchors_pem(self) -> str: ...


@dataclass(frozen=True)
class StoredCredential:
    """A credential read from files."""

    chain_pem: str
    key_pem: str = field(repr=False)
    anchors_pem: str = ""


def create_authority(folder: Path, now: datetime | None = None) -> StoredCredential:
    """Make (or, when it is there and its leaf lives another 30 days, load) the development authority in `folder`.

    Writes root.pem, root.key.pem, signing-chain.pem (leaf first) and signing.key.pem; keys are readable by the owner
    alone. Calling it again changes nothing until the leaf nears its end; then only the leaf is made anew.
    """
    now = now or datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = {name: folder / file for name, file in _FILES.items()}
    if not (paths["root"].is_file() and paths["root_key"].is_file()):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(paths["root_key"], _key_pem(key))
        _write(paths["root"], _root(key, now).public_bytes(serialization.Encoding.PEM))
    root = x509.load_pem_x509_certificate(paths["root"].read_bytes())
    root_key = serialization.load_pem_private_key(paths["root_key"].read_bytes(), None)
    if not isinstance(root_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the development root key is not an elliptic-curve key")
    if not (paths["key"].is_file() and paths["chain"].is_file() and _lives(paths["chain"], now)):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf(key, root, root_key, now)
        _write(paths["key"], _key_pem(key))
        encoding = serialization.Encoding.PEM
        _write(paths["chain"], leaf.public_bytes(encoding) + root.public_bytes(encoding))
    return load_credential(paths["chain"], paths["key"], paths["root"])


def load_credential(chain: Path, key: Path, anchors: Path) -> StoredCredential:
    """Read a credential from PEM files: chain leaf first, private key, trust anchors."""
    return StoredCredential(
        chain_pem=chain.read_text(encoding="ascii"),
        key_pem=key.read_text(encoding="ascii"),
        anchors_pem=anchors.read_text(encoding="ascii"),
    )


def is_development(chain_pem: str) -> bool:
    """True when any certificate of the chain is one made for development or for somebody's tests."""
    for certificate in x509.load_pem_x509_certificates(chain_pem.encode()):
        for name in (certificate.subject, certificate.issuer):
            words = " ".join(str(part.value) for part in name).lower()
            if "not for delivery" in words or "test" in words.split() or "for testing only" in words:
                return True
    return False


def check_credential(credential: Credential, *, production: bool, now: datetime | None = None) -> None:
    """Refuse a credential that cannot or must not sign: broken PEM, key and leaf that do not match, a leaf out of its
    time, and, in production, a development or test certificate. Raises `InputRefused` with every problem found."""
    now = now or datetime.now(UTC)
    found: list[Problem] = []
    try:
        leaf, *_ = x509.load_pem_x509_certificates(credential.chain_pem.encode())
        key = serialization.load_pem_private_key(credential.key_pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            found.append(Problem("signing.key", "the signing key is not a P-256 key", "configure an ES256 key"))
        elif key.public_key() != leaf.public_key():
            found.append(Problem("signing.mismatch", "key and certificate do not belong together", "configure a pair"))
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            found.append(Problem("signing.expired", "the signing certificate is not valid today", "renew it"))
        if production and is_development(credential.chain_pem):
            found.append(
                Problem(
                    "signing.development",
                    "a development or test certificate must not sign a film for delivery",
                    "configure the studio's own certificate, or use the development profile",
                )
            )
    except (ValueError, TypeError) as error:
        found.append(
            Problem(
                "signing.unreadable",
                f"the signing credential cannot be read ({type(error).__name__})",
                "give PEM files: chain leaf first, unencrypted PKCS#8 key",
            )
        )
    if found:
        raise InputRefused(found)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEVELOPMENT),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _root(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("Development root")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=_ROOT_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey, root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name("Development film signer"))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(min(now + timedelta(days=_LEAF_DAYS), root.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )


def _lives(chain: Path, now: datetime) -> bool:
    try:
        leaf, root, *_ = x509.load_pem_x509_certificates(chain.read_bytes())
        leaf.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return leaf.not_valid_after_utc > now + timedelta(days=_RENEW_DAYS)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
