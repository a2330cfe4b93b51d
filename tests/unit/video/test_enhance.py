"""Old clips: what is wrong is found, what is found is treated, what is well is left alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from memorial_tasks.errors import InputRefused
from memorial_tasks.video.encode import FilmWriter, facts, pictures
from memorial_tasks.video.enhance import enhance, grain, look

SIZE = (320, 240)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as much larger again, for the sake of time; three times is the limit otherwise."""
    monkeypatch.setattr("memorial_tasks.video.enhance.MOST", 1.5)


def scene() -> np.ndarray:
    rng = np.random.default_rng(3)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (300, 400, 3)).astype(np.float32), (0, 0), 4)
    wide = np.clip((wide - wide.mean()) * 5 + 120, 0, 255).astype(np.uint8)
    for number in range(12):
        cv2.rectangle(
            wide, (30 * number + 10, 60 + 9 * number), (30 * number + 26, 120 + 9 * number), (230, 220, 190), -1
        )
    return wide


def seen(x: float, y: float) -> np.ndarray:
    matrix = np.float32([[1, 0, -40 - x], [0, 1, -30 - y]])
    return cv2.warpAffine(scene(), matrix, SIZE, flags=cv2.INTER_CUBIC)


def write(path: Path, frames: list[np.ndarray]) -> Path:
    with FilmWriter(path, SIZE, 25, crf=6, pixel_format="yuv444p") as out:
        for frame in frames:
            out.picture(frame)
    return path


def test_a_good_clip_is_only_made_larger(tmp_path: Path) -> None:
    clip = write(tmp_path / "a.mp4", [seen(0.4 * n, 0) for n in range(30)])
    done = enhance(clip, tmp_path / "b.mp4")
    assert (done["deinterlaced"], done["denoised"], done["stabilised"]) == (False, False, False)
    assert (facts(tmp_path / "b.mp4").width, facts(tmp_path / "b.mp4").height) == (480, 360)
    assert facts(tmp_path / "b.mp4").frames == 30
    small = cv2.resize(list(pictures(tmp_path / "b.mp4"))[10], SIZE, interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - seen(4.0, 0)).mean() < 5, "it is still the same picture in the same place"


def test_grain_is_measured_and_taken_away_without_trails(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clean = [seen(0, 0) for _ in range(30)]
    for number, frame in enumerate(clean):
        cv2.circle(frame, (40 + 8 * number, 60), 12, (250, 250, 250), -1)
    noisy = [np.clip(frame + rng.normal(0, 12, frame.shape), 0, 255).astype(np.uint8) for frame in clean]
    assert grain(cv2.cvtColor(noisy[0], cv2.COLOR_RGB2GRAY)) > 3 * grain(cv2.cvtColor(clean[0], cv2.COLOR_RGB2GRAY))
    done = enhance(write(tmp_path / "a.mp4", noisy), tmp_path / "b.mp4")
    assert done["denoised"]
    out = [cv2.resize(one, SIZE, interpolation=cv2.INTER_AREA).astype(float) for one in pictures(tmp_path / "b.mp4")]
    before = np.abs(noisy[25].astype(float) - clean[25]).mean()
    after = np.abs(out[25] - clean[25]).mean()
    assert after < 0.7 * before
    trail = out[25][50:70, 40 + 8 * 18 : 40 + 8 * 21].mean() - clean[25][50:70, 40 + 8 * 18 : 40 + 8 * 21].mean()
    assert abs(trail) < 6, "the circle left a trail"


def test_a_shaking_hand_is_held_still_and_a_slow_pan_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shake = rng.normal(0, 2.0, (36, 2))
    clip = write(tmp_path / "a.mp4", [seen(0.5 * n + x, y) for n, (x, y) in enumerate(shake)])
    done = enhance(clip, tmp_path / "b.mp4")
    assert done["stabilised"]
    before, way = look(clip)
    after, steady = look(tmp_path / "b.mp4")
    assert after.jitter < 0.4 * before.jitter
    moved = (steady[32, 0] - steady[4, 0]) / (1.5 * 1.05)
    assert moved == pytest.approx(way[32, 0] - way[4, 0], abs=5), "the pan itself is the family's"


def test_two_fields_in_one_picture_are_taken_apart(tmp_path: Path) -> None:
    frames = []
    for number in range(24):
        woven = seen(-8.0 * number, 0)
        woven[1::2] = seen(-8.0 * number - 4, 0)[1::2]
        frames.append(woven)
    clip = write(tmp_path / "a.mp4", frames)
    assert look(clip)[0].combing > 1.6
    done = enhance(clip, tmp_path / "b.mp4")
    assert done["deinterlaced"]
    assert look(tmp_path / "b.mp4")[0].combing < 1.3
    assert facts(tmp_path / "b.mp4").frames == 24


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"nothing")
    with pytest.raises(InputRefused):
        enhance(tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()
