"""Examining a trained face: every figure beside its ground truth and its peers, on photos it never learned from.

Rows: the real photo (`truth`), the unbent photo (`still`), the bent one (`warp`), what would be delivered (`ours`), and
where there is one, somebody else's photo bent alike (`wrong_person`).
With `curve`, the refiner is trained anew on fewer and more photos, so that a family learns what more would bring, and
once without its discriminator, so that an engineer sees what that brought.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.face import evaluate
from memorial_tasks.face.bank import Photo, PhotoBank, load_bank, match_colours, measure
from memorial_tasks.face.identity import Known, equal_error, likeness, likeness_features
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.face.learn import FEWEST
from memorial_tasks.face.metrics import RandomFeatures, features_of, kernel_distance
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.pairs import PairSet, held_out, make_pairs, sources_of
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.recipes import Recipe, recipe
from memorial_tasks.face.refine import Refiner
from memorial_tasks.face.render import FaceRenderer, write_sheet
from memorial_tasks.face.tensors import weighted_pairs
from memorial_tasks.face.train import load_model, train

Image = NDArray[np.uint8]
Progress = Callable[[float, str], None]
CURVE = (6, 12, 24, 48)
ROWS = ("truth", "still", "warp", "ours", "wrong_person")  # as they stand below each other
POSES: tuple[dict[str, float], ...] = (
    {},
    {"jaw_open": 0.4},
    {"smile": 0.7, "cheek": 0.5},
    {"head_yaw": 7.0, "jaw_open": 0.2},
    {"head_yaw": -7.0},
    {"lip_pucker": 0.8, "jaw_open": 0.2},
)


def examine(
    folder: Path,
    out: Path,
    models: FaceModels,
    seed: int,
    progress: Progress,
    curve: bool = False,
    others: Sequence[Sequence[Known]] = (),
    stranger: Image | None = None,
) -> dict[str, Any]:
    """Examine the bank and model in `folder`; write `evaluation.json` and `evaluation.png` into `out`. `others` are
    other people, some faces each, to tell the person from (see `base.people_of`); `stranger` is a photo of somebody
    else, uint8 [H, W, 3].

    Raises `InputRefused` when too few photos were kept apart to judge anything, `ModelRefused` for foreign weights."""
    torch.set_num_threads(1)
    bank = load_bank(folder)
    exam_photos = held_out(bank)
    if not exam_photos:
        raise InputRefused(
            [
                Problem(
                    "face.nothing_held_out",
                    "no photo was kept apart from training, so nothing can be judged",
                    f"bring at least {FEWEST} photos with different openings of the mouth",
                    field="materials.photos",
                )
            ]
        )
    generators, about = load_model(folder / "model.safetensors")
    learn = [i for i in bank.teachers if i not in exam_photos]
    exam = make_pairs(bank, float(about["scale"]), [bank.base_index], learn, exam_photos)
    made = pictures_by_row(generators, exam)
    other = None if stranger is None else measure(models, stranger, "stranger")
    if isinstance(other, Photo):
        bent = wrong_person(bank, other, float(about["scale"]), learn, exam_photos)
        made["wrong_person"] = {name: np.ascontiguousarray(found.inputs[:, :3]) for name, found in bent.items()}
    rows = {name: _figures(found, exam, seed) for name, found in made.items()}
    progress(0.3, "judged on photos it never saw")
    renderer = FaceRenderer(bank, Refiner(generators, float(about["scale"]), bank) if generators else None)
    document: dict[str, Any] = {
        "kind": "face-evaluation",
        "version": 1,
        "config": about.get("config", ""),
        "held_out": len(exam_photos),
        "rows": rows,
        "identity": identity(bank, renderer, models, others),
        "flicker": flicker(renderer, FaceRenderer(bank)),
        "feature_network": RandomFeatures.name,
    }
    progress(0.5, "compared with the person's photos")
    if curve:
        plan = recipe("tiny")
        document["learning_curve"] = learning_curve(
            bank, plan, seed, lambda share, what: progress(0.5 + 0.35 * share, what)
        )
        document["without_critic"] = without_critic(
            bank, plan, seed, lambda share, what: progress(0.85 + 0.1 * share, what)
        )
    out.mkdir(parents=True, exist_ok=True)
    _sheet(made, exam, out / "evaluation.png")
    (out / "evaluation.json").write_text(json.dumps(document, indent=1), "utf-8")
    progress(1.0, "examined")
    return document


def pictures_by_row(generators: Mapping[str, RefinerNet], exam: Mapping[str, PairSet]) -> dict[str, dict[str, Image]]:
    """Pictures uint8 [P, 3, H, W] by row and patch; `ours` falls back to the warp for a patch without a refiner."""
    rows: dict[str, dict[str, Image]] = {
        "truth": {n: p.targets for n, p in exam.items()},
        "still": {n: p.still for n, p in exam.items()},
        "warp": {n: np.ascontiguousarray(p.inputs[:, :3]) for n, p in exam.items()},
    }
    rows["ours"] = {
        n: evaluate.refined(generators[n], p) if n in generators else rows["warp"][n] for n, p in exam.items()
    }
    return rows


def wrong_person(
    bank: PhotoBank, stranger: Photo, scale: float, learn: Sequence[int], exam_photos: Sequence[int]
) -> dict[str, PairSet]:
    """Somebody else's photo, in the person's colours, bent to the photos kept apart: what the right movement is worth
    on the wrong face. Pairs by patch, in the order of those of the person's own base photo."""
    base = bank.base_index
    crop = match_colours(stranger.crop, stranger.points, bank.crops[base], bank.points[base])
    larger = replace(
        bank,
        crops=np.concatenate([bank.crops, crop[None]]),
        points=np.concatenate([bank.points, stranger.points[None]]),
        facts={**bank.facts, "photos": [*bank.facts["photos"], bank.facts["photos"][base]]},
    )
    return make_pairs(larger, scale, [len(bank.crops)], learn, exam_photos)


