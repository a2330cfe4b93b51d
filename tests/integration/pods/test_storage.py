"""What a pod's own credentials reach in the bucket: its order, and nothing else. The cloud is moto's, on loopback.

moto hands out and checks credentials but does not narrow them by the session policy; AWS does (IAM user guide, "Session
policies": what both the role and the session allow). So the policy that was really sent is put on the role here, which
has the same effect when the role alone would allow everything, and moto refuses what it does not allow.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer
from moto.sts.models import sts_backends

from memorial_tasks.consent import acts
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.errors import ConsentRefused, MemorialError, Unavailable
from memorial_tasks.production.remote import renewal_due, renewed_storage, session_policy, storage_credentials
from memorial_tasks.production.studio import Studio
from memorial_tasks.settings import Settings
from memorial_tasks.vault.session import read_credentials, session_of
from memorial_tasks.vault.store import EncryptedStore, S3Store, open_store
from tests.integration.infra.policy import allowed
from tests.integration.production.conftest import until
from tests.support.noop_orders import place
from tests.support.pod_studio import NAMESPACE, RunningCluster

pytestmark = pytest.mark.integration

BUCKET, PREFIX = "memorial-vault", "studio"
MINE, THEIRS = "order-of-mine", "order-of-theirs"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}]}


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """Address of the cloud double, with a bucket and a role that alone may do nothing yet."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        for name, value in (
            ("ACCESS_KEY_ID", "studio"),
            ("SECRET_ACCESS_KEY", "studio"),
            ("DEFAULT_REGION", "us-east-1"),
        ):
            patched.setenv(f"AWS_{name}", value)
        address = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
        boto3.client("iam", endpoint_url=address).create_role(
            RoleName="memorial-data", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        yield address
    server.stop()


@pytest.fixture
def settings(cloud: str) -> Settings:
    role = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/memorial-data"
    return Settings(store=f"s3://{BUCKET}/{PREFIX}", s3_endpoint=cloud, step_role_arn=role)


def sent() -> Any:
    """The session policy of the newest session the token service opened."""
    return json.loads(sts_backends[DEFAULT_ACCOUNT_ID]["aws"].assumed_roles[-1].policy)


def test_the_session_is_narrowed_to_the_order(settings: Settings) -> None:
    given = storage_credentials(settings, MINE, 3600)
    assert given is not None
    assert given["token"]
    assert datetime.fromisoformat(given["expiry_time"]) > datetime.now(UTC)
    assert sent() == session_policy(BUCKET, PREFIX, MINE)


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"])
def test_the_policy_reaches_one_folder(action: str) -> None:
    policy = session_policy(BUCKET, PREFIX, MINE)
    own = f"arn:aws:s3:::{BUCKET}/{PREFIX}/orders/{MINE}"
    assert allowed(policy, action, f"{own}/ingest/x/photos/1.png")
    for other in (
        f"{own}-2/x",
        f"arn:aws:s3:::{BUCKET}/{PREFIX}/orders/{THEIRS}/x",
        f"arn:aws:s3:::{BUCKET}/orders/{MINE}/x",
    ):
        assert not allowed(policy, action, other), other


def test_listing_and_keys_are_narrowed_too() -> None:
    policy, bucket = session_policy(BUCKET, PREFIX, MINE), f"arn:aws:s3:::{BUCKET}"
    listing: dict[str, str] = {"s3:prefix": f"{PREFIX}/orders/{MINE}/ingest/x/result.json"}
    assert allowed(policy, "s3:ListBucket", bucket, **listing)
    assert not allowed(policy, "s3:ListBucket", bucket, **{"s3:prefix": f"{PREFIX}/orders/"})
    assert not allowed(policy, "s3:ListBucket", bucket)
    assert allowed(policy, "kms:Decrypt", "arn:aws:kms:::key/x", **{"kms:ViaService": "s3.eu-central-1.amazonaws.com"})
    assert not allowed(policy, "kms:Decrypt", "arn:aws:kms:::key/x")
    for action in (
        "s3:PutBucketPolicy",
        "s3:GetBucketLocation",
        "iam:PassRole",
        "sts:AssumeRole",
        "kms:ScheduleKeyDeletion",
    ):
        assert not allowed(policy, action, bucket), action


def test_a_pod_is_never_given_the_studios_own_credentials(settings: Settings) -> None:
    with pytest.raises(MemorialError, match="role"):
        storage_credentials(settings.model_copy(update={"step_role_arn": ""}), MINE, 3600)
    assert storage_credentials(Settings(store=""), MINE, 3600) is None


def test_a_token_service_that_says_no_is_worth_another_try(settings: Settings) -> None:
    with pytest.raises(Unavailable):
        storage_credentials(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}), MINE, 3600)


