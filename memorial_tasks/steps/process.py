"""One step in its own process: the data plane's side of the contract.

The process gets a job document, the address of the vault and, through an inherited pipe or a file mounted from
memory, its secrets. It checks the permit, opens its inputs, runs the step, seals the outputs and writes the result
document last: a result that can be read is complete. Nothing decrypted outlives the process.
"""

import base64
import ctypes
import fcntl
import importlib
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from pydantic import ValidationError

from memorial_tasks import __version__
from memorial_tasks.consent.permit import check_permit
from memorial_tasks.domain.job import ArtifactRef, Job, Result
from memorial_tasks.errors import (
    ConsentRefused,
    InputRefused,
    IntegrityError,
    MemorialError,
    PermitRefused,
    Problem,
    QualityRefused,
)
from memorial_tasks.steps.code import code_version
from memorial_tasks.steps.contract import ON_REQUEST, STEPS, SigningCredential, StepContext
from memorial_tasks.vault.store import EncryptedStore, Store

# Exit codes tell the control plane whether another try can help.
EXIT_REFUSED, EXIT_PERMIT, EXIT_RETRY = 3, 4, 5
# The documents a step leaves below its output prefix; the job is sealed under the subject's key.
JOB, RESULT, FAILURE = "job.json", "result.json", "failure.json"

# Their versions decide what a result looks like, so every result document names them.
MEASURED_PACKAGES = (
    "torch",
    "opencv-python-headless",
    "numpy",
    "av",
    "pyworld",
    "great_expectations",
    "c2pa-python",
    "onnxruntime",
)

MEDIA_TYPES = {
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".wav": "audio/wav",
    ".mp4": "video/mp4",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".srt": "application/x-subrip",
    ".safetensors": "application/vnd.safetensors",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".zip": "application/zip",
}


@dataclass(frozen=True)
class StepSecrets:
    """What the control plane hands to one step alone."""

    data_key: bytes = field(repr=False)
    permit_public_pem: str
    watermark_key: bytes = field(default=b"", repr=False)
    signing: SigningCredential | None = field(default=None, repr=False)

    def dump(self) -> bytes:
        """As the JSON document that travels through the pipe or the mounted file."""
        signing = None
        if self.signing:
            signing = {
                "chain_pem": self.signing.chain_pem,
                "key_pem": self.signing.key_pem,
                "anchors_pem": self.signing.anchors_pem,
            }
        body = {
            "data_key": base64.b64encode(self.data_key).decode(),
            "permit_public_pem": self.permit_public_pem,
            "watermark_key": base64.b64encode(self.watermark_key).decode(),
            "signing": signing,
        }
        return json.dumps(body).encode()

    @classmethod
    def load(cls, data: bytes) -> "StepSecrets":
        """From the JSON document."""
        body = json.loads(data)
        return cls(
            data_key=base64.b64decode(body["data_key"]),
            permit_public_pem=body["permit_public_pem"],
            watermark_key=base64.b64decode(body.get("watermark_key", "")),
            signing=SigningCredential(**body["signing"]) if body.get("signing") else None,
        )


