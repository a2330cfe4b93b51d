"""Client of the espeak-ng process: generated practice speech with exact phone times, in both languages.

espeak-ng is GPL-3, so it only ever runs as a separate program (`espeak_worker.py`). Its speech is practice material
and an alignment aid; it is never given out as a person's voice.
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import Unavailable

WORKER = Path(__file__).with_name("espeak_worker.py")


@dataclass(frozen=True)
class EspeakSpeech:
    """Generated speech. `audio` float32 [-1, 1] at `rate` Hz; `phones` (start in seconds, IPA), the last one an
    empty mark at the end; `words` (start in seconds, character offset from 0, length in characters)."""

    audio: NDArray[np.float32]
    rate: int
    phones: tuple[tuple[float, str], ...]
    words: tuple[tuple[float, int, int], ...]


class _Gone(Exception):
    """The worker ended in the middle of a request."""


class Espeak:
    """One running espeak-ng process; use as a context manager.

    A process that ends is started again and asked again once: the library is foreign code, and a machine that runs
    short of memory ends the smallest programs first. When it ends twice over the same words, the cause is told.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - the worker's standard error, closed with it
        self._start()

    def _start(self) -> None:
        self._said.seek(0)
        self._said.truncate()
        # -P: the folder of the worker, which is our package, must not shadow what the worker imports
        command = [sys.executable, "-P", str(WORKER)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said)

    def __enter__(self) -> "Espeak":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._end()
        self._said.close()

    def _end(self) -> int:
        """Wait for the process to end, or end it; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            status = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if process.stdout:
            process.stdout.close()
        return status

    def say(self, text: str, voice: str, *, rate: int = 160, pitch: int = 50, pitch_range: int = 50) -> EspeakSpeech:
        """Speak `text` (UTF-8, may hold ``[[phoneme]]`` markup) and return it with its times.

        `rate` in words a minute, `pitch` and `pitch_range` 0..99. Raises `Unavailable` when espeak-ng refuses the text,
        when it cannot be started, and when it ends twice over the same text.
        """
        request = {"text": text, "voice": voice, "rate": rate, "pitch": pitch, "range": pitch_range}
        line = json.dumps(request).encode() + b"\n"
        try:
            return self._ask(line, voice)
        except _Gone:
            self._end()
            self._start()
        try:
            return self._ask(line, voice)
        except _Gone:
            raise self._cause() from None

    def _ask(self, line: bytes, voice: str) -> EspeakSpeech:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _Gone
        try:
            process.stdin.write(line)
            process.stdin.flush()
            head = process.stdout.readline()
        except (BrokenPipeError, ValueError):
            raise _Gone from None
        if not head.endswith(b"\n"):
            raise _Gone
        reply = json.loads(head)
        if "error" in reply:
            raise Unavailable(f"espeak-ng: {reply['error']}", where=voice)
        size = 2 * int(reply["samples"])
        sound = process.stdout.read(size)
        if len(sound) < size:
            raise _Gone
        return EspeakSpeech(
            np.frombuffer(sound, "<i2").astype(np.float32) / 32768.0,
            int(reply["rate"]),
            tuple((ms / 1000.0, ipa) for ms, ipa in reply["phones"]),
            tuple((ms / 1000.0, offset - 1, length) for ms, offset, length in reply["words"]),
        )

    def _cause(self) -> Unavailable:
        """Why the process ended: by which signal, or with which error (its name, no text: that may be a family's)."""
        status = self._end()
        if status < 0:
            remedy = "look whether the machine ran out of memory, then run the step again"
            return Unavailable(f"the espeak-ng process was ended twice by {_signal_name(-status)}", remedy=remedy)
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        error = lines[-1].partition(":")[0][:80] if lines else "nothing said"
        remedy = "reinstall espeakng-loader"
        return Unavailable(f"the espeak-ng process ended twice with status {status} ({error})", remedy=remedy)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
