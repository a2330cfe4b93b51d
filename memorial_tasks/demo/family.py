"""A complete order folder of a fictional family, and broken copies of it for the tests of refusal."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from memorial_tasks.demo.papers import draw_papers
from memorial_tasks.demo.portraits import draw_portraits
from memorial_tasks.demo.scene import write_background, write_music
from memorial_tasks.demo.texts import FAMILIES
from memorial_tasks.demo.voice import record_voice
from memorial_tasks.domain.order import Order, valid_order_id
from memorial_tasks.errors import InputRefused, Problem

Progress = Callable[[float, str], None]
_MARK = ".family.json"
_MAKERS = (
    "family",
    "hair",
    "head",
    "papers",
    "portraits",
    "raster",
    "scene",
    "skin",
    "studio",
    "texts",
    "voice",
)


def _quiet(fraction: float, message: str) -> None:
    """Progress for nobody."""


def _recipe(language: str, order_id: str, seed: int) -> dict[str, Any]:
    """What decides the bytes of a family: the arguments and the source of the modules that make it."""
    source = hashlib.sha256()
    for name in _MAKERS:
        source.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return {"language": language, "order": order_id, "seed": seed, "source": source.hexdigest()}


def _part(progress: Progress, start: float, end: float) -> Progress:
    return lambda fraction, message: progress(start + (end - start) * fraction, message)


def order_document(language: str, order_id: str) -> dict[str, Any]:
    """The order of a family as plain data, in the shape of ORDER.yaml, checked against `Order`."""
    document = {
        "order": order_id,
        **FAMILIES[language].order,
        "materials": {"photos": "photos/", "voice": "voice/", "background": "background.jpg", "music": "music.wav"},
        "deliver": {"size": "1080p", "fps": 25, "subtitles": ["zh-CN", "en-US"], "formats": ["mp4", "page"]},
    }
    Order.model_validate(document)
    return document


def make_family(
    folder: Path,
    language: str,
    order_id: str,
    seed: int = 7,
    progress: Progress = _quiet,
    assets: Path | None = None,
) -> Path:
    """Write a complete order folder and return the path of its ``order.yaml``.

    The same arguments give the same bytes; a folder that already holds them is left alone. `assets` is the folder of
    fetched files, whose font the Chinese papers are written with (default: ``MEMORIAL_ASSETS``, else a system font).
    Raises `InputRefused` for an unknown language or an impossible order id.
    """
    if language not in FAMILIES or not valid_order_id(order_id):
        raise InputRefused(
            [Problem("demo.arguments", "no such family", "use zh-CN or en-US, and an id of a-z, 0-9 and -", "language")]
        )
    order_file = folder / "order.yaml"
    mark = folder / _MARK
    recipe = _recipe(language, order_id, seed)
    if order_file.is_file() and mark.is_file() and json.loads(mark.read_text()) == recipe:
        progress(1.0, "the family is already there")
        return order_file
    if assets is None and os.environ.get("MEMORIAL_ASSETS"):
        assets = Path(os.environ["MEMORIAL_ASSETS"])
    family = FAMILIES[language]
    folder.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    for part in ("photos", "voice", "papers"):
        shutil.rmtree(folder / part, ignore_errors=True)
    draw_papers(folder / "papers", family.papers, assets)
    write_background(folder / "background.jpg", seed)
    write_music(folder / "music.wav", seed)
    record_voice(folder / "voice", family.recordings, language, seed, _part(progress, 0.05, 0.35))
    draw_portraits(folder / "photos", seed, _part(progress, 0.35, 0.99))
    order_file.write_text(
        yaml.safe_dump(order_document(language, order_id), allow_unicode=True, sort_keys=False, width=110),
        encoding="utf-8",
    )
    mark.write_text(json.dumps(recipe, sort_keys=True))
    progress(1.0, "the family is ready")
    return order_file
