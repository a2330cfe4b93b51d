"""Production: how quickly a full house is listed, what the last soak found, and what ten thousand orders need.

The soak takes half an hour and runs by itself (``python -m tests.bench.soak``); its figures are read from where it left
them, with the commit's own date beside them.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from memorial_tasks.database import registry
from memorial_tasks.database.connection import transaction
from memorial_tasks.database.migrate import migrate
from memorial_tasks.database.registry import NewOrder
from memorial_tasks.database.server import ensure_server, stop_server
from memorial_tasks.domain.words import OrderState, Purpose
from tests.bench.night_model import report
from tests.bench.soak import RESULT

ORDERS, ROUNDS = 1000, 7
OPEN = (OrderState.SUBMITTED, OrderState.RUNNING, OrderState.IN_REVIEW)
SEALED = b"s" * 4096  # a sealed order document of an ordinary length


def run() -> dict[str, Any]:
    """`production.list_1000_s` is the median of the registry's answer, rows made into orders."""
    return {"production.list_1000_s": _listing()} | _soak() | _night()


def _listing() -> float:
    with tempfile.TemporaryDirectory(prefix="memorial-list-") as folder:
        home = Path(folder) / "postgres"
        try:
            url = ensure_server(home)
            migrate(url)
            with transaction(url) as connection:
                for number in range(ORDERS):
                    _order(connection, number)
            took = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                with transaction(url) as connection:
                    found = registry.list_orders(connection, states=OPEN, limit=ORDERS)
                took.append(time.perf_counter() - began)
                if len(found) != ORDERS:
                    raise RuntimeError(f"{len(found)} orders listed, not {ORDERS}")
            return statistics.median(took)
        finally:
            stop_server(home)


def _order(connection: Any, number: int) -> None:
    name = f"open-{number:04d}"
    registry.add_subject(connection, f"sub-{name}")
    registry.create_order(
        connection,
        NewOrder(
            order_id=name, subject_id=f"sub-{name}", purpose=Purpose.FAMILY_PRIVATE, language="zh-CN",
            jurisdictions=("CN",), sealed_document=SEALED, document_sha256="0" * 64, script_sha256="0" * 64,
            priority=number % 5,
        ),
    )  # fmt: skip
    state = OPEN[number % len(OPEN)]
    if state is not OrderState.SUBMITTED:
        registry.set_state(connection, name, state, allowed_from=OPEN)


def _soak() -> dict[str, Any]:
    if not RESULT.is_file():
        return {}
    found = json.loads(RESULT.read_text("utf-8"))
    return {name: value for name, value in found.items() if name.startswith("production.")} | {
        "production.soak_at": found["at"],
        "production.soak_orders": found["asked"]["orders"],
        "production.soak_kills": len(found["kills"]),
    }


def _night() -> dict[str, Any]:
    found = report(10_000, 10.0)
    return {
        "production.night_gpus": found["servers"]["gpu"],
        "production.night_workers": found["servers"]["worker"],
        "production.night_schedulers": found["servers"]["scheduler"],
        "production.night_hours": found["through_after_h"],
        "production.night_next_bottleneck": found["next_bottleneck"],
    }
