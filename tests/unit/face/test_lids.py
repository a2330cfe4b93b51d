"""Lids: they meet in an even arc, carry their lashes along, and leave everything around the eye where it was."""

import cv2
import numpy as np
import pytest
from drawn import SIDE, bank, mesh, paint

from memorial_tasks.face import eyes
from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.lids import ALONG, LASHES, Lids, seam
from memorial_tasks.face.patches import EYES, MOUTH
from memorial_tasks.face.refine import _apart
from memorial_tasks.face.render import FaceRenderer

SHUT = (1.0, 1.0)


@pytest.fixture(scope="module")
def renderer() -> FaceRenderer:
    return FaceRenderer(bank([{}]))


def _bent(lids: Lids, points: np.ndarray, amounts: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32))
    lids.bend(columns, rows, points, points, amounts)
    return columns, rows


@pytest.mark.parametrize("right", [True, False])
def test_a_trembling_mesh_still_shuts_in_an_even_arc(right: bool) -> None:
    points = mesh()
    above, below = (topo.RIGHT_UPPER, topo.RIGHT_LOWER) if right else (topo.LEFT_UPPER, topo.LEFT_LOWER)
    ring = [*above[0], *below[0]]
    points[ring, 1] += np.random.default_rng(3).normal(0, 1.5, len(ring)).astype(np.float32)
    shut = Lids.of(points, right).shut
    turns = np.diff(np.sign(np.diff(shut[np.abs(ALONG) <= 1])))
    assert shut.max() > 0.05
    assert np.count_nonzero(turns) <= 2  # one lowest place, no waves


@pytest.mark.parametrize("right", [True, False])
def test_the_outer_corner_sinks_towards_the_inner_one_which_stays(right: bool) -> None:
    points = mesh()
    lids = Lids.of(points, right)
    corners = lids.origin + np.array([[-0.5], [0.5]]) * lids.axes[0] * lids.width
    fallen, _ = lids.fall_at(corners.astype(np.float32))
    (inwards, down), (inner_along, inner_down) = fallen @ lids.axes.T / lids.width
    assert down > 0.08
    assert inwards > 0.03
    assert abs(inner_along) < 0.005
    assert abs(inner_down) < 0.01
    columns, rows = _bent(lids, points, SHUT)
    x, y = np.round(corners[0] + fallen[0]).astype(int)
    assert np.hypot(columns[y, x] - corners[0][0], rows[y, x] - corners[0][1]) < 0.06 * lids.width


def test_the_seam_runs_through_both_shut_lids(renderer: FaceRenderer) -> None:
    points = renderer.scene.rig.pose({"blink_right": 1.0, "blink_left": 1.0}).points
    for right, upper in ((True, topo.RIGHT_UPPER[0]), (False, topo.LEFT_UPPER[0])):
        line = seam(points, right)
        away = np.linalg.norm(points[list(upper), None, :2] - line[None], axis=2).min(axis=1)
        assert away.max() < 0.02 * renderer.scene.rig.ipd


def test_shut_lids_show_no_eye_and_open_ones_change_nothing() -> None:
    points = mesh()
    lids = Lids.of(points, True)
    same_x, same_y = _bent(lids, points, (0.0, 0.0))
    assert np.array_equal(same_y[:, 0], np.arange(SIDE))
    assert np.array_equal(same_x[0], np.arange(SIDE))
    x, y = _bent(lids, points, SHUT)
    ring = topo.polygon(points, topo.RIGHT_EYE)
    middle = ring[:, 0].mean()
    inside = (y > ring[4, 1] + 2) & (y < ring[12, 1] - 2) & (np.abs(x - middle) < 0.25 * np.ptp(ring[:, 0]))
    assert not inside.any()  # no pixel comes from between the open lids


