"""prepare_face: the family's photos -> a photo bank of the one person, with a base portrait."""

import json
from typing import Any, Literal

import numpy as np

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.points import FacePoints
from memorial_tasks.domain.words import Modality
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance import capture
from memorial_tasks.steps.contract import StepContext

ROOMS = ("face", "performance", "video")
MODALITIES = (Modality.FACE,)
# A face of 45 pixels between the eyes, head and shoulders: up to 4.3 times as large at 1080p (soft, but the person), 8
# times at 2160p (no film any more).
ENLARGED = 5.0


class Params(Record):
    """`max_photos`: the most photos that are used; the most varied ones are kept. `size` of the film, and whether an
    `upright` one is wanted too: how large the face will be shown."""

    max_photos: int = 60
    size: Literal["720p", "1080p", "2160p"] = "1080p"
    upright: bool = False


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """``photos/*``, points set by hand (``points.json``) and the quality gate's report -> ``face/bank.safetensors``,
    ``face/bank.json``, ``face/base.png``, and ``face/parsing.png``: the base photo with skin, hair, eyes, mouth and
    clothes tinted, for a person to see what was understood."""
    from memorial_tasks.face.bank import Candidates, save_bank, write_parts
    from memorial_tasks.face.landmarks import FaceModels
    from memorial_tasks.face.pixels import cv2

    files = [path for path in context.files("photos") if path.suffix.lower() == ".png"]
    if not files:
        raise InputRefused(
            [Problem("face.no_photos", "no photo was given", "add photos of the person", field="materials.photos")]
        )
    refused = _refused_by_gate(context)
    if refused >= {path.stem for path in files}:
        refused = set()  # the bank says itself what is wrong with each photo
    by_hand = _points(context)
    refused -= set(by_hand)  # the gate judged what the model saw; a person has seen the face
    copies = sorted(_copies(context) & refused)
    models = FaceModels.load(context.assets)
    candidates = Candidates(models)
    for number, path in enumerate(files):
        if path.stem not in refused:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is not None:
                rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
                candidates.add(path.stem, rgb, by_hand.get(path.stem))
        context.progress(0.9 * (number + 1) / len(files), f"photo {number + 1} of {len(files)}")

    def reload(name: str) -> Any:
        path = next(p for p in files if p.stem == name)
        return np.asarray(cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)

    # Photos that were left out for another reason are other photos.
    bank, findings = candidates.bank(params.max_photos, reload, copies if set(copies) == refused else ())
    _large_enough(bank, params)
    save_bank(bank, findings, context.out / "face")
    parts = write_parts(bank, context.out / "face" / "parsing.png")
    habits = _habits(context)
    context.progress(1.0, f"{len(bank.crops)} photos chosen")
    return {
        "photos_given": len(files),
        "photos_used": len(bank.crops),
        "points_by_hand": sum(name in by_hand for name in bank.names),
        "left_out": len(files) - len(bank.crops),
        "shows_teeth": bank.shows_teeth,
        "base_width": bank.base.shape[1],
        "base_height": bank.base.shape[0],
        "parts": parts,
        "habits_learned": habits,
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }


def _points(context: StepContext) -> dict[str, FacePoints]:
    """Points that a person set on photos, by photo."""
    path = context.optional("points.json")
    given = json.loads(path.read_text("utf-8")) if path else {}
    return {name: FacePoints.model_validate(points) for name, points in given.items()}


def _habits(context: StepContext) -> bool:
    """The person's own ways from their home videos -> ``face/habits.json``, where there is enough to learn from."""
    path = context.optional("motion.json")
    if path is None:
        return False
    tracked = json.loads(path.read_text("utf-8"))
    habits = capture.learn(tracked["columns"], tracked["rows"])
    if habits is not None:
        capture.save(habits, context.out / "face" / "habits.json")
    return habits is not None


def _large_enough(bank: Any, params: Params) -> None:
    """`InputRefused` where the film would show the face at more than `ENLARGED` times its own pixels, as the stage
    places it; what is shown smaller is at worst soft, which the quality gate says."""
    from memorial_tasks.face.geometry import interocular
    from memorial_tasks.video.bust import Bust
    from memorial_tasks.video.encode import SIZES
    from memorial_tasks.video.stage import place_person

    matte = np.asarray((bank.matte * 255).round(), np.uint8)
    bust = Bust.under(matte, bank.base)
    whole = bust.matte if bust else matte
    base = bank.facts["photos"][bank.base_index]
    own = interocular(bank.base_points) / float(base["eye_distance"]) / whole.shape[0]

    def enlarged(size: str, upright: bool) -> float:
        wide, high = SIZES[size]
        return float(own * place_person(whole, (high, wide) if upright else (wide, high)).size[1])

    for upright in (False, True)[: 1 + params.upright]:
        times = enlarged(params.size, upright)
        if times > ENLARGED:
            fits = [size for size in ("1080p", "720p") if enlarged(size, upright) <= ENLARGED]
            less = f"ask for {fits[0]}, or " if fits and fits[0] != params.size else ""
            less += "leave the upright film out, or " if upright else ""
            what = f"at {params.size}{' upright' if upright else ''} the face would be shown {times:.1f} times as large"
            raise InputRefused(
                [
                    Problem(
                        "face.too_small_for_size",
                        f"{what} as the best photo has it; {ENLARGED:.0f} times is the most",
                        f"{less}bring a closer portrait or a finer scan",
                        field="deliver.formats" if upright else "deliver.size",
                        file=bank.names[bank.base_index],
                    )
                ]
            )


def _copies(context: StepContext) -> set[str]:
    """Photos that the quality gate found to be the same picture as another one."""
    measured = context.optional("quality/measurements.json")
    photos = json.loads(measured.read_text("utf-8")).get("photos", {}) if measured is not None else {}
    return {name for name, numbers in photos.items() if (numbers.get("duplicate") or 0) >= 0.5}


def _refused_by_gate(context: StepContext) -> set[str]:
    """Photos the quality gate found critical or not usable: it told the family that they are not used."""
    refused: set[str] = set()
    report, measured = context.optional("quality/report.json"), context.optional("quality/measurements.json")
    if report is not None:
        findings = json.loads(report.read_text("utf-8")).get("findings", [])
        refused |= {f["material"] for f in findings if f.get("severity") == "critical" and f.get("material")}
    if measured is not None:
        photos = json.loads(measured.read_text("utf-8")).get("photos", {})
        refused |= {name for name, numbers in photos.items() if numbers.get("usable") == 0}
    return refused
