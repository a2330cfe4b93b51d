"""Intake inspection: everything that is wrong with an order's material, before anything is stored.

    python -m memorial_tasks.quality.inspect --order-folder FOLDER --assets ASSETS < order.json

reads the order as JSON on stdin and writes a JSON list of problems on stdout (``--notes``: a document
``{"problems": [...], "notes": [...], "captured": {file: "YYYY-MM-DD"}}``, where notes refuse nothing and `captured`
is the day a camera wrote into a file). Exit status 0 when it could look, also
when it found problems; 3 when it could not (the reason is on stderr). It needs the data plane's packages;
the caller needs none of them and decodes nothing.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memorial_tasks.domain.order import Order, ScriptLine
from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import Problem, Unavailable
from memorial_tasks.quality.inventory import MaterialFile, list_material
from memorial_tasks.quality.isolate import FACE_MODELS, Examiner
from memorial_tasks.quality.transcripts import read_transcripts

Examine = Callable[[Path, MaterialKind], dict[str, Any]]


def inspect_order(order_folder: Path, order: Order, models: Any) -> list[Problem]:
    """Every problem of the order's material, decoding in this process with the given face models.

    For trusted material and tests; `memorial order submit` runs the module, which decodes in a child.
    """
    from memorial_tasks.quality.examine import examine
    from memorial_tasks.quality.voice import SpeechDetector

    detector = SpeechDetector()

    def look(path: Path, kind: MaterialKind) -> dict[str, Any]:
        return examine(path, kind, models, detector, order.subject.died).to_json()

    return inspect_with(order_folder, order, look)[0]


def inspect_isolated(
    order_folder: Path, order: Order, assets: Path, models: str = FACE_MODELS
) -> tuple[list[Problem], list[Problem], dict[str, str]]:
    """Problems and notes of the order's material, and the day each file says it was taken, decoding every file in a
    child process.

    Raises:
        Unavailable: the child cannot start, for want of models or packages.
    """
    captured: dict[str, str] = {}
    with Examiner(assets, order.subject.died, models) as examiner:

        def look(path: Path, kind: MaterialKind) -> dict[str, Any]:
            result = examiner.examine(path, kind)
            if day := result.get("captured"):
                captured[path.relative_to(order_folder).as_posix()] = day
            return result

        problems, notes = inspect_with(order_folder, order, look)
    return problems, notes, captured


def inspect_with(order_folder: Path, order: Order, examine: Examine) -> tuple[list[Problem], list[Problem]]:
    """Problems and notes, with `examine` looking at one file at a time."""
    files, problems = list_material(order_folder, order.materials)
    notes: list[Problem] = []
    good: list[tuple[MaterialFile, dict[str, Any]]] = []
    for file in files:
        result = examine(order_folder / file.file, file.kind)
        problems += _placed(result["problems"], file)
        notes += _placed(result["notes"], file)
        if not result["problems"]:
            good.append((file, result))
    for entry in ("voice", "video"):
        given = getattr(order.materials, entry)
        if given is not None:
            _texts, wrong = read_transcripts(order_folder / given, f"materials.{entry}")
            problems += wrong
    # Once files are refused, what is left over says nothing about what the family has.
    if not problems:
        problems += _whole(order, good)
    return problems + _unknown_own_voice(order, files), notes


def _placed(found: Sequence[dict[str, Any]], file: MaterialFile) -> list[Problem]:
    return [Problem(**{**one, "field": file.field, "file": file.file}) for one in found]


def _whole(order: Order, good: list[tuple[MaterialFile, dict[str, Any]]]) -> list[Problem]:
    problems = []
    wants_face = order.materials.photos is not None or order.materials.video is not None
    faces = sum(result["faces"] > 0 for file, result in good if file.kind in (MaterialKind.PHOTO, MaterialKind.VIDEO))
    wants_voice = order.materials.voice is not None or order.materials.video is not None
    speech = sum(result["speech"] for _file, result in good)
    if not wants_face and not wants_voice:
        problems.append(
            Problem("material.nothing", "the order brings no photo, recording or video", "add material", "materials")
        )
    elif order.materials.photos is None and order.materials.video is not None and not faces and not speech:
        problems.append(
            Problem("material.nothing", "the videos show and say nothing", "add material", "materials.video")
        )
    there = {Path(file.file).name for file, _ in good}
    return problems + _unknown_interludes(order, there)


def _unknown_own_voice(order: Order, files: Sequence[MaterialFile]) -> list[Problem]:
    """Names in `materials.own_voice` that are no recording and no video, whether or not those can be used."""
    spoken = {Path(file.file).name for file in files if file.kind in (MaterialKind.VOICE, MaterialKind.VIDEO)}
    return [
        Problem("material.own_voice", "no such recording", "correct the file name", "materials.own_voice", name)
        for name in order.materials.own_voice
        if name not in spoken
    ]


def _unknown_interludes(order: Order, there: set[str]) -> list[Problem]:
    """Marks in the script that name no file of `materials.interludes`."""
    return [
        Problem(
            "script.interlude",
            "no such photo or clip",
            "put the file into the folder of materials.interludes, or correct its name",
            f"script.{number}.interludes",
            mark.interlude,
        )
        for number, line in enumerate(order.script)
        if isinstance(line, ScriptLine)
        for mark in line.interludes
        if Path(mark.interlude).name not in there
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command above."""
    parser = argparse.ArgumentParser(prog="python -m memorial_tasks.quality.inspect")
    parser.add_argument("--order-folder", type=Path, required=True)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--models", default=FACE_MODELS, help="module:Class of the face models")
    parser.add_argument("--notes", action="store_true", help="write problems and notes as one document")
    options = parser.parse_args(arguments)
    order = Order.model_validate_json(sys.stdin.read())
    try:
        problems, notes, captured = inspect_isolated(options.order_folder, order, options.assets, options.models)
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 3
    found = [asdict(problem) for problem in problems]
    whole = {"problems": found, "notes": [asdict(note) for note in notes], "captured": captured}
    document = whole if options.notes else found
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
