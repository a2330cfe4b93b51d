"""Training curves as a TensorBoard event file, written from the history a training recorded.

The networks' rooms need nothing but torch, so they keep numbers; here the numbers become a file TensorBoard reads.
Nothing in it depends on machine or moment: no host name, a fixed file name, and the step stands where TensorBoard keeps
the wall time (choose "Step" as the horizontal axis). The same training gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

Scalars = Mapping[str, Sequence[tuple[int, float]]]

# TensorBoard takes every file below its folder whose name holds "tfevents".
FILE = "curves/events.out.tfevents"


def write_curves(out: Path, scalars: Scalars) -> Path | None:
    """Write ``curves/events.out.tfevents`` below `out`; None, and no file, when nothing was recorded.

    `scalars` maps a tag (``voice/acoustic``) to (step, value) pairs. Events stand in order of step, then of tag.
    Source of the format: TensorBoard's record writer (TFRecord frames of ``Event`` messages).
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    points = sorted((step, tag, value) for tag, series in scalars.items() for step, value in series)
    if not points:
        return None
    path = out / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        writer = RecordWriter(stream)
        writer.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
        for step, tag, value in points:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.write(Event(wall_time=float(step), step=step, summary=summary).SerializeToString())
        writer.flush()
    return path


def from_rows(room: str, rows: Sequence[Mapping[str, float]], every: int = 1) -> dict[str, list[tuple[int, float]]]:
    """Rows of measures as scalars ``room/measure``, or ``room/patch_0/measure`` where a row names its patch.

    A row without a ``step`` of its own stands `every` steps after the one before it.
    """
    scalars: dict[str, list[tuple[int, float]]] = {}
    for number, row in enumerate(rows):
        place = f"{room}/patch_{int(row['patch'])}" if "patch" in row else room
        step = int(row.get("step", number * every))
        for measure in row.keys() - {"step", "patch"}:
            scalars.setdefault(f"{place}/{measure}", []).append((step, float(row[measure])))
    return scalars
