"""Ingest: the family's originals, decoded once and for all, written in the one form every later step reads.

Photos become upright sRGB PNG, recordings mono 24 kHz WAV, videos a few frames and their sound. No later
step ever opens a file that somebody else made. Originals are named by material id; ids are kept.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.face.track import COLUMNS, follow
from memorial_tasks.quality import limits
from memorial_tasks.quality.decode import identify, probe_video, read_frames, read_photo, read_sound
from memorial_tasks.quality.frames import pick_frames, read_picked
from memorial_tasks.quality.normalise import clean_voice, write_background, write_photo, write_wav
from memorial_tasks.quality.voice import SpeechDetector
from memorial_tasks.steps.contract import StepContext

ROOMS = ("quality", "face")
MODALITIES: tuple[str, ...] = ()  # prepares; what is remade from it is decided by the steps that follow

FOLLOWED_S = 90.0  # seconds of home video in which the face is followed
Numbers = dict[str, dict[str, float]]


class MaterialRef(Record):
    """One original that must be there: its input name (``photo/ab12.jpg``) and kind."""

    name: str
    kind: str


class Params(Record):
    """`materials` may be left out; when given, each must be among the inputs."""

    language: Language
    materials: tuple[MaterialRef, ...] = ()


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Write photos/, voice/, background, music, interludes/ and ingest.json; returns counts and seconds.

    Raises:
        InputRefused: with every original that is missing or cannot be decoded.
    """
    problems = [
        Problem("material.missing", "the original was not given to this step", "declare it in the job", file=ref.name)
        for ref in params.materials
        if not (context.inputs / ref.name).is_file()
    ]
    record: dict[str, Numbers] = {
        kind: {} for kind in ("photos", "frames", "voice", "background", "music", "interludes")
    }

    def gather(path: Path, work: Callable[[Path], object]) -> None:
        try:
            work(path)
        except InputRefused as refused:
            problems.extend(replace(one, file=f"{path.parent.name}/{path.name}") for one in refused.problems)

    originals = {kind: context.files(kind) for kind in ("photo", "voice", "video", "background", "music", "interlude")}
    problems += _twice(originals["photo"]) + _twice(originals["voice"] + originals["video"])
    detector = SpeechDetector()
    for number, path in enumerate(originals["photo"]):
        context.progress(0.3 * number / len(originals["photo"]), "photos")
        gather(path, lambda one: _photo(context, one, record["photos"]))
    for number, path in enumerate(originals["voice"]):
        context.progress(0.3 + 0.2 * number / len(originals["voice"]), "recordings")
        gather(path, lambda one: _voice(context, one, record["voice"], detector, from_video=False))
    usable_videos = []
    for path in originals["video"]:
        before = len(problems)
        gather(path, probe_video)
        if len(problems) == before:
            usable_videos.append(path)
    if not problems:
        _videos(context, usable_videos, record, detector)
    for path in originals["background"][:1]:
        gather(path, lambda one: _background(context, one, record["background"]))
    for path in originals["music"][:1]:
        gather(path, lambda one: _music(context, one, record["music"]))
    for path in originals["interlude"]:
        gather(path, lambda one: _interlude(context, one, record["interludes"]))
    if problems:
        raise InputRefused(problems)
    texts = _transcripts(context, record["voice"])
    (context.out / "ingest.json").write_text(json.dumps(record, indent=1, sort_keys=True))
    context.progress(1.0, "material is in one form")
    return {
        "photos": len(record["photos"]),
        "frames": len(record["frames"]),
        "recordings": len(record["voice"]),
        "recorded_s": round(sum(one["seconds"] for one in record["voice"].values()), 1),
        "with_text": texts,
    }


def _twice(paths: list[Path]) -> list[Problem]:
    """Two originals that would be written to one place."""
    stems = [path.stem for path in paths]
    return [
        Problem("material.id_twice", "two originals have this id", "give each its own id", file=path.name)
        for path in paths
        if stems.count(path.stem) > 1
    ]


def _photo(context: StepContext, path: Path, record: Numbers) -> None:
    photo = read_photo(path)
    width, height = write_photo(context.out / "photos" / f"{path.stem}.png", photo.rgb)
    record[path.stem] = {
        "width": width, "height": height, "source_width": photo.source_size[0], "source_height": photo.source_size[1],
    }  # fmt: skip


