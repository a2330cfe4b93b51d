"""The control plane's side of a local step: start the process, hand it its secrets, read what it says."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memorial_tasks import errors
from memorial_tasks.domain.job import Job, Result
from memorial_tasks.errors import InputRefused, MemorialError, Problem, StepFailed
from memorial_tasks.steps.process import EXIT_PERMIT, EXIT_REFUSED, StepSecrets
from memorial_tasks.vault.store import Store

# Everything else stays behind: a step must not see the database, the keyring's place or Airflow's secrets.
PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MEMORIAL_SCRATCH", "MEMORIAL_STEP_TRACEBACK"),
    *("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
)

Progress = Callable[[float, str], None]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    package = str(Path(__file__).resolve().parent.parent.parent)
    return kept | {"PYTHONPATH": package, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}


def _raise(event: dict[str, Any] | None, code: int, step: str) -> None:
    if event is None:
        reason = f"was killed by signal {-code}" if code < 0 else f"ended with code {code} and said nothing"
        raise StepFailed(
            f"the step {reason}", where=step, remedy="it resumes from its last checkpoint when tried again"
        )
    if event["error"] == "InputRefused":
        raise InputRefused([Problem(**problem) for problem in event["problems"]])
    kind = getattr(errors, event["error"], MemorialError)
    if code not in {EXIT_REFUSED, EXIT_PERMIT}:
        kind = StepFailed
    raise kind(event["what"], where=f"{step} {event.get('where', '')}".strip(), remedy=event.get("remedy", ""))


def _feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


def run_step_locally(
    job: Job,
    store_url: str,
    store: Store,
    secrets: StepSecrets,
    assets: Path,
    progress: Progress,
    s3_endpoint: str | None = None,
) -> Result:
    """Run the step as a subprocess and return its result document.

    Raises what the step raised: `InputRefused`, `QualityRefused`, `PermitRefused`, `ModelRefused` (never worth a
    retry), or `StepFailed` when it was killed or failed for a reason that may pass.
    """
    with tempfile.TemporaryDirectory(prefix="memorial-job-") as folder:
        document = Path(folder) / "job.json"
        document.write_text(job.model_dump_json())
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "memorial_tasks.steps", job.step, "--job", str(document), "--store", store_url,
                   "--assets", str(assets), "--secrets-fd", str(reading)]  # fmt: skip
        if s3_endpoint:
            command += ["--s3-endpoint", s3_endpoint]
        environment = _environment()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(reading,),
            env=environment,
            text=True,
        ) as process:
            os.close(reading)
            feeder = threading.Thread(target=_feed, args=(writing, secrets.dump()), daemon=True)
            feeder.start()
            event, finished = None, False
            try:
                for line in process.stdout or ():
                    message = _parse(line)
                    if "progress" in message:
                        progress(message["progress"], message.get("message", ""))
                    elif "error" in message:
                        event = message
                    elif "result" in message:
                        finished = True
            except BaseException:
                process.kill()
                raise
            code = process.wait()
        if code != 0 or not finished:
            _raise(event, code, job.step)
        target = Path(folder) / "result.json"
        store.fetch(f"{job.output_prefix}/result.json", target)
        return Result.model_validate_json(target.read_bytes())


def _parse(line: str) -> dict[str, Any]:
    """A library that prints to standard output must not break the protocol."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
