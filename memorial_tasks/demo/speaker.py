"""Speech generator process whose chance is seeded, so that the family's recordings have the same bytes every time.

Run as a program of its own by `memorial_tasks.demo.voice`, never imported: like the voice room's worker, whose
requests and replies it shares, it is the only process that loads the GPL-3 espeak-ng library.
"""

import ctypes
import json
import sys
import zlib

from memorial_tasks.voice.espeak_worker import _Speaker


def main() -> None:
    """Answer requests until standard input closes; each starts from chance decided by its own bytes."""
    speaker = _Speaker()
    speaker.library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        speaker.library.espeak_ng_SetRandSeed(zlib.crc32(line))
        reply = speaker.say(json.loads(line))
        out.write(json.dumps(reply).encode() + b"\n")
        if "error" not in reply:
            out.write(bytes(speaker.audio))
        out.flush()


if __name__ == "__main__":
    main()
