"""The steps direct, animate and compose over plain files, with a drawn face instead of a trained one."""

import json

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import DirectionPlan
from memorial_tasks.errors import InputRefused
from memorial_tasks.performance.direct import EDITED, direct_script, edited_plan, plan_to_yaml
from memorial_tasks.performance.score import CHANNELS, PerformanceScore
from memorial_tasks.steps import animate, compose, direct
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.video.encode import facts
from memorial_tasks.video.subtitles import read_srt


class DrawnFace:
    """Stands in for the face room: moves the drawn eyes with the gaze and the picture with the jaw."""

    size = (240, 320)

    def __init__(self, photo, matte):
        self.photo, self._matte = photo, matte

    def matte(self):
        return self._matte

    def frames(self, curves, fps, progress):
        assert set(curves) == set(CHANNELS)
        for index, jaw in enumerate(curves["jaw_open"]):
            picture = self.photo.copy()
            cv2.ellipse(picture, (120, 165), (16, 1 + int(14 * jaw)), 0, 0, 360, (90, 30, 30), -1)
            yield picture
            progress((index + 1) / len(curves["jaw_open"]), "drawing")


@pytest.fixture
def context(tmp_path):
    for folder in ("in/face", "out", "checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    seen = []
    made = StepContext(
        "order-1",
        tmp_path / "in",
        tmp_path / "out",
        tmp_path / "checkpoints",
        3,
        lambda share, what: seen.append(share),
    )
    yield made
    assert all(0 <= share <= 1 for share in seen)


@pytest.fixture
def spoken(context, timing, speech_file):
    track = timing(1.4)
    (context.inputs / "timing.json").write_text(track.model_dump_json())
    plan = direct_script([ScriptLine(text=line.text) for line in track.lines], "en-US")
    (context.inputs / "plan.json").write_text(plan.model_dump_json())
    speech_file(context.inputs / "speech.wav", 1.4)
    return track


def test_direct_writes_a_plan_that_can_be_read(context):
    lines = [{"text": "谢谢你们"}, {"text": "慢慢来", "emotion": "calm"}]
    (context.inputs / "script.json").write_text(json.dumps(lines))
    metrics = direct.run(context, direct.Params(language="zh-CN"))
    plan = DirectionPlan.model_validate_json((context.out / "plan.json").read_bytes())
    assert [line.emotion for line in plan.lines] == ["grateful", "calm"]
    found = {"calm": 1, "grateful": 1}
    assert metrics == {"lines": 2, "proposed": 1, "edited": False, "encoder": "", "emotions": found}


def test_direct_keeps_what_a_person_edited_and_proposes_the_rest(context):
    lines = [{"text": "谢谢你们"}, {"text": "慢慢来", "emotion": "calm"}]
    (context.inputs / "script.json").write_text(json.dumps(lines))
    direct.run(context, direct.Params(language="zh-CN"))
    before = DirectionPlan.model_validate_json((context.out / "plan.json").read_bytes())
    text = plan_to_yaml(before).replace("emotion: grateful", "emotion: happy").replace("pace: 0.9", "pace: 1.2")
    edited = edited_plan(text, before)
    (context.inputs / EDITED).write_text(edited.model_dump_json())
    lines[1]["text"] = "不着急"
    (context.inputs / "script.json").write_text(json.dumps(lines))
    metrics = direct.run(context, direct.Params(language="zh-CN"))
    plan = DirectionPlan.model_validate_json((context.out / "plan.json").read_bytes())
    assert plan.lines[0].emotion == "happy"
    assert plan.lines[0].reasons == ("edited by a person",)
    assert plan.lines[1].text == "不着急"
    assert plan.lines[1].reasons == ("marked in the script",), "another text is not what was edited"
    assert metrics["edited"] is True


def test_direct_names_every_field_it_cannot_read(context):
    (context.inputs / "script.json").write_text(json.dumps([{"text": "a", "emotion": "angry"}, {"words": "b"}]))
    with pytest.raises(InputRefused) as refused:
        direct.run(context, direct.Params(language="zh-CN"))
    assert {problem.field for problem in refused.value.problems} >= {"0.emotion", "1"}


def test_metrics_and_messages_carry_no_words_of_the_script(context):
    (context.inputs / "script.json").write_text(json.dumps([{"text": "secret words", "emotion": 5}]))
    with pytest.raises(InputRefused) as refused:
        direct.run(context, direct.Params(language="en-US"))
    assert "secret" not in str(refused.value)


def test_animate_then_compose_make_the_film(context, spoken, drawn, music_file, monkeypatch):
    photo, matte = drawn()
    cv2.imwrite(str(context.inputs / "face/base.png"), photo[..., ::-1])

    def load(folder, alone=False):
        base = cv2.imread(str(folder / "base.png"))[..., ::-1]
        return DrawnFace(np.ascontiguousarray(base), matte)

    monkeypatch.setattr(animate, "load_renderer", load)
    metrics = animate.run(context, animate.Params(size="720p", fps=25))
    score = PerformanceScore.load(context.out / "score.safetensors")
    assert metrics["frames"] == score.frames(25) == facts(context.out / "portrait.mp4").frames
    assert json.loads((context.out / "score.json").read_text())["channels"].keys() == CHANNELS.keys()
    assert {path.name for path in context.inputs.iterdir()} == {"face", "plan.json", "speech.wav", "timing.json"}
    assert np.array_equal(cv2.imread(str(context.inputs / "face/base.png"))[..., ::-1], photo), "the input was changed"

    for name in ("portrait.mp4", "matte.png"):
        (context.out / name).rename(context.inputs / name)
    music_file(context.inputs / "music.wav", 2.0)
    (context.inputs / "subtitles.json").write_text(json.dumps({"zh-CN": ["那天花园里全是阳光，你们都在。"]}))
    metrics = compose.run(context, compose.Params(size="720p", fps=25, subtitles=("en-US", "zh-CN")))
    assert metrics["loudness_lufs"] == pytest.approx(-16, abs=0.3)
    assert metrics["subtitles"] == ["en-US", "zh-CN"]
    (fast,) = metrics["findings"]  # 53 letters in a second and a half: told, with the measure and without the words
    assert (fast["code"], fast["severity"]) == ("subtitles.fast", "info")
    assert fast["value"] > fast["limit"] == 20
    assert "garden" not in json.dumps(metrics)
    assert (facts(context.out / "film.mp4").width, facts(context.out / "film.mp4").height) == (1280, 720)
    assert read_srt(context.out / "subtitles/zh-CN.srt")[0].text.startswith("那天花园里")
    made = {path.relative_to(context.out).as_posix() for path in context.out.rglob("*") if path.is_file()}
    assert made == {
        "film.mp4", "poster.png", "score.safetensors", "score.json", "subtitles/en-US.srt", "subtitles/zh-CN.srt",
    }  # fmt: skip


def test_a_subtitle_language_without_words_is_refused_by_name(context, spoken, portrait):
    cv2.imwrite(str(context.inputs / "matte.png"), portrait[1])
    with pytest.raises(InputRefused, match=r"translation\.zh-CN"):
        compose.run(context, compose.Params(subtitles=("zh-CN",)))


def test_a_missing_input_is_named(context):
    with pytest.raises(InputRefused, match=r"plan\.json"):
        animate.run(context, animate.Params())


def test_unknown_parameters_are_an_error():
    with pytest.raises(ValidationError):
        compose.Params(label="none")
