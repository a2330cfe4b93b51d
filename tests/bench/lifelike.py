"""Is what is seen alive as the person is? Measures that need no downloaded network, after THEval (Quignon et al. 2025,
arXiv 2511.04520).

Each figure is compared with the same figure of the person's own clips: a face is right when it is near the ground
truth's, neither above nor below. The definitions are THEval's, on the mesh of `face.landmarks` (MediaPipe's, as theirs
is); lengths in distances between the eyes ("ipd"), each figure the mean over clips:

- ``lip_sync``: mean absolute difference of the lips' opening and of the sound's level (RMS over 50 ms), both stretched
  to 0..1 over the pictures in which the person speaks, and only those;
- ``silent_lips``: median distance of the opening from its mean in silences of at least 0.3 s;
- ``lip_dynamics``: standard deviation over time of the distances between all pairs of lip points, mean of the pairs;
- ``brow_dynamics``: mean change, from one picture to the next, of the distance between a brow's middle and the middle
  of its eye's outline, of the right side and of the left.

What tells whether lips belong to a sound is how they fare against the wrong one, see `against`. Beside them ``closed``,
the share of m, b and p at which the lips are seen to meet. Rendered pictures are measured through the same lens as the
person's: at the clips' size and through their codec (MPEG-1), because the tracker's own unrest, which grows with both,
is a part of every figure.
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
SHIFTS = (-1.2, -1.0, -0.8, -0.6, -0.4, 0.4, 0.6, 0.8, 1.0, 1.2)  # seconds by which the broken control is late
MEASURES = ("lip_sync", "silent_lips", "lip_dynamics", "brow_dynamics")
LIPS = sorted({*topo.LIP_UPPER_OUTER, *topo.LIP_LOWER_OUTER, *topo.LIP_UPPER_INNER, *topo.LIP_LOWER_INNER})
INNER = topo.LIP_UPPER_INNER[1:9], topo.LIP_LOWER_INNER[1:9]  # the pairs of which THEval takes the opening
SIDES = (
    (topo.RIGHT_BROW, (*topo.RIGHT_UPPER[0], *topo.RIGHT_LOWER[0])),
    (topo.LEFT_BROW, (*topo.LEFT_UPPER[0], *topo.LEFT_LOWER[0])),
)
Sound = NDArray[np.float32]
Series = NDArray[np.float64]


@dataclass(frozen=True)
class Tracked:
    """One clip's face: `met` float64 [N], the gap at the middle of the lips; `opening` [N], the mean gap of the inner
    lips; `lips` [N, L, 2], their points; `brows` [N, 2], the height of the right and of the left brow. All in ipd."""

    met: Series
    opening: Series
    lips: NDArray[np.float64]
    brows: NDArray[np.float64]


def track(frames: Iterable[NDArray[np.uint8]], models: Any) -> Tracked | None:
    """The face followed through a clip; None when it is lost. It is detected once: whoever sits still before a camera
    stays in that box, and a box found anew would jump."""
    meshes: list[NDArray[np.float32]] = []
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
        meshes.append(np.asarray(mesh.points, np.float32))
    return told(np.stack(meshes)) if meshes else None


def told(meshes: NDArray[np.float32]) -> Tracked:
    """What is measured of meshes float32 [N, 478, 3]."""
    flat = meshes[..., :2].astype(np.float64)
    right, left = flat[:, [33, 133]].mean(axis=1), flat[:, [362, 263]].mean(axis=1)
    apart = np.linalg.norm(left - right, axis=1)
    down = np.stack([(right - left)[:, 1], (left - right)[:, 0]], axis=1) / apart[:, None]
    gaps = ((flat[:, INNER[1]].mean(axis=1) - flat[:, INNER[0]].mean(axis=1)) * down).sum(axis=1)
    brows = [np.linalg.norm(flat[:, brow].mean(axis=1) - flat[:, eye].mean(axis=1), axis=1) for brow, eye in SIDES]
    return Tracked(
        met=np.array([geo.mouth_opening(mesh) for mesh in meshes]),
        opening=np.abs(gaps) / apart,
        lips=flat[:, LIPS] / apart[:, None, None],
        brows=np.stack(brows, axis=1) / apart[:, None],
    )


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
    loud, said = level(sound, rate, count), speaking(timing, count)
    pairs = np.linalg.norm(clip.lips[:, :, None] - clip.lips[:, None], axis=3)
    above = np.triu_indices(len(LIPS), 1)
    return {
        "lip_sync": apart(clip.opening[said], loud[said]),
        "silent_lips": _unrest(clip.opening[_long_silences(said)]),
        "lip_dynamics": float(pairs[:, above[0], above[1]].std(axis=0).mean()),
        "brow_dynamics": float(np.abs(np.diff(clip.brows, axis=0)).mean()),
        "closed": closed(clip.met, timing),
        "sync_r": along(clip.opening[said], loud[said]),
    }


def apart(opening: Series, loud: Series) -> float:
    """THEval's lip-sync: how far opening and level [N] are from each other, both stretched to 0..1."""
    return float(np.abs(_stretched(opening) - _stretched(loud)).mean())


