"""The studio's own night through a real scheduler: the batch, questions at two points, two persons, the pages.

The steps are the stand-ins of `tests.support.noop_steps`: what is tested here is who is asked, what counts and what is
shown, and real steps train for minutes.
"""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from psycopg2.extras import Json

from memorial_tasks.airflow.client import AirflowClient
from memorial_tasks.airflow.environment import airflow_environment
from memorial_tasks.airflow.night import ORDER_DAG
from memorial_tasks.consent import acts
from memorial_tasks.production.studio import Studio, now
from memorial_tasks.settings import Settings
from memorial_tasks.steps.contract import STEPS
from tests.integration.production.conftest import RunningStudio, _free_ports, until
from tests.support import noop_orders
from tests.support.pod_studio import settings_of, url_of_airflow

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
PUBLIC, PRIVATE, BROKEN, WITHDRAWN = "night-public", "night-private", "night-broken", "night-withdrawn"
ARRANGED = {
    "name": "Ada Example", "born": "1931-04-02", "died": "2019-11-20", "domicile": "CN",
    "lifetime_arrangement": {"kind": "permits", "purposes": ["public_memorial"], "evidence": ["papers/identity.pdf"]},
}  # fmt: skip


@dataclass
class Night:
    """What the operator, the reviewer and somebody without a session saw."""

    studio: RunningStudio
    batch: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    reopened: bool = False
    statuses: dict[str, int] = field(default_factory=dict)
    first_page: str = ""
    links: dict[str, Any] = field(default_factory=dict)
    sealing: str = ""
    unheard: list[tuple[str, str]] = field(default_factory=list)


class Hook(BaseHTTPRequestHandler):
    """The service that the studio calls when somebody has to know; keeps what it is told."""

    told: list[dict[str, Any]] = []  # noqa: RUF012 - one server, one list

    def do_POST(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def place_orders(running: RunningStudio) -> None:
    settings = Settings(home=running.home, operator="operator")
    studio = Studio.open(settings)
    noop_orders.place(
        studio, PUBLIC, purpose="public_memorial", subject=ARRANGED, priority=5,
        consent={"audience": "everybody", "channels": ["web"], "territory": ["CN"]},
    )  # fmt: skip
    with studio.transaction() as connection:
        acts.approve_evidence(connection, PUBLIC, studio.keys, approver="ben", now=now())
    noop_orders.place(studio, PRIVATE)
    noop_orders.place(studio, BROKEN, photos=(noop_orders.PHOTO,))
    noop_orders.place(studio, WITHDRAWN)
    running.memorial("consent", "withdraw", WITHDRAWN)


@pytest.fixture(scope="module")
def running(assets: Path) -> Iterator[RunningStudio]:
    home = Path(tempfile.mkdtemp(prefix="memorial-night-", dir="/tmp"))
    home.chmod(0o755)
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MEMORIAL_", "AIRFLOW"))},
        "MEMORIAL_HOME": str(home),
        "MEMORIAL_ASSETS": str(assets),
        "MEMORIAL_API_PORT": str(_free_ports()),
        "MEMORIAL_STEP_COMMAND": "python -m tests.support.noop_steps",
        "MEMORIAL_REVIEW_AT": "voice,film",
        "MEMORIAL_REVIEWERS": "rita",
        "MEMORIAL_TSA_URL": f"http://127.0.0.1:{_free_ports()}/",  # an anchor that never answers
        "MEMORIAL_NOTIFY_WEBHOOK": f"http://127.0.0.1:{hook.server_port}/",
        "PYTHONPATH": str(ROOT),
    }
    running = RunningStudio(home, environment)
    running.memorial("init")
    try:
        running.memorial("studio", "start")
        yield running
    finally:
        running.memorial("studio", "stop", expect=None)
        hook.shutdown()
        hook.server_close()
        shutil.rmtree(home, ignore_errors=True)


def password(running: RunningStudio, name: str) -> str:
    return str(json.loads((running.home / "airflow" / "passwords.json").read_text())[name])


