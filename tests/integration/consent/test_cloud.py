"""The same promises with S3 and KMS as with a local folder, against the protocols on loopback (moto)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.consent import acts, registry
from memorial_tasks.consent.erasing import erase_everything, reapply_receipts
from memorial_tasks.consent.events import EventType
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, PermitRefused
from memorial_tasks.production.consents import release_key
from memorial_tasks.production.studio import Who, now
from memorial_tasks.vault.keyring import KeyDestroyed, KmsKeyring
from memorial_tasks.vault.store import EncryptedStore, S3Store

pytestmark = pytest.mark.integration
BUCKET = "memorial-test"


@pytest.fixture
def cloud(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The house with a versioned bucket and a KMS key."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with moto.mock_aws():
        s3, kms = boto3.client("s3"), boto3.client("kms")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        house.studio = replace(
            house.studio,
            store=S3Store(BUCKET, "studio"),
            keyring=KmsKeyring(tmp_path / "kms", key, client=kms),
        )
        house.at = now()
        yield house


def _everything(store: S3Store, prefix: str) -> list[tuple[str, str]]:
    answer = store.client.list_object_versions(Bucket=BUCKET, Prefix=prefix)
    items = (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ()))
    return [(item["Key"], item["VersionId"]) for item in items]


def test_kms_releases_a_key_for_a_live_permit_only(cloud: Any) -> None:
    cloud.enter()
    order, who = cloud.order(), Who("service", "key-service")
    permit, key = release_key(cloud.studio, cloud.permit()[0], order, "train_face", who)
    assert len(key) == 32
    assert permit.order == "order-1"
    used, _ = cloud.permit()
    cloud.happens(EventType.OBJECTED)
    with pytest.raises(PermitRefused, match="frozen"):
        release_key(cloud.studio, used, order, "train_face", who)


def test_kms_is_not_even_asked_once_consent_was_withdrawn(cloud: Any) -> None:
    """Between two steps and during one: the older permit, a new one and the publishing all fail, and nothing reaches
    KMS."""
    asked: list[str] = []
    cloud.studio.keyring.client.meta.events.register("before-call.kms.Decrypt", lambda **_: asked.append("Decrypt"))
    cloud.enter()
    order, who = cloud.order(), Who("service", "key-service")
    first, _ = cloud.permit()
    running, _ = cloud.permit(steps=["train_voice"])
    permit, _ = release_key(cloud.studio, first, order, "train_face", who)
    before = len(asked)
    assert before
    with cloud.tx() as connection:
        acts.withdraw(
            connection, "order-1", cloud.studio.keys, KeyringSealer(cloud.studio.keyring), by="", reason="",
            operator="ann", now=now(),
        )  # fmt: skip
    held = len(asked)  # the withdrawal itself reads the record
    with pytest.raises(PermitRefused, match="revoked"):
        release_key(cloud.studio, running, order, "train_voice", who)
    with pytest.raises(ConsentRefused), cloud.tx() as connection:
        registry.publish_allowed(connection, "order-1", permit.consent_version, now())
    assert len(asked) == held
    assert cloud.audit()[-1].type == "key.refused"


def test_a_wrapped_key_of_one_subject_does_not_open_as_another(cloud: Any, tmp_path: Path) -> None:
    cloud.enter()
    cloud.enter("order-2")
    folder = tmp_path / "kms" / "subjects"
    (folder / "sub-order-2.kms").write_bytes((folder / "sub-order-1.kms").read_bytes())
    with pytest.raises(Exception, match=r"InvalidCiphertext|Ciphertext"):
        cloud.studio.keyring.unwrap("sub-order-2")


def test_erasure_removes_every_version_marker_and_unfinished_upload(cloud: Any, tmp_path: Path) -> None:
    cloud.enter()
    cloud.enter("order-10")  # shares the beginning of its name
    store: S3Store = cloud.studio.store
    source = tmp_path / "film"
    for order in ("order-1", "order-10"):
        vault = EncryptedStore(store, cloud.studio.keyring.unwrap(f"sub-{order}"), tmp_path)
        for content in (b"first", b"second"):
            source.write_bytes(content)
            vault.put(f"vault://orders/{order}/seal/k/film.mp4", source)
            vault.put(f"vault://orders/{order}/train_face/k/model.safetensors", source)
    client, hidden = store.client, "studio/orders/order-1/train_face/k/model.safetensors"
    client.delete_object(Bucket=BUCKET, Key=hidden)  # a delete marker: two versions lie below it
    client.create_multipart_upload(Bucket=BUCKET, Key="studio/orders/order-1/animate/k/portrait.mp4")
    assert len(_everything(store, "studio/orders/order-1/")) == 5
    document, _ = erase_everything(cloud.studio, "order-1", reason="requested")
    assert document["receipt"]["erased"]["vault"] == {"objects": 6}
    assert _everything(store, "studio/orders/order-1/") == []
    assert not client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert len(_everything(store, "studio/orders/order-10/")) == 4, "another order is untouched"
    assert cloud.order().state is OrderState.ERASED
    with pytest.raises(KeyDestroyed):
        cloud.studio.keyring.unwrap("sub-order-1")


def test_a_wrapped_key_from_a_backup_is_destroyed_again(cloud: Any, tmp_path: Path) -> None:
    cloud.enter()
    wrapped = tmp_path / "kms" / "subjects" / "sub-order-1.kms"
    kept = wrapped.read_bytes()
    erase_everything(cloud.studio, "order-1", reason="requested")
    wrapped.with_suffix(".destroyed").unlink()
    wrapped.write_bytes(kept)
    assert len(cloud.studio.keyring.unwrap("sub-order-1")) == 32, "the backup brought it back"
    assert reapply_receipts(cloud.studio) == ["sub-order-1"]
    with pytest.raises(KeyDestroyed):
        cloud.studio.keyring.unwrap("sub-order-1")
