"""Own words first: where a script line was really said by the person, their recording is used instead of a model."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.voice.audio import RATE, Wave
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.features import FRAME
from memorial_tasks.voice.sequence import PhoneRow, TimedRow, row_from_json, row_to_json
from memorial_tasks.voice.text.units import Word

_MOST_SECONDS = 900.0  # kept inside a model
_MARGIN = 14  # frames of the recording kept on both sides
_SHORTEST = 2  # English words or Chinese characters: less would be found by chance


def keep_clips(utterances: Sequence[Utterance]) -> tuple[NDArray[np.int16], list[dict[str, object]]]:
    """Recordings for quoting: int16 samples at 24 kHz one after another, and what is said in each and when."""
    waves: list[NDArray[np.int16]] = []
    index: list[dict[str, object]] = []
    at = 0
    for utterance in sorted(utterances, key=lambda u: (u.grade, -u.snr)):
        if utterance.grade == "C" or (at + utterance.wave.size) / RATE > _MOST_SECONDS:
            continue
        wave = (np.clip(utterance.wave, -1, 1) * 32767).astype(np.int16)
        index.append(
            {
                "start": at,
                "samples": int(wave.size),
                "row": row_to_json(utterance.timed.row),
                "edges": utterance.timed.edges.tolist(),
            }
        )
        waves.append(wave)
        at += wave.size
    return (np.concatenate(waves) if waves else np.zeros(0, np.int16)), index


def _units(words: Sequence[Word]) -> list[tuple[str, int]]:
    """Comparable units with the word they belong to: English words in lower case, Chinese characters."""
    out: list[tuple[str, int]] = []
    for number, word in enumerate(words):
        for unit in re.findall(r"[㐀-鿿]|[^\W㐀-鿿]+(?:'\w+)?", word.text.lower().replace("’", "'")):
            out.append((unit, number))
    return out


def _place(wanted: list[str], row: PhoneRow) -> tuple[int, int] | None:
    """First and last phone (with the pauses around) where `wanted` stands between two pauses of `row`."""
    units = _units(row.words)
    names = [name for name, _ in units]
    for start in range(len(names) - len(wanted) + 1):
        if names[start : start + len(wanted)] != wanted:
            continue
        first, last = units[start][1], units[start + len(wanted) - 1][1]
        whole = (start == 0 or units[start - 1][1] != first) and (
            start + len(wanted) == len(units) or units[start + len(wanted)][1] != last
        )
        phones = [i for i, number in enumerate(row.word) if first <= number <= last]
        if whole and row.word[phones[0] - 1] < 0 and row.word[phones[-1] + 1] < 0:
            return phones[0] - 1, phones[-1] + 1
    return None


def find_recording(
    words: Sequence[Word], clips: NDArray[np.int16], index: Sequence[dict[str, object]]
) -> tuple[Wave, TimedRow] | None:
    """The recording of exactly these words spoken between two pauses, with its phone times, or None.

    The sound fades in and out over the pauses around it, so no seam is heard.
    """
    wanted = [name for name, _ in _units(words)]
    if len(wanted) < _SHORTEST:
        return None
    for item in index:
        row = row_from_json(item["row"])  # type: ignore[arg-type]
        place = _place(wanted, row)
        if place is None:
            continue
        left, right = place
        edges = np.array(item["edges"], np.int64)
        begin = max(int(edges[left]), int(edges[left + 1]) - _MARGIN)
        end = min(int(edges[right + 1]), int(edges[right]) + _MARGIN)
        offset = int(str(item["start"]))
        wave = clips[offset + int(begin * FRAME * RATE) : offset + int(end * FRAME * RATE)].astype(np.float32) / 32767
        if wave.size < RATE // 10:
            continue
        fade = min(int(0.03 * RATE), wave.size // 4)
        ramp = np.sin(np.linspace(0, np.pi / 2, fade)) ** 2
        wave[:fade] *= ramp
        wave[-fade:] *= ramp[::-1]
        part = edges[left : right + 2] - begin
        part[0], part[-1] = 0, end - begin
        first = row.word[left + 1]
        numbers = tuple(number - first if number >= 0 else -1 for number in row.word[left : right + 1])
        said = row.words[first : row.word[right - 1] + 1]
        return wave.astype(np.float32), TimedRow(
            PhoneRow(row.phones[left : right + 1], numbers, said), part.astype(np.int32)
        )
    return None