def _figures(made: Mapping[str, Image], exam: Mapping[str, PairSet], seed: int) -> dict[str, float]:
    score = evaluate.score(made, exam)
    similar = [
        structural_similarity(picture, real)
        for name, part in exam.items()
        for picture, real in zip(made[name], part.targets, strict=True)
    ]
    distance = 0.0
    for name, part in exam.items():
        a, b = (torch.from_numpy(x.astype(np.float32) / np.float32(127.5) - 1) for x in (made[name], part.targets))
        if len(a) > 1:
            network = RandomFeatures()
            distance += kernel_distance(features_of(network, a)[0], features_of(network, b)[0]) / len(exam)
    return {
        "mouth_eye_psnr": round(score.psnr, 2),
        "ssim": round(float(np.mean(similar)), 4),
        "sharpness": round(score.sharpness, 3),
        "kd_random": round(distance, 5),
    }


def structural_similarity(a: Image, b: Image) -> float:
    """Mean SSIM of two pictures uint8 [3, H, W] on their brightness (Wang 2004: Gaussian of 1.5, K 0.01 and 0.03)."""
    x, y = (picture.astype(np.float64).mean(axis=0) for picture in (a, b))

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), np.float64)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    both = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(similar[5:-5, 5:-5].mean())


def identity(
    bank: PhotoBank, renderer: FaceRenderer, models: FaceModels, others: Sequence[Sequence[Known]] = ()
) -> dict[str, Any]:
    """How far the made faces are from the person's photos, beside how far the photos are from each other.

    `percentile`: the share of photo pairs that are farther apart than the made faces are from the photos; 50 means that
    a made face is as like the person as two of their photos are like each other.

    `others`: against other people, where there are any (None where not): `eer`, the equal error rate at which made
    faces are told from other people's by their distance to the person's photos, and `percentile`, the share of other
    people's faces that are farther from those photos than the made ones are."""
    known = [(likeness_features(bank.crops[i], bank.points[i]), bank.points[i]) for i in bank.teachers]
    among = [likeness(*known[i], *known[j]) for i in range(len(known)) for j in range(i)]
    found = []
    for values in POSES:
        face = measure(models, renderer.frame(values), "made")
        if isinstance(face, Photo):
            found.append(float(np.median([likeness(face.features, face.points, *photo) for photo in known])))
    typical = float(np.median(found)) if found else float("inf")
    away = [float(np.median([likeness(*face, *photo) for photo in known])) for person in others for face in person]
    told = None
    if away and found:
        told = {
            "people": len(others),
            "eer": round(equal_error(found, away), 4),
            "percentile": round(100 * float(np.mean([other > typical for other in away])), 1),
        }
    return {
        "made_to_photos": round(typical, 4),
        "photos_to_photos": round(float(np.median(among)), 4) if among else 0.0,
        "percentile": round(100 * float(np.mean([other > typical for other in among])), 1) if among else 0.0,
        "faces_found": len(found) / len(POSES),
        "others": told,
    }


