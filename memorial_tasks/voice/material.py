"""What a training needs beside the person's speech: practice readings, and the quiet of their room."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import signal

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import RATE, Wave, frame_levels
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import FRAME, HOP, LF0, VUV, WIDTH, Frames, PitchRange, analyse
from memorial_tasks.voice.phones import SILENCE
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.practice_texts import ENGLISH, MANDARIN
from memorial_tasks.voice.sequence import TimedRow, row_from_json, row_to_json
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import Word

_HIGH_VARIANTS, _LOW_VARIANTS = ("f3", "f2", "f3"), ("", "m3", "")  # of espeak-ng's voices


def _texts(corpus: Corpus, count: int, seed: int, foreign: int) -> Iterator[tuple[str, Language]]:
    """General sentences of the person's language, then what the person said; every `foreign`-th sentence is one of the
    other language instead, for the names and phrases a line may hold."""
    rng = np.random.default_rng(seed)
    home, away = [(text, Language.EN_US) for text in ENGLISH], [(text, Language.ZH_CN) for text in MANDARIN]
    if corpus.language == Language.ZH_CN:
        home, away = away, home
    said = [(u.text, corpus.language) for u in corpus.utterances]
    own = iter([home[i] for i in rng.permutation(len(home))] + [said[i] for i in rng.permutation(len(said))])
    other = iter([away[i] for i in rng.permutation(len(away))])
    for number in range(count):
        found = next(other if number % foreign == foreign - 1 else own, None)
        if found:
            yield found


def practice_readings(
    corpus: Corpus,
    count: int,
    cache: Path,
    seed: int,
    progress: Callable[[float, str], None],
    foreign: int = 4,
) -> list[tuple[TimedRow, Frames]]:
    """Generated speech in both languages, in a voice of the person's pitch and tempo: timed rows and WORLD frames.
    Every `foreign`-th sentence is of the language the person does not speak. Kept in `cache`. The script has no part in
    it: a voice says another script without being trained again."""
    if (cache.with_suffix(".json")).is_file() and cache.with_suffix(".safetensors").is_file():
        return _read_cache(cache)
    voiced = np.concatenate([u.frames[u.frames[:, VUV] > 0.5, LF0] for u in corpus.utterances])
    high = float(np.exp(np.median(voiced))) > 165
    variants = _HIGH_VARIANTS if high else _LOW_VARIANTS
    rate = speaking_rate(corpus)
    out: list[tuple[TimedRow, Frames]] = []
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        seen: set[str] = set()
        for number, (text, language) in enumerate(_texts(corpus, count, seed, foreign)):
            if text in seen:
                continue
            seen.add(text)
            progress(0.1 * number / count, "generating practice speech")
            for words in _sentences(front.words(text, language)):
                reading = read_words(
                    espeak, words, variant=variants[number % 3], rate=rate, pitch=40 + number % 4 * 7, pitch_range=60
                )
                if reading is None:
                    continue
                frames = analyse(reading.audio, PitchRange(65, 500), breath=False)
                end = min(len(frames), int(reading.timed.edges[-1]))
                edges = np.minimum(reading.timed.edges, end)
                if (np.diff(edges) >= 1).all():
                    out.append((TimedRow(reading.timed.row, edges), frames[:end]))
    _write_cache(cache, out)
    return out


def _sentences(words: list[Word]) -> Iterator[list[Word]]:
    """Pieces of at most about 24 words, cut at punctuation."""
    piece: list[Word] = []
    for word in words:
        piece.append(word)
        if len(piece) >= 24 and word.pause:
            yield piece
            piece = []
    if piece:
        yield piece


def speaking_rate(corpus: Corpus) -> int:
    """espeak words a minute at which its phones last as long as this person's, 110..230."""
    lengths = np.concatenate(
        [np.diff(u.timed.edges)[[p.name != SILENCE for p in u.timed.row.phones]] for u in corpus.utterances]
    )
    usual = 0.083 if corpus.language == Language.EN_US else 0.115
    return int(np.clip(160 * usual / (float(lengths.mean()) * FRAME), 110, 230))


