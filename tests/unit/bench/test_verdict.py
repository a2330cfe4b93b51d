"""The soak's verdict finds what was planted: losses, duplicates, disorder. It forgives just what a kill explains."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from memorial_tasks.production.graph import INPUTS, sources
from tests.bench.verdict import Entry, Kill, Standing, Verdict, judge

START = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
GRAPH = {step: sources(step) for step in INPUTS}
ORDER = "soak-0001"
GOOD = Standing(ORDER, "delivered", deliveries=1)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def history(order: str = ORDER) -> list[Entry]:
    """What the log says of an order without any trouble, one entry a minute."""
    told = [(kind, step, "") for step in INPUTS for kind in ("step.started", "step.finished")]
    told += [("review.decided", "", "approved"), ("film.delivered", "", "delivered")]
    return [
        Entry(number, minute(number), kind, order, step, f"key-of-{step}" if step else "", decision)
        for number, (kind, step, decision) in enumerate(told)
    ]


def judged(entries: list[Entry], *kills: Kill, standing: Standing | None = GOOD) -> Verdict:
    known = {standing.order: standing} if standing else {}
    return judge([ORDER], known, entries, kills, GRAPH)


def at(entries: list[Entry], kind: str, step: str = "") -> Entry:
    return next(entry for entry in entries if entry.type == kind and entry.step == step)


def again(entry: Entry, after: float) -> Entry:
    """The same entry once more, some minutes later and right behind it in the log."""
    return replace(entry, at=entry.at + timedelta(minutes=after), number=entry.number)


def test_a_night_without_trouble_is_clean() -> None:
    verdict = judged(history())
    assert verdict.clean
    assert verdict.repeated == 0


class TestLost:
    def test_an_order_the_registry_does_not_know(self) -> None:
        assert judged([], standing=None).lost == (f"{ORDER}: the registry does not know it",)

    def test_an_order_that_ended_otherwise_is_lost_and_its_reason_told(self) -> None:
        verdict = judged(history()[:6], standing=Standing(ORDER, "failed", "ingest step.failed"))
        assert verdict.lost == (f"{ORDER}: failed ingest step.failed",)
        assert not verdict.unfinished

    @pytest.mark.parametrize("state", ["submitted", "running", "in_review"])
    def test_an_order_still_on_its_way_is_not_clean(self, state: str) -> None:
        verdict = judged(history()[:6], standing=Standing(ORDER, state))
        assert verdict.unfinished == (f"{ORDER}: {state}",)
        assert not verdict.lost
        assert not verdict.clean


class TestDoubled:
    def test_two_rows_in_the_registry(self) -> None:
        assert judged(history(), standing=replace(GOOD, deliveries=2)).doubled

    def test_two_entries_in_the_log(self) -> None:
        entries = history()
        assert any("2 times" in line for line in judged([*entries, replace(entries[-1], number=99)]).doubled)

    def test_an_order_that_nobody_placed(self) -> None:
        other = Standing("soak-0002", "submitted")
        verdict = judge([ORDER], {ORDER: GOOD, "soak-0002": other}, history(), [], GRAPH)
        assert verdict.doubled == ("soak-0002: nobody ordered it",)

    def test_a_step_begun_twice_for_nothing(self) -> None:
        entries = history()
        entries.insert(1, again(entries[0], 0.5))
        assert judged(entries).doubled == (f"{ORDER}: ingest begun again without a kill",)

    def test_a_step_begun_twice_because_of_a_kill_is_no_fault(self) -> None:
        entries = history()
        entries.insert(1, again(entries[0], 0.5))
        verdict = judged(entries, Kill("worker", minute(0.2), minute(0.2)))
        assert verdict.clean
        assert verdict.repeated == 1

    def test_a_step_begun_again_during_the_outage_is_no_fault(self) -> None:
        entries = history()
        entries.insert(1, again(entries[0], 0.5))
        assert judged(entries, Kill("database", minute(-1), minute(0.2))).clean

    @pytest.mark.parametrize("moment", [-5.0, 5.0])
    def test_a_kill_at_another_time_explains_nothing(self, moment: float) -> None:
        entries = history()
        entries.insert(1, again(entries[0], 0.5))
        assert judged(entries, Kill("worker", minute(moment), minute(moment))).doubled

    def test_no_kill_explains_that_a_finished_step_is_done_again(self) -> None:
        entries = history()
        entries.insert(2, replace(entries[0], number=1, at=minute(1.5)))
        always = Kill("scheduler", minute(0), minute(99))
        assert judged(entries, always).doubled == (f"{ORDER}: ingest begun again although its result was there",)

    def test_another_result_key_is_other_work(self) -> None:
        entries = history()
        first = [replace(entry, key="key-of-older-code") for entry in entries[:2]]
        assert judged([*first, *entries]).clean

    def test_a_result_recorded_twice_without_a_kill(self) -> None:
        entries = history()
        entries.insert(2, again(entries[1], 0.5))
        assert judged(entries).doubled == (f"{ORDER}: ingest finished 2 times",)


class TestDisorder:
    @pytest.mark.parametrize(("step", "before"), [(s, b) for s in INPUTS for b in sources(s)])
    def test_a_step_begun_before_what_it_builds_on(self, step: str, before: str) -> None:
        entries = history()
        late = at(entries, "step.finished", before)
        entries.remove(late)
        entries.append(replace(late, number=at(entries, "step.started", step).number))
        assert f"{ORDER}: {step} begun before {before}" in judged(entries).disordered

    def test_delivered_without_a_step(self) -> None:
        entries = [entry for entry in history() if entry.step != "package"]
        assert judged(entries).disordered == (f"{ORDER}: delivered without package",)

    def test_delivered_without_an_approval(self) -> None:
        entries = [entry for entry in history() if entry.type != "review.decided"]
        assert judged(entries).disordered == (f"{ORDER}: delivered without an approval",)

    def test_a_rejection_is_no_approval(self) -> None:
        entries = [replace(one, decision="rejected") if one.type == "review.decided" else one for one in history()]
        assert judged(entries).disordered == (f"{ORDER}: delivered without an approval",)

    def test_both_delivered_and_failed(self) -> None:
        verdict = judged(history(), standing=Standing(ORDER, "failed", "close step.failed", deliveries=1))
        assert verdict.disordered == (f"{ORDER}: handed over, and failed",)
        assert verdict.lost

    def test_delivered_by_the_registry_alone(self) -> None:
        verdict = judged(history()[:-1])
        assert verdict.disordered == (f"{ORDER}: delivered by the registry, not by the log",)
        assert verdict.doubled == (f"{ORDER}: 1 deliveries in the registry, 0 in the log",)
