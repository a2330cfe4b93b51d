"""Reviews: bound to exactly what was judged, by as many persons as the purpose needs, and what a rejection changes."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memorial_tasks.cli import order
from memorial_tasks.consent import acts
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import InputRefused, MemorialError
from memorial_tasks.production import orders, review, steps
from memorial_tasks.production.review import POINTS
from memorial_tasks.production.steps import plan
from memorial_tasks.production.studio import Studio, Who
from memorial_tasks.settings import Settings
from tests.integration.consent.conftest import House
from tests.integration.production.made import make

pytestmark = pytest.mark.integration

ORDER, RUN = "order-1", "order-1--1"
AIRFLOW = Who("service", "airflow", "memorial_order", RUN, "review_film", 1)
PUBLIC = {
    "purpose": "public_memorial",
    "consent": {"audience": "everybody", "channels": ["web"], "territory": ["CN"]},
    "subject": {
        "name": "陈秀英",
        "born": "1931-04-02",
        "died": "2019-11-20",
        "domicile": "CN",
        "lifetime_arrangement": {"kind": "permits", "purposes": ["public_memorial"], "evidence": ["p/will.pdf"]},
    },
    "grantors": [
        {
            "name": "林晓",
            "relation": "daughter",
            "evidence": ["p/kinship.pdf", "p/death.pdf", "p/identity.pdf"],
        }
    ],
}
Opened = Callable[..., House]


@pytest.fixture
def studio(database: str, tmp_path: Path) -> Opened:
    """A studio with one order that has a film and runs; settings and order as the test wants them."""

    def build(order: dict[str, Any] | None = None, **settings: Any) -> House:
        chosen = Settings(home=tmp_path / "home", database_url=database, **settings)
        house = House(Studio.open(chosen), datetime.now(UTC))
        house.enter(ORDER, **(order or {}))
        with house.tx() as connection:
            acts.approve_evidence(connection, ORDER, house.studio.keys, approver="ben", now=house.at)
        make(house.studio, ORDER)
        orders.restart(house.studio, ORDER, AIRFLOW)
        orders.move(house.studio, ORDER, OrderState.RUNNING, AIRFLOW)
        return house

    return build


def answer(house: House, reviewer: str | None, approved: bool, at: str = "film", **more: Any) -> bool:
    task = f"review_{at}"
    who = Who("service", "airflow", "memorial_order", RUN, task, 1)
    given = {"reason": "", "review_id": f"{task}.{reviewer}.{approved}", "who": who} | more
    return review.record_decision(house.studio, ORDER, POINTS[at], approved=approved, reviewer=reviewer, **given)


def asked(house: House, at: str = "film", second: bool = False) -> bool:
    task = f"review_{at}{'_second' if second else ''}"
    who = Who("service", "airflow", "memorial_order", RUN, task, 1)
    return review.open_review(house.studio, ORDER, POINTS[at], second, who) is not None


def digest(house: House, at: str) -> str:
    with house.tx() as connection:
        return review.judged(house.studio, connection, house.studio.order(connection, ORDER), POINTS[at])


def released(house: House) -> bool:
    try:
        review.require_release(house.studio, ORDER, AIRFLOW)
    except MemorialError:
        return False
    return True


class TestWhoIsAsked:
    """Only where the studio asks, and never anybody twice about the same thing."""

    def test_a_point_that_is_not_configured_asks_nobody_and_does_not_keep_the_film(self, studio: Opened) -> None:
        house = studio()
        assert [at for at in POINTS if asked(house, at)] == ["film"]
        answer(house, "rita", True)
        assert released(house)

    def test_an_order_in_review_says_at_which_point(self, studio: Opened) -> None:
        house = studio(review_at="voice,film")
        assert asked(house, "voice")
        assert house.order().state is OrderState.IN_REVIEW
        assert review.open_point(house.order()) == POINTS["voice"]
        answer(house, "rita", True, "voice")
        assert house.order().state is OrderState.RUNNING

    def test_what_is_approved_is_not_asked_about_again(self, studio: Opened) -> None:
        house = studio()
        assert asked(house)
        answer(house, "rita", True)
        assert not asked(house)
        assert not asked(house, second=True)

    def test_an_answer_counts_from_the_making_on_and_only_until_it_was_acted_upon(self, studio: Opened) -> None:
        """Who clears a rejected review in Airflow wants to be asked, not to have the old answer taken again."""
        house = studio()
        made, voice = (review.open_since(house.studio, ORDER, POINTS[at]) for at in ("film", "voice"))
        given = datetime.now(UTC)
        assert given > made
        answer(house, "rita", False)
        assert review.open_since(house.studio, ORDER, POINTS["film"]) > given
        assert review.open_since(house.studio, ORDER, POINTS["voice"]) == voice

    @pytest.mark.parametrize("point", ["script", "voice", "still"])
    def test_a_configured_point_that_nobody_approved_keeps_the_film(self, studio: Opened, point: str) -> None:
        house = studio(review_at=f"{point},film")
        answer(house, "rita", True)
        assert not released(house)
        answer(house, "rita", True, point)
        assert released(house)

    def test_a_studio_cannot_leave_the_film_out(self) -> None:
        with pytest.raises(ValueError, match="film"):
            Settings(review_at="voice")


class TestTwoPersons:
    """A film that strangers will see needs two; the registry says so, whatever Airflow shows."""

    def test_one_person_is_not_enough_for_the_public(self, studio: Opened) -> None:
        house = studio(PUBLIC)
        assert asked(house)
        answer(house, "rita", True)
        assert not released(house)
        assert not asked(house)
        assert asked(house, second=True)
        answer(house, "sam", True)
        assert released(house)

    @pytest.mark.parametrize("again", ["rita", "RITA", " Rita "])
    def test_the_same_person_twice_is_one_person(self, studio: Opened, again: str) -> None:
        house = studio(PUBLIC)
        answer(house, "rita", True)
        assert review.may_answer(house.studio, ORDER, POINTS["film"], again) == "review.same_person"
        answer(house, again, True, review_id="forced past the question")
        assert not released(house)

    def test_whoever_entered_the_order_does_not_count_where_that_is_the_rule(self, studio: Opened) -> None:
        house = studio(review_by_others=True)
        assert review.may_answer(house.studio, ORDER, POINTS["film"], "Ann") == "review.own_order"
        answer(house, "ann", True)
        assert not released(house)
        answer(house, "rita", True)
        assert released(house)

    def test_an_attempt_that_does_not_count_is_in_the_audit_log(self, studio: Opened) -> None:
        house = studio(PUBLIC)
        review.note_uncounted(house.studio, ORDER, POINTS["film"], "rita", "review.same_person", AIRFLOW)
        last = house.audit()[-1]
        assert (last.type, last.actor.id, last.reason_code) == ("review.uncounted", "rita", "review.same_person")

    def test_the_second_persons_rejection_takes_the_firsts_approval_back(self, studio: Opened) -> None:
        house = studio(PUBLIC)
        answer(house, "rita", True)
        answer(house, "sam", False)
        answer(house, "tom", True)
        assert not released(house)


class TestRejections:
    """What the next try changes is said by the reviewer, written down once, and nothing else changes."""

    @pytest.mark.parametrize(
        ("cause", "step"),
        [("voice", "train_voice"), ("speech", "speak"), ("face", "train_face"), ("motion", "animate")],
    )
    def test_the_step_gets_another_seed_and_all_before_it_stays(self, studio: Opened, cause: str, step: str) -> None:
        house = studio()

        def key(name: str) -> str:
            with house.tx() as connection:
                return plan(house.studio, connection, house.studio.order(connection, ORDER), name).key

        kept = {name: key(name) for name in ("ingest", "prepare_face", "prepare_voice")}
        before = key(step)
        assert not answer(house, "rita", False, causes=[cause])
        row = house.order()
        assert (row.state, row.reason_code, row.stage) == (OrderState.REJECTED, f"review.{cause}", "review_film")
        assert key(step) != before
        assert {name: key(name) for name in kept} == kept
        assert not released(house)
        revised = [entry.data for entry in house.audit() if entry.type == "order.revised"]
        assert revised == [{"step": step, "revision": 1, "changes": "seed"}]
        assert orders.restart(house.studio, ORDER, AIRFLOW) == "order-1--2"

    @pytest.mark.parametrize("causes", [[], ["other"], ["film"]])
    def test_a_rejection_that_changes_nothing_puts_the_same_film_there_again(
        self, studio: Opened, causes: list[str]
    ) -> None:
        house = studio()
        before = digest(house, "film")
        answer(house, "rita", False, causes=causes)
        assert digest(house, "film") == before
        assert house.order().revisions == {}
        orders.restart(house.studio, ORDER, AIRFLOW)
        orders.move(house.studio, ORDER, OrderState.RUNNING, AIRFLOW)
        assert asked(house)

    def test_the_same_answer_heard_twice_changes_the_seed_once(self, studio: Opened) -> None:
        house = studio()
        for _ in range(2):
            assert not answer(house, "rita", False, causes=["motion"])
        assert house.order().revisions == {"animate": 1}

    def test_a_rejected_script_stays_rejected_until_there_is_another(self, studio: Opened) -> None:
        house = studio(review_at="script,film")
        assert asked(house, "script")
        answer(house, "rita", False, "script", causes=["script"])
        assert "memorial order script" in orders.next_action(ORDER, OrderState.REJECTED, "review.script")
        with pytest.raises(MemorialError, match="still the same"):
            orders.restart(house.studio, ORDER, AIRFLOW)

    def test_a_word_that_is_no_cause_is_refused(self, studio: Opened) -> None:
        with pytest.raises(InputRefused, match="one of script, voice"):
            answer(studio(), "rita", False, causes=["her nose"])

    def test_nobodys_answer_is_a_rejection_that_changes_nothing(self, studio: Opened) -> None:
        house = studio()
        assert answer(house, None, True, causes=[]) is False
        assert house.order().reason_code == "review.timeout"
        assert house.order().revisions == {}


class _Airflow:
    """A double of Airflow's client, which writes down what it is asked to do: the run that asks is under way there."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []

    def __enter__(self) -> "_Airflow":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def over(self, _dag: str, _run: str) -> bool:
        return False

    def start(self, _dag: str, _order: str, run: str) -> None:
        self.started.append(run)

    def stop_run(self, _dag: str, run: str, _note: str) -> None:
        self.stopped.append(run)


