"""What an order will take, learned from this studio's own finished steps: the median of each, scaled by its input."""

from statistics import median
from typing import Any

from memorial_tasks.database.connection import rows
from memorial_tasks.production.graph import INPUTS
from memorial_tasks.production.studio import Studio

HISTORY = 200


def estimate(studio: Studio, order_id: str) -> dict[str, Any]:
    """Minutes, GPU minutes and storage. `runs` is 0 when there is no history: then nothing is promised.

    Face and voice are worked on side by side, so the wall time counts the longer of the two branches.
    """
    with studio.transaction() as connection:
        order = studio.order(connection, order_id)
        history = rows(
            connection,
            "SELECT s.step, s.wall_s, s.gpu_minutes, s.outputs FROM step_run s JOIN orders o USING (order_id)"
            " WHERE s.state = 'done' AND s.wall_s IS NOT NULL AND o.language = %s"
            " ORDER BY s.finished_at DESC LIMIT %s",
            (order.language, HISTORY * len(INPUTS)),
        )
    found, minutes, storage = [], {}, 0.0
    for step in INPUTS:
        past = [row for row in history if row["step"] == step][:HISTORY]
        if not past:
            continue
        minutes[step] = median(row["wall_s"] for row in past) / 60
        storage += median(sum(artifact["size"] for artifact in row["outputs"]) for row in past) / 1e6
        gpu = median(row["gpu_minutes"] or 0 for row in past)
        found.append({"step": step, "minutes": round(minutes[step], 3), "gpu_minutes": gpu, "runs": len(past)})
    face = sum(minutes.get(step, 0) for step in ("prepare_face", "train_face"))
    voice = sum(minutes.get(step, 0) for step in ("prepare_voice", "train_voice"))
    wall = sum(minutes.values()) - min(face, voice)
    return {
        "order": order_id,
        "runs": min((step["runs"] for step in found), default=0),
        "steps": found,
        "wall_minutes": round(wall, 2),
        "gpu_minutes": round(sum(step["gpu_minutes"] for step in found), 2),
        "storage_mb": round(storage, 1),
    }
