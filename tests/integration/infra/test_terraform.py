"""infra/terraform: planned, applied and read back from a local AWS API double (moto's server), and its own promises.

A double because no account may be needed to test; the provider is the real one, and so are the documents read back.
Two kinds are planned but not applied here, because the provider waits a minute for each whatever the answer: the
database instance and the buckets' lifecycle rules. ``make test-infra`` applies them too.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.infra.policy import allowed, denied, grants

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "infra" / "terraform"
REGION = "eu-central-1"
SLOW = ("aws_db_instance.", "aws_s3_bucket_lifecycle_configuration.")
WHOLE = bool(os.environ.get("MEMORIAL_TEST_INFRA"))
PLUGINS = ("TF_PLUGIN_DIR", "/opt/tf-plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")
SERVICES = ("ec2", "ecr", "iam", "kms", "rds", "s3", "sts")


def _plugins() -> Path | None:
    named = os.environ.get(PLUGINS[0])
    for folder in [Path(named)] if named else [Path(name) for name in PLUGINS[1:]]:
        if (folder / "registry.terraform.io" / "hashicorp" / "aws").is_dir():
            return folder
    return None


pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed"),
    pytest.mark.skipif(_plugins() is None, reason="no folder with terraform's aws provider; name it in TF_PLUGIN_DIR"),
]


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TF_"))}
    environment |= {"TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    command = ["terraform", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def must(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@dataclass(frozen=True)
class Applied:
    """What was planned and what the double holds now."""

    endpoint: str
    folder: Path
    planned: dict[str, dict[str, Any]]
    outputs: dict[str, Any]

    def client(self, service: str) -> Any:
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        return boto3.client(service, endpoint_url=self.endpoint, **keys)

    def policy(self, role: str) -> dict[str, Any]:
        name = f"memorial-trial-{role}"
        document = self.client("iam").get_role_policy(RoleName=name, PolicyName=role)["PolicyDocument"]
        assert isinstance(document, dict)
        return document

    def trust(self, role: str) -> dict[str, Any]:
        document = self.client("iam").get_role(RoleName=f"memorial-trial-{role}")["Role"]["AssumeRolePolicyDocument"]
        assert isinstance(document, dict)
        return document

    def bucket_policy(self, bucket: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.client("s3").get_bucket_policy(Bucket=f"memorial-trial-{bucket}")["Policy"]
        )
        return found


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A moto server of our own on a free port of loopback."""
    import socket
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(f"{address}/moto-api/", timeout=2).close()  # noqa: S310 - our own server
                    break
                except OSError:
                    time.sleep(0.2)
            yield address
        finally:
            server.terminate()


