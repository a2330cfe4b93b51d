"""direct: from the script to the plan of what is said and how."""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from memorial_tasks.domain.order import Record, ScriptLine
from memorial_tasks.domain.timing import DirectionPlan
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance.direct import EDITED, direct_script, with_edits
from memorial_tasks.performance.emotion import propose
from memorial_tasks.steps.contract import StepContext

ROOMS = ("performance", "voice")
MODALITIES = ("voice",)


class Params(Record):
    """`language` of the script; `encoder`: digest of the card of the text encoder that proposes emotions, from the
    model files; without one the lexicon does."""

    language: Language
    encoder: str = ""


def _place(where: tuple[int | str, ...]) -> str:
    """Line and field; a field the script invented is left out, for its name is the family's own words."""
    return ".".join(str(part) for part in where if isinstance(part, int) or part in ScriptLine.model_fields)


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads script.json and interludes.json (file name -> material id) and an edited plan, writes plan.json."""
    try:
        lines = TypeAdapter(tuple[ScriptLine, ...]).validate_json(context.file("script.json").read_bytes())
    except ValidationError as error:
        raise InputRefused(
            [
                Problem("script.field", entry["msg"], "correct the script", _place(entry["loc"]), "script.json")
                for entry in error.errors(include_input=False)
            ]
        ) from error
    given = context.optional("interludes.json")
    names = json.loads(given.read_text("utf-8")) if given else {}
    from memorial_tasks.voice.text.markup import plain_text

    proposer = propose
    if params.encoder:
        from memorial_tasks.performance.encoder import FOLDER, load_encoder

        proposer = load_encoder(context.assets / FOLDER, params.encoder).propose
    # what is marked up is how to speak, not what is said: "strong" in a tag makes nobody proud
    plan = direct_script(lines, params.language, names, lambda text, language: proposer(plain_text(text), language))
    edited = context.optional(EDITED)
    if edited is not None:
        plan = with_edits(plan, DirectionPlan.model_validate_json(edited.read_bytes()))
    (context.out / "plan.json").write_text(
        json.dumps(plan.model_dump(mode="json"), ensure_ascii=False, indent=1), encoding="utf-8"
    )
    context.progress(1.0, f"{len(plan.lines)} lines directed")
    emotions = [line.emotion.value for line in plan.lines]
    return {
        "lines": len(plan.lines),
        "proposed": sum(line.reasons != ("marked in the script",) for line in plan.lines),
        "edited": edited is not None,
        "encoder": params.encoder[:16],
        "emotions": {emotion: emotions.count(emotion) for emotion in sorted(set(emotions))},
    }
