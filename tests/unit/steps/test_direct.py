"""The step that plans how a script is spoken."""

import json
from pathlib import Path

from memorial_tasks.steps import direct
from memorial_tasks.steps.contract import StepContext


def test_words_inside_a_tag_are_no_reason_for_an_emotion(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    lines = [{"text": 'I took the <emphasis level="strong">bus</emphasis>.'}, {"text": "You were strong and brave."}]
    (tmp_path / "in/script.json").write_text(json.dumps(lines))
    context = StepContext("order-1", tmp_path / "in", tmp_path / "out", tmp_path, 5, lambda share, what: None)
    direct.run(context, direct.Params(language="en-US"))
    plan = json.loads((tmp_path / "out/plan.json").read_text("utf-8"))
    assert [line["emotion"] for line in plan["lines"]] == ["neutral", "proud"]
    assert plan["lines"][0]["text"] == lines[0]["text"]
