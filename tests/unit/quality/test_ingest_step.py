"""Ingest and quality gate as steps: originals in, one form out, ids kept, an answer instead of an exception."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from memorial_tasks.domain.finding import GateReport
from memorial_tasks.errors import InputRefused
from memorial_tasks.steps import ingest, quality_gate
from memorial_tasks.steps.contract import StepContext


@pytest.fixture
def context(tmp_path: Path) -> Callable[[str, str], StepContext]:
    def make(inputs: str, out: str) -> StepContext:
        (tmp_path / out).mkdir(exist_ok=True)
        return StepContext("o-1", tmp_path / inputs, tmp_path / out, tmp_path / "ck", 0, lambda fraction, message: None)

    return make


@pytest.fixture
def originals(tmp_path: Path, photo: Callable[..., Any], speech: Callable[..., Any]) -> Path:
    folder = tmp_path / "in"
    for kind in ("photo", "voice", "background", "music", "transcript"):
        (folder / kind).mkdir(parents=True)
    for number in range(1, 4):
        Image.fromarray(photo((600, 400), span=80, seed=number)).save(folder / "photo" / f"photo-000{number}.png")
    for number, seconds in ((1, 12.0), (2, 14.0)):
        soundfile.write(folder / "voice" / f"voice-000{number}.flac", speech(seconds, 44_100, number), 44_100)
    Image.fromarray(photo(faces=0)).save(folder / "background" / "background-0001.jpg")
    soundfile.write(folder / "music" / "music-0001.wav", 0.1 * np.ones((4800, 1)), 48_000)
    (folder / "transcript" / "voice.json").write_text(json.dumps({"voice-0001": "a b", "voice-0009": "lost"}))
    return folder


def test_everything_comes_out_in_one_form_under_its_id(originals: Path, context: Any) -> None:
    step = context("in", "out")
    metrics = ingest.run(step, ingest.Params(language="en-US"))
    names = sorted(path.relative_to(step.out).as_posix() for path in step.out.rglob("*") if path.is_file())
    assert names == [
        "background.png", "ingest.json", "music.wav", "photos/photo-0001.png", "photos/photo-0002.png",
        "photos/photo-0003.png", "voice/transcripts.json", "voice/voice-0001.wav", "voice/voice-0002.wav",
    ]  # fmt: skip
    assert metrics["photos"] == 3
    assert metrics["recorded_s"] == pytest.approx(26, abs=0.2)
    voice = soundfile.info(step.out / "voice" / "voice-0001.wav")
    assert (voice.samplerate, voice.channels, voice.subtype) == (24_000, 1, "PCM_16")
    music = soundfile.info(step.out / "music.wav")
    assert (music.samplerate, music.channels) == (48_000, 2)
    assert json.loads((step.out / "voice" / "transcripts.json").read_text()) == {"voice-0001": "a b"}


def test_the_record_of_ingest_holds_numbers_only(originals: Path, context: Any) -> None:
    step = context("in", "out")
    ingest.run(step, ingest.Params(language="en-US"))
    record = json.loads((step.out / "ingest.json").read_text())
    assert record["voice"]["voice-0001"]["source_rate"] == 44_100
    assert all(
        isinstance(value, int | float) for kind in record.values() for one in kind.values() for value in one.values()
    )


def test_every_bad_original_is_named_at_once(originals: Path, context: Any) -> None:
    (originals / "photo" / "photo-0001.png").write_bytes(b"no picture")
    (originals / "voice" / "voice-0002.flac").write_bytes(b"")
    with pytest.raises(InputRefused) as caught:
        ingest.run(
            context("in", "out"),
            ingest.Params(language="en-US", materials=({"name": "photo/photo-0009.png", "kind": "photo"},)),
        )
    assert {problem.file for problem in caught.value.problems} == {
        "photo/photo-0001.png", "voice/voice-0002.flac", "photo/photo-0009.png",
    }  # fmt: skip


class Models:
    """Stands for `FaceModels`: `load` gives the double."""

    finder: Any = None

    @classmethod
    def load(cls, assets: Path) -> Any:
        return cls.finder


@pytest.mark.parametrize(("keep", "passed"), [(2, True), (0, False)])
def test_the_gate_answers_and_does_not_raise(
    originals: Path, context: Any, finder: Any, monkeypatch: pytest.MonkeyPatch, keep: int, passed: bool
) -> None:
    for path in sorted((originals / "voice").glob("*.flac"))[keep:]:
        path.unlink()
    Models.finder = finder
    monkeypatch.setattr(quality_gate, "FaceModels", Models)
    monkeypatch.setattr(quality_gate, "run_gate", _calibrated_for_drawings(quality_gate.run_gate))
    ingest.run(context("in", "out"), ingest.Params(language="en-US"))
    step = context("out", "gate")
    metrics = quality_gate.run(step, quality_gate.Params(language="en-US"))
    report = GateReport.model_validate_json((step.out / "report.json").read_text())
    assert metrics["passed"] is report.passed is passed
    assert ("voice_set.too_little" in {finding.code for finding in report.findings}) is not passed
    measured = json.loads((step.out / "measurements.json").read_text())
    assert set(measured["photos"]) == {"photo-0001", "photo-0002", "photo-0003"}
    assert (step.out / "docs.tar.gz").stat().st_size > 10_000


def _calibrated_for_drawings(run_gate: Any) -> Any:
    """The drawn faces of the tests are as smooth as a blurred photo: count them as usable."""

    def run(gate: str, tables: dict[str, Any], docs: Path) -> GateReport:
        tables["photo_set"]["all"]["usable"] = tables["photo_set"]["all"]["total"]
        report: GateReport = run_gate(gate, tables, docs)
        return report

    return run


def test_what_is_not_remade_is_not_asked_for(originals: Path, context: Any) -> None:
    ingest.run(context("in", "out"), ingest.Params(language="en-US"))
    step = context("out", "gate")
    metrics = quality_gate.run(step, quality_gate.Params(language="en-US", has_face=False))
    assert metrics["passed"]
    assert not any(finding["code"].startswith("photo") for finding in metrics["findings"])


def test_the_sound_of_a_clip_to_be_shown_is_kept_beside_its_picture(originals: Path, context: Any) -> None:
    (originals / "interlude").mkdir()
    clock = np.arange(44_100) / 44_100
    with av.open(str(originals / "interlude" / "interlude-0001.mp4"), "w") as box:
        picture = box.add_stream("mpeg4", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = box.add_stream("aac", rate=44_100, layout="mono")
        for _ in range(25):
            box.mux(picture.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")))
        wave = (0.3 * np.sin(2 * np.pi * 440 * clock)).astype(np.float32)[None]
        heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        heard.sample_rate = 44_100
        box.mux([*sound.encode(heard), *sound.encode(None), *picture.encode(None)])
    Image.new("RGB", (600, 800), (120, 90, 60)).save(originals / "interlude" / "interlude-0002.png")
    step = context("in", "out")
    ingest.run(step, ingest.Params(language="en-US"))
    made = sorted(path.name for path in (step.out / "interludes").iterdir())
    assert made == ["interlude-0001.mkv", "interlude-0001.wav", "interlude-0002.png"]
    kept = soundfile.info(step.out / "interludes" / "interlude-0001.wav")
    assert (kept.samplerate, kept.channels) == (48_000, 2)
    assert kept.duration == pytest.approx(1.0, abs=0.1)
