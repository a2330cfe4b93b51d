"""The settings of a process: read from its variables and its file, and once."""

from pathlib import Path

import pytest

from memorial_tasks.settings import Settings


def test_the_settings_of_a_process_are_read_again_when_they_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMORIAL_PARALLELISM", "3")
    first = Settings.current()
    assert first.parallelism == 3
    assert Settings.current() is first
    monkeypatch.setenv("MEMORIAL_PARALLELISM", "5")
    assert Settings.current().parallelism == 5
    (tmp_path / ".env").write_text("MEMORIAL_OPERATOR=ida\n")
    assert Settings.current().operator == "ida"
