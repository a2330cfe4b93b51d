"""Consent's figures: a decision with every rule, and the watch over ten thousand consents.

    python -m tests.bench.bench_consent [--consents 10000]

`consent.decide_ms` is the slowest of six situations (median of many calls, every jurisdiction's rules asked), with
`consent.decide_rules` rules. `consent.watch_10k_s` reads, verifies every signature of, and decides about 10,000 orders
of which one in fifty has something due; `consent.watch_10k_unsigned_s` is the same without checking signatures.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memorial_tasks.consent import registry
from memorial_tasks.consent.events import ConsentEvent, EventType, next_event
from memorial_tasks.consent.keys import ConsentKeys, consent_keys
from memorial_tasks.consent.record import ConsentRecord, record_from_order
from memorial_tasks.consent.rules import PACKS, Facts, decide
from memorial_tasks.consent.sealing import KeyringSealer
from memorial_tasks.consent.watch import due_actions
from memorial_tasks.database.connection import transaction
from memorial_tasks.database.migrate import migrate
from memorial_tasks.database.registry import NewOrder, create_order
from memorial_tasks.database.server import ensure_server, stop_server
from memorial_tasks.domain.order import Order
from memorial_tasks.domain.words import Modality, Purpose
from memorial_tasks.vault.keyring import LocalKeyring

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
EVERYWHERE = ["CN", "SK", "US-NY", "US-CA", "US-TN", "JP"]
PAPERS = {f"p/{name}.pdf": f"{n:064x}" for n, name in enumerate(("kinship", "death", "identity", "will"))}


def _order(order_id: str, **changes: Any) -> Order:
    return Order.model_validate(
        {
            "order": order_id,
            "subject": {"name": "S", "born": "1931-04-02", "died": "2019-11-20"},
            "grantors": [{"name": "G", "relation": "daughter", "evidence": list(PAPERS)}],
            "purpose": "family_private",
            "jurisdictions": ["CN"],
            "language": "en-US",
            "script": [{"text": "t"}],
            "materials": {"photos": "p", "voice": "v"},
            **changes,
        }
    )


def _record(order: Order, subject: str = "sub-1", now: datetime = NOW) -> ConsentRecord:
    return record_from_order(order, PAPERS, "c" * 64, ["d" * 64], subject_id=subject, now=now)


def _history(record: ConsentRecord, types: Sequence[EventType]) -> tuple[ConsentEvent, ...]:
    events: list[ConsentEvent] = []
    for type in types:
        actor = record.grantors[0].party_id
        window: dict[str, Any] = {"valid_until": record.valid_until} if type is EventType.GIVEN else {}
        events.append(next_event(events, record, type, NOW, actor_kind="grantor", actor=actor, **window))
    return tuple(events)


def decide_figures() -> dict[str, float]:
    """Milliseconds of a decision."""
    usual = (EventType.REQUESTED, EventType.EVIDENCE_ENTERED, EventType.GIVEN)
    long = (*usual, *(EventType.NOTIFIED, EventType.AGREED) * 100, EventType.OBJECTED)
    kin = [{"name": f"K{n}", "relation": "son", "position": "agreed"} for n in range(8)]
    cases: list[tuple[Order, Sequence[EventType]]] = [
        (_order("bench-1"), usual),
        (_order("bench-1", jurisdictions=EVERYWHERE), usual),
        (_order("bench-1", jurisdictions=EVERYWHERE, purpose="commercial", co_kin=kin), usual),
        (_order("bench-1", jurisdictions=EVERYWHERE, co_kin=kin), (*usual, EventType.OBJECTED)),
        (_order("bench-1", jurisdictions=EVERYWHERE), (*usual, EventType.WITHDRAWN)),
        (_order("bench-1", jurisdictions=EVERYWHERE, co_kin=kin), long),
    ]
    facts = Facts(script_sha256="c" * 64, material_sha256=frozenset({"d" * 64}))
    medians = []
    for order, types in cases:
        record = _record(order)
        events = _history(record, types)
        medians.append(
            _median(
                lambda record=record, events=events, order=order: decide(  # type: ignore[misc]
                    record, events, purpose=order.purpose, modality=tuple(Modality), now=NOW, facts=facts
                ),
                300,
            )
        )
    return {
        "consent.decide_ms": max(medians) * 1000,
        "consent.decide_usual_ms": medians[0] * 1000,
        "consent.decide_rules": sum(len(rules) for rules in PACKS.values()),
    }


def _median(call: Callable[[], object], times: int) -> float:
    measured = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        measured.append(time.perf_counter() - start)
    return statistics.median(measured)


def watch_figures(consents: int) -> dict[str, float]:
    """Seconds of the watch over `consents` orders, and what permits and keys cost in a full registry."""
    with tempfile.TemporaryDirectory(prefix="memorial-bench-", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o755)
        url = ensure_server(home / "postgres")
        try:
            migrate(url)
            keyring = LocalKeyring(home / "keyring")
            keys, sealer = consent_keys(home / "keyring"), KeyringSealer(keyring)
            entered = _enter(url, consents, keyring, keys, sealer)
            figures = _watch(url, keys, consents)
            figures |= _permits(url, keys, sealer)
            return figures | {"consent.enter_per_s": consents / entered}
        finally:
            stop_server(home / "postgres")


def _enter(url: str, consents: int, keyring: LocalKeyring, keys: ConsentKeys, sealer: KeyringSealer) -> float:
    start = time.perf_counter()
    # One subject: ten thousand key files would measure the file system.
    keyring.create("sub-1")
    for first in range(0, consents, 500):
        with transaction(url) as connection:
            for number in range(first, min(first + 500, consents)):
                order = _order(f"bench-{number:06d}", consent={"months": 1 if number % 150 == 0 else 12})
                record = _record(order)
                create_order(
                    connection,
                    NewOrder(order.order, "sub-1", Purpose.FAMILY_PRIVATE, "en-US", ("CN",), b"s", "0" * 64, "c" * 64),
                )
                registry.open_consent(connection, record, keys, sealer, operator="ann", now=NOW)
                if number % 150 in {50, 100}:
                    type = EventType.OBJECTED if number % 150 == 50 else EventType.WITHDRAWN
                    registry.append_event(
                        connection, order.order, type, keys, actor_kind="co_kin", actor="p-x", now=NOW
                    )
    return time.perf_counter() - start


def _watch(url: str, keys: ConsentKeys, consents: int) -> dict[str, float]:
    figures = {}
    later = NOW + timedelta(days=60)
    for name, trusted in (("consent.watch_10k_s", keys.trusted), ("consent.watch_10k_unsigned_s", None)):
        start = time.perf_counter()
        with transaction(url) as connection:
            actions = due_actions(connection, later, trusted)
        figures[name] = (time.perf_counter() - start) * 10_000 / consents
        expected = sum(number % 50 == 0 for number in range(consents))
        if len(actions) != expected:
            raise AssertionError(f"{len(actions)} actions are due, not {expected}")
    return figures | {"consent.watch_due": float(len(actions))}


def _permits(url: str, keys: ConsentKeys, sealer: KeyringSealer) -> dict[str, float]:
    issue, release = [], []
    for number in range(1, 42, 2):
        order = f"bench-{number:06d}"
        start = time.perf_counter()
        with transaction(url) as connection:
            token, _ = registry.grant_permit(
                connection, order, keys, sealer, steps=["train_face"], now=NOW, lifetime=timedelta(minutes=5)
            )
        issue.append(time.perf_counter() - start)
        start = time.perf_counter()
        with transaction(url) as connection:
            registry.release(connection, token, keys, order=order, step="train_face", now=NOW)
        release.append(time.perf_counter() - start)
    return {
        "consent.permit_ms": statistics.median(issue) * 1000,
        "consent.release_ms": statistics.median(release) * 1000,
    }


def run(consents: int = 10_000) -> dict[str, float]:
    """Every figure, by its stable name."""
    return decide_figures() | watch_figures(consents)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--consents", type=int, default=10_000)
    given = parser.parse_args()
    print(json.dumps({name: round(value, 3) for name, value in run(given.consents).items()}, indent=1))


if __name__ == "__main__":
    main()
