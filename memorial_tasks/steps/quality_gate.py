"""Quality gate: is the material good enough, what is left out, and what could the family bring to improve it?

The gate answers, it does not raise: `report.json` and the metric `passed` say no, and the control plane acts.
"""

import json
import math
from typing import Any

import soundfile

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Language
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.quality.decode import read_photo
from memorial_tasks.quality.gate import Table, run_gate
from memorial_tasks.quality.photos import PhotoMeasure, PhotoPrint, measure_photo, measure_set
from memorial_tasks.quality.sets import photo_summary, voice_summary
from memorial_tasks.quality.voice import SpeechDetector, VoiceMeasure, VoicePrint, measure_voice, measure_voices
from memorial_tasks.steps.contract import StepContext

ROOMS = ("quality", "face")
MODALITIES: tuple[str, ...] = ()


class Params(Record):
    """`has_face`, `has_voice`: what the order remakes; the other half is not asked for."""

    language: Language
    has_face: bool = True
    has_voice: bool = True


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Write report.json (GateReport), measurements.json and docs.tar.gz; returns `passed` and the findings."""
    tables: dict[str, Table] = {}
    if params.has_face:
        measures = _photos(context)
        tables["photos"] = {name: measure.numbers() for name, measure in measures.items()}
        tables["photo_set"] = {"all": photo_summary(measures)}
    if params.has_voice:
        voices = _voices(context)
        texts = json.loads(context.file("voice/transcripts.json").read_text("utf-8"))
        tables["voice"] = {name: voice.numbers() for name, voice in voices.items()}
        tables["voice_set"] = {"all": voice_summary(voices, set(texts))}
    context.progress(0.8, "rules")
    report = run_gate("material", tables, context.out / "docs.tar.gz")
    (context.out / "report.json").write_text(report.model_dump_json(indent=1), "utf-8")
    (context.out / "measurements.json").write_text(json.dumps(_without_nan(tables), indent=1, sort_keys=True))
    context.progress(1.0, "passed" if report.passed else "closed")
    return {
        "passed": report.passed,
        "findings": [finding.model_dump(mode="json") for finding in report.findings],
        **{key.replace(".", "_"): value for key, value in report.measured.items()},
    }


def _photos(context: StepContext) -> dict[str, PhotoMeasure]:
    paths = context.files("photos")
    if not paths:
        return {}
    models = FaceModels.load(context.assets)
    measures: dict[str, PhotoMeasure] = {}
    prints: dict[str, PhotoPrint] = {}
    for number, path in enumerate(paths):
        context.progress(0.5 * number / len(paths), "measuring photos")
        measures[path.stem], prints[path.stem] = measure_photo(read_photo(path).rgb, models)
    return measure_set(measures, prints)


def _voices(context: StepContext) -> dict[str, VoiceMeasure]:
    paths = [path for path in context.files("voice") if path.suffix == ".wav"]
    record = json.loads(context.file("ingest.json").read_text())["voice"]
    detector = SpeechDetector()
    measures: dict[str, VoiceMeasure] = {}
    prints: dict[str, VoicePrint] = {}
    for number, path in enumerate(paths):
        context.progress(0.5 + 0.3 * number / len(paths), "measuring recordings")
        samples, rate = soundfile.read(path, dtype="float32")
        source_rate = int(record.get(path.stem, {}).get("source_rate", rate))
        measures[path.stem], prints[path.stem] = measure_voice(samples, rate, detector, source_rate)
    return measure_voices(measures, prints)


def _without_nan(tables: dict[str, Table]) -> dict[str, dict[str, dict[str, float | None]]]:
    """JSON has no NaN: what could not be measured is null."""
    return {
        table: {
            name: {key: round(value, 5) if math.isfinite(value) else None for key, value in row.items()}
            for name, row in rows.items()
        }
        for table, rows in tables.items()
    }
