"""package: what the family receives beside the film itself: the memorial page, when it was ordered.

Everything in it is made from the sealed film, byte for byte, so the page carries the same label and manifest.
"""

import json
from datetime import date
from typing import Any, Literal

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import OPENING_CARD
from memorial_tasks.domain.words import Language
from memorial_tasks.steps.contract import StepContext

ROOMS = ("video",)
MODALITIES = ("face", "voice")


class Params(Record):
    """`formats` as ordered; `fps` of the film, because the opening card lasts whole frames."""

    formats: tuple[Literal["mp4", "page", "vr180"], ...] = ("mp4",)
    language: Language
    fps: Literal[25, 30] = 25


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads film.mp4, poster.png, subtitles/*.srt and title.json; writes page/ when it was ordered."""
    if "page" not in params.formats:
        return {"made": []}
    from memorial_tasks.video.page import write_page
    from memorial_tasks.video.subtitles import Cue, read_srt

    shift = -(-OPENING_CARD * params.fps // 1) / params.fps
    subtitles = {
        Language(path.stem): [Cue(cue.start + shift, cue.end + shift, cue.text) for cue in read_srt(path)]
        for path in context.files("subtitles")
        if path.suffix == ".srt"
    }
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
    )
    context.progress(1.0, "page made")
    return {"made": ["page"]}
