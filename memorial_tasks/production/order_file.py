"""Reading ORDER.yaml: every problem of the document and of the files it names, at once.

Nothing is decoded here; what the photos and recordings hold is inspected in the data plane (`quality.inspect`).
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from memorial_tasks.consent.record import kind_of
from memorial_tasks.domain.order import EvidenceKind, Materials, Order, Paper, ScriptLine
from memorial_tasks.errors import InputRefused, Problem, Unavailable
from memorial_tasks.quality.inventory import list_material
from memorial_tasks.settings import REPOSITORY

MAX_DOCUMENT = 1 << 20
MAX_EVIDENCE = 64 << 20
MAX_SCRIPT_CHARACTERS = 20_000
MARKUP_SECONDS = 120

REMEDIES = {
    "extra_forbidden": "remove the key, or correct its spelling",
    "missing": "add it",
    "enum": "use one of the words listed",
    "literal_error": "use one of the words listed",
    "string_too_short": "write at least one character",
    "date_from_datetime_parsing": "write a date as YYYY-MM-DD",
    "date_parsing": "write a date as YYYY-MM-DD",
    "date_type": "write a date as YYYY-MM-DD",
    "too_short": "give at least one",
    "string_pattern_mismatch": "see the order file in the README",
}


@dataclass(frozen=True)
class OrderFile:
    """An order document with the lines to speak and the papers it names."""

    order: Order
    folder: Path
    source: bytes
    script: tuple[ScriptLine, ...]
    evidence: tuple[str, ...]


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]  # the library has no types
    """A key given twice is an error: the second would silently win."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' is given twice", problem_mark=key.start_mark)
        seen.add(key.value)
    return dict(loader.construct_mapping(node, deep=True))


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_document(path: Path) -> tuple[dict[str, Any], bytes]:
    """The YAML mapping in `path` and its bytes; `InputRefused` when it is not one."""
    name = path.name
    if not path.is_file():
        raise InputRefused([Problem("order.missing", "no such file", "check the path", file=name)])
    if path.stat().st_size > MAX_DOCUMENT:
        raise InputRefused([Problem("order.too_large", "larger than 1 MB", "put long scripts into a file", file=name)])
    source = path.read_bytes()
    try:
        document = yaml.load(source, _UniqueKeys)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        what = f"not readable as YAML{line}: {getattr(error, 'problem', '') or 'bad value'}"
        raise InputRefused([Problem("order.yaml", what, "correct the line", file=name)]) from None
    if not isinstance(document, dict):
        raise InputRefused(
            [Problem("order.yaml", "not a mapping of keys", "start from the README's example", file=name)]
        )
    return document, source


def document_problems(error: ValidationError, file: str) -> list[Problem]:
    """The schema's complaints in our words: field, what is wrong, remedy. Values are never quoted."""
    found = []
    items = error.errors(include_input=False, include_url=False)
    for item in items:
        place = item["loc"]
        if item["type"] == "too_short" and any(one["loc"][: len(place)] == place != one["loc"] for one in items):
            continue  # a list is only too short because what stands in it is faulty
        parts = [str(part) for part in place if not str(part).startswith(("tuple[", "function-", "constrained-"))]
        field = ".".join(part for part in parts if part != "str")
        if item["type"] == "extra_forbidden":
            what = "unknown key"
        elif item["type"] == "missing":
            what = "is missing"
        else:
            what = item["msg"].removeprefix("Value error, ")
        code = f"order.{'unknown_key' if item['type'] == 'extra_forbidden' else item['type']}"
        found.append(Problem(code, what, REMEDIES.get(item["type"], "correct the value"), field=field, file=file))
    return list(dict.fromkeys(found))


