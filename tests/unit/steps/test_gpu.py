"""Which GPU and driver a result names."""

from pathlib import Path

import pytest

from memorial_tasks.steps import process

CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.124.06  Wed Feb 26 01:53:06 UTC 2025\nGCC version: x\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (dvs-builder)\n"


@pytest.mark.parametrize(("text", "version"), [(CLOSED, "570.124.06"), (OPEN, "580.82.07")])
def test_the_driver_is_read_from_the_kernel_module(tmp_path: Path, text: str, version: str) -> None:
    path = tmp_path / "version"
    path.write_text(text)
    assert process._driver(path) == version


def test_without_a_module_the_vendors_tool_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 550.54.15\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert process._driver(tmp_path / "none") == "550.54.15"


def test_no_driver_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert process._driver(tmp_path / "none") == ""
