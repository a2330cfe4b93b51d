import json
from datetime import UTC, datetime

import pytest

from memorial_tasks.provenance import authority, manifest

CLAIM = manifest.Claim("MS-1", "consent-7", "family_private", "audit-3", datetime(2026, 11, 20, tzinfo=UTC))


@pytest.fixture(scope="module")
def credential(tmp_path_factory):
    return authority.create_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def signed(tiny_mp4, tmp_path, credential):
    target = tmp_path / "signed.mp4"
    manifest.sign(tiny_mp4(), target, CLAIM, credential)
    return target


def test_read_back_as_trusted_with_everything_it_must_say(signed, credential):
    reading = manifest.read(signed, credential.anchors_pem)
    assert reading.state == "Trusted"
    assert reading.failures == ()
    assert reading.source_type.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert reading.mining_refused
    assert reading.manifests == 1
    assert reading.consent == {
        "content_id": "MS-1",
        "consent_ref": "consent-7",
        "purpose": "family_private",
        "audit_ref": "audit-3",
    }


def test_without_our_anchors_it_is_valid_but_not_trusted(signed, tmp_path):
    stranger = authority.create_authority(tmp_path / "stranger")
    for anchors in ("", stranger.anchors_pem):
        reading = manifest.read(signed, anchors)
        assert reading.state == "Valid"
        assert reading.failures == ("signingCredential.untrusted",)


def test_every_changed_byte_of_picture_or_claim_is_noticed(signed, credential):
    data = bytearray(signed.read_bytes())
    picture, claim = data.index(b"mdat") + 40, data.index(b"family_private")
    for at in (picture, len(data) - 3, claim, data.index(b"mvhd") + 12):
        broken = data.copy()
        broken[at] ^= 1
        signed.write_bytes(broken)
        assert manifest.read(signed, credential.anchors_pem).state in ("Invalid", "none"), at


def test_no_manifest_and_no_film_are_answers_not_errors(tiny_mp4, tmp_path):
    assert manifest.read(tiny_mp4()).state == "none"
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert manifest.read(empty).state == "none"
    assert manifest.read(tmp_path / "absent.mp4").state == "none"


def test_it_carries_no_thumbnail_no_file_name_and_one_inception(signed):
    import c2pa

    with signed.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        document = json.loads(reader.json())
    active = document["manifests"][document["active_manifest"]]
    assert "thumbnail" not in active
    assert "ingredients" not in active or not active["ingredients"]
    assert "tiny" not in json.dumps(document)
    actions = next(item for item in active["assertions"] if item["label"] == "c2pa.actions.v2")["data"]
    assert actions["actions"][0]["action"] == "c2pa.created"
    assert actions["allActionsIncluded"] is True
    assert sum(action["action"] in ("c2pa.created", "c2pa.opened") for action in actions["actions"]) == 1
    assert active["claim_generator_info"][0]["specVersion"]
    labels = {item["label"] for item in active["assertions"]}
    assert labels == {"c2pa.hash.bmff.v3", "c2pa.actions.v2", "cawg.training-mining", "org.memorialstudio.consent"}
