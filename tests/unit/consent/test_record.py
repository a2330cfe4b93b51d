"""The record: canonical, signed, unchangeable, and still provable when its body is gone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorial_tasks.consent.keys import SigningKey
from memorial_tasks.consent.record import (
    ConsentRecord,
    SignedRecord,
    body_bytes,
    canonical,
    evidence_kind,
    parse_body,
    rank_of,
    record_from_order,
    script_digest,
    sign_record,
    skeleton,
    verify_record,
)
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import Relation
from memorial_tasks.errors import IntegrityError

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
KEY = SigningKey.generate()
TRUSTED = {KEY.kid: KEY.public}
PAPERS = {"papers/kinship.pdf": "a" * 64, "papers/death.pdf": "b" * 64}


def order_of(**changes: Any) -> Order:
    document: dict[str, Any] = {
        "order": "test-2026-001",
        "subject": {"name": "陈秀英", "born": "1931-04-02", "died": "2019-11-20"},
        "grantors": [{"name": "林晓", "relation": "daughter", "evidence": list(PAPERS), "contact": "+86 1"}],
        "purpose": "family_private",
        "language": "zh-CN",
        "script": [{"text": "我很好。"}],
        "materials": {"photos": "photos", "voice": "voice"},
    }
    return Order.model_validate(document | changes)


def record_of(**changes: Any) -> ConsentRecord:
    return record_from_order(order_of(**changes), PAPERS, "c" * 64, ["d" * 64], subject_id="sub-1", now=NOW)


def test_a_record_survives_writing_and_reading() -> None:
    record = record_of()
    assert parse_body(body_bytes(record)) == record
    assert verify_record(sign_record(record, KEY), TRUSTED) == record


def test_no_single_byte_of_body_or_skeleton_can_change() -> None:
    signed = sign_record(record_of(), KEY)
    assert signed.body is not None
    for part in ("body", "skeleton"):
        whole: bytes = getattr(signed, part)
        for place in range(len(whole)):
            changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
            forged = SignedRecord(**{**signed.__dict__, part: changed})
            with pytest.raises(IntegrityError):
                verify_record(forged, TRUSTED)


@given(place=st.integers(0, 127), digit=st.sampled_from("0123456789abcdef"))
@settings(max_examples=40, deadline=None)
def test_no_digit_of_the_signature_can_change(place: int, digit: str) -> None:
    signed = sign_record(record_of(), KEY)
    value = signed.signature.value
    if value[place] == digit:
        return
    changed = signed.signature.model_copy(update={"value": value[:place] + digit + value[place + 1 :]})
    with pytest.raises(IntegrityError):
        verify_record(SignedRecord(signed.body, signed.skeleton, changed), TRUSTED)


def test_another_key_is_not_believed() -> None:
    stranger = SigningKey.generate()
    signed = sign_record(record_of(), stranger)
    with pytest.raises(IntegrityError, match="unknown key"):
        verify_record(signed, TRUSTED)
    impostor = signed.signature.model_copy(update={"kid": KEY.kid})
    with pytest.raises(IntegrityError):
        verify_record(SignedRecord(signed.body, signed.skeleton, impostor), TRUSTED)


def test_the_body_of_another_record_does_not_fit_the_skeleton() -> None:
    one, other = sign_record(record_of(), KEY), sign_record(record_of(purpose="film"), KEY)
    with pytest.raises(IntegrityError):
        verify_record(SignedRecord(other.body, one.skeleton, one.signature), TRUSTED)


def test_the_same_content_in_other_bytes_is_refused() -> None:
    signed = sign_record(record_of(), KEY)
    assert signed.body is not None
    pretty = json.dumps(json.loads(signed.body), indent=1, ensure_ascii=False).encode()
    with pytest.raises(IntegrityError):
        verify_record(SignedRecord(pretty, signed.skeleton, signed.signature), TRUSTED)


def test_after_erasure_the_skeleton_still_verifies_and_holds_nothing_personal() -> None:
    record = record_of(co_kin=[{"name": "陈国强", "relation": "son"}])
    signed = sign_record(record, KEY)
    assert verify_record(SignedRecord(None, signed.skeleton, signed.signature), TRUSTED) is None
    bones = signed.skeleton.decode()
    personal = [
        "陈秀英",
        "林晓",
        "陈国强",
        "1931",
        "2019-11-20",
        "+86",
        "a" * 64,
        "b" * 64,
        "c" * 64,
        "d" * 64,
        record.salt,
    ]
    assert [word for word in personal if word in bones] == []
    assert record.grantors[0].party_id not in bones
    assert json.loads(bones)["evidence_kinds"] == ["death", "kinship"]


def test_the_commitment_cannot_be_guessed_from_the_content() -> None:
    assert skeleton(record_of())["commitment"] != skeleton(record_of())["commitment"]


# ISO/IEC TS 27560:2023, the mandatory fields: where each stands in the record, and for events in the history.
MANDATORY = {
    "schema version": "schema_version",
    "record id": "consent_id",
    "pii principal id": "subject_id",
    "privacy notice": "notice.sha256",
    "language": "language",
    "purpose": "scope.purposes",
    "pii type": "items.face",
    "pii controllers": "controller.party_id",
    "party id": "controller.party_id",
    "party address": "controller.address",
    "party name": "controller.name",
    "party contact": "controller.contact",
    "party type": "controller.party_type",
    "party role": "controller.party_role",
    "storage locations": "storage_locations",
    "retention period": "retention_until",
    "jurisdiction": "jurisdictions",
    "recipient third parties": "scope.recipients",
    "withdrawal method": "withdrawal_method",
}


@pytest.mark.parametrize("name", MANDATORY)
def test_mandatory_fields_of_27560_are_there(name: str) -> None:
    value = record_of().model_dump(mode="json")
    for part in MANDATORY[name].split("."):
        value = value[part]
    assert value not in ("", None, [], {})


def test_every_event_has_the_mandatory_fields_of_27560() -> None:
    """Event time, entity, type and validity; the state that follows is derived (`consent.events.derive_state`)."""
    from memorial_tasks.consent.events import ConsentEvent

    assert {"at", "actor", "actor_kind", "type", "valid_from", "valid_until"} <= ConsentEvent.model_fields.keys()


def test_a_record_signed_under_the_first_schema_still_verifies() -> None:
    """Byte for byte what was signed before `dated_later` and the controller's id, type and role existed."""
    old = record_of().model_copy(update={"schema_version": "memorial-consent-1"})
    signed = sign_record(old, KEY)
    assert signed.body is not None
    document = json.loads(signed.body)
    assert "dated_later" not in document
    assert document["controller"].keys() == {"name", "address", "contact"}
    assert verify_record(signed, TRUSTED) == old
    document["dated_later"] = []
    with pytest.raises(IntegrityError):
        verify_record(SignedRecord(canonical(document), signed.skeleton, signed.signature), TRUSTED)


