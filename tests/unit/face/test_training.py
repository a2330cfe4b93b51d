"""The refiner learns, survives a kill, answers divergence, and refuses what is not its own."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawn import TALKING, bank
from safetensors.torch import save_file

from memorial_tasks.errors import InputRefused, ModelRefused, StepFailed
from memorial_tasks.face import evaluate, learn
from memorial_tasks.face import train as training
from memorial_tasks.face.bank import load_bank, save_bank
from memorial_tasks.face.growth import SHARES, TILE
from memorial_tasks.face.learn import learn_face
from memorial_tasks.face.networks import PatchCritic, RefinerNet, composite
from memorial_tasks.face.pairs import held_out, make_pairs
from memorial_tasks.face.patches import keep_light
from memorial_tasks.face.recipes import recipe
from memorial_tasks.face.refine import Refiner
from memorial_tasks.face.render import FaceRenderer
from memorial_tasks.face.train import Pairs, load_model, save_model, train

SMALL = replace(recipe("tiny"), channels=(8, 16), critic=4, batch=2, steps=12, warm_up=4, evaluate_every=6)


def quiet(fraction: float, message: str) -> None:
    """No progress shown."""


def toy(seed: int = 0) -> dict[str, Pairs]:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, 255, (6, 9, 16, 16), generator=draw, dtype=torch.uint8)
    inputs[:, 6] = 255
    return {"mouth": Pairs(inputs, inputs[:, :3] // 2, torch.ones(6))}


@pytest.fixture(scope="module")
def people() -> object:
    torch.set_num_threads(1)
    return bank(TALKING)


def test_the_supervised_part_learns_a_simple_change(tmp_path: Path) -> None:
    plan = replace(SMALL, steps=150, warm_up=150)
    result = train(toy(), plan, 1, tmp_path, lambda: None, quiet)
    losses = [row["l1"] for row in result.curves if "l1" in row]
    assert np.mean(losses[-3:]) < 0.75 * np.mean(losses[:2])


def test_a_killed_training_continues_to_the_very_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(toy(), SMALL, 3, tmp_path / "whole", lambda: None, quiet)
    saves = 0

    def killed() -> None:
        nonlocal saves
        saves += 1
        if saves == 7:
            raise KeyboardInterrupt

    often = replace(SMALL, checkpoint_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(toy(), often, 3, tmp_path / "cut", killed, quiet)
    resumed = train(toy(), SMALL, 3, tmp_path / "cut", lambda: None, quiet)
    assert resumed.resumed
    assert resumed.steps == whole.steps == SMALL.steps
    for key, value in whole.generators["mouth"].state_dict().items():
        assert torch.equal(value, resumed.generators["mouth"].state_dict()[key]), key


def test_a_training_is_shown_at_its_beginning_on_the_way_and_at_its_end_also_after_a_kill(tmp_path: Path) -> None:
    plan = replace(SMALL, steps=20, checkpoint_s=0.0)
    seen: list[float] = []

    def shown(share: float, generators: Mapping[str, RefinerNet]) -> None:
        assert set(generators) == {"mouth"}
        seen.append(share)
        if share == 0.5 and seen.count(0.5) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy(), plan, 3, tmp_path, lambda: None, quiet, shown=shown)
    train(toy(), plan, 3, tmp_path, lambda: None, quiet, shown=shown)
    assert seen == [0.0, 0.1, 0.5, 0.5, 1.0]


def test_a_checkpoint_of_another_seed_is_not_continued(tmp_path: Path) -> None:
    train(toy(), SMALL, 3, tmp_path, lambda: None, quiet)
    assert not train(toy(), SMALL, 4, tmp_path, lambda: None, quiet).resumed


def test_a_torn_checkpoint_starts_anew(tmp_path: Path) -> None:
    (tmp_path / training.CHECKPOINT).write_bytes(b"torn")
    assert train(toy(), SMALL, 3, tmp_path, lambda: None, quiet).steps == SMALL.steps


def test_a_loss_that_is_not_finite_rolls_back_at_half_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = training._step, 0

    def sick(*arguments: object) -> dict[str, float]:
        nonlocal calls
        calls += 1
        losses = real(*arguments)  # type: ignore[arg-type]
        return losses | {"l1": float("nan")} if calls == 5 else losses

    monkeypatch.setattr(training, "_step", sick)
    result = train(toy(), SMALL, 3, tmp_path, lambda: None, quiet)
    assert result.steps == SMALL.steps
    assert any("half the rate" in event for event in result.events)
    assert all(torch.isfinite(v).all() for v in result.generators["mouth"].state_dict().values())


def test_hopeless_divergence_fails_instead_of_delivering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_step", lambda *arguments: {"l1": float("nan")})
    with pytest.raises(StepFailed):
        train(toy(), SMALL, 3, tmp_path, lambda: None, quiet)


def test_too_little_memory_is_answered_by_a_smaller_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is the double here: it runs out of memory on batches above one."""
    real = training._step

    def tight(part: object, pairs: object, plan: object, seed: int, state: training._State, *rest: object) -> object:
        if state.batch > 1:
            raise torch.OutOfMemoryError("too much")
        return real(part, pairs, plan, seed, state, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", tight)
    result = train(toy(), SMALL, 3, tmp_path, lambda: None, quiet)
    assert result.steps == SMALL.steps
    assert [event for event in result.events if "batches of 1" in event]

    def none_at_all(*arguments: object) -> object:
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(training, "_step", none_at_all)
    with pytest.raises(StepFailed, match="memory"):
        train(toy(), SMALL, 4, tmp_path / "other", lambda: None, quiet)


@pytest.mark.parametrize(("right", "rate", "word"), [(0.5, 2.0, "chance"), (1.0, 0.5, "wins"), (0.75, 1.0, "")])
def test_a_discriminator_at_chance_or_too_strong_is_answered(right: float, rate: float, word: str) -> None:
    state = training._State()
    training._balance(state, {"d": 0.0, "real": right})  # still supervised: nothing to judge
    for _ in range(training.WATCHED):
        training._balance(state, {"d": 1.4, "real": right})
    assert state.critic_rate == rate
    assert [word in event for event in state.events] == ([True] if word else [])
    for _ in range(20 * training.WATCHED):
        training._balance(state, {"d": 1.4, "real": right})
    assert 0.25 <= state.critic_rate <= 4


def test_the_discriminator_judges_at_two_scales() -> None:
    picture, rasters = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    one, two = PatchCritic(4, scales=1), PatchCritic(4, scales=2)
    assert two(picture, rasters)[0].shape[1] > one(picture, rasters)[0].shape[1]
    assert len(two(picture, rasters)[1]) == 2 * len(one(picture, rasters)[1])


def test_outside_the_mask_not_a_pixel_changes() -> None:
    inputs = torch.rand(2, 9, 16, 16) * 2 - 1
    inputs[:, 6] = 0
    inputs[:, 6, 4:8, 4:8] = 1
    made = composite(inputs, *RefinerNet((8, 16))(inputs))
    outside = inputs[:, 6:7].expand(-1, 3, -1, -1) == 0
    assert torch.equal(made[outside], inputs[:, :3][outside])


def test_examined_photos_are_never_learned_from(people: object) -> None:
    kept = held_out(people)  # type: ignore[arg-type]
    assert kept
    assert 0 not in kept
    learn = [i for i in range(len(TALKING)) if i not in kept]
    pairs = make_pairs(people, 0.5, [0], learn, learn)  # type: ignore[arg-type]
    assert not set(pairs["mouth"].target.tolist()) & set(kept)


def test_learning_beats_the_bare_warp_on_a_drawn_face(
    tmp_path: Path, people: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = replace(recipe("tiny"), steps=40, warm_up=20, evaluate_every=20)
    monkeypatch.setattr(learn, "recipe", lambda name: brief)
    save_bank(people, [], tmp_path / "bank")  # type: ignore[arg-type]
    saved: list[int] = []
    card = learn_face(tmp_path / "bank", tmp_path / "out", "tiny", 5, tmp_path / "ck", lambda: saved.append(1), quiet)
    assert saved
    assert card["scores"]["delivered"]["mouth_eye_psnr"] >= card["scores"]["warp"]["mouth_eye_psnr"]
    assert card["photos_used"] == len(TALKING)
    assert json.loads((tmp_path / "out" / "card.json").read_text())["kind"] == "face-model-card"
    assert (tmp_path / "out" / "sheet.png").stat().st_size > 10_000
    rows = cv2.imread(str(tmp_path / "out" / "growth.png"))
    assert rows.shape[0] == len(SHARES) * TILE
    first, last = rows[:TILE].astype(int), rows[-TILE:].astype(int)
    assert np.abs(first - last).max() > 20  # the network did something, and both ends are shown
    for name in ("bank.safetensors", "bank.json", "base.png"):
        (tmp_path / "out" / name).write_bytes((tmp_path / "bank" / name).read_bytes())
    refined = FaceRenderer.load(tmp_path / "out", None)
    bare = FaceRenderer.load(tmp_path / "bank", None)
    assert bare.scene.refiner is None
    a, b = refined.frame({"jaw_open": 0.5}), bare.frame({"jaw_open": 0.5})
    forehead = refined.scene.mesh[10, :2].astype(int)
    window = np.s_[forehead[1] : forehead[1] + 12, forehead[0] - 15 : forehead[0] + 15]
    assert np.array_equal(a[window], b[window])


def test_one_photo_is_enough_and_the_card_says_what_is_missing(tmp_path: Path) -> None:
    save_bank(bank([{}]), [], tmp_path / "bank")
    card = learn_face(tmp_path / "bank", tmp_path / "out", "tiny", 5, tmp_path / "ck", lambda: None, quiet)
    codes = {finding["code"] for finding in card["findings"]}
    assert {"face.few_photos", "face.no_teeth"} <= codes
    assert card["opening_limit"] == 0.6
    assert Refiner.load(tmp_path / "out" / "model.safetensors", load_bank(tmp_path / "bank")) is None


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelRefused):
        load_model(tmp_path / "other.safetensors")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(ModelRefused):
        load_model(tmp_path / "pickle.pt")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", {"mouth": RefinerNet((8, 16))}, 0.5, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "RefinerNet", lambda channels: RefinerNet((16, 32)))
        with pytest.raises(ModelRefused):
            load_model(tmp_path / "m.safetensors")


def test_an_unknown_config_and_a_missing_bank_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused):
        recipe("huge")
    with pytest.raises(InputRefused):
        load_bank(tmp_path)


