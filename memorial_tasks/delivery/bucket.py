"""Delivery to a bucket through boto3: encrypted by KMS, uploaded in parts with SHA-256 checksums, versioned.

An object of a multipart upload appears when its last call succeeds and not before; until then the parts can be thrown
away. The plaintext goes from the vault into the parts and is never on this machine's disk; memory holds one part.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from memorial_tasks.delivery.target import FILM, Item, Placed, checked, safe_name, safe_order
from memorial_tasks.errors import IntegrityError, MemorialError, Unavailable

PART = 8 << 20  # bytes; 10,000 parts are 80 GiB
PRESIGNED_SECONDS = 300
_MAKING = threading.Lock()  # clients may be used by several threads at once, but not be made by them
_NO_LOCK = {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented"}


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turns the client's errors into ours: refused access is not worth another try, everything else is."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in {"AccessDenied", "403", "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
            raise MemorialError(
                f"the delivery bucket refuses ({code})",
                where="MEMORIAL_DELIVERY_BUCKET",
                remedy=f"give this studio the right to {what}, or mend the bucket's name",
            ) from error
        raise Unavailable(
            f"the delivery bucket does not answer as it should ({code})", where=what, remedy="try again"
        ) from error
    except BotoCoreError as error:
        raise Unavailable(
            f"the delivery bucket does not answer ({type(error).__name__})", where=what, remedy="try again"
        ) from error


@dataclass
class _Objects:
    """What `BucketTarget.stage` uploaded or found."""

    bucket: "BucketTarget"
    place: str
    objects: list[Placed] = field(default_factory=list)
    uploaded: list[tuple[str, str]] = field(default_factory=list)  # key, version

    def publish(self) -> None:
        """Nothing to do: an object is reached through an address, and addresses need the registry's row."""

    def discard(self) -> None:
        for key, version in self.uploaded:
            self.bucket.remove(key, version)
        self.uploaded.clear()