def flicker(renderer: FaceRenderer, bare: FaceRenderer, frames: int = 12) -> dict[str, float]:
    """What jumps between pictures of one slow, even movement: root mean square of the second difference over time, in
    grey levels, for the refined face and the bare warp of the same movement."""

    def jumps(face: FaceRenderer) -> float:
        shown = [
            face.close_up({"jaw_open": 0.5 * share, "smile": 0.3 * share}).astype(np.float32).mean(axis=2)
            for share in np.linspace(0, 1, frames)
        ]
        second = np.diff(np.stack(shown), n=2, axis=0)
        return float(np.sqrt((second**2).mean()))

    return {"ours": round(jumps(renderer), 4), "warp": round(jumps(bare), 4)}


def learning_curve(bank: PhotoBank, plan: Recipe, seed: int, progress: Progress) -> list[dict[str, float]]:
    """Held-out score by the number of photos learned from, each trained alike; the last row is all of them."""
    learn = [i for i in bank.teachers if i not in held_out(bank)]
    sizes = [*(size for size in CURVE if size < len(learn)), len(learn)]
    rows = []
    for number, size in enumerate(sizes):
        result = _learned(
            bank, _spread(learn, size, bank.base_index), plan, seed,
            lambda share, what, at=number: progress((at + share) / len(sizes), what),  # type: ignore[misc]
        )  # fmt: skip
        rows.append({"photos": float(size), **_told(result["ours"]), "warp": round(result["warp"].psnr, 2)})
    return rows


def without_critic(bank: PhotoBank, plan: Recipe, seed: int, progress: Progress) -> dict[str, float]:
    """Held-out score of a refiner trained on all photos as the curve's last row is, but without its adversarial part:
    what the discriminator is worth for this person."""
    learn = [i for i in bank.teachers if i not in held_out(bank)]
    return _told(_learned(bank, learn, replace(plan, warm_up=plan.steps), seed, progress)["ours"])


def _told(score: evaluate.Score) -> dict[str, float]:
    return {"mouth_eye_psnr": round(score.psnr, 2), "sharpness": round(score.sharpness, 3)}


def _learned(
    bank: PhotoBank, photos: list[int], plan: Recipe, seed: int, progress: Progress
) -> dict[str, evaluate.Score]:
    """A refiner trained on these photos alone, beside its peers on the photos kept apart."""
    exam_photos = held_out(bank)
    sources = [i for i in sources_of(bank, plan.sources, exam_photos) if i in photos]
    pairs = make_pairs(bank, plan.scale, sources, photos, photos)
    exam = make_pairs(bank, plan.scale, [bank.base_index], photos, exam_photos)
    with tempfile.TemporaryDirectory() as folder:
        tensors = {n: weighted_pairs(bank, p) for n, p in pairs.items()}
        trained = train(tensors, plan, seed, Path(folder), lambda: None, progress)
    return evaluate.compare(trained.generators, exam)


def _spread(photos: Sequence[int], count: int, base: int) -> list[int]:
    """`count` of the photos, evenly over their order, the base among them."""
    others = [i for i in photos if i != base]
    picked = np.unique(np.linspace(0, len(others) - 1, max(1, count - 1)).round().astype(int))
    return sorted({base, *(others[i] for i in picked)})


def _sheet(made: Mapping[str, Mapping[str, Image]], exam: Mapping[str, PairSet], path: Path) -> None:
    """One column a held-out photo, one row a way of making it (`ROWS`): eyes above, mouth below."""
    tiles = []
    count = min(6, min(len(part.targets) for part in exam.values()))
    for row in (row for row in ROWS if row in made):
        for index in range(count):
            parts = [made[row][name][index].transpose(1, 2, 0) for name in sorted(made[row])]
            width = max(part.shape[1] for part in parts)
            tiles.append(np.vstack([cv2.resize(p, (width, p.shape[0] * width // p.shape[1])) for p in parts]))
    write_sheet(tiles, path, count, 192)
