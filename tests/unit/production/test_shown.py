"""What a reviewer is given to open."""

from pathlib import Path

import pytest

from memorial_tasks.production.review import CAPTIONS, POINTS, _opened, in_order


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        ("seal/film.mp4", True),
        ("output_gate/contact-sheet.png", True),
        ("output_gate/data_docs/index.html", True),
        ("output_gate/data_docs/static/images/logo.png", False),
        ("output_gate/data_docs/expectations/index.html", False),
    ],
)
def test_of_a_reports_site_only_the_first_page_is_named(path: str, opened: bool) -> None:
    assert _opened(Path("/reports/order-1") / path) is opened


def test_beside_the_still_lies_what_was_taken_for_skin_and_hair() -> None:
    still = POINTS["still"]
    assert "face/growth.png" in still.shown
    assert still.beside == {"prepare_face": ("face/parsing.png",)}


def test_what_is_judged_comes_first_and_every_picture_says_what_it_is(tmp_path: Path) -> None:
    still = POINTS["still"]
    for name in ("face/album.png", "face/growth.png", "face/sheet.png", "face/card.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert [path.name for path in in_order(tmp_path, still)] == ["sheet.png", "growth.png", "album.png", "card.json"]
    shown = {name for point in POINTS.values() for names in (point.shown, *point.beside.values()) for name in names}
    assert {Path(name).name for name in shown if name.endswith(".png")} == set(CAPTIONS)
