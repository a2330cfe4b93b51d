"""Decoding in a child process that may die: the parent asks for one file at a time and names the one that killed it.

The child speaks lines of JSON. It has no network where the kernel lets it give that up, no core dumps (they
would hold a family's pictures), an address-space limit and no environment beyond what Python needs.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import selectors
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import Problem, Unavailable

FACE_MODELS = "memorial_tasks.face.landmarks:FaceModels"
_ADDRESS_SPACE = 12 << 30  # virtual; memory maps of the runtimes count too
_START_SECONDS = 120.0
# A file is given this long: photos decode in well under a second, an hour of video in a few minutes.
SECONDS = {MaterialKind.PHOTO: 60.0, MaterialKind.VOICE: 300.0, MaterialKind.VIDEO: 1800.0}
_OTHER_SECONDS = 300.0


class Examiner:
    """A child process that examines files; started on first use and again whenever a file has killed it."""

    def __init__(self, assets: Path, died: date | None = None, models: str = FACE_MODELS) -> None:
        self._command = [
            sys.executable,
            "-m",
            "memorial_tasks.quality.isolate",
            "--assets",
            str(assets),
            "--models",
            models,
            "--died",
            died.isoformat() if died else "",
        ]
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> "Examiner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def examine(self, path: Path, kind: MaterialKind, timeout: float | None = None) -> dict[str, Any]:
        """The examination of one file, as `Examination.to_json` writes it.

        A file that kills or hangs the decoder is itself the problem. Raises `Unavailable` when the child
        does not even start (models missing, packages missing).
        """
        child = self._start()
        assert child.stdin is not None  # noqa: S101 - opened as a pipe above
        limit = timeout or SECONDS.get(kind, _OTHER_SECONDS)
        try:
            child.stdin.write(json.dumps({"path": str(path), "kind": kind.value}).encode() + b"\n")
            child.stdin.flush()
            line = self._line(limit)
        except TimeoutError:
            self._stop()
            return _killed("material.decoder_hung", f"decoding it did not end within {limit:.0f} s")
        except (BrokenPipeError, EOFError):
            self._stop()
            return _killed("material.decoder_died", "it makes the decoder crash")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> "subprocess.Popen[bytes]":
        if self._child is not None and self._child.poll() is None:
            return self._child
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
        # The child must find this package even where it is not installed but run from its folder.
        root = str(Path(__file__).resolve().parents[2])
        kept["PYTHONPATH"] = os.pathsep.join(part for part in (root, kept.get("PYTHONPATH", "")) if part)
        kept |= {"OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "ERROR", "AV_LOG_FORCE_NOCOLOR": "1"}
        self._buffer = b""
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        try:
            ready = json.loads(self._line(_START_SECONDS))
        except (EOFError, TimeoutError):
            ready = {"error": "it ended before it was ready"}
        if "error" in ready:
            self._stop()
            raise Unavailable(
                f"the inspection of material cannot start: {ready['error']}",
                remedy="run `memorial init`, which fetches the model files, and `memorial doctor`",
            )
        return self._child

    def _line(self, timeout: float) -> bytes:
        child = self._child
        assert child is not None  # noqa: S101
        assert child.stdout is not None  # noqa: S101
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(timeout):
                    raise TimeoutError
                read = os.read(child.stdout.fileno(), 1 << 16)
                if not read:
                    raise EOFError
                self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        child.wait()


def _killed(code: str, what: str) -> dict[str, Any]:
    problem = Problem(code, what, "open and export it again with an ordinary program, or leave it out")
    return {"problems": [vars(problem)], "notes": [], "seconds": 0.0, "speech": 0.0, "faces": 0}


# ---------------------------------------------------------------------------------------------- the child


def give_up_network() -> bool:
    """Leave the network for an empty one (Linux); True when the kernel allowed it. Before any thread starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_net, new_user = 0x40000000, 0x10000000
    with contextlib.suppress(AttributeError):
        return bool(libc.unshare(new_net) == 0 or libc.unshare(new_user | new_net) == 0)
    return False


def load_models(name: str, assets: Path) -> Any:
    """The face models named ``module:Class``, by name because no room imports another."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute).load(assets)


def main(arguments: list[str]) -> int:
    """The child: one request a line on stdin, one answer a line on stdout."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    give_up_network()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints must not break the protocol
    try:
        from memorial_tasks.quality.examine import examine
        from memorial_tasks.quality.voice import SpeechDetector

        models, detector = load_models(options["--models"], Path(options["--assets"])), SpeechDetector()
    except Exception as error:
        answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        return 1
    answers.write(json.dumps({"ready": True}) + "\n")
    died = date.fromisoformat(options["--died"]) if options.get("--died") else None
    for line in sys.stdin:
        request = json.loads(line)
        result = examine(Path(request["path"]), MaterialKind(request["kind"]), models, detector, died)
        answers.write(json.dumps(result.to_json()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
