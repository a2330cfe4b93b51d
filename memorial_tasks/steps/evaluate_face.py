"""evaluate_face: how good this face is, on photos it never learned from. Done on request, not on the way to a film."""

from typing import Any

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Modality
from memorial_tasks.steps.contract import StepContext

ROOMS = ("face", "demo")
MODALITIES = (Modality.FACE,)


class Params(Record):
    """`curve`: also train on fewer and more photos, which takes minutes, to say what more photos would bring."""

    curve: bool = False


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """``face/bank.*``, ``face/base.png``, ``face/model.safetensors``, and where the studio has one
    ``base/model.safetensors``, of whose people the person is told -> ``evaluation.json``, ``evaluation.png``."""
    from memorial_tasks.face.base import people_of
    from memorial_tasks.face.examine import examine
    from memorial_tasks.face.landmarks import FaceModels

    for name in ("face/bank.safetensors", "face/bank.json", "face/base.png", "face/model.safetensors"):
        context.file(name)
    models = FaceModels.load(context.assets)
    base = context.optional("base/model.safetensors")
    others = people_of(base) if base is not None else []
    document = examine(
        context.inputs / "face", context.out, models, context.seed, context.progress, params.curve, others, _stranger()
    )
    return {key: document[key] for key in ("config", "held_out", "rows", "identity", "flicker")} | {
        "learning_curve": document.get("learning_curve", []),
        "without_critic": document.get("without_critic"),
    }


def _stranger() -> Any:
    """A photo of somebody else, uint8 [H, W, 3]: the invented woman of the demonstration. A studio has no business
    holding pictures of other people."""
    from memorial_tasks.demo.portraits import ALBUM, SIZE, backdrops, photograph
    from memorial_tasks.demo.studio import invite

    return photograph(invite(1), ALBUM[3], backdrops(SIZE, 1), 0)
