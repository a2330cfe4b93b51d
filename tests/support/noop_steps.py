"""A named test double: the step process with tiny stand-ins for the media work.

``MEMORIAL_STEP_COMMAND="python -m tests.support.noop_steps"`` makes every step of a studio run through it, as a
subprocess or as a pod. Permit, key, decryption of every input, sealing of every output, checkpoints, result document,
registry and audit are the real ones: `memorial_tasks.steps.__main__` runs unchanged, only the function that finds a
step's body is another. What is left out is the media: a stand-in writes files of the names that later steps ask for,
with a few bytes of content, in milliseconds and without torch.

Reason: scheduling hundreds of orders, evicting pods and cutting networks must be tried out hundreds of times, and a
real order trains for minutes.

Orders for it come from `tests.support.noop_orders.place`. What an order's material says decides what happens to it:

* a photo whose bytes begin with ``unreadable`` is refused by ``ingest`` (exit 3, `InputRefused`);
* fewer than two photos close the quality gate (``photos.too_few``), and the order ends ``blocked``;
* a photo whose bytes contain ``train S seconds`` makes ``train_face`` work that long (1..99), saving a checkpoint every
  half second; ``train until resumed`` makes it work for two minutes unless a try before it left a checkpoint;
* a photo whose bytes contain ``crash once`` makes ``train_face`` die at its first try without a word.
"""

import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from pydantic import ConfigDict

from memorial_tasks.domain.order import Record
from memorial_tasks.errors import InputRefused, MemorialError, Problem
from memorial_tasks.steps.__main__ import main
from memorial_tasks.steps.code import modalities
from memorial_tasks.steps.contract import STEPS, StepContext

TICK = 0.5


class Params(Record):
    """Whatever the real step takes."""

    model_config = ConfigDict(extra="allow", frozen=True)


def _write(context: StepContext, *names: str, content: bytes = b"") -> None:
    for name in names:
        path = context.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or f"{context.order} {name}".encode())


def _copy(context: StepContext, source: str, target: str) -> None:
    _write(context, target, content=context.file(source).read_bytes())


def ingest(context: StepContext) -> dict[str, Any]:
    """Keep every photo's bytes: they tell the later stand-ins what to do."""
    bad = [path for path in context.files("photo") if path.read_bytes().startswith(b"unreadable")]
    if bad:
        raise InputRefused(
            [
                Problem("photo.unreadable", "the photo cannot be read", "send it again", file=f"photo/{p.name}")
                for p in bad
            ]
        )
    for path in context.files("photo"):
        _copy(context, f"photo/{path.name}", f"photos/{path.stem}.png")
    _write(context, "voice/voice-0001.wav")
    _write(context, "voice/transcripts.json", "ingest.json", content=b"{}")
    return {"photos": len(context.files("photo")), "recorded_s": 1.0}


def quality_gate(context: StepContext) -> dict[str, Any]:
    """Two photos are enough."""
    findings = []
    if len(context.files("photos")) < 2:
        findings.append(
            {"code": "photos.too_few", "severity": "critical", "what": "there are too few photos",
             "remedy": "bring two more photos", "value": 1.0, "limit": 2.0}
        )  # fmt: skip
    report = {"passed": not findings, "findings": findings}
    _write(context, "report.json", "measurements.json", content=json.dumps(report).encode())
    return report


def prepare_face(context: StepContext) -> dict[str, Any]:
    """Hand on what the photos say."""
    said = b"\n".join(path.read_bytes()[:200] for path in context.files("photos"))
    _write(context, "face/bank.json", content=said)
    return {"photos_used": len(context.files("photos"))}


def prepare_voice(context: StepContext) -> dict[str, Any]:
    """One analysed recording."""
    _write(context, "voice/speech.json")
    return {"seconds": 1.0}


def _train(context: StepContext, seconds: float) -> dict[str, Any]:
    """Work for a while in ticks, saving each; a second try goes on where the first was stopped."""
    state = context.checkpoints / "ticks.json"
    done = int(json.loads(state.read_text())["ticks"]) if state.is_file() else 0
    first, wanted = done, int(seconds / TICK)
    while done < wanted:
        time.sleep(TICK)
        done += 1
        state.write_text(json.dumps({"ticks": done}))
        context.save_checkpoint()
        context.progress(done / wanted, f"tick {done} of {wanted}")
    return {"ticks": done, "ticks_before": first}


def train_face(context: StepContext) -> dict[str, Any]:
    """As long as the photos ask for."""
    said = context.file("face/bank.json").read_text(errors="replace")
    mark = context.checkpoints / "crashed"
    if "crash once" in said and not mark.is_file():
        mark.touch()
        context.save_checkpoint()
        sys.stdout.flush()
        raise SystemExit(77)
    found = re.search(r"train ([0-9]{1,2}) seconds", said)
    resumed = any(context.checkpoints.iterdir())
    waits = 120.0 if "train until resumed" in said and not resumed else 0.0
    metrics = _train(context, float(found.group(1)) if found else waits)
    _write(context, "face/model.json")
    return metrics


def train_voice(context: StepContext) -> dict[str, Any]:
    """At once."""
    _write(context, "voice/model.json")
    return _train(context, 0.0)


def direct(context: StepContext) -> dict[str, Any]:
    """The script as it came."""
    _copy(context, "script.json", "plan.json")
    return {"lines": len(json.loads(context.file("script.json").read_bytes()))}


def speak(context: StepContext) -> dict[str, Any]:
    """A word."""
    _write(context, "speech.wav", "timing.json")
    return {"duration": 1.0}


def animate(context: StepContext) -> dict[str, Any]:
    """A picture."""
    _write(context, "portrait.mp4", "matte.png", "score.safetensors")
    return {"frames": 1}


def compose(context: StepContext) -> dict[str, Any]:
    """A film."""
    _write(context, "film.mp4", "poster.png", "subtitles/en-US.srt")
    return {"frames": 1}


def seal(context: StepContext) -> dict[str, Any]:
    """The film again, when the credential to sign it came."""
    if context.signing is None or not context.watermark_key:
        raise MemorialError("no signing credential came with the job", where="seal", remedy="call an engineer")
    _copy(context, "film.mp4", "film.mp4")
    digest = hashlib.sha256(context.file("film.mp4").read_bytes()).hexdigest()
    _write(context, "seal.json", content=json.dumps({"content_sha256": digest}).encode())
    return {"verified": True}


def output_gate(context: StepContext) -> dict[str, Any]:
    """Every film is good."""
    report: dict[str, Any] = {"passed": True, "findings": []}
    _write(context, "report.json", "measurements.json", content=json.dumps(report).encode())
    return report


def package(_context: StepContext) -> dict[str, Any]:
    """Nothing beside the film."""
    return {"made": []}


BODIES: dict[str, Callable[[StepContext], dict[str, Any]]] = {name: globals()[name] for name in STEPS}


def stand_in(step: str) -> ModuleType:
    """A module that looks like ``memorial_tasks.steps.<step>`` to the step process; permits cover what the real one's
    would have to."""
    module = ModuleType(f"noop_{step}")
    module.MODALITIES = modalities(step)  # type: ignore[attr-defined]
    module.Params = Params  # type: ignore[attr-defined]
    module.run = lambda context, _params: BODIES[step](context)  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    sys.exit(main(load=stand_in))