def test_a_blurred_picture_scores_low_on_sharpness(people: object) -> None:
    import cv2

    pairs = make_pairs(people, 0.5, [0], [0, 1, 2, 3], [2])  # type: ignore[arg-type]
    blurred = {
        n: np.stack([cv2.GaussianBlur(p.transpose(1, 2, 0), (0, 0), 2).transpose(2, 0, 1) for p in found.targets])
        for n, found in pairs.items()
    }
    same = evaluate.score({n: found.targets for n, found in pairs.items()}, pairs)
    soft = evaluate.score(blurred, pairs)
    assert same.sharpness == pytest.approx(1.0)
    assert soft.sharpness < 0.6
    assert same.psnr > 90 > soft.psnr


def test_another_photos_light_is_not_laid_on_the_skin_around_the_lips_but_teeth_are() -> None:
    raster = np.zeros((3, 96, 128), np.uint8)
    cv2.ellipse(raster[0], (64, 48), (50, 30), 0, 0, 360, 255, -1)
    cv2.ellipse(raster[2], (64, 48), (38, 18), 0, 0, 360, 255, -1)
    cv2.ellipse(raster[1], (64, 48), (30, 8), 0, 0, 360, 255, -1)
    light = np.full((96, 128, 3), 14, np.float32) * (raster[0] > 0)[..., None]
    kept = keep_light(light, raster)
    assert np.abs(kept[24, 50:78]).max() < 2  # skin above the lip
    assert kept[48, 50:78].min() > 12  # what is seen in the opening
    crease = np.zeros((96, 128, 3), np.float32)
    crease[36:38, 40:88] = -60
    assert np.abs(keep_light(crease, raster) - crease)[36:38, 40:88].max() < 3  # a fold of the lip is drawn
