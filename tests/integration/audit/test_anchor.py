"""Anchors: a folder, a locked bucket (moto speaks the S3 protocol), and a time-stamp authority of our own."""

import datetime as dt
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from memorial_tasks.audit.anchor import BucketAnchor, DirectoryAnchor, TimestampAnchor, anchor_pending, verify_timestamp
from memorial_tasks.audit.bundle import export_bundle, verify_bundle
from memorial_tasks.audit.service import AuditRoom, open_room
from memorial_tasks.database.connection import AUDITOR, execute, one, rows, transaction
from memorial_tasks.errors import IntegrityError, Unavailable
from tests.integration.audit.conftest import SIZES, superuser, write

pytestmark = pytest.mark.integration


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # what an earlier test stored would still be there
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="worm", ObjectLockEnabledForBucket=True)
    client.create_bucket(Bucket="plain")
    yield client
    client.close()
    server.stop()


def test_the_folder_holds_everything_an_auditor_needs(room: AuditRoom) -> None:
    assert [int(path.name[:12]) for path in sorted(room.folder.folder.glob("*.note"))] == list(SIZES)
    assert len(room.folder.leaves(0, 700) or b"") == 700 * 32
    assert len(room.folder.leaves(200, 600) or b"") == 400 * 32
    assert room.folder.leaves(600, 701) is None
    assert all(path.stat().st_mode & 0o222 == 0 for path in room.folder.folder.iterdir())


def test_a_lost_folder_is_noticed_as_unconfirmed_and_a_new_one_catches_up(room: AuditRoom, tmp_path: Path) -> None:
    other = DirectoryAnchor(tmp_path / "usb")
    assert anchor_pending(room.url, room.keys.public, [other]).put == {other.target: 3}
    assert anchor_pending(room.url, room.keys.public, [other]).put == {other.target: 0}
    assert other.read() == room.folder.read()


def test_another_checkpoint_of_the_same_size_is_refused(room: AuditRoom) -> None:
    path = room.folder.folder / f"{700:012d}.note"
    path.chmod(0o644)
    path.write_text("something else")
    with superuser(room.url) as connection:
        execute(connection, "DELETE FROM audit.anchor")
    with pytest.raises(IntegrityError, match="holds something else"):
        anchor_pending(room.url, room.keys.public, [room.folder])


