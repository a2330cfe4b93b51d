"""Choosing photos: the right base, no twins, no strangers; and files that can be trusted."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import TALKING, bank, mesh, paint

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Severity
from memorial_tasks.errors import InputRefused, ModelRefused
from memorial_tasks.face import bank as banks
from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.bank import Photo, _assemble, base_score, load_bank, match_colours, save_bank, select
from memorial_tasks.face.identity import likeness_features
from memorial_tasks.face.landmarks import DIGESTS, FaceModels
from memorial_tasks.face.matte import clean_plate, without_gaps
from memorial_tasks.face.mouth import MouthExemplar, choose, drawn_exemplar


def photo(name: str, **pose: float) -> Photo:
    drawn = bank([pose])
    crop, points = drawn.crops[0], drawn.points[0]
    return Photo(name, crop, points, 4.0, 100.0, False, 1.0, likeness_features(crop, points))


def test_the_base_is_frontal_with_closed_mouth_and_open_eyes() -> None:
    photos = [photo("laughing", jaw_open=0.8), photo("calm"), photo("asleep", blink_left=1.0, blink_right=1.0)]
    assert max(photos, key=base_score).name == "calm"


def test_near_duplicates_are_left_out_with_a_finding_but_an_open_mouth_is_not_one() -> None:
    chosen, findings = select([photo("a"), photo("b"), photo("c", jaw_open=0.6)], 10)
    assert {p.name for p in chosen} in ({"a", "c"}, {"b", "c"})
    assert [f.code for f in findings] == ["face.duplicate"]


def test_a_strangers_photo_is_left_out() -> None:
    family = [photo(f"p{i}", **pose) for i, pose in enumerate(TALKING[:6])]
    rng = np.random.default_rng(1)
    other = photo("stranger")
    points = other.points.copy()
    points[:, 0] = 192 + (points[:, 0] - 192) * 1.0
    for index in (234, 454, 93, 323, 172, 397, 127, 356):
        points[index, 0] = 192 + (points[index, 0] - 192) * 1.35
    for index in (4, 2, 98, 327):
        points[index, 1] += 22
    crop = np.clip(other.crop + rng.normal(0, 40, other.crop.shape), 0, 255).astype(np.uint8)
    stranger = Photo("stranger", crop, points, 4.0, 100.0, False, 1.0, likeness_features(crop, points))
    chosen, findings = select([*family, stranger], 20)
    assert "stranger" not in {p.name for p in chosen}
    assert [(f.code, f.material) for f in findings if f.code == "face.stranger"] == [("face.stranger", "stranger")]


def test_too_many_photos_are_thinned_to_the_most_varied() -> None:
    photos = [photo(f"p{i}", **pose) for i, pose in enumerate(TALKING)]
    chosen, findings = select(photos, 3)
    assert len(chosen) == 3
    assert max(p.opening for p in chosen) > 0.15
    assert any(f.code == "face.surplus" for f in findings)


def test_no_usable_photo_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputRefused) as caught:
        _assemble(None, [], [], 5, lambda name: paint(mesh()))  # type: ignore[arg-type]
    assert caught.value.problems[0].code == "face.no_usable_photo"
    assert caught.value.problems[0].remedy


def test_a_bank_survives_its_files(tmp_path: Path) -> None:
    before = bank(TALKING[:3])
    save_bank(before, [], tmp_path)
    after = load_bank(tmp_path)
    assert np.array_equal(before.crops, after.crops)
    assert np.array_equal(before.base, after.base)
    assert after.names == before.names
    (tmp_path / "bank.json").write_text('{"kind": "face-bank", "version": 99}')
    with pytest.raises(ModelRefused):
        load_bank(tmp_path)


def test_missing_and_changed_model_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="memorial init"):
        FaceModels.load(tmp_path)
    for name in DIGESTS:
        (tmp_path / name).write_bytes(b"not the model")
    with pytest.raises(ModelRefused, match="sha256"):
        FaceModels.load(tmp_path)


def test_grey_and_sideways_photos_lend_nothing() -> None:
    drawn = bank(TALKING[:4])
    drawn.facts["photos"][1]["grey"] = True
    drawn.facts["photos"][2]["yaw"] = banks.SIDEWAYS + 1
    assert drawn.teachers == [0, 3]


def test_colours_are_brought_to_the_base_photos() -> None:
    drawn = bank([{}])
    crop, points = drawn.crops[0], drawn.points[0]
    tinted = (crop * np.array([0.7, 0.8, 1.0])).astype(np.uint8)
    mended = match_colours(tinted, points, crop, points)
    middle = np.s_[150:250, 120:260]
    assert np.abs(mended[middle].mean(axis=(0, 1)) - crop[middle].mean(axis=(0, 1))).max() < 6


def test_mouth_exemplars_change_smoothly_with_the_opening() -> None:
    drawn = bank(TALKING)
    mouths = [
        MouthExemplar.of(c, p) for c, p in zip(drawn.crops, drawn.points, strict=True) if geo.mouth_opening(p) > 0.05
    ]
    assert len(mouths) >= 3
    last: dict[int, float] = {}
    for opening in np.linspace(0.06, 0.28, 60):
        now = {id(e): w for w, e in choose(mouths, float(opening), 0.7)}
        assert sum(now.values()) == pytest.approx(1.0, abs=0.05)
        if last:
            jump = max(abs(now.get(k, 0) - last.get(k, 0)) for k in {*now, *last})
            assert jump < 0.35
        last = now


def test_the_clean_plate_fills_in_the_person_from_the_background() -> None:
    picture = np.full((80, 80, 3), 120, np.uint8)
    picture[20:60, 20:60] = 250
    matte = np.zeros((80, 80), np.float32)
    matte[18:62, 18:62] = 1
    assert np.abs(clean_plate(picture, matte).astype(int) - 120).max() <= 2


def test_pose_tells_the_turn_of_the_head() -> None:
    points = mesh().copy()
    rest = geo.pose(points)
    angle = np.radians(10)
    turned = points.copy()
    centre = points.mean(axis=0)
    x, z = points[:, 0] - centre[0], points[:, 2] - centre[2]
    turned[:, 0], turned[:, 2] = (
        centre[0] + x * np.cos(angle) - z * np.sin(angle),
        centre[2] + x * np.sin(angle) + z * np.cos(angle),
    )
    assert geo.pose(turned).yaw - rest.yaw == pytest.approx(10, abs=0.5)


def test_a_photo_whose_lips_are_hardly_apart_shows_no_teeth() -> None:
    """Opened wide, the slit between such lips would be a flat dark hole; there the inside is drawn."""
    slit, open_wide = bank([{"jaw_open": 0.22}]), bank([{}, {"jaw_open": 0.5}])
    assert 0.055 < geo.mouth_opening(slit.points[0]) < 0.09
    assert not slit.shows_teeth
    assert open_wide.shows_teeth
    mouths = [*slit.mouths(), drawn_exemplar(slit.base, slit.base_points)]
    assert [e.own for _, e in choose(mouths, 0.06, 0.5)] == [True]
    assert [e.own for _, e in choose(mouths, 0.15, 0.5)] == [False]


def test_a_wall_seen_through_loose_hair_is_not_the_person_but_a_shirt_of_its_colour_is() -> None:
    points, wall, hair = mesh(), (40, 190, 225), (60, 46, 38)
    oval = topo.polygon(points, topo.OVAL)
    left, right, top, chin = (int(v) for v in (*oval[:, 0][[27, 9]], oval[:, 1].min(), oval[:, 1].max()))
    left, right = min(left, right), max(left, right)
    picture = np.full((384, 384, 3), wall, np.uint8)
    picture[max(0, top - 20) : 384, left - 45 : right + 45] = hair
    cv2.fillPoly(picture, [np.round(oval).astype(np.int32)], (205, 160, 132))
    gap = np.s_[chin - 60 : chin - 25, right + 12 : right + 30]
    picture[gap] = wall
    picture[chin + 20 :, left - 20 : right + 20] = wall  # a shirt
    matte = np.zeros((384, 384), np.float32)
    matte[max(0, top - 20) : 384, left - 45 : right + 45] = 1
    opened = without_gaps(picture, matte, points)
    assert opened[chin - 50 : chin - 35, right + 17 : right + 25].max() < 0.1
    assert np.array_equal(opened[chin + 22 :], matte[chin + 22 :])
    thin = picture.copy()
    loose = np.s_[chin - 110 : chin - 70, right + 33 : right + 43]
    thin[loose] = 0.7 * np.array(hair) + 0.3 * np.array(wall)  # strands thinner than a pixel
    assert 0.15 < without_gaps(thin, matte, points)[chin - 100 : chin - 80, right + 36 : right + 40].mean() < 0.7
    elsewhere = np.abs(opened - matte)
    elsewhere[chin - 66 : chin - 19, right + 6 : right + 36] = 0
    assert elsewhere.max() < 0.05


@pytest.mark.parametrize(("measured", "copies"), [(("a", "b", "c"), ()), (("a",), ("b", "c")), (("a", "b"), ("c",))])
def test_several_photos_that_are_all_one_picture_are_refused_by_name(
    measured: tuple[str, ...], copies: tuple[str, ...]
) -> None:
    """Whether the quality gate saw it before or the bank sees it itself."""
    with pytest.raises(InputRefused) as caught:
        _assemble(None, [photo(n) for n in measured], [], 5, lambda name: paint(mesh()), {}, copies)  # type: ignore[arg-type]
    problem = caught.value.problems[0]
    assert (problem.code, problem.file) == ("face.all_same", "a, b, c")
    assert "send it once" in problem.remedy


def test_one_photo_or_one_that_differs_is_not_all_the_same() -> None:
    faceless = Finding(code="face.none", severity=Severity.WARNING, material="x", what="no face was found", remedy="")
    one, twin, other = photo("a"), photo("b"), photo("c", jaw_open=0.6)
    twins = select([one, twin], 5)[1]
    banks._not_all_same([one], [], [], ())
    banks._not_all_same([one, twin], [], twins, ())
    banks._not_all_same([one, twin, other], [], select([one, twin, other], 5)[1], ())
    banks._not_all_same([one, twin], [faceless], twins, ("d",))
    with pytest.raises(InputRefused):
        banks._not_all_same([one, twin], [], twins, ("d",))
