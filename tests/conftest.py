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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side (`-n`), a file stays on one worker. Files that share a running studio name a group of their own:
    starting another would cost more than the second worker saves."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
