"""Intake of one file: decode it completely, look for what makes it useless, name it.

`examine` runs in a process of its own (see `quality.isolate`), because a decoder that meets a
hostile file may die, and the file that killed it must still be named.
"""

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.quality.decode import identify, probe_video, read_frames, read_photo, read_sound
from memorial_tasks.quality.faces import FaceFinder, find_faces, pose_of
from memorial_tasks.quality.voice import SpeechDetector

LEAST_SPEECH = 0.3  # s; less is no utterance
LOOKED_AT = 24  # frames of a video in which a face is searched
ENOUGH = 3  # frames with one face say that the video shows somebody
SURE = 0.8  # detector's score; upright faces reach 0.9, what it takes for a face in a picture on its head 0.7
LEAST_INTER_OCULAR = 12.0  # px; below this the mesh is a guess


@dataclass(frozen=True)
class Examination:
    """What intake found on one file. `notes` refuse nothing; they are shown to the person who submits."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    seconds: float = 0.0
    speech: float = 0.0
    faces: int = 0
    captured: str = ""  # YYYY-MM-DD that the camera wrote into it; empty: nothing

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Examination":
        """Back from `to_json`."""
        return Examination(
            tuple(Problem(**one) for one in value["problems"]),
            tuple(Problem(**one) for one in value["notes"]),
            float(value["seconds"]),
            float(value["speech"]),
            int(value["faces"]),
            str(value.get("captured", "")),
        )


def examine(
    path: Path, kind: MaterialKind, models: FaceFinder, detector: SpeechDetector, died: date | None = None
) -> Examination:
    """Everything that is wrong with one file; `Problem.field` and `.file` are left to the caller."""
    try:
        match kind:
            case MaterialKind.PHOTO:
                return _photo(path, models, died)
            case MaterialKind.VOICE:
                return _voice(path, detector)
            case MaterialKind.VIDEO:
                return _video(path, models, detector)
            case MaterialKind.BACKGROUND | MaterialKind.INTERLUDE:
                return _background(path)
            case MaterialKind.MUSIC:
                return _music(path)
    except InputRefused as refused:
        return Examination(refused.problems)
    except MemoryError:
        return Examination((Problem("material.too_large", "it does not fit into memory", "export it smaller"),))
    return Examination()


def _photo(path: Path, models: FaceFinder, died: date | None) -> Examination:
    photo = read_photo(path)
    faces = find_faces(photo.rgb, models)
    if (not faces or faces[0].score < SURE) and (turned := _turned(photo.rgb, models)):
        return Examination((Problem("photo.turned", f"the picture {turned}", "turn it upright and save it"),))
    notes = []
    if photo.taken is not None and died is not None and photo.taken.date() > died:
        notes.append(
            Problem(
                "photo.dated_after_death",
                "its own date lies after the day of death",
                "right for a photographed print; otherwise it may show somebody else: look at it",
            )
        )
    problem = None
    if not faces:
        problem = Problem(
            "photo.no_face", "no face can be found", "give a photo on which the face is larger, lit and not turned away"
        )
    elif len(faces) > 1:
        problem = Problem(
            "photo.several_faces",
            f"{len(faces)} faces are in it, and nothing says whose likeness is meant",
            "cut the photo so that only the person remains",
        )
    elif faces[0].inter_ocular < LEAST_INTER_OCULAR:
        problem = Problem(
            "photo.face_too_small",
            f"the eyes are only {faces[0].inter_ocular:.0f} pixels apart",
            "scan the print at a higher resolution or give a closer photo",
        )
    return Examination((problem,) if problem else (), tuple(notes), faces=len(faces), captured=_day(photo.taken))


def _day(taken: datetime | None) -> str:
    return taken.date().isoformat() if taken else ""


def _turned(rgb: Any, models: FaceFinder) -> str:
    """How the picture lies when a face is only found after turning it, or ''."""
    for turns, how in ((2, "stands on its head"), (1, "lies on its side"), (3, "lies on its side")):
        faces = find_faces(np.ascontiguousarray(np.rot90(rgb, turns)), models, SURE)
        if faces and abs(pose_of(faces[0].points).roll) < 40:
            return how
    return ""


def _voice(path: Path, detector: SpeechDetector) -> Examination:
    sound = read_sound(path, 16_000)
    speech = _speech_seconds(sound.samples, detector)
    if speech >= LEAST_SPEECH:
        return Examination(seconds=sound.seconds, speech=speech)
    return Examination((silent(float(abs(sound.samples).max(initial=0.0))),), seconds=sound.seconds)


def silent(peak: float) -> Problem:
    """The problem of a recording without speech."""
    what = "it is silent" if peak < 1e-3 else "no speech can be heard in it"
    return Problem("voice.silent", what, "give a recording in which the person speaks, or remove it")


def _speech_seconds(samples: Any, detector: SpeechDetector) -> float:
    return float(detector.speech(samples, 16_000).sum()) * 0.032 if len(samples) else 0.0


def _video(path: Path, models: FaceFinder, detector: SpeechDetector) -> Examination:
    info = probe_video(path)
    speech, looked, single, several = 0.0, 0, 0, 0
    last = 0.0
    if info.has_picture:
        total = max(int(info.seconds * info.fps), 1)
        keys_only = info.seconds > 120  # decoding every frame of an hour would take minutes
        every = max(total // LOOKED_AT // (12 if keys_only else 1), 1)
        for frame in read_frames(path, every, keys_only=keys_only):
            last = frame.time
            if single >= ENOUGH or looked >= 3 * LOOKED_AT:
                continue  # still decoding to the end: a truncated file is found there
            count = len(find_faces(frame.rgb, models))
            looked += 1
            single += count == 1
            several += count > 1
        slack = 1.0 + every / max(info.fps, 1.0) + (15.0 if keys_only else 0.0)
        if info.seconds and last + slack < 0.9 * info.seconds:
            raise InputRefused(
                [
                    Problem(
                        "video.truncated",
                        f"it declares {info.seconds:.0f} s and ends after {last:.0f} s",
                        "copy it again from its source",
                    )
                ]
            )
    if info.has_sound:
        speech = _speech_seconds(read_sound(path, 16_000).samples, detector)
    if not single and speech < LEAST_SPEECH:
        what = "several people are in every picture" if several else "neither a face nor speech is in it"
        return Examination(
            (Problem("video.nothing_usable", what, "give a part in which the person is seen alone or heard"),),
            seconds=info.seconds or last,
        )
    return Examination(seconds=info.seconds or last, speech=speech, faces=single, captured=_day(info.taken))


def _background(path: Path) -> Examination:
    kind = identify(path, "photo", "video")
    if kind.medium == "photo":
        read_photo(path)
        return Examination()
    info = probe_video(path)
    for _ in read_frames(path, keys_only=True):
        pass
    return Examination(seconds=info.seconds)


def _music(path: Path) -> Examination:
    sound = read_sound(path, 16_000)
    if float(abs(sound.samples).max(initial=0.0)) < 1e-3:
        return Examination(
            (Problem("music.silent", "it is silent", "give another piece, or leave music out"),), seconds=sound.seconds
        )
    return Examination(seconds=sound.seconds)


def placed(problem: Problem, field: str, file: str) -> Problem:
    """The problem with its place filled in."""
    return replace(problem, field=field, file=file)
