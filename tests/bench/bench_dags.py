"""What a DAG file costs to parse, in processor seconds and as a ratio to importing Airflow's own SDK."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARSE = """
import json, sys, time
start = time.process_time()
import airflow.sdk, airflow.providers.standard.operators.hitl
sdk = time.process_time() - start
import importlib.util
start = time.process_time()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps([time.process_time() - start, sdk]))
"""


def run() -> dict[str, float]:
    """`dags.parse_s` is the slowest file's, `dags.parse_ratio` the same over the import of Airflow's SDK."""
    figures: dict[str, float] = {}
    for path in sorted((ROOT / "dags").glob("*.py")):
        done = subprocess.run([sys.executable, "-c", PARSE, str(path)], capture_output=True, text=True, check=True)
        seconds, sdk = json.loads(done.stdout.splitlines()[-1])
        figures["dags.parse_s"] = max(figures.get("dags.parse_s", 0.0), seconds)
        figures["dags.parse_ratio"] = max(figures.get("dags.parse_ratio", 0.0), seconds / sdk)
    return figures
