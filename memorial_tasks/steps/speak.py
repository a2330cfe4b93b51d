"""speak: the direction plan -> the person's voice saying it, with the time of every phone."""

import json
import time
from typing import Any

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import DirectionPlan
from memorial_tasks.domain.words import Modality
from memorial_tasks.steps.contract import StepContext

ROOMS = ("voice",)
MODALITIES = (Modality.VOICE,)


class Params(Record):
    """Nothing to set: everything is in the plan."""


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """``plan.json``, ``voice/model.safetensors``, ``lexicon.json`` -> ``speech.wav``, ``timing.json``."""
    from memorial_tasks.domain.finding import Finding
    from memorial_tasks.domain.words import Severity
    from memorial_tasks.voice.model import VoiceModel
    from memorial_tasks.voice.synthesize import speak_to
    from memorial_tasks.voice.text.front import unread_signs

    started = time.monotonic()
    plan = DirectionPlan.model_validate_json(context.file("plan.json").read_text("utf-8"))
    lexicon = context.optional("lexicon.json")
    names = json.loads(lexicon.read_text("utf-8")) if lexicon else {}
    model = VoiceModel.load(context.file("voice/model.safetensors"))
    spoken = speak_to(context.out / "speech.wav", model, plan, names, context.seed, context.progress)
    timing = spoken.timing
    (context.out / "timing.json").write_text(timing.model_dump_json(), "utf-8")
    context.progress(1.0, "script spoken")
    findings = [
        Finding(
            code="voice.line_unclear",
            severity=Severity.WARNING,
            what=f"words of line {index + 1} could not be told when the line was heard back, three times over",
            remedy="listen to the line; say it in other words, or slower, or in shorter sentences",
        )
        for index in spoken.unclear
    ]
    if signs := sum(unread_signs(line.text) for line in plan.lines):
        findings.append(
            Finding(
                code="script.signs_unread",
                severity=Severity.INFO,
                what=f"{signs} signs of the script cannot be said and were passed over",
                remedy="write in words what should be heard",
                value=float(signs),
            )
        )
    recorded = sum(line.end - line.start for line in timing.lines if line.source == "recorded")
    return {
        "seconds": round(timing.duration, 2),
        "lines": len(timing.lines),
        "recorded_seconds": round(recorded, 2),
        "remade_lines": spoken.remade,
        "unclear_lines": len(spoken.unclear),
        "real_time_factor": round((time.monotonic() - started) / timing.duration, 3),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }
