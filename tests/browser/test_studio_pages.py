"""The studio's pages in a real browser, at a phone's width and at a desk's: readable, and asking nobody else."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState
from memorial_tasks.production import batch
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from tests.browser.test_memorial_page import BROWSER, QUIET, SIZES
from tests.integration.conftest import database, server, template  # noqa: F401 - fixtures
from tests.integration.consent.conftest import House
from tests.integration.production.made import make

pytestmark = [pytest.mark.browser, pytest.mark.integration]

PAGES = ("/", "/orders", "/orders/order-1", "/orders/order-1/quality", "/orders/order-1/consent", "/consents", "/audit")
LONG = "photo_set.none_usable, voice_set.too_little, photo_set.one_person_only: " * 3


@pytest.fixture
def address(database: str, tmp_path: Path) -> Iterator[str]:  # noqa: F811
    """The pages as Airflow mounts them, for somebody who is logged in."""
    from memorial_tasks.airflow.pages import app as application

    house = House(Studio.open(Settings(home=tmp_path / "home", database_url=database)), datetime.now(UTC))
    for order in ("order-1", "order-2", "an-order-with-quite-a-long-name-as-studios-like-them-2026"):
        house.enter(order)
    make(house.studio, "order-1")
    batch.open_batch(house.studio, "night-2026-11-20", limit=2, who=Who("service", "airflow"))
    with house.tx() as connection:
        for order, state, stage in (
            ("order-1", OrderState.IN_REVIEW, "review_film"),
            ("order-2", OrderState.BLOCKED, "quality_gate"),
        ):
            registry.set_state(
                connection, order, state, allowed_from=[OrderState.SUBMITTED], stage=stage, reason=LONG[:500]
            )
    app = application.pages()
    app.dependency_overrides |= {application.sees_runs: lambda: None, application.the_studio: lambda: house.studio}
    root = FastAPI()
    root.mount(application.PREFIX, app)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = uvicorn.Server(uvicorn.Config(root, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    while not served.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}{application.PREFIX}"
    served.should_exit = True
    thread.join(10)


@pytest.mark.parametrize("size", sorted(SIZES))
def test_every_page_fits_the_screen_and_asks_nobody_else(address: str, size: str) -> None:
    if BROWSER is None:
        pytest.skip("no browser on this machine: install chromium")
    from playwright.sync_api import sync_playwright

    width, height = SIZES[size]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        asked: list[str] = []
        faults: list[Any] = []
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: faults.append(one.text) if one.type == "error" else None)
        for path in PAGES:
            assert page.goto(address + path).status == 200, path
            assert page.locator("h1").is_visible(), path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.goto(address + "/")
        assert page.locator("h2").first.inner_text().startswith("Decisions (1)")
        assert page.get_by_role("link", name="Look and decide").get_attribute("href").endswith("/orders/order-1/review")
        browser.close()
    outside = [one for one in asked if not one.startswith(address.rsplit("/", 1)[0])]
    assert outside == []
    assert faults == []