class TestAnUpdateWhileAPersonIsAsked:
    """A film of yesterday's code cannot be released, and nobody may be left before a question no answer can end."""

    @pytest.fixture
    def airflow(self, monkeypatch: pytest.MonkeyPatch) -> _Airflow:
        double = _Airflow()
        monkeypatch.setattr("memorial_tasks.cli.airflow.client", lambda *_: double)
        return double

    def run_again(self, house: House) -> None:
        order._trigger(house.studio, ORDER, follow=False, approve=False, as_json=True)

    def test_the_answer_is_refused_with_the_command_that_helps(
        self, studio: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house = studio()
        assert asked(house)
        assert not review.outdated(house.studio, ORDER)
        monkeypatch.setattr(steps, "code_version", lambda step: f"{step} of tomorrow")
        assert review.outdated(house.studio, ORDER)
        with pytest.raises(MemorialError, match="changed since") as refused:
            review.may_answer(house.studio, ORDER, POINTS["film"], "rita")
        assert refused.value.remedy.startswith(f"memorial order run {ORDER}")

    def test_running_the_order_again_replaces_the_run_that_asks(
        self, studio: Opened, airflow: _Airflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house = studio()
        assert asked(house)
        monkeypatch.setattr(steps, "code_version", lambda step: f"{step} of tomorrow")
        self.run_again(house)
        assert (airflow.started, airflow.stopped) == (["order-1--2"], [RUN])
        assert house.order().state is OrderState.SUBMITTED

    def test_a_question_that_still_stands_is_left_alone(self, studio: Opened, airflow: _Airflow) -> None:
        house = studio()
        assert asked(house)
        self.run_again(house)
        assert (airflow.started, airflow.stopped) == ([RUN], [])
        assert house.order().state is OrderState.IN_REVIEW
