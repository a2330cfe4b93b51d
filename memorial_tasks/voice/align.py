"""Which phone is said when, in a real recording whose words are known.

English: pocketsphinx (BSD, model in its wheel) in two passes over our own pronunciations. Any language: the same
words spoken by espeak-ng and warped onto the recording (MFCC dynamic time warping), which needs no training.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from memorial_tasks.voice.audio import RATE, Wave, resample
from memorial_tasks.voice.features import FRAME
from memorial_tasks.voice.phones import SILENCE, Phone
from memorial_tasks.voice.practice import Reading
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.text.english import variants
from memorial_tasks.voice.text.units import Word

MFCC = 26  # columns of `mfcc`
_PAUSE_FRAMES = 8  # a silence shorter than 40 ms between words belongs to the words


class SphinxAligner:
    """Forced alignment of English by pocketsphinx. One decoder, replaced after a failure because a failed
    alignment leaves it unusable."""

    def __init__(self) -> None:
        self._decoder: Any = None

    def _fresh(self) -> Any:
        import pocketsphinx

        self._decoder = pocketsphinx.Decoder(loglevel="FATAL", lm=None, beam=1e-80, wbeam=1e-60, pbeam=1e-80)
        return self._decoder

    def align(self, wave: Wave, words: Sequence[Word]) -> TimedRow | None:
        """Times of `words` in `wave` (24 kHz), or None when the recording does not fit them."""
        if not all(word.phones for word in words):
            return None  # the decoder would crash over a word without phones, and the process with it
        decoder = self._decoder or self._fresh()
        sound = resample(wave, RATE, 16000)
        pcm = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
        table: dict[str, tuple[Phone, ...]] = {}
        try:
            spelled = [self._enter(decoder, word, table) for word in words]
            decoder.set_align_text(" ".join(spelled))
            self._decode(decoder, pcm)
            decoder.set_alignment()
            self._decode(decoder, pcm)
            spans = [
                (str(entry.name), [(str(phone.name), int(phone.start), int(phone.duration)) for phone in entry])
                for entry in decoder.get_alignment()
            ]
        except (RuntimeError, ValueError, TypeError):
            self._decoder = None
            return None
        return _timed(spans, words, table, len(wave))

    @staticmethod
    def _enter(decoder: Any, word: Word, table: dict[str, tuple[Phone, ...]]) -> str:
        said = "".join(phone.name + ("'" if phone.stress else "") for phone in word.phones)
        base = "x" + sha256(f"{word.text.lower()} {said}".encode()).hexdigest()[:12]
        for number, phones in enumerate(variants(word)):
            name = base if number == 0 else f"{base}({number + 1})"
            table[name] = phones
            if decoder.lookup_word(name) is None:
                decoder.add_word(name, " ".join(phone.name for phone in phones), True)
        return base

    @staticmethod
    def _decode(decoder: Any, pcm: bytes) -> None:
        decoder.start_utt()
        decoder.process_raw(pcm, no_search=False, full_utt=True)
        decoder.end_utt()


def _timed(
    spans: list[tuple[str, list[tuple[str, int, int]]]],
    words: Sequence[Word],
    table: dict[str, tuple[Phone, ...]],
    samples: int,
) -> TimedRow | None:
    """Phone row from pocketsphinx's 10 ms word and phone spans; None when words are missing."""
    total = int(samples / RATE / FRAME)
    phones: list[Phone] = []
    index: list[int] = []
    starts: list[int] = []
    said: list[Word] = []
    for name, parts in spans:
        if name not in table:  # <sil>, fillers
            if parts and sum(part[2] for part in parts) * 2 >= _PAUSE_FRAMES:
                phones.append(Phone(SILENCE))
                index.append(-1)
                starts.append(parts[0][1] * 2)
            continue
        if len(said) >= len(words) or len(parts) != len(table[name]):
            return None
        word = words[len(said)]
        said.append(Word(word.text, table[name], word.language, word.pause, word.question))
        for phone, (_, start, _) in zip(table[name], parts, strict=True):
            phones.append(phone)
            index.append(len(said) - 1)
            starts.append(start * 2)
    if len(said) != len(words) or not phones:
        return None
    return finish_row(phones, index, starts, total, tuple(said))


def finish_row(
    phones: list[Phone], index: list[int], starts: list[int], total: int, words: tuple[Word, ...]
) -> TimedRow:
    """Row with a pause at both ends, strictly rising edges and `total` frames."""
    if index[0] >= 0:
        phones, index, starts = [Phone(SILENCE), *phones], [-1, *index], [0, *starts]
    if index[-1] >= 0:
        phones, index, starts = [*phones, Phone(SILENCE)], [*index, -1], [*starts, total - 1]
    edges = np.array([*starts, total], np.int64)
    edges[0] = 0
    for i in range(1, len(edges)):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    for i in range(len(edges) - 2, -1, -1):  # squeeze back inside the recording
        edges[i] = min(edges[i], edges[i + 1] - 1) if edges[-1] > total and i < len(edges) - 1 else edges[i]
    return TimedRow(PhoneRow(tuple(phones), tuple(index), words), edges.astype(np.int32))


