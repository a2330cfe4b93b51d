"""Points set by hand beside the photos: read where they fit, refused by name where they do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.domain.order import Materials
from memorial_tasks.production.points import read_points
from memorial_tasks.quality.inventory import list_material

GOOD: dict[str, Any] = {"size": [100, 80], "points": [[10.0 + i, 20.0] for i in range(20)]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "anna.jpg").write_bytes(b"a photo")
    return folder


def write(folder: Path, document: Any, name: str = "anna.points.json") -> None:
    (folder / name).write_text(document if isinstance(document, str) else json.dumps(document))


def test_points_are_read_for_the_photo_they_lie_beside_and_are_no_photo(photos: Path) -> None:
    write(photos, GOOD)
    found, problems = read_points(photos)
    assert problems == []
    assert found["anna.jpg"].size == (100, 80)
    files, _ = list_material(photos.parent, Materials(photos="photos"))
    assert [one.file for one in files] == ["photos/anna.jpg"]


@pytest.mark.parametrize(
    ("document", "name", "code", "words"),
    [
        (GOOD | {"points": GOOD["points"][:-1]}, "anna.points.json", "points.value", "19 points"),
        (GOOD | {"points": [*GOOD["points"][:-1], [100.0, 5.0]]}, "anna.points.json", "points.value", "point 20 lies"),
        (
            GOOD | {"points": [*GOOD["points"][:-1], [float("nan"), 5.0]]},
            "anna.points.json",
            "points.value",
            "point 20",
        ),
        (GOOD | {"scale": 2}, "anna.points.json", "points.value", "not permitted"),
        ("[1, 2", "anna.points.json", "points.json", "JSON"),
        (GOOD, "berta.points.json", "points.photo", "no photo"),
    ],
    ids=["count", "outside", "nan", "unknown key", "no json", "unknown photo"],
)
def test_wrong_points_are_refused_by_name(photos: Path, document: Any, name: str, code: str, words: str) -> None:
    write(photos, document, name)
    found, problems = read_points(photos)
    assert found == {}
    assert [(problem.code, problem.file) for problem in problems] == [(code, f"photos/{name}")]
    assert words in problems[0].what
    assert problems[0].remedy
