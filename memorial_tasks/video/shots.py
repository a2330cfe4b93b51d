"""A film in shots: made in several processes, kept one by one, joined without encoding again.

A picture depends on its own instant only, so where a shot begins is decided by the length of the film alone and never
by the machine: four seconds, so that every shot opens with a key picture which the film would have anyway and nothing
is seen of the cut. A shot is a pure function of its number and therefore may be made by any process or pod; a finished
one is a whole file, an unfinished one is none, so a killed rendering goes on where it stood.
"""

import ctypes
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

SECONDS: Final = 4.0
MOST_WORKERS: Final = 4
Work = Callable[["Shot", Path], None]


@dataclass(frozen=True)
class Shot:
    """Pictures `first` up to, not including, `last` of the film."""

    number: int
    first: int
    last: int

    @property
    def frames(self) -> int:
        """How many pictures."""
        return self.last - self.first

    def file(self, folder: Path) -> Path:
        """Where the finished shot lies."""
        return folder / f"{self.number:05d}.mp4"


def cut(frames: int, fps: int) -> tuple[Shot, ...]:
    """The shots of a film of `frames` pictures, each about `SECONDS` long, none empty."""
    count = max(1, round(frames / fps / SECONDS))
    edges = [round(frames * number / count) for number in range(count + 1)]
    return tuple(Shot(number, edges[number], edges[number + 1]) for number in range(count))


def processors() -> int:
    """Cores this process may use: its own affinity, and the limit of its container (cgroup v2)."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return usable
    return usable if quota == "max" else max(1, min(usable, math.ceil(int(quota) / int(period))))


def make(
    shots: Sequence[Shot],
    work: Work,
    folder: Path,
    *,
    workers: int | None = None,
    saved: Callable[[], None] = lambda: None,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> list[Path]:
    """Makes every shot that is not in `folder` yet and returns all files in order.

    `work(shot, target)` writes one file. With more than one worker and more than one shot to make it is pickled once
    for each worker, a process of its own with one thread that dies with this one. `saved` is called after each
    finished shot. The first error stops everything and is raised; finished shots stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [shot for shot in shots if not shot.file(folder).is_file()]
    done = len(shots) - len(missing)
    for shot in _finished(missing, work, folder, min(workers or min(processors(), MOST_WORKERS), len(missing))):
        done += 1
        saved()
        progress(done / len(shots), f"shot {done} of {len(shots)}, {shot.frames} pictures")
    return [shot.file(folder) for shot in shots]


def _finished(missing: Sequence[Shot], work: Work, folder: Path, workers: int) -> Iterator[Shot]:
    if workers <= 1:
        for shot in missing:
            work(shot, shot.file(folder))
            yield shot
        return
    # spawned, not forked: the parent has threads of its own, and a forked lock may never open again
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _prepare, (os.getpid(), work)) as pool:
        running: dict[Future[None], Shot] = {pool.submit(_work, shot, shot.file(folder)): shot for shot in missing}
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    shot = running.pop(future)
                    future.result()
                    yield shot
        finally:
            for future in running:
                future.cancel()


_own: list[Work] = []  # what this worker process was started for, with whatever it keeps between shots


def _prepare(parent: int, work: Work) -> None:
    """One thread a process, and no process that outlives its parent (PR_SET_PDEATHSIG, Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, which has not happened yet
    cv2.setNumThreads(1)
    _own.append(work)


def _work(shot: Shot, target: Path) -> None:
    _own[-1](shot, target)
