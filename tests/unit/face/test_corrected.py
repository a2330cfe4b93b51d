"""Points set by hand take the place of the model's, exactly where they were set."""

from typing import Any

import numpy as np
import pytest
from drawn import SIDE, mesh, paint
from numpy.typing import NDArray

from memorial_tasks.domain.points import TWENTY, FacePoints
from memorial_tasks.errors import InputRefused
from memorial_tasks.face import bank as banks
from memorial_tasks.face.bank import Photo, measure
from memorial_tasks.face.corrected import corrected, placed
from memorial_tasks.face.landmarks import FaceMesh

NUMBERS = [number for _, number in TWENTY]


class Mistaken:
    """Stands for face models that find no face and lay the mesh beside it: what the real ones do on photos that need
    correcting, which no drawn face provokes reliably."""

    def detect(self, rgb: NDArray[np.uint8]) -> list[Any]:
        return []

    def mesh(self, rgb: NDArray[np.uint8], face: Any) -> FaceMesh:
        shifted = mesh()
        shifted[:, :2] += (14, -9)
        shifted[61:68, :2] += (5, 5)
        return FaceMesh(shifted, 0.2)


def test_the_twenty_lie_exactly_where_they_were_set_and_the_rest_follows() -> None:
    truth, seen = mesh(), Mistaken().mesh(paint(mesh()), None).points
    mended = corrected(seen, truth[NUMBERS, :2])
    assert np.abs(mended[NUMBERS, :2] - truth[NUMBERS, :2]).max() < 0.01
    before = np.linalg.norm(seen[:, :2] - truth[:, :2], axis=1)
    after = np.linalg.norm(mended[:, :2] - truth[:, :2], axis=1)
    assert np.median(after) < 0.2 * np.median(before)
    assert np.array_equal(mended[:, 2], seen[:, 2])


def test_a_whole_mesh_replaces_the_models() -> None:
    truth, seen = mesh(), Mistaken().mesh(paint(mesh()), None).points
    assert np.array_equal(corrected(seen, truth[:, :2])[:, :2], truth[:, :2])


def test_a_photo_whose_face_is_not_found_is_used_where_points_say_where_it_is() -> None:
    picture = paint(mesh())
    refused = measure(Mistaken(), picture, "a")  # type: ignore[arg-type]
    assert not isinstance(refused, Photo)
    used = measure(Mistaken(), picture, "a", mesh()[NUMBERS, :2])  # type: ignore[arg-type]
    assert isinstance(used, Photo)
    assert used.corrected
    assert banks._facts([used])["photos"][0]["corrected"] is True


def test_points_are_scaled_to_the_photo_and_refused_for_another_picture() -> None:
    points = [(float(x) / 4, float(y) / 4) for x, y in mesh()[NUMBERS, :2]]
    small = FacePoints(size=(SIDE // 4, SIDE // 4), points=tuple(points))
    assert np.abs(placed(small, SIDE, SIDE, "a") - mesh()[NUMBERS, :2]).max() < 0.01
    with pytest.raises(InputRefused, match="not in this"):
        placed(small, SIDE, SIDE // 2, "a")
