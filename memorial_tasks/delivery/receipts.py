"""Signed receipts of what was handed out. They hold digests and pseudonyms: show them to anybody."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from memorial_tasks.audit.event import format_time
from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.record import Signature, canonical, sign_bytes, verify_bytes

SCHEMA = "memorial-delivery-1"


@dataclass(frozen=True)
class Receipt:
    """One hand-over, signed by the gate or, for an archive, by the registrar: Ed25519 over the receipt's RFC 8785
    bytes."""

    receipt_id: str
    body: bytes
    signature: Signature

    @property
    def sha256(self) -> str:
        """Of the signed bytes: the audit entry of the hand-over names it, so that the log alone proves a receipt."""
        return hashlib.sha256(self.body).hexdigest()

    def document(self) -> dict[str, Any]:
        """As one JSON document, the form it is handed out in."""
        return {"receipt": json.loads(self.body), "signature": self.signature.model_dump()}


def make_receipt(
    key: SigningKey,
    *,
    kind: str,
    order_id: str,
    film_sha256: str,
    recipient_ref: str,
    at: datetime,
    through: str,
    consent_id: str,
    consent_version: int,
    **more: str | int,
) -> Receipt:
    """A receipt of kind ``download`` (with `link`, `number`, `of`) or ``archive`` (with `archive_sha256`)."""
    receipt_id = str(uuid.uuid4())
    body = {
        "schema": SCHEMA,
        "receipt_id": receipt_id,
        "kind": kind,
        "order": order_id,
        "film_sha256": film_sha256,
        "recipient": recipient_ref,
        "at": format_time(at),
        "through": through,
        "consent_id": consent_id,
        "consent_version": consent_version,
        "label": "ai-generated",
        **more,
    }
    payload = canonical(body)
    return Receipt(receipt_id, payload, sign_bytes(payload, key))


def verify_receipt(document: Mapping[str, Any], trusted: Mapping[str, Ed25519PublicKey]) -> dict[str, Any]:
    """The receipt inside a document, when a trusted key signed exactly this. Raises `IntegrityError`."""
    body: dict[str, Any] = document["receipt"]
    verify_bytes(canonical(body), Signature.model_validate(document["signature"]), trusted, "the delivery receipt")
    return body
