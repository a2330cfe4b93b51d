"""The page a recipient opens: the real gate, a real browser, at a phone's size and at a desk's."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.integration,
    pytest.mark.skipif(BROWSER is None, reason="no browser on this machine: install chromium"),
]
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-quic")  # fmt: skip
SHOTS = os.environ.get("MEMORIAL_TEST_SHOTS", "")  # a folder, to look at the pages with one's own eyes


def _fixtures_of(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


_integration = Path(__file__).resolve().parents[1] / "integration"
_servers = _fixtures_of("integration_servers", _integration / "conftest.py")
_delivery = _fixtures_of("delivery_house", _integration / "delivery" / "conftest.py")
server, template = _servers.server, _servers.template
own_database, films, gate = _delivery.own_database, _delivery.films, _delivery.gate
cloud, bucket_films, bucket_gate = _delivery.cloud, _delivery.bucket_films, _delivery.bucket_gate


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield running
        running.close()


class Visit:
    """One opened page, every address it asked for and everything its console complained about."""

    def __init__(self, browser: Any, size: str, language: str) -> None:
        width, height = SIZES[size]
        self.name = f"{size}-{language}"
        self.context = browser.new_context(viewport={"width": width, "height": height}, locale=language)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda one: self.asked.append(one.url))
        self.page.on("console", lambda one: self.complaints.append(one.text) if one.type == "error" else None)

    def shot(self, what: str) -> None:
        if SHOTS:
            self.page.screenshot(path=str(Path(SHOTS) / f"{self.name}-{what}.png"), full_page=True)


@pytest.fixture(params=[(size, language) for size in sorted(SIZES) for language in ("zh-CN", "en-US")])
def visit(request: pytest.FixtureRequest, browser: Any) -> Iterator[Visit]:
    made = Visit(browser, *request.param)
    yield made
    made.context.close()


def test_a_recipient_reads_types_and_receives_the_film_once(
    films: Any, gate: Any, visit: Visit, tmp_path: Path
) -> None:
    order = films.delivered()
    made = films.link(order)
    page, chinese = visit.page, visit.name.endswith("zh-CN")
    page.goto(made.url)
    visit.shot("1-open")
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if chinese else "en-US")
    assert ("人工智能生成" if chinese else "artificial intelligence") in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "nothing is wider than the screen"
    )
    for part in ("#code", "button"):
        box = page.locator(part).bounding_box()
        assert box["height"] >= 44, "large enough for a thumb"
    page.get_by_label("领取码" if chinese else "Code").fill("0000-0000")
    page.locator("button").click()
    assert page.get_by_role("alert").is_visible()
    visit.shot("2-wrong")
    page.locator("#code").fill(made.code.lower())
    with page.expect_download() as waiting:
        page.locator("button").click()
    assert waiting.value.suggested_filename == "memorial-film.mp4"
    waiting.value.save_as(tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == films.made[order]
    page.goto(made.url)
    assert page.locator("form").count() == 0
    visit.shot("3-used")
    assert all(address.startswith(gate.url) for address in visit.asked), visit.asked
    complaints = [text for text in visit.complaints if "Failed to load resource" not in text]  # the statuses meant so
    assert complaints == []


def test_the_keyboard_alone_is_enough(films: Any, gate: Any, visit: Visit) -> None:
    made = films.link(films.delivered())
    visit.page.goto(made.url)
    visit.page.keyboard.press("Tab")  # the other language
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "code"
    visit.page.keyboard.type(made.code)
    with visit.page.expect_download():
        visit.page.keyboard.press("Enter")


def test_the_other_language_is_one_step_away(films: Any, gate: Any, visit: Visit) -> None:
    visit.page.goto(films.link(films.delivered()).url)
    before = visit.page.locator("html").get_attribute("lang")
    visit.page.locator("a[hreflang]").click()
    assert visit.page.locator("html").get_attribute("lang") != before
    visit.page.locator("a[hreflang]").click()
    assert visit.page.locator("html").get_attribute("lang") == before


def test_the_browser_follows_the_form_to_the_bucket(bucket_films: Any, bucket_gate: Any, browser: Any) -> None:
    order = bucket_films.delivered()
    made = bucket_films.link(order)
    visit = Visit(browser, "phone", "en-US")
    visit.page.goto(made.url)
    visit.page.locator("#code").fill(made.code)
    with visit.page.expect_download() as waiting:
        visit.page.locator("button").click()
    assert waiting.value.suggested_filename == "memorial-film.mp4"
    assert Path(waiting.value.path()).read_bytes() == bucket_films.made[order]
    visit.context.close()
