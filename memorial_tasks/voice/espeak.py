"""Client of the espeak-ng process: generated practice speech with exact phone times, in both languages.

espeak-ng is GPL-3, so it only ever runs as a separate program (`espeak_worker.py`). Its speech is practice material
and an alignment aid; it is never given out as a person's voice.
"""

import json
import subprocess
import sys
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


class Espeak:
    """One running espeak-ng process; use as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "Espeak":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def say(self, text: str, voice: str, *, rate: int = 160, pitch: int = 50, pitch_range: int = 50) -> EspeakSpeech:
        """Speak `text` (UTF-8, may hold ``[[phoneme]]`` markup) and return it with its times.

        `rate` in words a minute, `pitch` and `pitch_range` 0..99. Raises `Unavailable` when the process is gone or
        refuses the text.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise Unavailable("the espeak-ng process has no pipes")
        request = {"text": text, "voice": voice, "rate": rate, "pitch": pitch, "range": pitch_range}
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            head = stdout.readline()
        except (BrokenPipeError, ValueError) as error:
            raise Unavailable("the espeak-ng process ended", remedy="reinstall espeakng-loader") from error
        if not head:
            raise Unavailable("the espeak-ng process ended", remedy="reinstall espeakng-loader")
        reply = json.loads(head)
        if "error" in reply:
            raise Unavailable(f"espeak-ng: {reply['error']}", where=voice)
        count = int(reply["samples"])
        audio = np.frombuffer(stdout.read(2 * count), "<i2").astype(np.float32) / 32768.0
        return EspeakSpeech(
            audio,
            int(reply["rate"]),
            tuple((ms / 1000.0, ipa) for ms, ipa in reply["phones"]),
            tuple((ms / 1000.0, offset - 1, length) for ms, offset, length in reply["words"]),
        )
