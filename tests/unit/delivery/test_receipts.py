"""Receipts of what was handed out."""

import json
from datetime import UTC, datetime

import pytest

from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.delivery.receipts import make_receipt, verify_receipt
from memorial_tasks.errors import IntegrityError

KEY = SigningKey.generate()


def made() -> dict[str, object]:
    receipt = make_receipt(
        KEY, kind="download", order_id="order-1", film_sha256="f" * 64, recipient_ref="a" * 64,
        at=datetime(2026, 11, 21, tzinfo=UTC), through="s3", consent_id="c-1", consent_version=3, link="lnk-1",
        number=1, of=2,
    )  # fmt: skip
    return json.loads(json.dumps(receipt.document()))  # as it comes back from a file


def test_a_receipt_verifies_and_says_what_was_handed_out() -> None:
    body = verify_receipt(made(), {KEY.kid: KEY.public})
    assert (body["kind"], body["film_sha256"], body["number"], body["of"]) == ("download", "f" * 64, 1, 2)
    assert body["label"] == "ai-generated"


def test_a_changed_receipt_or_a_strangers_key_is_noticed() -> None:
    document = made()
    document["receipt"]["number"] = 2  # type: ignore[index]
    with pytest.raises(IntegrityError, match="changed"):
        verify_receipt(document, {KEY.kid: KEY.public})
    with pytest.raises(IntegrityError, match="unknown key"):
        verify_receipt(made(), {})
