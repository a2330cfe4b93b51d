"""`memorial model evaluate` prints every figure of the examination."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from memorial_tasks.cli.model import ROWS, app
from memorial_tasks.face import examine

ROW = {"mouth_eye_psnr": 28.8, "ssim": 0.93, "sharpness": 1.01}
METRICS: dict[str, Any] = {
    "rows": dict.fromkeys(("ours", "warp", "still", "truth", "wrong_person"), ROW),  # as a database keeps them
    "identity": {"percentile": 61.0, "faces_found": 1.0, "others": None},
    "learning_curve": [{"photos": 12.0, "mouth_eye_psnr": 27.5}],
    "without_critic": {"mouth_eye_psnr": 28.7, "sharpness": 0.97},
}


@pytest.mark.parametrize(
    ("others", "faces", "told"),
    [
        (None, 1.0, "no other people to compare with"),
        (None, 0.0, "no face was found in the made pictures"),
        ({"people": 9, "eer": 0.025, "percentile": 98.0}, 1.0, "against 9 other people"),
    ],
)
def test_the_examination_is_told_in_full(
    others: Any, faces: float, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The studio and its step are doubles: a database and minutes of training belong to the integration tests."""
    identity = METRICS["identity"] | {"others": others, "faces_found": faces}
    row = SimpleNamespace(metrics=METRICS | {"identity": identity})
    studio = SimpleNamespace(settings=None)
    monkeypatch.setattr("memorial_tasks.production.studio.Studio.open", lambda: studio)
    monkeypatch.setattr("memorial_tasks.production.studio.command_actor", lambda settings: "operator")
    monkeypatch.setattr("memorial_tasks.production.steps.run_step", lambda *given: row)
    monkeypatch.setattr("memorial_tasks.production.gates.export_report", lambda *given: tmp_path)
    shown = CliRunner().invoke(app, ["evaluate", "demo-001"])
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.output.split())
    critic = "without the discriminator: 28.70 dB, sharpness 0.97"
    for line in (told, critic, "12 photos: 27.50 dB", "still 28.80 0.93"):
        assert line in words
    assert "rows from above: truth, still, warp, ours, wrong person;" in words
    places = [words.index(f"{name} 28.80") for name in ("truth", "still", "warp", "ours", "wrong person")]
    assert places == sorted(places)
    assert ("equal error rate 2.5 %" in words) == (others is not None)


def test_the_rows_are_told_in_the_order_of_the_picture() -> None:
    assert ROWS == examine.ROWS
