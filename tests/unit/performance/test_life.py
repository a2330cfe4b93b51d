"""Life: what is asked for comes true, whatever swallows a part of it."""

import numpy as np
import pytest

from memorial_tasks.performance import life

RATE = 100


@pytest.mark.parametrize("wanted", [10.0, 22.0, 38.0, 50.0])
def test_people_blink_as_often_as_they_are_said_to(wanted: float) -> None:
    """Blinks crowd at the ends of phrases, and none follows another at once: both would take some away."""
    speaking = (np.sin(np.arange(60_000) / 200) > -0.5).astype(float)
    ends = [float(end) / RATE for end in np.flatnonzero(np.diff(speaking) < 0)]
    times = [life.blink_times(speaking, ends, RATE, np.random.default_rng(seed), wanted) for seed in range(3)]
    assert np.mean([len(one) / 10 for one in times]) == pytest.approx(wanted, rel=0.12)
    assert min(float(np.diff(one).min()) for one in times) >= life.REFRACTORY - 1e-9
