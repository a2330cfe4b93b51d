"""Figures of the face room on photos it never trained on.

``MEMORIAL_BENCH_REAL`` names a folder with ``grid-s1/*.mpg`` (clips of one person: 60 to learn from, the rest to be
examined on) and ``others/*.mpg`` (clips of other people; the first is the same man). Without it the painted face of the
unit tests serves, which measures that the parts work, not how well a person is met; identity is then left out.

``MEMORIAL_BENCH_FACE_PARTS`` names what is measured: ``peers,speed`` is all of it; ``-`` trains and judges ours alone.
Times of training are seconds that one core worked, so that a busy machine does not shorten anybody's; ``fps`` is by the
wall and wants a machine with nothing else to do. Every figure is told on stderr when it is known, so that a run that is
cut off has not been for nothing.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from memorial_tasks.domain.finding import Finding
from memorial_tasks.face import evaluate
from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.album import portraits
from memorial_tasks.face.bank import Photo, PhotoBank, build_bank, match_colours, measure, save_bank
from memorial_tasks.face.examine import wrong_person
from memorial_tasks.face.identity import likeness, likeness_features
from memorial_tasks.face.landmarks import FaceModels
from memorial_tasks.face.metrics import RandomFeatures, features_of, kernel_distance
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.pairs import PairSet, bend_photo, face_triangles, held_out, make_pairs, sources_of
from memorial_tasks.face.portrait_gan import GanConfig, PortraitGenerator, sample, train_portrait_gan
from memorial_tasks.face.recipes import Recipe, recipe
from memorial_tasks.face.render import FaceRenderer
from memorial_tasks.face.tensors import weighted_pairs
from memorial_tasks.face.train import save_model, train

Image = NDArray[np.uint8]
ASSETS = Path(os.environ.get("MEMORIAL_ASSETS", Path(__file__).resolve().parents[2] / ".memorial" / "assets"))


def run() -> dict[str, float]:
    """The `face.*` keys of DESIGN section 8; `MEMORIAL_BENCH_FACE` chooses the config (default cpu)."""
    torch.set_num_threads(1)
    real = os.environ.get("MEMORIAL_BENCH_REAL", "")
    result: dict[str, float] = {}
    if real:
        bank, learn, exam, result = _real(Path(real))
    else:
        bank, learn, exam = _painted()
    plan = recipe(os.environ.get("MEMORIAL_BENCH_FACE", "cpu"))
    pairs = make_pairs(bank, plan.scale, sources_of(bank, plan.sources, exam), learn, learn)
    tests = make_pairs(bank, plan.scale, [bank.base_index], learn, exam)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:  # the examination takes no part in the training: no `evaluate` here
        trained = train(
            {n: weighted_pairs(bank, found) for n, found in pairs.items()},
            plan,
            1,
            Path(folder),
            lambda: None,
            lambda f, m: None,
        )
    result["face.train_s"] = time.process_time() - began
    rows = evaluate.compare(trained.generators, tests)
    if real:
        result["face.mouth_eye_psnr_wrong_person"] = _wrong_person(Path(real), bank, plan.scale, tests, learn, exam)
    parts = os.environ.get("MEMORIAL_BENCH_FACE_PARTS", "peers,speed").split(",")
    result |= {
        "face.mouth_eye_psnr": rows["ours"].psnr,
        "face.mouth_eye_psnr_warp": rows["warp"].psnr,
        "face.mouth_eye_psnr_still": rows["still"].psnr,
        "face.sharpness": rows["ours"].sharpness,
        "face.sharpness_warp": rows["warp"].sharpness,
    }
    _tell(result)
    if "speed" in parts:
        result |= _tell(_speed(bank, trained.generators, plan.scale))
    if "peers" in parts:
        result |= _peers(bank, plan, pairs, tests, learn, exam, result["face.train_s"], trained.generators)
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    result["face.memory_mb"] = max(used) / 1024
    return {name: round(float(value), 4) for name, value in result.items()}


def _tell(rows: dict[str, float]) -> dict[str, float]:
    for name, value in rows.items():
        print(f"{name:32} {value:.4f}", file=sys.stderr, flush=True)
    return rows


def _peers(
    bank: PhotoBank,
    plan: Recipe,
    pairs: dict[str, PairSet],
    tests: dict[str, PairSet],
    learn: list[int],
    exam: list[int],
    seconds: float,
    ours: Mapping[str, RefinerNet],
) -> dict[str, float]:
    """The same examination for others, each of the same size and with the same time: ours without its adversarial part,
    a landmark-to-picture generator (pix2pix-style: it sees the rasters, never the bent photo), and, for the likeness of
    whole portraits, a plain DCGAN beside the untrained one, the bent photos that ours starts from and the photos
    themselves. `seconds` is what ours took."""

    def blind(found: PairSet) -> PairSet:
        inputs = found.inputs.copy()
        inputs[:, :6], inputs[:, 6] = 127, 255
        return replace(found, inputs=inputs, patch="")  # it has no bent photo whose light could be kept

    rows: dict[str, float] = {}
    for name, these, exams, config in (
        ("supervised_only", pairs, tests, replace(plan, warm_up=plan.steps)),
        ("pix2pix", {n: blind(p) for n, p in pairs.items()}, {n: blind(p) for n, p in tests.items()}, plan),
    ):
        print(f"face: training the peer {name}", file=sys.stderr, flush=True)
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            tensors = {n: weighted_pairs(bank, found) for n, found in these.items()}
            peer = train(tensors, config, 1, Path(folder), lambda: None, lambda f, m: None)
        rows[f"face.{name}_train_s"] = time.process_time() - began
        made = {n: evaluate.refined(peer.generators[n], found) for n, found in exams.items()}
        found_score = evaluate.score(made, tests)
        rows |= {f"face.{name}_psnr": found_score.psnr, f"face.{name}_sharpness": found_score.sharpness}
        _tell({key: value for key, value in rows.items() if name in key})
    size = sum(p.numel() for g in ours.values() for p in g.parameters())
    gan = _equal(size, GanConfig(side=32, noise=64, batch=16, ema=0.99, r1_gamma=0.2))
    album = portraits(replace(bank, crops=bank.crops[learn]), 32)
    unseen = portraits(replace(bank, crops=bank.crops[exam]), 32)
    print("face: training the peer dcgan", file=sys.stderr, flush=True)
    began = time.process_time()
    train_portrait_gan(album, replace(gan, steps=TRIED), 1)
    each = (time.process_time() - began) / TRIED
    began = time.process_time()
    trained = train_portrait_gan(album, replace(gan, steps=max(TRIED, round(seconds / each))), 1)
    rows["face.dcgan_train_s"] = time.process_time() - began
    rows["face.dcgan_parameters"] = sum(p.numel() for p in trained.generator.parameters())
    rows["face.parameters"] = size
    network = RandomFeatures()
    for name, generator in (("dcgan", trained.generator), ("dcgan_untrained", PortraitGenerator(gan).eval())):
        (a, _), (b, _) = features_of(network, sample(generator, 64, 1)), features_of(network, unseen)
        rows[f"face.{name}_kd_random"] = kernel_distance(a, b)
    triangles, hole = face_triangles(bank.points[bank.base_index])
    bent = [bend_photo(bank, bank.base_index, bank.points[i], learn, triangles, hole) for i in exam]
    a, _ = features_of(network, portraits(replace(bank, crops=np.stack(bent)), 32))
    rows["face.warp_kd_random"] = kernel_distance(a, b)
    (a, _), (b, _) = features_of(network, album), features_of(network, unseen)
    rows["face.photos_kd_random"] = kernel_distance(a, b)
    return _tell(rows)


def _wrong_person(
    folder: Path, bank: PhotoBank, scale: float, tests: dict[str, PairSet], learn: list[int], exam: list[int]
) -> float:
    """Mouth+eye PSNR where somebody else's photo is bent to the person's held-out frames (each sixth): mean of nine."""
    models, scores = FaceModels.load(ASSETS), []
    some = exam[::6]
    wanted = {name: pairs.of_targets(some) for name, pairs in tests.items()}
    for clip in sorted((folder / "others").glob("*.mpg"))[1:]:
        other = measure(models, _frames(clip, (15,))[0], clip.stem)
        if isinstance(other, Photo):
            bent = wrong_person(bank, other, scale, learn, some)
            scores.append(evaluate.score({n: p.inputs[:, :3] for n, p in bent.items()}, wanted).psnr)
    return float(np.mean(scores))


def _equal(size: int, config: GanConfig) -> GanConfig:
    """The config with the width at which its generator has about `size` parameters."""

    def away(width: int) -> int:
        found = PortraitGenerator(replace(config, width=width))
        return abs(sum(p.numel() for p in found.parameters()) - size)

    return replace(config, width=min(range(8, 65, 4), key=away))


SIDE, TIMED, CORES = 512, 75, 2
TRIED = 20  # steps that tell how long one takes


def _square(bank: PhotoBank) -> PhotoBank:
    """The same bank with a base of SIDE x SIDE pixels: head and shoulders, as a film's portrait shows them."""
    mesh = bank.base_points
    middle, ipd = mesh[list(topo.OVAL), :2].mean(axis=0), geo.interocular(mesh)
    side = min(5.5 * ipd, *bank.base.shape[:2])
    corner = (middle - (side / 2, 0.45 * side)).clip(0, np.array(bank.base.shape[1::-1]) - side)
    factor = SIDE / side
    matrix = np.array([[factor, 0, -corner[0] * factor], [0, factor, -corner[1] * factor]])
    return replace(
        bank,
        base=np.asarray(cv2.warpAffine(bank.base, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA), np.uint8),
        matte=np.asarray(cv2.warpAffine(bank.matte, matrix, (SIDE, SIDE)), np.float32),
        base_points=geo.apply(matrix, mesh),
    )


