"""An entry's bytes are canonical and come back; personal data and unsafe numbers do not get in."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from memorial_tasks.audit.event import Actor, AuditEvent, RunRef, commitment, format_time, parse_body

ACTOR = Actor(kind="service", id="worker")


def event(**changes: object) -> AuditEvent:
    return AuditEvent(**{"type": "step.finished", "actor": ACTOR, **changes})


def test_the_bytes_are_one_canonical_line_with_the_time_in_front() -> None:
    body = event(order="demo-1", at=datetime(2026, 11, 21, 9, 30, tzinfo=timezone(timedelta(hours=8)))).body()
    assert body == (
        b'{"actor":{"id":"worker","kind":"service"},"at":"2026-11-21T01:30:00.000Z","order":"demo-1",'
        b'"type":"step.finished","v":1}'
    )


words = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:/+-]{0,20}\Z")
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.:/-]{0,20}\Z")
values = st.one_of(st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.floats(-(2**53) + 1, 2**53 - 1), words)


@given(
    st.dictionaries(names, values, max_size=5),
    st.dictionaries(names, st.from_regex(r"\A[0-9a-f]{64}\Z"), max_size=5),
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_what_goes_in_comes_out(data: dict[str, object], refs: dict[str, str], at: datetime) -> None:
    written = event(data=data, refs=refs, at=at, run=RunRef(dag_id="d", run_id="r", task_id="t", try_=2))
    assert parse_body(written.body()) == written
    assert rfc8785.dumps(json.loads(written.body())) == written.body()
    assert b"\n" not in written.body()


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "王秀英"},
        {"reason_code": "because she said so"},
        {"actor": {"kind": "person", "id": "daughter@example.org"}},
        {"actor": {"kind": "stranger", "id": "x"}},
        {"data": {"note": "her words"}},
        {"data": {"note": "x" * 129}},
        {"data": {"a name": 1}},
        {"data": {"nested": {"a": 1}}},
        {"refs": {"film": "not a digest"}},
        {"refs": {"film": "A" * 64}},
        {"type": "Free text"},
        {"type": "single"},
        {"at": datetime(2026, 1, 1)},
        {"unknown": 1},
    ],
)
def test_what_might_be_personal_or_unclear_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        event(**changes)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**53, -(2**60)])
def test_numbers_that_json_cannot_hold_are_refused(number: float) -> None:
    with pytest.raises(ValidationError):
        event(data={"n": number})


@given(st.dictionaries(names, st.one_of(st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), words), max_size=6))
def test_the_quick_way_writes_what_rfc_8785_asks_for(data: dict[str, object]) -> None:
    written = event(data=data, order="o-1", refs={"a/b": "ab" * 32, "a.b": "cd" * 32})
    assert written.body() == rfc8785.dumps(written.document())


def test_times_sort_as_text() -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=7 * n) for n in range(1000)]
    assert [format_time(at) for at in times] == sorted(format_time(at) for at in times)
    assert {len(format_time(at)) for at in times} == {24}


def test_a_commitment_needs_its_key() -> None:
    key = bytes(range(32))
    assert commitment(key, b"payload") == commitment(key, b"payload")
    assert commitment(key, b"payload") != commitment(bytes(32), b"payload")
    assert commitment(key, b"payload") != commitment(key, b"payloae")
    with pytest.raises(ValueError, match="32 bytes"):
        commitment(b"short", b"payload")
