"""Clients that send slowly, against the gate's own server with its patience shortened to a second; and a registry that
is away."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from memorial_tasks.delivery import gate as gate_module
from memorial_tasks.delivery import serve

pytestmark = pytest.mark.integration


@contextmanager
def served(door: Any) -> Iterator[int]:
    """The gate's server in a thread; yields its port."""
    running = serve.server(door, "127.0.0.1", 0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def port(films: Any) -> Iterator[int]:
    patch = pytest.MonkeyPatch()
    patch.setattr(gate_module, "BODY_SECONDS", 1)
    patch.setattr(serve, "HEADER_SECONDS", 1)
    with served(films.door) as number:
        yield number
    patch.undo()


def test_a_form_that_does_not_arrive_is_given_up(films: Any, port: int) -> None:
    made = films.link(films.delivered())
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        path = made.url[made.url.index("/film/") :]
        client.sendall(
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
            "content-length: 400\r\n\r\ncode=".encode()
        )
        assert b" 408 " in client.recv(4000)
    assert films.sql("SELECT wrong_codes FROM delivery_link WHERE link_id = %s", made.link_id) == [(0,)]


def test_a_header_that_never_ends_is_cut(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET /film/x HTTP/1.1\r\n")
        assert client.recv(100) == b""


def test_without_its_registry_the_gate_hands_nothing_out_and_says_so(films: Any) -> None:
    made = films.link(films.delivered())
    away = replace(films.door, database="postgresql://nobody@127.0.0.1:9/none")
    with served(away) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        assert client.get("/health").status_code == 503
        path = made.url[made.url.index("/film/") :]
        for answer in (client.get(path), client.post(path, data={"code": made.code}), client.get(f"/take/{'t' * 43}")):
            assert answer.status_code == 503
            assert "nothing was counted" in answer.text
            assert answer.headers["retry-after"] == "60"
            assert "postgres" not in answer.text
