"""Old clips made good: interlacing, noise, a shaking hand, few pixels; each measured first, treated only if there.

Nothing is invented: no detail is drawn that the tape did not hold. Two passes over the clip with constant memory, the
first to measure, the second to write.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.encode import FilmWriter, Picture, facts

COMBED: Final = 1.6  # neighbouring rows differ this much more than rows of one field: two fields in one picture
NOISY: Final = 2.5  # standard deviation of the grain, of 255
SHAKY: Final = 0.0012  # frame-to-frame jitter in picture widths
STEADY: Final = 0.6  # seconds over which the camera's own way is followed
MARGIN: Final = 0.05  # how much of the picture may be given up to hold it still
TALLEST: Final = 1080
MOST: Final = 3.0  # times larger at most
Motion = NDArray[np.float64]


@dataclass(frozen=True)
class Findings:
    """What a clip suffers from. `combing` 1 is none, `noise` of 255, `jitter` in picture widths."""

    combing: float
    noise: float
    jitter: float
    width: int
    height: int

    @property
    def scale(self) -> float:
        """How much larger it is made."""
        return float(np.clip(TALLEST / self.height, 1.0, MOST))


def enhance(source: Path, target: Path) -> dict[str, Any]:
    """Writes the clip anew (H.264, without sound); returns what was found and done. Raises `InputRefused`."""
    found, motions = look(source)
    done = {
        "deinterlaced": found.combing > COMBED,
        "denoised": found.noise > NOISY,
        "stabilised": found.jitter > SHAKY,
        "scale": round(found.scale, 3),
    }
    # the fields are woven apart first, so the second pass sees other pictures: what is left of them is measured again
    corrections = _corrections(motions, found, facts(source).fps) if done["stabilised"] else None
    size = (round(found.width * found.scale / 2) * 2, round(found.height * found.scale / 2) * 2)
    rate = max(1, round(facts(source).fps))
    cleaner = _Cleaner(found.noise) if done["denoised"] else None
    with FilmWriter(target, size, rate, crf=14, preset="veryfast") as out:
        for number, picture in enumerate(_frames(source, bool(done["deinterlaced"]))):
            if cleaner is not None:
                picture = cleaner(picture)
            out.picture(_larger(picture, size, corrections[number] if corrections is not None else None, found.scale))
    return {**{key: round(float(value), 4) for key, value in asdict(found).items()}, **done}


def look(source: Path) -> tuple[Findings, Motion]:
    """Measures a clip: its findings, and per picture the shift x, y and turn since the first, float64 [N, 3]."""
    combing = _combing(source)
    noise: list[float] = []
    steps: list[tuple[float, float, float]] = []
    before: Picture | None = None
    shape = (0, 0)
    for picture in _frames(source, combing > COMBED):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        shape = grey.shape
        if len(noise) < 40:
            noise.append(grain(grey))
        steps.append(_step(before, grey) if before is not None else (0.0, 0.0, 0.0))
        before = grey
    if before is None:
        raise InputRefused([Problem("video.unreadable", "no picture in the clip", "export it again", file="clip")])
    way = np.cumsum(np.array(steps), axis=0)
    wobble = np.diff((way - _smoothed(way, 12.0))[:, :2], axis=0) if len(way) > 2 else np.zeros(2)
    jitter = float(np.sqrt((wobble**2).mean())) / shape[1]
    return Findings(combing, float(np.median(noise)), jitter, shape[1], shape[0]), way


def grain(grey: Picture) -> float:
    """Standard deviation of the noise of a picture (Immerkaer 1996), on its smoother half so that texture is none."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rough = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel))
    edges = cv2.GaussianBlur(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3))), (0, 0), 3)
    flat = edges <= np.median(edges)
    return float(np.sqrt(np.pi / 2) / 6 * rough[flat].mean())


def _combing(source: Path) -> float:
    """Median over pictures that move: difference of neighbouring rows over that of rows two apart."""
    found = []
    for frame in islice(_decoded(source), 0, 60, 3):
        grey = frame.to_ndarray(format="gray").astype(np.int16)
        near, far = np.abs(np.diff(grey, axis=0)).mean(), np.abs(grey[2:] - grey[:-2]).mean()
        found.append(float(near / max(far, 1e-3)))
    return float(np.percentile(found, 75)) if found else 1.0