def asked_at(running: RunningStudio, order: str) -> str:
    document = running.memorial("order", "show", order)
    return document["stage"] if document["state"] == "in_review" else document["state"]


@pytest.fixture(scope="module")
def night(running: RunningStudio) -> Night:
    place_orders(running)
    story = Night(running)
    batch = running.memorial("batch", "run")["batch"]
    address = f"http://127.0.0.1:{running.environment['MEMORIAL_API_PORT']}"
    with AirflowClient(address, "operator", password(running, "operator")) as airflow:
        airflow.trigger("memorial_audit_checkpoint", "unanswered", {})
    assert until(lambda: asked_at(running, PUBLIC) == "review_voice", 240, 1.0)
    assert until(lambda: asked_at(running, PRIVATE) == "review_voice", 240, 1.0)
    running.memorial("review", "reject", PRIVATE, "--cause", "voice", "--reason", "too thin")
    running.memorial("review", "approve", PUBLIC)
    assert until(lambda: asked_at(running, PUBLIC) == "review_film", 240, 1.0)
    _look(story, address)
    with AirflowClient(address, "operator", password(running, "operator")) as airflow:
        _lose_answer(running, airflow)
        story.unheard = airflow.parked(ORDER_DAG, answered=True)
        airflow.trigger("memorial_consent_watch", "hears", {})
    assert until(lambda: asked_at(running, PUBLIC) == "review_film_second", 120, 1.0)
    story.refused = running.memorial("review", "approve", PUBLIC, expect=1)
    with AirflowClient(address, "operator", password(running, "operator")) as airflow:
        _click_again(story, airflow)
        story.links = airflow._call("GET", f"/dags/memorial_order/dagRuns/{PUBLIC}--1/taskInstances/seal/links")
    word = running.home / "rita.password"
    word.write_text(password(running, "rita"))
    running.memorial("review", "approve", PUBLIC, "--as", "rita", "--password-file", str(word))
    running.wait_for(PUBLIC, "delivered", timeout=180)
    assert until(lambda: running.memorial("batch", "show", batch)["closed_at"], 180, 2.0)
    story.batch = running.memorial("batch", "show", batch)
    with AirflowClient(address, "operator", password(running, "operator")) as airflow:
        assert until(lambda: airflow.over("memorial_audit_checkpoint", "unanswered"), 180, 2.0)
        story.sealing = str(airflow.run("memorial_audit_checkpoint", "unanswered")["state"])
    return story


def _look(story: Night, address: str) -> None:
    """The pages without a session, with a forged one and with the reviewer's."""
    paths = ("/", "/orders", f"/orders/{PUBLIC}", f"/orders/{PUBLIC}/review", "/consents", "/audit")
    with httpx.Client(base_url=f"{address}/memorial", trust_env=False) as nobody:
        story.statuses = {path: nobody.get(path).status_code for path in paths}
        forged = {"Cookie": "_token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."}
        story.statuses["forged"] = nobody.get("/", headers=forged).status_code
        login = {"username": "rita", "password": password(story.studio, "rita")}
        token = nobody.post(f"{address}/auth/token", json=login).json()["access_token"]
        session = {"Cookie": f"_token={token}"}
        story.first_page = nobody.get("/", headers=session).text
        story.statuses["session"] = nobody.get(f"/orders/{PUBLIC}/review", headers=session).status_code
        film = nobody.get(f"/orders/{PUBLIC}/media/film/film.mp4", headers=session)
        story.statuses["film"] = film.status_code


def _lose_answer(running: RunningStudio, airflow: AirflowClient) -> None:
    """What Airflow does to an answer that comes while the question is being parked: stored, and nothing moves."""
    run, task = f"{PUBLIC}--1", "review_film"

    assert until(lambda: (run, task) in airflow.parked(ORDER_DAG, answered=False), 60)
    time.sleep(6)  # until the scheduler knows that the question is parked
    url = url_of_airflow(Studio.open(settings_of(running.environment)).database)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE hitl_detail SET responded_at = now(), chosen_options = %s, params_input = %s, responded_by = %s"
            " WHERE ti_id = (SELECT id FROM task_instance WHERE run_id = %s AND task_id = %s)",
            (Json(["Approve"]), Json({}), Json({"id": "operator", "name": "operator"}), run, task),
        )


