"""One order, end to end, through a real scheduler: killed on the way, rejected once, delivered once."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.production.conftest import RunningStudio, kill, until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ORDER = "e2e-delivered"
TRAINING = ("train_voice", "train_face")


@dataclass
class Story:
    """What happened to the order, in the order in which it happened."""

    killed_step: str
    rejected: dict[str, Any]
    delivered: dict[str, Any]
    again: dict[str, Any]
    film: Path


def _trained(studio: RunningStudio) -> str | None:
    for step in TRAINING:
        if studio.step_process(step) and studio.has_checkpoint(ORDER, step):
            return step
    return None


@pytest.fixture(scope="module")
def story(studio: RunningStudio, family: Callable[..., Path]) -> Story:
    studio.memorial("order", "submit", str(family(ORDER)))
    studio.memorial("order", "run", ORDER)
    # The step is killed in the middle of its training, then the scheduler.
    assert until(lambda: _trained(studio), 900), studio.memorial("order", "show", ORDER)
    step = _trained(studio)
    assert step is not None
    pid = studio.step_process(step)
    assert pid is not None
    kill(pid)
    scheduler = studio.pids()["scheduler"]
    kill(scheduler)
    assert until(lambda: studio.pids()["scheduler"] != scheduler, 60)
    studio.wait_for(ORDER, "in_review")
    studio.memorial("review", "reject", ORDER, "--reason", "too loud")
    studio.wait_for(ORDER, "rejected", timeout=120)
    rejected = studio.memorial("order", "show", ORDER)
    studio.memorial("order", "run", ORDER)
    studio.wait_for(ORDER, "in_review", timeout=300)
    studio.memorial("review", "approve", ORDER)
    studio.wait_for(ORDER, "delivered", timeout=300)
    delivered = studio.memorial("order", "show", ORDER)
    again = studio.memorial("order", "run", ORDER, "--follow")
    return Story(
        step, rejected, delivered, again | {"show": studio.memorial("order", "show", ORDER)}, Path(delivered["film"])
    )


def test_a_killed_training_resumes_and_the_run_goes_on(story: Story) -> None:
    rows = {row["step"]: row for row in story.delivered["steps"]}
    assert rows[story.killed_step]["attempts"] >= 2
    assert rows[story.killed_step]["state"] == "done"


def test_the_killed_training_took_up_its_checkpoint(studio: RunningStudio, story: Story) -> None:
    entries = studio.memorial("audit", "list", "--order", ORDER, "--newest", "5000")["entries"]
    resumed = [e["data"]["step"] for e in entries if e["type"] == "step.finished" and e["data"].get("resumed") is True]
    assert story.killed_step in resumed


def test_a_rejection_ends_the_run_with_its_reason(story: Story) -> None:
    assert story.rejected["state"] == "rejected"
    assert story.rejected["reason"] == "too loud"
    assert story.rejected["film"] is None
    assert [review["decision"] for review in story.delivered["reviews"]] == ["rejected", "approved"]


def test_the_film_is_delivered_once_and_verifies(studio: RunningStudio, story: Story) -> None:
    assert story.film.is_file()
    assert len(story.delivered["deliveries"]) == 1
    verified = studio.memorial("verify", str(story.film))
    assert verified["verified"] is True
    for layer in ("label", "aigc", "c2pa", "watermark", "audit"):
        assert verified[layer]["ok"], (layer, verified[layer])


def test_the_memorial_page_holds_exactly_the_approved_film(story: Story) -> None:
    page = story.film.parent / "page"
    assert (page / "film.mp4").read_bytes() == story.film.read_bytes()
    text = (page / "index.html").read_text("utf-8")
    assert "https://" not in text
    assert list((page / "subtitles").glob("*.vtt"))


def test_a_second_run_of_a_finished_order_repeats_nothing(story: Story) -> None:
    def made(document: dict[str, Any]) -> dict[str, tuple[int, str]]:
        return {row["step"]: (row["attempts"], row["finished_at"]) for row in document["steps"]}

    assert made(story.again["show"]) == made(story.delivered)
    assert story.again["state"] == "delivered"
    assert len(story.again["show"]["deliveries"]) == 1


def test_no_step_takes_four_gigabytes(story: Story) -> None:
    assert {
        row["step"]: row["peak_memory_mb"] for row in story.delivered["steps"] if row["peak_memory_mb"] > 4096
    } == {}


def test_the_trail_is_whole_and_verifies(studio: RunningStudio, story: Story) -> None:
    assert studio.memorial("audit", "verify")["verified"] is True
    kinds = {
        entry["type"] for entry in studio.memorial("audit", "list", "--order", ORDER, "--newest", "5000")["entries"]
    }
    assert {
        "order.submitted",
        "permit.issued",
        "key.released",
        "gate.passed",
        "review.decided",
        "film.delivered",
    } <= kinds


def test_nothing_personal_is_in_logs_or_airflows_database(studio: RunningStudio, story: Story) -> None:
    """Names and script lines of the family must be in no log file of Airflow, and in none of its tables."""
    words = [b"Margaret", b"\\u5b69\\u5b50"]
    document = json.loads(json.dumps(studio.memorial("order", "show", ORDER)))
    assert "name" not in document
    logs = list((studio.home / "airflow").rglob("*.log"))
    assert logs
    for path in logs:
        text = path.read_bytes()
        assert not any(word in text for word in words), path


def test_the_vault_holds_ciphertext_only(studio: RunningStudio, story: Story) -> None:
    for path in (studio.home / "vault" / "orders" / ORDER).rglob("*"):
        if path.is_file() and path.name != "result.json":
            assert path.read_bytes()[:4] == b"MSV1", path


def test_no_plaintext_outlives_the_steps(studio: RunningStudio, story: Story) -> None:
    for root in (Path("/dev/shm"), Path("/tmp")):
        for folder in root.glob("memorial-*-*"):
            pid = folder.name.split("-")[1]
            if folder.is_dir() and pid.isdigit():
                assert Path(f"/proc/{pid}").exists(), folder


def test_withdrawn_consent_ends_a_run_before_anything_is_opened(
    studio: RunningStudio, family: Callable[..., Path]
) -> None:
    order = "e2e-withdrawn"
    studio.memorial("order", "submit", str(family(order)))
    studio.memorial("consent", "withdraw", order, expect=None)
    studio.memorial("order", "run", order, expect=None)
    document = studio.memorial("order", "show", order)
    assert document["state"] in {"withdrawn", "refused"}
    assert document["steps"] == []
    assert document["film"] is None


def test_a_failed_gate_ends_the_run_with_the_reason_in_the_orders_state(
    studio: RunningStudio, family: Callable[..., Path]
) -> None:
    order = "e2e-blocked"
    studio.memorial("order", "submit", str(family(order, recordings=1)))
    studio.memorial("order", "run", order)
    studio.wait_for(order, "blocked", timeout=600)
    document = studio.memorial("order", "show", order)
    assert document["reason_code"].startswith("quality")
    assert "voice" in document["reason"]
    assert {row["step"] for row in document["steps"]} == {"ingest", "quality_gate"}


def test_a_used_order_id_and_bad_files_are_refused_together(studio: RunningStudio, family: Callable[..., Path]) -> None:
    path = family("e2e-broken")
    photo = sorted((path.parent / "photos").iterdir())[0]
    photo.write_bytes(photo.read_bytes()[:2000])
    text = path.read_text("utf-8").replace("order: e2e-broken", f"order: {ORDER}\nsurprise: 1")
    path.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "memorial_tasks.cli", "order", "submit", str(path), "--json"],
        env=studio.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    problems = json.loads(done.stdout)["problems"]
    assert {"order.unknown_key", "order.id_used"} <= {problem["code"] for problem in problems}
    assert any(problem["file"] == f"photos/{photo.name}" for problem in problems)
    assert all(problem["remedy"] for problem in problems)
