"""How a talking face moves, in numbers that need no download: the four of THEval that are landmarks and sound only.

THEval (CVPR 2026 Findings) compares a generated video with people's own videos, so a figure is good when it is near the
ground truth's, neither above nor below. Its definitions, on the mesh of `face.landmarks`; lengths in distances between
the eyes ("ipd"):

- ``lip_sync``: mean absolute difference of the lips' opening and of the sound's level (RMS over 50 ms), both stretched
  to 0..1 over the clip, while the person speaks;
- ``silent_lips``: median absolute deviation of the opening in silences of at least 0.3 s;
- ``lip_dynamics``: standard deviation over time of the distances between all pairs of lip points, mean of the pairs;
- ``brow_dynamics``: mean change of the distance between brows and eyes from one picture to the next.

Beside them ``closed``, the share of m, b and p at which the lips are seen to meet. Rendered pictures are measured
through the same lens as the person's: at the clips' size and through their codec (MPEG-1), because the tracker's own
unrest, which grows with both, is a part of every figure.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.timing import SpeechTiming
from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.performance.visemes import is_silence
from memorial_tasks.video.encode import pictures

FPS = 25
LONG_SILENCE = 0.3
MET = 0.03  # ipd: lips nearer than this are seen as closed; a tracked shut mouth reads 0.01 to 0.02
LONGEST_CLOSURE = 0.05  # seconds from which a closure must be seen: a shorter one may fall between two pictures
MEASURES = ("lip_sync", "silent_lips", "lip_dynamics", "brow_dynamics")
LIPS = sorted({*topo.LIP_UPPER_OUTER, *topo.LIP_LOWER_OUTER, *topo.LIP_UPPER_INNER, *topo.LIP_LOWER_INNER})
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Tracked:
    """One clip's face: `opening` float64 [N] and `brow` [N] in ipd, `lips` float64 [N, L, 2] in ipd."""

    opening: NDArray[np.float64]
    brow: NDArray[np.float64]
    lips: NDArray[np.float64]


def track(frames: Iterable[NDArray[np.uint8]], models: Any) -> Tracked | None:
    """The face followed through a clip; None when it is lost. It is detected once: whoever sits still before a camera
    stays in that box, and a box found anew would jump."""
    opening, brow, lips = [], [], []
    face: Any = None
    for frame in frames:
        if face is None:
            found = models.detect(frame)
            if not found:
                return None
            face = found[0]
        mesh = models.mesh(frame, face)
        if mesh.score < 0.5:
            return None
        points = np.asarray(mesh.points, np.float32)
        ipd = geo.interocular(points)
        right, left = geo.eye_centres(points)
        down = np.array([-(left - right)[1], (left - right)[0]]) / max(float(np.linalg.norm(left - right)), 1e-6)
        brows = points[[*topo.RIGHT_BROW, *topo.LEFT_BROW], :2].mean(axis=0)
        opening.append(geo.mouth_opening(points))
        brow.append(float(((right + left) / 2 - brows) @ down / ipd))
        lips.append(points[LIPS, :2].astype(np.float64) / ipd)
    return Tracked(np.array(opening), np.array(brow), np.array(lips)) if opening else None


def as_filmed(frames: Sequence[NDArray[np.uint8]], like: Path) -> list[NDArray[np.uint8]]:
    """The pictures as the clip `like` would show them: its size, its codec, its rate of bits."""
    with av.open(str(like)) as source:
        stream = source.streams.video[0]
        size = (stream.width, stream.height)
        bits = round(8 * like.stat().st_size / max(float(source.duration or 3e6) / 1e6, 1.0)) - 256_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mpg"
        with av.open(str(path), "w", format="mpeg") as film:
            video: Any = film.add_stream("mpeg1video", rate=FPS)
            video.width, video.height, video.pix_fmt, video.bit_rate = *size, "yuv420p", max(bits, 600_000)
            for number, frame in enumerate(frames):
                small = np.asarray(cv2.resize(_cropped(frame, size), size, interpolation=cv2.INTER_AREA), np.uint8)
                shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(small), format="rgb24")
                shown.pts, shown.time_base = number, Fraction(1, FPS)
                film.mux(video.encode(shown))
            film.mux(video.encode(None))
        return list(pictures(path))


