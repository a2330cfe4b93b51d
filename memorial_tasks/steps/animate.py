"""animate: from the plan and the speech to the performance score and the portrait in motion."""

import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.timing import DirectionPlan, SpeechTiming
from memorial_tasks.performance.perform import perform
from memorial_tasks.performance.score import CHANNELS
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.video.encode import FilmWriter
from memorial_tasks.video.stage import extend_person

ROOMS = ("performance", "face", "video")
MODALITIES = ("face", "voice")
BLOCK = 6  # pictures


class Params(Record):
    """`size` of the film (the portrait is rendered at the size that fits it) and pictures a second."""

    size: Literal["720p", "1080p", "2160p"] = "1080p"
    fps: Literal[25, 30] = 25
    config: str = ""


def load_renderer(folder: Path) -> Any:
    """The face room's renderer; its own function so that tests can put a drawn face here."""
    from memorial_tasks.face.render import FaceRenderer

    model = folder / "model.safetensors"
    return FaceRenderer.load(folder, model if model.is_file() else None)


def _without_background(folder: Path, matte: NDArray[np.uint8]) -> None:
    """Replaces the base photo by the person alone (see `extend_person`), in the step's own copy of its inputs."""
    photo = cv2.imread(str(folder / "base.png"), cv2.IMREAD_COLOR)
    if photo is not None and photo.shape[:2] == matte.shape:
        cv2.imwrite(str(folder / "base.png"), extend_person(np.asarray(photo, np.uint8), matte))


def _rendered(renderer: Any, curves: Mapping[str, NDArray[np.float32]], fps: int) -> Iterator[NDArray[np.uint8]]:
    """All pictures in order, BLOCK at a time on as many threads as there are cores (four at most): a picture depends
    on its own instant only. Never more than two blocks a thread are held."""
    total = len(curves["jaw_open"])
    workers = max(1, min(4, os.cpu_count() or 1))

    def block(start: int) -> list[NDArray[np.uint8]]:
        part = {name: curve[start : start + BLOCK] for name, curve in curves.items()}
        return list(renderer.frames(part, fps, lambda share, what: None))

    with ThreadPoolExecutor(workers) as pool:
        starts = iter(range(0, total, BLOCK))
        waiting = deque(pool.submit(block, start) for start in islice(starts, workers + 1))
        try:
            while waiting:
                done = waiting.popleft().result()
                for start in islice(starts, 1):
                    waiting.append(pool.submit(block, start))
                yield from done
        finally:
            for task in waiting:
                task.cancel()


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """Reads plan.json, timing.json, speech.wav and face/*; writes score.*, portrait.mp4 and matte.png."""
    plan = DirectionPlan.model_validate_json(context.file("plan.json").read_bytes())
    timing = SpeechTiming.model_validate_json(context.file("timing.json").read_bytes())
    speech, rate = soundfile.read(str(context.file("speech.wav")), dtype="float32", always_2d=True)
    context.progress(0.0, "writing the score")
    score = perform(timing, speech.mean(axis=1) if speech.shape[1] > 1 else speech[:, 0], rate, plan, context.seed)
    score.save(context.out / "score.safetensors")
    about = {
        "rate_hz": score.rate_hz,
        "duration": score.duration,
        "lead_in": score.lead_in,
        "seed": context.seed,
        "channels": {name: {"low": c.low, "high": c.high, "meaning": c.meaning} for name, c in CHANNELS.items()},
    }
    (context.out / "score.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    del speech

    context.progress(0.03, "loading the face")
    with tempfile.TemporaryDirectory(dir=context.inputs) as scratch:
        folder = Path(shutil.copytree(context.inputs / "face", Path(scratch) / "face"))
        matte = load_renderer(folder).matte()
        _without_background(folder, matte)
        renderer = load_renderer(folder)
    width, height = renderer.size
    even = (width // 2 * 2, height // 2 * 2)
    frames = score.frames(params.fps)
    cv2.imwrite(str(context.out / "matte.png"), matte[: even[1], : even[0]])
    # 4:4:4 and almost lossless: this is an intermediate, the eyes and lips are composed from it
    with FilmWriter(
        context.out / "portrait.mp4", even, params.fps, crf=8, preset="ultrafast", pixel_format="yuv444p"
    ) as writer:
        for number, picture in enumerate(_rendered(renderer, score.sampled(params.fps), params.fps)):
            writer.picture(picture[: even[1], : even[0]])
            if number % params.fps == 0:
                context.progress(0.05 + 0.94 * number / frames, f"picture {number} of {frames}")
    context.progress(1.0, f"{frames} pictures rendered")
    return {"frames": writer.frames, "duration": round(score.duration, 3), "width": even[0], "height": even[1]}
