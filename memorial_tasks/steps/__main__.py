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


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m memorial_tasks.steps", description=__doc__)
    parser.add_argument("step", choices=(*STEPS, *ON_REQUEST))
    parser.add_argument("--job", required=True, help="the job document: a vault:// address (sealed) or a plain file")
    parser.add_argument("--store", required=True, help="file:///folder or s3://bucket/prefix")
    parser.add_argument("--s3-endpoint", default=None)
    parser.add_argument("--assets", type=Path, required=True, help="face model files and fonts")
    parser.add_argument("--storage-file", type=Path, help="the bucket's credentials; renewed while the step works")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--secrets-fd", type=int, help="inherited pipe to read the secrets from")
    source.add_argument("--secrets-file", type=Path, help="file mounted from memory")
    return parser.parse_args(given)


def _secrets(arguments: argparse.Namespace) -> StepSecrets:
    if arguments.secrets_fd is None:
        return StepSecrets.load(arguments.secrets_file.read_bytes())
    die_with_parent()
    with os.fdopen(arguments.secrets_fd, "rb") as pipe:
        return StepSecrets.load(pipe.read())


def _job(arguments: argparse.Namespace, store: Store, secrets: StepSecrets) -> Job:
    if arguments.job.startswith(SCHEME):
        job = read_job(arguments.job, store, secrets.data_key)
    else:
        job = Job.model_validate_json(Path(arguments.job).read_bytes())
    if job.step != arguments.step:
        raise MemorialError("the job document is for another step", where=arguments.step, remedy="call an engineer")
    return job


def main(given: Sequence[str] | None = None, load: Callable[[str], ModuleType] = load_step) -> int:
    """Run one step; exit 0 with a result document in the vault, otherwise a code that says whether to retry."""
    arguments = _arguments(given)
    stop_cleanly()
    secrets = _secrets(arguments)
    store, job = None, None
    try:
        store = open_store(arguments.store, arguments.s3_endpoint, arguments.storage_file)
        job = _job(arguments, store, secrets)
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
