"""Pictures cut from newspapers: the dots go, a photo stays as it is."""

import cv2
import numpy as np
import pytest
from drawn import mesh, paint
from numpy.typing import NDArray

from memorial_tasks.face.bank import Candidates
from memorial_tasks.face.halftone import dots_apart, without_dots

Image = NDArray[np.uint8]


def _printed(photo: Image, apart: float, angle: float) -> Image:
    """As a press prints it: a dot in every cell of a turned grid, the larger the darker; then scanned."""
    light = cv2.resize(photo.astype(np.float32).mean(axis=2) / 255, None, fx=3, fy=3)
    y, x = np.mgrid[0 : light.shape[0], 0 : light.shape[1]] / 3.0
    turn = np.radians(angle)
    across, along = (x * np.cos(turn) + y * np.sin(turn)), (y * np.cos(turn) - x * np.sin(turn))
    cell = 0.5 + 0.25 * (np.cos(2 * np.pi * across / apart) + np.cos(2 * np.pi * along / apart))
    ink = ((light > 1 - cell) * 220 + 20).astype(np.float32)
    scan = cv2.resize(ink, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.repeat(cv2.GaussianBlur(scan, (0, 0), 0.6)[..., None], 3, 2).astype(np.uint8)


@pytest.fixture(scope="module")
def photo() -> Image:
    return paint(mesh(), 1)


@pytest.mark.parametrize(("apart", "angle"), [(4.0, 45.0), (6.0, 15.0), (10.0, 45.0)])
def test_the_dots_of_a_printed_picture_are_found_and_smoothed_out(photo: Image, apart: float, angle: float) -> None:
    printed = _printed(photo, apart, angle)
    assert dots_apart(printed) == pytest.approx(apart, rel=0.1)
    clean, _ = without_dots(printed)
    skin = np.s_[170:200, 130:150]  # a cheek: even, but for the dots
    assert clean[skin].std() < 0.15 * printed[skin].std()
    assert dots_apart(clean) is None
    grey = photo.mean(axis=2)
    assert np.corrcoef(clean.mean(axis=2).ravel(), grey.ravel())[0, 1] > 0.9  # the face is still there


def test_a_photo_stays_as_it_is_also_a_poor_one_or_one_of_a_striped_shirt(photo: Image) -> None:
    striped = photo.copy()
    striped[300:, ::5] //= 2
    poor = cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    larger = cv2.resize(poor, None, fx=1.37, fy=1.37, interpolation=cv2.INTER_CUBIC)
    for picture in (photo, striped, poor, larger, np.full((300, 300, 3), 90, np.uint8), photo[:90, :90]):
        same, dots = without_dots(np.asarray(picture, np.uint8))
        assert dots is None
        assert same is picture or np.array_equal(same, picture)


def test_a_printed_photo_is_named_in_a_finding(photo: Image) -> None:
    class Blind:
        """Stands for the model files, which unit tests do not have: it sees no face, which is another finding."""

        def detect(self, rgb: Image) -> list[object]:
            return []

    found = Candidates(Blind())  # type: ignore[arg-type]
    found.add("clipping", _printed(photo, 6.0, 45.0))
    found.add("photo", photo)
    assert [f.material for f in found.findings if f.code == "face.printed"] == ["clipping"]
