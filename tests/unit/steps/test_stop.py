"""A step that is told to stop (an evicted pod, a node that shuts down) leaves no plaintext and asks for another try."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from memorial_tasks.steps.process import EXIT_RETRY

WORK = """
import time
from memorial_tasks.steps.process import stop_cleanly, workspace
stop_cleanly()
with workspace(0, "a" * 24) as folder:
    (folder / "plaintext").write_text("a face")
    print("up", flush=True)
    time.sleep(60)
"""


def test_told_to_stop_it_cleans_up_and_can_be_tried_again(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", WORK],
        env=os.environ | {"MEMORIAL_SCRATCH": str(tmp_path), "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    ) as step:
        assert step.stdout is not None
        assert step.stdout.readline() == "up\n"
        assert list(tmp_path.glob("memorial-*/plaintext"))
        step.send_signal(signal.SIGTERM)
        said = step.stdout.read()
        assert step.wait(20) == EXIT_RETRY
    assert json.loads(said)["error"] == "StepFailed"
    assert not list(tmp_path.glob("memorial-*/*"))
