"""Permits: short-lived tokens that say what one order may do right now (EdDSA JSON Web Tokens, RFC 7519, RFC 8037).

No database and no key but the public one is needed to check a permit; whether it is still *alive* (no withdrawal, no
objection, no newer consent version, not used before) is what `consent.registry.release_allowed` answers.
"""

import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import ValidationError

from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.errors import PermitRefused

ISSUER, AUDIENCE = "memorial-consent", "memorial-key-service"
LONGEST = timedelta(hours=24)
LEEWAY = timedelta(seconds=30)  # two machines' clocks are never the same
_REMEDY = "ask for a new permit; see `memorial consent show ORDER` when none is given"


def issue_permit(
    key: SigningKey,
    *,
    order: str,
    subject: str,
    purpose: Purpose,
    modalities: Iterable[Modality],
    steps: Iterable[str],
    consent_id: str,
    consent_version: int,
    now: datetime,
    lifetime: timedelta,
) -> tuple[str, Permit]:
    """Signs a permit. Only `consent.registry.grant_permit` calls this, after the decision was `granted`.

    Raises:
        ValueError: the life asked for is not between zero and 24 hours, or no step is named.
    """
    steps, modalities = tuple(steps), tuple(modalities)
    if not timedelta(0) < lifetime <= LONGEST:
        raise ValueError("a permit lives longer than zero and at most 24 hours")
    if not steps:
        raise ValueError("a permit names the steps it unlocks")
    issued = now.astimezone(UTC).replace(microsecond=0)
    permit = Permit(
        permit_id=str(uuid.uuid4()),
        order=order,
        subject=subject,
        purpose=purpose,
        modalities=modalities,
        steps=steps,
        consent_id=consent_id,
        consent_version=consent_version,
        issued_at=issued,
        expires_at=issued + lifetime,
    )
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": permit.permit_id,
        "sub": subject,
        "iat": int(permit.issued_at.timestamp()),
        "exp": int(permit.expires_at.timestamp()),
        "permit": permit.model_dump(mode="json"),
    }
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid}), permit


def read_permit(token: str, public_key: Ed25519PublicKey | str) -> Permit:
    """The permit in a token whose signature, issuer and audience are right. Times are not looked at.

    Args:
        public_key: the studio's permit key, as an object or PEM text.

    Raises:
        PermitRefused: the token is no permit of this studio.
    """
    key = load_pem_public_key(public_key.encode()) if isinstance(public_key, str) else public_key
    if not isinstance(key, Ed25519PublicKey):
        raise PermitRefused("the key to check permits with is not an Ed25519 key", remedy="run `memorial doctor`")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],  # a list of one: neither "none" nor a MAC under the public key is ever tried
            audience=AUDIENCE,
            issuer=ISSUER,
            # The times are checked below against the clock the caller trusts, not the one of this machine.
            options={"verify_exp": False, "verify_iat": False, "require": ["iss", "aud", "jti", "sub", "iat", "exp"]},
        )
        permit = Permit.model_validate(claims["permit"])
        same = (
            claims["jti"] == permit.permit_id
            and claims["sub"] == permit.subject
            and claims["iat"] == int(permit.issued_at.timestamp())
            and claims["exp"] == int(permit.expires_at.timestamp())
        )
    except (jwt.PyJWTError, ValidationError, KeyError, TypeError, ValueError):
        raise PermitRefused("the permit is missing, damaged or not from this studio", remedy=_REMEDY) from None
    if not same:
        raise PermitRefused("the permit contradicts itself", remedy=_REMEDY)
    return permit


def check_permit(
    token: str,
    public_key: Ed25519PublicKey | str,
    *,
    order: str,
    step: str,
    now: datetime,
    modalities: Collection[Modality] = (),
    purpose: Purpose | None = None,
) -> Permit:
    """The permit in `token`, if it allows `step` of `order` at `now`.

    Args:
        now: time zone aware; the caller's trusted time.
        modalities: what of the person the step remakes; each must be covered.
        purpose: what the result is for, when the caller knows it.

    Raises:
        PermitRefused: forged, of another order, step, purpose or modality, expired, or from the future.
    """
    permit = read_permit(token, public_key)
    if permit.order != order:
        raise PermitRefused("the permit belongs to another order", where=step, remedy=_REMEDY)
    if step not in permit.steps:
        raise PermitRefused("the permit does not cover this step", where=step, remedy=_REMEDY)
    missing = set(modalities) - set(permit.modalities)
    if missing:
        words = ", ".join(sorted(missing))
        raise PermitRefused(f"the permit does not cover: {words}", where=step, remedy="ask the grantor for consent")
    if purpose is not None and permit.purpose is not purpose:
        raise PermitRefused("the permit is for another purpose", where=step, remedy=_REMEDY)
    check_times(permit, now, step)
    return permit


def check_times(permit: Permit, now: datetime, step: str = "") -> None:
    """Raises `PermitRefused` unless the permit is in its life at `now`."""
    if permit.expires_at - permit.issued_at > LONGEST:
        raise PermitRefused("the permit was made to live too long", where=step, remedy=_REMEDY)
    if now >= permit.expires_at:
        raise PermitRefused("the permit has expired", where=step, remedy=_REMEDY)
    if now < permit.issued_at - LEEWAY:
        raise PermitRefused(
            "the permit was issued in the future", where=step, remedy="set this machine's clock, then try again"
        )
