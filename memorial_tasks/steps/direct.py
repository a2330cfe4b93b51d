"""direct: from the script to the plan of what is said and how."""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from memorial_tasks.domain.order import Record, ScriptLine
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.steps.contract import StepContext

ROOMS = ("performance",)
MODALITIES = ("voice",)


class Params(Record):
    """`language` of the script."""

    language: Language


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads script.json and interludes.json (file name -> material id), writes plan.json."""
    try:
        lines = TypeAdapter(tuple[ScriptLine, ...]).validate_json(context.file("script.json").read_bytes())
    except ValidationError as error:
        raise InputRefused(
            [
                Problem(
                    "script.field", entry["msg"], "correct the script", ".".join(map(str, entry["loc"])), "script.json"
                )
                for entry in error.errors(include_input=False)
            ]
        ) from error
    given = context.optional("interludes.json")
    names = json.loads(given.read_text("utf-8")) if given else {}
    plan = direct_script(lines, params.language, names)
    (context.out / "plan.json").write_text(
        json.dumps(plan.model_dump(mode="json"), ensure_ascii=False, indent=1), encoding="utf-8"
    )
    context.progress(1.0, f"{len(plan.lines)} lines directed")
    emotions = [line.emotion.value for line in plan.lines]
    return {
        "lines": len(plan.lines),
        "proposed": sum(line.reasons != ("marked in the script",) for line in plan.lines),
        "emotions": {emotion: emotions.count(emotion) for emotion in sorted(set(emotions))},
    }
