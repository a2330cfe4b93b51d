"""What became of a soak: judged from the registry and the audit log, never from Airflow. Pure functions.

Airflow may have lost a task, run one twice or marked one failed; what counts for a family is what the registry and the
log say was made and handed over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

DELIVERED = "delivered"
MOVING = {"submitted", "running", "in_review"}


@dataclass(frozen=True)
class Entry:
    """One audit entry as far as the verdict needs it; `number` is its place in the log."""

    number: int
    at: datetime
    type: str
    order: str
    step: str = ""
    key: str = ""
    decision: str = ""


@dataclass(frozen=True)
class Standing:
    """What the registry says of an order: its state, the reason for it, and how many deliveries stand in it."""

    order: str
    state: str
    reason: str = ""
    deliveries: int = 0


@dataclass(frozen=True)
class Kill:
    """A fault: what was hit, when, and when it was seen running again."""

    what: str
    at: datetime
    until: datetime


@dataclass(frozen=True)
class Verdict:
    """One line per fault found. `lost` ended undelivered, or nobody knows them; `unfinished` were still on their way
    when the time was up, which is no proof that they would have arrived."""

    lost: tuple[str, ...]
    unfinished: tuple[str, ...]
    doubled: tuple[str, ...]
    disordered: tuple[str, ...]
    repeated: int  # computations that a kill made necessary: allowed, and worth knowing

    @property
    def clean(self) -> bool:
        """Every order delivered, nothing doubled or out of order."""
        return not (self.lost or self.unfinished or self.doubled or self.disordered)


def judge(
    expected: Iterable[str],
    standings: Mapping[str, Standing],
    entries: Iterable[Entry],
    kills: Sequence[Kill],
    sources: Mapping[str, Sequence[str]],
) -> Verdict:
    """Judge a soak. `sources` names for each step the steps it builds on; its keys are all steps of an order."""
    told: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda one: one.number):
        told[entry.order].append(entry)
    wanted = sorted(set(expected))
    lost: list[str] = []
    unfinished: list[str] = []
    doubled: list[str] = []
    disordered: list[str] = []
    repeated = 0
    for order in wanted:
        standing = standings.get(order)
        if standing is None:
            lost.append(f"{order}: the registry does not know it")
            continue
        if standing.state != DELIVERED:
            line = f"{order}: {standing.state} {standing.reason}".strip()
            (unfinished if standing.state in MOVING else lost).append(line)
        again, unexplained = computed_again(order, told[order], kills)
        repeated += again
        doubled += [*unexplained, *_delivered_twice(order, standing, told[order])]
        disordered += _out_of_order(order, standing, told[order], sources)
    doubled += [f"{order}: nobody ordered it" for order in sorted(set(standings) - set(wanted))]
    return Verdict(tuple(lost), tuple(unfinished), tuple(doubled), tuple(disordered), repeated)


def _delivered_twice(order: str, standing: Standing, entries: Sequence[Entry]) -> list[str]:
    handed = sum(entry.type == "film.delivered" for entry in entries)
    found = []
    if standing.deliveries > 1:
        found.append(f"{order}: {standing.deliveries} deliveries in the registry")
    if handed > 1:
        found.append(f"{order}: {handed} times handed over by the log")
    if handed != standing.deliveries:
        found.append(f"{order}: {standing.deliveries} deliveries in the registry, {handed} in the log")
    return found


def computed_again(order: str, entries: Sequence[Entry], kills: Sequence[Kill]) -> tuple[int, list[str]]:
    """How often a result was begun again after a kill, and what was begun or finished again without one.

    A kill explains a second beginning when it fell, or its outage lasted, between the two. A finished result is never
    begun again: whoever comes later must find it, kill or no kill.
    """
    begun: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    finished: Counter[tuple[str, str]] = Counter()
    again, found = 0, []
    for entry in entries:
        work = (entry.step, entry.key)
        if entry.type == "step.finished":
            finished[work] += 1
            if finished[work] > 1 and not _explained(begun[work][-2:], kills):
                found.append(f"{order}: {entry.step} finished {finished[work]} times")
        if entry.type != "step.started":
            continue
        if finished[work]:
            found.append(f"{order}: {entry.step} begun again although its result was there")
        elif begun[work]:
            again += 1
            if not _explained([begun[work][-1], entry], kills):
                found.append(f"{order}: {entry.step} begun again without a kill")
        begun[work].append(entry)
    return again, found


def _explained(pair: Sequence[Entry], kills: Sequence[Kill]) -> bool:
    return len(pair) == 2 and any(kill.at <= pair[1].at and kill.until >= pair[0].at for kill in kills)


def _out_of_order(
    order: str, standing: Standing, entries: Sequence[Entry], sources: Mapping[str, Sequence[str]]
) -> list[str]:
    done: set[str] = set()
    approved, found = False, []
    for entry in entries:
        if entry.type == "step.started":
            found += [f"{order}: {entry.step} begun before {s}" for s in sources.get(entry.step, ()) if s not in done]
        elif entry.type == "step.finished":
            done.add(entry.step)
        elif entry.type == "review.decided":
            approved = entry.decision == "approved"
        elif entry.type == "film.delivered":
            found += [f"{order}: delivered without {step}" for step in sources if step not in done]
            found += [] if approved else [f"{order}: delivered without an approval"]
    handed = any(entry.type == "film.delivered" for entry in entries)
    if handed and standing.state != DELIVERED:
        found.append(f"{order}: handed over, and {standing.state}")
    if standing.state == DELIVERED and not handed:
        found.append(f"{order}: delivered by the registry, not by the log")
    return found
