"""An utterance as a row of phones, what a model is told about each of them, and when each is said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.phones import ARTICULATION, INDEX, SILENCE, Phone, is_english
from memorial_tasks.voice.text.units import PAUSE_LONG, PAUSE_NONE, PAUSE_SHORT, Word

DESCRIPTION = ARTICULATION.shape[1] + 24  # columns of `describe`


@dataclass(frozen=True)
class PhoneRow:
    """`phones` in order with ``SIL`` where a pause is; `word[i]` is the index into `words` or -1 for a pause."""

    phones: tuple[Phone, ...]
    word: tuple[int, ...]
    words: tuple[Word, ...]


@dataclass(frozen=True)
class TimedRow:
    """A phone row with its times: `edges` int32 [phones + 1] in frames of 5 ms."""

    row: PhoneRow
    edges: NDArray[np.int32]


def spoken_row(words: Sequence[Word]) -> PhoneRow:
    """The phones of `words` with a pause at both ends and wherever punctuation asks for one."""
    phones, index = [Phone(SILENCE)], [-1]
    for number, word in enumerate(words):
        phones += word.phones
        index += [number] * len(word.phones)
        if word.pause != PAUSE_NONE or number == len(words) - 1:
            phones.append(Phone(SILENCE))
            index.append(-1)
    return PhoneRow(tuple(phones), tuple(index), tuple(words))


def mark_questions(words: Sequence[Word], text: str) -> list[Word]:
    """Set `question` on every word of a sentence that ends with a question mark in `text`."""
    ends = [char for char in text if char in "?？!！.。…"]
    out: list[Word] = []
    sentence: list[Word] = []
    marks = iter(ends)
    for number, word in enumerate(words):
        sentence.append(word)
        if word.pause == PAUSE_LONG or number == len(words) - 1:
            asked = next(marks, "") in "?？" and text.rstrip("\"'”’ ")[-1:] != ""
            asked = asked if text.count("?") + text.count("？") else False
            out += [replace(item, question=asked) for item in sentence]
            sentence = []
    return out


def _phrases(word: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of phones between pauses as (first, after last)."""
    spans, start = [], -1
    for index, item in enumerate([*word, -1]):
        if item >= 0 and start < 0:
            start = index
        elif item < 0 and start >= 0:
            spans.append((start, index))
            start = -1
    return spans


def describe(row: PhoneRow) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Phone numbers int64 [phones] and their description float32 [phones, DESCRIPTION].

    The description holds articulation, stress, tone, language, place in word, phrase and utterance, the pause that
    ends the phrase, and whether the sentence asks.
    """
    count = len(row.phones)
    ids = np.array([INDEX[phone.name] for phone in row.phones], np.int64)
    extra = np.zeros((count, 24), np.float32)
    for index, phone in enumerate(row.phones):
        extra[index, 0] = phone.stress
        extra[index, 1 + min(phone.tone, 5)] = 1.0  # columns 1..6
        extra[index, 7] = float(is_english(phone.name))
        number = row.word[index]
        if number >= 0:
            extra[index, 8] = float(index == 0 or row.word[index - 1] != number)
            extra[index, 9] = float(index == count - 1 or row.word[index + 1] != number)
            extra[index, 10] = float(row.words[number].question)
            extra[index, 20] = min(len(row.words[number].phones), 12) / 12
        extra[index, 11] = index / max(1, count - 1)
    for start, end in _phrases(row.word):
        last = row.words[row.word[end - 1]].pause if end < count - 1 else PAUSE_LONG
        position = np.arange(end - start, dtype=np.float32)
        extra[start:end, 12] = np.minimum(position, 20) / 20
        extra[start:end, 13] = np.minimum(position[::-1], 20) / 20
        extra[start:end, 14] = position < 1
        extra[start:end, 15] = position[::-1] < 3
        extra[start:end, 16] = float(last == PAUSE_SHORT)
        extra[start:end, 17] = float(last == PAUSE_LONG)
        extra[start:end, 18] = min(end - start, 60) / 60
        extra[start:end, 19] = float(end >= count - 1)
        if end < count:
            extra[end, 16] = float(last == PAUSE_SHORT)
            extra[end, 17] = float(last == PAUSE_LONG)
    for index in range(count):
        if row.word[index] < 0:
            extra[index, 21] = float(index == 0)
            extra[index, 22] = float(index == count - 1)
            extra[index, 23] = float(0 < index < count - 1)
    return ids, np.hstack([ARTICULATION[ids], extra]).astype(np.float32)


def row_to_json(row: PhoneRow) -> dict[str, object]:
    """Plain data of a row; `row_from_json` reads it back."""
    return {
        "phones": [[phone.name, phone.stress, phone.tone] for phone in row.phones],
        "word": list(row.word),
        "words": [[word.text, word.language.value, word.pause, word.question] for word in row.words],
    }


def row_from_json(data: dict[str, list[list[object]]]) -> PhoneRow:
    """The row written by `row_to_json`."""
    phones = tuple(Phone(str(name), float(str(stress)), int(str(tone))) for name, stress, tone in data["phones"])
    index = tuple(int(str(item)) for item in data["word"])
    words = []
    for number, (text, language, pause, question) in enumerate(data["words"]):
        own = tuple(phone for phone, item in zip(phones, index, strict=True) if item == number)
        words.append(Word(str(text), own, Language(str(language)), int(str(pause)), bool(question)))
    return PhoneRow(phones, index, tuple(words))
