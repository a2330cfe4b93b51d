"""Output gate: the finished film, watched and listened to through its numbers, before any person is asked.

Like the quality gate it answers and does not raise: a film that fails is kept for the person who looks why.
"""

import json
import math
from pathlib import Path
from typing import Any

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import CLOSING_CARD, DirectionPlan, SpeechTiming
from memorial_tasks.domain.words import Language, Severity
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.provenance.verify import verify_film
from memorial_tasks.quality.film import AROUND, FilmLook, measure_film, word_errors
from memorial_tasks.quality.gate import run_gate
from memorial_tasks.quality.renditions import compare, shape_of
from memorial_tasks.quality.sheets import contact_sheet, spectrogram
from memorial_tasks.quality.voice import SpeechDetector
from memorial_tasks.steps.contract import StepContext

ROOMS = ("quality", "face", "provenance")
MODALITIES: tuple[str, ...] = ()
_LAYERS = {"label": "the visible and audible label", "aigc": "the AIGC key", "c2pa": "the signed manifest",
           "watermark": "the watermark"}  # fmt: skip


class Params(Record):
    """`expected_duration` in seconds of the finished film; left out, it follows from the speech and the cards."""

    content_id: str
    language: Language
    expected_duration: float | None = None


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Write report.json, measurements.json, contact-sheet.png, spectrogram.png and docs.tar.gz; returns `passed`."""
    film = context.file("film.mp4")
    timing = SpeechTiming.model_validate_json(context.file("timing.json").read_text("utf-8"))
    plan = DirectionPlan.model_validate_json(context.file("plan.json").read_text("utf-8"))
    models, detector = FaceModels.load(context.assets), SpeechDetector()
    expected = params.expected_duration or timing.duration + AROUND + _closing(context)
    measure, look = measure_film(film, timing, models, detector, context.progress, expected)
    context.progress(0.78, "contact sheet and spectrogram")
    contact_sheet(context.out / "contact-sheet.png", look.shots)
    spectrogram(context.out / "spectrogram.png", look.sound, look.rate)
    row = measure.numbers()
    if params.language is Language.EN_US:
        row["word_errors"] = _judged(look, timing, plan)
    context.progress(0.85, "reading the marks back")
    layers = _marks(context, params.content_id, film)
    row |= {f"mark_{name}": float(ok) for name, (ok, _detail) in layers.items()}
    report = run_gate("film", {"film": {"all": row}}, context.out / "docs.tar.gz")
    missing = tuple(
        Finding(
            code=f"film.{name}", severity=Severity.CRITICAL, what=f"{_LAYERS[name]} cannot be read back: {detail}",
            remedy="seal the film again", value=0.0, limit=1.0,
        )
        for name, (ok, detail) in layers.items()
        if not ok
    )  # fmt: skip
    others = _renditions(context, params.content_id)
    missing += others
    closed = any(one.severity is Severity.CRITICAL for one in missing)
    report = report.model_copy(
        update={"passed": report.passed and not closed, "findings": (*missing, *report.findings)}
    )
    (context.out / "report.json").write_text(report.model_dump_json(indent=1), "utf-8")
    numbers = {key: round(value, 5) if math.isfinite(value) else None for key, value in row.items()}
    (context.out / "measurements.json").write_text(json.dumps(numbers, indent=1, sort_keys=True))
    context.progress(1.0, "passed" if report.passed else "closed")
    return {
        "passed": report.passed,
        "renditions": len(_others(context)),
        "findings": [finding.model_dump(mode="json") for finding in report.findings],
        **{key: value for key, value in numbers.items() if value is not None},
    }


def _others(context: StepContext) -> list[Path]:
    sound = context.optional("audio.m4a")
    return [*sorted(context.inputs.glob("film-*.mp4")), *([sound] if sound else []), *context.files("stills")]


def _renditions(context: StepContext, content_id: str) -> tuple[Finding, ...]:
    """What is wrong with the upright film, the one for a headset, the sound alone and the stills. Their marks are read
    as the film's are; a mark in a single still or a short sound may be too faint to be believed, and is only noted."""
    film = shape_of(context.file("film.mp4"))
    found: list[Finding] = []
    for number, path in enumerate(others := _others(context)):
        context.progress(0.87 + 0.12 * number / len(others), "reading the other renditions")
        name = path.relative_to(context.inputs).as_posix()
        if path.suffix != ".png" and film is not None:
            found += compare(name, shape_of(path), film)
        for layer, (ok, detail) in _marks(context, content_id, path).items():
            if not ok:
                faint = layer == "watermark" and path.suffix in (".png", ".m4a")
                found.append(
                    Finding(
                        code=f"rendition.{layer}", severity=Severity.WARNING if faint else Severity.CRITICAL,
                        what=f"{name}: {_LAYERS[layer]} cannot be read back: {detail}", remedy="seal the film again",
                        value=0.0, limit=1.0,
                    )
                )  # fmt: skip
    return tuple(found)


def _closing(context: StepContext) -> float:
    """Seconds of the last card: there is one when the order gives a name."""
    path = context.optional("title.json")
    return CLOSING_CARD if path and json.loads(path.read_text("utf-8")).get("name") else 0.0


def _judged(look: FilmLook, timing: SpeechTiming, plan: DirectionPlan) -> float:
    from memorial_tasks.quality.film import SPEECH_START

    first, last = SPEECH_START - 0.3, SPEECH_START + timing.duration + 0.3
    part = look.sound[int(first * look.rate) : int(last * look.rate)]
    return word_errors(part, look.rate, [line.text for line in plan.lines])


def _marks(context: StepContext, content_id: str, path: Path) -> dict[str, tuple[bool, str]]:
    """Each layer of the label: is it there, and what was found. Without anchors or key that layer is not asked."""
    found = verify_film(
        path,
        anchors_pem=context.signing.anchors_pem if context.signing else "",
        watermark_key=context.watermark_key,
        assets=context.assets,
        content_id=content_id,
    )
    asked = ["label", "aigc"]
    asked += ["c2pa"] if context.signing else []
    asked += ["watermark"] if context.watermark_key else []
    return {name: (getattr(found, name).ok, getattr(found, name).detail) for name in asked}
