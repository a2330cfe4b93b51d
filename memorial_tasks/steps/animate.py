"""animate: from the plan and the speech to the performance score and the portrait in motion."""

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import DirectionPlan, SpeechTiming
from memorial_tasks.performance import capture
from memorial_tasks.performance.perform import perform
from memorial_tasks.performance.score import CHANNELS, PerformanceScore
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.video.compose import join_film
from memorial_tasks.video.cutout import exact_matte, extend_person
from memorial_tasks.video.encode import FilmWriter
from memorial_tasks.video.shots import Shot, cut, make

ROOMS = ("performance", "face", "video")
MODALITIES = ("face", "voice")


class Params(Record):
    """`size` of the film (the portrait is rendered at the size that fits it) and pictures a second."""

    size: Literal["720p", "1080p", "2160p"] = "1080p"
    fps: Literal[25, 30] = 25
    config: str = ""


def load_renderer(folder: Path, alone: bool = False) -> Any:
    """The face room's renderer (see there); its own function so that tests can put a drawn face here."""
    from memorial_tasks.face.render import FaceRenderer

    model = folder / "model.safetensors"
    return FaceRenderer.load(folder, model if model.is_file() else None, alone)


def _without_background(folder: Path, matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replaces the base photo by the person alone in the step's own copy of its inputs; returns the exact matte."""
    photo = cv2.imread(str(folder / "base.png"), cv2.IMREAD_COLOR)
    if photo is None or photo.shape[:2] != matte.shape:
        return matte
    exact = exact_matte(np.asarray(photo, np.uint8), matte)
    alone = person_alone(np.ascontiguousarray(photo[..., ::-1], np.uint8), exact)
    cv2.imwrite(str(folder / "base.png"), np.ascontiguousarray(alone[..., ::-1]))
    return exact


def person_alone(photo: NDArray[np.uint8], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB photo [H, W, 3] with its person drawn outwards over everything else (see `extend_person`), rid of their
    background's colour; `matte` uint8 [H, W], 255 = person."""
    from memorial_tasks.face.matte import without_spill

    return extend_person(without_spill(photo, matte), matte)


@dataclass
class RenderShot:
    """Renders one shot of the portrait; picklable, and the face it loads it keeps for the next shot."""

    folder: Path
    score: Path
    fps: int
    _renderer: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None}

    def __call__(self, shot: Shot, target: Path) -> None:
        """Writes the shot: 4:4:4 and almost lossless, for the eyes and lips of the film are composed from it."""
        if self._renderer is None:
            self._renderer = load_renderer(self.folder, alone=True)
        sampled = PerformanceScore.load(self.score).sampled(self.fps)
        curves = {name: curve[shot.first : shot.last] for name, curve in sampled.items()}
        size = _even(self._renderer.size)
        with FilmWriter(target, size, self.fps, crf=8, preset="ultrafast", pixel_format="yuv444p", threads=1) as writer:
            for picture in self._renderer.frames(curves, self.fps, lambda share, what: None):
                writer.picture(picture[: size[1], : size[0]])


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2 * 2, size[1] // 2 * 2


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads plan.json, timing.json, speech.wav and face/*; writes score.*, portrait.mp4 and matte.png."""
    plan = DirectionPlan.model_validate_json(context.file("plan.json").read_bytes())
    timing = SpeechTiming.model_validate_json(context.file("timing.json").read_bytes())
    speech, rate = soundfile.read(str(context.file("speech.wav")), dtype="float32", always_2d=True)
    context.progress(0.0, "writing the score")
    mono = speech.mean(axis=1) if speech.shape[1] > 1 else speech[:, 0]
    ways = context.optional("face/habits.json")
    score = perform(timing, mono, rate, plan, context.seed, capture.load(ways) if ways else None)
    score.save(context.out / "score.safetensors")
    about = {
        "rate_hz": score.rate_hz,
        "duration": score.duration,
        "lead_in": score.lead_in,
        "seed": context.seed,
        "channels": {name: {"low": c.low, "high": c.high, "meaning": c.meaning} for name, c in CHANNELS.items()},
    }
    (context.out / "score.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    del speech, mono

    context.progress(0.03, "loading the face")
    frames = score.frames(params.fps)
    with tempfile.TemporaryDirectory(dir=context.inputs) as scratch:
        folder = Path(shutil.copytree(context.inputs / "face", Path(scratch) / "face"))
        plain = load_renderer(folder)
        width, height = _even(plain.size)
        matte = _without_background(folder, plain.matte())
        cv2.imwrite(str(context.out / "matte.png"), matte[:height, :width])
        parts = make(
            cut(frames, params.fps),
            RenderShot(folder, context.out / "score.safetensors", params.fps),
            context.checkpoints / "portrait",
            saved=context.save_checkpoint,
            progress=lambda share, what: context.progress(0.05 + 0.92 * share, what),
        )
    join_film(parts, context.out / "portrait.mp4", params.fps, None)
    context.progress(1.0, f"{frames} pictures rendered")
    return {"frames": frames, "duration": round(score.duration, 3), "width": width, "height": height}