def _cropped(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of the picture in the other's proportions: nobody's face is stretched."""
    height, width = frame.shape[:2]
    wide, high = min(width, round(height * size[0] / size[1])), min(height, round(width * size[1] / size[0]))
    left, top = (width - wide) // 2, (height - high) // 2
    return frame[top : top + high, left : left + wide]


def level(sound: Sound, rate: int, count: int) -> NDArray[np.float64]:
    """RMS over 50 ms around the middle of each of `count` pictures."""
    power = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    middle = (np.arange(count) + 0.5) / FPS * rate
    low, high = (np.clip(middle + side * 0.025 * rate, 0, len(sound)).astype(int) for side in (-1, 1))
    return np.asarray(np.sqrt((power[high] - power[low]) / np.maximum(high - low, 1)))


def speaking(timing: SpeechTiming, count: int) -> NDArray[np.bool_]:
    """In which pictures the person speaks."""
    middle = (np.arange(count) + 0.5) / FPS
    said = np.zeros(count, bool)
    for phone in timing.phones:
        if not is_silence(phone.phone):
            said |= (middle >= phone.start) & (middle < phone.end)
    return said


def measure(clip: Tracked, sound: Sound, rate: int, timing: SpeechTiming) -> dict[str, float]:
    """The figures of one clip, NaN where it has nothing to say (no long silence, no m, b or p)."""
    count = len(clip.opening)
    loud, said = _stretched(level(sound, rate, count)), speaking(timing, count)
    quiet = _long_silences(said)
    pairs = np.linalg.norm(clip.lips[:, :, None] - clip.lips[:, None], axis=3)
    above = np.triu_indices(len(LIPS), 1)
    return {
        "lip_sync": float(np.abs(_stretched(clip.opening) - loud)[said].mean()),
        "silent_lips": _deviation(clip.opening, quiet),
        "lip_dynamics": float(pairs[:, above[0], above[1]].std(axis=0).mean()),
        "brow_dynamics": float(np.abs(np.diff(clip.brow)).mean()),
        "closed": closed(clip.opening, timing),
        "sync_r": float(np.corrcoef(clip.opening, loud)[0, 1]) if clip.opening.std() > 1e-6 else 0.0,
    }


def closed(opening: NDArray[np.float64], timing: SpeechTiming, late: float = 0.0) -> float:
    """Share of the m, b and p that last long enough to be seen at which the opening falls under `MET`. `late` is the
    time of the picture at which the speech begins."""
    seen = []
    for phone in timing.phones:
        if phone.phone.upper() not in {"M", "B", "P"} or phone.end - phone.start < LONGEST_CLOSURE:
            continue
        low, high = int((phone.start + late - 0.03) * FPS), int((phone.end + late + 0.03) * FPS) + 1
        if max(low, 0) < min(high, len(opening)):
            seen.append(bool(opening[max(low, 0) : high].min() < MET))
    return float(np.mean(seen)) if seen else float("nan")


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(np.ptp(values))
    return (values - values.min()) / spread if spread > 1e-6 else np.zeros_like(values)


def _long_silences(said: NDArray[np.bool_]) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], said, [True]]).astype(int)))
    spans = [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [span for span in spans if span.stop - span.start >= LONG_SILENCE * FPS]


def _deviation(values: NDArray[np.float64], spans: Sequence[slice]) -> float:
    if not spans:
        return float("nan")
    apart = np.concatenate([np.abs(values[span] - np.median(values[span])) for span in spans])
    return float(np.median(apart))
