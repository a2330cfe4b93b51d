"""`memorial order run --follow --approve`: every question of the run is answered once, and the run's end is told."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from memorial_tasks.cli import airflow as answering
from memorial_tasks.cli import order
from memorial_tasks.errors import MemorialError, Unavailable


class Run:
    """A named double of Airflow's client: a run whose tasks stand, look by look, as the test wrote them down.

    Reason: a real run asks its questions minutes apart, and one whose question is asked anew cannot be had at will. A
    question stays where it is until it was answered; then the run goes on.
    """

    def __init__(self, *looks: dict[str, tuple[str, int]], ends: str = "success", counts: bool = True) -> None:
        self.looks, self.ends, self.counts = list(looks), ends, counts
        self.answers: list[tuple[str, int, str]] = []

    def _now(self) -> dict[str, tuple[str, int]]:
        return self.looks[0]

    def run(self, _dag: str, _run: str) -> dict[str, str]:
        return {"state": self.ends if len(self.looks) == 1 else "running"}

    def tasks(self, _dag: str, _run: str) -> list[dict[str, Any]]:
        shown = self._now()
        if len(self.looks) > 1 and not self._waits():
            self.looks.pop(0)
        return [
            {"task_id": name, "state": state, "try_number": tries, "start_date": None, "duration": 1.0,
             "task_display_name": name}
            for name, (state, tries) in shown.items()
        ]  # fmt: skip

    def _waits(self) -> bool:
        given = {(name, tries) for name, tries, _ in self.answers}
        asked = {(name, tries) for name, (state, tries) in self._now().items() if state == "awaiting_input"}
        return bool(asked - given) or (bool(asked) and not self.counts)

    def question(self, _dag: str, _run: str, _task: str) -> dict[str, bool]:
        return {"response_received": self.counts}

    def answer(self, _dag: str, _run: str, task: str, option: str, _form: Any) -> dict[str, str]:
        self.answers.append((task, self._now()[task][1], option))
        return {"chosen": option}


ASKS, DONE, WORKS = "awaiting_input", "success", "running"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes a second a look, so that nobody waits."""
    ticks = count()
    monkeypatch.setattr(order.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(order.time, "sleep", lambda seconds: None)


def follow(run: Run, *, approve: bool = True) -> bool:
    return order._follow(run, None, "order-1", "run-1", approve, quiet=True)


def test_every_question_of_a_run_is_answered_once() -> None:
    run = Run(
        {"review_script": (ASKS, 1)},
        {"review_script": (DONE, 1), "speak": (WORKS, 1)},
        {"review_script": (DONE, 1), "speak": (DONE, 1), "review_film": (ASKS, 1)},
        {"review_script": (DONE, 1), "review_film": (DONE, 1)},
        {"review_film": (DONE, 1)},
    )
    assert follow(run)
    assert run.answers == [("review_script", 1, "Approve"), ("review_film", 1, "Approve")]


def test_a_question_that_is_asked_anew_is_answered_anew() -> None:
    run = Run(
        {"review_film": (ASKS, 1)},
        {"review_film": (DONE, 1)},
        {"review_film": (WORKS, 2)},
        {"review_film": (ASKS, 2)},
        {"review_film": (DONE, 2)},
        {"review_film": (DONE, 2)},
    )
    assert follow(run)
    assert run.answers == [("review_film", 1, "Approve"), ("review_film", 2, "Approve")]


def test_without_leave_to_approve_it_stops_at_the_question() -> None:
    run = Run({"ingest": (WORKS, 1)}, {"review_film": (ASKS, 1)}, {"review_film": (DONE, 1)})
    assert follow(run, approve=False)
    assert run.answers == []


@pytest.mark.parametrize(("ends", "well"), [("success", True), ("failed", False)])
def test_how_the_run_ended_is_told(ends: str, well: bool) -> None:
    assert follow(Run({"ingest": (WORKS, 1)}, {"ingest": (DONE, 1)}, ends=ends)) is well


def test_an_answer_that_does_not_count_is_an_error_and_no_endless_wait() -> None:
    run = Run({"review_film": (ASKS, 1)}, {"review_film": (DONE, 1)}, counts=False)
    with pytest.raises(MemorialError, match="does not count"):
        follow(run)
    assert len(run.answers) == 1


@pytest.mark.parametrize(("state", "error"), [("running", MemorialError), ("success", MemorialError)])
def test_where_nothing_is_asked_nothing_is_answered(state: str, error: type[MemorialError]) -> None:
    run = Run({"review_film": (state, 1)})
    with pytest.raises(error, match="no question is open"):
        answering.answer_review(run, "dag", "run-1", "review_film", "Approve", None)
    assert run.answers == []


def test_an_answer_that_nobody_takes_up_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run({"review_film": (ASKS, 1)}, {"review_film": (DONE, 1)})
    stuck: Callable[..., list[dict[str, Any]]] = lambda *_: [{"task_id": "review_film", "state": ASKS, "try_number": 1}]  # noqa: E731
    monkeypatch.setattr(run, "tasks", stuck)
    with pytest.raises(Unavailable, match="not taken up"):
        answering.answer_review(run, "dag", "run-1", "review_film", "Approve", None)


class Forgetful(Run):
    """The double again, of an Airflow that takes the answer for a foreign change, throws it away with the try it was
    given to and asks anew: a race of its scheduler, which loses one answer in some hundred under load and cannot be had
    at will. `forgets` so many answers; each further look is a step of the run."""

    def __init__(self, *looks: dict[str, tuple[str, int]], forgets: int = 1) -> None:
        super().__init__(*looks)
        self.forgets = forgets

    def _waits(self) -> bool:
        asked = self._now().get("review_film", ("", 0))
        return asked[0] == ASKS and asked[1] not in [tries for _, tries, _ in self.answers]

    def question(self, _dag: str, _run: str, _task: str) -> dict[str, bool]:
        return {"response_received": len(self.answers) > self.forgets}


LOST = ({"review_film": (ASKS, 1)}, {"review_film": ("up_for_retry", 1)}, {"review_film": (WORKS, 2)})


def test_an_answer_that_airflow_lost_is_given_again_when_the_next_try_asks() -> None:
    run = Forgetful(*LOST, *[{"review_film": (ASKS, 2)}] * 8, {"review_film": (DONE, 2)}, {"review_film": (DONE, 2)})
    assert follow(run)
    assert run.answers == [("review_film", 1, "Approve"), ("review_film", 2, "Approve")]


def test_a_rejection_that_airflow_lost_stays_a_rejection() -> None:
    run = Forgetful(*LOST, *[{"review_film": (ASKS, 2)}] * 8, {"review_film": (DONE, 2)}, {"review_film": (DONE, 2)})
    answering.answer_review(run, "dag", "run-1", "review_film", "Reject", "the voice", ["voice"])
    assert [option for _, _, option in run.answers] == ["Reject", "Reject"]


def test_a_second_person_is_not_replaced_by_answering_again() -> None:
    """The same try asks again: the approval was heard and does not count, so that somebody else has to answer."""
    run = Forgetful({"review_film": (ASKS, 2)}, *[{"review_film": (ASKS, 2)}] * 20, {"review_film": (DONE, 2)})
    with pytest.raises(MemorialError, match="does not count"):
        answering.answer_review(run, "dag", "run-1", "review_film", "Approve", None)
    assert len(run.answers) == 1
