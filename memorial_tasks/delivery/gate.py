"""The link gate: the one small service of the studio that strangers can reach.

    GET  /film/TOKEN    the landing page; consumes nothing, so a mail scanner or a preview may open it
    POST /film/TOKEN    with the code: one download, as a redirect to a five-minute address of the bucket or to a ticket
    GET  /take/TICKET   the embedded default's own file, for that ticket, with ranges
    GET  /health        for whoever watches the process

It builds every redirect as a path of its own, never from the Host header, keeps no cookie and no session, and logs
method, kind of address, status and time: no token, no link, no address of anybody.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memorial_tasks.delivery import codes, door, pages, registry
from memorial_tasks.delivery.bucket import BucketTarget
from memorial_tasks.delivery.door import Door, LinkRefused
from memorial_tasks.delivery.ranges import Range, wanted_range
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import MemorialError
from memorial_tasks.observability.logs import Plain
from memorial_tasks.production.deliveries import target_of

log = logging.getLogger("memorial.gate")

BODY_BYTES, BODY_SECONDS = 1024, 10
SEND_SECONDS = 60  # a client that takes nothing for so long is gone
PIECE, SLICE = 256 << 10, 8 << 20  # bytes sent at once; bytes taken off the ticket at once
_FORM = "application/x-www-form-urlencoded"
_RETRY = {"link.wait", "link.wrong_code", "film.changed"}  # the form is shown again

_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow, noarchive",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def application(opened: Door) -> ASGIApp:
    """The gate of one studio as an ASGI application."""
    target = target_of(opened.settings)
    origin = target.origin if isinstance(target, BucketTarget) else ""
    gate = _Gate(opened, origin)
    routes = [
        Route("/film/{token}", gate.film, methods=["GET", "POST"], name="film"),
        Route("/take/{ticket}", gate.file, methods=["GET"], name="take"),
        Route("/health", gate.health, methods=["GET"], name="health"),
    ]
    app = Starlette(routes=routes, exception_handlers={404: gate.nothing, 405: gate.nothing, Exception: gate.broken})
    secure = (opened.settings.delivery_url or "").startswith("https://")
    return _Guard(app, allowed_hosts(opened), pages.policy(origin), secure)


def allowed_hosts(opened: Door) -> frozenset[str]:
    """The names under which the gate answers: this machine's, and the public one when it was set."""
    public = urlsplit(opened.settings.delivery_url or "").hostname
    return frozenset({"127.0.0.1", "localhost", "[::1]", "::1", *([public] if public else [])})


class _Gate:
    def __init__(self, opened: Door, origin: str) -> None:
        self.door, self.origin = opened, origin

    async def film(self, request: Request) -> Response:
        """The landing page, or one download."""
        token = request.path_params["token"]
        language = _language(request)
        try:
            if request.method == "POST":
                return await self._take(request, token, language)
            opened = await run_in_threadpool(door.look, self.door, token)
        except LinkRefused as refused:
            return _refused(refused, language, _here(token))
        except MemorialError as error:
            return _unavailable(error, language, _here(token))
        return HTMLResponse(pages.landing(language, opened, _here(token)))

    async def _take(self, request: Request, token: str, language: Language) -> Response:
        try:
            typed = await _code_of(request)
            taken = await run_in_threadpool(door.take, self.door, token, typed)
        except LinkRefused as refused:
            if refused.code not in _RETRY:
                raise
            opened = await run_in_threadpool(door.look, self.door, token)
            page = pages.landing(language, opened, _here(token), refused.code)
            return HTMLResponse(page, pages.status_of(refused.code), _retry(refused))
        return RedirectResponse(taken.address or f"/take/{taken.ticket}", 302)

    async def file(self, request: Request) -> Response:
        """The film itself, from the embedded default's folder."""
        ticket, language = request.path_params["ticket"], _language(request)
        try:
            hashed, row = await run_in_threadpool(door.open_ticket, self.door, ticket)
        except LinkRefused as refused:
            return _refused(refused, language)
        except MemorialError as error:
            return _unavailable(error, language)
        size, tag = int(row.file_identity.split(":")[1]), f'"{row.film_sha256}"'
        asked = request.headers.get("range")
        if request.headers.get("if-range") not in (None, tag):
            asked = None
        wanted = wanted_range(asked, size)
        headers = {
            "accept-ranges": "bytes",
            "etag": tag,
            "content-disposition": f'attachment; filename="{door.FILE_NAME}"',
        }
        if wanted is None:
            return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
        headers |= {"content-length": str(wanted.length), "content-type": "video/mp4"}
        if wanted.partial:
            headers["content-range"] = wanted.header
        status = 206 if wanted.partial else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return _FileResponse(self.door, Path(row.place), row.file_identity, hashed, wanted, status, headers)

    async def health(self, request: Request) -> Response:
        """200 while the registry answers."""

        def ask() -> None:
            with self.door.transaction() as connection:
                registry.time_now(connection)

        try:
            await run_in_threadpool(ask)
        except MemorialError:
            return PlainTextResponse("the registry does not answer\n", 503)
        return PlainTextResponse("ok\n")

    async def nothing(self, request: Request, error: Exception) -> Response:
        """Any other address: the same words as for a link that never was."""
        return _refused(LinkRefused("link.unknown"), _language(request))

    async def broken(self, request: Request, error: Exception) -> Response:
        """A bug or a database that is away: nothing about it to the outside, no token in the log."""
        log.error("the gate failed: %s", type(error).__name__)
        return _refused(LinkRefused("store.unavailable", 60), _language(request))


