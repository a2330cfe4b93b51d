"""Delivery to a bucket: S3 and KMS on loopback (moto). moto does not check signatures, expiry or checksums sent; what
is proved here is what we ask for, what we read back, and what is left after every accident."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.delivery import bucket as bucket_module
from memorial_tasks.delivery.bucket import BucketTarget
from memorial_tasks.delivery.target import Item
from memorial_tasks.errors import ConsentRefused, IntegrityError, MemorialError, Unavailable
from memorial_tasks.production import deliveries
from memorial_tasks.production.deliveries import deliver, withdraw_deliveries
from memorial_tasks.production.studio import Who
from memorial_tasks.vault.store import EncryptedStore, S3Store

pytestmark = pytest.mark.integration
WHO = Who("person", "tester")
BUCKET = "memorial-films"
DYING = str(Path(__file__).parent / "dying.py")


@pytest.fixture
def films(bucket_films: Any) -> Any:
    return bucket_films


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least S3 allows, so that a small film has several parts."""
    monkeypatch.setattr(bucket_module, "PART", 5 << 20)


def versions(cloud: Any, order: str) -> list[str]:
    """Every version of every object of an order, delete markers too."""
    found = cloud.s3.list_object_versions(Bucket=BUCKET, Prefix=f"studio/orders/{order}/")
    return [item["Key"].rpartition(order)[2] for item in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))]


def uploads(cloud: Any, order: str) -> list[Any]:
    found = cloud.s3.list_multipart_uploads(Bucket=BUCKET, Prefix=f"studio/orders/{order}/")
    return list(found.get("Uploads", ()))


def key_of(films: Any, order: str, name: str = "film.mp4") -> str:
    digest = hashlib.sha256(films.made[order]).hexdigest()
    return f"studio/orders/{order}/{digest[:16]}/{name}"


def test_the_film_arrives_whole_encrypted_by_kms_and_checked(films: Any, cloud: Any) -> None:
    order = films.order(film=b"0123456789abcdef" * 700_000)  # 11.2 MB: three parts
    place = deliver(films.studio, order, WHO)
    assert place == f"s3://{BUCKET}/{key_of(films, order)}" == films.row(order).film_uri
    head = cloud.s3.head_object(Bucket=BUCKET, Key=key_of(films, order), ChecksumMode="ENABLED")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == cloud.kms_key
    assert head["ChecksumSHA256"]
    assert head["Metadata"]["sha256"] == hashlib.sha256(films.made[order]).hexdigest()
    assert "ObjectLockMode" not in head
    body = cloud.s3.get_object(Bucket=BUCKET, Key=key_of(films, order))["Body"].read()
    assert body == films.made[order]
    assert cloud.s3.get_object(Bucket=BUCKET, Key=key_of(films, order, "page/index.html"))["Body"].read()
    assert uploads(cloud, order) == []
    assert not films.studio.settings.deliveries_dir.exists(), "no plaintext on this machine's disk"
    before = versions(cloud, order)
    assert deliver(films.studio, order, WHO) == place
    assert versions(cloud, order) == before, "nothing is sent twice"
    assert [entry.type for entry in films.audit(order, "film.")] == ["film.delivered"]


