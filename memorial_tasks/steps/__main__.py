"""``python -m memorial_tasks.steps STEP --job vault://...``: the same command as subprocess and as pod."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from memorial_tasks.domain.job import Job
from memorial_tasks.errors import MemorialError
from memorial_tasks.observability.logs import set_up
from memorial_tasks.steps.contract import ON_REQUEST, STEPS
from memorial_tasks.steps.process import (
    StepSecrets,
    die_with_parent,
    emit,
    failure_event,
    leave_failure,
    load_step,
    read_job,
    run_job,
    stop_cleanly,
)
from memorial_tasks.vault.store import SCHEME, Store, open_store


def arguments_of(given: Sequence[str] | None, preview: bool = False) -> argparse.Namespace:
    """The arguments of a step's process; a preview has a pipe for its film besides."""
    parser = argparse.ArgumentParser(prog="python -m memorial_tasks.steps", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, *ON_REQUEST))
    if preview:
        parser.add_argument("--film-fd", type=int, required=True, help="inherited pipe to write the film into")
    parser.add_argument("--job", required=True, help="the job document: a vault:// address (sealed) or a plain file")
    parser.add_argument("--store", required=True, help="file:///folder or s3://bucket/prefix")
    parser.add_argument("--s3-endpoint", default=None)
    parser.add_argument("--assets", type=Path, required=True, help="face model files and fonts")
    parser.add_argument("--storage-file", type=Path, help="the bucket's credentials; renewed while the step works")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--secrets-fd", type=int, help="inherited pipe to read the secrets from")
    source.add_argument("--secrets-file", type=Path, help="file mounted from memory")
    return parser.parse_args(given)


def secrets_of(arguments: argparse.Namespace) -> StepSecrets:
    """What the control plane hands over, through the pipe or the mounted file."""
    if arguments.secrets_fd is None:
        return StepSecrets.load(arguments.secrets_file.read_bytes())
    die_with_parent()
    with os.fdopen(arguments.secrets_fd, "rb") as pipe:
        return StepSecrets.load(pipe.read())


def job_of(arguments: argparse.Namespace, store: Store, secrets: StepSecrets) -> Job:
    """The job document; `MemorialError` when it is for another step."""
    if arguments.job.startswith(SCHEME):
        job = read_job(arguments.job, store, secrets.data_key)
    else:
        job = Job.model_validate_json(Path(arguments.job).read_bytes())
    if job.step != arguments.step:
        raise MemorialError("the job document is for another step", where=arguments.step, remedy="call an engineer")
    return job


def main(given: Sequence[str] | None = None, load: Callable[[str], ModuleType] = load_step) -> int:
    """Run one step; exit 0 with a result document in the vault, otherwise a code that says whether to retry."""
    arguments = arguments_of(given)
    stop_cleanly()
    secrets = secrets_of(arguments)
    store, job = None, None
    try:
        store = open_store(arguments.store, arguments.s3_endpoint, arguments.storage_file)
        job = job_of(arguments, store, secrets)
        result = run_job(job, store, secrets, arguments.assets, load)
    except Exception as error:
        if os.environ.get("MEMORIAL_STEP_TRACEBACK"):
            traceback.print_exc()
        event, code = failure_event(error)
        emit(**event)
        if store and job and arguments.secrets_fd is None:  # as a pod: nobody may be reading what we say
            leave_failure(store, job, event)
        return code
    emit(result=f"{job.output_prefix}/result.json", wall_s=result.wall_s)
    return 0


if __name__ == "__main__":
    set_up("step")
    sys.exit(main())
