"""One studio whose steps run as pods, for every test of this folder: it takes half a minute to start."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pod_studio import PodStudio, launch_studio


@pytest.fixture(scope="session")
def studio(assets: Path) -> Iterator[PodStudio]:
    """Set up, started, and ended with everything it started."""
    home = Path(tempfile.mkdtemp(prefix="memorial-pods-", dir="/tmp"))
    home.chmod(0o755)
    running = None
    try:
        running = launch_studio(home, assets, gpus=4, MEMORIAL_BATCH_ORDERS="4")
        yield running
    finally:
        if running is not None:
            running.end()
        shutil.rmtree(home, ignore_errors=True)
