"""``make demo``: the fictional family's order, from its papers to a delivered, signed and verified film.

Uses nothing but the commands an operator types, in the order in which they are typed. A second run finds everything
there, repeats no step and verifies the film again.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

from memorial_tasks.settings import Settings

ORDERS = {"zh-CN": "demo-2026-001", "en-US": "demo-2026-002"}


class Stopped(Exception):
    """A command answered no; what it said was shown already."""


def memorial(*arguments: str) -> None:
    """Run a command the way a person does: what it says goes to the screen."""
    print(f"\n$ memorial {' '.join(arguments)}", flush=True)  # noqa: T201 - this is a script for people
    done = subprocess.run([sys.executable, "-m", "memorial_tasks.cli", *arguments], check=False)
    if done.returncode != 0:
        raise Stopped(f"memorial {' '.join(arguments)} ended with {done.returncode}")


def ask(*arguments: str) -> Any:
    """The JSON document of a command, without a word on the screen."""
    command = [sys.executable, "-m", "memorial_tasks.cli", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if not done.stdout.strip():
        raise Stopped(f"memorial {' '.join(arguments)} ended with {done.returncode}")
    return json.loads(done.stdout)


def known(order: str) -> bool:
    """True when the order was submitted before."""
    return any(row["order"] == order for row in ask("order", "list")["orders"])


def show_page(title: str, lines: dict[str, str]) -> None:
    """The end of the demo, for people."""
    width = max(len(name) for name in lines)
    print(f"\n{title}")  # noqa: T201
    for name, value in lines.items():
        print(f"  {name:<{width}}  {value}")  # noqa: T201


def note_time(settings: Settings, which: str, seconds: float) -> None:
    """Remember what the demo took, for the benchmarks."""
    path = settings.root / "demo" / "timing.json"
    known_times = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known_times | {which: round(seconds, 1)}))


def demo(language: str) -> int:
    """The whole way; returns the exit status."""
    began, order = time.monotonic(), ORDERS[language]
    os.environ.setdefault("MEMORIAL_TRAIN", "tiny")
    settings = Settings()
    try:
        memorial("init")
        memorial("studio", "start")
        again = known(order)
        if not again:
            folder = settings.root / "demo" / order
            print(f"\nthe fictional family is drawn and spoken by program: {folder}", flush=True)  # noqa: T201
            subprocess.run(
                [sys.executable, "-m", "memorial_tasks.demo", str(folder), "--language", language, "--order", order,
                 "--assets", str(settings.assets_dir)],
                check=True,
            )  # fmt: skip
            memorial("order", "submit", str(folder / "order.yaml"))
        # The demo operator answers the review through the same REST call as a person's click.
        memorial("order", "run", order, "--follow", "--approve")
        film = ask("order", "show", order)["film"]
        memorial("verify", film)
        memorial("audit", "verify")
        memorial("audit", "report", order)
        address = ask("studio", "start")
    except (Stopped, subprocess.CalledProcessError) as error:
        print(f"\nthe demo stopped: {error}", file=sys.stderr)  # noqa: T201
        print("look at 'memorial doctor' and 'memorial order show'", file=sys.stderr)  # noqa: T201
        return 1
    seconds = time.monotonic() - began
    note_time(settings, "second" if again else "first", seconds)
    reports = settings.reports_dir / order
    show_page(
        f"Delivered and verified in {seconds:.0f} s",
        {
            "film": film,
            "quality report": str(reports / "quality_gate" / "data_docs" / "index.html"),
            "film report": str(reports / "output_gate"),
            "audit report": str(settings.reports_dir / "audit" / f"audit-{order}.html"),
            "Airflow's pages": f"{address['address']} (account {address['account']}, password: {address['passwords']})",
            "stop everything": "memorial studio stop",
        },
    )
    return 0


def main() -> None:
    """``python -m memorial_tasks.demo.run [LANGUAGE]``."""
    language = sys.argv[1] if len(sys.argv) > 1 else "zh-CN"
    if language not in ORDERS:
        sys.exit(f"one of {', '.join(ORDERS)}")
    sys.exit(demo(language))


if __name__ == "__main__":
    main()
