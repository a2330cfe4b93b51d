"""Whether the subject's speech is told from that of others: real people mixed, and one person in several rooms.

Material: the ``kathleen``, ``grid-s1``, ``others`` and ``librispeech`` folders (none is part of the repository) under
MEMORIAL_BENCH_REAL (or MEMORIAL_REAL, ``../shared/real`` otherwise). 86 sentences of kathleen and 60 clips of the man
of grid-s1 are each mixed with one of the ten speakers of LibriSpeech, whose words are recognised by the product's
recogniser, so that 10, 20 and 40 % of the speech is that other's; once as recordings of their own, once as stretches of
one recording.
The nine others of GRID, one clip of about 1.5 s each, were recorded in the room of grid-s1. The rooms are made: six
sentences under 8 dB more treble, muffled, in a room that goes on for 0.6 s, and under noise. About four minutes of one
core, nearly all of it preparation.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import signal

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import RATE, Wave, read_wave, set_loudness, write_wave
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import LF0, VUV, PitchRange, analyse
from memorial_tasks.voice.prepare import Recogniser, prepare_reading, prepare_voice
from memorial_tasks.voice.segments import measure
from memorial_tasks.voice.speakers import without_others
from memorial_tasks.voice.text.front import FrontEnd
from tests.bench.bench_voice import GRID_TRAIN, REAL, TRAIN, _clip_sound, _command

SHARES = (0.1, 0.2, 0.4)
_SUBJECT_S = {0.1: 240.0, 0.2: 120.0, 0.4: 45.0}  # so that half a minute of the other is enough
_WORDS = (
    dict(zip("blps", ("bin", "lay", "place", "set"), strict=True)),
    dict(zip("bgrw", ("blue", "green", "red", "white"), strict=True)),
    dict(zip("abiw", ("at", "by", "in", "with"), strict=True)),
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8":
     "eight", "9": "nine"},
    dict(zip("anps", ("again", "now", "please", "soon"), strict=True)),
)  # fmt: skip  # what a GRID file name stands for, letter by letter


def _kathleen() -> list[Utterance]:
    folder = REAL / "kathleen"
    rows = [row.split("|", 1) for row in (folder / "metadata.csv").read_text("utf-8").splitlines() if "|" in row]
    files = [folder / f"{name}.flac" for name, _ in rows[TRAIN]]
    return list(prepare_voice(files, dict(rows), Language.EN_US, own=[path.stem for path in files]).utterances)


def _grid() -> tuple[list[Utterance], list[Utterance]]:
    """The man of grid-s1, and the nine others."""
    clips = sorted((REAL / "grid-s1").glob("*.mpg"))
    clips = [clips[number] for number in np.random.default_rng(0).permutation(len(clips))][GRID_TRAIN]
    texts = {path.stem: _command(path) for path in clips}
    others = [path for path in sorted((REAL / "others").glob("*.mpg")) if path.stem != "bbaf2n"]
    for path in others:
        texts[path.stem] = " ".join(word[letter] for word, letter in zip(_WORDS, path.stem, strict=True))
    with tempfile.TemporaryDirectory() as folder, Espeak() as espeak:
        out = []
        for group in (clips, others):
            files = [Path(folder) / f"{path.stem}.wav" for path in group]
            for path, target in zip(group, files, strict=True):
                write_wave(target, _clip_sound(path))
            out.append(prepare_reading(files, texts, Language.EN_US, espeak, FrontEnd(espeak).words))
    return out[0], out[1]


def _librispeech() -> dict[str, list[Utterance]]:
    files = sorted((REAL / "librispeech").glob("*.flac"))
    speakers: dict[str, list[Path]] = {}
    for path in files:
        speakers.setdefault(path.stem.split("-")[0], []).append(path)
    ear = Recogniser()
    with Espeak() as espeak:
        reads = FrontEnd(espeak).words
        texts = {path.stem: ear.words(read_wave(path)) for path in files}
        return {
            name: prepare_reading([path for path in own if texts[path.stem]], texts, Language.EN_US, espeak, reads)
            for name, own in speakers.items()
        }


def _high(utterances: Sequence[Utterance]) -> bool:
    """Whether it is a woman: here all of them speak above 135 Hz, and no man does."""
    voiced = np.concatenate([one.frames[one.frames[:, VUV] > 0.5, LF0] for one in utterances])
    return bool(np.exp(np.median(voiced)) > 135)


def _first(utterances: Sequence[Utterance], seconds: float) -> list[Utterance]:
    out: list[Utterance] = []
    for one in utterances:
        if sum(other.seconds for other in out) >= seconds:
            break
        out.append(one)
    return out


def _told(subject: Sequence[Utterance], other: Sequence[Utterance], one_tape: bool) -> tuple[float, ...]:
    """Seconds of the subject, of the other, and what was left out of each."""
    mixed = [replace(one, id=f"tape-s{number}") for number, one in enumerate(subject)]
    mixed += [replace(one, id=f"tape-o{number}") for number, one in enumerate(other)]
    mixed = [mixed[number] for number in np.random.default_rng(0).permutation(len(mixed))]
    kept = without_others(mixed, [], ["tape"] if one_tape else [one.id for one in mixed])
    left = [sum(one.seconds for one in kept if one.id.startswith(f"tape-{who}")) for who in "so"]
    own, foreign = (sum(one.seconds for one in group) for group in (subject, other))
    return own, foreign, own - left[0], foreign - left[1]


def _treble(wave: Wave) -> Wave:
    hertz = np.maximum(np.fft.rfftfreq(wave.size, 1 / RATE), 50)
    gain = 8 * np.clip(np.log2(hertz / 1000) / 3, -1, 1)
    return np.asarray(np.fft.irfft(np.fft.rfft(wave) * 10 ** (gain / 20), wave.size), np.float32)


def _muffled(wave: Wave) -> Wave:
    return np.asarray(signal.sosfiltfilt(signal.butter(2, 3500, fs=RATE, output="sos"), wave), np.float32)


def _echoing(wave: Wave) -> Wave:
    count = int(0.6 * RATE)
    room = np.random.default_rng(1).normal(size=count) * 10 ** (-3 * np.arange(count) / count)
    room *= 10 ** (-3 / 20) / np.sqrt((room**2).sum())
    room[0] = 1
    return np.asarray(signal.fftconvolve(wave, room)[: wave.size], np.float32)


def _noisy(wave: Wave) -> Wave:
    return np.asarray(wave + np.random.default_rng(2).normal(size=wave.size) * wave.std() / 10, np.float32)


def _changed(utterance: Utterance, room: Callable[[Wave], Wave]) -> Utterance:
    wave = set_loudness(room(utterance.wave), -23.0)
    frames = analyse(wave, PitchRange(), breath=False)[: len(utterance.frames)]
    return replace(utterance, wave=wave, frames=frames, snr=measure(wave, RATE).snr)


def run() -> dict[str, float]:
    """``speakers.*``: shares of speech; empty when the material is not there."""
    if not (REAL / "kathleen" / "metadata.csv").is_file():
        return {}
    her, (him, nine), readers = _kathleen(), _grid(), _librispeech()
    out: dict[str, float] = {}

    def put(name: str, rows: Sequence[tuple[float, ...]]) -> None:
        own, foreign, lost, found = np.sum(rows, axis=0)
        out[f"speakers.lost{name}"] = float(lost / own)
        if foreign:
            out[f"speakers.left_out{name}"] = float(found / foreign)

    alone = [_told(one, [], tape) for one in (her, him, *readers.values()) for tape in (True, False)]
    put("_alone", alone)
    rooms = (_treble, _muffled, _echoing, _noisy)
    put("_rooms", [_told(w[6:30] + [_changed(u, r) for u in w[:6]], [], False) for w in (her, him) for r in rooms])
    put("_nine_in_his_room", [_told(him, nine, False)])
    for share in SHARES:
        for same in (True, False):
            for tape in (True, False):
                rows = []
                for subject in (her, him):
                    base = _first(subject, _SUBJECT_S[share])
                    wanted = sum(one.seconds for one in base) * share / (1 - share)
                    for other in readers.values():
                        if (_high(other) == _high(subject)) == same:
                            rows.append(_told(base, _first(other, wanted), tape))
                put(f"_{share:.0%}_{'same' if same else 'other'}_sex_{'one_tape' if tape else 'apart'}", rows)
    readers_only = [
        (_told(one, _first(other, 14), tape), _high(one) == _high(other), tape)
        for name, one in readers.items()
        for rival, other in readers.items()
        for tape in (True, False)
        if name != rival
    ]
    for same in (True, False):
        for tape in (True, False):
            rows = [row for row, alike, together in readers_only if alike is same and together is tape]
            put(f"_readers_{'same' if same else 'other'}_sex_{'one_tape' if tape else 'apart'}", rows)
    return {key: round(value, 4) for key, value in out.items()}
