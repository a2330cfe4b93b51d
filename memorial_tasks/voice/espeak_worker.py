"""Speech generator process around the espeak-ng library (GPL-3).

This file is a program of its own. The studio never imports it and never loads the library into its own process:
`memorial_tasks.voice.espeak` starts it and exchanges one JSON line per request over pipes.

Request:  ``{"text": ..., "voice": "en-us+f3", "rate": 160, "pitch": 50, "range": 50}``
Reply:    one JSON line ``{"rate": hz, "samples": n, "phones": [[ms, ipa], ...], "words": [[ms, offset, length], ...]}``
followed by ``2 * n`` bytes of little-endian PCM16. Times are milliseconds from the start of the audio. A request
that cannot be spoken is answered by ``{"error": ...}`` and no audio.
"""

import ctypes
import json
import sys
import zlib

_RETRIEVAL = 1  # audio comes to the callback instead of a sound card
_PHONEME_EVENTS, _PHONEME_IPA = 0x0001, 0x0002
_WORD, _PHONEME, _END = 1, 7, 0
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_UTF8, _PHONEME_MARKUP = 1, 0x100


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Speaker:
    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.hertz = self.library.espeak_Initialize(_RETRIEVAL, 0, data, _PHONEME_EVENTS | _PHONEME_IPA)
        if self.hertz <= 0:
            raise RuntimeError("espeak-ng could not be initialised")
        self.library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self.library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self.audio = bytearray()
        self.phones: list[tuple[int, str]] = []
        self.words: list[tuple[int, int, int]] = []
        self.callback = _Callback(self._collect)
        self.library.espeak_SetSynthCallback(self.callback)

    def _collect(self, wave: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]") -> int:
        position = 0
        while events[position].type != _END:
            event = events[position]
            if event.type == _PHONEME:
                self.phones.append((event.audio_position, event.id.string.decode("utf-8", "replace")))
            elif event.type == _WORD:
                self.words.append((event.audio_position, event.text_position, event.length))
            position += 1
        if wave and count > 0:
            self.audio += ctypes.string_at(wave, 2 * count)
        return 0

    def say(self, request: dict[str, object]) -> dict[str, object]:
        self.audio, self.phones, self.words = bytearray(), [], []
        if self.library.espeak_SetVoiceByName(str(request["voice"]).encode()) != 0:
            return {"error": "no such voice"}
        for key, parameter in (("rate", _RATE), ("pitch", _PITCH), ("range", _RANGE)):
            if key in request:
                self.library.espeak_SetParameter(parameter, int(str(request[key])), 0)
        text = str(request["text"]).encode()
        if self.library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8 | _PHONEME_MARKUP, None, None) != 0:
            return {"error": "the text could not be spoken"}
        self.library.espeak_Synchronize()
        return {"rate": self.hertz, "samples": len(self.audio) // 2, "phones": self.phones, "words": self.words}


def main() -> None:
    """Answer requests until standard input closes."""
    speaker = _Speaker()
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        # espeak-ng draws breath noise from the clock; seeded by the request itself, the same words sound the same.
        speaker.library.espeak_ng_SetRandSeed(zlib.crc32(line))
        reply = speaker.say(json.loads(line))
        out.write(json.dumps(reply).encode() + b"\n")
        if "error" not in reply:
            out.write(bytes(speaker.audio))
        out.flush()


if __name__ == "__main__":
    main()
