"""Estimates from past orders: near the truth when the past says it, silent when it says nothing.

The synthetic studio below states its model: each step takes a fixed time plus a rate times its driver, both times a
noise of lognormal spread, and one order in ten met a slow machine. The estimator knows none of this.
"""

import math
import random
from decimal import Decimal

import pytest

from memorial_tasks.production.costs import price
from memorial_tasks.production.estimates import (
    DRIVER,
    FILM,
    MATERIAL,
    PHOTOS,
    PIXELS,
    SCRIPT,
    VOICE,
    Past,
    Work,
    expected_error,
    fit,
    foreseen,
    predict,
    wall,
)
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.settings import Settings

# Seconds: fixed, and at the middle of the driver's range.
MODEL = {
    "ingest": (3, 20), "quality_gate": (10, 30), "prepare_face": (5, 25), "train_face": (420, 60),
    "prepare_voice": (4, 20), "train_voice": (300, 90), "direct": (1, 1), "speak": (6, 30), "animate": (20, 240),
    "compose": (10, 200), "seal": (10, 120), "output_gate": (15, 60), "package": (1, 4),
}  # fmt: skip
MIDDLE = {MATERIAL: 60e6, PHOTOS: 30.0, VOICE: 40e6, SCRIPT: 900.0, FILM: 900.0 * PIXELS["1080p"]}


def size(draw: random.Random) -> dict[str, float]:
    script = draw.uniform(200, 1600)
    voice = draw.uniform(10e6, 80e6)
    photos = draw.randint(8, 60)
    pixels = draw.choice(list(PIXELS.values())[:2])
    return {MATERIAL: photos * 1e6 + voice, PHOTOS: photos, VOICE: voice, SCRIPT: script, FILM: script * pixels}


def truth(sizes: dict[str, float], draw: random.Random | None = None, noise: float = 0.0) -> dict[str, float]:
    """Seconds of every step; without `draw` what the model says, with it what was measured."""
    slow = 1.6 if draw is not None and draw.random() < 0.1 else 1.0
    found = {}
    for step, (fixed, rate) in MODEL.items():
        exact = fixed + rate * sizes[DRIVER[step]] / MIDDLE[DRIVER[step]]
        found[step] = exact * slow * (math.exp(draw.gauss(0, noise)) if draw else 1.0)
    return found


def history(count: int, draw: random.Random, noise: float = 0.1) -> list[Past]:
    made = []
    for _ in range(count):
        sizes = size(draw)
        steps = {
            step: Work(seconds, seconds / 60 if step == "train_face" else 0.0, 1e6)
            for step, seconds in truth(sizes, draw, noise).items()
        }
        made.append(Past(sizes, steps))
    return made


def minutes(seconds: dict[str, float]) -> float:
    return wall({step: one / 60 for step, one in seconds.items()})


@pytest.mark.parametrize("count", [8, 20, 40])
def test_a_new_order_is_foreseen_within_a_quarter(count: int) -> None:
    draw = random.Random(count)
    for _ in range(4):
        past = history(count, draw)
        for _ in range(10):
            sizes = size(draw)
            assert wall(foreseen(past, sizes)) == pytest.approx(minutes(truth(sizes)), rel=0.25)


def test_the_promised_error_is_about_the_error_that_comes() -> None:
    draw = random.Random(5)
    past = history(30, draw, noise=0.12)
    promised = expected_error(past)
    assert promised is not None
    errors = []
    for _ in range(60):
        sizes = size(draw)
        true = minutes(truth(sizes, draw, 0.12))
        errors.append(abs(wall(foreseen(past, sizes)) - true) / true)
    errors.sort()
    assert promised < 0.25
    assert promised == pytest.approx(errors[len(errors) // 2], abs=0.06)


def test_more_noise_is_admitted() -> None:
    quiet = expected_error(history(20, random.Random(1), noise=0.02))
    loud = expected_error(history(20, random.Random(1), noise=0.6))
    assert quiet is not None
    assert loud is not None
    assert loud > 2 * quiet


def test_a_longer_film_takes_longer_than_the_usual_one() -> None:
    past = history(20, random.Random(2))
    short, long = dict(MIDDLE), MIDDLE | {SCRIPT: 3 * MIDDLE[SCRIPT], FILM: 3 * MIDDLE[FILM]}
    assert predict(Settings(), past, long)["wall_minutes"] > 1.5 * predict(Settings(), past, short)["wall_minutes"]


def test_what_does_not_depend_on_size_is_the_median() -> None:
    draw = random.Random(3)
    points = [(draw.uniform(1, 100), 60 * math.exp(draw.gauss(0, 0.05))) for _ in range(12)]
    line = fit(points)
    assert line.at(5) == pytest.approx(60, rel=0.1)
    assert line.at(95) == pytest.approx(60, rel=0.1)


def test_a_few_odd_orders_move_nothing() -> None:
    points = [(float(x), 10 + 2.0 * x) for x in range(1, 21)]
    odd = [*points[:-3], *((x, y * 30) for x, y in points[-3:])]
    assert fit(odd).at(10) == pytest.approx(30, rel=0.1)


def test_a_line_never_falls_and_never_foresees_negative_time() -> None:
    falling = fit([(float(x), 100.0 - 3 * x) for x in range(1, 12)])
    assert falling.slope == 0.0
    assert fit([(float(x), max(0.1, 5.0 * x - 40)) for x in range(1, 20)]).at(0.0) >= 0.0


@pytest.mark.parametrize("missing", ["train_face", "package"])
def test_nothing_is_promised_without_a_history_of_every_step(missing: str) -> None:
    for past in (
        [],
        [Past(p.size, {k: v for k, v in p.steps.items() if k != missing}) for p in history(9, random.Random(1))],
    ):
        found = predict(Settings(), past, MIDDLE)
        assert found["runs"] == 0
        assert found["steps"] == []
        assert all(
            found[key] is None for key in ("wall_minutes", "gpu_minutes", "storage_mb", "cost", "expected_error")
        )


def test_one_order_is_a_history_but_says_nothing_about_its_error() -> None:
    found = predict(Settings(), history(1, random.Random(1)), MIDDLE)
    assert found["runs"] == 1
    assert found["wall_minutes"] > 0
    assert found["expected_error"] is None


def test_face_and_voice_are_counted_side_by_side() -> None:
    assert wall({"ingest": 1, "prepare_face": 2, "train_face": 10, "prepare_voice": 1, "train_voice": 4}) == 13


def test_the_cost_is_the_gpus_minutes_and_the_others_at_their_prices() -> None:
    settings = Settings(gpu_price_per_minute=Decimal("0.05"), cpu_price_per_minute=Decimal("0.01"), currency="CHF")
    assert price(settings, 600.0, 10.0) == Decimal("0.5000")
    assert price(settings, 600.0, 0.0) == Decimal("0.1000")
    past = [Past(MIDDLE, {step: Work(60.0, 1.0 if step == "train_face" else 0.0, 0.0) for step in INPUTS})] * 4
    found = predict(settings, past, MIDDLE)
    assert found["cost"] == pytest.approx(0.05 + 0.01 * (len(INPUTS) - 1))
    assert found["currency"] == "CHF"


def test_no_price_is_no_cost_rather_than_nothing_to_pay() -> None:
    assert price(Settings(gpu_price_per_minute=Decimal("0.05")), 60.0, 0.0) is None
    assert predict(Settings(), history(4, random.Random(1)), MIDDLE)["cost"] is None
