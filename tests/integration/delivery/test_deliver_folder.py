"""Delivery into a folder: once, whole, never after consent ended, and taken back when it has to be."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.errors import ConsentRefused, IntegrityError
from memorial_tasks.production import deliveries
from memorial_tasks.production.deliveries import deliver, withdraw_deliveries
from memorial_tasks.production.studio import Who

pytestmark = pytest.mark.integration
WHO = Who("person", "tester")

DYING = str(Path(__file__).parent / "dying.py")


def dies(films: Any, order: str, moment: str) -> None:
    """A real process delivers the order and is killed at the moment."""
    done = subprocess.run([sys.executable, DYING, order, moment], env=films.environment, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


def folder_of(films: Any, order: str) -> Path:
    return Path(films.studio.settings.deliveries_dir / order)


def test_the_film_and_the_page_appear_with_one_audit_entry(films: Any) -> None:
    order = films.order()
    place = deliver(films.studio, order, WHO)
    assert place == str(folder_of(films, order) / "film.mp4") == films.row(order).film_uri
    assert Path(place).read_bytes() == films.made[order]
    assert (folder_of(films, order) / "page" / "index.html").is_file()
    assert films.state(order) == "delivered"
    assert deliver(films.studio, order, WHO) == place
    entries = films.audit(order, "film.")
    assert [entry.type for entry in entries] == ["film.delivered"]
    assert entries[0].refs["film"] == hashlib.sha256(films.made[order]).hexdigest()
    assert os.stat(place).st_mode & 0o077 == 0


def test_delivering_again_writes_nothing_and_mends_what_was_damaged(films: Any) -> None:
    order = films.delivered()
    film = folder_of(films, order) / "film.mp4"
    before = (film.stat().st_ino, film.stat().st_mtime_ns)
    deliver(films.studio, order, WHO)
    assert (film.stat().st_ino, film.stat().st_mtime_ns) == before
    film.write_bytes(b"something else")
    deliver(films.studio, order, WHO)
    assert film.read_bytes() == films.made[order]


@pytest.mark.parametrize("moment", ["half", "staged", "recorded", "published", "committed"])
def test_a_process_killed_at_any_moment_has_delivered_all_or_nothing(films: Any, moment: str) -> None:
    order = films.order()
    dies(films, order, moment)
    recorded = films.state(order) == "delivered"
    assert recorded == (moment == "committed")
    film = folder_of(films, order) / "film.mp4"
    assert film.exists() == (moment in {"published", "committed"})
    assert not film.exists() or film.read_bytes() == films.made[order]
    deliver(films.studio, order, WHO)
    assert film.read_bytes() == films.made[order]
    assert [entry.type for entry in films.audit(order, "film.")] == ["film.delivered"]
    assert not list(films.studio.settings.deliveries_dir.glob(f".{order}.*")), "what the dead process left is gone"


def test_two_deliveries_at_once_are_one(films: Any) -> None:
    order = films.order()
    threads = [threading.Thread(target=deliver, args=(films.studio, order, WHO)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [entry.type for entry in films.audit(order, "film.")] == ["film.delivered"]
    assert (folder_of(films, order) / "film.mp4").read_bytes() == films.made[order]


def test_nothing_is_delivered_without_approval_or_after_a_withdrawal(films: Any) -> None:
    unseen, withdrawn = films.order(approved=False), films.order()
    with pytest.raises(ConsentRefused, match="approved"):
        deliver(films.studio, unseen, WHO)
    films.withdraw(withdrawn)
    with pytest.raises(ConsentRefused):
        deliver(films.studio, withdrawn, WHO)
    assert not folder_of(films, unseen).exists()
    assert not folder_of(films, withdrawn).exists()


@pytest.mark.parametrize("event", ["withdraw", "object"])
def test_consent_that_ends_while_the_film_is_written_stops_the_delivery(
    films: Any, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = films.order()
    real = deliveries.publish_allowed

    def meanwhile(*arguments: Any) -> None:
        real(*arguments)

    def first(connection: Any, *rest: Any) -> None:
        connection.rollback()  # let the relative's own transaction in, as if it had come a moment earlier
        getattr(films, event)(order)
        meanwhile(connection, *rest)

    monkeypatch.setattr(deliveries, "publish_allowed", first)
    with pytest.raises(ConsentRefused):
        deliver(films.studio, order, WHO)
    assert not folder_of(films, order).exists()
    assert films.audit(order, "film.") == []
    assert not list(films.studio.settings.deliveries_dir.glob(f".{order}.*"))


def test_bytes_in_the_vault_that_are_not_the_approved_film_are_never_delivered(films: Any) -> None:
    order = films.order()
    films.sql(
        "UPDATE step_run SET outputs = (SELECT jsonb_agg(CASE WHEN o->>'name' = 'page/index.html' THEN"
        " jsonb_set(o, '{sha256}', to_jsonb(repeat('0', 64))) ELSE o END) FROM jsonb_array_elements(outputs) o)"
        " WHERE order_id = %s AND step = 'package'",
        order,
    )
    with pytest.raises(IntegrityError, match="approved"):
        deliver(films.studio, order, WHO)
    assert not folder_of(films, order).exists()


def test_taking_back_is_once_and_erasing_leaves_no_copy(films: Any) -> None:
    order = films.delivered()
    assert withdraw_deliveries(films.studio, order, WHO, erase=False) == {"deliveries": 1, "links": 0, "objects": 3}
    assert not folder_of(films, order).exists()
    assert films.row(order).film_uri is None
    for erase in (False, True):
        assert withdraw_deliveries(films.studio, order, WHO, erase=erase) == {"deliveries": 0, "links": 0, "objects": 0}
    assert len(films.audit(order, "film.withdrawn")) == 1


def test_after_a_settled_objection_delivering_again_makes_it_live_again(films: Any) -> None:
    order = films.delivered()
    films.object(order)
    with pytest.raises(ConsentRefused):
        deliver(films.studio, order, WHO)
    films.settle(order)
    deliver(films.studio, order, WHO)
    told = [entry.data["told"] for entry in films.audit(order, "film.delivered")]
    assert told == ["fresh", "renewed"]
    assert films.sql("SELECT revoked_at FROM delivery WHERE order_id = %s", order) == [(None,)]


def test_another_film_replaces_the_first_whole(films: Any) -> None:
    order = films.delivered()
    first = films.made[order]
    films.make(order, b"another film" * 999, again=True)
    films.approve(order)
    place = deliver(films.studio, order, WHO)
    assert Path(place).read_bytes() == films.made[order] != first
    live = films.sql("SELECT film_sha256, revoked_at IS NULL FROM delivery WHERE order_id = %s", order)
    digest = hashlib.sha256
    assert sorted(live) == sorted([(digest(first).hexdigest(), False), (digest(films.made[order]).hexdigest(), True)])
