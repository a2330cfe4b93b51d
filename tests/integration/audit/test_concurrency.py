"""Many writers, several sequencers, kills at any moment: nothing lost, nothing twice, no gap, order kept."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from memorial_tasks.audit.log import append
from memorial_tasks.audit.sequencer import sequence, sequence_batch, take_lock
from memorial_tasks.audit.service import AuditRoom
from memorial_tasks.database.connection import AUDITOR, SEQUENCER, connect, one, rows, transaction
from tests.integration.audit.conftest import entry, write

pytestmark = pytest.mark.integration

FOLLOW = """
import sys
from memorial_tasks.audit.sequencer import follow
follow(sys.argv[1], lambda: False, pause=0.001)
"""


def follower(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", FOLLOW, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def assert_whole(url: str, expected: int) -> None:
    with transaction(url, role=AUDITOR) as connection:
        found = one(
            connection,
            "SELECT count(*) AS n, count(DISTINCT event_id) AS d, min(seq) AS low, max(seq) AS high,"
            " (SELECT count(*) FROM audit.event) AS events, (SELECT sum(count) FROM audit.batch) AS batched,"
            " bool_and(l.leaf = e.leaf) AS same FROM audit.leaf l JOIN audit.event e ON e.id = l.event_id",
        )
    assert found == {
        "n": expected, "d": expected, "low": 0, "high": expected - 1,
        "events": expected, "batched": expected, "same": True,
    }  # fmt: skip


def test_a_long_transaction_is_neither_lost_nor_overtaken_for_good(database: str) -> None:
    """Its entry has the lowest id, is committed last, and must still get in, after the others."""
    slow = connect(database)
    append(slow, entry(1))
    write(database, range(2, 10))
    assert sequence(database).size == 0  # nothing behind an open transaction is final yet
    slow.commit()
    slow.close()
    assert sequence(database).size == 9
    assert_whole(database, 9)


def test_a_transaction_that_is_rolled_back_leaves_no_trace(database: str) -> None:
    connection = connect(database)
    append(connection, entry(1))
    connection.rollback()
    connection.close()
    write(database, range(2, 4))
    assert sequence(database).size == 2
    assert_whole(database, 2)


def test_one_huge_transaction_and_small_limits(database: str) -> None:
    write(database, range(300))
    for number in range(20):
        write(database, range(300 + number, 301 + number))
    sizes = []
    while True:
        with transaction(database, role=SEQUENCER) as connection:
            take_lock(connection)
            done = sequence_batch(connection, limit=7)
        if not done.added:
            break
        sizes.append(done.added)
    assert sizes[0] >= 300  # one transaction is never split
    assert sum(sizes) == 320
    assert len(sizes) > 2
    assert_whole(database, 320)


def test_two_sequencers_beside_sixteen_writers(database: str) -> None:
    both = [follower(database) for _ in range(2)]

    def work(place: int) -> None:
        connection = connect(database)
        for number in range(40):
            append(connection, entry(place * 1000 + number))
            if number % 5 == 0:
                time.sleep(random.random() / 200)
            connection.commit() if number % 11 else connection.rollback()
        connection.close()

    writers = [threading.Thread(target=work, args=(place,)) for place in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [each.poll() for each in both] == [None, None]  # neither died of the other
    for each in both:
        each.kill()
        each.wait()
    sequence(database)
    assert_whole(database, 16 * (40 - 4))
    # each writer's entries stand in the order it wrote them
    with transaction(database, role=AUDITOR) as connection:
        bodies = rows(
            connection, "SELECT e.body FROM audit.leaf l JOIN audit.event e ON e.id = l.event_id ORDER BY seq"
        )
    numbers = [int(row["body"].split(b'"n":')[1].split(b"}")[0]) for row in bodies]
    for place in range(16):
        mine = [number for number in numbers if number // 1000 == place]
        assert mine == sorted(mine)


def test_the_sequencer_is_killed_again_and_again(room: AuditRoom) -> None:
    stop = threading.Event()
    written = 0

    def work() -> None:
        nonlocal written
        while not stop.is_set():
            write(room.url, range(10_000 + written, 10_003 + written))
            written += 3

    writer = threading.Thread(target=work)
    writer.start()
    for _ in range(8):
        process = follower(room.url)
        time.sleep(0.25 + random.random() * 0.35)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    stop.set()
    writer.join()
    sequence(room.url)
    assert written > 0
    assert_whole(room.url, 700 + written)
    room.checkpoint()
    assert room.verify().ok


def test_a_checkpoint_killed_between_signing_and_storing_does_no_harm(room: AuditRoom) -> None:
    """The note is only handed out once it is stored; a lost one is made again over the same or more entries."""
    write(room.url, range(700, 720))
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from memorial_tasks.audit import checkpoint, note\n"
        "checkpoint.notes.sign = lambda *a: os.kill(os.getpid(), 9)\n"
        "checkpoint.make_checkpoint(sys.argv[1], note.load_keys(Path(sys.argv[2])))\n"
    )
    keyring = room.folder.folder.parent.parent / "keyring"
    done = subprocess.run([sys.executable, "-c", code, room.url, str(keyring)], check=False)
    assert done.returncode == -signal.SIGKILL
    made, _ = room.checkpoint()
    assert made is not None
    assert made.size == 720
    assert room.verify().ok
