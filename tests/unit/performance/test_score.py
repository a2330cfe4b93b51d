"""The performance score: ranges, sampling, storage."""

import numpy as np
import pytest

from memorial_tasks.errors import InputRefused
from memorial_tasks.performance.score import CHANNELS, PerformanceScore


def still(ticks=200, **changed):
    curves = {name: np.full(ticks, channel.rest, np.float32) for name, channel in CHANNELS.items()}
    return PerformanceScore(curves | changed, lead_in=0.8, notes={"seed": "5"})


def test_a_score_comes_back_from_disk_as_it_was(tmp_path):
    score = still(jaw_open=np.linspace(0, 1, 200, dtype=np.float32))
    score.save(tmp_path / "score.safetensors")
    again = PerformanceScore.load(tmp_path / "score.safetensors")
    assert (again.lead_in, again.rate_hz, again.notes) == (0.8, 100, {"seed": "5"})
    assert all(np.array_equal(again.curves[name], score.curves[name]) for name in CHANNELS)


def test_sampling_takes_the_middle_of_each_picture():
    ramp = np.arange(200, dtype=np.float32) / 200
    values = still(jaw_open=ramp).sampled(25)["jaw_open"]
    assert len(values) == 50
    assert values[0] == pytest.approx(2 / 200)
    assert np.allclose(np.diff(values), 4 / 200, atol=1e-6)


def test_a_curve_of_48_ms_is_seen_at_25_pictures_a_second_wherever_it_falls():
    for start in range(100, 110):
        curve = np.zeros(200, np.float32)
        curve[start : start + 5] = 1
        assert still(lip_press=curve).sampled(25)["lip_press"].max() > 0.99


def test_the_array_has_a_column_for_each_channel():
    assert still().at(30).shape == (60, len(CHANNELS))


@pytest.mark.parametrize(
    "changed",
    [
        {"jaw_open": np.full(200, 1.2, np.float32)},
        {"jaw_open": np.full(200, np.nan, np.float32)},
        {"jaw_open": np.zeros(150, np.float32)},
        {"wings": np.zeros(200, np.float32)},
    ],
    ids=["range", "nan", "length", "unknown"],
)
def test_a_curve_that_no_face_can_follow_is_refused(changed):
    with pytest.raises(InputRefused):
        still(**changed)


def test_a_file_that_is_no_score_is_refused(tmp_path):
    path = tmp_path / "score.safetensors"
    path.write_bytes(b"not a score")
    with pytest.raises(InputRefused, match="not a performance score"):
        PerformanceScore.load(path)
