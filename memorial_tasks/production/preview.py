"""A look at the film before it is made, watched while it is rendered.

Consent is asked like for any other act, for each showing anew. The material is opened where material always is, in a
step's own process that gets one permit and one key (`steps.preview`); this side hands its stream on to a browser of
this machine and sees no file of it. Nothing is kept: what is seen is no film of the order, cannot be approved or
delivered.
"""

import importlib.util
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol

from memorial_tasks.errors import MemorialError
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.steps import Prepared, arguments, modalities_of, plan, prepared_job
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.steps.runner import Ended, failure_of, run_step_locally

STEP: Final = "animate"  # the act a preview is: the person's face and voice, moved
PIECE: Final = 64 << 10
NEEDED: Final = ("cv2", "av", "soundfile")

Write = Callable[[bytes], object]


class Streamed(Protocol):
    """What the server shows."""

    rendered_s: float
    took_s: float

    def stream(self, write: Write) -> None:
        """The film from its beginning, a piece at a time."""


@dataclass
class Preview:
    """One order's preview. `rendered_s` and `took_s` tell how far it is and how fast."""

    studio: Studio
    order_id: str
    who: Who
    rendered_s: float = 0.0
    took_s: float = 0.0

    def stream(self, write: Write) -> None:
        """Render once more, and hand every piece to `write` as it comes.

        Raises `ConsentRefused` without live consent, what the step's process raised, and whatever `write` raises: the
        process ends then.
        """
        prepared = self._prepared()
        reading, writing = os.pipe()
        ended = Ended(None, lost="it did not start")

        def work() -> None:
            nonlocal ended
            with suppress(OSError):
                ended = run_step_locally(self._command(prepared, writing), prepared.secrets, self._note, [writing])
                return
            os.close(writing)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            while piece := os.read(reading, PIECE):
                write(piece)
        finally:
            os.close(reading)  # a viewer who has gone ends the process: nobody reads what it writes
            worker.join()
            self.studio.store.delete(prepared.job_uri)
        if ended.code != 0:
            raise failure_of(ended, "preview")

    def _note(self, _fraction: float, message: str) -> None:
        rendered, _, took = message.partition(" ")
        self.rendered_s, self.took_s = float(rendered), float(took)

    def _command(self, prepared: Prepared, film: int) -> list[str]:
        settings = self.studio.settings
        words = arguments(prepared, settings.store_url, settings.s3_endpoint, settings.assets_dir)
        return [sys.executable, "-m", "memorial_tasks.steps.preview", *words, "--film-fd", str(film)]

    def _prepared(self) -> Prepared:
        """Permit, key and sealed job for one showing, as for a try at the step itself."""
        studio = self.studio
        with studio.transaction() as connection:
            order = studio.order(connection, self.order_id)
            planned = plan(studio, connection, order, STEP)
            token = permit_for(studio, connection, order, STEP, modalities_of(STEP))
        permit, key = release_key(studio, token, order, STEP, self.who)
        with studio.transaction() as connection:
            data = {"step": STEP, "result_key": planned.key}
            studio.audit(connection, "order.previewed", self.who, order, data=data)
        return prepared_job(studio, order, planned, token, permit, key, f"{planned.prefix(order)}/preview")


PAGE: Final = """<!doctype html><meta charset="utf-8"><title>preview</title>
<style>body{margin:0;background:#111;color:#bbb;font:15px system-ui;text-align:center}
video{width:min(100%,1100px)}</style>
<video src="film.mp4" autoplay controls playsinline></video><p>A preview, AI-generated: not approved, not kept.</p>"""


class Server:
    """Serves one preview to this machine alone, under an address nobody else can guess."""

    def __init__(self, preview: "Streamed", port: int = 0) -> None:
        self.preview, self.done = preview, threading.Event()
        self.failed: MemorialError | None = None
        self.token = secrets.token_urlsafe(18)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            """GET of the page and of the film, nothing else."""

            def do_GET(self) -> None:
                host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
                kind, _, name = self.path.lstrip("/").partition("/")
                if host not in {"127.0.0.1", "localhost"} or not secrets.compare_digest(kind, outer.token):
                    self.send_error(404)
                elif name == "film.mp4":
                    self._film()
                elif name == "":
                    self._send(PAGE.encode(), "text/html; charset=utf-8")
                elif name == "state.json":
                    state = {"rendered_s": outer.preview.rendered_s, "took_s": outer.preview.took_s}
                    self._send(json.dumps(state).encode(), "application/json")
                else:
                    self.send_error(404)

            def _send(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def _film(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp4")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                try:
                    outer.preview.stream(self.wfile.write)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the viewer has seen enough
                except MemorialError as error:
                    outer.failed = error
                outer.done.set()

            def log_message(self, format: str, *args: object) -> None:
                """The address is a secret; it is written nowhere."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/{self.token}/"

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serves until the block is left; gives the address."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self.address
        finally:
            self._server.shutdown()
            self._server.server_close()


def preview(studio: Studio, order_id: str, who: Who, say: Callable[[str], None], port: int = 0) -> Preview:
    """Serve a preview of the order until it was watched once; `say` gets the address.

    Raises `ConsentRefused` without live consent, `MemorialError` before the order has been spoken or on a machine
    without the worker's packages, what the step's process raised otherwise.
    """
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise MemorialError(
            "a preview is rendered on the machine that shows it, and this one has only the control plane's packages",
            where="preview",
            remedy="run the command on a machine with the worker's: pip install -c constraints.txt '.[worker]'",
        )
    with studio.transaction() as connection:
        plan(studio, connection, studio.order(connection, order_id), STEP)  # a remedy now, not a browser that waits
    made = Preview(studio, order_id, who)
    server = Server(made, port)
    with server.running() as address:
        say(address)
        server.done.wait()
        time.sleep(1.0)  # the last bytes are on their way
    if server.failed is not None:
        raise server.failed
    return made