@pytest.mark.parametrize(
    ("allowed", "asked", "given"),
    [(None, 10**6, 3600), (12 * 3600, 60, 900), (12 * 3600, 7200, 7200), (12 * 3600, 10**6, 12 * 3600)],
)
def test_the_session_lasts_as_long_as_the_step_and_the_role_may(
    settings: Settings, allowed: int | None, asked: int, given: int
) -> None:
    """An hour unless the studio knows better: AWS gives no more to a role that another role opens."""
    role = {"step_role_seconds": allowed} if allowed else {}
    storage_credentials(settings.model_copy(update=role), MINE, asked)
    ends = sts_backends[DEFAULT_ACCOUNT_ID]["aws"].assumed_roles[-1].expiration
    left = (ends.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    assert left == pytest.approx(given, abs=30)


def test_a_step_works_with_these_credentials_and_nothing_in_its_environment(
    settings: Settings, cloud: str, tmp_path: Path
) -> None:
    """The step process as a pod runs it: its job and its results in the bucket, its secrets in a file."""
    from memorial_tasks.consent.keys import consent_keys
    from memorial_tasks.consent.permit import issue_permit
    from memorial_tasks.domain.job import Job
    from memorial_tasks.domain.words import Modality, Purpose
    from memorial_tasks.production.studio import now
    from memorial_tasks.steps.code import code_version
    from memorial_tasks.steps.process import StepSecrets
    from memorial_tasks.vault.signing import public_pem

    key, keys = os.urandom(32), consent_keys(tmp_path / "keyring")
    vault = EncryptedStore(open_store(settings.store_url, cloud), key, tmp_path)
    prefix = f"vault://orders/{MINE}/direct/{'0' * 32}"
    (tmp_path / "script.json").write_text('[{"text": "a line"}]')
    digest, size = vault.put(f"vault://orders/{MINE}/originals/script.json", tmp_path / "script.json")
    token, permit = issue_permit(
        keys.permit, order=MINE, subject="sub-1", purpose=Purpose.FAMILY_PRIVATE, modalities=list(Modality),
        steps=["direct"], consent_id="c", consent_version=1, now=now(), lifetime=timedelta(hours=1),
    )  # fmt: skip
    job = Job(
        step="direct", order=MINE, subject="sub-1", output_prefix=prefix, result_key="0" * 64,
        code_version=code_version("direct"), permit=token, attempt=permit.permit_id,
        inputs=({"name": "script.json", "uri": f"vault://orders/{MINE}/originals/script.json", "sha256": digest, "size": size},),  # type: ignore[arg-type]  # noqa: E501
    )  # fmt: skip
    (tmp_path / "job.json").write_text(job.model_dump_json())
    vault.put(f"{prefix}/job.json", tmp_path / "job.json")
    (tmp_path / "storage.json").write_text(json.dumps(storage_credentials(settings, MINE, 3600)))
    secrets = StepSecrets(data_key=key, permit_public_pem=public_pem(keys.permit.public))
    (tmp_path / "secrets.json").write_bytes(secrets.dump())
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.noop_steps", "direct", "--job", f"{prefix}/job.json", "--store",
         settings.store_url, "--s3-endpoint", cloud, "--assets", str(tmp_path), "--secrets-file",
         str(tmp_path / "secrets.json"), "--storage-file", str(tmp_path / "storage.json")],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert vault.store.exists(f"{prefix}/result.json")
    vault.fetch(f"{prefix}/plan.json", tmp_path / "plan.json")
    assert (tmp_path / "plan.json").read_text() == '[{"text": "a line"}]'


