"""A base face: learned from licensed corpora alone, taken only where it fits, tuned in fewer steps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import yaml
from drawn import TALKING, bank

from memorial_tasks.errors import InputRefused, ModelRefused
from memorial_tasks.face import base, learn
from memorial_tasks.face.bank import save_bank
from memorial_tasks.face.corpus import read_corpus
from memorial_tasks.face.identity import likeness, likeness_features
from memorial_tasks.face.networks import RefinerNet
from memorial_tasks.face.recipes import recipe
from memorial_tasks.face.train import save_model
from memorial_tasks.steps import train_base

ITEM = {"person": "s1", "file": "a.png", "licence": "CC-BY-4.0", "source": "https://corpora.example/a"}
CORPUS: dict[str, Any] = {
    "model": "drawn-base-1",
    "name": "drawn people",
    "licence": "CC-BY-4.0",
    "source": "https://corpora.example",
    "items": [ITEM, ITEM | {"person": "s2", "file": "b.png"}],
}


def manifest(folder: Path, **changes: Any) -> Path:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"not a picture")
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(CORPUS | changes), "utf-8")
    return path


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([{k: v for k, v in ITEM.items() if k != "licence"}], r"items\.0\.licence \[corpus\.yaml\]: is missing"),
        ([ITEM | {"file": "c.png"}], r"items\.0\.file.*no such file"),
        ([ITEM | {"file": "../a.png"}], r"items\.0\.file"),
        ([ITEM, ITEM], "named twice"),
        ([], "items"),
    ],
)
def test_a_faulty_corpus_is_refused_by_name(tmp_path: Path, items: list[Any], words: str) -> None:
    with pytest.raises(InputRefused, match=words):
        read_corpus(manifest(tmp_path, items=items))


def test_the_step_learns_from_nothing_without_a_free_licence(tmp_path: Path) -> None:
    def run(**changes: Any) -> None:
        train_base.run("face", manifest(tmp_path, **changes), tmp_path / "out", "tiny", tmp_path, 1, lambda f, m: None)

    bare = {k: v for k, v in ITEM.items() if k != "licence"}
    with pytest.raises(InputRefused, match="nothing is learned from without a licence"):
        run(items=[ITEM, bare])
    with pytest.raises(ModelRefused, match="not one that allows films"):
        run(items=[ITEM, ITEM | {"file": "b.png", "licence": "CC-BY-NC-4.0"}])
    with pytest.raises(ModelRefused, match="not one that allows films"):
        run(licence="all rights reserved")
    with pytest.raises(InputRefused):
        train_base.run("face", tmp_path / "nowhere.yaml", tmp_path / "out", "tiny", tmp_path, 1, lambda f, m: None)
    assert not (tmp_path / "out").exists()


def test_two_people_make_a_base_and_the_manifest_of_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector is the double here: it knows the drawn people already."""
    drawn = [bank(TALKING[:5]), bank(TALKING[2:7])]
    monkeypatch.setattr(base, "_bank_of", lambda files, models: drawn["b.png" in str(files[0])])
    monkeypatch.setattr("memorial_tasks.face.landmarks.FaceModels.load", lambda assets: None)
    brief = replace(recipe("tiny"), steps=6, warm_up=3)
    monkeypatch.setattr(base, "recipe", lambda name: brief)
    out = tmp_path / "out"
    train_base.run("face", manifest(tmp_path), out, "tiny", tmp_path, 1, lambda f, m: None)
    about = yaml.safe_load((out / "base.yaml").read_text("utf-8"))
    assert (about["kind"], about["architecture"]) == ("face", base.ARCHITECTURE)
    assert about["corpus"]["licence"] == "CC-BY-4.0"
    assert sorted(path.name for path in out.iterdir()) == ["base.yaml", "card.json", "model.safetensors"]
    assert set(base.load_base(out / "model.safetensors", brief)) == {"mouth", "eyes"}
    people = base.people_of(out / "model.safetensors")
    assert [len(faces) for faces in people] == [base.KEPT, base.KEPT]
    first = drawn[0]
    assert likeness(*people[0][0], likeness_features(first.crops[0], first.points[0]), first.points[0]) < 1e-5
    monkeypatch.setattr(base, "_bank_of", lambda files, models: drawn[0] if "a.png" in str(files[0]) else None)
    with pytest.raises(InputRefused, match="1 of 2 people"):
        train_base.run("face", manifest(tmp_path), out, "tiny", tmp_path, 1, lambda f, m: None)


def test_a_base_of_other_sizes_or_no_base_at_all_is_refused(tmp_path: Path) -> None:
    plan, path = recipe("tiny"), tmp_path / "model.safetensors"
    fitting = {name: RefinerNet(plan.channels) for name in ("mouth", "eyes")}
    save_model(path, fitting, plan.scale, {"config": "tiny"}, base.ARCHITECTURE)
    assert set(base.load_base(path, plan)) == {"mouth", "eyes"}
    assert base.people_of(path) == [], "a base of before holds nobody's likeness"
    torn = {"people.00000.texture": torch.zeros(1, 4)}
    save_model(path, fitting, plan.scale, {"config": "tiny"}, base.ARCHITECTURE, torn)
    with pytest.raises(ModelRefused, match="parts are missing"):
        base.people_of(path)
    with pytest.raises(ModelRefused, match="other sizes than config cpu"):
        base.load_base(path, recipe("cpu"))
    save_model(path, fitting, plan.scale, {"config": "tiny"})  # somebody's face, not a base
    with pytest.raises(ModelRefused, match="not a base face"):
        base.load_base(path, plan)
    with pytest.raises(ModelRefused, match="not a base face"):
        base.people_of(path)
    path.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(ModelRefused, match="safetensors"):
        base.load_base(path, plan)


def test_training_starts_from_the_base_and_the_card_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = replace(recipe("tiny"), steps=8, warm_up=8, base_steps=2, evaluate_every=4)
    monkeypatch.setattr(learn, "recipe", lambda name: brief)
    torch.manual_seed(5)
    fitting = {name: RefinerNet(brief.channels) for name in ("mouth", "eyes")}
    save_model(tmp_path / "base.safetensors", fitting, brief.scale, {"config": "tiny"}, base.ARCHITECTURE)
    save_bank(bank(TALKING), [], tmp_path / "bank")
    starts: list[Any] = []
    train = learn.train

    def seen(*arguments: Any, **more: Any) -> Any:
        starts.append(arguments[8])
        return train(*arguments, **more)

    monkeypatch.setattr(learn, "train", seen)
    card = learn.learn_face(
        tmp_path / "bank", tmp_path / "out", "tiny", 5, tmp_path / "ck", lambda: None, lambda f, m: None,
        tmp_path / "base.safetensors",
    )  # fmt: skip
    assert card["steps"] == brief.base_steps
    assert len(card["base"]["sha256"]) == 64
    given = starts[0]["mouth"].state_dict()
    assert all(torch.equal(value, given[key]) for key, value in fitting["mouth"].state_dict().items())


def test_clips_and_pictures_are_read_and_what_is_neither_is_passed_over(tmp_path: Path) -> None:
    picture = bank(TALKING[:1]).crops[0]
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    (tmp_path / "b.txt").write_text("neither")
    assert (base._pictures(tmp_path / "a.png", 5)[0] == picture).all()
    assert base._pictures(tmp_path / "b.txt", 5) == []
