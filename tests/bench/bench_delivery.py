"""Delivery of a large film: memory must not grow with it, and the plaintext must never touch a disk.

The bucket is moto on loopback in a process of its own, so the seconds are those of this machine's Python against
Python; the memory is the delivering process's alone.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SMALL, LARGE = 64, 1024  # MB

# Encrypts a film of argv[2] MB into a vault below argv[1]; uploads it to argv[3]; prints what that took.
_CHILD = """
import hashlib, json, os, resource, secrets, sys, time
from pathlib import Path
from memorial_tasks.delivery.bucket import BucketTarget
from memorial_tasks.delivery.target import Item
from memorial_tasks.vault.cipher import encrypt_stream
from memorial_tasks.vault.store import EncryptedStore, LocalStore

root, megabytes, endpoint = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
uri, key = f"vault://orders/bench/seal/{megabytes}/film.mp4", secrets.token_bytes(32)

class Film:
    left = megabytes << 20
    def read(self, count):
        count = min(count, self.left)
        self.left -= count
        return os.urandom(count)

path = root / uri.removeprefix("vault://")
path.parent.mkdir(parents=True)
with path.open("wb") as target:
    digest, size = encrypt_stream(Film(), target, key, uri)
vault = EncryptedStore(LocalStore(root), key, root)
began = time.monotonic()
bucket = BucketTarget("bench", endpoint=endpoint, kms_key="alias/bench")
with bucket.stage("bench", digest, [Item("film.mp4", size, digest, lambda: vault.chunks(uri))]) as staged:
    version = staged.objects[0].version
seconds = time.monotonic() - began
assert version and [p for p in root.rglob("*") if p.is_file()] == [path]
print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
path.unlink()
"""


def run() -> dict[str, float]:
    """`delivery.memory_growth` is the peak of the large upload over that of the small one; 1 means constant."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    quiet = subprocess.DEVNULL
    program = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    moto = subprocess.Popen(program, env=environment, stdout=quiet, stderr=quiet)
    try:
        _wait(endpoint)
        _bucket(endpoint, environment)
        with tempfile.TemporaryDirectory() as folder:
            found = {size: _upload(Path(folder), size, endpoint, environment) for size in (SMALL, LARGE)}
    finally:
        moto.terminate()
        moto.wait(20)
    return {
        "delivery.film_mb": LARGE,
        "delivery.peak_memory_mb": found[LARGE]["peak_mb"],
        "delivery.memory_growth": found[LARGE]["peak_mb"] / found[SMALL]["peak_mb"],
        "delivery.upload_mb_per_s": LARGE / found[LARGE]["seconds"],
    }


def _wait(endpoint: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(endpoint, timeout=2).read()  # noqa: S310 - loopback
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("moto did not start")


def _bucket(endpoint: str, environment: dict[str, str]) -> None:
    code = (
        "import boto3, sys; c = boto3.client('s3', endpoint_url=sys.argv[1]); c.create_bucket(Bucket='bench');"
        " c.put_bucket_versioning(Bucket='bench', VersioningConfiguration={'Status': 'Enabled'})"
    )
    subprocess.run([sys.executable, "-c", code, endpoint], env=environment, check=True)


def _upload(folder: Path, megabytes: int, endpoint: str, environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-c", _CHILD, str(folder), str(megabytes), endpoint]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
