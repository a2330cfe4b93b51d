"""A look at the film before it is made: rendered small and faster than it plays, in a process of its own.

``python -m memorial_tasks.steps.preview animate --job vault://... --film-fd N``: a step's process that leaves no
result. The job is that of `animate`, so are permit, key and inputs; what it makes goes through the inherited pipe as it
is made, as a fragmented MP4, and is stored nowhere. Every picture carries the label.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from memorial_tasks.domain.timing import LEAD_IN, TAIL, DirectionPlan, SpeechTiming
from memorial_tasks.observability.logs import set_up
from memorial_tasks.steps.__main__ import arguments_of, job_of, secrets_of
from memorial_tasks.steps.code import modalities
from memorial_tasks.steps.process import emit, failure_event, fetch_inputs, require_covered, stop_cleanly, workspace
from memorial_tasks.vault.store import EncryptedStore, open_store

SIZE: Final = (640, 360)
FPS: Final = 25
LOUDER_DB: Final = 7.0  # from the speech track's -23 LUFS to the film's -16
BLOCK_S: Final = 1.0  # of sound at a time
STEP: Final = "animate"  # the act a preview is: the person's face and voice, moved

Tell = Callable[[float, float], None]


def render(folder: Path, assets: Path, seed: int, target: Any, tell: Tell, size: tuple[int, int] = SIZE) -> None:
    """Writes what lies in `folder` (the animate step's inputs) to `target` as a film, as fast as it can.

    `tell(rendered, took)` gets the seconds of film that are made and the seconds that took, after every picture.
    """
    import cv2
    import numpy as np
    import soundfile

    from memorial_tasks.performance.perform import perform
    from memorial_tasks.provenance import label
    from memorial_tasks.video.live import LiveFilm
    from memorial_tasks.video.mix import Mix
    from memorial_tasks.video.stage import Backdrop, Stage

    began = time.monotonic()
    timing = SpeechTiming.model_validate_json((folder / "timing.json").read_bytes())
    plan = DirectionPlan.model_validate_json((folder / "plan.json").read_bytes())
    speech, rate = soundfile.read(str(folder / "speech.wav"), dtype="float32")
    score = perform(timing, speech, rate, plan, seed)
    renderer = load_renderer(folder / "face", size)
    matte = renderer.matte()
    frames = score.frames(FPS)
    stage: Any = None
    labeller = label.Labeller(label.layout(assets, *size))
    # the speech track is levelled already: to measure the film before its first second would keep the viewer
    duration = LEAD_IN + timing.duration + TAIL
    sound = Mix(folder / "speech.wav", None, (), duration, LEAD_IN, gain=10 ** (LOUDER_DB / 20)).blocks()
    with LiveFilm(target, size, FPS) as film:
        film.sound(next(sound))
        for number, person in enumerate(renderer.frames(score.sampled(FPS), FPS)):
            if stage is None:
                stage = Stage(matte, person, Backdrop(None, size, FPS, frames))
            planes = cv2.cvtColor(stage.picture(person, number), cv2.COLOR_RGB2YUV_I420)
            labeller.corner(planes)
            film.planes(np.asarray(planes, np.uint8))
            if (number + 1) % round(FPS * BLOCK_S) == 0:
                film.sound(next(sound, np.zeros((0, 2), np.float32)))
            tell((number + 1) / FPS, time.monotonic() - began)
        for block in sound:
            film.sound(block)


def load_renderer(folder: Path, size: tuple[int, int]) -> Any:
    """The face at the size it is shown at: a picture costs what its pixels cost."""
    import cv2
    import numpy as np

    from memorial_tasks.face.bank import load_bank
    from memorial_tasks.face.render import FaceRenderer
    from memorial_tasks.steps.animate import person_alone

    bank = load_bank(folder)
    matte8 = np.asarray(np.clip(bank.matte * 255, 0, 255), np.uint8)
    share = min(1.0, size[1] / bank.base.shape[0])
    shown = (round(bank.base.shape[1] * share / 2) * 2, round(bank.base.shape[0] * share / 2) * 2)
    scale = np.array([shown[0] / bank.base.shape[1], shown[1] / bank.base.shape[0], share], np.float32)
    small = replace(
        bank,
        base=np.asarray(cv2.resize(person_alone(bank.base, matte8), shown, interpolation=cv2.INTER_AREA), np.uint8),
        base_points=(bank.base_points * scale).astype(np.float32),
        matte=np.asarray(cv2.resize(bank.matte, shown, interpolation=cv2.INTER_AREA), np.float32),
    )
    return FaceRenderer(small, alone=True)


def main(given: Sequence[str] | None = None) -> int:
    """Stream one preview; the exit status says as of every step whether another try can help."""
    arguments = arguments_of(given, preview=True)
    stop_cleanly()
    secrets = secrets_of(arguments)
    try:
        store = open_store(arguments.store, arguments.s3_endpoint, arguments.storage_file)
        job = job_of(arguments, store, secrets)
        require_covered(job, secrets, modalities(STEP))
        needed = sum(artifact.size for artifact in job.inputs)
        with workspace(needed, f"preview{job.result_key}") as scratch, os.fdopen(arguments.film_fd, "wb", 0) as film:
            inputs = scratch / "inputs"
            inputs.mkdir()
            fetch_inputs(job, EncryptedStore(store, secrets.data_key, scratch), inputs)

            def tell(rendered: float, took: float) -> None:
                emit(progress=0.5, message=f"{rendered:.2f} {took:.2f}")

            render(inputs, arguments.assets, job.seed, film, tell)
    except BrokenPipeError:
        return 0  # the viewer has seen enough
    except Exception as error:
        event, code = failure_event(error)
        emit(**event)
        return code
    return 0


if __name__ == "__main__":
    set_up("step")
    sys.exit(main())
