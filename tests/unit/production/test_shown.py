"""What a reviewer is given to open."""

from pathlib import Path

import pytest

from memorial_tasks.production.review import POINTS, _opened


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