def test_lashes_go_down_rigidly_and_the_brow_stays() -> None:
    points = mesh()
    lids = Lids.of(points, True)
    fallen, _ = lids.fall_at(points)
    edge = list(topo.RIGHT_UPPER[0][2:5])
    drop = np.linalg.norm(fallen[edge], axis=1)
    assert (drop > 0.5 * lids.drop().max() * lids.width).all()
    above = points[edge] - np.array([0, LASHES[0] * lids.width * 0.9, 0], np.float32)
    assert np.allclose(np.linalg.norm(lids.fall_at(above)[0], axis=1), drop, rtol=0.12)
    brow = np.linalg.norm(fallen[list(topo.RIGHT_BROW)], axis=1)
    assert brow.max() < 0.1 * drop.max()


def test_no_skin_is_folded_over_when_lids_shut() -> None:
    points = mesh()
    lids = Lids.of(points, True)
    column = round(float(points[list(topo.RIGHT_EYE), 0].mean()))
    for amount in (0.3, 0.7, 1.0):
        _, y = _bent(lids, points, (amount, amount))
        assert (np.diff(y[:, column]) > -0.05).all()


def test_broad_lashes_in_the_photo_are_carried_as_a_whole() -> None:
    points = mesh()
    picture, ipd = paint(points), geo.interocular(points)
    thin = Lids.of(points, True, picture)
    ring = points[list(topo.RIGHT_UPPER[0]), :2]
    cv2.polylines(picture, [np.round(ring - (0, 0.05 * ipd)).astype(np.int32)], False, (20, 16, 16), round(0.09 * ipd))
    broad = Lids.of(points, True, picture)
    middle = len(ALONG) // 2
    assert broad.lashes[middle] > thin.lashes[middle] + 0.03


def test_a_blink_leaves_everything_but_the_eye_as_it_was(renderer: FaceRenderer) -> None:
    rest, shut = (renderer.frame({"blink_right": b, "blink_left": b}).astype(int) for b in (0.0, 1.0))
    changed = np.abs(rest - shut).max(axis=2)
    mesh_points, ipd = renderer.scene.mesh, renderer.scene.rig.ipd
    eyes = mesh_points[[*topo.RIGHT_EYE, *topo.LEFT_EYE], 1]
    assert changed[int(eyes.min()) : int(eyes.max())].max() > 60
    assert changed[int(eyes.max() + 0.45 * ipd) :].max() <= 3
    assert changed[: int(eyes.min() - 0.45 * ipd)].max() <= 3


def test_an_unfolded_lid_catches_the_light(renderer: FaceRenderer) -> None:
    """Skin out of the shadow under the brow is as light as the skin beside it once the eye is shut, half way there when
    it is half shut, and what is light already stays as it is."""
    points = renderer.scene.rig.pose({"blink_right": 1.0, "blink_left": 1.0}).points
    place = np.round((seam(points, True)[16] + points[topo.RIGHT_UPPER[2][3], :2]) / 2).astype(int)
    seen = []
    for skin, shadow, shut in ((200, 140, 1.0), (200, 140, 0.5), (200, 200, 1.0), (200, 30, 1.0)):
        canvas = np.full((SIDE, SIDE, 3), shadow, np.uint8)
        canvas[:, int(points[9, 0]) - 4 : int(points[9, 0]) + 5] = skin
        eyes._lit(canvas, points, True, shut)
        seen.append(int(canvas[place[1], place[0], 0]))
    lit, half, same, dark = seen
    assert lit == pytest.approx(eyes.LIT * 200, abs=12)
    assert 140 < half < lit
    assert same == 200
    assert dark <= 30 * eyes.BRIGHTEST + 1, "make-up is not washed off"


def test_eyes_elsewhere_in_their_patch_are_alike_and_mouths_are_not() -> None:
    """A turned head moves both eyes; whether the person's own pictures of shut eyes are trusted is the lids' matter."""
    shape = np.random.default_rng(2).normal(0, 0.1, 40)
    moved = shape + np.tile([0.03, -0.01], 20)
    assert _apart(shape, moved, EYES) == pytest.approx(0.0, abs=1e-9)
    assert _apart(shape, moved, MOUTH) == pytest.approx(np.hypot(0.03, 0.01))
