"""A night of twenty orders through pods, three of them broken: does it finish unattended, and what does a pod cost?

The media work is left out (`tests.support.noop_steps`) and the cluster is a double (`tests.support.cluster`).
Scheduler, triggerer, workers, database, step processes, permits and encryption are real.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.support.pod_night import BROKEN, place_orders, run_night
from tests.support.pod_studio import ROOT, launch_studio

ORDERS, TIMEOUT = 20, 5400


def run() -> dict[str, Any]:
    """Start a studio, run the night, say what became of it."""
    assets = Path(os.environ.get("MEMORIAL_ASSETS", ROOT / ".memorial" / "assets"))
    home = Path(tempfile.mkdtemp(prefix="memorial-night-", dir="/tmp"))
    home.chmod(0o755)
    studio = None
    try:
        studio = launch_studio(home, assets, gpus=4, MEMORIAL_BATCH_ORDERS="4", MEMORIAL_GPU_SLOTS="4")
        orders = place_orders(studio, ORDERS - len(BROKEN))
        night = run_night(studio, TIMEOUT)
        states = night.states()
        named = [line for line in night.summary["orders"] if line["state"] != "in_review"]
        pods = studio.cluster.history("created")
        waits = _waits(studio.cluster.state()["history"])
        return {
            "production.pods_night_orders": len(orders),
            "production.pods_night_in_review": sum(state == "in_review" for state in states.values()),
            "production.pods_night_broken_named": sorted(f"{one['order']}: {one['reason_code']}" for one in named),
            "production.pods_night_lost": len(set(orders) - set(states)),
            "production.pods_night_doubled": len(pods) - len({_work(event) for event in pods}),
            "production.pods_night_pods": len(pods),
            "production.pods_night_s": round(night.seconds, 1),
            "production.pods_night_s_per_step": round(night.seconds / max(1, len(pods)), 2),
            "production.pods_night_pod_s_median": waits,
            "production.pods_night_secrets_left": len(studio.cluster.state()["secrets"]),
        }
    finally:
        if studio is not None:
            studio.end()
        shutil.rmtree(home, ignore_errors=True)


def _work(event: dict[str, Any]) -> tuple[str, str]:
    labels = event["manifest"]["metadata"]["labels"]
    return labels["memorial.studio/order"], labels["memorial.studio/step"]


def _waits(history: list[dict[str, Any]]) -> float:
    """Median seconds from a pod's creation to its deletion: the work in it is a few milliseconds."""
    made = {event["name"]: event["at"] for event in history if event["what"] == "created"}
    gone = {event["name"]: event["at"] for event in history if event["what"] == "deleted"}
    spans = sorted(gone[name] - made[name] for name in gone if name in made)
    return round(spans[len(spans) // 2], 2) if spans else 0.0