def test_a_locked_bucket_keeps_checkpoints_against_everybody(room: AuditRoom, bucket: Any) -> None:
    from botocore.exceptions import ClientError

    anchor = BucketAnchor(bucket, "worm")
    assert anchor_pending(room.url, room.keys.public, [anchor]).put == {anchor.target: 3}
    assert anchor.read() == room.folder.read()
    assert anchor.leaves(100, 600) == room.folder.leaves(100, 600)
    key = f"audit/{520:012d}.note"
    version = bucket.list_object_versions(Bucket="worm", Prefix=key)["Versions"][0]["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.delete_object(Bucket="worm", Key=key, VersionId=version)
    # a versioned bucket accepts a second write and a delete marker: the first version still counts
    bucket.put_object(Bucket="worm", Key=key, Body=b"forged")
    bucket.delete_object(Bucket="worm", Key=f"audit/{250:012d}.note")
    assert anchor.read() == room.folder.read()


def test_nobody_shortens_the_lock(room: AuditRoom, bucket: Any) -> None:
    """What moto can show of compliance mode: the lock is asked for and stands, and deleting a locked version fails,
    with the bypass of governance mode and in bulk too. That even the account's root cannot is S3's own promise."""
    from botocore.exceptions import ClientError

    anchor = BucketAnchor(bucket, "worm")
    anchor_pending(room.url, room.keys.public, [anchor])
    where = {"Bucket": "worm", "Key": f"audit/{520:012d}.note"}
    version = bucket.list_object_versions(Bucket="worm", Prefix=where["Key"])["Versions"][0]["VersionId"]
    kept = bucket.head_object(**where, VersionId=version)
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert kept["ObjectLockRetainUntilDate"] > dt.datetime.now(dt.UTC) + dt.timedelta(days=1000)
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.delete_object(**where, VersionId=version, BypassGovernanceRetention=True)
    many = bucket.delete_objects(Bucket="worm", Delete={"Objects": [{"Key": where["Key"], "VersionId": version}]})
    assert [error["Code"] for error in many.get("Errors", [])] == ["AccessDenied"]
    assert anchor.read() == room.folder.read()


def test_a_fork_meets_the_bucket(room: AuditRoom, bucket: Any) -> None:
    anchor = BucketAnchor(bucket, "worm")
    bucket.put_object(Bucket="worm", Key=f"audit/{250:012d}.note", Body=b"another history")
    with pytest.raises(IntegrityError, match="holds something else"):
        anchor_pending(room.url, room.keys.public, [anchor])


def test_a_bucket_without_lock_is_no_anchor_and_the_miss_is_in_the_log(room: AuditRoom, bucket: Any) -> None:
    anchor = BucketAnchor(bucket, "plain")
    result = anchor_pending(room.url, room.keys.public, [anchor])
    assert result.put == {}
    assert "bucket" in result.missed[anchor.target] or "locked" in result.missed[anchor.target]
    room.checkpoint()
    assert [entry["data"] for entry in room.entries(kind="anchor.missed")] == [{"anchor": "s3"}]


def test_the_room_uses_the_configured_bucket(room: AuditRoom, bucket: Any, tmp_path: Path) -> None:
    endpoint = bucket.meta.endpoint_url
    with_bucket = open_room(
        room.url, tmp_path / "keyring", tmp_path / "audit", bucket="s3://worm/studio/audit", s3_endpoint=endpoint
    )
    _, anchored = with_bucket.checkpoint()
    assert anchored.put["s3:worm/studio/audit/"] == 3
    shutil.rmtree(room.folder.folder)  # the folder is lost; the bucket still confirms
    assert with_bucket.verify().anchored == 700


# --- RFC 3161 ---------------------------------------------------------------------------------------------


def _certificate(name: str, issuer: Any, key: Any, signer: Any, stamping: bool) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=not stamping, path_length=None), critical=True)
    )
    if stamping:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[[bytes], bytes], bytes]:
    """(post, root certificate): OpenSSL's own time-stamp responder, so that the peer is not our code."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command as an independent authority")
    folder = tmp_path_factory.mktemp("tsa")
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test Root", None, root_key, root_key, stamping=False)
    leaf = _certificate("Test Time Stamping", root, key, root_key, stamping=True)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root.public_bytes(pem))
    (folder / "tsa.pem").write_bytes(leaf.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "tsa.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\n"
        "signer_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256, sha512\nordering = yes\ntsa_name = no\n"
        "ess_cert_id_chain = no\nclock_precision_digits = 0\n"
    )

    def post(query: bytes) -> bytes:
        (folder / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "answer").read_bytes()

    return post, root.public_bytes(pem)


def test_a_time_stamp_is_taken_stored_and_exported(
    room: AuditRoom, authority: tuple[Callable[[bytes], bytes], bytes], tmp_path: Path
) -> None:
    post, root = authority
    anchor = TimestampAnchor("test", post, (root,))
    assert anchor_pending(room.url, room.keys.public, [anchor]).put == {anchor.target: 3}
    with transaction(room.url, role=AUDITOR) as connection:
        exported = export_bundle(connection, room.keys.public, tmp_path / "bundle")
    assert exported.timestamps == 3
    note = (tmp_path / "bundle/checkpoints" / f"{520:012d}.note").read_bytes()
    token = (tmp_path / "bundle/timestamps" / f"{520:012d}.tsr").read_bytes()
    assert abs(verify_timestamp(token, note, [root]) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    # our verifier, the studio's own, and OpenSSL as an outsider would call it
    assert verify_bundle(tmp_path / "bundle", room.keys.public, tsa_roots=[root]).ok
    studio = AuditRoom(room.url, room.keys, room.folder, (anchor,))
    assert studio.verify().ok
    (tmp_path / "roots.pem").write_bytes(root)
    command = ["openssl", "ts", "-verify", "-CAfile", "roots.pem", "-in", f"bundle/timestamps/{520:012d}.tsr", "-data"]
    outside = [f"bundle/checkpoints/{size:012d}.note" for size in (520, 700)]
    verdicts = [subprocess.run([*command, path], cwd=tmp_path, capture_output=True, check=False) for path in outside]
    assert [done.returncode == 0 for done in verdicts] == [True, False]
    # a stamp of another checkpoint is put in its place
    stamps = tmp_path / "bundle/timestamps"
    (stamps / f"{520:012d}.tsr").write_bytes((stamps / f"{700:012d}.tsr").read_bytes())
    wrong = verify_bundle(tmp_path / "bundle", room.keys.public, tsa_roots=[root])
    assert [fault.code for fault in wrong.faults] == ["timestamp"]
    assert "size 520" in wrong.faults[0].what
    with superuser(room.url) as connection:
        execute(connection, "UPDATE audit.anchor SET receipt = %s WHERE target = %s", (b"nonsense", anchor.target))
    assert {fault.code for fault in studio.verify().faults} == {"timestamp"}
    with pytest.raises(IntegrityError):
        verify_timestamp(token, note + b"x", [root])
    with pytest.raises(IntegrityError):
        verify_timestamp(token[:-40] + bytes(40), note, [root])


def test_an_authority_that_stamps_something_else_is_refused(
    room: AuditRoom, authority: tuple[Callable[[bytes], bytes], bytes]
) -> None:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    post, root = authority
    other = TimestampRequestBuilder().data(b"other").hash_algorithm(HashAlgorithm.SHA256).build().as_bytes()
    with pytest.raises(IntegrityError, match="not valid for this checkpoint"):
        anchor_pending(room.url, room.keys.public, [TimestampAnchor("test", lambda _: post(other), (root,))])
    with transaction(room.url, role=AUDITOR) as connection:
        assert one(connection, "SELECT count(*) AS n FROM audit.anchor WHERE target LIKE 'rfc3161%%'", ()) == {"n": 0}


def test_a_silent_authority_is_a_missed_anchor_and_is_caught_up_later(
    room: AuditRoom, authority: tuple[Callable[[bytes], bytes], bytes]
) -> None:
    def silent(query: bytes) -> bytes:
        raise TimeoutError

    post, root = authority
    missed = anchor_pending(room.url, room.keys.public, [TimestampAnchor("test", silent, (root,))]).missed
    assert "does not answer" in missed["rfc3161:test"]
    write(room.url, range(700, 710))
    room.checkpoint()
    done = anchor_pending(room.url, room.keys.public, [TimestampAnchor("test", post, (root,))])
    assert done.put == {"rfc3161:test": 4}
    with transaction(room.url, role=AUDITOR) as connection:
        assert len(rows(connection, "SELECT 1 FROM audit.anchor WHERE target = 'rfc3161:test'")) == 4


def test_an_unreachable_address_is_unavailable() -> None:
    from memorial_tasks.audit.service import http_post

    with pytest.raises(Unavailable):
        http_post("file:///etc/passwd")
