"""Habits: learned from tracked numbers where there are enough, half believed where there are few, seen in the score."""

import numpy as np
import pytest

from memorial_tasks.domain.words import Emotion
from memorial_tasks.performance import capture
from memorial_tasks.performance.perform import Habits, perform

COLUMNS = ("time", "eye_right", "eye_left", "mouth", "yaw", "pitch", "roll", "corner_right", "corner_left", "brow")


def tracked(seconds=60.0, blinks=30.0, sway=7.0, lean=0.0, seed=0):
    """A person in numbers at 25 pictures a second: `blinks` a minute, `sway` degrees a second, a leaning smile."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 25)) / 25
    lids = np.full(len(time), 0.32) + random.normal(0, 0.01, len(time))
    for start in np.arange(1.0, seconds - 1, 60 / blinks):
        lids[round(start * 25) : round(start * 25) + 4] = 0.08
    yaw = np.cumsum(np.where(np.sin(time) > 0, sway, -sway)) / 25
    smile = np.clip(np.sin(time / 3), 0, 1) * 0.085
    brow = 0.2 + 0.006 * np.sin(time * 1.3)
    mouth = np.clip(0.15 * np.sin(time * 9), 0, None)
    return np.stack(
        [time, lids, lids, mouth, yaw, 0 * yaw, 0 * yaw, smile * (1 - lean), smile * (1 + lean), brow], axis=1
    ).tolist()


@pytest.mark.parametrize("blinks", [8.0, 20.0, 35.0])
def test_blinks_are_counted_and_pulled_towards_the_usual_by_how_little_was_seen(blinks):
    long = capture.learn(COLUMNS, tracked(300, blinks)).blinks_per_minute
    short = capture.learn(COLUMNS, tracked(12, blinks)).blinks_per_minute
    assert long == pytest.approx(blinks, abs=2.5)
    assert abs(short - 18.5) <= abs(long - 18.5) + 1


def test_a_lively_head_and_a_quiet_one():
    lively, quiet = capture.learn(COLUMNS, tracked(120, sway=11)), capture.learn(COLUMNS, tracked(120, sway=3))
    assert lively.head_gain > 1.25
    assert quiet.head_gain < 0.75


def with_brows(height, of=120):
    """The person of `tracked` with other brows: `height` of (times, lids)."""
    rows = np.array(tracked(of))
    rows[:, -1] = height(rows[:, 0], rows[:, 1])
    return rows.tolist()


def test_lively_brows_and_still_ones():
    lively, still = (
        capture.learn(COLUMNS, with_brows(lambda time, lids, size=size: 0.2 + size * np.sin(time * 4)))
        for size in (0.016, 0.001)
    )
    assert lively.brow_gain > 1.3
    assert still.brow_gain < 0.7


def test_neither_blinks_nor_a_head_that_turns_away_make_lively_brows():
    """A tracker lifts the brows of whoever blinks, and a head that leans for a minute shortens the face."""
    blinking = capture.learn(COLUMNS, with_brows(lambda time, lids: np.where(lids < 0.2, 0.23, 0.2)))
    leaning = capture.learn(COLUMNS, with_brows(lambda time, lids: 0.2 + 0.02 * np.sin(time / 20)))
    assert blinking.brow_gain < 0.7
    assert leaning.brow_gain < 0.85


def test_a_smile_that_leans_is_found_with_its_side():
    assert capture.learn(COLUMNS, tracked(120, lean=0.3)).smile_lean > 0.15
    assert capture.learn(COLUMNS, tracked(120, lean=-0.3)).smile_lean < -0.15
    assert capture.learn(COLUMNS, tracked(120)).smile_lean == pytest.approx(0, abs=0.03)


def test_too_little_teaches_nothing():
    assert capture.learn(COLUMNS, tracked(6)) is None
    assert capture.learn(COLUMNS, []) is None
    gaps = [[10.0 * n, *row[1:]] for n, row in enumerate(tracked(60))]
    assert capture.learn(COLUMNS, gaps) is None, "pictures ten seconds apart show no habit"


def test_habits_reach_the_score(say, tmp_path):
    timing, sound, rate, plan = say(emotions=(Emotion.HAPPY,))
    habits = Habits(blinks_per_minute=40, head_gain=1.5, smile_lean=0.5)
    capture.save(habits, tmp_path / "habits.json")
    assert capture.load(tmp_path / "habits.json") == habits
    plain = perform(timing, sound, rate, plan, 1)
    own = perform(timing, sound, rate, plan, 1, capture.load(tmp_path / "habits.json"))
    assert own.curves["head_yaw"].std() > 1.15 * plain.curves["head_yaw"].std()
    assert plain.curves["smile_lean"].max() == 0
    assert own.curves["smile_lean"].max() == pytest.approx(0.5 * own.curves["smile"].max(), rel=0.05)
