"""``python -m tests.bench [ROOM ...]``: run the benchmarks, print a table, merge the figures into build/bench.json."""

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "build" / "bench.json"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(rooms: list[str]) -> int:
    """Run what was asked for, or everything; one room's failure does not keep the others from running."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = set(rooms) - set(known)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; one of {', '.join(known)}")
    TARGET.parent.mkdir(exist_ok=True)
    merged = json.loads(TARGET.read_text()) if TARGET.is_file() else {}
    failed = []
    for room in rooms or known:
        began = time.monotonic()
        try:
            figures = importlib.import_module(f"tests.bench.bench_{room}").run()
        except Exception as error:
            failed.append(room)
            print(f"{room}: failed, {type(error).__name__}: {error}", file=sys.stderr)
            continue
        merged[room] = {"figures": figures, "machine": machine(), "seconds": round(time.monotonic() - began, 1)}
        for name, value in figures.items():
            print(f"{name:<44} {value if not isinstance(value, float) else round(value, 4)}")
        TARGET.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