def _write_cache(cache: Path, rows: list[tuple[TimedRow, Frames]]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "frames": np.concatenate([frames for _, frames in rows]) if rows else np.zeros((0, WIDTH), np.float32),
        "edges": np.concatenate([timed.edges for timed, _ in rows]) if rows else np.zeros(0, np.int32),
    }
    save_file(arrays, cache.with_suffix(".safetensors"))
    document = [{"frames": len(frames), "row": row_to_json(timed.row)} for timed, frames in rows]
    cache.with_suffix(".json").write_text(json.dumps(document, ensure_ascii=False), "utf-8")


def _read_cache(cache: Path) -> list[tuple[TimedRow, Frames]]:
    arrays = load_file(cache.with_suffix(".safetensors"))
    out, frame, edge = [], 0, 0
    for item in json.loads(cache.with_suffix(".json").read_text("utf-8")):
        row = row_from_json(item["row"])
        edges = arrays["edges"][edge : edge + len(row.phones) + 1]
        out.append((TimedRow(row, edges), arrays["frames"][frame : frame + item["frames"]]))
        frame, edge = frame + item["frames"], edge + len(edges)
    return out


def breaths(utterances: Sequence[Utterance]) -> tuple[Wave, ...]:
    """Up to four of the person's own breaths, float32 at 24 kHz, from the pauses inside their recordings.

    A breath is a noise of 0.15 to 0.6 s without voice, at least 8 dB above the quiet of its recording and 12 dB below
    its speech, and brightest between 500 Hz and 5 kHz. Nobody's breath is invented: empty where none is found.
    """
    found: list[tuple[float, Wave]] = []
    for utterance in utterances:
        level = frame_levels(utterance.wave, RATE, window=0.02, hop=FRAME)
        quiet, loud = np.percentile(level, [5, 90])
        row, edges = utterance.timed.row, utterance.timed.edges
        for index in range(1, len(row.phones) - 1):
            start, end = int(edges[index]) + 4, int(edges[index + 1]) - 4
            if row.phones[index].name != SILENCE or end - start < 40 or utterance.frames[start:end, VUV].mean() > 0.1:
                continue
            inside = np.flatnonzero(level[start:end] > quiet + 8)
            if not 30 <= inside.size <= 120 or inside[-1] - inside[0] > 1.3 * inside.size:
                continue
            height = float(level[start:end][inside].mean())
            part = utterance.wave[int((start + inside[0]) * HOP) : int((start + inside[-1] + 2) * HOP)]
            if height < loud - 12 and _bright(part):
                found.append((height - quiet, _faded(part)))
    return tuple(wave for _, wave in sorted(found, key=lambda item: -item[0])[:4])


def _bright(part: Wave) -> bool:
    power = (np.abs(signal.stft(part, RATE, nperseg=512, boundary=None, padded=False)[2]) ** 2).mean(axis=1)
    hertz = np.linspace(0, RATE / 2, power.size)
    return bool(power[(hertz > 500) & (hertz < 5000)].sum() > 0.5 * power[hertz > 60].sum())


def _faded(part: Wave) -> Wave:
    ramp = np.minimum(1, np.arange(part.size) / (0.04 * RATE))
    return np.asarray(part * ramp * ramp[::-1], np.float32)


def room_tone(utterances: Sequence[Utterance]) -> tuple[NDArray[np.float32], float]:
    """Spectral shape float32 [513] (mean square 1) and level in dBFS of the quiet between the words, not above -62."""
    powers = []
    for utterance in utterances:
        for phone, start, end in zip(
            utterance.timed.row.phones, utterance.timed.edges, utterance.timed.edges[1:], strict=False
        ):
            part = utterance.wave[int(start * FRAME * RATE) : int(end * FRAME * RATE)]
            if phone.name == SILENCE and part.size >= 2048:
                power = np.abs(signal.stft(part, RATE, nperseg=1024, boundary=None, padded=False)[2]) ** 2
                powers.append(np.percentile(power, 30, axis=1))
    if not powers:
        hz = np.linspace(0, RATE / 2, 513)
        shape, level = 1 / (1 + hz / 300), -70.0
    else:
        shape = np.sqrt(np.median(powers, axis=0) + 1e-14)
        level = float(np.clip(10 * np.log10((shape**2).sum() * 2 + 1e-12), -80.0, -62.0))
    shape = shape / np.sqrt((shape**2).mean())
    return shape.astype(np.float32), level
