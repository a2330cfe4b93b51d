"""What every tier of tests shares."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# `make test` fetches the face models and the font here once; a folder of one's own may be named instead.
ASSETS = Path(os.environ.get("MEMORIAL_ASSETS", ROOT / ".memorial" / "assets"))
os.environ["MEMORIAL_ASSETS"] = str(ASSETS)


@pytest.fixture(scope="session")
def assets() -> Path:
    """Face models and font, fetched and digest-checked at set-up."""
    from memorial_tasks.assets import fetch_assets

    fetch_assets(ASSETS)
    return ASSETS
