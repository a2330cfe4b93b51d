"""The examination puts every figure beside the truth and beside its peers."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from drawn import TALKING, bank
from skimage.metrics import structural_similarity as reference

from memorial_tasks.errors import InputRefused
from memorial_tasks.face import evaluate, learn
from memorial_tasks.face import examine as examining
from memorial_tasks.face.bank import Photo, save_bank
from memorial_tasks.face.examine import examine, flicker, learning_curve, structural_similarity, without_critic
from memorial_tasks.face.identity import equal_error, likeness_features
from memorial_tasks.face.learn import learn_face
from memorial_tasks.face.recipes import recipe
from memorial_tasks.face.render import FaceRenderer

BRIEF = replace(recipe("tiny"), steps=24, warm_up=12, evaluate_every=12)


def quiet(fraction: float, message: str) -> None:
    """No progress shown."""


class NoFace:
    """Stands in for the landmark models, which are files fetched at set-up: it finds nobody."""

    def detect(self, rgb: object) -> list[object]:
        return []


def test_similarity_is_that_of_the_paper() -> None:
    draw = np.random.default_rng(1)
    a = draw.integers(0, 255, (3, 48, 64), dtype=np.uint8)
    b = np.clip(a.astype(int) + draw.integers(-30, 30, a.shape), 0, 255).astype(np.uint8)
    grey_a, grey_b = a.astype(float).mean(0), b.astype(float).mean(0)
    wanted = reference(grey_a, grey_b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert structural_similarity(a, b) == pytest.approx(wanted, abs=2e-3)
    assert structural_similarity(a, a) == pytest.approx(1.0)


def test_an_examined_face_stands_between_its_peers_and_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(learn, "recipe", lambda name: BRIEF)
    save_bank(bank(TALKING), [], tmp_path)
    learn_face(tmp_path, tmp_path, "tiny", 5, tmp_path / "state", lambda: None, quiet)
    document = examine(tmp_path, tmp_path / "out", NoFace(), 1, quiet)  # type: ignore[arg-type]
    rows = document["rows"]
    assert rows["truth"]["ssim"] == pytest.approx(1.0)
    assert rows["truth"]["sharpness"] == pytest.approx(1.0)
    assert rows["still"]["mouth_eye_psnr"] < rows["ours"]["mouth_eye_psnr"] < rows["truth"]["mouth_eye_psnr"]
    assert document["identity"]["faces_found"] == 0
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["rows"] == rows
    assert (tmp_path / "out" / "evaluation.png").stat().st_size > 2000


def test_nothing_can_be_judged_when_nothing_was_kept_apart(tmp_path: Path) -> None:
    save_bank(bank([{}]), [], tmp_path)
    learn_face(tmp_path, tmp_path, "tiny", 5, tmp_path / "state", lambda: None, quiet)
    with pytest.raises(InputRefused, match="kept apart"):
        examine(tmp_path, tmp_path / "out", NoFace(), 1, quiet)  # type: ignore[arg-type]


def test_a_face_that_jumps_flickers_more_than_one_that_moves_evenly() -> None:
    steady = FaceRenderer(bank([{}]))

    class Jumping:
        def close_up(self, values: dict[str, float]) -> object:
            shaken = round(values["jaw_open"] * 6) % 2
            return steady.close_up({**values, "head_yaw": 3.0 * shaken})

    found = flicker(Jumping(), steady, 6)  # type: ignore[arg-type]
    assert found["ours"] > 2 * found["warp"]


def test_the_learning_curve_ends_with_all_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    people = bank(TALKING)
    monkeypatch.setattr(examining, "CURVE", (4,))
    rows = learning_curve(people, replace(BRIEF, steps=6, warm_up=6), 1, quiet)
    assert [row["photos"] for row in rows] == [4.0, float(len(TALKING) - len(examining.held_out(people)))]


def test_what_the_discriminator_is_worth_is_told_by_a_training_that_never_meets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans: list[object] = []
    train = examining.train

    def seen(pairs: object, plan: object, *rest: object) -> object:
        plans.append(plan)
        return train(pairs, plan, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(examining, "train", seen)
    alone = without_critic(bank(TALKING), replace(BRIEF, steps=6, warm_up=3), 1, quiet)
    assert set(alone) == {"mouth_eye_psnr", "sharpness"}
    assert [plan.warm_up for plan in plans] == [6]  # type: ignore[attr-defined]


def test_a_face_is_told_from_other_people_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """The landmark models are files fetched at set-up: the double knows the face that is to be found."""
    person = bank(TALKING[:4])
    crop, points = person.crops[0], person.points[0]
    made = Photo("made", crop, points, 4.0, 100.0, False, 1.0, likeness_features(crop, points))
    monkeypatch.setattr(examining, "measure", lambda models, frame, name: made)
    renderer = FaceRenderer(person)
    broad = points.copy()
    broad[:, 0] = 192 + (broad[:, 0] - 192) * np.where(np.abs(broad[:, 0] - 192) > 60, 1.4, 1.0)
    noise = np.random.default_rng(1).integers(0, 255, crop.shape, dtype=np.uint8)
    stranger, twin = (likeness_features(noise, broad), broad), (made.features, points)

    def against(*people: Any) -> Any:
        return examining.identity(person, renderer, NoFace(), people)["others"]  # type: ignore[arg-type]

    assert against() is None
    assert against([stranger, stranger]) == {"people": 1, "eer": 0.0, "percentile": 100.0}
    like = against([twin], [stranger])
    assert like["people"] == 2
    assert like["eer"] > 0.2, "somebody who looks just like the person cannot be told from them"
    assert like["percentile"] == 50.0


def test_somebody_elses_photo_moved_alike_is_farther_from_the_truth() -> None:
    person = bank(TALKING)
    base = person.base_index
    kept = examining.held_out(person)
    learn_from = [i for i in person.teachers if i not in kept]
    exam = examining.make_pairs(person, 0.5, [base], learn_from, kept)
    painted = np.random.default_rng(1).integers(60, 200, (24, 24, 3), dtype=np.uint8)
    other = np.asarray(cv2.resize(painted, person.crops[base].shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    stranger = Photo("other", other, person.points[base], 4.0, 100.0, False, 1.0, np.zeros(1, np.float32))
    bent = examining.wrong_person(person, stranger, 0.5, learn_from, kept)
    for name, pairs in bent.items():
        assert np.array_equal(pairs.targets, exam[name].targets), "judged on the same photos"

    def figure(found: dict[str, Any]) -> float:
        return evaluate.score({name: pairs.inputs[:, :3] for name, pairs in found.items()}, exam).psnr

    assert figure(bent) < figure(exam) - 2


def test_the_picture_has_a_row_for_everything_that_was_judged(tmp_path: Path) -> None:
    """Ground truth above, somebody else's photo below; each row in a grey of its own."""
    tile = np.zeros((2, 3, 8, 16), np.uint8)
    exam = {"mouth": SimpleNamespace(targets=tile)}
    for rows in (examining.ROWS, examining.ROWS[:-1]):
        made = {name: {"mouth": tile + np.uint8(50 * number)} for number, name in enumerate(rows)}
        examining._sheet(made, exam, tmp_path / "sheet.png")  # type: ignore[arg-type]
        sheet = cv2.imread(str(tmp_path / "sheet.png"))
        assert sheet.shape[:2] == (192 * len(rows), 2 * 192)
        assert [int(grey) for grey in sheet[96::192, 96, 0]] == [50 * number for number in range(len(rows))]


def test_the_equal_error_rate_is_that_of_two_overlapping_groups() -> None:
    assert equal_error([0.1, 0.2, 0.3], [0.6, 0.7]) == 0.0
    assert equal_error([0.1, 0.2, 0.3, 0.8], [0.4, 0.7, 0.9, 1.0]) == pytest.approx(0.25)
    assert equal_error([0.5] * 4, [0.5] * 4) == pytest.approx(0.5)
    assert equal_error([0.9], [0.1]) == pytest.approx(1.0)
