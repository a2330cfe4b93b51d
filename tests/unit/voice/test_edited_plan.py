"""A person edits the plan as YAML, and what is spoken and played changes: the real steps, a voice that was trained."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile
from numpy.typing import NDArray

from memorial_tasks.domain.timing import DirectionPlan, SpeechTiming
from memorial_tasks.performance.direct import EDITED, edited_plan, plan_to_yaml
from memorial_tasks.performance.perform import perform
from memorial_tasks.steps import direct, speak
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.voice.train import Trained

LINES = [{"text": "We are all at home."}, {"text": "We are all at home.", "emotion": "sad", "intensity": 0.9}]


@pytest.fixture
def house(tmp_path: Path, trained: Trained) -> Callable[[str], StepContext]:
    def context(name: str) -> StepContext:
        root = tmp_path / name
        (root / "in/voice").mkdir(parents=True)
        (root / "out").mkdir()
        (root / "in/script.json").write_text(json.dumps(LINES))
        trained.model.save(root / "in/voice/model.safetensors")
        return StepContext("order-1", root / "in", root / "out", root, 5, lambda share, what: None)

    return context


def _made(context: StepContext) -> tuple[DirectionPlan, SpeechTiming, NDArray[np.float32], int]:
    """The steps direct and speak, as they follow each other."""
    direct.run(context, direct.Params(language="en-US"))
    (context.out / "plan.json").rename(context.inputs / "plan.json")
    speak.run(context, speak.Params())
    sound, rate = soundfile.read(context.out / "speech.wav", dtype="float32")
    plan = DirectionPlan.model_validate_json((context.inputs / "plan.json").read_bytes())
    return plan, SpeechTiming.model_validate_json((context.out / "timing.json").read_bytes()), sound, rate


def _measured(made: tuple[DirectionPlan, SpeechTiming, NDArray[np.float32], int], index: int) -> dict[str, float]:
    """What is heard and seen of one line."""
    plan, timing, sound, rate = made
    line = timing.lines[index]
    part = np.ascontiguousarray(sound[int(line.start * rate) : int(line.end * rate)], np.float64)
    hertz = pyworld.harvest(part, rate, f0_floor=60, f0_ceil=400)[0]
    score = perform(timing, sound, rate, plan, 5)
    seen = slice(int((line.start + score.lead_in) * 100), int((line.end + score.lead_in) * 100))
    return {
        "semitones": float(12 * np.log2(np.median(hertz[hertz > 0]) / 100)),
        "seconds": line.end - line.start,
        "smile": float(score.curves["smile"][seen].mean()),
    }


def test_an_edited_emotion_is_heard_and_seen_and_the_other_line_stays(house: Callable[[str], StepContext]) -> None:
    before = _made(house("before"))
    page = plan_to_yaml(before[0])
    head, line = page.split("- index: 1", 1)
    line = line.replace("emotion: sad", "emotion: happy").replace(
        f"pitch_shift: {before[0].lines[1].pitch_shift}", "pitch_shift: 3.0"
    ).replace(f"pace: {before[0].lines[1].pace}", "pace: 1.15")  # fmt: skip
    plan = edited_plan(head + "- index: 1" + line, before[0])
    context = house("after")
    (context.inputs / EDITED).write_text(plan.model_dump_json())
    after = _made(context)
    assert after[0].lines[1].emotion == "happy"
    assert after[0].lines[1].reasons == ("edited by a person",)
    old, new = _measured(before, 1), _measured(after, 1)
    assert new["semitones"] > old["semitones"] + 2, "the voice rises"
    assert new["seconds"] < 0.9 * old["seconds"], "it speaks faster"
    assert new["smile"] > old["smile"] + 0.2, "the corners of the mouth follow"
    first, again = _measured(before, 0), _measured(after, 0)
    assert again["seconds"] == pytest.approx(first["seconds"], abs=0.05), "the line nobody touched"
    assert again["semitones"] == pytest.approx(first["semitones"], abs=0.5)
