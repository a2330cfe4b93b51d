"""One audit entry: what happened, to which order, by whom, on which bytes. Never a name, a sentence or an address.

The log is kept for ever and shown to outsiders, so personal data must not get in even by mistake: every string
in an entry has to look like an identifier, a digest or a short machine word. What a person wrote or is called
goes into the vault under the subject's key; the entry holds a keyed commitment to it (`commitment`), which turns
into noise once that key is destroyed, while the tree above it stays valid.
"""

import hashlib
import hmac
import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any

import rfc8785
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, field_serializer, field_validator

from memorial_tasks.domain.order import Record

VERSION = 1

# Starts like a word and holds no space and no @: neither a sentence, nor an address, nor a family's file name.
_WORD = r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$"
_KEY = r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,95}$"
_TYPE = r"^[a-z0-9_]+(\.[a-z0-9_]+)+$"

Word = Annotated[str, StringConstraints(pattern=_WORD)]
Key = Annotated[str, StringConstraints(pattern=_KEY)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Value = bool | int | float | Word


class Actor(Record):
    """Who did it: `kind` is ``person``, ``service``, ``family`` or ``auditor``; `id` an account or service name."""

    kind: Annotated[str, StringConstraints(pattern=r"^(person|service|family|auditor)$")]
    id: Word


class RunRef(Record):
    """The Airflow task in which it happened."""

    dag_id: Word
    run_id: Word
    task_id: Word
    try_: int = Field(default=1, alias="try", ge=0)

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AuditEvent(Record):
    """One entry. Times are UTC; numbers beyond 2**53 are refused (RFC 8785), write them as words.

    Common types: ``order.submitted``, ``evidence.approved``, ``consent.given``, ``consent.decided``,
    ``permit.issued``, ``key.released``, ``gate.passed``, ``gate.failed``, ``step.finished``, ``step.failed``,
    ``review.decided``, ``film.delivered``, ``film.downloaded``, ``link.revoked``, ``subject.erased``,
    ``settings.changed``, ``checkpoint.anchored``, ``anchor.missed``.
    """

    v: int = VERSION
    type: Annotated[str, StringConstraints(pattern=_TYPE, max_length=64)]
    actor: Actor
    at: AwareDatetime = Field(default_factory=lambda: _to_milliseconds(datetime.now(UTC)))
    order: Word | None = None
    subject: Word | None = None  # the pseudonym
    run: RunRef | None = None
    refs: dict[Key, Digest] = Field(default_factory=dict, max_length=512)  # what it was done with: name -> sha256
    consent_id: Word | None = None
    decision: Word | None = None
    reason_code: Word | None = None
    data: dict[Key, Value] = Field(default_factory=dict, max_length=64)

    @field_validator("at")
    @classmethod
    def _coarse(cls, at: datetime) -> datetime:
        return _to_milliseconds(at)

    @field_serializer("at")
    def _at(self, at: datetime) -> str:
        return format_time(at)

    @field_validator("data")
    @classmethod
    def _safe_numbers(cls, data: dict[str, Value]) -> dict[str, Value]:
        for name, value in data.items():
            if isinstance(value, (int, float)) and abs(value) > 2**53 - 1:  # 2.0**53 would come back as an int
                raise ValueError(f"{name} is too large for a JSON number: write it as a word")
            if isinstance(value, float) and math.isnan(value):
                raise ValueError(f"{name} is not a number")
        return data

    def document(self) -> dict[str, Any]:
        """The entry as a JSON object, without empty fields."""
        full = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: value for name, value in full.items() if value != {}}

    def body(self) -> bytes:
        """The bytes that are hashed and stored: RFC 8785, one line."""
        document = self.document()
        if any(isinstance(value, float) for value in self.data.values()):
            return rfc8785.dumps(document)  # JSON libraries differ in how they write fractions
        return _canonical(document).encode()


# For words, integers and truth values, in keys and strings of plain ASCII as all entries have, sorted compact JSON
# already is what RFC 8785 asks for; Python's own encoder writes it seven times as quickly.
_canonical = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")).encode


def _to_milliseconds(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, always 24 characters: entries sort by it as text."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def parse_body(body: bytes) -> AuditEvent:
    """The entry in `body`; a ``ValueError`` when it is none."""
    return AuditEvent.model_validate_json(body)


def commitment(key: bytes, payload: bytes) -> str:
    """HMAC-SHA256 of `payload` under the subject's `key` (32 bytes), for `refs`. Whoever holds the key and the
    payload can show what was meant; once the key is destroyed nobody can, not even by guessing the payload."""
    if len(key) < 32:
        raise ValueError("a commitment needs a key of at least 32 bytes")
    return hmac.new(key, b"memorial/audit-commitment/1\0" + payload, hashlib.sha256).hexdigest()