def lenient(document: Mapping[str, Any]) -> Order | None:
    """The order as far as it can be understood, so that its files are inspected although the document has faults.

    Faulty parts are replaced by harmless ones; the result is for looking at files only and is never stored.
    """
    safe: dict[str, Any] = {
        "order": "unchecked-order",
        "subject": {"name": "-", "born": date(1900, 1, 1), "died": date(1900, 1, 1)},
        "grantors": [{"name": "-", "relation": "child", "evidence": ["-"]}],
        "purpose": "family_private",
        "language": "en-US",
        "script": [{"text": "-"}],
        "materials": {},
    }
    for key in ("order", "subject", "grantors", "language", "script", "translation"):
        if key in document:
            try:
                Order.model_validate(safe | {key: document[key]})
            except ValidationError:
                continue
            safe[key] = document[key]
    given = document.get("materials")
    if isinstance(given, dict):
        kept = {}
        for key, value in given.items():
            try:
                Materials.model_validate({key: value})
            except ValidationError:
                continue
            kept[key] = value
        safe["materials"] = kept
    try:
        return Order.model_validate(safe)
    except ValidationError:
        return None


def evidence_paths(order: Order) -> tuple[str, ...]:
    """Every paper the order names, once, in order."""

    def named() -> Iterator[Paper]:
        for grantor in order.grantors:
            yield from grantor.evidence
        for relative in order.co_kin:
            yield from relative.evidence
        for other in order.consent.third_parties:
            yield from other.evidence
        yield from order.subject.lifetime_arrangement.evidence

    return tuple(dict.fromkeys(paper.file for paper in named()))


def _unknown_kinds(order: Order) -> list[Problem]:
    """Papers of grantors of which neither the order nor the file's name says what they are. What the deceased wrote, a
    relative's agreement and a third party's letter need no word: the place they stand in says it."""
    kinds = ", ".join(get_args(EvidenceKind))
    return [
        Problem(
            "evidence.kind",
            "neither the order nor the file's name says what this paper is",
            f"write it as {{file: ..., kind: ...}} with one of: {kinds}",
            f"grantors.{number}.evidence",
            paper.file,
        )
        for number, grantor in enumerate(order.grantors)
        for paper in grantor.evidence
        if paper.kind is None and kind_of(paper) == "other"
    ]


def _statement_problems(order: Order, folder: Path) -> list[Problem]:
    """Whatever is said about material has to be about material that is there."""
    present = {file.file for file in list_material(folder, order.materials)[0]}
    return [
        Problem(
            "consent.dated_later",
            "says something about a file that is not among the material",
            "write the file's path as it lies in the order's folder, e.g. photos/1.jpg",
            "consent.dated_later",
            one.file,
        )
        for one in order.consent.dated_later
        if one.file not in present
    ]


def _evidence_problems(order: Order, folder: Path) -> list[Problem]:
    found = []
    for name in evidence_paths(order):
        path = folder / name
        if not path.is_file():
            found.append(Problem("evidence.missing", "the paper is not there", "add the file", "evidence", name))
        elif not 0 < path.stat().st_size <= MAX_EVIDENCE:
            found.append(Problem("evidence.size", "empty, or larger than 64 MB", "scan it again", "evidence", name))
        elif not path.resolve().is_relative_to(folder.resolve()):
            found.append(Problem("evidence.outside", "leads out of the order's folder", "copy it in", "evidence", name))
    return found


def read_script(order: Order, folder: Path) -> tuple[tuple[ScriptLine, ...], list[Problem]]:
    """The lines to speak: given in the document, or a text file with one line a paragraph."""
    if not isinstance(order.script, str):
        lines = order.script
    else:
        path = folder / order.script
        if not path.is_file():
            return (), [Problem("script.missing", "the file is not there", "add it", "script", order.script)]
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            return (), [Problem("script.encoding", "not UTF-8 text", "save it as UTF-8", "script", order.script)]
        lines = tuple(ScriptLine(text=line.strip()) for line in text.splitlines() if line.strip())
    problems = []
    if not any(character.isalnum() for line in lines for character in line.text):
        problems.append(Problem("script.empty", "there is nothing to speak", "write at least one sentence", "script"))
    if sum(len(line.text) for line in lines) > MAX_SCRIPT_CHARACTERS:
        problems.append(
            Problem("script.too_long", f"more than {MAX_SCRIPT_CHARACTERS} characters", "split the order", "script")
        )
    for number, line in enumerate(lines):
        if any(ord(character) < 32 for character in line.text):
            problems.append(
                Problem("script.control", "holds control characters", "retype the line", f"script.{number}.text")
            )
    return lines, problems + markup_problems(lines)


