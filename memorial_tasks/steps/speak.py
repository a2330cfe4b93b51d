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
    from memorial_tasks.voice.audio import loudness, write_wave
    from memorial_tasks.voice.model import VoiceModel
    from memorial_tasks.voice.synthesize import speak

    started = time.monotonic()
    plan = DirectionPlan.model_validate_json(context.file("plan.json").read_text("utf-8"))
    lexicon = context.optional("lexicon.json")
    names = json.loads(lexicon.read_text("utf-8")) if lexicon else {}
    model = VoiceModel.load(context.file("voice/model.safetensors"))
    wave, timing = speak(model, plan, names, context.seed, context.progress)
    write_wave(context.out / "speech.wav", wave)
    (context.out / "timing.json").write_text(timing.model_dump_json(), "utf-8")
    context.progress(1.0, "script spoken")
    recorded = sum(line.end - line.start for line in timing.lines if line.source == "recorded")
    return {
        "seconds": round(timing.duration, 2),
        "lines": len(timing.lines),
        "recorded_seconds": round(recorded, 2),
        "loudness_lufs": round(loudness(wave), 1),
        "real_time_factor": round((time.monotonic() - started) / timing.duration, 3),
    }
