"""Notices: told by real SMTP and HTTP on loopback, signed, without a name, and never a reason for an order to fail."""

import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.airflow.notify import StudioNotifier
from memorial_tasks.production.notices import Notice, secret_of, send
from memorial_tasks.settings import Settings

STOPPED = Notice(
    "order.stopped", order="order-1", state="blocked", stage="quality_gate", reason_code="quality.refused",
    next_action="memorial quality report order-1", page="/memorial/orders/order-1",
)  # fmt: skip


class MailServer(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as takes one message."""

    def handle(self) -> None:
        def say(text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            word = line.split(" ")[0].upper()
            if word == "DATA":
                say("354 go on")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                self.server.got.append(text.decode())  # type: ignore[attr-defined]
            say("221 bye" if word == "QUIT" else "250 ok")
            if word == "QUIT":
                return


class Hook(BaseHTTPRequestHandler):
    """Keeps what it is told and answers as the test wants."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def served(server: Any) -> Iterator[Any]:
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def mail() -> Iterator[Any]:
    yield from served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer))


@pytest.fixture
def hook() -> Iterator[Any]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.status = 204  # type: ignore[attr-defined]
    yield from served(server)


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(home=tmp_path / "home", base_url="https://studio.example", **more)


def test_an_email_says_what_where_and_what_to_do(mail: Any, tmp_path: Path) -> None:
    told = settings(
        tmp_path, notify_email="night@studio.example", smtp_url=f"smtp://127.0.0.1:{mail.server_address[1]}"
    )
    assert send(told, STOPPED) == []
    (text,) = mail.got
    assert "To: night@studio.example" in text
    assert "order-1 stopped: blocked" in text
    assert "quality gate" in text
    assert "memorial quality report order-1" in text
    assert "https://studio.example/memorial/orders/order-1" in text


def test_a_call_is_signed_over_time_and_body(hook: Any, tmp_path: Path) -> None:
    told = settings(tmp_path, notify_webhook=f"http://127.0.0.1:{hook.server_address[1]}/studio")
    assert send(told, STOPPED) == []
    ((headers, body),) = hook.got
    moment, signature = (part.split("=")[1] for part in headers["X-Memorial-Signature"].split(","))
    expected = hmac.new(secret_of(told), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signature, expected)
    assert hmac.new(secret_of(told), b"0." + body, hashlib.sha256).hexdigest() != signature
    assert json.loads(body)["reason_code"] == "quality.refused"
    assert headers["X-Memorial-Event"] == "order.stopped"


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    told = settings(tmp_path)
    assert secret_of(told) == secret_of(told)
    assert (told.keyring / "webhook.key").stat().st_mode & 0o077 == 0


def test_a_channel_that_fails_is_told_and_does_not_keep_the_other(mail: Any, hook: Any, tmp_path: Path) -> None:
    hook.status = 500
    told = settings(
        tmp_path,
        notify_email="night@studio.example",
        smtp_url=f"smtp://127.0.0.1:{mail.server_address[1]}",
        notify_webhook=f"http://127.0.0.1:{hook.server_address[1]}/",
    )
    assert send(told, STOPPED) == ["webhook: HTTPStatusError"]
    assert len(mail.got) == 1


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    told = settings(
        tmp_path, notify_email="a@b.example", smtp_url="smtp://127.0.0.1:1", notify_webhook="http://127.0.0.1:1/"
    )
    assert len(send(told, STOPPED)) == 2
    assert send(settings(tmp_path), STOPPED) == []


def test_nothing_leaves_this_machine_unencrypted(tmp_path: Path) -> None:
    assert send(settings(tmp_path, notify_webhook="http://studio.invalid/"), STOPPED) == ["webhook: ValueError"]


def test_a_notifier_that_cannot_even_open_the_studio_fails_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no studio here")

    monkeypatch.setattr(StudioNotifier, "_notify", broken)
    StudioNotifier("order.stopped").notify({"params": {"order": "order-1"}})
