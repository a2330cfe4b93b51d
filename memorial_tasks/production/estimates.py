"""What an order will take, learned from this studio's own finished orders.

Each step's time follows one thing that is known before anything runs: how much material there is, or how long the
script is times how many pixels a picture has. For each step the median of the past is compared with a straight line
through it (Theil 1950, Sen 1968: the median of all pairwise slopes, which a few odd orders do not move), and the one
that lies closer is used, the line being charged for its second free number. How far to trust the sum is found by
leaving each past order out in turn and estimating it from the others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

from memorial_tasks.database.connection import Connection, rows
from memorial_tasks.production.costs import price
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.production.studio import Studio
from memorial_tasks.settings import Settings

# Newest orders only: machines and code change, and leaving each of n out costs n times as much as fitting once.
HISTORY = 40
FEWEST_FOR_A_LINE = 4
PIXELS = {"720p": 1280 * 720, "1080p": 1920 * 1080, "2160p": 3840 * 2160}
MATERIAL, PHOTOS, VOICE, SCRIPT, FILM = "material", "photos", "voice", "script", "film"
DRIVER: Mapping[str, str] = {
    "ingest": MATERIAL,
    "quality_gate": MATERIAL,
    "prepare_face": PHOTOS,
    "train_face": PHOTOS,
    "prepare_voice": VOICE,
    "train_voice": VOICE,
    "direct": SCRIPT,
    "speak": SCRIPT,
    "animate": FILM,
    "compose": FILM,
    "seal": FILM,
    "output_gate": FILM,
    "package": FILM,
}


@dataclass(frozen=True)
class Work:
    """One step of a finished order: seconds, GPU minutes, bytes left behind."""

    seconds: float
    gpu_minutes: float
    stored: float


@dataclass(frozen=True)
class Past:
    """A finished order: what was known before it ran (`size` by driver), and what its steps took."""

    size: Mapping[str, float]
    steps: Mapping[str, Work]


@dataclass(frozen=True)
class Line:
    """``seconds = base + slope * size``; a slope of 0 is the median."""

    base: float
    slope: float

    def at(self, size: float) -> float:
        """The value there; never negative, because no step gives time back."""
        return max(0.0, self.base + self.slope * size)


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The median or the line through (size, value), whichever lies closer to most points."""
    level = Line(median(value for _, value in points), 0.0)
    slopes = [(w - v) / (b - a) for (a, v), (b, w) in combinations(points, 2) if a != b]
    if len(points) < FEWEST_FOR_A_LINE or not slopes:
        return level
    slope = max(0.0, median(slopes))  # more material never makes a step quicker
    line = Line(median(value - slope * size for size, value in points), slope)
    count = len(points)
    return line if _off(line, points) / (count - 2) < _off(level, points) / (count - 1) else level


def _off(line: Line, points: Sequence[tuple[float, float]]) -> float:
    return float(median(abs(line.at(size) - value) for size, value in points))


def wall(minutes: Mapping[str, float]) -> float:
    """Minutes from the first step to the last: face and voice are worked on side by side."""
    face = sum(minutes.get(step, 0.0) for step in ("prepare_face", "train_face"))
    voice = sum(minutes.get(step, 0.0) for step in ("prepare_voice", "train_voice"))
    return sum(minutes.values()) - min(face, voice)


def _points(history: Sequence[Past], step: str, what: str) -> list[tuple[float, float]]:
    return [(past.size[DRIVER[step]], getattr(past.steps[step], what)) for past in history if step in past.steps]


def foreseen(history: Sequence[Past], size: Mapping[str, float]) -> dict[str, float]:
    """Minutes of every step that has a history, for an order of this size."""
    found = {}
    for step in INPUTS:
        points = _points(history, step, "seconds")
        if points:
            found[step] = fit(points).at(size[DRIVER[step]]) / 60
    return found


def expected_error(history: Sequence[Past]) -> float | None:
    """Median relative error of the wall time of past orders, each predicted from the others; None below three."""
    whole = [past for past in history if set(INPUTS) <= past.steps.keys()]
    if len(whole) < 3:
        return None
    errors = []
    for past in whole:
        rest = [other for other in history if other is not past]
        true = wall({step: work.seconds / 60 for step, work in past.steps.items()})
        if true > 0:
            errors.append(abs(wall(foreseen(rest, past.size)) - true) / true)
    return median(errors) if errors else None


@dataclass(frozen=True)
class Predicted:
    """What one step will take; `by` names what it was read from."""

    step: str
    minutes: float
    gpu_minutes: float
    stored: float
    runs: int
    by: str

    def shown(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "step": self.step,
            "minutes": round(self.minutes, 3),
            "gpu_minutes": round(self.gpu_minutes, 3),
            "runs": self.runs,
            "by": self.by,
        }


