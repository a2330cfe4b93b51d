"""The steps around the face: what they refuse, and what they pass on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import bank

from memorial_tasks.errors import InputRefused
from memorial_tasks.face import geometry as geo
from memorial_tasks.face.bank import PhotoBank
from memorial_tasks.steps import evaluate_face
from memorial_tasks.steps.prepare_face import ENLARGED, Params, _large_enough


def shown_at(times: float) -> PhotoBank:
    """The drawn person, head and shoulders, of so few pixels that 1080p shows them `times` as large."""
    drawn = bank([{}])
    matte = np.zeros(drawn.matte.shape, np.float32)
    matte[60:300, 120:260] = 1
    matte[300:, 40:340] = 1  # shoulders, so that none are drawn
    shown = geo.interocular(drawn.base_points) * (1080 * 0.885 + 2) / (len(matte) - 60)
    photos = [drawn.facts["photos"][0] | {"eye_distance": shown / times}]
    return replace(drawn, matte=matte, facts={"photos": photos})


@pytest.mark.parametrize(("times", "size"), [(4.3, "1080p"), (4.3, "720p"), (2.4, "2160p"), (7.0, "720p")])
def test_a_face_that_is_shown_a_few_times_as_large_is_let_through(times: float, size: Any) -> None:
    _large_enough(shown_at(times), Params(size=size))


@pytest.mark.parametrize(
    ("times", "size", "told", "remedy"),
    [
        (4.3, "2160p", "8.6 times", "ask for 1080p, or bring a closer portrait"),
        (6.0, "1080p", "6.0 times", "ask for 720p, or bring a closer portrait"),
        (9.0, "720p", "6.0 times", "bring a closer portrait"),
    ],
)
def test_a_face_too_small_for_the_size_asked_for_is_refused_with_a_size_that_fits(
    times: float, size: Any, told: str, remedy: str
) -> None:
    with pytest.raises(InputRefused) as caught:
        _large_enough(shown_at(times), Params(size=size))
    problem = caught.value.problems[0]
    assert (problem.code, problem.field, problem.file) == ("face.too_small_for_size", "deliver.size", "p0")
    assert told in problem.what
    assert problem.remedy.startswith(remedy)


def test_an_upright_film_that_shows_the_face_larger_can_be_left_out() -> None:
    drawn = shown_at(0.98 * ENLARGED)
    _large_enough(drawn, Params(size="1080p"))
    with pytest.raises(InputRefused) as caught:
        _large_enough(drawn, Params(size="1080p", upright=True))
    assert caught.value.problems[0].field == "deliver.formats"
    assert "leave the upright film out" in caught.value.problems[0].remedy


def test_the_examination_passes_on_all_that_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it finds is tested where it is made; here only that nothing is dropped, and that the base's people are
    asked for."""
    found = {"config": "tiny", "held_out": 2, "rows": {}, "identity": {}, "flicker": {}, "learning_curve": [{}],
             "without_critic": {"mouth_eye_psnr": 30.0, "sharpness": 0.9}}  # fmt: skip
    given: list[Any] = []
    strangers: list[Any] = []

    def examine(*arguments: Any) -> dict[str, Any]:
        given.append(arguments[-2])
        strangers.append(arguments[-1])
        return found

    monkeypatch.setattr("memorial_tasks.face.examine.examine", examine)
    monkeypatch.setattr("memorial_tasks.face.landmarks.FaceModels.load", lambda assets: None)
    monkeypatch.setattr("memorial_tasks.face.base.people_of", lambda path: ["people of " + path.name])

    class Context:
        inputs = out = assets = tmp_path
        seed = 1
        base: Path | None = None

        def file(self, name: str) -> Path:
            return tmp_path / name

        def optional(self, name: str) -> Path | None:
            return self.base

        def progress(self, share: float, what: str) -> None: ...

    context = Context()
    assert evaluate_face.run(context, evaluate_face.Params(curve=True)) == found  # type: ignore[arg-type]
    context.base = tmp_path / "base.safetensors"
    evaluate_face.run(context, evaluate_face.Params())  # type: ignore[arg-type]
    assert given == [[], ["people of base.safetensors"]]
    assert all(one.shape == (1140, 912, 3) for one in strangers), "and a photo of somebody else"
