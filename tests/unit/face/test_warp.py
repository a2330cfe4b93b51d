"""Bending a photo: nothing tears, nothing folds, lips close, what does not move stays untouched."""

import cv2
import numpy as np
import pytest
from drawn import SIDE, bank, mesh, paint

from memorial_tasks.errors import InputRefused
from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.matte import without_spill
from memorial_tasks.face.render import FaceRenderer
from memorial_tasks.face.rig import WIDEST, Rig
from memorial_tasks.face.surface import build_surface, clear_rims
from memorial_tasks.face.warp import Region, label_map, source_map, triangle_maps


@pytest.fixture(scope="module")
def rig() -> Rig:
    points = mesh()
    return Rig(build_surface(points, SIDE, SIDE), points)


@pytest.fixture(scope="module")
def renderer() -> FaceRenderer:
    return FaceRenderer(bank([{}, {"jaw_open": 0.7}]))


@pytest.mark.parametrize("opening", [0.0, 0.05, 0.15])
def test_pressed_lips_meet_whatever_the_base_photo_shows(opening: float) -> None:
    points = mesh(jaw_open=opening / WIDEST) if opening else mesh()
    state = Rig(build_surface(points, SIDE, SIDE), points).pose({"lip_press": 1.0, "jaw_open": 0.3})
    assert state.opening < 0.012


def test_the_mouth_opens_in_proportion_to_the_jaw(rig: Rig) -> None:
    gaps = [rig.pose({"jaw_open": jaw}).opening for jaw in (0.0, 0.25, 0.5, 1.0)]
    assert gaps[0] < 0.01
    assert np.allclose(gaps[1:], [0.25 * WIDEST, 0.5 * WIDEST, WIDEST], atol=0.02)


def test_without_teeth_the_mouth_opens_less() -> None:
    points = mesh()
    surface = build_surface(points, SIDE, SIDE)
    assert (
        Rig(surface, points, 0.6).pose({"jaw_open": 1}).opening
        < 0.65 * Rig(surface, points).pose({"jaw_open": 1}).opening
    )


def test_a_smile_lifts_corners_and_cheeks_and_a_frown_lowers_the_corners(rig: Rig) -> None:
    rest, smile, frown = (rig.pose({"smile": v}).points for v in (0.0, 1.0, -1.0))
    assert (smile[[61, 291], 1] < rest[[61, 291], 1] - 2).all()
    assert (smile[[50, 280], 1] < rest[[50, 280], 1] - 0.5).all()
    assert (frown[[61, 291], 1] > rest[[61, 291], 1] + 2).all()


def test_a_blink_shuts_the_eye_of_its_own_side_only(rig: Rig) -> None:
    right_open, left_open = geo.eye_opening(_full(rig.pose({}).points))
    right, left = geo.eye_opening(_full(rig.pose({"blink_right": 1.0}).points))
    assert right < 0.12 < 0.5 * right_open  # what `eye_opening` calls shut
    assert left == pytest.approx(left_open, rel=0.05)


@pytest.mark.parametrize(
    ("channel", "value", "axis"), [("head_yaw", 8.0, 0), ("head_pitch", 8.0, 1), ("head_yaw", -8.0, 0)]
)
def test_a_turn_moves_the_nose_more_than_the_outline(rig: Rig, channel: str, value: float, axis: int) -> None:
    moved = rig.pose({channel: value}).points - rig.pose({}).points
    nose = moved[topo.NOSE_TIP, axis]
    assert np.sign(nose) == np.sign(value)
    assert abs(nose) > 2 * abs(moved[[234, 454], axis].mean())


def test_shoulders_take_part_in_a_fifth_of_the_heads_motion(rig: Rig) -> None:
    moved = rig.pose({"head_x": 0.2}).points - rig.pose({}).points
    bottom = rig.surface.points[:, 1] > 0.97 * SIDE
    assert moved[bottom, 0].mean() / moved[topo.NOSE_TIP, 0] == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(
    "values",
    [{}, {"jaw_open": 1.0}, {"smile": 1.0}, {"lip_wide": 1.0}, {"head_yaw": 8.0}, {"head_yaw": -8.0},
     {"head_pitch": -8.0},
     {"head_yaw": 15.0, "jaw_open": 0.6}, {"head_yaw": -15.0, "blink_left": 1.0, "blink_right": 1.0},
     {"head_pitch": 15.0}, {"head_pitch": -15.0}, {"head_roll": 15.0},
     {"head_roll": 8.0}, {"brow_inner": 1.0, "brow_outer": 1.0}, {"head_yaw": 6.0, "jaw_open": 0.6, "smile": 0.6}],
)  # fmt: skip
def test_no_visible_triangle_turns_over(rig: Rig, values: dict[str, float]) -> None:
    areas = geo.signed_areas(rig.pose(values).still, rig.surface.triangles) * rig.sides
    skin = ~rig.surface.hole & (rig.sides != 0)
    total = np.abs(areas).sum()
    assert -areas[skin & (areas < 0)].sum() < 2e-5 * total


