"""The control plane's side of a step: how it is started here, and what is made of the way it ended.

A step may run as a subprocess or as a pod. Both end with an `Ended`, and one function, `outcome`, turns that and what
lies in the vault into the result document or into the error a person can act on.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from memorial_tasks import errors
from memorial_tasks.domain.job import Result
from memorial_tasks.errors import InputRefused, IntegrityError, MemorialError, Problem, StepFailed
from memorial_tasks.steps.process import EXIT_PERMIT, EXIT_REFUSED, FAILURE, RESULT, StepSecrets
from memorial_tasks.vault.store import Store

# Everything else stays behind: a step must not see the database, the keyring's place or Airflow's secrets.
PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MEMORIAL_SCRATCH", "MEMORIAL_STEP_TRACEBACK"),
    *("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
)

Progress = Callable[[float, str], None]
RESUMES = "it resumes from its last checkpoint when tried again"


@dataclass(frozen=True)
class Ticket:
    """One attempt at one step, in ids only: may travel through Airflow's database and through labels."""

    order: str
    step: str
    result_key: str
    code_version: str
    prefix: str
    permit: str

    def dump(self) -> dict[str, str]:
        """As the plain dictionary that travels."""
        return dict(vars(self))


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: its exit status, what it said last, or why nobody knows.

    `code` is None when the status is unknown (evicted, node lost, pod gone); `lost` then says so in a few words.
    """

    code: int | None
    event: Mapping[str, Any] | None = None
    lost: str = ""


def local_command(words: Sequence[str]) -> list[str]:
    """The command on this machine: a leading ``python`` is the interpreter that runs us."""
    return [sys.executable, *words[1:]] if words[:1] == ["python"] else list(words)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    package = str(Path(__file__).resolve().parent.parent.parent)
    return kept | {"PYTHONPATH": package, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0"}


def _feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


def run_step_locally(
    command: Sequence[str], secrets: StepSecrets, progress: Progress, inherited: Sequence[int] = ()
) -> Ended:
    """Run the step as a subprocess that dies with us; its secrets go through an inherited pipe. Descriptors in
    `inherited` are handed on as well and closed here once the process has them."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*command, "--secrets-fd", str(reading)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=(reading, *inherited),
        env=_environment(),
        text=True,
    ) as process:
        for descriptor in (reading, *inherited):
            os.close(descriptor)
        threading.Thread(target=_feed, args=(writing, secrets.dump()), daemon=True).start()
        return _listened(process, progress)


def _listened(process: "subprocess.Popen[str]", progress: Progress) -> Ended:
    """Hand on what the step says until it ends; it ends with us."""
    event = None
    try:
        for line in process.stdout or ():
            message = parse_message(line)
            if "progress" in message:
                progress(message["progress"], message.get("message", ""))
            elif "error" in message:
                event = message
    except BaseException:
        process.kill()
        raise
    return Ended(process.wait(), event)


def finished(command: Sequence[str], step: str, progress: Progress) -> None:
    """Run a step that belongs to no order and needs no secret, as a subprocess that sees as little as any other.

    Raises what the step raised, as `outcome` does."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=_environment(), text=True
    ) as process:
        ended = _listened(process, progress)
    if ended.code != 0:
        raise _error(ended.event, ended, step)


def parse_message(line: str) -> dict[str, Any]:
    """A line of the protocol as its message; empty for whatever a library printed to standard output."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def outcome(store: Store, ticket: Ticket, ended: Ended) -> Result:
    """The result document of an attempt.

    An attempt whose end nobody saw counts as done when its whole result lies in the vault, because the result
    document is written last. An attempt that ended with a refusal is refused whatever lies there.

    Raises what the step raised: `InputRefused`, `QualityRefused`, `PermitRefused`, `ModelRefused` (never worth a
    retry), or `StepFailed` when it was killed, lost, or failed for a reason that may pass; `IntegrityError` when the
    result is not what was asked for.
    """
    if ended.code in {0, None}:
        found = _read_result(store, ticket)
        if found is not None:
            return found
    event = ended.event or (None if ended.code == 0 else _read_failure(store, ticket))
    raise _error(event, ended, ticket.step)


def _document(store: Store, uri: str) -> bytes | None:
    if not store.exists(uri):
        return None
    with tempfile.TemporaryDirectory(prefix="memorial-result-") as folder:
        target = Path(folder) / "document.json"
        store.fetch(uri, target)
        return target.read_bytes()


def _read_result(store: Store, ticket: Ticket) -> Result | None:
    data = _document(store, f"{ticket.prefix}/{RESULT}")
    if data is None:
        return None
    try:
        result = Result.model_validate_json(data)
    except ValidationError:
        raise IntegrityError(
            "the result document cannot be read", where=ticket.step, remedy="call an engineer"
        ) from None
    asked = (ticket.order, ticket.step, ticket.result_key, ticket.code_version)
    made = (result.order, result.step, result.result_key, result.code_version)
    # A step can write below its own order only, but its document could point anywhere.
    astray = [one for one in result.outputs if one.uri != f"{ticket.prefix}/{one.name}"]
    if made != asked or astray:
        raise IntegrityError(
            "the result is not the one that was asked for", where=ticket.step, remedy="call an engineer"
        )
    return result if all(store.exists(one.uri) for one in result.outputs) else None


def _read_failure(store: Store, ticket: Ticket) -> dict[str, Any] | None:
    """What a pod wrote down before it ended; None when it could not, or when an earlier attempt wrote it."""
    data = _document(store, f"{ticket.prefix}/{FAILURE}")
    event = parse_message(data.decode(errors="replace")) if data else {}
    return event if event.get("attempt") == ticket.permit and "error" in event else None


def failure_of(ended: Ended, step: str) -> MemorialError:
    """Why an attempt that leaves nothing in the vault failed."""
    return _error(ended.event, ended, step)


def _error(event: Mapping[str, Any] | None, ended: Ended, step: str) -> MemorialError:
    if event is None:
        return _silent(ended, step)
    if event["error"] == "InputRefused":
        return InputRefused([Problem(**problem) for problem in event["problems"]])
    kind = getattr(errors, event["error"], MemorialError)
    if ended.code not in {EXIT_REFUSED, EXIT_PERMIT}:
        kind = StepFailed
    error: MemorialError = kind(
        event["what"], where=f"{step} {event.get('where', '')}".strip(), remedy=event.get("remedy", "")
    )
    return error


def _silent(ended: Ended, step: str) -> MemorialError:
    """A step that said nothing: the exit status alone decides whether another try can help."""
    if ended.code == EXIT_REFUSED:
        return MemorialError("the step refused its input and its reason was lost", where=step, remedy="see its log")
    if ended.code == EXIT_PERMIT:
        return errors.PermitRefused("the step was given no valid permit", where=step, remedy="see the consent")
    if ended.code is None:
        return StepFailed(f"the step was lost: {ended.lost or 'nobody saw it end'}", where=step, remedy=RESUMES)
    reason = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with code {ended.code} in silence"
    return StepFailed(f"the step {reason}", where=step, remedy=RESUMES)