def emit(**event: Any) -> None:
    """One line of progress or error for the control plane, on standard output."""
    sys.stdout.write(json.dumps(event, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def die_with_parent() -> None:
    """Ask the kernel to end this process when the worker that started it dies, so that no orphan trains on."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(EXIT_RETRY)


def stop_cleanly() -> None:
    """End on SIGTERM as on an error, so that plaintext is removed and a pod's grace time is not waited out.

    In a container the step is process 1, for which the kernel ignores a signal without a handler.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        emit(error="StepFailed", what="the step was told to stop", where="", remedy="it resumes when tried again")
        raise SystemExit(EXIT_RETRY)

    signal.signal(signal.SIGTERM, stop)


def scratch_root(needed: int) -> Path:
    """Memory-backed storage when it has four times the room needed, otherwise the private temporary folder."""
    override = os.environ.get("MEMORIAL_SCRATCH")
    if override:
        return Path(override)
    memory = Path("/dev/shm")  # noqa: S108 - a memory file system is what keeps plaintext off the disk
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * needed + (1 << 30):
        return memory
    return Path(tempfile.gettempdir())


@contextmanager
def workspace(needed: int, key: str) -> Iterator[Path]:
    """A private folder that is gone afterwards, and a lock, so that one result is never made twice at once."""
    root = scratch_root(needed)
    _sweep(root)
    with (root / f"memorial-{key[:24]}.lock").open("w") as lock:
        # The empty lock file stays: removing it would let a waiter and a newcomer lock two different files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(tempfile.mkdtemp(prefix=f"memorial-{os.getpid()}-", dir=root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what killed steps left behind: folders whose process is gone."""
    for folder in root.glob("memorial-*-*"):
        pid = folder.name.split("-")[1]
        if folder.is_dir() and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


class Checkpoints:
    """State that survives a kill: a folder mirrored into the vault, one complete generation at a time.

    A file that did not change since the last generation is not stored again, so a film's finished shots are written
    once each. Hidden files are still being written and are passed over.
    """

    def __init__(self, vault: EncryptedStore, prefix: str, folder: Path) -> None:
        self.vault, self.prefix, self.folder = vault, f"{prefix}/checkpoint", folder
        self.generation = 0
        self._stored: dict[str, tuple[int, int, int]] = {}  # name: generation, size, time of its last change

    def restore(self) -> bool:
        """Bring back the last complete generation; True when there was one."""
        pointer = f"{self.prefix}/latest.json"
        if not self.vault.store.exists(pointer):
            return False
        target = self.folder.parent / "latest.json"
        self.vault.fetch(pointer, target)
        latest = json.loads(target.read_text())
        self.generation = int(latest["generation"])
        for name, generation in latest["files"].items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self.vault.fetch(f"{self.prefix}/{generation}/{name}", path)
            self._stored[name] = (generation, path.stat().st_size, path.stat().st_mtime_ns)
        return True

    def save(self) -> None:
        """Store what changed as a new generation, then move the pointer, then drop what no generation needs."""
        before, self.generation = dict(self._stored), self.generation + 1
        now: dict[str, tuple[int, int, int]] = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
            name, about = path.relative_to(self.folder).as_posix(), path.stat()
            kept = before.get(name)
            if kept and kept[1:] == (about.st_size, about.st_mtime_ns):
                now[name] = kept
                continue
            self.vault.put(f"{self.prefix}/{self.generation}/{name}", path)
            now[name] = (self.generation, about.st_size, about.st_mtime_ns)
        pointer = self.folder.parent / "latest.json"
        files = {name: stored[0] for name, stored in now.items()}
        pointer.write_text(json.dumps({"generation": self.generation, "files": files}))
        self.vault.put(f"{self.prefix}/latest.json", pointer)
        self._stored = now
        for name, (generation, _, _) in before.items():
            if files.get(name) != generation:
                self.vault.store.delete(f"{self.prefix}/{generation}/{name}")

    def clear(self) -> None:
        """Remove every generation, after the result was written."""
        self._drop(self.prefix)

    def _drop(self, prefix: str) -> None:
        for uri in self.vault.store.listing(prefix):
            self.vault.store.delete(uri)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "memorial_tasks": __version__}
    for name in MEASURED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> tuple[str, str]:
    """Model and driver version of the GPU this step worked on; both empty when it worked on none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "", ""
    return str(torch.cuda.get_device_name(0)), _driver()


def _driver(module: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Version of NVIDIA's driver, from the kernel module or, where a container hides that, from its own tool."""
    if module.is_file():
        found = re.search(r"Kernel Module(?: for \S+)?\s+([0-9][0-9.]*)", module.read_text(errors="replace"))
        if found:
            return found.group(1)
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(asked.stdout.split()), "")[:40]


def load_step(name: str) -> ModuleType:
    """The module of a step; `MemorialError` for an unknown name."""
    if name not in (*STEPS, *ON_REQUEST):
        raise MemorialError("unknown step", where=name[:40], remedy=f"one of {', '.join(STEPS)}")
    return importlib.import_module(f"memorial_tasks.steps.{name}")


def existing_result(store: Store, job: Job, scratch: Path) -> Result | None:
    """The result of an earlier run with the same key, if all its outputs are still there."""
    uri = f"{job.output_prefix}/{RESULT}"
    if not store.exists(uri):
        return None
    path = scratch / "existing-result.json"
    store.fetch(uri, path)
    result = Result.model_validate_json(path.read_bytes())
    if result.result_key != job.result_key or not all(store.exists(output.uri) for output in result.outputs):
        return None
    return result


def require_covered(job: Job, secrets: StepSecrets, wanted: Collection[str]) -> None:
    """Refuse a job whose permit does not cover it, or that was made for other code.

    Raises `PermitRefused` for a permit that is forged, expired, another order's or step's, or for less than the
    modalities `wanted`; `MemorialError` when control plane and worker run different code.
    """
    permit = check_permit(job.permit, secrets.permit_public_pem, order=job.order, step=job.step, now=datetime.now(UTC))
    missing = set(wanted) - {str(modality) for modality in permit.modalities}
    if missing or permit.subject != job.subject:
        raise PermitRefused("the permit does not cover this step", where=job.step, remedy="ask the grantor for consent")
    if code_version(job.step) != job.code_version:
        raise MemorialError(
            "the worker runs other code than the job was made for",
            where=job.step,
            remedy="use one image; on one machine, after an update: memorial studio stop, then memorial studio start",
        )


def fetch_inputs(job: Job, vault: EncryptedStore, folder: Path) -> None:
    """Every input of the job, decrypted below `folder`; `IntegrityError` for one that is not what was recorded."""
    for artifact in job.inputs:
        target = folder / artifact.name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, _ = vault.fetch(artifact.uri, target)
        if digest != artifact.sha256:
            raise IntegrityError(
                "an input is not the file that was recorded", where=artifact.name, remedy="call an engineer"
            )


def _store_outputs(job: Job, vault: EncryptedStore, folder: Path) -> tuple[ArtifactRef, ...]:
    outputs = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        uri = f"{job.output_prefix}/{name}"
        digest, size = vault.put(uri, path)
        media_type = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
        outputs.append(ArtifactRef(name=name, uri=uri, sha256=digest, size=size, media_type=media_type))
    return tuple(outputs)


