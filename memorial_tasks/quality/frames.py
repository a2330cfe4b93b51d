"""Photos out of home videos: few frames, sharp ones, each showing something the others do not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.quality.decode import Frame, probe_video, read_frames
from memorial_tasks.quality.faces import FaceFinder
from memorial_tasks.quality.photos import PhotoMeasure, measure_photo, usable

MOST_FRAMES = 60  # over all videos of an order
LOOKED_AT = 300  # candidates over all videos
LONG_VIDEO = 300.0  # s; of a longer one only key frames are looked at


@dataclass(frozen=True)
class Candidate:
    """A frame that could serve: in which video, which frame, and what it shows."""

    video: int
    index: int
    time: float
    measure: PhotoMeasure


def pick_frames(
    videos: Sequence[Path], models: FaceFinder, progress: Callable[[float, str], None], most: int = MOST_FRAMES
) -> list[Candidate]:
    """The frames worth learning from: usable as a photo, the sharpest first, then whatever differs most.

    Frames with no face or several are never taken. Sorted by video and time.
    """
    infos = [probe_video(path) for path in videos]
    total = sum(info.seconds or 60.0 for info in infos) or 1.0
    candidates: list[Candidate] = []
    for number, (path, info) in enumerate(zip(videos, infos, strict=True)):
        progress(number / max(len(videos), 1), "looking for frames with a face")
        if not info.has_picture:
            continue
        share = max(round(LOOKED_AT * (info.seconds or 60.0) / total), 4)
        for frame in _look(path, info.seconds, info.fps, share):
            measure, _print = measure_photo(frame.rgb, models)
            if usable(measure):
                candidates.append(Candidate(number, frame.index, frame.time, measure))
    return sorted(_varied(candidates, most), key=lambda one: (one.video, one.index))


def read_picked(path: Path, picked: Sequence[Candidate], seconds: float) -> Iterator[Frame]:
    """Decode the picked frames of one video again (they are not held in memory while choosing)."""
    wanted = {one.index for one in picked}
    if not wanted:
        return
    yield from read_frames(path, keys_only=seconds > LONG_VIDEO, only=wanted)


def _look(path: Path, seconds: float, fps: float, share: int) -> Iterator[Frame]:
    keys_only = seconds > LONG_VIDEO
    count = max(int((seconds or 60.0) * fps) // (12 if keys_only else 1), 1)
    return read_frames(path, max(count // share, 1), keys_only=keys_only)


def _varied(candidates: list[Candidate], most: int) -> list[Candidate]:
    """Greedy farthest-point choice over what a face can vary in, weighted by sharpness."""
    if len(candidates) <= most:
        return candidates
    space = np.array([_features(one.measure) for one in candidates])
    crisp = np.array([one.measure.sharpness * min(one.measure.inter_ocular, 120.0) for one in candidates])
    rank = np.empty(len(crisp))
    rank[crisp.argsort()] = np.linspace(0.4, 1.0, len(crisp))
    chosen = [int((rank - 0.02 * np.abs([one.measure.yaw for one in candidates])).argmax())]
    distance = _distances(space, chosen[0])
    while len(chosen) < most:
        following = int((distance * rank).argmax())
        if distance[following] <= 0:
            break
        chosen.append(following)
        distance = np.minimum(distance, _distances(space, following))
    return [candidates[index] for index in chosen]


def _distances(space: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.linalg.norm(space - space[index], axis=1)
    return out


def _features(measure: PhotoMeasure) -> list[float]:
    # Each divided by the change that looks like another picture.
    return [
        measure.yaw / 8, measure.pitch / 8, measure.roll / 12, measure.mouth / 0.06, measure.eyes / 0.10,
        measure.luma / 40, measure.inter_ocular / 40,
    ]  # fmt: skip
