"""The studio's pages: behind a login, without names, with nothing from outside, and quick with a thousand orders.

The application is Airflow's plugin as it is mounted; only Airflow's own two checks (who is it, what may they) are
replaced where a page's content is tested, because they need Airflow's server. `test_nightly_batch` asks the real one.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from memorial_tasks.airflow.pages import app as application
from memorial_tasks.consent.events import EventType
from memorial_tasks.database import registry
from memorial_tasks.database.connection import execute
from memorial_tasks.domain.words import OrderState
from memorial_tasks.production import batch, review
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from tests.integration.consent.conftest import NAMES, House
from tests.integration.production.made import make

pytestmark = pytest.mark.integration

Client = Callable[..., TestClient]


@pytest.fixture
def house(database: str, tmp_path: Path) -> House:
    return House(Studio.open(Settings(home=tmp_path / "home", database_url=database)), datetime.now(UTC))


class Account:
    """Somebody who is logged in."""

    def get_id(self) -> str:
        return "rita"


def not_for_you() -> None:
    """What Airflow's check does with an account that may look and not decide."""
    raise HTTPException(403, "Forbidden")


@pytest.fixture
def client(house: House) -> Client:
    """The pages as an account with these rights sees them."""

    def build(*, decides: bool = True) -> TestClient:
        app = application.pages()
        rights: dict[Any, Any] = {
            application.sees_runs: lambda: None,
            application.the_studio: lambda: house.studio,
            application.get_user: Account,
        }
        rights[application.answers] = (lambda: None) if decides else not_for_you
        app.dependency_overrides |= rights
        return TestClient(app, follow_redirects=False)

    return build


def routes(app: FastAPI) -> list[tuple[str, str]]:
    found = []
    for route in app.routes:
        assert isinstance(route, APIRoute), route
        path = route.path.format(order="order-1", at="film", name="film.mp4", run_id="order-1--1", page="audit")
        found += [(method, path) for method in route.methods]
    return found


def test_nothing_answers_without_a_session() -> None:
    app = application.pages()
    with TestClient(app) as client:
        paths = routes(app)
        assert len(paths) >= 11
        for method, path in paths:
            answer = client.request(method, path)
            assert answer.status_code == 401, path
            assert "order-1" not in answer.text


def test_faces_and_voices_need_the_right_to_decide(house: House, client: Client) -> None:
    house.enter("order-1")
    for path in ("/orders/order-1/review", "/orders/order-1/media/film/film.mp4"):
        assert client(decides=False).get(path).status_code == 403


def test_the_first_page_says_what_waits_for_a_person(house: House, client: Client) -> None:
    for order in ("order-review", "order-stopped", "order-late", "order-fine"):
        house.enter(order)
    with house.tx() as connection:
        set_state = registry.set_state
        anywhere = list(OrderState)
        set_state(connection, "order-review", OrderState.IN_REVIEW, allowed_from=anywhere, stage="review_voice")
        set_state(connection, "order-stopped", OrderState.BLOCKED, allowed_from=anywhere, reason="no face was found")
        set_state(connection, "order-fine", OrderState.RUNNING, allowed_from=anywhere)
        execute(connection, "UPDATE orders SET promised = current_date WHERE order_id = 'order-late'")
    text = client().get("/").text
    assert "in review: voice" in text
    assert "/memorial/orders/order-review/review" in text
    assert "memorial quality report order-stopped" in text
    assert "no face was found" in text
    assert "order-late" in text
    assert "order-fine" not in text


def test_the_first_page_tells_how_the_last_night_ended(house: House, client: Client) -> None:
    house.enter("order-1")
    house.happens(EventType.OBJECTED, "order-1")
    batch.open_batch(house.studio, "night-2026-11-20", limit=10, who=Who("service", "airflow"))
    text = client().get("/").text
    assert "night-2026-11-20" in text
    assert "memorial consent show order-1" in text