def read_job(address: str, store: Store, data_key: bytes) -> Job:
    """The job document at its place in the vault; sealed under the subject's key, so nobody else can have written it.

    Raises `IntegrityError` when it was not sealed for this place, `MemorialError` when it is gone.
    """
    with tempfile.TemporaryDirectory(prefix="memorial-job-", dir=scratch_root(0)) as folder:
        target = Path(folder) / JOB
        EncryptedStore(store, data_key, Path(folder)).fetch(address, target)
        return Job.model_validate_json(target.read_bytes())


def run_job(
    job: Job, store: Store, secrets: StepSecrets, assets: Path, load: Callable[[str], ModuleType] | None = None
) -> Result:
    """Do the job, or return the result that is there already. `load` finds the module of a step by its name."""
    module = (load or load_step)(job.step)
    require_covered(job, secrets, module.MODALITIES)
    started, clock = datetime.now(UTC), time.monotonic()
    with workspace(sum(artifact.size for artifact in job.inputs), job.result_key) as scratch:
        done = existing_result(store, job, scratch)
        if done:
            return done
        inputs, out, saved = scratch / "inputs", scratch / "out", scratch / "state" / "checkpoints"
        for folder in (inputs, out, saved):
            folder.mkdir(parents=True)
        vault = EncryptedStore(store, secrets.data_key, scratch)
        checkpoints = Checkpoints(vault, job.output_prefix, saved)
        resumed = checkpoints.restore()
        fetch_inputs(job, vault, inputs)
        context = StepContext(
            order=job.order,
            inputs=inputs,
            out=out,
            checkpoints=saved,
            seed=job.seed,
            progress=lambda fraction, message: emit(progress=round(float(fraction), 4), message=message),
            save_checkpoint=checkpoints.save,
            assets=assets,
            signing=secrets.signing,
            watermark_key=secrets.watermark_key,
        )
        params = _params(module, job)
        metrics = module.run(context, params)
        outputs = _store_outputs(job, vault, out)
        usage, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        (gpu, driver), wall = _gpu(), time.monotonic() - clock
        result = Result(
            step=job.step,
            order=job.order,
            result_key=job.result_key,
            code_version=job.code_version,
            outputs=outputs,
            metrics=metrics,
            versions=_versions(),
            seed=job.seed,
            started_at=started,
            finished_at=datetime.now(UTC),
            wall_s=round(wall, 3),
            cpu_s=round(usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime, 3),
            peak_memory_mb=round(max(usage.ru_maxrss, children.ru_maxrss) / 1024, 1),
            gpu=gpu,
            gpu_minutes=round(wall / 60, 3) if gpu else 0.0,
            gpu_driver=driver,
            resumed=resumed,
        )
        document = scratch / RESULT
        document.write_text(result.model_dump_json(indent=1))
        store.put(f"{job.output_prefix}/{RESULT}", document)
        store.delete(f"{job.output_prefix}/{FAILURE}")
        checkpoints.clear()
        return result


def _params(module: ModuleType, job: Job) -> Any:
    try:
        return module.Params.model_validate(job.params)
    except ValidationError as error:
        raise InputRefused(
            [
                Problem("step.param", item["msg"], "correct the job", field=".".join(str(part) for part in item["loc"]))
                for item in error.errors(include_input=False, include_url=False)
            ]
        ) from None


def failure_event(error: Exception) -> tuple[dict[str, Any], int]:
    """What went wrong, for the control plane and without personal data, and the exit code that goes with it."""
    if isinstance(error, InputRefused):
        problems = [vars(problem) for problem in error.problems]
        return {"error": "InputRefused", "what": error.what, "problems": problems}, EXIT_REFUSED
    if isinstance(error, MemorialError):
        event = {"error": type(error).__name__, "what": error.what, "where": error.where, "remedy": error.remedy}
        if isinstance(error, ConsentRefused):
            return event, EXIT_PERMIT
        fatal = not error.retryable or isinstance(error, QualityRefused)
        return event, EXIT_REFUSED if fatal else EXIT_RETRY
    # An unforeseen error's text may quote a file name or a script line: only its kind and place travel.
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
    what, remedy = f"unforeseen {type(error).__name__}", "see the step's own log"
    return {"error": "StepFailed", "what": what, "where": place, "remedy": remedy}, EXIT_RETRY


def leave_failure(store: Store, job: Job, event: dict[str, Any]) -> None:
    """Write the failure down where the control plane finds it when a pod and its log are gone. Never raises: the exit
    code says the same in one number."""
    try:
        with tempfile.TemporaryDirectory(prefix="memorial-failure-") as folder:
            document = Path(folder) / FAILURE
            document.write_text(json.dumps(event | {"attempt": job.attempt}, ensure_ascii=True))
            store.put(f"{job.output_prefix}/{FAILURE}", document)
    except Exception as error:  # whatever the store does now, the first error is the one to tell
        emit(message=f"the failure could not be written down: {type(error).__name__}")
