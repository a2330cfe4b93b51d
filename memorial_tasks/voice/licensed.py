"""A licensed corpus as its publisher lays it out: which file says what, by whom.

Three layouts are read as they come. LJSpeech: ``metadata.csv`` (``id|text`` or ``id|raw|normalised``) with the sounds
in ``wavs`` or beside it, one speaker. LibriTTS: ``speaker/chapter/*.wav`` with ``*.normalized.txt`` beside each.
AISHELL-3: ``content.txt`` (file, tab, characters and pinyin by turns) with ``wav/SPEAKER/*.wav``; its pinyin, what the
speaker really said, is taken for the reading.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError

from memorial_tasks.domain.corpus import MODEL_ID, free
from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.phones import FINALS, Phone
from memorial_tasks.voice.text.mandarin import syllable_phones
from memorial_tasks.voice.text.units import Word

Layout = Literal["ljspeech", "libritts", "aishell3"]
_SOUNDS = (".wav", ".flac")
_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Part(Record):
    """One corpus of the manifest. `folder` is taken from the manifest's own; `minutes` is the most that is used of it;
    `leave_out` are stems of files kept for judging."""

    layout: Layout
    folder: Path
    language: Language | None = None
    licence: _Line
    source: _Line
    minutes: float = Field(default=1e6, gt=0)
    leave_out: tuple[str, ...] = ()

    @property
    def spoken(self) -> Language:
        """The language of this part: Mandarin for AISHELL-3, else English, where the manifest is silent."""
        return self.language or (Language.ZH_CN if self.layout == "aishell3" else Language.EN_US)


class CorpusManifest(Record):
    """What a base voice is learned from, signed for by the operator who writes it."""

    model: Annotated[str, StringConstraints(pattern=MODEL_ID)]
    name: _Line | None = None
    licence: _Line
    source: _Line
    parts: tuple[Part, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Spoken:
    """One file of a corpus. `pinyin` is empty where the corpus does not say it."""

    path: Path
    text: str
    speaker: str
    pinyin: tuple[str, ...] = ()


def read_manifest(path: Path) -> CorpusManifest:
    """The corpus manifest (YAML) in `path`, its folders made absolute. Raises `InputRefused` with everything wrong."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        manifest = CorpusManifest.model_validate(document)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputRefused([_problem("the corpus manifest cannot be read", path.name)]) from error
    except ValidationError as error:
        fields = [".".join(str(part) for part in item["loc"]) for item in error.errors()]
        whats = [item["msg"] for item in error.errors()]
        raise InputRefused([_problem(w, f"{path.name} {f}") for f, w in zip(fields, whats, strict=True)]) from None
    closed = [part for part in manifest.parts if not free(part.licence)]
    if closed:
        what = "its licence is not one that allows films for families and the public"
        raise InputRefused([_problem(what, f"{path.name} {part.folder.name}") for part in closed])
    parts = tuple(part.model_copy(update={"folder": (path.parent / part.folder).resolve()}) for part in manifest.parts)
    return manifest.model_copy(update={"parts": parts})


def read_part(part: Part) -> list[Spoken]:
    """Every file of a part with its words, in a fixed order. Raises `InputRefused` when the folder is not laid out as
    the manifest says, or holds nothing."""
    found = {"ljspeech": _ljspeech, "libritts": _libritts, "aishell3": _aishell3}[part.layout](part.folder)
    found = [item for item in found if item.path.stem not in part.leave_out]
    if not found:
        raise InputRefused([_problem(f"no speech with its text in the layout of {part.layout}", part.folder.name)])
    return found


def _problem(what: str, where: str) -> Problem:
    return Problem("base.corpus", what, "see docs/voice.md, 'A base voice'", field=where)


def _sound(*places: Path) -> Path | None:
    return next(
        (path for place in places for end in _SOUNDS if (path := place.with_name(place.name + end)).is_file()), None
    )


def _ljspeech(folder: Path) -> list[Spoken]:
    table = folder / "metadata.csv"
    out = []
    for row in table.read_text("utf-8").splitlines() if table.is_file() else []:
        name, *texts = row.split("|")
        if texts and (path := _sound(folder / "wavs" / name, folder / name)):
            out.append(Spoken(path, texts[-1].strip(), folder.name))
    return out


def _libritts(folder: Path) -> list[Spoken]:
    out = []
    for table in sorted(folder.glob("*/*/*.normalized.txt")):
        if path := _sound(table.with_name(table.name.removesuffix(".normalized.txt"))):
            out.append(Spoken(path, table.read_text("utf-8").strip(), table.parents[1].name))
    return out


def _aishell3(folder: Path) -> list[Spoken]:
    table = folder / "content.txt"
    out = []
    for row in table.read_text("utf-8").splitlines() if table.is_file() else []:
        name, _, content = row.partition("\t")
        cells = content.split()
        stem = Path(name).stem
        if len(cells) >= 2 and (path := _sound(folder / "wav" / stem[:7] / stem)):
            out.append(Spoken(path, "".join(cells[0::2]), stem[:7], tuple(cells[1::2])))
    return out


def by_speaker(spoken: list[Spoken]) -> dict[str, list[Spoken]]:
    """The files of each speaker."""
    out: dict[str, list[Spoken]] = defaultdict(list)
    for item in spoken:
        out[item.speaker].append(item)
    return dict(out)


def with_pinyin(
    reads: Callable[[str, Language], list[Word]], spoken: list[Spoken]
) -> Callable[[str, Language], list[Word]]:
    """`reads`, with the syllables of the corpus's own pinyin where it has one for every syllable of a text."""
    tables = {item.text: item.pinyin for item in spoken if item.pinyin}

    def read(text: str, language: Language) -> list[Word]:
        words = reads(text, language)
        try:
            table = [syllable_phones(cell) for cell in tables.get(text, ())]
        except ValueError:  # erhua written into the syllable (huar1): our own reading knows it
            return words
        if not table or sum(phone.name in FINALS for word in words for phone in word.phones) != len(table):
            return words
        rest = iter(table)
        out = []
        for word in words:
            syllables = sum(phone.name in FINALS for phone in word.phones)
            phones: list[Phone] = [phone for _ in range(syllables) for phone in next(rest)]
            out.append(replace(word, phones=tuple(phones)))
        return out

    return read
