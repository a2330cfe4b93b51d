"""``python -m memorial_tasks.steps STEP --job job.json``: the same command as subprocess and as pod."""

import argparse
import os
import sys
import traceback
from pathlib import Path

from memorial_tasks.domain.job import Job
from memorial_tasks.errors import MemorialError
from memorial_tasks.steps.contract import STEPS
from memorial_tasks.steps.process import StepSecrets, die_with_parent, emit, report_error, run_job
from memorial_tasks.vault.store import open_store


def main() -> int:
    """Run one step; exit 0 with a result document in the vault, otherwise a code that says whether to retry."""
    parser = argparse.ArgumentParser(prog="python -m memorial_tasks.steps", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--job", type=Path, required=True, help="the job document")
    parser.add_argument("--store", required=True, help="file:///folder or s3://bucket/prefix")
    parser.add_argument("--s3-endpoint", default=None)
    parser.add_argument("--assets", type=Path, required=True, help="face model files and fonts")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--secrets-fd", type=int, help="inherited pipe to read the secrets from")
    source.add_argument("--secrets-file", type=Path, help="file mounted from memory")
    arguments = parser.parse_args()
    if arguments.secrets_fd is not None:
        die_with_parent()
        with os.fdopen(arguments.secrets_fd, "rb") as pipe:
            secrets = StepSecrets.load(pipe.read())
    else:
        secrets = StepSecrets.load(arguments.secrets_file.read_bytes())
    job = Job.model_validate_json(arguments.job.read_bytes())
    if job.step != arguments.step:
        parser.error("the job document is for another step")
    try:
        result = run_job(job, open_store(arguments.store, arguments.s3_endpoint), secrets, arguments.assets)
    except MemorialError as error:
        return report_error(error)
    except Exception as error:
        if os.environ.get("MEMORIAL_STEP_TRACEBACK"):
            traceback.print_exc()
        return report_error(error)
    emit(result=f"{job.output_prefix}/result.json", wall_s=result.wall_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
