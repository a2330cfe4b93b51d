"""The performance score: one timed document of control curves, the only thing the voice and the face share.

A score runs at 100 Hz over the whole film (lead-in, speech and tail), so that frame rates, shots and
renderers may change without asking the voice again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.tensors import save_arrays

RATE_HZ: Final = 100
Curve = NDArray[np.float32]


@dataclass(frozen=True)
class Channel:
    """One control: its range, the value at rest, and what its sign means (image axes: x right, y down)."""

    low: float
    high: float
    meaning: str
    rest: float = 0.0


CHANNELS: Mapping[str, Channel] = MappingProxyType(
    {
        "jaw_open": Channel(0, 1, "opening of the jaw; 1 is the widest vowel"),
        "lip_wide": Channel(-1, 1, "lips stretched; negative narrowed"),
        "lip_pucker": Channel(0, 1, "lips pushed forward and rounded"),
        "lip_press": Channel(0, 1, "lips meeting; 1 is closed tight (m, b, p)"),
        "lip_tuck": Channel(0, 1, "lower lip under the upper teeth (f, v)"),
        "smile": Channel(-1, 1, "mouth corners up; negative down"),
        "smile_lean": Channel(-1, 1, "the corner on the right of the image lifts more than the other"),
        "cheek": Channel(0, 1, "cheeks raised"),
        "brow_inner": Channel(-1, 1, "inner brows up; negative down"),
        "brow_outer": Channel(-1, 1, "outer brows up; negative down"),
        "brow_lower": Channel(0, 1, "brows drawn down and together"),
        "blink_left": Channel(0, 1, "lid of the person's left eye; 1 is shut"),
        "blink_right": Channel(0, 1, "lid of the person's right eye; 1 is shut"),
        "squint": Channel(0, 1, "lower lids tightened"),
        "gaze_x": Channel(-1, 1, "eyes towards the right of the image"),
        "gaze_y": Channel(-1, 1, "eyes towards the bottom of the image"),
        "head_yaw": Channel(-6, 6, "degrees, the nose turns towards the right of the image"),
        "head_pitch": Channel(-6, 6, "degrees, the nose turns towards the bottom of the image (a nod)"),
        "head_roll": Channel(-6, 6, "degrees, clockwise in the image"),
        "head_x": Channel(-0.2, 0.2, "shift to the right in inter-ocular distances"),
        "head_y": Channel(-0.2, 0.2, "shift downwards in inter-ocular distances"),
        "breath": Channel(-1, 1, "chest: 1 is full, -1 is empty"),
    }
)


@dataclass(frozen=True)
class PerformanceScore:
    """Control curves over a whole film.

    `curves` holds one float32 array [T] for every channel, all of one length, inside the channel's range.
    `lead_in` is the time of the score at which the speech track starts, in seconds.
    """

    curves: Mapping[str, Curve]
    lead_in: float = 0.0
    rate_hz: int = RATE_HZ
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.curves) != set(CHANNELS):
            raise _refused("channels", "the score does not hold exactly the known channels")
        lengths = {curve.shape for curve in self.curves.values()}
        if len(lengths) != 1 or len(next(iter(lengths))) != 1 or next(iter(lengths))[0] < 1:
            raise _refused("length", "the curves of the score are not of one length")
        for name, curve in self.curves.items():
            limits = CHANNELS[name]
            if not np.isfinite(curve).all() or curve.min() < limits.low - 1e-4 or curve.max() > limits.high + 1e-4:
                raise _refused("range", f"channel {name} leaves its range")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(next(iter(self.curves.values()))) / self.rate_hz

    def frames(self, fps: float) -> int:
        """How many pictures the score is long at `fps`."""
        return max(1, round(self.duration * fps))

    def sampled(self, fps: float) -> dict[str, Curve]:
        """Every channel at the middle of each picture's showing time: float32 [N] by name."""
        middle = (np.arange(self.frames(fps)) + 0.5) / fps * self.rate_hz
        ticks = np.arange(len(next(iter(self.curves.values()))), dtype=np.float64)
        return {name: np.interp(middle, ticks, self.curves[name]).astype(np.float32) for name in CHANNELS}

    def at(self, fps: float) -> NDArray[np.float32]:
        """The same as one array float32 [N, C], columns in the order of `CHANNELS`."""
        return np.stack(list(self.sampled(fps).values()), axis=1)

    def save(self, path: Path) -> None:
        """Writes safetensors with one tensor a channel."""
        about = {"rate_hz": str(self.rate_hz), "lead_in": repr(self.lead_in), **self.notes}
        save_arrays({name: np.ascontiguousarray(self.curves[name], np.float32) for name in CHANNELS}, path, about)

    @classmethod
    def load(cls, path: Path) -> "PerformanceScore":
        """Reads what `save` wrote. Raises `InputRefused` when the file is not a score."""
        from safetensors import safe_open

        try:
            with safe_open(path, "numpy") as file:
                about = dict(file.metadata() or {})
            rate, lead_in = int(about.pop("rate_hz")), float(about.pop("lead_in"))
            curves = load_file(path)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise _refused("file", "the file is not a performance score") from error
        return cls(curves, lead_in, rate, about)


def _refused(what: str, text: str) -> InputRefused:
    return InputRefused([Problem(f"score.{what}", text, "run the animate step again", field="score")])