def test_the_record_is_bound_to_papers_script_and_material() -> None:
    record = record_of()
    assert {(paper.kind, paper.sha256) for paper in record.evidence} == {("kinship", "a" * 64), ("death", "b" * 64)}
    assert record.script_sha256 == "c" * 64
    assert record.material_sha256 == ("d" * 64,)
    assert record.valid_until - record.valid_from < timedelta(days=366)
    with pytest.raises(KeyError):
        record_from_order(order_of(), {}, "c" * 64, [], subject_id="sub-1", now=NOW)


def test_a_minor_is_recognised_up_to_the_eighteenth_birthday() -> None:
    def minor(born: str, died: str) -> bool:
        return record_of(subject={"name": "S", "born": born, "died": died}).subject.minor_at_death

    assert minor("2000-05-05", "2018-05-04")
    assert not minor("2000-05-05", "2018-05-05")
    assert minor("2000-02-29", "2018-02-28")
    assert not minor("2000-02-29", "2018-03-01")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("papers/death.pdf", "death"),
        ("papers/死亡证明.jpg", "death"),
        ("papers/户口簿.jpg", "kinship"),
        ("a/b/Kinship-deed.PDF", "kinship"),
        ("papers/第一顺位.pdf", "rank"),
        ("papers/will.pdf", "lifetime_will"),
        ("papers/death/scan1.pdf", "other"),
    ],
)
def test_a_paper_is_known_by_its_file_name(path: str, kind: str) -> None:
    assert evidence_kind(path) == kind


def test_every_relation_has_a_rank() -> None:
    ranks = {relation: rank_of(relation) for relation in Relation}
    first = {relation for relation, rank in ranks.items() if rank == 1}
    assert first == {
        *(Relation.SPOUSE, Relation.SON, Relation.DAUGHTER, Relation.CHILD),
        *(Relation.FATHER, Relation.MOTHER, Relation.PARENT),
    }
    assert ranks[Relation.EXECUTOR] == ranks[Relation.RIGHT_HOLDER] == 0


def test_the_script_digest_sees_every_word_and_every_line_break() -> None:
    digests = {script_digest(lines) for lines in (["ab", "c"], ["a", "bc"], ["abc"], ["ab", "c "], ["c", "ab"])}
    assert len(digests) == 5


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, place))
    else:
        yield path


def test_no_field_of_the_record_can_be_edited() -> None:
    """Whole fields, not only bytes: each leaf replaced by another plausible value of its own."""
    signed = sign_record(record_of(), KEY)
    assert signed.body is not None
    full = json.loads(signed.body)
    for path in _leaves(full):
        edited = json.loads(signed.body)
        place = edited
        for name in path[:-1]:
            place = place[name]
        old = place[path[-1]]
        place[path[-1]] = (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"
        with pytest.raises(IntegrityError):
            verify_record(SignedRecord(canonical(edited), signed.skeleton, signed.signature), TRUSTED)
