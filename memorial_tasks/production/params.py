"""The parameters of each step, from the order's own wishes and the studio's settings. No personal data, ever."""

import hashlib
from typing import Any

from memorial_tasks.database.registry import OrderRow
from memorial_tasks.settings import Settings


def content_id(order: OrderRow) -> str:
    """The public id of the film: pseudonymous, stable for the order."""
    return f"MS-{order.order_id}"


def step_params(settings: Settings, order: OrderRow, step: str) -> dict[str, Any]:
    """Parameters of `step` for this order."""
    deliver = order.deliver
    size, fps = deliver.get("size", "1080p"), deliver.get("fps", 25)
    formats = list(deliver.get("formats", ["mp4"]))
    # Fixed when the order came in: whoever looks at it later, under whatever setting, sees the same results.
    train = deliver.get("train", settings.train)
    by_step: dict[str, dict[str, Any]] = {
        "ingest": {"language": order.language},
        "quality_gate": {"language": order.language},
        "prepare_face": {"size": size, "upright": "vertical" in formats},
        "train_face": {"config": train},
        "prepare_voice": {"language": order.language},
        "train_voice": {"config": train},
        "direct": {"language": order.language, "encoder": _encoder(settings)},
        "speak": {},
        "animate": {"size": size, "fps": fps},
        "compose": {
            "size": size,
            "fps": fps,
            "subtitles": list(deliver.get("subtitles", [])),
            "burn": list(deliver.get("burn", [])),
            "renditions": [name for name in ("vertical", "vr180") if name in formats],
        },
        "seal": {
            "profile": settings.profile,
            "audit_ref": order.order_id,
            "content_id": content_id(order),
            "producer_code": settings.producer_code,
            "consent_ref": order.consent_id or "",
            "purpose": str(order.purpose),
            "size": size,
            "fps": fps,
            "extracts": [name for name in ("audio", "stills") if name in formats],
            "created_at": order.created_at.isoformat(timespec="seconds"),
        },
        "output_gate": {"content_id": content_id(order), "language": order.language},
        "evaluate_face": {"curve": True},
        "package": {"formats": formats, "language": order.language, "fps": fps},
    }
    return by_step[step]


def _encoder(settings: Settings) -> str:
    """The digest of the text encoder that is installed (see `performance.encoder.installed`): part of the result's key,
    so that another encoder makes another plan."""
    card = settings.assets_dir / "emotion" / "emotion.json"
    return hashlib.sha256(card.read_bytes()).hexdigest() if card.is_file() else ""