def along(opening: Series, loud: Series) -> float:
    """Their correlation."""
    return float(np.corrcoef(opening, loud)[0, 1]) if min(opening.std(), loud.std()) > 1e-6 else 0.0


def against(opening: Series, loud: Series, said: NDArray[np.bool_], others: Sequence[Series]) -> dict[str, float]:
    """The broken control: the same mouth beside the wrong sound. The sound [N] is played `SHIFTS` seconds beside the
    mouth, and the mouths of other sentences (`others`, [M] each) are put in its place. ``lip_sync`` and ``sync_r`` are
    the medians; ``told`` is the share of wrong pairs that fit worse than the right one: 0.5 is chance, 1 is certain."""
    here = np.flatnonzero(said)
    wrong = []
    for shift in SHIFTS:
        there = here - round(shift * FPS)
        kept = (there >= 0) & (there < len(opening))
        if kept.mean() >= 0.5:
            wrong.append((opening[there[kept]], loud[here[kept]]))
    wrong += [(np.interp(here, np.arange(len(other)), other), loud[here]) for other in others]
    found = np.array([apart(*pair) for pair in wrong])
    return {
        "lip_sync": float(np.median(found)),
        "sync_r": float(np.median([along(*pair) for pair in wrong])),
        "told": float((found > apart(opening[said], loud[said])).mean()),
    }


def closed(opening: Series, timing: SpeechTiming, late: float = 0.0) -> float:
    """The share of `closures` that are seen, NaN where there is none to see."""
    seen = closures(opening, timing, late)
    return float(np.mean(seen)) if seen else float("nan")


def closures(opening: Series, timing: SpeechTiming, late: float = 0.0) -> list[bool]:
    """For each of the m, b and p that last long enough to be seen, whether the opening falls under `MET`. `late` is the
    time of the picture at which the speech begins."""
    seen = []
    for phone in timing.phones:
        if phone.phone.upper() not in {"M", "B", "P"} or phone.end - phone.start < LONGEST_CLOSURE:
            continue
        low, high = int((phone.start + late - 0.03) * FPS), int((phone.end + late + 0.03) * FPS) + 1
        if max(low, 0) < min(high, len(opening)):
            seen.append(bool(opening[max(low, 0) : high].min() < MET))
    return seen


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(np.ptp(values))
    return (values - values.min()) / spread if spread > 1e-6 else np.zeros_like(values)


def _long_silences(said: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pictures of all silences that are long enough."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], said, [True]]).astype(int)))
    long = np.zeros(len(said), bool)
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        long[low:high] = high - low >= LONG_SILENCE * FPS
    return long


def _unrest(values: Series) -> float:
    return float(np.median(np.abs(values - values.mean()))) if len(values) else float("nan")
