"""Telling people outside the pages that something waits: by e-mail and by a signed call. Order ids only, never a name.

A notice is a courtesy. It says where to look and nothing that would have to be protected, and one that cannot be sent
changes nothing about the order; what it would have said stands on the page *What waits for me* all the same.
"""

import hashlib
import hmac
import json
import logging
import secrets
import smtplib
import ssl
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from memorial_tasks.settings import Settings
from memorial_tasks.vault.cipher import write_private

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds for each channel: a task waits for this
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
SUBJECTS = {
    "review.due": "{order} waits for your decision",
    "order.stopped": "{order} stopped: {state}",
    "deadline.at_risk": "{count} promised orders are at risk",
    "batch.closed": "The night is over",
}


@dataclass(frozen=True)
class Notice:
    """What is told. `counts` and `orders` are for notices about many orders; `page` is a path below Airflow's own."""

    kind: str
    order: str = ""
    state: str = ""
    stage: str = ""
    reason_code: str = ""
    next_action: str = ""
    page: str = "/memorial/"
    counts: dict[str, int] = field(default_factory=dict)
    orders: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """One line for people."""
        return SUBJECTS[self.kind].format(order=self.order, state=self.state, count=len(self.orders))


def secret_of(settings: Settings) -> bytes:
    """The key that signs calls, made once; whoever receives them gets a copy of the file."""
    path = settings.keyring / "webhook.key"
    if not path.is_file():
        settings.keyring.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, secrets.token_hex(32).encode())
    return path.read_bytes().strip()


def sign(secret: bytes, moment: int, body: bytes) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 over the time, a dot and the body, so that an old call cannot be sent again."""
    return f"t={moment},v1={hmac.new(secret, b'%d.' % moment + body, hashlib.sha256).hexdigest()}"


def send(settings: Settings, notice: Notice) -> list[str]:
    """Tell it by every configured channel; returns what could not be sent and why. Never raises."""
    failed = []
    for name, configured, channel in (
        ("e-mail", bool(settings.notify_email and settings.smtp_url), _mail),
        ("webhook", bool(settings.notify_webhook), _call),
    ):
        if configured:
            try:
                channel(settings, notice)
            except Exception as error:  # whatever a mail server or a foreign service does, the order goes on
                failed.append(f"{name}: {type(error).__name__}")
                log.warning("a notice (%s) could not be sent by %s: %s", notice.kind, name, type(error).__name__)
    return failed


def _address(settings: Settings, notice: Notice) -> str:
    return (settings.base_url or f"http://127.0.0.1:{settings.api_port}").rstrip("/") + notice.page


def _body(settings: Settings, notice: Notice) -> bytes:
    said = {name: value for name, value in asdict(notice).items() if value and name != "page"}
    return json.dumps(said | {"link": _address(settings, notice)}, separators=(",", ":"), sort_keys=True).encode()


def _call(settings: Settings, notice: Notice) -> None:
    parts = urlsplit(settings.notify_webhook)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError("a webhook outside this machine needs https")
    body, moment = _body(settings, notice), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "X-Memorial-Event": notice.kind,
        "X-Memorial-Signature": sign(secret_of(settings), moment, body),
    }
    with httpx.Client(timeout=PATIENCE, follow_redirects=False, trust_env=False) as client:
        client.post(settings.notify_webhook, content=body, headers=headers).raise_for_status()


def _mail(settings: Settings, notice: Notice) -> None:
    recipients = [address.strip() for address in settings.notify_email.split(",") if address.strip()]
    message = EmailMessage()
    message["Subject"] = f"[Memorial Studio] {notice.subject}"
    message["From"], message["To"] = settings.notify_from or recipients[0], ", ".join(recipients)
    message.set_content("\n".join(_lines(settings, notice)))
    parts = urlsplit(settings.smtp_url)
    host = parts.hostname or "localhost"
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=PATIENCE, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=PATIENCE)
    with server:
        if parts.scheme != "smtps" and host not in LOOPBACK:
            server.starttls(context=ssl.create_default_context())
        if parts.username and settings.smtp_password_file:
            server.login(unquote(parts.username), Path(settings.smtp_password_file).read_text("utf-8").strip())
        server.send_message(message)


def _lines(settings: Settings, notice: Notice) -> Sequence[str]:
    lines = [f"{notice.subject}."]
    if notice.stage:
        lines.append(f"Where: {notice.stage.replace('_', ' ')}")
    if notice.reason_code:
        lines.append(f"Why: {notice.reason_code}")
    lines += [f"{count} {state.replace('_', ' ')}" for state, count in notice.counts.items()]
    lines += list(notice.orders)
    if notice.next_action:
        lines.append(f"What you can do: {notice.next_action}")
    return [*lines, "", _address(settings, notice), ""]