def test_the_resting_map_is_the_identity() -> None:
    points = mesh()
    surface = build_surface(points, SIDE, SIDE)
    region = Region(0, 0, SIDE, SIDE)
    maps = triangle_maps(surface.points, surface.points, surface.triangles)
    x, y = source_map(label_map(surface.points, surface.triangles, region, 2, surface.hole), maps, region, 2)
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    inner = slice(4, -4)
    assert np.percentile(np.abs(x - columns)[inner, inner], 99.5) < 0.3
    assert np.percentile(np.abs(y - rows)[inner, inner], 99.5) < 0.3


def test_the_map_has_no_cracks(rig: Rig) -> None:
    state = rig.pose({"jaw_open": 0.6, "head_yaw": 6.0})
    region = Region(0, 0, SIDE, SIDE)
    maps = triangle_maps(state.points, rig.surface.points, rig.surface.triangles)
    x, y = source_map(label_map(state.points, rig.surface.triangles, region, 1, rig.surface.hole), maps, region)
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    assert np.hypot(x - columns, y - rows).max() < 0.5 * rig.ipd


def test_frames_are_whole_portraits_and_a_still_background_stays(renderer: FaceRenderer) -> None:
    rest, talking = renderer.frame({}), renderer.frame({"jaw_open": 0.8, "head_yaw": 5.0})
    assert rest.shape == talking.shape == (SIDE, SIDE, 3)
    assert rest.dtype == np.uint8
    corner = np.abs(rest[:40, :40].astype(int) - talking[:40, :40]).max()
    assert corner <= 2
    assert np.abs(rest.astype(int) - talking).max() > 60


def test_an_open_mouth_shows_the_persons_teeth_and_a_closed_one_does_not(renderer: FaceRenderer) -> None:
    def lightest(values: dict[str, float]) -> float:
        points = renderer.scene.rig.pose(values).points
        x, y = points[13, :2]
        depth = max(2, int(points[14, 1] - y))
        return float(renderer.frame(values)[int(y) : int(y) + depth, int(x) - 12 : int(x) + 12].mean(axis=2).max())

    assert lightest({"jaw_open": 0.7}) > 140
    assert lightest({"lip_press": 1.0}) < 140


def test_curves_must_be_of_one_length_and_finite(renderer: FaceRenderer) -> None:
    with pytest.raises(InputRefused):
        list(renderer.frames({"jaw_open": np.zeros(3), "smile": np.zeros(4)}, 25))
    with pytest.raises(InputRefused):
        list(renderer.frames({"jaw_open": np.array([np.nan])}, 25))
    with pytest.raises(InputRefused):
        list(renderer.frames({}, 25))


def test_frames_report_progress_and_come_one_a_sample(renderer: FaceRenderer) -> None:
    seen: list[float] = []
    frames = list(renderer.frames({"jaw_open": np.linspace(0, 1, 3)}, 25, lambda f, m: seen.append(f)))
    assert len(frames) == 3
    assert seen[-1] == 1.0


def test_the_same_curves_give_the_same_pixels(renderer: FaceRenderer) -> None:
    assert np.array_equal(
        renderer.frame({"jaw_open": 0.4, "gaze_x": 0.5}), renderer.frame({"jaw_open": 0.4, "gaze_x": 0.5})
    )


def test_the_gaze_moves_the_iris_and_not_the_lids(renderer: FaceRenderer) -> None:
    ahead, aside = renderer.frame({}).astype(int), renderer.frame({"gaze_x": 1.0}).astype(int)
    points = renderer.scene.mesh
    eye = points[list(topo.RIGHT_EYE), :2]
    low, high = eye.min(axis=0).astype(int), eye.max(axis=0).astype(int)
    changed = np.abs(ahead - aside).max(axis=2)
    assert changed[low[1] : high[1], low[0] : high[0]].max() > 40
    changed[low[1] - 4 : high[1] + 4] = 0
    assert changed.max() <= 3


def _full(points: np.ndarray) -> np.ndarray:
    full = np.zeros((topo.POINTS, 3), np.float32)
    full[: topo.SURFACE] = points[: topo.SURFACE]
    return full


def test_the_painted_face_is_painted() -> None:
    assert paint(mesh()).std() > 20


