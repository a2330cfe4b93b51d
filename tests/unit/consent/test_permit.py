"""Permits: what a thief, a forger or a confused step could present, and why it opens nothing."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.permit import AUDIENCE, ISSUER, check_permit, issue_permit
from memorial_tasks.domain.permit import Permit
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.errors import PermitRefused
from memorial_tasks.vault.signing import public_pem

KEY = SigningKey.generate()
NOW = datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=UTC)


def issue(key: SigningKey = KEY, **changes: Any) -> tuple[str, Permit]:
    arguments: dict[str, Any] = {
        "order": "order-1",
        "subject": "sub-1",
        "purpose": Purpose.FAMILY_PRIVATE,
        "modalities": (Modality.FACE,),
        "steps": ("train_face", "animate"),
        "consent_id": "c-1",
        "consent_version": 3,
        "now": NOW,
        "lifetime": timedelta(minutes=10),
    }
    return issue_permit(key, **(arguments | changes))


def check(token: str, **changes: Any) -> Permit:
    arguments: dict[str, Any] = {"order": "order-1", "step": "train_face", "now": NOW + timedelta(minutes=1)}
    return check_permit(token, KEY.public, **(arguments | changes))


def claims_of(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def test_a_live_permit_opens_its_steps() -> None:
    token, permit = issue()
    assert check(token) == permit
    assert check(token, step="animate", modalities=[Modality.FACE], purpose=Purpose.FAMILY_PRIVATE) == permit
    assert check_permit(token, public_pem(KEY.public), order="order-1", step="animate", now=NOW) == permit


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"order": "order-2"}, "another order"),
        ({"step": "train_voice"}, "step"),
        ({"modalities": [Modality.VOICE]}, "voice"),
        ({"purpose": Purpose.COMMERCIAL}, "purpose"),
        ({"now": NOW + timedelta(minutes=10)}, "expired"),
        ({"now": NOW + timedelta(days=300)}, "expired"),
        ({"now": NOW - timedelta(minutes=2)}, "future"),
    ],
)
def test_a_permit_opens_nothing_else(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(PermitRefused, match=why):
        check(issue()[0], **changes)


def test_a_permit_of_another_studio_is_forged() -> None:
    with pytest.raises(PermitRefused):
        check(issue(SigningKey.generate())[0])


def test_an_edited_permit_is_forged() -> None:
    token, _ = issue()
    header, _, signature = token.split(".")
    claims = claims_of(token)
    claims["permit"]["order"] = "order-2"
    edited = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    with pytest.raises(PermitRefused):
        check(f"{header}.{edited}.{signature}", order="order-2")


def test_unsigned_and_symmetric_tokens_are_forged() -> None:
    claims = claims_of(issue()[0])
    unsigned = jwt.encode(claims, None, algorithm="none")
    # The classic confusion: the public key, which everybody has, used as the secret of a MAC.
    body = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    mac = hmac.new(public_pem(KEY.public).encode(), body.encode(), hashlib.sha256).digest()
    confused = f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    for token in (unsigned, confused, "", "a.b.c", "not a token"):
        with pytest.raises(PermitRefused):
            check(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "something-else"},
        {"jti": "other"},
        {"sub": "sub-2"},
        {"exp": 9999999999},
        {"permit": {}},
    ],
)
def test_a_signed_token_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    """Even with the studio's key, for example by another service that signs tokens with it."""
    claims = claims_of(issue()[0]) | {"iss": ISSUER, "aud": AUDIENCE} | changes
    with pytest.raises(PermitRefused):
        check(jwt.encode(claims, KEY.private, algorithm="EdDSA"))


def test_a_permit_lives_briefly() -> None:
    for lifetime in (timedelta(0), timedelta(days=2), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="lives longer"):
            issue(lifetime=lifetime)
    with pytest.raises(ValueError, match="steps"):
        issue(steps=())


def test_no_token_contains_a_name() -> None:
    assert set(claims_of(issue()[0])["permit"]) == set(Permit.model_fields)
