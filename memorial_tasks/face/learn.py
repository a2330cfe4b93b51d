"""From a photo bank to a talking face: pairs, training, examination, model card and contact sheet."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Severity
from memorial_tasks.face import album, evaluate
from memorial_tasks.face.bank import PhotoBank, load_bank
from memorial_tasks.face.base import load_base, tuned
from memorial_tasks.face.growth import Growth
from memorial_tasks.face.mouth import SHOWN
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.pairs import PairSet, held_out, make_pairs, make_triples, sources_of
from memorial_tasks.face.recipes import Recipe, portrait_config, recipe
from memorial_tasks.face.refine import Refiner
from memorial_tasks.face.render import FaceRenderer, write_sheet
from memorial_tasks.face.tensors import weighted_pairs, with_triples
from memorial_tasks.face.train import Trained, on_cpu, save_model, train

Progress = Callable[[float, str], None]
FEWEST = 5  # photos from which training starts: one is kept for the examination

SHEET: tuple[dict[str, float], ...] = (
    {},
    {"lip_press": 1.0, "jaw_open": 0.2},
    {"jaw_open": 0.25},
    {"jaw_open": 0.6},
    {"jaw_open": 1.0},
    {"lip_pucker": 1.0, "jaw_open": 0.25},
    {"lip_wide": 0.8, "jaw_open": 0.25},
    {"lip_tuck": 1.0, "jaw_open": 0.2},
    {"smile": 0.8, "cheek": 0.6, "jaw_open": 0.12},
    {"blink_left": 1.0, "blink_right": 1.0},
    {"gaze_x": 0.8},
    {"brow_inner": 0.9, "brow_outer": 0.5},
    {"head_yaw": -8.0, "jaw_open": 0.3},
    {"head_yaw": 8.0},
    {"head_pitch": 6.0},
    {"head_roll": 6.0},
)


def learn_face(
    folder: Path,
    out: Path,
    config: str,
    seed: int,
    checkpoints: Path,
    save_checkpoint: Callable[[], None],
    progress: Progress,
    base: Path | None = None,
) -> dict[str, Any]:
    """Train on the bank in `folder`; write `model.safetensors`, `card.json`, `sheet.png` into `out`, `growth.png` (see
    `growth.py`) where there is enough to train on, and the portrait GAN's `album.png` and `between.png` where the
    config trains one. `base` is a base model's file to start from, in fewer steps. Returns the card.

    Raises `InputRefused` for an unknown config or an incomplete bank, `ModelRefused` for a base of another
    architecture or size, `StepFailed` when training diverges for good."""
    started = time.monotonic()
    plan = recipe(config)
    start = load_base(base, plan) if base else None
    plan = tuned(plan) if start else plan
    bank = load_bank(folder)
    if config != "production":  # the voice is trained at the same time, often on the same two cores
        torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() and config == "production" else "cpu")
    findings: list[Finding] = []
    exam: dict[str, PairSet] = {}
    trained: Trained | None = None
    rows: dict[str, evaluate.Score] = {}
    generators: dict[str, RefinerNet] = {}
    if len(bank.teachers) >= FEWEST:
        kept = held_out(bank)
        learn = [i for i in bank.teachers if i not in kept]
        sources = sources_of(bank, plan.sources, kept)
        pairs = make_pairs(bank, plan.scale, sources, learn, learn, lambda f, m: progress(0.08 * f, m))
        exam = make_pairs(bank, plan.scale, [bank.base_index], learn, kept, lambda f, m: progress(0.08 + 0.02 * f, m))
        tensors = {name: weighted_pairs(bank, found) for name, found in pairs.items()}
        if plan.temporal > 0:
            tensors = with_triples(tensors, make_triples(bank, plan.scale, bank.base_index, learn, seed))

        def judge(name: str, network: RefinerNet) -> float:
            return evaluate.patch_psnr(network if device.type == "cpu" else on_cpu(network), exam[name])

        growth = Growth(bank, plan.scale, exam, checkpoints)
        trained = train(
            tensors,
            plan,
            seed,
            checkpoints,
            save_checkpoint,
            lambda f, m: progress(0.10 + 0.72 * f, m),
            judge if exam else None,
            device,
            start,
            shown=growth,
        )
        growth.write(out / "growth.png")
        generators = {name: on_cpu(g) for name, g in trained.generators.items()}
        if exam:
            rows = evaluate.compare(generators, exam)
            generators, more = _guard(generators, exam)
            findings += more
            rows["delivered"] = evaluate.compare(generators, exam)["ours"] if generators else rows["warp"]
    else:
        findings.append(
            Finding(
                code="face.few_photos",
                severity=Severity.WARNING,
                value=float(len(bank.crops)),
                limit=float(FEWEST),
                what="too few photos to train on, so the photo itself is bent and nothing is learned",
                remedy="bring at least five photos, or a home video, with different openings of the mouth",
            )
        )
    findings += _warnings(bank)
    save_model(out / "model.safetensors", generators, plan.scale, {"config": config})
    portrait = portrait_config(config)
    drawn: dict[str, Any] | None = None
    if portrait is not None and len(bank.crops) >= album.FEWEST:
        drawn = album.learn_album(
            bank, portrait, seed, out, checkpoints, save_checkpoint, lambda f, m: progress(0.83 + 0.10 * f, m)
        )
    progress(0.94, "drawing the contact sheet")
    renderer = FaceRenderer(bank, Refiner(generators, plan.scale, bank) if generators else None)
    write_sheet([renderer.close_up(values) for values in SHEET], out / "sheet.png")
    card = model_card(bank, plan, trained, rows, findings, generators, seed)
    card["portrait_gan"] = drawn
    card["base"] = {"sha256": hashlib.sha256(base.read_bytes()).hexdigest()} if base else None
    # what another run of the same training would not repeat stays out of the file, so that its digest is the same
    (out / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1), "utf-8")
    progress(1.0, "face trained")
    times = {"train_s": round(trained.seconds, 1) if trained else 0.0, "wall_s": round(time.monotonic() - started, 1)}
    return card | times | {"resumed": trained.resumed if trained else False}


def _guard(generators: dict[str, RefinerNet], exam: dict[str, PairSet]) -> tuple[dict[str, RefinerNet], list[Finding]]:
    """A refiner that does not beat the plain warp on unseen photos is not delivered."""
    kept, findings = {}, []
    for name, network in generators.items():
        ours = evaluate.patch_psnr(network, exam[name])
        warp = evaluate.score({name: exam[name].inputs[:, :3]}, {name: exam[name]}).psnr
        if ours > warp:
            kept[name] = network
        else:
            findings.append(
                Finding(
                    code="face.no_gain",
                    severity=Severity.INFO,
                    value=round(ours - warp, 2),
                    limit=0.0,
                    what=f"the refiner of the {name} did not beat the plain warp on unseen photos and is left out",
                )
            )
    return kept, findings


def _warnings(bank: PhotoBank) -> list[Finding]:
    findings = []
    if not bank.shows_teeth:
        findings.append(
            Finding(
                code="face.no_teeth",
                severity=Severity.WARNING,
                limit=SHOWN,
                what="no photo shows the teeth: the mouth opens to 60 % and its inside is drawn",
                remedy="bring a photo or a home video in which the person laughs or speaks",
            )
        )
    photos = bank.facts["photos"]
    if photos[0]["eye_distance"] < 40:
        findings.append(
            Finding(
                code="face.low_resolution",
                severity=Severity.WARNING,
                value=photos[0]["eye_distance"],
                limit=40.0,
                what="the base photo has few pixels between the eyes: the film looks soft",
                remedy="scan it again, larger",
            )
        )
    if photos[0]["eyes"] < 0.2:
        findings.append(
            Finding(
                code="face.eyes_narrow",
                severity=Severity.INFO,
                value=photos[0]["eyes"],
                limit=0.2,
                what="the eyes are hardly open in the base photo",
                remedy="bring a photo with open eyes",
            )
        )
    if abs(photos[0]["yaw"]) > 15:
        findings.append(
            Finding(
                code="face.turned",
                severity=Severity.WARNING,
                value=photos[0]["yaw"],
                limit=15.0,
                what="no photo looks into the camera, so one half of the face is stretched",
                remedy="bring a frontal photo",
            )
        )
    return findings


def model_card(
    bank: PhotoBank,
    plan: Recipe,
    trained: Trained | None,
    rows: dict[str, evaluate.Score],
    findings: list[Finding],
    generators: dict[str, RefinerNet],
    seed: int,
) -> dict[str, Any]:
    """What was used, how well it does on unseen photos, and what is weak, as a JSON document."""
    return {
        "kind": "face-model-card",
        "version": 1,
        "config": plan.name,
        "seed": seed,
        "method": "the own photo bent by landmarks; mouth and eyes refined by this person's conditional GAN",
        "photos": bank.facts["photos"],
        "photos_used": len(bank.crops),
        "shows_teeth": bank.shows_teeth,
        "opening_limit": 1.0 if bank.shows_teeth else 0.6,
        "refined": sorted(generators),
        "held_out": len(held_out(bank)),
        "held_out_note": "the weights with the best held-out score are kept, so these figures are slightly kind",
        "scores": {
            name: {"mouth_eye_psnr": round(s.psnr, 2), "sharpness": round(s.sharpness, 3)} for name, s in rows.items()
        },
        "parameters": {name: sum(p.numel() for p in g.parameters()) for name, g in generators.items()},
        "steps": trained.steps if trained else 0,
        "events": trained.events if trained else [],
        "curves": trained.curves if trained else [],
        "findings": [f.model_dump(mode="json") for f in findings],
    }
