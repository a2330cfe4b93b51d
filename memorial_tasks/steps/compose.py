"""compose: portrait, background, speech, music and subtitles become the film, still without its label."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import TypeAdapter, ValidationError

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import LEAD_IN, DirectionPlan, SpeechTiming
from memorial_tasks.domain.words import Language, Severity
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance.score import PerformanceScore
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.video.compose import FilmReport, compose_film
from memorial_tasks.video.encode import SIZES
from memorial_tasks.video.enhance import enhance
from memorial_tasks.video.fonts import cjk_font
from memorial_tasks.video.inserts import Insert, between_lines
from memorial_tasks.video.stage import VIDEO
from memorial_tasks.video.subtitles import FASTEST, Cue, cues, too_fast, write_srt
from memorial_tasks.video.vr180 import write_vr180

ROOMS = ("performance", "video")
MODALITIES = ("face", "voice")


class Params(Record):
    """`subtitles` are the tracks wanted, `burn` those of them that are drawn into the picture; `renditions` what is
    made beside the film itself: one for an upright phone, one for a headset."""

    size: Literal["720p", "1080p", "2160p"] = "1080p"
    fps: Literal[25, 30] = 25
    subtitles: tuple[Language, ...] = ()
    burn: tuple[Language, ...] = ()
    renditions: tuple[Literal["vertical", "vr180"], ...] = ()


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads portrait.mp4, matte.png, speech.wav, timing.json and what else there is; writes film.mp4,
    the other renditions as film-<name>.mp4, subtitles/<language>.srt and poster.png."""
    timing = SpeechTiming.model_validate_json(context.file("timing.json").read_bytes())
    matte = cv2.imread(str(context.file("matte.png")), cv2.IMREAD_GRAYSCALE)
    if matte is None:
        raise InputRefused(
            [Problem("matte.unreadable", "the matte is no picture", "run animate again", file="matte.png")]
        )
    tracks = _tracks(context, tuple(dict.fromkeys((*params.subtitles, *params.burn))), timing)
    for language, found in tracks.items():
        write_srt(context.out / "subtitles" / f"{language.value}.srt", found)
    rows = 2 if len(params.burn) < 2 else 1  # two languages in the picture take one row each
    burned = _tracks(context, params.burn, timing, rows)
    title = _title(context)
    inserts = _interludes(context, timing)
    score = context.optional("score.safetensors")
    curves = PerformanceScore.load(score).sampled(params.fps) if score else None

    def film(name: str, size: tuple[int, int], part: tuple[float, float]) -> FilmReport:
        low, high = part
        return compose_film(
            context.file("portrait.mp4"),
            np.asarray(matte, np.uint8),
            context.file("speech.wav"),
            timing,
            context.out / f"{name}.mp4",
            context.out / ("poster.png" if name == "film" else f"{name}.png"),
            size=size,
            fps=params.fps,
            background=context.optional("background.mkv") or context.optional("background.png"),
            music=context.optional("music.wav"),
            burned=burned,
            font_file=cjk_font(context.assets) if burned or title else None,
            inserts=inserts,
            title=title,
            curves=curves,
            kept=context.checkpoints / name,
            saved=context.save_checkpoint,
            progress=lambda share, what: context.progress(low + (high - low) * share, what),
        )

    wide = SIZES[params.size]
    share = 1 / (1 + len(params.renditions))
    report = film("film", wide, (0.0, share))
    if "vertical" in params.renditions:
        film("film-vertical", (wide[1], wide[0]), (share, 2 * share))
    if "vr180" in params.renditions:
        write_vr180(
            context.out / "film.mp4",
            context.out / "film-vr180.mp4",
            kept=context.checkpoints / "film-vr180",
            saved=context.save_checkpoint,
            progress=lambda done, what: context.progress(1 - share + share * done, what),
        )
    return {
        "frames": report.frames,
        "duration": round(report.duration, 3),
        "loudness_lufs": round(report.loudness, 2),
        "true_peak_dbtp": round(report.true_peak, 2),
        "subtitles": sorted(language.value for language in tracks),
        "music": context.optional("music.wav") is not None,
        "interludes": len(inserts),
        "renditions": list(params.renditions),
        "findings": [finding.model_dump(mode="json") for finding in _unread(tracks)],
    }


def _unread(tracks: dict[Language, list[Cue]]) -> list[Finding]:
    """What of the subtitles nobody can read in its time: the voice speaks faster than people read."""
    speeds = {language: too_fast(found, language) for language, found in tracks.items()}
    return [
        Finding(
            code="subtitles.fast",
            severity=Severity.INFO,
            what=f"{len(fast)} of {len(tracks[language])} subtitles in {language.value} are gone before they are read",
            remedy="let the lines be spoken slower (pace), make their pauses longer, or shorten the translation",
            value=round(max(fast), 1),
            limit=FASTEST[language],
        )
        for language, fast in speeds.items()
        if fast
    ]


def _title(context: StepContext) -> tuple[str, ...]:
    """The rows of the last card: the name and the years, or none."""
    path = context.optional("title.json")
    given = json.loads(path.read_text("utf-8")) if path else {}
    if not given.get("name"):
        return ()
    years = [str(date.fromisoformat(given[key]).year) for key in ("born", "died") if given.get(key)]
    return (given["name"], " – ".join(years))


def _interludes(context: StepContext, timing: SpeechTiming) -> tuple[Insert, ...]:
    """What the plan shows between the lines. A mark without its file is refused: a gap of seconds would be filmed."""
    path = context.optional("plan.json")
    if path is None:
        return ()
    plan = DirectionPlan.model_validate_json(path.read_bytes())
    if not plan.interludes:
        return ()
    wanted = {mark.name for mark in plan.interludes}
    files = [_made_good(context, path) for path in context.files("interludes") if path.stem in wanted]
    found, missing = between_lines(plan, timing, files, LEAD_IN)
    if missing:
        raise InputRefused(
            [Problem("interlude.missing", f"{name} is not there", "run ingest again", "script") for name in missing]
        )
    return found


def _made_good(context: StepContext, path: Path) -> Path:
    """A photo as it is; a clip without its noise, shaking and interlacing, kept like a shot."""
    if path.suffix.lower() not in VIDEO:
        return path
    target = context.checkpoints / "clips" / f"{path.stem}.mp4"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        context.progress(0.0, "making a clip good")
        enhance(path, target)
        context.save_checkpoint()
    return target


def _tracks(
    context: StepContext, wanted: Sequence[Language], timing: SpeechTiming, rows: int = 2
) -> dict[Language, list[Cue]]:
    """Cues of every track wanted, of at most so many rows. The spoken language needs no translation; another one
    without a translation is refused by name, because a silent omission would only be seen by the family."""
    given: dict[Language, tuple[str, ...]] = {}
    path = context.optional("subtitles.json")
    if path is not None:
        try:
            given = TypeAdapter(dict[Language, tuple[str, ...]]).validate_python(json.loads(path.read_bytes()))
        except (ValidationError, json.JSONDecodeError) as error:
            raise InputRefused(
                [Problem("subtitles.unreadable", "subtitles.json is not {language: [text per line]}", "write it so")]
            ) from error
    spoken = {line.language for line in timing.lines}
    missing = [language for language in wanted if language not in spoken and language not in given]
    if missing:
        raise InputRefused(
            [
                Problem(
                    "subtitles.missing", f"no {language.value} text", "add a translation", f"translation.{language}"
                )
                for language in missing
            ]
        )
    return {
        language: cues(timing, given.get(language) if language not in spoken else None, language, rows=rows)
        for language in wanted
    }
