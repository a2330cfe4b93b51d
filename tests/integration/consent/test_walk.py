"""Random walks through everything people can do to a consent: the invariants hold after every single step."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from memorial_tasks.consent import acts, registry
from memorial_tasks.consent.events import standing
from memorial_tasks.consent.watch import ActionKind, apply, due_actions, mark_done
from memorial_tasks.domain.words import OrderState
from memorial_tasks.errors import ConsentRefused, InputRefused, MemorialError

pytestmark = pytest.mark.integration
STEPS = 25


class Walk:
    """One order, acted upon at random."""

    def __init__(self, house: Any, seed: int) -> None:
        self.house, self.dice = house, random.Random(seed)
        self.tokens: list[tuple[str, int]] = []
        place = self.dice.choice(["CN", "SK"])
        kin = [{"name": "陈国强", "relation": "son", "position": self.dice.choice(["agreed", "notified"])}]
        house.enter(jurisdictions=[place], co_kin=kin, consent={"months": 2})

    def _act(self, act: Callable[..., Any], **fields: Any) -> None:
        with self.house.tx() as connection:
            act(connection, "order-1", self.house.studio.keys, self.house.sealer, now=self.house.at, **fields)

    def object(self) -> None:
        self._act(acts.object_to, name=f"N{self.dice.random()}", relation=None, reason="", operator="ann")

    def resolve(self) -> None:
        with self.house.tx() as connection:
            consent = registry.current(connection, "order-1", self.house.studio.keys.trusted, self.house.sealer)
        open_ones = standing(consent.events, self.house.at).open_objections
        chosen = self.dice.choice(open_ones).event_id if open_ones else ""
        outcome = self.dice.choice(["dismissed", "dismissed", "retracted", "court", "upheld"])
        self._act(acts.resolve, outcome=outcome, reason="", operator="ann", objection=chosen)

    def withdraw(self) -> None:
        self._act(acts.withdraw, by=self.dice.choice(["", "court"]), reason="", operator="ann")

    def renew(self) -> None:
        self._act(acts.renew, operator="ann")

    def approve(self) -> None:
        with self.house.tx() as connection:
            keys, person = self.house.studio.keys, self.dice.choice(["ann", "ben"])
            acts.approve_evidence(connection, "order-1", keys, approver=person, now=self.house.at)

    def wait(self) -> None:
        self.house.later(days=self.dice.choice([1, 1, 3, 20]))

    def permit(self) -> None:
        token, permit = self.house.permit(lifetime=timedelta(hours=20))
        self.tokens.append((token, permit.consent_version))

    def watch(self) -> None:
        with self.house.tx() as connection:
            actions = due_actions(connection, self.house.at, self.house.studio.keys.trusted)
        for action in actions:
            if action.kind is ActionKind.ERASE:
                continue
            with self.house.tx() as connection:
                apply(connection, action, self.house.studio.keys, self.house.at)
                mark_done(connection, action)

    def check(self) -> None:
        """What must be true whatever happened."""
        house = self.house
        with house.tx() as connection:
            consent = registry.current(connection, "order-1", house.studio.keys.trusted, house.sealer)
            fence = registry.live_version(connection, "order-1")
        decision, state = house.decide(), standing(consent.events, house.at)
        assert fence == consent.fence
        assert decision.granted == (not decision.against)
        if decision.granted:
            assert state.state == "given"
            assert not state.open_objections
            assert not state.upheld
            assert house.order().state not in {OrderState.WITHDRAWN, OrderState.ERASED}
        told = [entry for entry in house.audit() if "consent_event" in entry.refs]
        assert len(told) == len(consent.events), "every event, and nothing else, is in the audit log"
        for token, version in self.tokens:
            if version != fence or not decision.granted:
                with pytest.raises(ConsentRefused):
                    house.release(token)
        assert house.studio.keyring.unwrap("sub-order-1"), "none of these acts destroys a key"


@pytest.mark.parametrize("seed", range(6))
def test_the_invariants_hold_after_every_step(house: Any, seed: int) -> None:
    walk = Walk(house, seed)
    ways = [walk.object, walk.resolve, walk.approve, walk.wait, walk.permit, walk.permit, walk.watch, walk.watch]
    done = 0
    for _ in range(STEPS):
        way = walk.dice.choice([*ways, *([walk.withdraw, walk.renew] if walk.dice.random() < 0.3 else [])])
        try:
            way()
            done += 1
        except (ConsentRefused, InputRefused):
            pass  # the act was refused, which is an answer
        except MemorialError as error:
            pytest.fail(f"{way.__name__}: {error}")
        walk.check()
    assert done > STEPS // 3
