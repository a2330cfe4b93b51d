"""train_face: the photo bank -> the refiner of this one face, with an honest card and a contact sheet."""

from typing import Any, Literal

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Modality
from memorial_tasks.steps.contract import StepContext

ROOMS = ("face",)
MODALITIES = (Modality.FACE,)


class Params(Record):
    """`config`: tiny (about 20 s), cpu (under 4 minutes on one core) or production (a GPU)."""

    config: Literal["tiny", "cpu", "production"] = "cpu"


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """``face/bank.*``, ``face/base.png``, and where the studio has one ``base/model.safetensors`` to start from ->
    ``face/model.safetensors``, ``face/card.json``, ``face/sheet.png``, ``face/growth.png`` (the face at 0, 10, 50 and
    100 % of the training, where photos suffice for one), and, where the config trains the portrait GAN,
    ``face/album.png`` and ``face/between.png``; the losses in ``curves/events.out.tfevents``."""
    from memorial_tasks.face.learn import learn_face
    from memorial_tasks.steps.curves import from_rows, write_curves

    for name in ("face/bank.safetensors", "face/bank.json", "face/base.png"):
        context.file(name)
    out = context.out / "face"
    out.mkdir(parents=True, exist_ok=True)
    card = learn_face(
        context.inputs / "face",
        out,
        params.config,
        context.seed,
        context.checkpoints,
        context.save_checkpoint,
        context.progress,
        context.optional("base/model.safetensors"),
    )
    album = card["portrait_gan"] or {"curves": [], "steps": 0}
    scalars = from_rows("portrait_gan", album["curves"], max(1, album["steps"] // 100))
    write_curves(context.out, from_rows("face", card["curves"]) | scalars)
    keys = (
        "photos_used",
        "shows_teeth",
        "opening_limit",
        "scores",
        "steps",
        "train_s",
        "resumed",
        "refined",
        "findings",
        "base",
    )
    return {key: card[key] for key in keys}
