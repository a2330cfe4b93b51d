"""The memorial page in a real browser, from a folder, with no network: at a phone's size and at a desk's."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.video.encode import FilmWriter
from memorial_tasks.video.page import Answer, write_page
from memorial_tasks.video.subtitles import Cue

pytestmark = pytest.mark.browser

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-quic")  # fmt: skip


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("page")
    with FilmWriter(folder / "film.mp4", (320, 180), 25, crf=30, preset="ultrafast") as film:
        for number in range(50):
            film.picture(np.full((180, 320, 3), 60 + number, np.uint8))
    Image.new("RGB", (320, 180), (60, 60, 60)).save(folder / "poster.png")
    cues = {Language.EN_US: [Cue(0.0, 1.5, "A first line.")], Language.ZH_CN: [Cue(0.0, 1.5, "第一句。")]}
    return write_page(
        folder / "out", folder / "film.mp4", folder / "poster.png", cues, title="A <b>name</b>", dates="1931 – 2019",
        language=Language.EN_US, answers=[Answer("How was the garden?", 0.4, 0.9), Answer("And the lake?", 1.2, 1.8)],
    )  # fmt: skip


@pytest.fixture(params=sorted(SIZES))
def tab(request: pytest.FixtureRequest, page_file: Path) -> Iterator[tuple[Any, list[str]]]:
    """The opened page and every address it asked for."""
    if BROWSER is None:
        pytest.skip("no browser on this machine: install chromium")
    from playwright.sync_api import sync_playwright

    width, height = SIZES[request.param]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_offline(True)
        opened, asked = context.new_page(), []
        opened.on("request", lambda one: asked.append(one.url))
        opened.on("pageerror", lambda error: asked.append(f"error: {error}"))
        opened.goto(page_file.as_uri())
        yield opened, asked
        browser.close()


def test_a_note_comes_before_anything_plays(tab: tuple[Any, list[str]]) -> None:
    page, _ = tab
    assert page.locator("#note").is_visible()
    assert not page.locator("#film").is_visible()
    page.click("#later")
    assert page.locator("#closed").is_visible()
    assert not page.locator("#film").is_visible()


def test_the_film_plays_with_its_subtitles_and_asks_nobody(tab: tuple[Any, list[str]]) -> None:
    page, asked = tab
    page.click("#begin")
    for _ in range(100):  # the page's policy forbids the usual waiting, which evaluates a string inside the page
        if page.evaluate("document.getElementById('film').currentTime") > 0.2:
            break
        page.wait_for_timeout(100)
    assert page.evaluate("document.getElementById('film').currentTime") > 0.2
    assert page.locator("#words").inner_text() == "A first line."
    page.select_option("#tracks", "zh-CN")
    assert page.locator("#words").inner_text() == "第一句。"
    assert page.locator("#tracks option").count() == 3
    assert all(address.startswith(("file://", "data:")) for address in asked), asked


def modes(page: Any) -> list[str]:
    return page.evaluate("[...document.getElementById('film').textTracks].map(track => track.mode)")


def changed(page: Any, act: str) -> None:
    """Enter or leave full screen and stay until the page was told: the act's own promise may be kept before that."""
    page.evaluate(
        "new Promise(done => { document.addEventListener('fullscreenchange', () => setTimeout(done), {once: true});"
        f" {act}; }})"
    )


def test_subtitles_stand_under_the_picture_and_in_it_when_it_fills_the_screen(tab: tuple[Any, list[str]]) -> None:
    page, _ = tab
    page.click("#begin")
    assert modes(page) == ["hidden", "disabled"]
    picture, words = page.locator("#film").bounding_box(), page.locator("#words").bounding_box()
    assert words["y"] >= picture["y"] + picture["height"], "on the face"
    assert words["y"] + words["height"] <= page.viewport_size["height"], "out of sight"
    before = page.locator("#tracks").bounding_box()["y"]
    page.evaluate("document.getElementById('words').textContent = 'one\\ntwo'")
    assert page.locator("#tracks").bounding_box()["y"] == before, "the page jumps with every second row"
    changed(page, "document.getElementById('film').requestFullscreen()")
    assert page.evaluate("document.fullscreenElement !== null")
    assert modes(page) == ["showing", "disabled"]
    changed(page, "document.exitFullscreen()")
    assert modes(page) == ["hidden", "disabled"]
    page.select_option("#tracks", "")
    assert modes(page) == ["disabled", "disabled"]
    assert not page.locator("#words").is_visible()


def test_nothing_is_wider_than_the_screen(tab: tuple[Any, list[str]]) -> None:
    page, _ = tab
    page.click("#begin")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = page.locator("#film").bounding_box()
    assert box["x"] >= 0
    assert box["width"] > 300


def test_a_name_is_text_and_never_markup(tab: tuple[Any, list[str]]) -> None:
    page, _ = tab
    assert page.locator("h1").inner_text() == "A <b>name</b>"
    assert page.locator("h1 b").count() == 0


def test_a_visitor_asks_and_only_the_approved_part_is_played(tab: tuple[Any, list[str]]) -> None:
    page, asked = tab
    page.click("#begin")
    assert page.locator("button.answer").count() == 3
    page.click("button.answer >> nth=0")
    seen = []
    for _ in range(60):
        seen.append(page.evaluate("document.getElementById('film').currentTime"))
        if page.evaluate("document.getElementById('film').paused") and seen[-1] > 0.8:
            break
        page.wait_for_timeout(50)
    assert seen[0] >= 0.35
    assert 0.85 <= page.evaluate("document.getElementById('film').currentTime") < 1.25
    assert page.evaluate("document.getElementById('film').paused")
    assert "chosen" in page.locator("button.answer >> nth=0").get_attribute("class")
    assert all(address.startswith(("file://", "data:")) for address in asked), asked
