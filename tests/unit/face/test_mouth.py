"""The inside of a mouth: teeth do not stretch, rows part where they meet, drawn teeth are no even band."""

import numpy as np
import pytest
import torch
from drawn import bank

from memorial_tasks.face import refine
from memorial_tasks.face import topology as topo
from memorial_tasks.face.mouth import SLIT_SHARE, USUAL_SHARE, MouthExemplar, drawn_exemplar, interior
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.refine import Refiner
from memorial_tasks.face.render import FaceRenderer
from memorial_tasks.face.warp import Region

LIP = np.array([110, 55, 45], np.uint8)
IPD = 120.0


def _mouth(opening: float, width: float = 0.7) -> np.ndarray:
    """A mesh of which only mouth and eyes matter: inner lips `opening` apart, all in ipd; a point is a pixel."""
    points = np.zeros((topo.POINTS, 3), np.float32)
    along = np.linspace(-1, 1, 11)
    bow = 1 - along**4
    for ring, side in ((topo.LIP_UPPER_INNER, -0.5), (topo.LIP_LOWER_INNER, 0.5)):
        points[list(ring), 0] = 100 + along * width / 2 * IPD
        points[list(ring), 1] = 100 + bow * side * opening * IPD
    points[[33, 133], 0], points[[362, 263], 0] = 100 - IPD / 2, 100 + IPD / 2
    return points


def _photo(opening: float, upper: float, gap: float) -> MouthExemplar:
    """A mouth with an upper row of teeth, a dark `gap` and a lower row, all in ipd."""
    points = _mouth(opening)
    picture = np.full((200, 200, 3), (190, 90, 85), np.uint8)
    top = 100 - opening / 2 * IPD
    rows = [round(top + part * IPD) for part in (0, upper, upper + gap, opening)]
    for start, end, colour in zip(rows[:-1], rows[1:], ((205, 195, 170), (40, 20, 20), (170, 160, 140)), strict=True):
        picture[start:end] = colour
    return MouthExemplar.of(picture, points)


def _column(exemplar: MouthExemplar, points: np.ndarray, place: int = 100) -> np.ndarray:
    region = Region(0, 0, 200, 200)
    light = interior([(1.0, exemplar)], points, IPD, region, LIP).astype(float).mean(axis=2)
    top, bottom = points[13, 1], points[14, 1]
    return light[int(np.ceil(top)) : int(bottom) + 1, place]


def test_where_the_rows_of_teeth_meet_is_seen_in_the_photo() -> None:
    assert _photo(0.25, 0.08, 0.06).upper_share == pytest.approx((0.08 + 0.03) / 0.25, abs=0.05)
    lower_alone = _photo(0.25, 0.0, 0.12)
    assert lower_alone.upper_share == pytest.approx(0.06 / 0.25, abs=0.05)
    even = _photo(0.25, 0.25, 0.0)
    assert even.upper_share == USUAL_SHARE
    assert not even.shows_gap
    slit = _photo(0.07, 0.03, 0.01)
    assert slit.upper_share == SLIT_SHARE


def test_both_rows_keep_their_height_and_a_wider_mouth_is_dark_between_them() -> None:
    photo = _photo(0.20, 0.07, 0.05)
    before, after = (_column(photo, _mouth(opening)) > 90 for opening in (0.20, 0.30))
    assert not after[int(0.12 * IPD) : int(0.20 * IPD)].any()
    assert after[: int(0.06 * IPD)].sum() == pytest.approx(before[: int(0.06 * IPD)].sum(), abs=2)
    assert after.sum() == pytest.approx(before.sum(), abs=3)


def test_a_mouth_as_open_as_in_the_photo_is_shown_in_the_photos_own_light() -> None:
    photo = _photo(0.20, 0.07, 0.05)
    shown = _column(photo, _mouth(0.20))
    real = photo.image.astype(float).mean(axis=2)[88:113, 100]
    assert np.abs(shown - real)[3:-3].mean() < 12
    assert shown[6] > 0.97 * real[6]


def test_light_sinks_where_the_mouth_is_hardly_open() -> None:
    photo = _photo(0.20, 0.20, 0.0)
    assert _column(photo, _mouth(0.06)).max() < 0.92 * _column(photo, _mouth(0.20)).max()


def _drawn(opening: float) -> np.ndarray:
    """The green of a drawn mouth, from lip to lip."""
    people = bank([{}])
    exemplar = drawn_exemplar(people.base, people.base_points)
    region = Region(0, 0, 200, 200)
    points = _mouth(opening)
    picture = interior([(1.0, exemplar)], points, IPD, region, LIP)[..., 1].astype(float)  # a tongue is red
    half = int(0.34 * IPD)
    return picture[int(np.ceil(points[13, 1])) : int(points[14, 1]), 100 - half : 100 + half + 1]


def test_drawn_teeth_hang_from_the_upper_lip_and_leave_the_rest_dark() -> None:
    picture = _drawn(0.18)
    middle = picture[:, picture.shape[1] // 2 + 6]
    teeth = middle > 0.6 * middle.max()
    assert teeth[3:5].all()
    assert not teeth[len(teeth) // 2 :].any()
    assert middle[len(middle) // 2 :].mean() < 0.55 * middle.max()
    assert np.abs(np.diff(middle[len(middle) // 2 :])).max() < 0.12 * middle.max()  # no line where the tongue begins


def test_drawn_teeth_are_no_even_band() -> None:
    """Light differs from tooth to tooth, from one side to the other, and is lost towards the corners."""
    row = _drawn(0.18)[4]
    half = len(row) // 2
    inner, outer = row[half + 4 : half + 13].mean(), row[half + 18 : half + 25].mean()
    assert outer < 0.92 * inner
    assert row[-3:].mean() < 0.6 * inner
    assert row[:3].mean() < 0.6 * inner
    assert np.abs(row - row[::-1]).max() > 4


def test_drawn_teeth_do_not_move_when_the_mouth_opens_further() -> None:
    narrow, wide = _drawn(0.13), _drawn(0.18)
    rows = slice(2, int(0.04 * IPD))
    assert np.abs(narrow[rows] - wide[rows]).max() < 0.2 * wide.max()


def test_a_reference_that_had_to_be_stretched_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teeth bent as long as a wide open mouth are a grille; shapes of the lips alone would still let them through."""
    monkeypatch.setitem(refine.TRUST, "mouth", (9.0, 10.0))
    people = bank([{}, *({"jaw_open": jaw} for jaw in (0.2, 0.25, 0.35))])
    torch.manual_seed(3)
    network = RefinerNet((8, 16))
    torch.nn.init.normal_(list(network.parameters())[-1], 0.0, 2.0)
    renderer, bare = FaceRenderer(people, Refiner({"mouth": network}, 0.5, people)), FaceRenderer(people)

    def change(jaw: float) -> float:
        pictures = [face.frame({"jaw_open": jaw}).astype(float) for face in (renderer, bare)]
        return float(np.abs(pictures[0] - pictures[1]).max())

    assert change(0.25) > 8
    assert change(0.9) == 0
