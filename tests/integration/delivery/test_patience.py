"""Clients that send slowly, against the gate's own server with its patience shortened to a second."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from memorial_tasks.delivery import gate as gate_module
from memorial_tasks.delivery import serve

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def port(films: Any) -> Iterator[int]:
    patch = pytest.MonkeyPatch()
    patch.setattr(gate_module, "BODY_SECONDS", 1)
    patch.setattr(serve, "HEADER_SECONDS", 1)
    running = serve.server(films.studio, "127.0.0.1", 0)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    thread.join(20)
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