def _voice(context: StepContext, path: Path, record: Numbers, detector: SpeechDetector, *, from_video: bool) -> None:
    sound = read_sound(path, limits.VOICE_RATE)
    samples = clean_voice(sound.samples)
    if from_video and float(detector.speech(samples, sound.rate).sum()) * 0.032 < 0.3:
        return  # a video without a word: its noise is no recording
    seconds = write_wav(context.out / "voice" / f"{path.stem}.wav", samples, sound.rate)
    record[path.stem] = {
        "seconds": round(seconds, 3), "source_rate": sound.source_rate, "source_channels": sound.source_channels,
        "from_video": float(from_video),
    }  # fmt: skip


def _videos(context: StepContext, paths: list[Path], record: dict[str, Numbers], detector: SpeechDetector) -> None:
    if not paths:
        return
    models = FaceModels.load(context.assets)
    picked = pick_frames(paths, models, lambda done, what: context.progress(0.5 + 0.3 * done, what))
    for number, path in enumerate(paths):
        context.progress(0.8 + 0.15 * number / len(paths), "frames and sound of the videos")
        info = probe_video(path)
        own = [one for one in picked if one.video == number]
        for count, frame in enumerate(read_picked(path, own, info.seconds), 1):
            name = f"{path.stem}-f{count:04d}"
            width, height = write_photo(context.out / "photos" / f"{name}.png", frame.rgb)
            record["frames"][name] = {
                "width": width, "height": height, "time": round(frame.time, 3), "index": frame.index,
            }  # fmt: skip
        if info.has_sound:
            _voice(context, path, record["voice"], detector, from_video=True)
    _motion(context, paths, models)


def _motion(context: StepContext, paths: list[Path], models: FaceModels) -> None:
    """How the face moves in the videos, as numbers: what the person's habits are learned from."""
    rows: list[list[float]] = []
    for path in paths:
        left = FOLLOWED_S - len(rows) / 25
        if left <= 0 or not probe_video(path).has_picture:
            continue
        after = (rows[-1][0] + 10.0) if rows else 0.0  # a gap between two videos is none of the person's
        frames = ((one.time, one.rgb) for one in read_frames(path))
        found = follow(takewhile(lambda one, most=left: one[0] < most, frames), models)  # type: ignore[misc]
        rows += [[row[0] + after, *row[1:]] for row in found]
    if rows:
        (context.out / "motion.json").write_text(json.dumps({"columns": COLUMNS, "rows": rows}))


def _background(context: StepContext, path: Path, record: Numbers) -> None:
    if identify(path, "photo", "video").medium == "photo":
        width, height = write_photo(context.out / "background.png", read_photo(path).rgb)
        record[path.stem] = {"width": width, "height": height}
    else:
        record[path.stem] = {"seconds": write_background(path, context.out / "background.mkv")}


def _interlude(context: StepContext, path: Path, record: Numbers) -> None:
    (context.out / "interludes").mkdir(exist_ok=True)
    target = context.out / "interludes" / path.stem
    if identify(path, "photo", "video").medium == "photo":
        width, height = write_photo(target.with_suffix(".png"), read_photo(path).rgb)
        record[path.stem] = {"width": width, "height": height}
    else:
        record[path.stem] = {"seconds": write_background(path, target.with_suffix(".mkv"))}
        if probe_video(path).has_sound:
            sound = read_sound(path, limits.MUSIC_RATE, stereo=True)
            write_wav(target.with_suffix(".wav"), sound.samples.clip(-1.0, 1.0), sound.rate)


def _music(context: StepContext, path: Path, record: Numbers) -> None:
    sound = read_sound(path, limits.MUSIC_RATE, stereo=True)
    samples = sound.samples.clip(-1.0, 1.0)
    record[path.stem] = {"seconds": round(write_wav(context.out / "music.wav", samples, sound.rate), 3)}


def _transcripts(context: StepContext, recordings: Numbers) -> int:
    texts: dict[str, str] = {}
    for path in context.files("transcript"):
        given: dict[str, str] = json.loads(path.read_text("utf-8"))
        texts |= {Path(name).name.split(".")[0]: " ".join(text.split()) for name, text in given.items()}
    kept = {stem: text for stem, text in texts.items() if stem in recordings and text}
    (context.out / "voice").mkdir(parents=True, exist_ok=True)
    content = json.dumps(kept, ensure_ascii=False, sort_keys=True)
    (context.out / "voice" / "transcripts.json").write_text(content, "utf-8")
    return len(kept)
