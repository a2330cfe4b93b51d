"""The preview's picture and sound: a stream that plays, with its label on every picture."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from memorial_tasks.domain.order import ScriptLine
from memorial_tasks.domain.timing import LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.performance.direct import direct_script
from memorial_tasks.provenance import label
from memorial_tasks.settings import Settings
from memorial_tasks.steps import preview
from memorial_tasks.steps.preview import FPS, SIZE, render


class Still:
    """Stands in for the face, whose bank takes seconds to make: a grey oval that does not move."""

    def matte(self):
        return np.asarray(255 * (self._far() < 1), np.uint8)

    def frames(self, curves, fps):
        picture = np.where(self._far()[..., None] < 1, 150, 40).astype(np.uint8).repeat(3, axis=2)
        for _ in curves["jaw_open"]:
            yield picture

    def _far(self):
        y, x = np.mgrid[0:360, 0:300]
        return np.hypot((x - 150) / 100, (y - 220) / 190)


@pytest.fixture
def spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not (Settings().assets_dir / label.FONT).is_file():
        pytest.skip("the fonts are not set up: run `make setup`")
    line = LineTime(index=0, text="a", language=Language.EN_US, emotion=Emotion.WARM, intensity=0.5, start=0.2, end=0.9)
    timing = SpeechTiming(
        sample_rate=24000, duration=1.0, lines=(line,), words=(WordTime(text="a", start=0.2, end=0.9),),
        phones=(PhoneTime(phone="AA", start=0.2, end=0.9),),
    )  # fmt: skip
    (tmp_path / "timing.json").write_text(timing.model_dump_json())
    (tmp_path / "plan.json").write_text(direct_script([ScriptLine(text="a")], "en-US").model_dump_json())
    wave = 0.1 * np.sin(np.arange(24000) / 24000 * 2 * np.pi * 140)
    soundfile.write(tmp_path / "speech.wav", wave, 24000, "PCM_16")
    monkeypatch.setattr(preview, "load_renderer", lambda folder, size: Still())
    return tmp_path


def test_the_film_is_a_stream_with_its_label_on_every_picture(spoken: Path) -> None:
    import av

    film, told = io.BytesIO(), []
    render(spoken, Settings().assets_dir, 0, film, lambda rendered, took: told.append((rendered, took)))
    plan = label.layout(Settings().assets_dir, *SIZE)
    with av.open(io.BytesIO(film.getvalue())) as container:
        shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(shown) == round((0.8 + 1.0 + 1.5) * FPS)
    assert min(label.line_score(picture, plan.corner) for picture in shown[::8]) >= label.SEEN
    assert told[-1][0] == pytest.approx(len(shown) / FPS)
