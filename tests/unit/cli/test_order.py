"""What `memorial order` prints: words that people wrote are shown as they were written."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from memorial_tasks.cli.order import app
from memorial_tasks.database import registry
from memorial_tasks.domain.words import OrderState

SAID = "the mouth [left] is shut [/] too long"


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A studio with one rejected order. A double: the database has tests of its own, this is about words."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = SimpleNamespace(
        order_id="order-1", state=OrderState.REJECTED, stage="review_film", reason_code="review.motion", reason=SAID,
        run_id="order-1--1", film_uri=None, film_sha256=None, purpose="family_private", language="en-US", promised=None,
        priority=0, created_at=at, updated_at=at, revisions={}, consent_id="c",
    )  # fmt: skip
    judged = SimpleNamespace(
        subject_matter="film", decision="rejected", reviewer="rita", decided_at=at, causes=["motion"], reason=SAID
    )

    @contextmanager
    def transaction() -> Iterator[None]:
        yield None

    def order(*_: Any) -> Any:
        return row

    studio = SimpleNamespace(transaction=transaction, order=order)
    monkeypatch.setattr("memorial_tasks.production.studio.Studio.open", lambda: studio)
    for name, found in (("reviews", [judged]), ("steps", []), ("deliveries", []), ("materials", []), ("orders", [row])):
        monkeypatch.setattr(registry, f"list_{name}", lambda *_, _found=found, **__: _found)


@pytest.mark.usefixtures("stopped")
def test_what_a_reviewer_wrote_is_shown_as_it_was_written() -> None:
    shown = CliRunner().invoke(app, ["show", "order-1"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count(SAID) == 2, "once as the order's reason, once as the review's"
    listed = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["list"])
    assert listed.exit_code == 0, listed.output
    assert SAID in listed.output
