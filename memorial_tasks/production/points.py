"""Points set by hand, as they lie beside the photos of an order."""

import json
from pathlib import Path

from pydantic import ValidationError

from memorial_tasks.domain.points import SUFFIX, FacePoints
from memorial_tasks.errors import Problem

FIELD = "materials.photos"
LARGEST = 1 << 20


def read_points(folder: Path) -> tuple[dict[str, FacePoints], list[Problem]]:
    """The points of the photos in `folder` by the photo's file name, and everything that is wrong with them.
    `Problem.file` is relative to the folder's parent."""
    if not folder.is_dir():
        return {}, []
    found: dict[str, FacePoints] = {}
    problems: list[Problem] = []
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    photos: dict[str, list[str]] = {}
    for path in files:
        if not path.name.lower().endswith(SUFFIX):
            photos.setdefault(path.stem, []).append(path.name)
    for path in files:
        if not path.name.lower().endswith(SUFFIX):
            continue
        here = f"{folder.name}/{path.name}"
        owners = photos.get(path.name[: -len(SUFFIX)], [])
        if len(owners) != 1:
            what = "there is no photo of this name beside it" if not owners else "several photos have this name"
            problems.append(Problem("points.photo", what, f"name it like its photo, with {SUFFIX}", FIELD, here))
            continue
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError
            found[owners[0]] = FacePoints.model_validate(json.loads(path.read_text("utf-8-sig")))
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                what = item["msg"].removeprefix("Value error, ")
                problems.append(Problem("points.value", what, "see docs/photo-points.md", FIELD, here))
        except (ValueError, OSError):
            problems.append(Problem("points.json", "not readable as JSON", "see docs/photo-points.md", FIELD, here))
    return found, problems