def test_a_mouth_hardly_open_shows_no_step_between_its_two_rows() -> None:
    """The middle of the exemplar is left out there; where upper and lower part meet, brightness may not jump."""
    from memorial_tasks.face.mouth import drawn_exemplar, interior

    people = bank([{}])
    exemplar = drawn_exemplar(people.base, people.base_points)
    large, ipd = exemplar.points.copy(), 400.0
    centre = exemplar.points[[13, 14], 1].mean()
    inner = [*topo.LIP_UPPER_INNER, *topo.LIP_LOWER_INNER]
    large[inner, 1] = centre + (exemplar.points[inner, 1] - centre) * 0.12  # 29 of 240 rows remain
    region = Region(0, int(centre) - 20, 360, 40)
    picture = interior([(1.0, exemplar)], large, ipd, region, np.zeros(3, np.uint8))[..., 1].astype(float)
    column = picture[20 - 13 : 20 + 13, 180]
    assert np.ptp(column) > 30  # teeth above, a red tongue below
    assert np.abs(np.diff(column)).max() < 0.3 * np.ptp(column)


def test_lips_reach_a_little_into_the_opening_so_that_its_edge_is_soft() -> None:
    square = np.array([[0, 0], [20, 0], [20, 20], [0, 20], [0, 40], [20, 40]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3], [3, 2, 5], [3, 5, 4]], np.int32)
    holes = np.array([False, False, True, True])
    labels = label_map(square, triangles, Region(0, 0, 20, 40), 1, holes)
    assert not holes[labels[:20]].any()
    assert not holes[labels[21:22, 5]].any()
    assert holes[labels[30:]].all()


def test_teeth_beyond_the_models_lip_line_do_not_stay_in_a_closed_mouth() -> None:
    """The model often lays the upper lip's line on the teeth; what the picture shows there decides."""
    truth = mesh(jaw_open=0.5)
    picture, ipd = paint(truth), geo.interocular(truth)
    mistaken = truth.copy()
    mistaken[list(topo.LIP_UPPER_INNER[1:-1]), 1] += 0.03 * ipd  # on the teeth
    middle = list(topo.LIP_UPPER_INNER[4:7])
    cleared = clear_rims(mistaken, picture)
    blind = clear_rims(mistaken)
    assert (cleared[middle, 1] <= truth[middle, 1] + 0.006 * ipd).all()
    assert (cleared[middle, 1] < blind[middle, 1]).all()
    closed = mesh()
    assert np.array_equal(clear_rims(closed, paint(closed)), clear_rims(closed))  # nothing to clear


def test_the_colour_of_a_bright_wall_leaves_the_hair_in_front_of_it_but_not_the_person() -> None:
    """Colours are kept at half the resolution of light, so that a wall's colour runs into the outline."""
    hair, shirt, wall = (40, 34, 30), (30, 150, 170), (40, 200, 235)
    truth = np.full((360, 360, 3), wall, np.uint8)
    truth[90:300, 100:260] = hair
    truth[200:300, 100:260] = shirt  # nearly of the wall's colour: it must stay
    matte = np.zeros((360, 360), np.uint8)
    matte[90:300, 100:260] = 255
    luma = cv2.cvtColor(truth, cv2.COLOR_RGB2YCrCb)
    luma[..., 1:] = cv2.GaussianBlur(luma[..., 1:], (0, 0), 2.0)
    photo = cv2.cvtColor(luma, cv2.COLOR_YCrCb2RGB)
    clean = without_spill(photo, matte)

    def tint(picture: np.ndarray, rows: slice, columns: slice) -> float:
        return float(np.abs(np.subtract(picture, truth, dtype=float))[rows, columns].mean())

    rim, middle = (slice(110, 190), slice(100, 103)), (slice(110, 190), slice(150, 210))
    assert tint(photo, *rim) > 15
    assert tint(clean, *rim) < 0.35 * tint(photo, *rim)
    assert tint(clean, *middle) <= tint(photo, *middle) + 0.5
    assert tint(clean, slice(210, 290), slice(110, 250)) < 3
    assert np.array_equal(clean[:60], photo[:60])


def test_an_ear_before_a_blue_wall_has_no_magenta_rim() -> None:
    """Its blue ran into the ear and its green did not: too red and too blue is magenta, on no line between the two."""
    ear, wall = (205, 120, 100), (40, 150, 225)
    truth = np.full((360, 360, 3), wall, np.uint8)
    truth[90:300, 100:260] = ear
    matte = np.zeros((360, 360), np.uint8)
    matte[90:300, 100:260] = 255
    lab = cv2.cvtColor(truth.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    own = lab.copy()
    lab[..., 2] = cv2.GaussianBlur(lab[..., 2], (0, 0), 2.0)
    lab[90:300, 100:104, 1] += 8
    photo = (cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).clip(0, 255).astype(np.uint8)
    clean = cv2.cvtColor(without_spill(photo, matte).astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    rim = np.s_[110:290, 100:103, 2]
    assert np.abs(lab - own)[rim].mean() > 15
    assert np.abs(clean - own)[rim].mean() < 0.35 * np.abs(lab - own)[rim].mean()
