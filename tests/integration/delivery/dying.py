"""A delivery that kills itself at a named moment, run by the tests as a process: ``dying.py ORDER MOMENT``."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from memorial_tasks.delivery import bucket, folder, target
from memorial_tasks.production import deliveries
from memorial_tasks.production.studio import Studio, Who


def die(*arguments: Any, **named: Any) -> None:
    """What a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        die()

    return both


def half(item: Any, real: Any = target.checked) -> Any:
    for chunk in real(item):
        yield chunk[: len(chunk) // 2]
        die()


def prepare(moment: str) -> None:
    """Puts the end of the process at the moment."""
    if moment == "half":  # half the film is written; all parts are sent and no object made of them
        folder.checked = half  # type: ignore[attr-defined]
        bucket.BucketTarget._send_parts = then_die(bucket.BucketTarget._send_parts)
    elif moment == "staged":  # the bytes are in place, nothing is recorded
        deliveries.publish_allowed = die  # type: ignore[attr-defined]
    elif moment == "recorded":  # the rows are written and not committed
        deliveries.registry.set_film = then_die(deliveries.registry.set_film)  # type: ignore[attr-defined]
    elif moment == "published":  # the files are visible and nothing is committed
        folder._Folder.publish = then_die(folder._Folder.publish)
    elif moment == "committed":  # everything is done and nobody was told
        folder.FolderTarget.hide = die  # type: ignore[assignment]
        bucket.BucketTarget.hide = die  # type: ignore[assignment]


if __name__ == "__main__":
    prepare(sys.argv[2])
    deliveries.deliver(Studio.open(), sys.argv[1], Who("service", "dying"))