def _click_again(story: Night, airflow: AirflowClient) -> None:
    """The same person's click in Airflow itself, past the command's own check."""
    run, task = f"{PUBLIC}--1", "review_film_second"
    time.sleep(6)  # until the scheduler knows that the question is parked
    airflow.answer("memorial_order", run, task, "Approve", {"causes": [], "reason": None})

    def open_again() -> bool:
        state = next(row["state"] for row in airflow.tasks("memorial_order", run) if row["task_id"] == task)
        return state == "awaiting_input" and not airflow.question("memorial_order", run, task)["response_received"]

    story.reopened = until(open_again, 90, 1.0)


def line(night: Night, order: str) -> dict[str, Any]:
    return next(one for one in night.batch["orders"] if one["order"] == order)


def entries(night: Night, order: str, kind: str) -> list[dict[str, Any]]:
    found = night.studio.memorial("audit", "list", "--order", order, "--type", kind, "--newest", "5000")
    return list(found["entries"])


def test_an_answer_that_airflow_let_lie_is_taken_up_by_the_next_watch(night: Night) -> None:
    assert night.unheard == [(f"{PUBLIC}--1", "review_film")]
    decided = [one for one in entries(night, PUBLIC, "review.decided") if one["data"]["at"] == "film"]
    assert [one["decision"] for one in decided] == ["approved", "approved"]


def test_the_batch_ends_with_a_line_for_every_order(night: Night) -> None:
    assert {one["order"] for one in night.batch["orders"]} == {PUBLIC, PRIVATE, BROKEN}
    assert line(night, PRIVATE)["state"] == "rejected"
    assert line(night, PRIVATE)["next_action"]
    broken = line(night, BROKEN)
    assert (broken["state"], broken["failed_stage"]) == ("blocked", "quality_gate")
    assert broken["next_action"] == f"memorial quality report {BROKEN}"


def test_nobody_sees_a_page_without_a_session(night: Night) -> None:
    assert {path: code for path, code in night.statuses.items() if path.startswith("/")} == dict.fromkeys(
        ("/", "/orders", f"/orders/{PUBLIC}", f"/orders/{PUBLIC}/review", "/consents", "/audit"), 401
    )
    assert night.statuses["forged"] in {401, 403}


def test_a_reviewer_sees_what_waits_and_the_film(night: Night) -> None:
    assert f"/memorial/orders/{PUBLIC}/review" in night.first_page
    assert "Ada" not in night.first_page
    assert (night.statuses["session"], night.statuses["film"]) == (200, 200)
    looks = entries(night, PUBLIC, "review.shown")
    assert "rita" in {entry["actor"]["id"] for entry in looks}


def test_the_same_person_twice_is_refused_and_asked_again(night: Night) -> None:
    assert "does not count" in night.refused["what"]
    assert night.reopened
    assert [entry["reason_code"] for entry in entries(night, PUBLIC, "review.uncounted")] == ["review.same_person"]


def test_two_different_persons_release_a_public_film(night: Night) -> None:
    reviews = night.studio.memorial("order", "show", PUBLIC)["reviews"]
    assert [(one["subject_matter"], one["reviewer"]) for one in reviews] == [
        ("voice", "operator"),
        ("film", "operator"),
        ("film", "rita"),
    ]


def test_a_rejected_voice_is_learned_anew_and_nothing_before_it(night: Night) -> None:
    before = {row["step"]: row["result_key"] for row in night.studio.memorial("order", "show", PRIVATE)["steps"]}
    night.studio.memorial("order", "run", PRIVATE)
    assert until(lambda: asked_at(night.studio, PRIVATE) == "review_voice", 180, 1.0)
    rows = night.studio.memorial("order", "show", PRIVATE)["steps"]
    made = [row["step"] for row in rows]
    assert made.count("train_voice") == 2
    assert made.count("train_face") == made.count("prepare_voice") == made.count("ingest") == 1
    assert before["train_voice"] in {row["result_key"] for row in rows}
    night.studio.memorial("order", "cancel", PRIVATE)


