"""A changed setting is written into the log once, whoever notices it first, and never with its value."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.audit import configuration
from memorial_tasks.audit.service import AuditRoom
from memorial_tasks.database.connection import transaction
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings

pytestmark = pytest.mark.integration


def note_settings(url: str, settings: Mapping[str, Any], keyring: Path) -> list[str]:
    with transaction(url) as connection:
        return configuration.note_settings(connection, settings, keyring)


def test_a_change_is_told_by_name_and_digest_only(room: AuditRoom, tmp_path: Path) -> None:
    before = {"train": "cpu", "database_url": "postgresql://u:secret-word@host/db", "operator": "ann"}
    assert note_settings(room.url, before, tmp_path / "keyring") == ["database_url", "train"]
    assert note_settings(room.url, before | {"operator": "bob"}, tmp_path / "keyring") == []
    assert note_settings(room.url, before | {"train": "tiny"}, tmp_path / "keyring") == ["train"]
    room.checkpoint()
    first, second = room.entries(kind="settings.changed")
    assert first["data"] == {"changed": 2, "first": True}
    assert second["data"] == {"changed": 1, "first": False}
    assert list(second["refs"]) == ["train"]
    assert second["refs"]["train"] != first["refs"]["train"]
    assert "secret-word" not in str(first)


def test_sixteen_processes_that_start_at_once_write_one_entry(room: AuditRoom, tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as many:
        done = list(many.map(lambda _: note_settings(room.url, {"train": "tiny"}, tmp_path / "keyring"), range(16)))
    assert sorted(map(len, done)) == [0] * 15 + [1]
    room.checkpoint()
    assert len(room.entries(kind="settings.changed")) == 1


def test_opening_a_studio_notes_its_settings_and_steps_name_their_image(room: AuditRoom, tmp_path: Path) -> None:
    image = "sha256:" + "ab" * 32
    settings = Settings(home=tmp_path / "home", database_url=room.url, image_digest=image)
    for _ in range(2):
        studio = Studio.open(settings)
    who = Who("service", "airflow", "memorial_order", "order-1--1", "animate", 2)
    with studio.transaction() as connection:
        studio.audit(connection, "step.failed", who, order_id="order-1", data={"step": "animate"})
    room.checkpoint()
    assert len(room.entries(kind="settings.changed")) == 1
    (failed,) = room.entries(kind="step.failed")
    assert failed["data"] == {"step": "animate", "image": image}
    assert failed["run"] == {"dag_id": "memorial_order", "run_id": "order-1--1", "task_id": "animate", "try": 2}