def _network(endpoint: str) -> dict[str, Any]:
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    ec2 = boto3.client("ec2", endpoint_url=endpoint, **keys)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=REGION + z)["Subnet"]["SubnetId"]
        for n, z in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)["GroupId"]
    return {
        "name": "memorial-trial",
        "vpc_id": vpc,
        "database_subnet_ids": subnets,
        "control_plane_security_group_id": group,
        "cluster_oidc_provider_arn": "arn:aws:iam::123456789012:oidc-provider/oidc.example",
        "cluster_oidc_issuer": "oidc.example",
        "auditor_principals": ["arn:aws:iam::210987654321:root"],
        "protect": False,
    }


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with its provider linked in."""
    folder = tmp_path_factory.mktemp("terraform") / "source"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars*"))
    must(terraform(folder, "init", "-input=false", "-no-color", f"-plugin-dir={_plugins()}"))
    return folder


@pytest.fixture(scope="module")
def promises(initialised: Path) -> Iterator["subprocess.Popen[str]"]:
    """`terraform test` beside the apply: both wait more than they work."""
    folder = shutil.copytree(initialised, initialised.with_name("promises"), symlinks=True)
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    command = ["terraform", "test", "-no-color"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        yield running
        running.kill()


@pytest.fixture(scope="module")
def applied(endpoint: str, promises: "subprocess.Popen[str]", initialised: Path) -> Applied:
    folder = shutil.copytree(initialised, initialised.with_name("applied"), symlinks=True)
    lines = "".join(f'    {service} = "{endpoint}"\n' for service in SERVICES)
    (folder / "local_override.tf").write_text(
        f'provider "aws" {{\n  region = "{REGION}"\n  access_key = "test"\n  secret_key = "test"\n'
        "  s3_use_path_style = true\n  skip_credentials_validation = true\n  skip_metadata_api_check = true\n"
        f"  endpoints {{\n{lines}  }}\n}}\n"
    )
    (folder / "terraform.tfvars.json").write_text(json.dumps(_network(endpoint)))
    must(terraform(folder, "plan", "-input=false", "-no-color", "-out=whole.plan"))
    shown = json.loads(must(terraform(folder, "show", "-json", "whole.plan")))
    planned = {change["address"]: change["change"]["after"] for change in shown["resource_changes"]}
    if WHOLE:
        must(terraform(folder, "apply", "-input=false", "-no-color", "whole.plan"))
    else:
        targets = [f"-target={address}" for address in planned if not address.startswith(SLOW)]
        must(terraform(folder, "apply", "-auto-approve", "-input=false", "-no-color", "-parallelism=20", *targets))
    outputs = json.loads(must(terraform(folder, "output", "-json")))
    return Applied(endpoint, folder, planned, {name: entry["value"] for name, entry in outputs.items()})


BUCKETS = ("vault", "deliveries", "checkpoints", "logs")
ROLES = ("control", "gate", "data", "delivery", "auditor")
VAULT = "arn:aws:s3:::memorial-trial-vault"
CHECKPOINTS = "arn:aws:s3:::memorial-trial-checkpoints"
VIA_S3 = {"kms__ViaService": f"s3.{REGION}.amazonaws.com"}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_every_bucket_is_private_versioned_and_encrypted_under_our_key(applied: Applied, bucket: str) -> None:
    s3, name = applied.client("s3"), f"memorial-trial-{bucket}"
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    default = rule["ApplyServerSideEncryptionByDefault"]
    key = "checkpoints" if bucket == "checkpoints" else "storage"
    assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": applied.outputs["keys"][key]}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_no_bucket_answers_without_tls_or_takes_another_key(applied: Applied, bucket: str) -> None:
    policy = applied.bucket_policy(bucket)
    thing = f"arn:aws:s3:::memorial-trial-{bucket}/x"
    key = applied.outputs["keys"]["checkpoints" if bucket == "checkpoints" else "storage"]
    header = "s3:x-amz-server-side-encryption"
    assert denied(policy, "s3:GetObject", thing, aws__SecureTransport="false")
    assert not denied(policy, "s3:GetObject", thing, aws__SecureTransport="true")
    assert not denied(policy, "s3:PutObject", thing)  # the bucket's own key
    assert not denied(policy, "s3:PutObject", thing, **{header: "aws:kms", f"{header}-aws-kms-key-id": key})
    assert denied(policy, "s3:PutObject", thing, **{f"{header}-aws-kms-key-id": "arn:aws:kms:::key/foreign"})
    assert denied(policy, "s3:PutObject", thing, **{header: "AES256"})


def test_unfinished_uploads_and_old_versions_go_away(applied: Applied) -> None:
    for bucket in BUCKETS:
        after = applied.planned[f'aws_s3_bucket_lifecycle_configuration.this["{bucket}"]']
        rules = {rule["id"]: rule for rule in after["rule"]}
        unfinished = rules["unfinished-uploads"]["abort_incomplete_multipart_upload"][0]
        assert unfinished["days_after_initiation"] == 1
        assert ("old-versions" in rules) is (bucket != "checkpoints")


def test_only_checkpoints_are_locked_and_in_the_mode_nobody_can_undo(applied: Applied) -> None:
    s3 = applied.client("s3")
    found = s3.get_object_lock_configuration(Bucket="memorial-trial-checkpoints")["ObjectLockConfiguration"]
    retention = found["Rule"]["DefaultRetention"]
    assert (retention["Mode"], retention["Days"]) == ("COMPLIANCE", 1095)
    for bucket in {*BUCKETS} - {"checkpoints"}:
        with pytest.raises(s3.exceptions.ClientError):
            s3.get_object_lock_configuration(Bucket=f"memorial-trial-{bucket}")


def test_a_delivery_link_does_not_outlive_its_five_minutes(applied: Applied) -> None:
    policy, film = applied.bucket_policy("deliveries"), "arn:aws:s3:::memorial-trial-deliveries/film"
    assert denied(policy, "s3:GetObject", film, s3__signatureAge="300001")
    assert not denied(policy, "s3:GetObject", film, s3__signatureAge="1000")


def test_every_key_rotates(applied: Applied) -> None:
    kms = applied.client("kms")
    for key in applied.outputs["keys"].values():
        assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True


@pytest.mark.parametrize("role", ROLES)
def test_nobody_has_a_wildcard(applied: Applied, role: str) -> None:
    for action, resource in grants(applied.policy(role)):
        assert "*" not in action, (role, action)
        assert resource.startswith("arn:aws:"), (role, resource)
        assert resource.split(":", 5)[5] not in {"*", "/*"}, (role, resource)


def test_a_step_reaches_its_own_order_and_nothing_else(applied: Applied) -> None:
    policy = applied.policy("data")
    mine = {"aws__PrincipalTag___order": "order-a"}
    for action in ("s3:GetObject", "s3:PutObject"):
        assert allowed(policy, action, f"{VAULT}/orders/order-a/speak/k/speech.wav", **mine)
        assert not allowed(policy, action, f"{VAULT}/orders/order-b/speak/k/speech.wav", **mine)
        assert not allowed(policy, action, f"{VAULT}/orders/order-ab/x", **mine)
        assert not allowed(policy, action, f"{VAULT}/orders/order-a/x")  # a session without the tag
        assert not allowed(policy, action, f"{VAULT}/orders/order-b/x", aws__PrincipalTag___order="*")
        assert not allowed(policy, action, f"{CHECKPOINTS}/audit/1.note", **mine)
    assert allowed(policy, "s3:ListBucket", VAULT, **mine, s3__prefix="orders/order-a/speak/")
    assert not allowed(policy, "s3:ListBucket", VAULT, **mine, s3__prefix="orders/order-b/")
    assert not allowed(policy, "s3:ListBucket", VAULT, **mine, s3__prefix="")
    assert not allowed(policy, "s3:ListBucket", VAULT, **mine)


def test_a_step_takes_away_its_checkpoints_only(applied: Applied) -> None:
    policy, mine = applied.policy("data"), {"aws__PrincipalTag___order": "order-a"}
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert allowed(policy, action, f"{VAULT}/orders/order-a/train_face/k/checkpoint/3/x", **mine)
        assert not allowed(policy, action, f"{VAULT}/orders/order-a/train_face/k/face/model.safetensors", **mine)


def test_a_step_never_touches_a_subjects_key(applied: Applied) -> None:
    keys = applied.outputs["keys"]
    mine = {"aws__PrincipalTag___order": "order-a"}
    for action in ("kms:Decrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"):
        assert not allowed(applied.policy("data"), action, keys["subjects"], **mine, **VIA_S3)
    assert allowed(applied.policy("data"), "kms:Decrypt", keys["storage"], **mine, **VIA_S3)
    assert not allowed(applied.policy("data"), "kms:Decrypt", keys["storage"], **mine)  # not outside the store


@pytest.mark.parametrize("tag", ["", "*", "a/*", "a/../b", "order-?", "../b"])
def test_no_session_begins_with_a_tag_that_is_no_order_id(applied: Applied, tag: str) -> None:
    context = {"aws__RequestTag___order": tag, "aws__TagKeys": "order"}
    assert not allowed(applied.trust("data"), "sts:AssumeRole", **context)


def test_a_session_of_a_step_names_its_order_and_nothing_more(applied: Applied) -> None:
    trust, order = applied.trust("data"), "demo-2026-001"
    assert allowed(trust, "sts:AssumeRole", aws__RequestTag___order=order, aws__TagKeys="order")
    assert not allowed(trust, "sts:AssumeRole")
    assert not allowed(trust, "sts:AssumeRole", aws__RequestTag___order=order, aws__TagKeys="order,admin")
    principals = [statement["Principal"] for statement in trust["Statement"]]
    assert principals == [{"AWS": applied.outputs["roles"]["control"]}]


def test_only_airflows_own_service_account_becomes_the_control_plane(applied: Applied) -> None:
    trust, action = applied.trust("control"), "sts:AssumeRoleWithWebIdentity"
    right = {"oidc.example__sub": "system:serviceaccount:memorial:memorial-airflow"}
    audience = {"oidc.example__aud": "sts.amazonaws.com"}
    assert allowed(trust, action, **right, **audience)
    assert not allowed(trust, action, **audience)
    assert not allowed(trust, action, **{"oidc.example__sub": "system:serviceaccount:memorial:step"}, **audience)


def test_the_control_plane_uses_a_subjects_key_only_by_naming_the_subject(applied: Applied) -> None:
    policy, key = applied.policy("control"), applied.outputs["keys"]["subjects"]
    assert allowed(policy, "kms:Decrypt", key, kms__EncryptionContext__subject="s-1")
    assert not allowed(policy, "kms:Decrypt", key)
    assert not allowed(policy, "kms:ScheduleKeyDeletion", key, kms__EncryptionContext__subject="s-1")


def test_nobody_can_delete_or_shorten_a_checkpoint(applied: Applied) -> None:
    for role in ROLES:
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"):
            assert not allowed(applied.policy(role), action, f"{CHECKPOINTS}/audit/1.note")
    assert allowed(applied.policy("control"), "s3:PutObject", f"{CHECKPOINTS}/audit/1.note")
    assert not allowed(applied.policy("delivery"), "s3:PutObject", f"{CHECKPOINTS}/audit/1.note")


def test_the_links_role_reads_deliveries_and_nothing_else(applied: Applied) -> None:
    assert set(grants(applied.policy("delivery"))) == {
        ("s3:GetObject", "arn:aws:s3:::memorial-trial-deliveries/*"),
        ("kms:Decrypt", applied.outputs["keys"]["storage"]),
    }


def test_the_gate_reads_deliveries_signs_through_the_links_role_and_that_one_is_its_own(applied: Applied) -> None:
    roles = applied.outputs["roles"]
    assert set(grants(applied.policy("gate"))) == {
        *grants(applied.policy("delivery")),
        ("sts:AssumeRole", roles["delivery"]),
    }
    trust = applied.trust("gate")
    right = {"oidc.example__sub": "system:serviceaccount:memorial:memorial-gate"}
    assert allowed(trust, "sts:AssumeRoleWithWebIdentity", **right, **{"oidc.example__aud": "sts.amazonaws.com"})
    assert applied.trust("delivery")["Statement"][0]["Principal"]["AWS"] in (roles["gate"], [roles["gate"]])
    assert not allowed(applied.policy("control"), "sts:AssumeRole", roles["delivery"])


def test_the_auditor_reads_checkpoints_and_writes_nothing(applied: Applied) -> None:
    policy = applied.policy("auditor")
    assert allowed(policy, "s3:GetObjectVersion", f"{CHECKPOINTS}/audit/1.note")
    verbs = {action.split(":")[1] for action, _ in grants(policy)}
    assert all(verb.startswith(("Get", "List", "Decrypt")) for verb in verbs), verbs
    assert {resource.split("/")[0] for _, resource in grants(policy) if ":s3:" in resource} == {CHECKPOINTS}


def test_images_have_tags_that_never_move_and_are_scanned(applied: Applied) -> None:
    found = applied.client("ecr").describe_repositories()["repositories"]
    assert {entry["repositoryName"] for entry in found} == {"memorial-trial/airflow", "memorial-trial/worker"}
    for entry in found:
        assert entry["imageTagMutability"] == "IMMUTABLE"
        assert entry["imageScanningConfiguration"]["scanOnPush"] is True
        assert entry["encryptionConfiguration"]["encryptionType"] == "KMS"


def test_the_database_is_reached_by_the_control_plane_alone(applied: Applied) -> None:
    rule = applied.planned["aws_vpc_security_group_ingress_rule.database"]
    assert (rule["from_port"], rule["to_port"], rule["cidr_ipv4"], rule["cidr_ipv6"]) == (5432, 5432, None, None)
    groups = applied.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["memorial-trial-database"]}]
    )["SecurityGroups"]
    assert len(groups[0]["IpPermissions"]) == 1
    assert [pair["GroupId"] for pair in groups[0]["IpPermissions"][0]["UserIdGroupPairs"]]


def test_the_outputs_name_the_studios_settings(applied: Applied) -> None:
    from memorial_tasks.settings import Settings

    assert applied.outputs["settings"]["MEMORIAL_STORE"] == "s3://memorial-trial-vault"
    for name in applied.outputs["settings"]:
        assert name.removeprefix("MEMORIAL_").lower() in Settings.model_fields


@pytest.mark.skipif(not WHOLE, reason="the provider waits minutes for the database; `make test-infra` does it")
def test_a_second_run_changes_nothing_and_everything_can_be_taken_down(applied: Applied) -> None:
    done = terraform(applied.folder, "plan", "-input=false", "-no-color", "-out=second.plan")
    must(done)
    shown = json.loads(must(terraform(applied.folder, "show", "-json", "second.plan")))
    changed = {entry["address"] for entry in shown["resource_changes"] if entry["change"]["actions"] != ["no-op"]}
    # The double forgets the parameters of a parameter group; a real account gives them back.
    assert changed <= {"aws_db_parameter_group.this"}
    must(terraform(applied.folder, "destroy", "-auto-approve", "-input=false", "-no-color"))


def test_the_promises_written_beside_the_code_hold(promises: "subprocess.Popen[str]") -> None:
    output, _ = promises.communicate(timeout=300)
    assert promises.returncode == 0, output[-3000:]
    assert "0 failed" in output
