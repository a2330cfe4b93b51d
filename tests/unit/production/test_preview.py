"""The preview's server: this machine only, a secret address, the stream handed on as it comes."""

import http.client
from urllib.parse import urlsplit

import pytest

from memorial_tasks.errors import StepFailed
from memorial_tasks.production.preview import Server, Write


class Reel:
    """Stands in for the step's process: three pieces, or a failure after the first."""

    rendered_s, took_s = 1.5, 0.5

    def __init__(self, breaks: bool = False) -> None:
        self.breaks = breaks

    def stream(self, write: Write) -> None:
        write(b"first ")
        if self.breaks:
            raise StepFailed("the step broke", where="preview", remedy="try again")
        write(b"second ")
        write(b"third")


def get(address: str, path: str = "", host: str = "") -> tuple[int, bytes]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", parts.path + path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_stream_reaches_the_browser_whole_and_once_ends_it() -> None:
    server = Server(Reel())
    with server.running() as address:
        assert urlsplit(address).hostname == "127.0.0.1"
        assert get(address, "film.mp4") == (200, b"first second third")
        assert server.done.is_set()
        assert server.failed is None


def test_what_breaks_on_the_way_is_told_to_whoever_gave_the_command() -> None:
    server = Server(Reel(breaks=True))
    with server.running() as address:
        assert get(address, "film.mp4") == (200, b"first ")
    assert server.done.is_set()
    with pytest.raises(StepFailed, match="broke"):
        raise server.failed or AssertionError


def test_another_address_another_host_and_another_file_are_not_there() -> None:
    with Server(Reel()).running() as address:
        assert get(address)[0] == 200
        assert get(address, "state.json")[0] == 200
        assert get(address, "../../etc/passwd")[0] == 404
        assert get(address.replace(urlsplit(address).path, "/guessed/"))[0] == 404
        assert get(address, host="evil.example")[0] == 404, "a page elsewhere must not reach it by another name"