def _language(request: Request) -> Language:
    return pages.language_of(request.query_params.get("lang", ""), request.headers.get("accept-language", ""))


def _here(token: str) -> str:
    """The link's own path for the page's form; empty for anything that is no token, so that no page repeats it."""
    return f"/film/{token}" if codes.token_hash(token) else ""


def _retry(refused: LinkRefused) -> dict[str, str]:
    return {"retry-after": str(refused.wait_s)} if refused.wait_s else {}


def _unavailable(error: MemorialError, language: Language, here: str = "") -> Response:
    log.error("nothing could be handed out: %s", error.what)
    return _refused(LinkRefused("store.unavailable", 60), language, here)


def _refused(refused: LinkRefused, language: Language, here: str = "") -> Response:
    page = pages.refusal(language, refused.code, "" if refused.code == "link.unknown" else here)
    return HTMLResponse(page, pages.status_of(refused.code), _retry(refused))


async def _code_of(request: Request) -> str:
    """The code out of a small form that arrives in time; anything else is `LinkRefused`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise LinkRefused("request.wrong")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_BYTES:
                    raise LinkRefused("request.wrong")
    except (TimeoutError, ClientDisconnect):
        raise LinkRefused("request.slow") from None
    try:
        found = parse_qs(body.decode(), max_num_fields=8, errors="strict").get("code", [])
    except ValueError:
        raise LinkRefused("request.wrong") from None
    if len(found) != 1:
        raise LinkRefused("request.wrong")
    return found[0]


class _FileResponse(Response):
    """Sends one range; each slice is taken off the ticket first, and taking fails once consent or link ended."""

    def __init__(
        self, opened: Door, path: Path, known: str, ticket: bytes, wanted: Range, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        self.door, self.path, self.known, self.ticket, self.wanted = opened, path, known, ticket, wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = min(SLICE, self.wanted.length)
        if not await run_in_threadpool(self._take, first):
            await _refused(LinkRefused("ticket.over"), _language(Request(scope)))(scope, receive, send)
            return
        descriptor = await run_in_threadpool(os.open, self.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if _identity(descriptor) != self.known:
                await _refused(LinkRefused("film.changed"), _language(Request(scope)))(scope, receive, send)
                return
            await _in_time(
                send, {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await self._send_slices(descriptor, send, first)
        finally:
            os.close(descriptor)

    async def _send_slices(self, descriptor: int, send: Send, first: int) -> None:
        position, end, paid = self.wanted.first, self.wanted.last + 1, first
        while position < end:
            if paid == 0:
                paid = min(SLICE, end - position)
                if not await run_in_threadpool(self._take, paid):
                    raise _Stopped  # the connection is cut: what arrived is not a whole film and says so
            piece = await run_in_threadpool(os.pread, descriptor, min(PIECE, paid), position)
            if not piece:
                raise _Stopped
            position += len(piece)
            paid -= len(piece)
            await _in_time(send, {"type": "http.response.body", "body": piece, "more_body": position < end})
        if end == self.wanted.size:
            await run_in_threadpool(self._finish)

    def _take(self, count: int) -> bool:
        with self.door.transaction() as connection:
            return registry.take_bytes(connection, self.ticket, count)

    def _finish(self) -> None:
        with self.door.transaction() as connection:
            registry.finish_ticket(connection, self.ticket, self.wanted.size)


class _Stopped(Exception):
    """Ends a running download; the server closes the connection because the promised bytes did not come."""


def _identity(descriptor: int) -> str:
    found = os.fstat(descriptor)
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


async def _in_time(send: Callable[[Message], Awaitable[None]], message: Any) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)
    except TimeoutError:
        raise _Stopped from None


class _Guard:
    """Around everything: known host names only, the same headers on every answer, a log that names nobody."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], policy: str, secure: bool) -> None:
        self.app, self.hosts = app, hosts
        fixed = _HEADERS | {"content-security-policy": policy}
        if secure:
            fixed["strict-transport-security"] = "max-age=31536000"
        self.headers = [(name.encode(), value.encode()) for name, value in fixed.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name for name, _ in self.headers}
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in own]
                message = {**message, "headers": [*kept, *self.headers]}
            await send(message)

        try:
            if _host(scope) in self.hosts:
                await self.app(scope, receive, guarded)
            else:
                await PlainTextResponse("This address is not served here.\n", 421)(scope, receive, guarded)
        except _Stopped:  # the server closes the connection, because the promised bytes did not come
            log.warning("a download was stopped")
        finally:
            kind = scope["path"].split("/")[1] if scope["path"].count("/") else ""
            kind = Plain(kind if kind in {"film", "take", "health"} else "other")
            log.info("%s %s %d %.0f ms", scope["method"], kind, status, 1000 * (time.monotonic() - began))


def _host(scope: Scope) -> str:
    """The Host header without its port, lower case; empty unless there is exactly one."""
    found = [value for name, value in scope["headers"] if name == b"host"]
    if len(found) != 1:
        return ""
    text: str = found[0].decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]
