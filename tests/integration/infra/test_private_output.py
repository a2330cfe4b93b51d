"""A real step in its own process, fed with a family's words: none of them is in what it prints, well or ill."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from memorial_tasks.consent.keys import consent_keys
from memorial_tasks.consent.permit import issue_permit
from memorial_tasks.domain.job import ArtifactRef, Job
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.steps.code import code_version
from memorial_tasks.steps.process import StepSecrets
from memorial_tasks.vault.signing import public_pem
from memorial_tasks.vault.store import EncryptedStore, LocalStore

pytestmark = pytest.mark.integration
KEY = bytes(range(32))
NAME, LINE, FILE = "Großmutter Lili", "Remember the garden in 1962, dear Maria?", "Lili-am-See 1962.mp4"
PRIVATE = (NAME, LINE, FILE, "Lili", "Maria", "garden", "Gro\\u00dfmutter")
GOOD = [{"text": f"{LINE} {NAME}", "emotion": "warm"}]


@dataclass
class Said:
    """What a step printed, and how it ended."""

    code: int
    text: str
    stdout: str


def run_direct(folder: Path, script: bytes, interludes: bytes, assets: Path) -> Said:
    store, keys = LocalStore(folder / "vault"), consent_keys(folder / "keyring")
    vault, inputs = EncryptedStore(store, KEY, folder), []
    for name, content in (("script.json", script), ("interludes.json", interludes)):
        (folder / name).write_bytes(content)
        uri = f"vault://orders/order-1/originals/{name}"
        digest, size = vault.put(uri, folder / name)
        assert digest == sha256(content).hexdigest()
        inputs.append(ArtifactRef(name=name, uri=uri, sha256=digest, size=size))
    token, _ = issue_permit(
        keys.permit, order="order-1", subject="sub-1", purpose=Purpose.FAMILY_PRIVATE, modalities=(Modality.VOICE,),
        steps=("direct",), consent_id="c-1", consent_version=1, now=datetime.now(UTC), lifetime=timedelta(minutes=5),
    )  # fmt: skip
    job = Job(
        step="direct", order="order-1", subject="sub-1", params={"language": "en-US"}, inputs=tuple(inputs),
        output_prefix="vault://orders/order-1/direct/k", result_key="k" * 64, code_version=code_version("direct"),
        seed=1, permit=token,
    )  # fmt: skip
    (folder / "job.json").write_text(job.model_dump_json())
    secrets = StepSecrets(data_key=KEY, permit_public_pem=public_pem(keys.permit.public))
    (folder / "secrets.json").write_bytes(secrets.dump())
    done = subprocess.run(
        [
            sys.executable, "-m", "memorial_tasks.steps", "direct", "--job", str(folder / "job.json"),
            "--store", f"file://{store.root}", "--assets", str(assets), "--secrets-file", str(folder / "secrets.json"),
        ],
        env={k: v for k, v in os.environ.items() if not k.startswith("MEMORIAL_")} | {"PYTHONUNBUFFERED": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout + done.stderr, done.stdout)


@pytest.mark.parametrize(
    ("script", "interludes", "ends_well"),
    [
        (json.dumps(GOOD).encode(), b"{}", True),
        (json.dumps([{"text": f"{LINE} {NAME}", "emotion": NAME}]).encode(), b"{}", False),
        (json.dumps([{"text": LINE, FILE: NAME}]).encode(), b"{}", False),
        (json.dumps(GOOD).encode(), f'{{"{FILE}": {NAME}'.encode(), False),  # no JSON: an error nobody foresaw
        (f"{LINE} {NAME}".encode(), b"{}", False),
    ],
    ids=["a good script", "an unknown emotion", "an unknown field", "a torn document", "no script at all"],
)
def test_no_private_word_is_printed(
    tmp_path: Path, assets: Path, script: bytes, interludes: bytes, ends_well: bool
) -> None:
    said = run_direct(tmp_path, script, interludes, assets)
    assert (said.code == 0) is ends_well, said.text
    events = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
    assert any("result" in event for event in events) is ends_well
    assert any("error" in event for event in events) is not ends_well
    for private in PRIVATE:
        assert private not in said.text, said.text
