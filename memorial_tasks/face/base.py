"""A base face: one refiner trained over many people, from which a person's own is tuned in fewer steps.

What mouths and lids have in common (how a warp goes wrong, what light does in an opening) is learned once, from people
whose pictures may be used for it; only the person is left to learn. The base never shows anybody: it repairs a bent
photo, and the photo is the person's own.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from memorial_tasks.errors import InputRefused, ModelRefused, Problem
from memorial_tasks.face import evaluate
from memorial_tasks.face.bank import PhotoBank, build_bank
from memorial_tasks.face.corpus import FaceCorpus
from memorial_tasks.face.identity import Known, likeness_features
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.pairs import PairSet, make_pairs, sources_of
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.recipes import Recipe, recipe
from memorial_tasks.face.team import ALONE, Team
from memorial_tasks.face.tensors import weighted_pairs
from memorial_tasks.face.train import Pairs, load_model, on_cpu, read_about, save_model, train

Image = NDArray[np.uint8]
Progress = Callable[[float, str], None]
ARCHITECTURE = "memorial-face-base-1"  # stands as `format` in the file's metadata
MODEL = "model.safetensors"
FEWEST_PEOPLE, FEWEST_PHOTOS = 2, 4
PEOPLE, KEPT = "people.", 3  # tensors of the people's likeness, and of how many pictures each
FRAMES = 24  # of a person: evenly over their clips


def train_base(
    corpus: FaceCorpus,
    folder: Path,
    out: Path,
    config: str,
    models: FaceModels,
    seed: int,
    progress: Progress,
    team: Team = ALONE,
) -> dict[str, Any]:
    """Train a base on the pictures and clips the manifest names (in `folder`); write `model.safetensors` and
    `card.json` into `out`. Returns the card. Every process of a `team` prepares the same pairs and its leader alone
    writes; a killed training goes on from the state it left in `out`.

    Every sixth person (at least one, from four on) is kept apart and judged on. Raises `InputRefused` when fewer than
    two people can be used, `ModelRefused` for changed model files, `StepFailed` when training diverges."""
    plan, started = recipe(config), time.monotonic()
    banks: dict[str, PhotoBank] = {}
    for number, person in enumerate(corpus.people):
        bank = _bank_of(corpus.files_of(person, folder), models)
        if bank is not None:
            banks[person] = bank
        progress(0.3 * (number + 1) / len(corpus.people), f"person {number + 1} of {len(corpus.people)}")
    if len(banks) < FEWEST_PEOPLE:
        raise InputRefused(
            [
                Problem(
                    "corpus.few_people",
                    f"{len(banks)} of {len(corpus.people)} people can be learned from, {FEWEST_PEOPLE} are needed",
                    f"give each at least {FEWEST_PHOTOS} frontal pictures, or a clip in which they speak",
                    field="items",
                )
            ]
        )
    unseen = list(banks)[3::6] if len(banks) >= 4 else []
    pairs = _all_pairs([b for name, b in banks.items() if name not in unseen], plan)
    exam = _exam([banks[name] for name in unseen], plan)
    device = torch.device("cuda" if torch.cuda.is_available() and config == "production" else "cpu")
    trained = train(
        pairs, plan, seed, out / ".state", lambda: None, lambda share, what: progress(0.35 + 0.6 * share, what),
        (lambda name, network: evaluate.patch_psnr(on_cpu(network), exam[name])) if exam else None,
        torch.device(team.device) if team.size > 1 else device, None, team,
    )  # fmt: skip
    if not team.leads:
        return {}
    generators = {name: on_cpu(network) for name, network in trained.generators.items()}
    (out / ".state" / "face-training.safetensors").unlink()
    (out / ".state").rmdir()
    rows = evaluate.compare(generators, exam) if exam else {}
    about = {"config": config, "people": len(banks) - len(unseen)}
    save_model(out / MODEL, generators, plan.scale, about, ARCHITECTURE, _likenesses(list(banks.values())))
    card = {
        "kind": "face-base-card",
        "version": 1,
        "config": config,
        "seed": seed,
        "people": len(banks) - len(unseen),
        "people_kept_apart": len(unseen),
        "people_not_usable": len(corpus.people) - len(banks),
        "photos": {name: len(bank.crops) for name, bank in banks.items()},
        "scores_on_people_never_seen": {
            name: {"mouth_eye_psnr": round(s.psnr, 2), "sharpness": round(s.sharpness, 3)} for name, s in rows.items()
        },
        "steps": trained.steps,
        "train_s": round(trained.seconds, 1),
        "wall_s": round(time.monotonic() - started, 1),
        "events": trained.events,
        "sha256": hashlib.sha256((out / MODEL).read_bytes()).hexdigest(),
    }
    (out / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1), "utf-8")
    progress(1.0, "base trained")
    return card


def load_base(path: Path, plan: Recipe) -> dict[str, RefinerNet]:
    """The generators of a base model, by patch, to start a training of `plan` with.

    Raises `ModelRefused` for files that are not safetensors, another architecture, and a base of other sizes than the
    recipe's: its weights would not fit."""
    remedy = f"import a base trained with config {plan.name}, or order another config"
    if read_about(path)[1] != ARCHITECTURE:
        raise ModelRefused("the file is not a base face of this architecture", where=path.name, remedy=remedy)
    generators, about = load_model(path)
    other = [name for name, network in generators.items() if network.channels != plan.channels]
    if other or about["scale"] != plan.scale or not generators:
        raise ModelRefused(
            f"the base face was trained with other sizes than config {plan.name} has", where=path.name, remedy=remedy
        )
    return generators


