"""A look at the film before it is made: rendered small and faster than it plays, watched while it is rendered.

Consent is asked like for any other act, the material is opened in a private folder that is gone afterwards, and every
picture carries the label. Nothing is kept: what is seen is no film of the order, cannot be approved and not delivered.
"""

import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from memorial_tasks.domain.timing import LEAD_IN, TAIL, DirectionPlan, SpeechTiming
from memorial_tasks.errors import MemorialError
from memorial_tasks.production.consents import permit_for, release_key
from memorial_tasks.production.steps import modalities_of, plan
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.vault.store import EncryptedStore

SIZE: Final = (640, 360)
FPS: Final = 25
LOUDER_DB: Final = 7.0  # from the speech track's -23 LUFS to the film's -16
BLOCK_S: Final = 1.0  # of sound at a time
STEP: Final = "animate"  # the act a preview is: the person's face and voice, moved


@contextmanager
def opened(studio: Studio, order_id: str, who: Who) -> Iterator[Path]:
    """What the animate step reads, decrypted in a folder that is removed again.

    Raises `ConsentRefused` without live consent, `MemorialError` before the order has been spoken.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        planned = plan(studio, connection, order, STEP)
        token = permit_for(studio, connection, order, STEP, modalities_of(STEP))
    _, key = release_key(studio, token, order, STEP, who)
    with studio.transaction() as connection:
        studio.audit(connection, "order.previewed", who, order, data={"step": STEP, "result_key": planned.key})
    with tempfile.TemporaryDirectory(prefix="memorial-preview-") as scratch:
        vault = EncryptedStore(studio.store, key, Path(scratch))
        for artifact in planned.inputs:
            target = Path(scratch) / "in" / artifact.name
            target.parent.mkdir(parents=True, exist_ok=True)
            digest, _ = vault.fetch(artifact.uri, target)
            if digest != artifact.sha256:
                raise MemorialError("an input is not the file that was recorded", where=order_id)
        yield Path(scratch) / "in"


@dataclass
class Preview:
    """Renders what lies in `folder` (the animate step's inputs) once, as fast as it can."""

    folder: Path
    assets: Path
    seed: int = 0
    size: tuple[int, int] = SIZE
    rendered_s: float = 0.0
    took_s: float = 0.0

    def render(self, target: Any) -> None:
        """Writes the fragmented MP4 to `target`; `rendered_s` and `took_s` tell how fast it is."""
        import cv2
        import numpy as np
        import soundfile

        from memorial_tasks.performance.perform import perform
        from memorial_tasks.provenance import label
        from memorial_tasks.video.live import LiveFilm
        from memorial_tasks.video.mix import Mix
        from memorial_tasks.video.stage import Backdrop, Stage

        began = time.monotonic()
        timing = SpeechTiming.model_validate_json((self.folder / "timing.json").read_bytes())
        plan_ = DirectionPlan.model_validate_json((self.folder / "plan.json").read_bytes())
        speech, rate = soundfile.read(str(self.folder / "speech.wav"), dtype="float32")
        score = perform(timing, speech, rate, plan_, self.seed)
        renderer = self._renderer()
        matte = renderer.matte()
        frames = score.frames(FPS)
        stage: Any = None
        labeller = label.Labeller(label.layout(self.assets, *self.size))
        # the speech track is levelled already: to measure the film before its first second would keep the viewer
        duration = LEAD_IN + timing.duration + TAIL
        sound = Mix(self.folder / "speech.wav", None, (), duration, LEAD_IN, gain=10 ** (LOUDER_DB / 20)).blocks()
        with LiveFilm(target, self.size, FPS) as film:
            film.sound(next(sound))
            for number, person in enumerate(renderer.frames(score.sampled(FPS), FPS)):
                if stage is None:
                    stage = Stage(matte, person, Backdrop(None, self.size, FPS, frames))
                planes = cv2.cvtColor(stage.picture(person, number), cv2.COLOR_RGB2YUV_I420)
                labeller.corner(planes)
                film.planes(np.asarray(planes, np.uint8))
                if (number + 1) % round(FPS * BLOCK_S) == 0:
                    film.sound(next(sound, np.zeros((0, 2), np.float32)))
                self.rendered_s, self.took_s = (number + 1) / FPS, time.monotonic() - began
            for block in sound:
                film.sound(block)

    def _renderer(self) -> Any:
        """The face at the size it is shown at: a picture costs what its pixels cost."""
        import cv2
        import numpy as np

        from memorial_tasks.face.bank import load_bank
        from memorial_tasks.face.render import FaceRenderer
        from memorial_tasks.video.cutout import extend_person

        bank = load_bank(self.folder / "face")
        matte8 = np.asarray(np.clip(bank.matte * 255, 0, 255), np.uint8)
        share = min(1.0, self.size[1] / bank.base.shape[0])
        size = (round(bank.base.shape[1] * share / 2) * 2, round(bank.base.shape[0] * share / 2) * 2)
        scale = np.array([size[0] / bank.base.shape[1], size[1] / bank.base.shape[0], share], np.float32)
        small = replace(
            bank,
            base=np.asarray(cv2.resize(extend_person(bank.base, matte8), size, interpolation=cv2.INTER_AREA), np.uint8),
            base_points=(bank.base_points * scale).astype(np.float32),
            matte=np.asarray(cv2.resize(bank.matte, size, interpolation=cv2.INTER_AREA), np.float32),
        )
        return FaceRenderer(small, alone=True)


PAGE: Final = """<!doctype html><meta charset="utf-8"><title>preview</title>
<style>body{margin:0;background:#111;color:#bbb;font:15px system-ui;text-align:center}
video{width:min(100%,1100px)}</style>
<video src="film.mp4" autoplay controls playsinline></video><p>A preview, AI-generated: not approved, not kept.</p>"""


class Server:
    """Serves one preview to this machine alone, under an address nobody else can guess."""

    def __init__(self, preview: Preview, port: int = 0) -> None:
        self.preview, self.done = preview, threading.Event()
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
                    outer.preview.render(self.wfile)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the viewer has seen enough
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
    """Serve a preview of the order until it was watched once; `say` gets the address."""
    from memorial_tasks.production.graph import seed_of

    with opened(studio, order_id, who) as folder:
        made = Preview(folder, studio.settings.assets_dir, seed_of(order_id, STEP))
        server = Server(made, port)
        with server.running() as address:
            say(address)
            server.done.wait()
            time.sleep(1.0)  # the last bytes are on their way
    return made
