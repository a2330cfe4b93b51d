"""Step parameters: fixed by the order, free of personal data, accepted by the steps themselves."""

import importlib
from datetime import UTC, datetime
from typing import Any

import pytest

from memorial_tasks.database.registry import OrderRow
from memorial_tasks.domain.words import OrderState, Purpose
from memorial_tasks.production.params import step_params
from memorial_tasks.settings import Settings
from memorial_tasks.steps.contract import STEPS


def order(**deliver: Any) -> OrderRow:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return OrderRow(
        order_id="demo-001", subject_id="sub-1", state=OrderState.RUNNING, reason_code="", reason="",
        purpose=Purpose.FAMILY_PRIVATE, language="zh-CN", jurisdictions=("CN",), priority=0, promised=None,
        sealed_document=None, document_sha256="0" * 64, script_sha256="0" * 64, deliver=deliver, consent_id="c-1",
        run_id=None, film_uri=None, created_at=at, updated_at=at,
    )  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_every_step_accepts_what_it_is_given(step: str) -> None:
    given = step_params(Settings(), order(size="720p", fps=25, subtitles=["zh-CN"], formats=["mp4", "page"]), step)
    importlib.import_module(f"memorial_tasks.steps.{step}").Params.model_validate(given)


def test_the_training_is_the_one_the_order_came_in_with() -> None:
    """Somebody who looks at the order under another setting must find the same results, not none."""
    for setting in ("tiny", "production"):
        assert step_params(Settings(train=setting), order(train="cpu"), "train_face") == {"config": "cpu"}


def test_a_production_studio_seals_as_one() -> None:
    assert step_params(Settings(profile="production"), order(), "seal")["profile"] == "production"


def test_the_face_is_prepared_for_the_sizes_in_which_it_will_be_shown() -> None:
    given = step_params(Settings(), order(size="2160p", formats=["mp4", "vertical"]), "prepare_face")
    assert given == {"size": "2160p", "upright": True}
    assert step_params(Settings(), order(), "prepare_face") == {"size": "1080p", "upright": False}
