"""Where phones are put: what an alignment begins with, once settled, and as our own model places it.

Material: the ``grid-s1`` and ``aishell3`` folders (none is part of the repository) under MEMORIAL_BENCH_REAL (or
MEMORIAL_REAL, ``../shared/real`` otherwise). Where words begin in 60 clips of grid-s1, which come with times of their
publisher's (a forced alignment too), in milliseconds after each clip is freed of its own median shift; and how many
syllables of 30 AISHELL-3 sentences the judge of tones hears right, who is fitted on the same sentences with each left
out. About a minute of one core.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from memorial_tasks.domain.words import Language
from memorial_tasks.voice import ctc
from memorial_tasks.voice.align import SphinxAligner, by_dtw
from memorial_tasks.voice.audio import RATE, Wave, clean, set_loudness
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import analyse, pitch_range
from memorial_tasks.voice.licensed import Part, read_part, with_pinyin
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.prepare import prepare_reading
from memorial_tasks.voice.segments import speech_spans
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.settle import heard_pauses, settle
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import Word
from tests.bench.bench_voice import GRID_TRAIN, REAL, _clip_sound, _command, _mandarin_corpus
from tests.bench.tones import left_out_accuracy, syllables

_WAYS: dict[str, Callable[[Sequence[Utterance]], list[Utterance]]] = {
    "began": list,
    "settled": settle,
    "placed": ctc.place_all,
}


def _grid() -> tuple[dict[str, list[Utterance]], dict[str, list[float]]]:
    """The clips aligned by pocketsphinx and by the warped reading, and when their words begin, in seconds."""
    clips = sorted((REAL / "grid-s1").glob("*.mpg"))
    clips = [clips[number] for number in np.random.default_rng(0).permutation(len(clips))][GRID_TRAIN]
    waves: dict[str, Wave] = {}
    words: dict[str, list[Word]] = {}
    truth: dict[str, list[float]] = {}
    sphinx, out = SphinxAligner(), {"pocketsphinx": [], "warped": []}
    with Espeak() as espeak:
        front = FrontEnd(espeak)
        for path in clips:
            wave = set_loudness(clean(_clip_sound(path)), -23.0)
            spans = speech_spans(wave, RATE, longest=12.0)
            start = spans[0][0]
            waves[path.stem] = wave[int(start * RATE) : int(spans[-1][1] * RATE)]
            words[path.stem] = front.words(_command(path), Language.EN_US)
            rows = [row.split() for row in path.with_suffix(".align").read_text("utf-8").splitlines()]
            truth[path.stem] = [int(row[0]) / 25_000 - start for row in rows if row[2] not in {"sil", "sp"}]
        pitch = pitch_range(list(waves.values()))
        for name, wave in waves.items():
            frames = analyse(wave, pitch)
            reading = read_words(espeak, words[name])
            found = {
                "pocketsphinx": sphinx.align(wave, words[name]),
                "warped": by_dtw(wave, reading)[0] if reading else None,
            }
            for way, timed in found.items():
                if timed is None:
                    continue
                count = min(len(frames), int(timed.edges[-1]))
                row = heard_pauses(TimedRow(timed.row, np.minimum(timed.edges, count)))
                if (np.diff(row.edges) >= 1).all():
                    out[way].append(Utterance(name, "", row, frames[:count], wave, "A", 30.0))
    return out, truth


def _astray(utterances: Sequence[Utterance], truth: dict[str, list[float]]) -> float:
    """Mean distance of word beginnings in ms."""
    found = []
    for one in utterances:
        timed = one.timed
        starts = [0.005 * int(timed.edges[timed.row.word.index(number)]) for number in range(len(timed.row.words))]
        off = np.array(starts) - truth[one.id]
        found.append(np.abs(off - np.median(off)))
    return 1000 * float(np.concatenate(found).mean())


def _mandarin() -> list[Utterance]:
    with tempfile.TemporaryDirectory() as scratch, Espeak() as espeak:
        folder = Path(scratch)
        _mandarin_corpus(folder)
        spoken = read_part(Part(layout="aishell3", folder=folder, licence="Apache-2.0", source="AISHELL-3"))
        reads = with_pinyin(FrontEnd(espeak).words, spoken)
        found = [
            prepare_reading([item.path], {item.path.stem: item.text}, Language.ZH_CN, espeak, reads) for item in spoken
        ]
    return [one for group in found for one in group]


def run() -> dict[str, object]:
    """The figures, or nothing without the material."""
    if not (REAL / "grid-s1").is_dir() or not (REAL / "aishell3").is_dir():
        print("no recordings: set MEMORIAL_BENCH_REAL")
        return {}
    out: dict[str, object] = {}
    grid, truth = _grid()
    mandarin = _mandarin()
    for way, refine in _WAYS.items():
        for start, clips in grid.items():
            out[f"aligner.grid.{start}.{way}_ms"] = round(_astray(refine(clips), truth), 1)
        judged = [syllables(one.timed, one.frames) for one in refine(mandarin)]
        out[f"aligner.aishell3.tones.{way}"] = round(left_out_accuracy(judged), 3)
    out["aligner.grid.pocketsphinx.refused"] = len(truth) - len(grid["pocketsphinx"])
    return out