def predict(settings: Settings, history: Sequence[Past], size: Mapping[str, float]) -> dict[str, Any]:
    """The estimate for an order of this size. Nothing is promised (`runs` 0) unless every step has a history."""
    steps: list[Predicted] = []
    for step in INPUTS:
        times, at = _points(history, step, "seconds"), size[DRIVER[step]]
        if not times:
            return {"runs": 0, "steps": [], "wall_minutes": None, "gpu_minutes": None, "storage_mb": None,
                    "cost": None, "currency": settings.currency, "expected_error": None}  # fmt: skip
        line = fit(times)
        gpu = fit(_points(history, step, "gpu_minutes")).at(at)
        stored = fit(_points(history, step, "stored")).at(at)
        by = DRIVER[step] if line.slope else "median"
        steps.append(Predicted(step, line.at(at) / 60, gpu, stored, len(times), by))
    costs = [price(settings, 60 * one.minutes, one.gpu_minutes) for one in steps]
    known = [cost for cost in costs if cost is not None]
    error = expected_error(history)
    return {
        "runs": min(one.runs for one in steps),
        "steps": [one.shown() for one in steps],
        "wall_minutes": round(wall({one.step: one.minutes for one in steps}), 2),
        "gpu_minutes": round(sum(one.gpu_minutes for one in steps), 2),
        "storage_mb": round(sum(one.stored for one in steps) / 1e6, 1),
        "cost": float(sum(known)) if len(known) == len(costs) else None,
        "currency": settings.currency,
        "expected_error": None if error is None else round(error, 3),
    }


_SIZES = """
SELECT o.order_id, o.deliver,
       count(*) FILTER (WHERE m.kind IN ('photo', 'video')) AS photos,
       coalesce(sum(m.size) FILTER (WHERE m.kind IN ('photo', 'video', 'voice')), 0) AS material,
       coalesce(sum(m.size) FILTER (WHERE m.kind IN ('video', 'voice')), 0) AS voice,
       coalesce(sum(m.size) FILTER (WHERE m.material_id = 'script.json'), 0) AS script
FROM orders o LEFT JOIN material m USING (order_id)
WHERE o.order_id = ANY(%s) GROUP BY o.order_id, o.deliver
"""
# A step that was tried again took up a checkpoint: its time is a part of the truth. Another GPU is another history.
_STEPS = """
SELECT DISTINCT ON (s.order_id, s.step) s.order_id, s.step, s.wall_s, s.gpu, s.gpu_minutes,
       (SELECT coalesce(sum((a->>'size')::bigint), 0) FROM jsonb_array_elements(s.outputs) a) AS stored
FROM step_run s WHERE s.order_id = ANY(%s) AND s.state = 'done' AND s.wall_s IS NOT NULL AND s.attempts = 1
ORDER BY s.order_id, s.step, s.finished_at DESC
"""
_COHORT = """
SELECT o.order_id FROM orders o JOIN step_run s USING (order_id)
WHERE s.state = 'done' AND o.order_id <> %(order)s AND o.language = %(language)s
  AND coalesce(o.deliver->>'train', '') = %(train)s
GROUP BY o.order_id ORDER BY max(s.finished_at) DESC LIMIT %(most)s
"""


def _size(row: Mapping[str, Any]) -> dict[str, float]:
    pixels = PIXELS.get(row["deliver"].get("size", "1080p"), PIXELS["1080p"]) * row["deliver"].get("fps", 25) / 25
    script = float(row["script"])
    return {
        MATERIAL: float(row["material"]),
        PHOTOS: float(row["photos"]),
        VOICE: float(row["voice"]),
        SCRIPT: script,
        FILM: script * pixels,
    }


def past_orders(connection: Connection, order_ids: Sequence[str]) -> list[Past]:
    """The finished steps of these orders, on the GPU that most of each step's runs had."""
    sizes = {row["order_id"]: _size(row) for row in rows(connection, _SIZES, (list(order_ids),))}
    found = rows(connection, _STEPS, (list(order_ids),))
    usual = {
        step: Counter(row["gpu"] for row in found if row["step"] == step).most_common(1)[0][0]
        for step in {row["step"] for row in found}
    }
    steps: dict[str, dict[str, Work]] = {order_id: {} for order_id in order_ids}
    for row in found:
        if row["gpu"] == usual[row["step"]] and row["step"] in DRIVER:
            work = Work(float(row["wall_s"]), float(row["gpu_minutes"] or 0), float(row["stored"]))
            steps[row["order_id"]][row["step"]] = work
    return [Past(sizes[order_id], steps[order_id]) for order_id in order_ids if steps[order_id]]


def estimate(studio: Studio, order_id: str) -> dict[str, Any]:
    """Minutes, GPU minutes, storage and cost of an order, from orders of the same language and training; `runs` is 0
    when there is no such history: then nothing is promised."""
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        asked = {
            "order": order_id,
            "language": order.language,
            "train": order.deliver.get("train", ""),
            "most": HISTORY,
        }
        alike = [row["order_id"] for row in rows(connection, _COHORT, asked)]
        history = past_orders(connection, alike)
        (size,) = [_size(row) for row in rows(connection, _SIZES, ([order_id],))]
    return {"order": order_id} | predict(studio.settings, history, size)
