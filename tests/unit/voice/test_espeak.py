"""The espeak-ng process: a separate program, no chance in what it says, and not the end when it ends."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from memorial_tasks.errors import Unavailable
from memorial_tasks.voice import espeak as room
from memorial_tasks.voice.espeak import Espeak


def test_the_same_words_have_the_same_bytes_in_every_process() -> None:
    """Practice speech decides the voice, so a result key would lie if it came out otherwise each time."""
    spoken = []
    for _ in range(2):
        with Espeak() as espeak:
            espeak.say("a first sentence to move on its chance", "en-us")
            spoken.append(espeak.say("breath and hiss", "en-us+whisper").audio.tobytes())
    assert spoken[0] == spoken[1]


def _kill(espeak: Espeak) -> None:
    process = espeak._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_process_that_was_ended_is_started_again_and_says_the_same() -> None:
    with Espeak() as espeak:
        before = espeak.say("we go on", "en-us")
        _kill(espeak)
        after = espeak.say("we go on", "en-us")
    assert np.array_equal(before.audio, after.audio)
    assert before.phones == after.phones


def test_a_voice_that_does_not_exist_is_told_and_the_process_goes_on() -> None:
    with Espeak() as espeak:
        with pytest.raises(Unavailable, match="no such voice"):
            espeak.say("hello", "xx-nowhere")
        assert espeak.say("hello", "en-us").audio.size > 1000


@pytest.mark.parametrize(
    ("worker", "cause"),
    [
        ("import os, signal, sys\nsys.stdin.readline()\nos.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV"),
        ("import no_such_library_here\n", "status 1 .ModuleNotFoundError"),
        ('print(\'{"rate": 22050, "samples": 9, "phones": [], "words": []}\')\n', "status 0 .nothing said"),
    ],
)
def test_a_process_that_keeps_ending_is_reported_by_its_cause(
    worker: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker made to fail: the library itself does not crash on demand."""
    path = tmp_path / "worker.py"
    path.write_text(worker)
    monkeypatch.setattr(room, "WORKER", path)
    with Espeak() as espeak, pytest.raises(Unavailable, match=cause) as ended:
        espeak.say("a private sentence", "en-us")
    assert "private" not in str(ended.value)
