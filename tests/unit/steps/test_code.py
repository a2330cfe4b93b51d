"""Result keys: the same work has the same key, and everything that matters changes it."""

import pytest

from memorial_tasks.steps import code
from memorial_tasks.steps.code import code_version, modalities, result_key
from memorial_tasks.steps.contract import STEPS

BASE = {"step": "speak", "version": "abc", "params": {"a": 1, "b": [2]}, "inputs": {"x": "1" * 64}, "seed": 7}


def key(**changes: object) -> str:
    return result_key(**{**BASE, **changes})  # type: ignore[arg-type]


def test_the_order_of_keys_does_not_matter() -> None:
    assert key() == key(params={"b": [2], "a": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"step": "seal"},
        {"version": "abd"},
        {"params": {"a": 1, "b": [3]}},
        {"inputs": {"x": "2" * 64}},
        {"inputs": {"y": "1" * 64}},
        {"seed": 8},
    ],
)
def test_everything_that_decides_a_result_is_in_the_key(change: dict[str, object]) -> None:
    assert key(**change) != key()


def test_a_change_in_one_room_leaves_the_other_rooms_steps_alone(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {step: code_version(step) for step in ("train_face", "train_voice")}
    real = code.Path.read_bytes

    def edited(path: code.Path) -> bytes:
        return real(path) + (b"# edited" if path.parent.name == "voice" and path.name == "train.py" else b"")

    monkeypatch.setattr(code.Path, "read_bytes", edited)
    code_version.cache_clear()
    try:
        assert code_version("train_face") == before["train_face"]
        assert code_version("train_voice") != before["train_voice"]
    finally:
        code_version.cache_clear()


@pytest.mark.parametrize("step", STEPS)
def test_every_step_declares_its_rooms_and_modalities(step: str) -> None:
    module = __import__(f"memorial_tasks.steps.{step}", fromlist=["run"])
    assert module.ROOMS
    assert {str(word) for word in module.MODALITIES} == set(modalities(step))
    assert callable(module.run)
    assert module.Params.model_config["extra"] == "forbid"


def test_steps_that_remake_the_person_need_their_modality() -> None:
    assert modalities("train_face") == ("face",)
    assert modalities("train_voice") == ("voice",)
    assert set(modalities("animate")) >= {"face"}
    assert modalities("speak") == ("voice",)