def people_of(path: Path) -> list[list[Known]]:
    """The likeness of each person the base was learned from or judged on, some pictures each (see `Known`); none from a
    base that holds none. `ModelRefused` for files that are not safetensors or no base."""
    if read_about(path)[1] != ARCHITECTURE:
        raise ModelRefused(
            "the file is not a base face of this architecture", where=path.name, remedy="import the base again"
        )
    with safe_open(str(path), framework="np") as file:
        names = {name for name in file.keys() if name.startswith(PEOPLE)}  # noqa: SIM118
        people = sorted({name.rpartition(".")[0] for name in names})
        if names != {f"{person}.{part}" for person in people for part in ("texture", "points")}:
            raise ModelRefused(
                "the base holds people of whom parts are missing", where=path.name, remedy="import the base again"
            )
        both = [(file.get_tensor(f"{person}.texture"), file.get_tensor(f"{person}.points")) for person in people]
    return [list(zip(textures, points, strict=True)) for textures, points in both]


def _likenesses(banks: Sequence[PhotoBank]) -> dict[str, torch.Tensor]:
    """What tells these people apart, without their pictures and their names: texture and points of `KEPT` photos each,
    so that a studio has somebody to compare a person with."""
    found: dict[str, torch.Tensor] = {}
    for number, bank in enumerate(banks):
        some = bank.teachers[:: max(1, len(bank.teachers) // KEPT)][:KEPT]
        textures = np.stack([likeness_features(bank.crops[i], bank.points[i]) for i in some])
        found[f"{PEOPLE}{number:05}.texture"] = torch.from_numpy(textures)
        found[f"{PEOPLE}{number:05}.points"] = torch.from_numpy(np.ascontiguousarray(bank.points[some], np.float32))
    return found


def tuned(plan: Recipe) -> Recipe:
    """The recipe from a base on: fewer steps, and a shorter time without the discriminator."""
    if not plan.base_steps:
        return plan
    share = plan.base_steps / plan.steps
    return replace(plan, steps=plan.base_steps, warm_up=round(plan.warm_up * share))


def _bank_of(files: Sequence[Path], models: FaceModels) -> PhotoBank | None:
    """One person's bank; None when there is too little to learn from."""
    each = max(1, -(-FRAMES // len(files)))
    shown = [
        (f"{number}-{place}", rgb)
        for number, file in enumerate(files)
        for place, rgb in enumerate(_pictures(file, each))
    ]
    try:
        bank, _ = build_bank(models, shown[:200], FRAMES)
    except InputRefused:
        return None
    return bank if len(bank.teachers) >= FEWEST_PHOTOS else None


def _pictures(file: Path, count: int) -> list[Image]:
    """A picture as it is, or `count` frames evenly over a clip, RGB uint8 [H, W, 3]; none from what is neither."""
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is not None:
        return [np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)]
    clip = cv2.VideoCapture(str(file))
    frames = []
    while True:
        there, picture = clip.read()
        if not there:
            break
        frames.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
    clip.release()
    return [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))] if frames else []


def _all_pairs(banks: Sequence[PhotoBank], plan: Recipe) -> dict[str, Pairs]:
    """Pairs of everybody side by side, each person drawn as often as any other."""
    found: dict[str, list[Pairs]] = {}
    for bank in banks:
        for name, part in make_pairs(bank, plan.scale, sources_of(bank, 2, []), bank.teachers, bank.teachers).items():
            pairs = weighted_pairs(bank, part)
            found.setdefault(name, []).append(replace(pairs, weight=pairs.weight / pairs.weight.sum()))
    return {
        name: Pairs(
            torch.cat([p.inputs for p in parts]),
            torch.cat([p.targets for p in parts]),
            torch.cat([p.weight for p in parts]),
        )
        for name, parts in found.items()
    }


def _exam(banks: Sequence[PhotoBank], plan: Recipe) -> dict[str, PairSet]:
    """Pairs of people kept apart: their base photo bent to each of their others."""
    found: dict[str, list[PairSet]] = {}
    for bank in banks:
        targets = [i for i in bank.teachers if i != bank.base_index]
        for name, part in make_pairs(bank, plan.scale, [bank.base_index], bank.teachers, targets).items():
            found.setdefault(name, []).append(part)
    return {name: _joined(parts) for name, parts in found.items()}


def _joined(parts: Sequence[PairSet]) -> PairSet:
    """Several people's pairs as one set; photo numbers are moved apart so that no two people share one."""
    shift = [1000 * number for number in range(len(parts))]
    return PairSet(
        np.concatenate([p.inputs for p in parts]),
        np.concatenate([p.targets for p in parts]),
        np.concatenate([p.still for p in parts]),
        np.concatenate([p.source + s for p, s in zip(parts, shift, strict=True)]),
        np.concatenate([p.target + s for p, s in zip(parts, shift, strict=True)]),
        parts[0].patch,
    )