def test_another_familys_objects_are_refused_by_the_bucket(settings: Settings, cloud: str, tmp_path: Path) -> None:

    (tmp_path / "x").write_bytes(b"ciphertext")
    studio = open_store(settings.store_url, cloud)
    for order in (MINE, THEIRS):
        studio.put(f"vault://orders/{order}/x", tmp_path / "x")
    given = storage_credentials(settings, MINE, 3600)
    iam = boto3.client("iam", endpoint_url=cloud)
    iam.put_role_policy(RoleName="memorial-data", PolicyName="session", PolicyDocument=json.dumps(sent()))
    (tmp_path / "storage.json").write_text(json.dumps(given))
    store = S3Store(BUCKET, PREFIX, cloud, tmp_path / "storage.json")
    httpx.post(
        f"{cloud}/moto-api/reset-auth", content=b"0", trust_env=False
    ).raise_for_status()  # from now on it checks
    try:
        store.fetch(f"vault://orders/{MINE}/x", tmp_path / "y")
        store.put(f"vault://orders/{MINE}/z", tmp_path / "x")
        assert (tmp_path / "y").read_bytes() == b"ciphertext"
        for attempt in (
            lambda: store.client.get_object(Bucket=BUCKET, Key=f"{PREFIX}/orders/{THEIRS}/x"),
            lambda: store.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/orders/{THEIRS}/y", Body=b""),
            lambda: store.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/orders/{THEIRS}/x"),
        ):
            with pytest.raises(ClientError) as refused:
                attempt()
            assert refused.value.response["Error"]["Code"] == "AccessDenied"
    finally:
        httpx.post(f"{cloud}/moto-api/reset-auth", content=b"inf", trust_env=False)


# --- steps that take longer than a session -------------------------------------------------------------------------


def written(path: Path, key: str, minutes: float) -> None:
    """Credentials that end in so many minutes, put in place at once as a kubelet does."""
    ends = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    given = {"access_key": key, "secret_key": "s", "token": "t", "expiry_time": ends, "region": "us-east-1"}
    path.with_suffix(".new").write_text(json.dumps(given))
    path.with_suffix(".new").replace(path)


def test_a_client_that_was_made_before_follows_the_renewed_file(tmp_path: Path) -> None:
    path = tmp_path / "storage.json"
    written(path, "first", 14)
    session = session_of(path)
    client = session.client("s3", endpoint_url="http://127.0.0.1:9")

    def used() -> str:
        address = client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
        return next(word for word in ("first", "second", "third") if word in address)

    assert used() == "first"
    written(path, "second", 60)
    assert used() == "second", "the first has less than a quarter of an hour left"
    written(path, "third", 60)
    assert used() == "second", "the second is good for long"
    assert session.region_name == "us-east-1"


def test_credentials_that_ended_are_not_used(tmp_path: Path) -> None:
    from botocore.exceptions import BotoCoreError

    path = tmp_path / "storage.json"
    written(path, "first", -1)
    with pytest.raises((BotoCoreError, RuntimeError), match="expired"):
        session_of(path).get_credentials().get_frozen_credentials()


@pytest.mark.parametrize("content", ["", "[]", '{"access_key": "a"}', "AKIA-not-json"])
def test_a_file_that_holds_no_credentials_is_named_and_not_repeated(tmp_path: Path, content: str) -> None:
    (tmp_path / "storage.json").write_text(content)
    with pytest.raises(MemorialError, match="no credentials") as told:
        read_credentials(tmp_path / "storage.json")
    assert "AKIA" not in str(told.value)
    with pytest.raises(Unavailable):
        read_credentials(tmp_path / "nowhere.json")


def test_renewal_is_due_at_half_the_time(settings: Settings) -> None:
    at = datetime.now(UTC)
    given = storage_credentials(settings, MINE, 3600)
    assert given is not None
    assert renewal_due(given, at) - at == pytest.approx(timedelta(minutes=30), abs=timedelta(seconds=30))