class BucketTarget:
    """Delivers below ``prefix/orders/ORDER/FILM/``, where FILM begins the film's digest: a key never changes its
    content."""

    def __init__(self, bucket: str, *, endpoint: str | None = None, kms_key: str | None = None, role: str = "") -> None:
        name, _, prefix = bucket.removeprefix("s3://").partition("/")
        self.bucket, self.prefix = name, prefix.strip("/")
        self.endpoint, self.kms_key, self.role = endpoint, kms_key, role
        self.name = f"s3://{name}/{self.prefix}".rstrip("/")
        self.client = self._client()

    def _client(self, **credentials: str) -> Any:
        import boto3
        from botocore.config import Config

        settings: dict[str, Any] = {"signature_version": "s3v4", "retries": {"mode": "standard", "max_attempts": 5}}
        if self.endpoint:
            settings["s3"] = {"addressing_style": "path"}
        with _MAKING:
            return boto3.client("s3", endpoint_url=self.endpoint, config=Config(**settings), **credentials)

    def _folder(self, order_id: str) -> str:
        below = f"orders/{safe_order(order_id)}/"
        return f"{self.prefix}/{below}" if self.prefix else below

    def key(self, order_id: str, film: str, name: str) -> str:
        """The object's key."""
        return f"{self._folder(order_id)}{film[:16]}/{safe_name(name)}"

    def check(self) -> None:
        """Raises `MemorialError` for a bucket that keeps no versions or that would not let anything be erased."""
        from botocore.exceptions import ClientError

        with answering("read the bucket's versioning"):
            status = self.client.get_bucket_versioning(Bucket=self.bucket).get("Status")
        if status != "Enabled":
            raise MemorialError(
                "the delivery bucket keeps no versions: an overwritten film could not be told from the approved one",
                where="MEMORIAL_DELIVERY_BUCKET",
                remedy="enable versioning on the bucket",
            )
        with answering("read the bucket's object lock"):
            try:
                lock = self.client.get_object_lock_configuration(Bucket=self.bucket)["ObjectLockConfiguration"]
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _NO_LOCK:
                    raise
                return
        retention = lock.get("Rule", {}).get("DefaultRetention")
        if retention:
            raise MemorialError(
                f"the bucket locks every object ({retention.get('Mode', 'retention')}): nothing could be erased",
                where="MEMORIAL_DELIVERY_BUCKET",
                remedy="use a bucket without a default retention; object lock is for checkpoints only",
            )

    @contextmanager
    def stage(self, order_id: str, film: str, items: Sequence[Item]) -> Iterator[_Objects]:
        """Uploads what is not there yet, the film last. Parts that a killed upload left are thrown away first."""
        self._abort_uploads(self._folder(order_id))
        staged = _Objects(self, f"s3://{self.bucket}/{self.key(order_id, film, FILM)}")
        for item in sorted(items, key=lambda item: item.name == FILM):
            key = self.key(order_id, film, item.name)
            version = self._found(key, item)
            if version is None:
                version = self._upload(key, item)
                staged.uploaded.append((key, version))
            staged.objects.append(Placed(item.name, item.size, item.sha256, version))
        yield staged

    def _encryption(self) -> dict[str, Any]:
        """Our key by name; without one nothing is said, because "aws:kms" alone would mean the account's key and not
        the bucket's."""
        if not self.kms_key:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key, "BucketKeyEnabled": True}

    def _upload(self, key: str, item: Item) -> str:
        """One multipart upload; returns the version. Anything that goes wrong leaves nothing."""
        with answering("upload"):
            begun = self.client.create_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                ChecksumAlgorithm="SHA256",
                ContentType=item.media_type,
                CacheControl="private, no-store",
                Metadata={"sha256": item.sha256},
                **self._encryption(),
            )["UploadId"]
        try:
            with answering("upload"):
                parts, digests = self._send_parts(key, begun, item)
                done = self.client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=begun, MultipartUpload={"Parts": parts}
                )
        except BaseException:
            with suppress(MemorialError), answering("abort an upload"):  # the first error is the one to tell
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=begun)
            raise
        version = str(done.get("VersionId", ""))
        head = self._head(key)
        if head is not None and head.get("ServerSideEncryption") != "aws:kms":
            self.remove(key, version)
            raise MemorialError(
                "the delivery bucket does not encrypt with a KMS key",
                where="MEMORIAL_DELIVERY_KMS_KEY",
                remedy="name a key, or make one the bucket's default encryption",
            )
        if not self._is_right(head, key, item, digests):
            self.remove(key, version)
            raise Unavailable("the bucket stored other bytes than were sent", where=item.name, remedy="try again")
        return version

    def _send_parts(self, key: str, upload: str, item: Item) -> tuple[list[dict[str, Any]], list[bytes]]:
        """Sends the parts. The last one is sent only after the whole plaintext was found to be the approved one."""
        parts: list[dict[str, Any]] = []
        digests: list[bytes] = []
        for number, body in enumerate(_parts(checked(item)), 1):
            digest = hashlib.sha256(body).digest()
            checksum = base64.b64encode(digest).decode()
            answer = self.client.upload_part(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
            )
            parts.append({"ETag": answer["ETag"], "PartNumber": number, "ChecksumSHA256": checksum})
            digests.append(digest)
        return parts, digests

    def _head(self, key: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with answering("read an object's head"):
            try:
                return dict(self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED"))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey"}:
                    return None
                raise

    def _found(self, key: str, item: Item) -> str | None:
        """The version of an object that is there already, uploaded by a call that died before it could say so."""
        head = self._head(key)
        if head is None or head["ContentLength"] != item.size or head.get("Metadata", {}).get("sha256") != item.sha256:
            return None
        digests = [hashlib.sha256(body).digest() for body in _parts(checked(item))]
        return str(head.get("VersionId", "")) if self._is_right(head, key, item, digests) else None

    def _is_right(self, head: dict[str, Any] | None, key: str, item: Item, digests: Sequence[bytes]) -> bool:
        """Whether the bucket holds our bytes, under KMS. A bucket that tells no checksum is read back."""
        if head is None or head["ContentLength"] != item.size or head.get("ServerSideEncryption") != "aws:kms":
            return False
        told = head.get("ChecksumSHA256")
        if told:  # of a multipart object: the checksum of its parts' checksums, and how many they were
            composite = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
            return str(told).partition("-")[0] == composite
        with answering("read a film back"):
            body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
            digest = hashlib.sha256()
            for piece in iter(lambda: body.read(1 << 20), b""):
                digest.update(piece)
        return digest.hexdigest() == item.sha256

    # --- handing out ---------------------------------------------------------------------------------------

    def unchanged(self, order_id: str, film: str, placed: Placed) -> bool:
        """True when the object that an address would open now is the very version that was delivered."""
        head = self._head(self.key(order_id, film, placed.name))
        return head is not None and head["ContentLength"] == placed.size and head.get("VersionId") == placed.version

    def address(self, order_id: str, film: str, name: str, file_name: str) -> str:
        """A presigned GET for five minutes, saved as `file_name`. Signed by the signer's role where there is one,
        narrowed to this one object: a leaked session opens nothing else."""
        key = self.key(order_id, film, name)
        with answering("sign an address"):
            signer = self._signer(key) if self.role else self.client
            return str(
                signer.generate_presigned_url(
                    "get_object",
                    Params={
                        "Bucket": self.bucket,
                        "Key": key,
                        "ResponseContentDisposition": f'attachment; filename="{file_name}"',
                        "ResponseCacheControl": "private, no-store",
                    },
                    ExpiresIn=PRESIGNED_SECONDS,
                )
            )

    def _signer(self, key: str) -> Any:
        import boto3

        kms = self.kms_key if self.kms_key and self.kms_key.startswith("arn:") else "*"  # the role itself narrows it
        allowed = [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{self.bucket}/{key}"},
            {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": kms},
        ]
        with _MAKING:
            service = boto3.client("sts", endpoint_url=self.endpoint)
        session = service.assume_role(
            RoleArn=self.role,
            RoleSessionName="memorial-link-gate",
            DurationSeconds=900,  # the least there is; the address itself ends after five minutes
            Policy=json.dumps({"Version": "2012-10-17", "Statement": allowed}),
        )["Credentials"]
        return self._client(
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
        )

    @property
    def origin(self) -> str:
        """Where presigned addresses lead: a page's policy has to allow exactly this."""
        address = urlsplit(self.client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "x"}))
        return f"{address.scheme}://{address.netloc}"

    # --- taking back ---------------------------------------------------------------------------------------

    def hide(self, order_id: str, keep: str = "") -> int:
        """A delete marker over every object: addresses already given out answer 404 from now on."""
        folder, kept = self._folder(order_id), f"{self._folder(order_id)}{keep[:16]}/" if keep else ""
        hidden = 0
        with answering("hide objects"):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder):
                for item in page.get("Contents", ()):
                    if not kept or not item["Key"].startswith(kept):
                        self.client.delete_object(Bucket=self.bucket, Key=item["Key"])
                        hidden += 1
        return hidden

    def erase(self, order_id: str) -> int:
        """Every version, every delete marker, every unfinished upload."""
        folder, removed = self._folder(order_id), 0
        with answering("erase objects"):
            pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=folder)
            for page in pages:
                for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    self.client.delete_object(Bucket=self.bucket, Key=item["Key"], VersionId=item["VersionId"])
                    removed += 1
            removed += self._abort_uploads(folder)
            left = self.client.list_object_versions(Bucket=self.bucket, Prefix=folder, MaxKeys=1)
        if left.get("Versions") or left.get("DeleteMarkers"):
            raise IntegrityError("objects came back while erasing", where=self.name, remedy="erase once more")
        return removed

    def remove(self, key: str, version: str) -> None:
        """Destroys one version."""
        with answering("remove an object"):
            self.client.delete_object(Bucket=self.bucket, Key=key, **({"VersionId": version} if version else {}))

    def _abort_uploads(self, folder: str) -> int:
        aborted = 0
        with answering("abort uploads"):
            for page in self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=folder):
                for item in page.get("Uploads", ()):
                    self.client.abort_multipart_upload(Bucket=self.bucket, Key=item["Key"], UploadId=item["UploadId"])
                    aborted += 1
        return aborted


def _parts(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of exactly `PART` bytes and a last one that may be shorter. One piece more than the one being sent is
    held back, so that the check at the end of `chunks` happens before the last piece goes out."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) > PART:
            yield bytes(held[:PART])
            del held[:PART]
    yield bytes(held)