def mfcc(wave: Wave, step: float = 0.01) -> NDArray[np.float32]:
    """MFCC and how they change over 20 ms to either side, float32 [frames, MFCC], every `step` (0.01 or 0.005 s) of a
    wave at 24 kHz, normalised over the utterance."""
    sound = resample(wave, RATE, 16000)
    sound = np.append(sound[:1], sound[1:] - 0.97 * sound[:-1])
    padded = np.pad(sound, 200)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[:: round(step * 16000)] * np.hamming(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    mel = np.log(power @ _mel_bank().T + 1e-8)
    cepstra = fft.dct(mel, norm="ortho", axis=1)[:, : MFCC // 2]
    one = round(0.01 / step)
    near = np.pad(cepstra, ((2 * one, 2 * one), (0, 0)), "edge")
    delta = (near[3 * one : -one] - near[one : -3 * one]) + 2 * (near[4 * one :] - near[: -4 * one])
    stacked = np.hstack([cepstra, delta])
    return np.asarray((stacked - stacked.mean(axis=0)) / (stacked.std(axis=0) + 1e-3), np.float32)


@cache
def _mel_bank() -> NDArray[np.float64]:
    """float64 [40, 257]: triangles evenly spaced in mel between 80 and 7600 Hz."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (80.0, 7600.0))
    centres = 700 * (10 ** (np.linspace(low, high, 42) / 2595) - 1)
    hz = np.linspace(0, 8000, 257)
    rise = (hz - centres[:-2, None]) / np.diff(centres)[:-1, None]
    fall = (centres[2:, None] - hz) / np.diff(centres)[1:, None]
    return np.asarray(np.maximum(0.0, np.minimum(rise, fall)), np.float64)


def warp_path(left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[NDArray[np.int64], float]:
    """For each frame of `left` the matching frame of `right` (non-decreasing), and the mean cost along the path.

    Steps (1,1), (1,2) and (2,1), so neither side runs more than twice as fast as the other; `left` is first
    stretched when their lengths differ by more than that.
    """
    spread = np.arange(len(left))
    if not 0.6 < len(right) / len(left) < 1.7:
        spread = np.linspace(0, len(left) - 1, len(right)).round().astype(int)
    near = left[spread]
    distance = np.sqrt(np.maximum(((near[:, None, :] - right[None, :, :]) ** 2).mean(axis=2), 0)).astype(np.float64)
    rows, columns = distance.shape
    total = np.full((rows + 2, columns + 2), np.inf)  # offset by two so that steps need no bounds checks
    total[1, 1] = 0.0
    step = np.zeros((rows, columns), np.int8)
    for i in range(rows):
        cost = distance[i]
        options = np.stack([total[i + 1, 1:-1] + cost, total[i + 1, :-2] + 1.4 * cost, total[i, 1:-1] + 1.4 * cost])
        step[i] = options.argmin(axis=0)
        total[i + 2, 2:] = options.min(axis=0)
    i, j = rows - 1, int(np.argmin(np.where(np.arange(columns) >= columns - 2, total[rows + 1, 2:], np.inf)))
    match = np.zeros(rows)
    while i >= 0 and j >= 0:
        match[i] = j
        kind = step[i, j]
        if kind == 2 and i > 0:
            match[i - 1] = j - 0.5
        i, j = i - (2 if kind == 2 else 1), j - (2 if kind == 1 else 1)
    cost_mean = float(total[rows + 1, 2:].min() / rows)
    back = np.interp(np.arange(len(left)), spread, match)
    return np.maximum.accumulate(back).astype(np.int64), cost_mean


def by_dtw(wave: Wave, reading: Reading) -> tuple[TimedRow, float]:
    """Times of the phones of `reading` (espeak speaking the same words) carried over to `wave` (24 kHz).

    Returns the timed row and the mean warping cost (about 0.9 for a good match).
    """
    ours, theirs = mfcc(wave), mfcc(reading.audio)
    path, cost = warp_path(theirs, ours)
    edges = reading.timed.edges
    at = path[np.clip(edges[:-1] // 2, 0, len(path) - 1)] * 2
    row = reading.timed.row
    total = int(wave.size / RATE / FRAME)
    timed = finish_row(list(row.phones), list(row.word), [int(v) for v in at], total, row.words)
    return timed, cost