# A step that trains on: it says under which key it works, and stores something each time.
TRAINING = """
import sys, time
from pathlib import Path
from memorial_tasks.vault.store import open_store
store = open_store({url!r}, {cloud!r}, Path("/run/memorial/step/storage.json"))
seen = None
for number in range(600):
    Path("x").write_text(str(number))
    store.put("vault://orders/{order}/x", Path("x"))
    key = store.client._request_signer._credentials.access_key
    if key != seen:
        print("works with", key, flush=True)
        seen = key
    time.sleep(0.05)
"""


def test_a_pod_at_work_is_given_fresh_credentials_until_its_order_is_stopped(
    settings: Settings, cloud: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real trigger's renewal against the double: the pod's process goes on under another session."""

    from memorial_tasks.airflow import pod_trigger
    from memorial_tasks.airflow.pods import secret_of
    from tests.integration.pods.test_double import interface
    from tests.support.pod_studio import TOKEN

    order, home = "order-that-trains", tmp_path / "home"
    given = {"home": home, "database_url": database, "store": settings.store, "s3_endpoint": cloud,
             "step_role_arn": settings.step_role_arn}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"MEMORIAL_{name.upper()}", str(value))
    studio = Studio.open(Settings())
    place(studio, order)
    cluster = RunningCluster(tmp_path / "cluster")
    cluster.start()
    try:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.connection())
        core = interface(cluster, TOKEN)
        script = TRAINING.format(url=settings.store_url, cloud=cloud, order=order)
        mount = {"name": "secrets", "mountPath": "/run/memorial/step"}
        container = {"name": "base", "image": "x", "command": ["python", "-c", script], "volumeMounts": [mount],
                     "env": [{"name": "AWS_EC2_METADATA_DISABLED", "value": "true"}]}  # fmt: skip
        volume = {"name": "secrets", "secret": {"secretName": "train-1"}}
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
        meta = {"name": "train-1", "labels": {"app.kubernetes.io/name": "memorial-step"}}
        made = core.create_namespaced_pod(
            NAMESPACE, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        )
        first = storage_credentials(settings, order, 900)
        assert first is not None
        soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()  # as it would be 50 minutes into an hour
        core.create_namespaced_secret(NAMESPACE, secret_of(made, b"{}", first | {"expiry_time": soon}))
        log = tmp_path / "cluster" / "run" / "train-1" / "log"
        assert until(lambda: log.is_file() and first["access_key"] in log.read_text(), 30)

        trigger = pod_trigger.StepPodTrigger(
            pod_name="train-1", pod_namespace=NAMESPACE, trigger_start_time=datetime.now(UTC),
            base_container_name="base", kubernetes_conn_id="kubernetes_default", patience=5.0,
            renew_at=time.time(), renew_seconds=3600, trigger_kwargs={"ticket": {"order": order}},
        )  # fmt: skip
        monkeypatch.setattr(pod_trigger, "renewal_due", lambda _storage, at: at + timedelta(seconds=1))

        async def watched() -> bool:
            renewing = asyncio.create_task(trigger._keep_renewing())
            try:
                while "train-1" in cluster.state()["pods"] and log.read_text().count("works with") < 2:
                    await asyncio.sleep(0.1)
                with studio.transaction() as connection:
                    acts.withdraw(
                        connection, order, studio.keys, KeyringSealer(studio.keyring),
                        by="", reason="no", operator="ann", now=datetime.now(UTC),
                    )  # fmt: skip
                await asyncio.wait_for(renewing, 15)  # it ends by itself: the order gets no more
            finally:
                renewing.cancel()
            return True

        assert asyncio.run(asyncio.wait_for(watched(), 60))
        keys = [line.split()[-1] for line in log.read_text().splitlines() if line.startswith("works with")]
        assert keys[0] == first["access_key"]
        assert len(set(keys)) >= 2
        data = core.read_namespaced_secret("train-1", NAMESPACE).data
        assert base64.b64decode(data["secrets.json"]) == b"{}", "the step's keys stay as they were"
        with pytest.raises(ConsentRefused):
            renewed_storage(Settings(), order, 3600)
    finally:
        cluster.stop()
