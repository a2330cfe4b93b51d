"""package: what the family receives beside the film itself: the other renditions and the memorial page.

Everything in it is sealed already and passed on byte for byte, so it carries the same label and manifest.
"""

import json
import shutil
from datetime import date
from typing import Any, Literal

from memorial_tasks.domain.order import Format, Record
from memorial_tasks.domain.timing import LEAD_IN, OPENING_CARD, SpeechTiming
from memorial_tasks.domain.words import Language
from memorial_tasks.steps.contract import StepContext

ROOMS = ("video",)
MODALITIES = ("face", "voice")
BEFORE_SPEECH = OPENING_CARD + LEAD_IN  # seconds of the sealed film before the speech track begins


class Params(Record):
    """`formats` as ordered; `fps` of the film, because the opening card lasts whole frames."""

    formats: tuple[Format, ...] = ("mp4",)
    language: Language
    fps: Literal[25, 30] = 25


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads film.mp4, film-*.mp4, audio.m4a, stills/*, poster.png, subtitles/*.srt, title.json and answers.json; writes
    what was ordered of them, and page/."""
    made = _passed_on(context)
    if "page" not in params.formats:
        return {"made": made}
    from memorial_tasks.video.page import write_page
    from memorial_tasks.video.subtitles import Cue, read_srt

    shift = -(-OPENING_CARD * params.fps // 1) / params.fps
    subtitles = {
        Language(path.stem): [Cue(cue.start + shift, cue.end + shift, cue.text) for cue in read_srt(path)]
        for path in context.files("subtitles")
        if path.suffix == ".srt"
    }
    spoken = context.optional("timing.json")
    timing = SpeechTiming.model_validate_json(spoken.read_bytes()) if spoken else None
    given = context.optional("title.json")
    title = json.loads(given.read_text("utf-8")) if given else {"name": "", "born": "", "died": ""}
    years = [str(date.fromisoformat(title[key]).year) for key in ("born", "died") if title[key]]
    write_page(
        context.out / "page",
        context.file("film.mp4"),
        context.file("poster.png"),
        subtitles,
        title=title["name"],
        dates=" – ".join(years),
        language=params.language,
        answers=_answers(context, timing) if timing else (),
        headset=context.optional("film-vr180.mp4"),
    )
    context.progress(1.0, "page made")
    return {"made": [*made, "page"]}


def _passed_on(context: StepContext) -> list[str]:
    """The other sealed renditions, as they are."""
    found = [*sorted(context.inputs.glob("film-*.mp4")), *context.files("stills")]
    sound = context.optional("audio.m4a")
    made = []
    for path in [*found, *([sound] if sound else [])]:
        name = path.relative_to(context.inputs)
        (context.out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, context.out / name)
        made.append(name.as_posix())
    return made


def _answers(context: StepContext, timing: SpeechTiming) -> list[Any]:
    """Questions a visitor can choose, each with the part of the approved film that answers it. Nothing is cut out:
    the page plays the one sealed film from one place to another, so an answer is as approved as the film."""
    from memorial_tasks.video.page import Answer

    path = context.optional("answers.json")
    if path is None:
        return []
    lines = {line.index: line for line in timing.lines}
    found = []
    for given in json.loads(path.read_text("utf-8")):
        spoken = [lines[index] for index in given["lines"] if index in lines]
        if spoken:
            start, end = min(one.start for one in spoken), max(one.end for one in spoken)
            found.append(Answer(given["question"], start + BEFORE_SPEECH - 0.35, end + BEFORE_SPEECH + 0.6))
    return found