PAGES = (
    "/",
    "/orders",
    "/orders?state=running",
    "/orders/order-1",
    "/orders/order-1/quality",
    "/orders/order-1/consent",
    "/orders/order-1/audit",
    "/consents",
    "/audit",
)


def test_no_page_holds_a_name_or_asks_anybody_else(house: House, client: Client) -> None:
    house.enter("order-1")
    make(house.studio, "order-1")
    for path in PAGES:
        answer = client().get(path)
        assert answer.status_code == 200, path
        assert not any(name in answer.text for name in NAMES), path
        assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", answer.text), path
        assert "<script" not in answer.text, path
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["cache-control"] == "no-store", path


def test_what_a_run_works_on_is_found(house: House, client: Client) -> None:
    house.enter("order-1")
    with house.tx() as connection:
        registry.set_run(connection, "order-1", "manual__2026-11-20T10:00:00+00:00")
    for run in ("order-1--7", "manual__2026-11-20T10:00:00+00:00"):
        assert client().get(f"/runs/{run}/audit").headers["location"] == "/memorial/orders/order-1/audit"
    assert client().get("/runs/nobodys-run/audit").status_code == 404
    assert client().get("/runs/order-1--1/../../etc").status_code == 404


def test_an_order_that_does_not_exist_is_a_page_that_says_so(client: Client) -> None:
    for path in ("/orders/unknown", "/orders/unknown/audit", "/orders/unknown/consent", "/orders/..%2f..%2fetc"):
        assert client().get(path).status_code == 404, path


def test_media_are_streamed_while_consent_holds_and_never_after(house: House, client: Client) -> None:
    house.enter("order-1")
    folder = house.studio.settings.reports_dir / "order-1" / "seal"
    folder.mkdir(parents=True)
    (folder / "film.mp4").write_bytes(bytes(range(256)) * 40)
    address = "/orders/order-1/media/film/film.mp4"
    part = client().get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.headers["content-type"], len(part.content)) == (206, "video/mp4", 100)
    for hostile in ("..%2f..%2forder-2%2fseal%2ffilm.mp4", "%2A", "film.key", ".."):
        assert client().get(f"/orders/order-1/media/film/{hostile}").status_code == 404, hostile
    house.happens(EventType.WITHDRAWN, "order-1", actor_kind="grantor")
    assert client().get(address).status_code == 403


@pytest.mark.slow
def test_a_thousand_orders_are_listed(house: House, client: Client) -> None:
    house.enter("order-1")
    with house.tx() as connection:
        execute(
            connection,
            "INSERT INTO orders"
            " (order_id, subject_id, purpose, language, jurisdictions, document_sha256, script_sha256)"
            " SELECT 'many-' || n, subject_id, purpose, language, jurisdictions, document_sha256, script_sha256"
            " FROM orders, generate_series(1, 999) n WHERE order_id = 'order-1'",
        )
    began = time.monotonic()
    text = client().get("/orders").text
    assert text.count("/memorial/orders/many-") == 999
    assert time.monotonic() - began < 20  # that nothing is asked once per order; the figure is in the benchmark


def test_a_reviewer_reads_under_each_picture_what_it_is(
    house: House, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was exported is a double: making a face takes minutes, and only its names matter here."""
    house.enter("order-1")
    with house.tx() as connection:
        anywhere = list(OrderState)
        registry.set_state(connection, "order-1", OrderState.IN_REVIEW, allowed_from=anywhere, stage="review_still")
    names = ("sheet.png", "growth.png", "parsing.png")
    found = {"files": dict.fromkeys(names, ""), "findings": [], "metrics": {}, "sha256": "f" * 64, "at": "still"}
    monkeypatch.setattr(review, "export_preview", lambda *_: found)
    monkeypatch.setattr(review, "missing", lambda *_: 1)
    text = client().get("/orders/order-1/review").text
    places = [text.index(words) for name in names for words in (f"media/still/{name}", review.CAPTIONS[name])]
    assert places == sorted(places)