def markup_problems(lines: Sequence[ScriptLine]) -> list[Problem]:
    """What is wrong with the lines' markup, as the step that speaks them would say hours later. It is that step's code
    that is asked, in a process without keys (`steps.markup`); plain lines ask nobody.

    Raises `Unavailable` where that code cannot run.
    """
    if not any("<" in line.text for line in lines):
        return []
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "memorial_tasks.steps.markup"],
            input=json.dumps([line.text for line in lines]).encode(),
            capture_output=True,
            timeout=MARKUP_SECONDS,
            env=environment,
            check=True,
        )
        return [Problem(**one) for one in json.loads(done.stdout)]
    except (subprocess.SubprocessError, ValueError):
        raise Unavailable(
            "the script's markup could not be looked at", where="script", remedy="run 'memorial doctor', try again"
        ) from None


def _date_problems(order: Order, today: date) -> list[Problem]:
    found = []
    if order.subject.died > today:
        found.append(
            Problem("subject.died_in_future", "lies in the future", "correct the date of death", "subject.died")
        )
    if order.promised and order.promised < today:
        found.append(Problem("order.promised_past", "lies in the past", "give a day to come", "promised"))
    return found


def translation_problems(order: Order, script: tuple[ScriptLine, ...]) -> list[Problem]:
    """What is wrong with the subtitle texts: a line missing or too many, a language without any."""
    return [
        Problem(
            "translation.lines",
            f"has {len(lines)} lines where the script has {len(script)}",
            "translate every line, in order",
            f"translation.{language}",
        )
        for language, lines in order.translation.items()
        if len(lines) != len(script)
    ] + [
        Problem(
            "subtitles.no_text",
            "no text for subtitles in this language",
            "add the lines under translation, or drop the language from deliver.subtitles and deliver.burn",
            f"translation.{language}",
        )
        for language in dict.fromkeys((*order.deliver.subtitles, *order.deliver.burn))
        if language is not order.language and language not in order.translation
    ]


def _material_problems(order: Order) -> list[Problem]:
    """Only whether faces and a voice can come from anywhere at all; the files themselves are inspected elsewhere."""
    found = []
    given = order.materials
    if not given.photos and not given.video:
        found.append(Problem("materials.no_face", "neither photos nor video", "give at least one photo", "materials"))
    if not given.voice and not given.video:
        found.append(
            Problem("materials.no_voice", "neither voice nor video", "give recordings of the voice", "materials")
        )
    return found


def read_order(path: Path, today: date | None = None) -> tuple[OrderFile | None, Order | None, list[Problem]]:
    """Read and check the document and what it names.

    Returns the order file (None when the document has faults), the order as far as it can be understood (for
    inspecting its material; None when hopeless) and all problems found.
    """
    today = today or datetime.now(UTC).date()
    document, source = parse_document(path)
    folder = path.parent
    try:
        order: Order | None = Order.model_validate(document)
        problems: list[Problem] = []
    except ValidationError as error:
        order, problems = None, document_problems(error, path.name)
    readable = order or lenient(document)
    if readable is None:
        return None, None, problems
    script, script_problems = read_script(readable, folder)
    if "script" in document:
        problems += [p for p in script_problems if order or not any(q.field.startswith("script") for q in problems)]
    if order or readable.grantors[0].name != "-":
        problems += _evidence_problems(readable, folder) + _unknown_kinds(readable)
    problems += _date_problems(readable, today) if order or readable.subject.name != "-" else []
    if isinstance(document.get("materials"), dict):
        problems += [p for p in _material_problems(readable) if order or not any(q.field == p.field for q in problems)]
    if order:
        problems += translation_problems(order, script) + _statement_problems(order, folder)
    problems = [problem if problem.file else replace(problem, file=path.name) for problem in dict.fromkeys(problems)]
    if order is None or problems:
        return None, readable, problems
    return OrderFile(order, folder, source, script, evidence_paths(order)), readable, problems
