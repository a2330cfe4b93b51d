"""Shots: the same film whatever makes it, joined without a seam, and resumed by shot after a kill."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from memorial_tasks.errors import IntegrityError
from memorial_tasks.video.encode import FilmJoiner, FilmWriter, facts, pictures
from memorial_tasks.video.shots import SECONDS, Shot, cut, make, processors

SIZE, FPS = (320, 192), 25  # much smaller, and x264 itself does not always write the same bytes
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers are processes of their own and import this file by its name."""
    monkeypatch.syspath_prepend(str(ROOT))


def drawn(number: int) -> np.ndarray:
    picture = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    picture[:, (4 * number) % 300 : (4 * number) % 300 + 16] = (220, 180, 90)
    return picture


def draw(shot: Shot, target: Path) -> None:
    with FilmWriter(target, SIZE, FPS, crf=4, threads=1) as writer:
        for number in range(shot.first, shot.last):
            writer.picture(drawn(number))


def draw_slowly(shot: Shot, target: Path) -> None:
    """Kept apart from `draw` so that a kill falls into the middle of a film."""
    time.sleep(0.3)
    draw(shot, target)


def stumble(shot: Shot, target: Path) -> None:
    if shot.number == 1:
        raise ValueError("the second shot cannot be made")
    draw(shot, target)


def joined(parts: list[Path], target: Path) -> Path:
    with FilmJoiner(target, parts[0], FPS) as film:
        for part in parts:
            film.append(part)
    return target


def test_shots_cover_the_film_and_depend_on_its_length_alone() -> None:
    for frames in (1, 60, 99, 1000, 90_001):
        found = cut(frames, FPS)
        assert found[0].first == 0
        assert found[-1].last == frames
        assert all(one.last == two.first for one, two in pairwise(found))
        assert all(0 < shot.frames <= 1.6 * SECONDS * FPS for shot in found)
    assert cut(1000, FPS) == cut(1000, FPS)
    assert processors() >= 1


def test_a_joined_film_holds_every_picture_once_and_in_order(tmp_path: Path) -> None:
    parts = make(cut(250, FPS), draw, tmp_path / "shots", workers=1)
    film = joined(parts, tmp_path / "film.mp4")
    assert facts(film).frames == 250
    assert facts(film).duration == pytest.approx(10, abs=0.05)
    errors = [float(np.abs(seen.astype(int) - drawn(n)).mean()) for n, seen in enumerate(pictures(film))]
    assert len(errors) == 250
    assert max(errors) < 4
    edges = [shot.first for shot in cut(250, FPS)][1:]
    assert max(errors[edge + d] for edge in edges for d in (-1, 0)) < 1.5 * max(np.median(errors), 0.5), "a seam"


def test_several_processes_make_the_same_bytes_as_one(tmp_path: Path) -> None:
    alone = make(cut(200, FPS), draw, tmp_path / "one", workers=1)
    together = make(cut(200, FPS), draw, tmp_path / "two", workers=2)
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in together]


def test_reading_from_the_middle_gives_the_same_pictures(tmp_path: Path) -> None:
    film = joined(make(cut(250, FPS), draw, tmp_path / "shots", workers=1), tmp_path / "film.mp4")
    whole = list(pictures(film))
    for start in (1, 83, 84, 130, 249):
        part = list(pictures(film, start=start))
        assert len(part) == 250 - start
        assert np.array_equal(part[0], whole[start])
    assert list(pictures(film, start=260)) == []


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    shots, folder, told = cut(250, FPS), tmp_path / "shots", []
    make(shots[:1], draw, folder, workers=1)
    before = shots[0].file(folder).stat().st_mtime_ns
    make(shots, draw, folder, workers=1, saved=lambda: told.append(1), progress=lambda share, what: told.append(share))
    assert shots[0].file(folder).stat().st_mtime_ns == before
    assert told == [1, 1.0]


def test_an_error_in_a_shot_is_raised_and_leaves_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="second shot"):
        make(cut(300, FPS), stumble, tmp_path / "shots", workers=2)
    left = {path.name for path in (tmp_path / "shots").iterdir()}
    assert "00001.mp4" not in left
    assert all(not name.startswith(".") for name in left)


def test_a_shot_of_another_writer_is_refused(tmp_path: Path) -> None:
    parts = make(cut(200, FPS), draw, tmp_path / "shots", workers=1)
    with FilmWriter(tmp_path / "other.mp4", (128, 64), FPS) as writer:
        writer.picture(np.zeros((64, 128, 3), np.uint8))
    with pytest.raises(IntegrityError):
        joined([parts[0], tmp_path / "other.mp4"], tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_a_killed_rendering_goes_on_where_it_stood(tmp_path: Path) -> None:
    """kill -9 in the middle: its workers die too, no half shot lies there, and the rest makes the same film."""
    folder = tmp_path / "shots"
    code = (
        "from pathlib import Path; from memorial_tasks.video.shots import cut, make;"
        "from tests.unit.video.test_shots import draw_slowly;"
        f"make(cut(800, 25), draw_slowly, Path({str(folder)!r}), workers=2)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while len(list(folder.glob("[0-9]*.mp4"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.2)
    found = sorted(folder.glob("[0-9]*.mp4"))
    assert 2 <= len(found) < len(cut(800, FPS))
    time.sleep(0.5)
    assert sorted(folder.glob("[0-9]*.mp4")) == found, "a worker outlived its parent"
    done = {path: path.stat().st_mtime_ns for path in found}
    again = make(cut(800, FPS), draw, folder, workers=1)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    whole = make(cut(800, FPS), draw, tmp_path / "whole", workers=1)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in whole]
