"""A family's report reaches nobody: no page fetches, runs or counts anything."""

import re

import pytest

from memorial_tasks.quality.pages import silent

PAGE = """<html><head><title>t</title>
<link rel="stylesheet" href="https://cdn.example/x.css"><script src="https://cdn.example/x.js"></script>
<style>.logo{background:url('https://cdn.example/logo.png')}</style></head>
<body onload="count()"><img src="https://cdn.example/pixel.png?d=1">
<script>document.write("x")</script><a href="https://shop.example/news">news</a><a href="//shop.example/x">x</a>
<a href='javascript:alert(1)'>y</a><a href="suites/film.html">the rules</a><a href="#top">up</a>
<p>20 of 21</p></body></html>"""


@pytest.fixture
def page() -> str:
    return silent(PAGE)


def test_nothing_is_fetched_or_run(page: str) -> None:
    assert "example" not in page
    assert not re.search(r"<script|<img|<link|url\(|javascript:|onload", page, re.I)


def test_what_was_measured_and_the_way_to_it_stay(page: str) -> None:
    assert "20 of 21" in page
    assert 'href="suites/film.html"' in page
    assert 'href="#top"' in page
    assert ">news<" in page


def test_real_data_docs_are_silent(tmp_path: object) -> None:
    import tarfile
    from pathlib import Path

    from memorial_tasks.quality.gate import run_gate

    target = Path(str(tmp_path)) / "docs.tar.gz"
    run_gate("film", {"film": {"all": {"duration": 20.0, "expected": 20.0}}}, target)
    with tarfile.open(target) as archive:
        pages = [archive.extractfile(item) for item in archive.getmembers() if item.name.endswith(".html")]
        texts = [page.read().decode() for page in pages if page]
    assert texts
    for text in texts:
        assert not re.search(r"https?://", text)
        assert not re.search(r"<script\b", text, re.I)