def _speed(bank: PhotoBank, generators: dict[str, RefinerNet], scale: float) -> dict[str, float]:
    """Portraits of SIDE x SIDE a second by the wall, mouth, eyes and head all moving, made by a process for each of two
    cores, as a film's shots are. The clock runs from when all have their face loaded until the last is done. Beside it
    what one core makes in a second of its own time, which tells a slow renderer from a busy machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_bank(_square(bank), [], folder)
        save_model(folder / "model.safetensors", generators, scale, {})
        spawn = multiprocessing.get_context("spawn")
        ready, done, spent = spawn.Barrier(CORES + 1), spawn.Barrier(CORES + 1), spawn.SimpleQueue()
        workers = [spawn.Process(target=_render, args=(folder, ready, done, spent), daemon=True) for _ in range(CORES)]
        for worker in workers:
            worker.start()
        ready.wait(300)
        began = time.perf_counter()
        done.wait(300)
        seconds = time.perf_counter() - began
        for worker in workers:
            worker.join()
    each = sum(spent.get() for _ in workers) / CORES
    return {"face.fps": CORES * TIMED / seconds, "face.fps_of_a_core": TIMED / each}


def _render(folder: Path, ready: Barrier, done: Barrier, spent: "SimpleQueue[float]") -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    renderer = FaceRenderer.load(folder)
    time_line = np.linspace(0, TIMED / 25, TIMED)
    curves = {
        "jaw_open": 0.5 * np.abs(np.sin(9 * time_line)),
        "head_yaw": 4 * np.sin(5 * time_line),
        "blink_left": (np.mod(time_line, 2.5) > 2.3) * 1.0,
        "blink_right": (np.mod(time_line, 2.5) > 2.3) * 1.0,
    }
    next(iter(renderer.frames(curves, 25)))
    ready.wait(300)
    began = time.process_time()
    for _ in renderer.frames(curves, 25):
        pass
    spent.put(time.process_time() - began)
    done.wait(300)


def _frames(clip: Path, places: tuple[int, ...]) -> list[Image]:
    import av

    with av.open(str(clip)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [np.asarray(shown[min(p, len(shown) - 1)], np.uint8) for p in places]


def _real(folder: Path) -> tuple[PhotoBank, list[int], list[int], dict[str, float]]:
    models = FaceModels.load(ASSETS)
    clips = sorted((folder / "grid-s1").glob("*.mpg"))
    photos = [(f"p{i}", _frames(clip, ((i * 13 + 7) % 70,))[0]) for i, clip in enumerate(clips[:60])]
    bank, _ = build_bank(models, photos, 60)
    learn = bank.teachers
    crops, points, facts, own = list(bank.crops), list(bank.points), list(bank.facts["photos"]), []
    base = (bank.crops[bank.base_index], bank.points[bank.base_index])
    for clip in clips[60:]:
        for rgb in _frames(clip, (15, 35, 55)):
            found = measure(models, rgb, clip.stem)
            if isinstance(found, Finding):
                continue
            own.append((found.features, found.points))
            crops.append(match_colours(found.crop, found.points, *base))
            points.append(found.points)
            facts.append({**facts[0], "yaw": found.pose.yaw})
    exam = list(range(len(bank.crops), len(crops)))
    known = [(likeness_features(bank.crops[i], bank.points[i]), bank.points[i]) for i in learn[:20]]
    strangers = []
    for clip in sorted((folder / "others").glob("*.mpg"))[1:]:
        for rgb in _frames(clip, (15, 35, 55)):
            found = measure(models, rgb, clip.stem)
            if not isinstance(found, Finding):
                strangers.append((found.features, found.points))
    larger = replace(bank, crops=np.stack(crops), points=np.stack(points), facts={"photos": facts})
    return larger, learn, exam, {"face.identity_eer": _equal_error(known, own, strangers)}


Face = tuple[NDArray[np.float32], NDArray[np.float32]]


def _equal_error(known: list[Face], own: list[Face], strangers: list[Face]) -> float:
    """Equal error rate of the median likeness distance to the known photos."""

    def distance(face: Face) -> float:
        return float(np.median([likeness(*face, *other) for other in known]))

    mine, theirs = np.array([distance(f) for f in own]), np.array([distance(f) for f in strangers])
    limits = np.unique(np.concatenate([mine, theirs]))
    return float(min(max((mine > limit).mean(), (theirs <= limit).mean()) for limit in limits))


def _painted() -> tuple[PhotoBank, list[int], list[int]]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "face"))
    from drawn import bank  # the painted face of the unit tests

    poses = [{}] + [{"jaw_open": 0.1 * i, "smile": 0.12 * (i % 4), "lip_wide": 0.2 * (i % 3)} for i in range(1, 11)]
    painted = bank([*poses, {"blink_left": 0.9, "blink_right": 0.9}])
    large = cv2.resize(painted.base, (1080, 1080), interpolation=cv2.INTER_CUBIC)
    scale = np.float32(1080 / painted.base.shape[0])
    whole = replace(
        painted, base=np.asarray(large, np.uint8), base_points=painted.base_points * scale,
        matte=np.asarray(cv2.resize(painted.matte, (1080, 1080)), np.float32),
    )  # fmt: skip
    exam = held_out(whole)
    return whole, [i for i in range(len(whole.crops)) if i not in exam], exam


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:32} {value}")
