"""A night of fictional orders through pods, some broken in three ways; shared by the test and the benchmark."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.noop_orders import PHOTO
from tests.support.pod_studio import PodStudio

BROKEN = {
    "unreadable": "ingest refuses a photo",
    "too-few": "the quality gate closes",
    "lost": "a photo vanished from the vault before the night",
}


@dataclass(frozen=True)
class Night:
    """How the night ended: its summary, and how long it took."""

    summary: dict[str, Any]
    seconds: float

    def states(self) -> dict[str, str]:
        """State of every order by its id."""
        return {line["order"]: line["state"] for line in self.summary["orders"]}


def place_orders(studio: PodStudio, whole: int, broken: tuple[str, ...] = tuple(BROKEN)) -> list[str]:
    """Submit `whole` good orders and one for each way to be broken; returns all ids."""
    made = [studio.place(f"night-{number:02d}") for number in range(1, whole + 1)]
    for kind in broken:
        photos = {"unreadable": (b"unreadable", PHOTO), "too-few": (PHOTO,)}.get(kind, (PHOTO, PHOTO))
        made.append(studio.place(f"night-{kind}", *photos))
    if "lost" in broken:
        next((studio.home / "vault" / "orders" / "night-lost" / "originals" / "photo").iterdir()).unlink()
    return made


def run_night(studio: PodStudio, timeout: float, harm: Sequence[Callable[[], object]] = ()) -> Night:
    """Start the batch and wait until it has told how every order stands. Nobody does anything meanwhile, except `harm`:
    one after the other, each after three more pods."""
    began, coming = time.monotonic(), list(harm)
    batch = studio.memorial("batch", "run")["batch"]
    while time.monotonic() - began < timeout:
        if coming and len(studio.cluster.history("created")) >= 3 * (len(harm) - len(coming) + 1):
            coming.pop(0)()
        try:
            found = studio.memorial("batch", "show", batch)
        except AssertionError:
            found = {"closed_at": None}  # not opened yet
        if found["closed_at"]:
            return Night(found, time.monotonic() - began)
        time.sleep(2)
    raise AssertionError(f"the night is not over: {studio.memorial('batch', 'show', batch, expect=None)}")