@pytest.mark.parametrize("moment", ["half", "staged", "recorded", "committed"])
def test_a_process_killed_at_any_moment_has_delivered_all_or_nothing(films: Any, cloud: Any, moment: str) -> None:
    order = films.order()
    done = subprocess.run([sys.executable, DYING, order, moment], env=films.environment, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (films.state(order) == "delivered") == (moment == "committed")
    assert bool(uploads(cloud, order)) == (moment == "half"), "parts of a killed upload are no object"
    there = versions(cloud, order)
    assert bool(there) == (moment != "half")
    deliver(films.studio, order, WHO)
    assert len(versions(cloud, order)) == 3, "film and page, each in one version"
    assert uploads(cloud, order) == []
    body = cloud.s3.get_object(Bucket=BUCKET, Key=key_of(films, order))["Body"].read()
    assert body == films.made[order]
    assert [entry.type for entry in films.audit(order, "film.")] == ["film.delivered"]


def test_consent_that_ends_while_the_film_is_uploaded_leaves_no_object(
    films: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = films.order()
    real = deliveries.publish_allowed

    def first(connection: Any, *rest: Any) -> None:
        connection.rollback()
        films.withdraw(order)
        real(connection, *rest)

    monkeypatch.setattr(deliveries, "publish_allowed", first)
    with pytest.raises(ConsentRefused):
        deliver(films.studio, order, WHO)
    assert versions(cloud, order) == []
    assert uploads(cloud, order) == []


def test_an_object_changed_behind_our_back_is_replaced(films: Any, cloud: Any) -> None:
    order = films.delivered()
    cloud.s3.put_object(
        Bucket=BUCKET, Key=key_of(films, order), Body=bytes(len(films.made[order])), ServerSideEncryption="aws:kms",
        Metadata={"sha256": hashlib.sha256(films.made[order]).hexdigest()}, ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    deliver(films.studio, order, WHO)
    assert cloud.s3.get_object(Bucket=BUCKET, Key=key_of(films, order))["Body"].read() == films.made[order]


def test_a_bucket_that_tells_no_checksum_is_read_back(films: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some S3-compatible stores keep none; dropping it from the answers is the only way to have one here."""
    target = deliveries.target_of(films.studio.settings)
    assert isinstance(target, BucketTarget)
    real = target._head
    monkeypatch.setattr(
        target, "_head", lambda key: {k: v for k, v in (real(key) or {}).items() if k != "ChecksumSHA256"} or None
    )
    content = b"film" * 1000
    item = Item("film.mp4", len(content), hashlib.sha256(content).hexdigest(), lambda: iter([content]))
    with target.stage("read-back", "a" * 64, [item]) as staged:
        assert len(staged.uploaded) == 1
    cloud.s3.put_object(
        Bucket=BUCKET, Key=target.key("read-back", "a" * 64, "film.mp4"), Body=content[::-1],
        ServerSideEncryption="aws:kms", Metadata={"sha256": item.sha256},
    )  # fmt: skip
    with target.stage("read-back", "a" * 64, [item]) as staged:
        assert len(staged.uploaded) == 1, "other bytes under the same name do not pass for ours"


def test_what_is_not_the_approved_film_never_becomes_an_object(films: Any, cloud: Any) -> None:
    target = deliveries.target_of(films.studio.settings)
    content = bytes(11 << 20)
    item = Item("film.mp4", len(content), "0" * 64, lambda: iter([content]))
    with pytest.raises(IntegrityError), target.stage("wrong-bytes", "b" * 64, [item]):
        pass
    assert versions(cloud, "wrong-bytes") == []
    assert uploads(cloud, "wrong-bytes") == []


def test_taking_back_kills_addresses_already_given_out_and_erasing_every_version(films: Any, cloud: Any) -> None:
    order, other = films.delivered(), films.delivered()
    target = deliveries.target_of(films.studio.settings)
    assert isinstance(target, BucketTarget)
    import httpx

    address = target.address(order, hashlib.sha256(films.made[order]).hexdigest(), "film.mp4", "film.mp4")
    assert httpx.get(address).content == films.made[order]
    done = withdraw_deliveries(films.studio, order, WHO, erase=False)
    assert done == {"deliveries": 1, "links": 0, "objects": 3}
    assert httpx.get(address).status_code in {403, 404}  # 403 where the signer may not list the bucket
    assert withdraw_deliveries(films.studio, order, WHO, erase=False)["objects"] == 0
    cloud.s3.create_multipart_upload(Bucket=BUCKET, Key=key_of(films, order, "left.mp4"))
    assert withdraw_deliveries(films.studio, order, WHO, erase=True)["objects"] == 7  # three films, markers, an upload
    assert versions(cloud, order) == []
    assert uploads(cloud, order) == []
    assert withdraw_deliveries(films.studio, order, WHO, erase=True)["objects"] == 0
    assert len(versions(cloud, other)) == 3, "another order is untouched"


def test_a_bucket_without_versions_or_with_a_default_retention_is_refused(
    films: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = cloud.s3.create_bucket
    where = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
    make(Bucket="no-versions", **where)
    make(Bucket="locked", ObjectLockEnabledForBucket=True, **where)
    cloud.s3.put_bucket_versioning(Bucket="locked", VersioningConfiguration={"Status": "Enabled"})
    BucketTarget("locked", endpoint=cloud.endpoint).check()  # the ability alone locks nothing
    cloud.s3.put_object_lock_configuration(
        Bucket="locked",
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
        },
    )
    with pytest.raises(MemorialError, match="keeps no versions"):
        BucketTarget("no-versions", endpoint=cloud.endpoint).check()
    with pytest.raises(MemorialError, match="nothing could be erased"):
        BucketTarget("locked", endpoint=cloud.endpoint).check()
    with pytest.raises(MemorialError, match="refuses"):
        BucketTarget("no-such-bucket-here", endpoint=cloud.endpoint).check()
    order = films.order()
    monkeypatch.setattr(deliveries, "target_of", lambda _: BucketTarget("no-versions", endpoint=cloud.endpoint))
    with pytest.raises(MemorialError, match="keeps no versions"):
        deliver(films.studio, order, WHO)
    assert films.state(order) == "in_review"


def test_without_a_key_of_its_own_the_bucket_must_have_one(cloud: Any) -> None:
    content = b"film" * 1000
    item = Item("film.mp4", len(content), hashlib.sha256(content).hexdigest(), lambda: iter([content]))
    target = BucketTarget(f"{BUCKET}/studio", endpoint=cloud.endpoint)
    with pytest.raises(MemorialError, match="does not encrypt"), target.stage("no-key", "d" * 64, [item]):
        pass
    assert versions(cloud, "no-key") == []
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": cloud.kms_key}}
    cloud.s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    try:
        with target.stage("no-key", "d" * 64, [item]) as staged:
            assert len(staged.uploaded) == 1
        head = cloud.s3.head_object(Bucket=BUCKET, Key=target.key("no-key", "d" * 64, "film.mp4"))
        assert head["SSEKMSKeyId"] == cloud.kms_key
    finally:
        cloud.s3.delete_bucket_encryption(Bucket=BUCKET)


def test_a_bucket_that_is_away_is_worth_another_try(films: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order = films.order()
    away = BucketTarget(BUCKET, endpoint="http://127.0.0.1:9")
    monkeypatch.setattr(deliveries, "target_of", lambda _: away)
    with pytest.raises(Unavailable):
        deliver(films.studio, order, WHO)
    assert films.state(order) == "in_review"


def test_the_signer_may_read_one_object_for_as_short_as_it_goes(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto grants whatever is asked; what is asked is looked at on its way out."""
    import json

    import botocore.client

    asked: list[dict[str, Any]] = []
    real = botocore.client.BaseClient._make_api_call

    def watch(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "AssumeRole":
            asked.append(parameters)
        return real(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", watch)
    target = BucketTarget(
        BUCKET, endpoint=cloud.endpoint, kms_key=cloud.kms_key, role="arn:aws:iam::123456789012:role/link-gate"
    )
    address = target.address("order-1", "c" * 64, "film.mp4", "memorial-film.mp4")
    assert "X-Amz-Expires=300" in address
    assert "X-Amz-Security-Token" in address
    assert "testing" not in address, "not signed by the studio's own key"
    statements = json.loads(asked[0]["Policy"])["Statement"]
    assert statements[0] == {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/orders/order-1/{'c' * 16}/film.mp4",
    }
    assert [one["Action"] for one in statements] == ["s3:GetObject", "kms:Decrypt"]
    assert asked[0]["DurationSeconds"] == 900


def test_a_vault_in_a_bucket_is_read_as_a_stream(films: Any, cloud: Any, tmp_path: Path) -> None:
    source, content, key = tmp_path / "film", os.urandom(3_500_000), b"k" * 32
    source.write_bytes(content)
    vault = EncryptedStore(S3Store(BUCKET, "vault", endpoint=cloud.endpoint), key, tmp_path)
    vault.put("vault://orders/o-1/film.mp4", source)
    pieces = list(vault.chunks("vault://orders/o-1/film.mp4"))
    assert b"".join(pieces) == content
    assert max(len(piece) for piece in pieces) == 1 << 20
    with pytest.raises(MemorialError, match="not in the vault"):
        next(vault.chunks("vault://orders/o-1/nothing.mp4"))
