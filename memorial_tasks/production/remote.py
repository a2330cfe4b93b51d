"""What a step needs that runs elsewhere: an image that cannot change, a store it can reach, credentials for its order
and for nothing else. Pure decisions and one call to the token service; pods themselves are `airflow.pods`."""

import json
import re
import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from memorial_tasks.database.connection import transaction
from memorial_tasks.database.registry import get_order
from memorial_tasks.database.server import database_url
from memorial_tasks.errors import MemorialError, Unavailable
from memorial_tasks.settings import Settings

# Which pod template a step runs in: what it needs, not what it does.
LIGHT = frozenset({"direct", "package"})
GPU, CPU_HEAVY = "gpu", "cpu-heavy"
# Where a pod finds things; the templates in infra/pods mount the rest.
SECRETS_FOLDER, SECRETS_FILE, STORAGE_FILE = "/run/memorial/step", "secrets.json", "storage.json"
VAULT_FOLDER = "/vault"
# AssumeRole's own limits; a role may allow less (its MaxSessionDuration).
SHORTEST, LONGEST = 900, 12 * 3600
_DIGEST = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}")


def step_class(settings: Settings, step: str) -> str:
    """The pod template of a step: ``gpu``, ``cpu-heavy`` or ``light``."""
    if step in {word.strip() for word in settings.gpu_steps.split(",")}:
        return GPU
    return "light" if step in LIGHT else CPU_HEAVY


def require_image(settings: Settings) -> str:
    """The image of every step; `MemorialError` when there is none, or in production when it is not named by digest.

    A tag can be moved: the code that ran would not be the code the audit log names.
    """
    image = settings.step_image
    if not image:
        raise MemorialError(
            "no image for the steps", where="MEMORIAL_STEP_IMAGE", remedy="name the worker image, name@sha256:digest"
        )
    if settings.profile == "production" and not _DIGEST.fullmatch(image):
        raise MemorialError(
            "the image is not named by its digest", where="MEMORIAL_STEP_IMAGE", remedy="write name@sha256:digest"
        )
    return image


def require_command(settings: Settings) -> list[str]:
    """The words that run a step; in production only the package's own, because a stand-in would pass for a film."""
    words = shlex.split(settings.step_command)
    if settings.profile == "production" and words[-2:] != ["-m", "memorial_tasks.steps"]:
        raise MemorialError(
            "production runs no other steps than its own", where="MEMORIAL_STEP_COMMAND", remedy="leave it unset"
        )
    return words


def order_folder(order_id: str) -> str:
    """Everything of one order lies below this folder of the vault."""
    return f"orders/{order_id}"


def pod_store(settings: Settings, order_id: str) -> tuple[str, dict[str, Any] | None]:
    """The vault's address as a pod sees it, and the volume that carries it, of which one folder is mounted.

    A bucket needs no volume. A folder is reached through a claim or a path of the node, and only the order's part of
    it is mounted, so that a pod cannot even name another family's files.
    """
    if settings.store_url.startswith("s3://"):
        return settings.store_url, None
    if settings.pod_vault_claim:
        volume = {"name": "vault", "persistentVolumeClaim": {"claimName": settings.pod_vault_claim}}
    elif settings.pod_vault_path:
        volume = {"name": "vault", "hostPath": {"path": settings.pod_vault_path, "type": "Directory"}}
    else:
        raise MemorialError(
            "pods cannot reach a vault in a local folder",
            where="MEMORIAL_STORE",
            remedy="use s3://bucket/prefix, or name MEMORIAL_POD_VAULT_CLAIM or MEMORIAL_POD_VAULT_PATH",
        )
    mount = {
        "name": "vault",
        "mountPath": f"{VAULT_FOLDER}/{order_folder(order_id)}",
        "subPath": order_folder(order_id),
    }
    return f"file://{VAULT_FOLDER}", {"volume": volume, "mount": mount}


def session_policy(bucket: str, prefix: str, order_id: str) -> dict[str, Any]:
    """What a pod may do with the bucket: read, write and delete below its order, list nothing else.

    A session policy can only narrow what the role allows (AWS IAM, "Session policies"). The key service is reached
    through S3 alone, so that the bucket's own encryption works and nothing else can be decrypted.
    """
    folder = "/".join(part for part in (prefix.strip("/"), order_folder(order_id)) if part)
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectVersion"]
    objects += ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": objects, "Resource": f"arn:aws:s3:::{bucket}/{folder}/*"},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
                "Resource": f"arn:aws:s3:::{bucket}",
                "Condition": {"StringLike": {"s3:prefix": f"{folder}/*"}},
            },
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}},
            },
        ],
    }


def storage_credentials(settings: Settings, order_id: str, seconds: int) -> dict[str, str] | None:
    """Credentials for one order's part of the bucket, as `vault.session` reads them; None when the vault is no bucket.

    `seconds` is how long the step may take. What takes longer than a session lasts gets the next one while it works
    (`renewed_storage`), so a session is never longer than its role allows.

    Raises `MemorialError` without a role to narrow (a pod is never given the studio's own credentials), `Unavailable`
    when the token service does not answer.
    """
    parts = urlsplit(settings.store_url)
    if parts.scheme != "s3":
        return None
    if not settings.step_role_arn:
        raise MemorialError(
            "pods need a role whose rights can be narrowed to one order",
            where="MEMORIAL_STEP_ROLE_ARN",
            remedy="create the role of infra/terraform and name it",
        )
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    policy = session_policy(parts.netloc, parts.path, order_id)
    try:
        answer = boto3.client("sts", endpoint_url=settings.s3_endpoint).assume_role(
            RoleArn=settings.step_role_arn,
            RoleSessionName=f"memorial-{order_id}"[:64],
            Policy=json.dumps(policy, separators=(",", ":")),
            Tags=[{"Key": "order", "Value": order_id}],  # the role's own policy narrows by it once more
            DurationSeconds=max(SHORTEST, min(seconds, settings.step_role_seconds, LONGEST)),
        )
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(
            "no credentials for the step were given", where="MEMORIAL_STEP_ROLE_ARN", remedy="see the role's trust"
        ) from error
    given = answer["Credentials"]
    found = {
        "access_key": given["AccessKeyId"],
        "secret_key": given["SecretAccessKey"],
        "token": given["SessionToken"],
        "expiry_time": given["Expiration"].isoformat(),
    }
    region = boto3.session.Session().region_name
    return found | {"region": region} if region else found


def renewal_due(storage: Mapping[str, str], at: datetime) -> datetime:
    """When credentials given out at `at` should be renewed: at half their time, so that half an hour of trouble
    with the token service or the cluster costs nothing but tries."""
    return at + max(timedelta(seconds=30), (datetime.fromisoformat(storage["expiry_time"]) - at) / 2)


def renewed_storage(settings: Settings, order_id: str, seconds: int) -> dict[str, str] | None:
    """Fresh credentials for a step that is at work, as long as its order may go on; None when the vault is no bucket.

    Raises `ConsentRefused` for an order that was stopped: what its step still holds ends within the hour. Otherwise as
    `storage_credentials`.
    """
    if not settings.store_url.startswith("s3://"):
        return None
    from memorial_tasks.production.steps import require_runnable  # it imports this module

    with transaction(database_url(settings.database_url, settings.database_dir)) as connection:
        order = get_order(connection, order_id)
    if order is None:
        raise MemorialError("no such order", where="order", remedy="see 'memorial order list'")
    require_runnable(order)
    return storage_credentials(settings, order_id, seconds)
