"""The font that draws Chinese and Latin letters: the one fetched at set-up, the operator's, or the system's."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

from memorial_tasks.errors import Unavailable

SHIPPED: Final = "NotoSansCJKsc-Regular.otf"
SYSTEM: Final = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/STHeiti Medium.ttc",
)


def cjk_font(assets: Path) -> Path:
    """The font file: MEMORIAL_FONT, then the one in `assets`, then the system's. Raises `Unavailable`."""
    chosen = os.environ.get("MEMORIAL_FONT", "")
    candidates = [*([Path(chosen)] if chosen else []), assets / SHIPPED, *map(Path, SYSTEM)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise Unavailable(
        "no font with Chinese letters was found",
        where="fonts",
        remedy=f"run `memorial init`, put {SHIPPED} among the assets, or name a font file in MEMORIAL_FONT",
    )


@lru_cache(maxsize=16)
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels."""
    return ImageFont.truetype(str(path), size)
