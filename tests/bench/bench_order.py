"""One order, end to end: what the demo took, what a second run of the finished order takes, and the largest step.

Needs the studio of this checkout with the demo delivered (`make demo`); without it there is nothing to measure.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from memorial_tasks.demo.run import ORDERS
from memorial_tasks.settings import Settings


def _memorial(*arguments: str) -> Any:
    command = [sys.executable, "-m", "memorial_tasks.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None


def run() -> dict[str, float]:
    """`order.rerun_ratio` is the second run's wall time over the wall time of the steps it did not repeat."""
    order = ORDERS["zh-CN"]
    shown = _memorial("order", "show", order)
    if shown is None or shown["state"] != "delivered":
        return {}
    began = time.monotonic()
    again = _memorial("order", "run", order, "--follow")
    seconds = time.monotonic() - began
    after = _memorial("order", "show", order)
    if again is None or [row["finished_at"] for row in after["steps"]] != [
        row["finished_at"] for row in shown["steps"]
    ]:
        raise RuntimeError("the second run did not end well, or repeated a step")
    worked = sum(row["wall_s"] or 0 for row in shown["steps"])
    figures = {
        "order.rerun_s": seconds,
        "order.rerun_ratio": seconds / worked,
        "order.peak_memory_mb": max(row["peak_memory_mb"] or 0 for row in shown["steps"]),
    }
    timing = Settings().root / "demo" / "timing.json"
    if timing.is_file():
        figures |= {f"order.demo_{name}_s": value for name, value in json.loads(Path(timing).read_text()).items()}
    return figures