def _decoded(source: Path) -> Iterator[Any]:
    try:
        with av.open(str(source)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield from container.decode(stream)
    except (av.error.FFmpegError, IndexError) as error:
        raise InputRefused([Problem("video.unreadable", "the clip cannot be read", "export it again")]) from error


def _frames(source: Path, woven: bool) -> Iterator[Picture]:
    """Pictures uint8 RGB [H, W, 3]; `woven` ones are taken apart by FFmpeg's bwdif, one picture a frame."""
    graph: Any = None
    for frame in _decoded(source):
        if not woven:
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            continue
        if graph is None:
            graph = _deinterlacer(frame)
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _deinterlacer(frame: Any) -> Any:
    graph: Any = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base, name="in"
    )
    weave = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    sink = graph.add("buffersink")
    source.link_to(weave)
    weave.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: Any) -> Iterator[Picture]:
    while True:
        try:
            yield np.asarray(graph.pull().to_ndarray(format="rgb24"), np.uint8)
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Cleaner:
    """Noise is what does not stay: each pixel is averaged over time as long as it does not change by more than the
    grain explains, so nothing that moves leaves a trail."""

    def __init__(self, noise: float) -> None:
        self._noise = max(noise, 1.0)
        self._kept: NDArray[np.float32] | None = None

    def __call__(self, picture: Picture) -> Picture:
        now = picture.astype(np.float32)
        if self._kept is None:
            self._kept = now
            return picture
        change = np.abs(cv2.GaussianBlur(now - self._kept, (0, 0), 1.5)).max(axis=2)
        # what a 1.5 px blur leaves of the grain is a fifth of it
        share = np.clip((change / self._noise - 0.35) / 0.9, 0.22, 1.0)[..., None]
        self._kept = self._kept + (now - self._kept) * share
        return np.asarray(np.clip(self._kept + 0.5, 0, 255), np.uint8)


def _step(before: Picture, now: Picture) -> tuple[float, float, float]:
    """How the whole picture moved: pixels right, pixels down, radians; nothing where it cannot be told."""
    points = cv2.goodFeaturesToTrack(before, 160, 0.01, max(6, before.shape[1] // 60))
    if points is None or len(points) < 8:
        return 0.0, 0.0, 0.0
    moved, seen, _ = cv2.calcOpticalFlowPyrLK(before, now, points, np.empty_like(points))
    good = seen.reshape(-1) == 1
    if good.sum() < 8:
        return 0.0, 0.0, 0.0
    matrix, _ = cv2.estimateAffinePartial2D(points[good], moved[good], ransacReprojThreshold=2.0)
    if matrix is None or abs(np.hypot(matrix[0, 0], matrix[1, 0]) - 1) > 0.1:
        return 0.0, 0.0, 0.0
    turn = float(np.arctan2(matrix[1, 0], matrix[0, 0]))
    middle = np.array([before.shape[1] / 2, before.shape[0] / 2])
    shift = matrix[:, :2] @ middle + matrix[:, 2] - middle
    return float(shift[0]), float(shift[1]), turn


def _smoothed(way: Motion, sigma: float) -> Motion:
    reach = max(1, min(int(3 * sigma), len(way) - 1))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(way, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")  # a pan goes on at its ends
    return np.stack([np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T], axis=1)


def _corrections(way: Motion, found: Findings, fps: float) -> Motion:
    """What to move each picture by so that the hand is steady, within what the margin hides."""
    wanted = _smoothed(way, STEADY * fps) - way
    most = np.array([MARGIN / 2 * found.width, MARGIN / 2 * found.height, 0.02])
    return np.asarray(np.clip(wanted, -most, most))


def _larger(picture: Picture, size: tuple[int, int], correction: Motion | None, scale: float) -> Picture:
    """One resampling for steadiness and size, and a little acutance for what the enlargement softened."""
    height, width = picture.shape[:2]
    x, y, turn = correction if correction is not None else (0.0, 0.0, 0.0)
    zoom = scale * (1 + MARGIN if correction is not None else 1.0)
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = np.array(size) / 2 + zoom * np.array([x, y]) - matrix[:, :2] @ (np.array([width, height]) / 2)
    # pixel centres lie half a pixel in
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    out = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
    if scale > 1.2:
        soft = cv2.GaussianBlur(out, (0, 0), 0.8 * scale)
        out = cv2.addWeighted(out, 1.45, soft, -0.45, 0)
    return np.asarray(out, np.uint8)
