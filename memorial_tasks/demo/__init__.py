"""A fictional family, drawn and spoken by program: no real person's likeness, no real person's voice.

``make_family`` writes a complete order folder, ``broken_orders`` folders that must be refused.

    python -m memorial_tasks.demo FOLDER --language zh-CN
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memorial_tasks.demo.broken import BrokenOrder


def make_family(
    folder: Path,
    language: str,
    order_id: str,
    seed: int = 7,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    assets: Path | None = None,
) -> Path:
    """See `memorial_tasks.demo.family.make_family`; imported only when called, so that the command stays quick."""
    from memorial_tasks.demo import family

    return family.make_family(folder, language, order_id, seed, progress, assets)


def broken_orders(folder: Path, family: Path, photos: int = 3, recordings: int = 3) -> "list[BrokenOrder]":
    """See `memorial_tasks.demo.broken.broken_orders`."""
    from memorial_tasks.demo import broken

    return broken.broken_orders(folder, family, photos, recordings)