def test_tasks_link_to_the_pages_about_their_order(night: Night) -> None:
    links = night.links["extra_links"]
    assert links["Audit trail"] == f"/memorial/runs/{PUBLIC}--1/audit"
    assert links["Preview"] == f"/memorial/runs/{PUBLIC}--1/review"
    assert links["Pod log"].startswith(f"/dags/memorial_order/runs/{PUBLIC}--1/tasks/seal")


def test_a_backfilled_night_is_that_night_and_starts_nothing_twice(night: Night) -> None:
    """Orders that came in later are none of a past night's business, and a second backfill finds the night done."""
    import subprocess
    import sys
    from datetime import timedelta

    settings = Settings(home=night.studio.home, api_port=int(night.studio.environment["MEMORIAL_API_PORT"]))
    environment = airflow_environment(settings, Studio.open(settings).database) | {"PYTHONPATH": str(ROOT)}
    day = now() - timedelta(days=1)
    command = [
        sys.executable, "-m", "airflow", "backfill", "create", "--dag-id", "memorial_batch",
        "--from-date", f"{day:%Y-%m-%d}", "--to-date", f"{day:%Y-%m-%d}T23:59:59",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]

    def found() -> list[dict[str, Any]]:
        listed = night.studio.memorial("batch", "list")["batches"]
        return [one for one in listed if one["batch"] == f"night-{day:%Y-%m-%d}" and one["closed_at"]]

    assert until(found, 120, 2.0)
    assert (found()[0]["orders"], found()[0]["started"]) == (0, 0)
    assert night.studio.memorial("order", "show", PUBLIC)["run_id"] == f"{PUBLIC}--1"


def test_a_missed_anchor_fails_the_sealing_run_tells_somebody_and_stands_in_the_log(night: Night) -> None:
    assert night.sealing == "failed"
    told = [one for one in Hook.told if one.get("order") == "memorial_audit_checkpoint"]
    assert [(one["state"], one["stage"]) for one in told] == [("failed", "seal_log")] * len(told)
    assert told
    missed = night.studio.memorial("audit", "list", "--type", "anchor.missed", "--newest", "100")["entries"]
    assert {entry["data"]["anchor"] for entry in missed} == {"rfc3161"}
    # the log itself is sealed all the same, in the place that can be reached
    assert night.studio.memorial("audit", "verify")["anchored"] > 0


def test_every_task_of_an_order_left_its_entry(night: Night) -> None:
    """Who, what, with which bytes and code: for every step and act of the order that was delivered."""
    found = entries(night, PUBLIC, "")
    kinds = {entry["type"] for entry in found}
    assert {
        "order.submitted", "evidence.entered", "evidence.approved", "consent.given", "consent.decided", "order.started",
        "permit.issued", "key.released", "gate.passed", "step.started", "step.finished", "review.decided",
        "film.delivered",
    } <= kinds  # fmt: skip
    started = {entry["data"]["result_key"]: entry for entry in found if entry["type"] == "step.started"}
    finished = [entry for entry in found if entry["type"] == "step.finished"]
    assert {entry["data"]["step"] for entry in finished} == set(STEPS)
    for entry in finished:
        begun = started[entry["data"]["result_key"]]
        assert begun["refs"], f"{entry['data']['step']} names no input"
        made = [name for name in entry.get("refs", {}) if name.startswith("output/")]
        assert made or entry["data"]["step"] == "package", f"{entry['data']['step']} names no output"
        assert {"code", "seed"} <= set(begun["data"]) & set(entry["data"]), entry["data"]["step"]
        assert (entry["run"]["dag_id"], entry["run"]["task_id"]) == ("memorial_order", entry["data"]["step"])
    assert all(entry["actor"]["id"] for entry in found)
