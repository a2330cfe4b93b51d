"""Landmark points that a person set by hand on a photo, because the model saw them wrongly.

A file ``anna.points.json`` beside the photo ``anna.jpg``:

```json
{"size": [1600, 1200], "points": [[612.0, 431.5], [655.0, 428.0], ...]}
```

`size`: width and height of the upright photo the points were measured in; `points`: x to the right and y down in its
pixels, either the `TWENTY` in their order, or all 478 of the face mesh in the order of the published face model. Right
and left are the person's own.
"""

from typing import Annotated

from pydantic import Field, model_validator

from memorial_tasks.domain.order import Record

MESH = 478
# Name and number in the mesh.
TWENTY: tuple[tuple[str, int], ...] = (
    ("right eye, outer corner", 33),
    ("right eye, inner corner", 133),
    ("right eye, middle of the upper lid", 159),
    ("right eye, middle of the lower lid", 145),
    ("left eye, inner corner", 362),
    ("left eye, outer corner", 263),
    ("left eye, middle of the upper lid", 386),
    ("left eye, middle of the lower lid", 374),
    ("right brow, outer end", 70),
    ("right brow, inner end", 107),
    ("left brow, inner end", 336),
    ("left brow, outer end", 300),
    ("tip of the nose", 1),
    ("where the nose meets the upper lip", 2),
    ("right corner of the mouth", 61),
    ("left corner of the mouth", 291),
    ("upper lip, lower edge, middle", 13),
    ("lower lip, upper edge, middle", 14),
    ("lower lip, lower edge, middle", 17),
    ("chin", 152),
)
SUFFIX = ".points.json"


class FacePoints(Record):
    """The points of one photo."""

    size: tuple[Annotated[int, Field(ge=16, le=65536)], Annotated[int, Field(ge=16, le=65536)]]
    points: tuple[tuple[float, float], ...]

    @model_validator(mode="after")
    def _known_count_inside_the_picture(self) -> "FacePoints":
        if len(self.points) not in {len(TWENTY), MESH}:
            raise ValueError(f"{len(self.points)} points; give {len(TWENTY)}, or all {MESH} of the mesh")
        width, height = self.size
        outside = [n for n, (x, y) in enumerate(self.points, 1) if not (0 <= x < width and 0 <= y < height)]
        if outside:
            raise ValueError(f"point {outside[0]} lies outside the picture of {width} x {height} pixels")
        return self
