"""How much bad material is caught, and how often good material is blamed.

Real photos (video frames) and recordings of research corpora, damaged in every way a family's material is.
Caught: the damage is named, by intake or by the gate. False alarm: a good file gets a problem or a warning.
The corpora are not part of the repository: MEMORIAL_REAL names their folder, ``../shared/real`` otherwise.

    python tests/bench/bench_material.py
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from PIL import Image
from scipy.signal import butter, sosfilt

from memorial_tasks.domain.words import MaterialKind, Severity
from memorial_tasks.errors import InputRefused
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.quality.decode import read_frames, read_photo, read_sound
from memorial_tasks.quality.examine import examine
from memorial_tasks.quality.gate import run_suite
from memorial_tasks.quality.photos import measure_photo, measure_set
from memorial_tasks.quality.voice import SpeechDetector, measure_voice, measure_voices

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("MEMORIAL_REAL", REPOSITORY.parent / "shared" / "real"))
ASSETS = Path(os.environ.get("MEMORIAL_ASSETS_DIR", REPOSITORY / ".memorial" / "assets"))
RATE = 24_000

Rgb = Any
Samples = Any


@dataclass
class Tally:
    """Counts by kind of damage, and what good files were blamed for."""

    tried: dict[str, int] = field(default_factory=dict)
    caught: dict[str, int] = field(default_factory=dict)
    good: int = 0
    blamed: dict[str, int] = field(default_factory=dict)
    blamed_files: int = 0

    def bad(self, damage: str, wanted: tuple[str, ...], found: set[str]) -> None:
        """One damaged file: was one of the codes that name its damage found?"""
        self.tried[damage] = self.tried.get(damage, 0) + 1
        self.caught[damage] = self.caught.get(damage, 0) + bool(found & set(wanted))

    def fine(self, found: set[str]) -> None:
        """One good file."""
        self.good += 1
        self.blamed_files += bool(found)
        for code in found:
            self.blamed[code] = self.blamed.get(code, 0) + 1


def run() -> dict[str, Any]:
    """``material.caught`` and ``material.false_alarms`` as shares, with the counts behind them; {} without material."""
    if not (REAL / "grid-s1").is_dir():
        return {}
    models, detector = FaceModels.load(ASSETS), SpeechDetector()
    photos, voices = Tally(), Tally()
    with tempfile.TemporaryDirectory() as folder:
        _photos(Path(folder), models, detector, photos)
        _voices(Path(folder), models, detector, voices)
    tried = sum(photos.tried.values()) + sum(voices.tried.values())
    caught = sum(photos.caught.values()) + sum(voices.caught.values())
    by_damage = {
        name: f"{tally.caught[name]}/{count}" for tally in (photos, voices) for name, count in tally.tried.items()
    }
    return {
        "material.caught": round(caught / tried, 4),
        "material.false_alarms": round((photos.blamed_files + voices.blamed_files) / (photos.good + voices.good), 4),
        "material.detail": {
            "tried": tried, "good": photos.good + voices.good, "caught_by_damage": by_damage,
            "blamed_for": {**photos.blamed, **voices.blamed},
        },
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------- photos


def _stills() -> Iterator[tuple[str, Rgb]]:
    """Twenty shots of one man at different moments."""
    for number, path in enumerate(sorted((REAL / "grid-s1").glob("*.mpg"))[:40:2]):
        frames = [frame.rgb for frame in read_frames(path, only={10 + 3 * number % 50})]
        yield f"photo-{number:04d}", frames[0]


def _blur(sigma: float) -> Callable[[Rgb], Rgb]:
    return lambda rgb: cv2.GaussianBlur(rgb, (0, 0), sigma)


def _light(factor: float, offset: float = 0.0) -> Callable[[Rgb], Rgb]:
    return lambda rgb: (rgb.astype(np.float32) * factor + offset).clip(0, 255).astype(np.uint8)


def _scaled(factor: float) -> Callable[[Rgb], Rgb]:
    return lambda rgb: cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _cut_face(rgb: Rgb) -> Rgb:
    """The left half of the face only."""
    return np.ascontiguousarray(rgb[:, : rgb.shape[1] // 2 - 5])


def _motion(rgb: Rgb) -> Rgb:
    kernel = np.zeros((17, 17), np.float32)
    kernel[8] = 1 / 17
    return cv2.filter2D(rgb, -1, kernel)


DAMAGED_PHOTOS: dict[str, tuple[Callable[[Rgb], Rgb], tuple[str, ...]]] = {
    "photo blurred": (_blur(3.0), ("photo.blurred", "photo.no_face")),
    "photo shaken": (_motion, ("photo.blurred", "photo.no_face")),
    "photo dark": (_light(0.12), ("photo.dark", "photo.flat", "photo.no_face")),
    "photo overexposed": (_light(2.5, 60), ("photo.bright", "photo.burnt", "photo.flat", "photo.no_face")),
    "photo without contrast": (_light(0.06, 120), ("photo.flat", "photo.no_face")),
    "face tiny": (_scaled(0.4), ("photo.face_small", "photo.face_too_small", "photo.no_face")),
    "face cut": (_cut_face, ("photo.cropped", "photo.no_face")),
    "two faces": (lambda rgb: np.concatenate([rgb, rgb[:, ::-1]], axis=1), ("photo.several_faces",)),
    "no face": (lambda rgb: np.ascontiguousarray(rgb[:60].repeat(4, axis=0)), ("photo.no_face",)),
    "upside down": (lambda rgb: np.ascontiguousarray(rgb[::-1, ::-1]), ("photo.no_face", "photo.turned")),
}


def _photos(folder: Path, models: FaceModels, detector: SpeechDetector, tally: Tally) -> None:
    stills = dict(_stills())
    for name, found in _judge_photos(folder, stills, models, detector).items():
        tally.fine(found)
        assert name in stills
    for damage, (spoil, wanted) in DAMAGED_PHOTOS.items():
        spoiled = {name: spoil(rgb) for name, rgb in list(stills.items())[:8]}
        for found in _judge_photos(folder, spoiled, models, detector).values():
            tally.bad(damage, wanted, found)
    some = dict(list(stills.items())[:5])
    copies = {f"copy-{name}": cv2.resize(rgb, None, fx=0.7, fy=0.7) for name, rgb in some.items()}
    judged = _judge_photos(folder, some | copies, models, detector, info=True)
    for name in copies:
        tally.bad("same photo twice", ("photo.duplicate",), judged[name])
    for path in sorted((REAL / "others").glob("*.mpg"))[1:]:
        stranger = next(iter(read_frames(path, only={30}))).rgb
        judged = _judge_photos(folder, stills | {"stranger": stranger}, models, detector)
        tally.bad("another person", ("photo.other_person",), judged["stranger"])
    for name, rgb in list(stills.items())[:5]:
        path = folder / f"{name}.jpg"
        Image.fromarray(rgb).save(path, quality=93)
        whole = path.read_bytes()
        for share in (0.4, 0.9):
            path.write_bytes(whole[: int(len(whole) * share)])
            tally.bad("truncated jpeg", ("photo.truncated",), _intake(path, MaterialKind.PHOTO, models, detector))
        path.write_text("no picture")
        tally.bad("text named jpg", ("material.type",), _intake(path, MaterialKind.PHOTO, models, detector))


def _intake(path: Path, kind: MaterialKind, models: FaceModels, detector: SpeechDetector) -> set[str]:
    return {problem.code for problem in examine(path, kind, models, detector).problems}


def _judge_photos(
    folder: Path, shots: dict[str, Rgb], models: FaceModels, detector: SpeechDetector, *, info: bool = False
) -> dict[str, set[str]]:
    """Codes found for each photo by intake, then by the gate over the set."""
    found: dict[str, set[str]] = {}
    measures, prints = {}, {}
    for name, rgb in shots.items():
        path = folder / f"{name}.jpg"
        Image.fromarray(rgb).save(path, quality=93)
        found[name] = _intake(path, MaterialKind.PHOTO, models, detector)
        measures[name], prints[name] = measure_photo(read_photo(path).rgb, models)
    table = {name: measure.numbers() for name, measure in measure_set(measures, prints).items()}
    return _with_findings("photos", table, found, info)


def _with_findings(suite: str, table: dict[str, Any], found: dict[str, set[str]], info: bool) -> dict[str, set[str]]:
    for finding in run_suite(suite, table).findings:
        if info or finding.severity is not Severity.INFO:
            found[finding.material].add(finding.code)
    return found


# ---------------------------------------------------------------------------------------------- voices


def _recordings() -> dict[str, Samples]:
    """Good speech of many people and rooms."""
    paths = sorted((REAL / "kathleen").glob("*.flac"))[:20]
    paths += sorted((REAL / "librispeech").glob("*.flac"))[:50:2]
    paths += sorted((REAL / "aishell3").glob("*.flac"))[:15]
    paths += sorted((REAL / "grid-s1").glob("*.mpg"))[:10]
    return {f"voice-{number:04d}": read_sound(path, RATE).samples for number, path in enumerate(paths)}


def _level(sound: Samples) -> float:
    return float(np.sqrt((sound.astype(np.float64) ** 2).mean()))


def _noisy(sound: Samples) -> Samples:
    noise = np.random.default_rng(len(sound)).standard_normal(len(sound))
    return sound + noise * _level(sound) * 10 ** (-3 / 20)


def _clipped(sound: Samples) -> Samples:
    return (sound / np.abs(sound).max() * 12).clip(-1, 1) * 0.8


def _telephone(sound: Samples) -> Samples:
    return sosfilt(butter(12, [300, 3400], "bandpass", fs=RATE, output="sos"), sound)


def _muffled(sound: Samples) -> Samples:
    return sosfilt(butter(12, 1800, fs=RATE, output="sos"), sound)


def _torn(sound: Samples) -> Samples:
    torn = sound.copy()
    loud = np.flatnonzero(np.abs(sound) > 0.3 * np.abs(sound).max())
    for at in loud[:: max(len(loud) // 6, 1)]:
        torn[at + 1 : at + 1 + RATE // 40] = 0
    return torn


def _humming(sound: Samples) -> Samples:
    time = np.arange(len(sound)) / RATE
    return sound + _level(sound) * 0.2 * sum(np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 4))


def _with_music(sound: Samples) -> Samples:
    """Chords of plucked strings, a new one every half second, 12 dB under the voice."""
    time = np.arange(len(sound)) / RATE
    music = np.zeros(len(sound))
    for number, start in enumerate(np.arange(0, time[-1], 0.5)):
        root = 220 * 2 ** ((0, 5, 7, 3)[number % 4] / 12)
        own = np.clip(time - start, 0, None)
        struck = (time >= start) * np.exp(-own * 3)
        for ratio in (1, 1.26, 1.5, 2):
            for harmonic in (1, 2, 3, 4, 5):
                music += struck * np.sin(2 * np.pi * root * ratio * harmonic * own) / harmonic
    return sound + music / (_level(music) + 1e-9) * _level(sound) * 10 ** (-12 / 20)


DAMAGED_VOICES: dict[str, tuple[Callable[[Samples], Samples], tuple[str, ...]]] = {
    "noise 3 dB below": (_noisy, ("voice.noisy", "voice.silent")),
    "overdriven": (_clipped, ("voice.clipped",)),
    "telephone": (_telephone, ("voice.telephone",)),
    "muffled": (_muffled, ("voice.muffled", "voice.telephone")),
    "gaps in words": (_torn, ("voice.dropouts",)),
    "mains hum": (_humming, ("voice.hum",)),
    "music under speech": (_with_music, ("voice.music", "voice.noisy")),
    "silence": (lambda sound: sound * 0, ("voice.silent",)),
    "only noise": (
        lambda sound: np.random.default_rng(0).standard_normal(len(sound)) * 0.05, ("voice.silent",),
    ),
}  # fmt: skip


def _voices(folder: Path, models: FaceModels, detector: SpeechDetector, tally: Tally) -> None:
    recordings = _recordings()
    for found in _judge_voices(folder, recordings, models, detector, alone=True).values():
        tally.fine(found)
    some = dict(list(recordings.items())[::6])
    for damage, (spoil, wanted) in DAMAGED_VOICES.items():
        spoiled = {name: spoil(sound).astype(np.float32) for name, sound in some.items()}
        for found in _judge_voices(folder, spoiled, models, detector, alone=True, info=True).values():
            tally.bad(damage, wanted, found)
    own = dict(list(recordings.items())[:12])
    for name, sound in list(recordings.items())[20:45:5]:
        judged = _judge_voices(folder, own | {name: sound}, models, detector)
        tally.bad("another speaker", ("voice.other_speaker",), judged[name])
    for found in _judge_voices(folder, own, models, detector).values():
        tally.fine(found)
    for name, sound in list(some.items())[:5]:
        path = folder / f"{name}.wav"
        soundfile.write(path, sound, RATE)
        path.write_bytes(path.read_bytes()[: len(sound)])
        tally.bad("lying header", ("sound.header_lies",), _intake(path, MaterialKind.VOICE, models, detector))


def _judge_voices(
    folder: Path, sounds: dict[str, Samples], models: FaceModels, detector: SpeechDetector, *,
    alone: bool = False, info: bool = False,
) -> dict[str, set[str]]:  # fmt: skip
    found: dict[str, set[str]] = {}
    measures, prints = {}, {}
    for name, sound in sounds.items():
        path = folder / f"{name}.wav"
        soundfile.write(path, sound.clip(-1, 1), RATE)
        found[name] = _intake(path, MaterialKind.VOICE, models, detector)
        try:
            heard = read_sound(path, RATE)
        except InputRefused as refused:
            found[name] |= {problem.code for problem in refused.problems}
            continue
        measures[name], prints[name] = measure_voice(heard.samples, heard.rate, detector, heard.source_rate)
    # Strangers to each other when judged alone: likeness says nothing then.
    judged = measures if alone else measure_voices(measures, prints)
    return _with_findings("voice", {name: one.numbers() for name, one in judged.items()}, found, info)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=1) + "\n")
