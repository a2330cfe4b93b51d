"""A base voice: learned from corpora, kept in one file with its licence, and the ground a person is learned on."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import save_file

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, ModelRefused
from memorial_tasks.production.models import check_model
from memorial_tasks.steps import train_base
from memorial_tasks.voice import base as room
from memorial_tasks.voice.base import MODEL_FILE, Base, pretrained
from memorial_tasks.voice.batches import Example, shares
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import LF0
from memorial_tasks.voice.licensed import read_manifest
from memorial_tasks.voice.networks import PERSON, PRACTICE, AcousticModel, Sizes
from memorial_tasks.voice.practice_texts import MANDARIN
from memorial_tasks.voice.recipe import BASES, Recipe
from memorial_tasks.voice.sequence import spoken_row
from memorial_tasks.voice.synthesize import say_row
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import Trained, train_voice

TUNING = Recipe(practice=3, steps=20, duration_steps=8, batch=4, window=40, adapter=8)


@pytest.fixture(scope="module")
def manifest(
    recordings: tuple[list[Path], dict[str, str]], espeak: Espeak, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A corpus manifest over nine English sentences of one speaker and three Mandarin ones of two, all generated."""
    folder = tmp_path_factory.mktemp("corpora")
    files, texts = recordings
    (folder / "english").mkdir()
    for path in files:
        (folder / "english" / path.name).symlink_to(path)
    rows = [f"{path.stem}|{texts[path.stem]}" for path in files]
    (folder / "english" / "metadata.csv").write_text("\n".join(rows), "utf-8")
    rows = []
    for number, (text, voice) in enumerate(zip(MANDARIN[:3], ("cmn+f2", "cmn+m3", "cmn+m3"), strict=True)):
        stem = f"SSB000{1 + number // 2}000{number}"
        path = folder / "mandarin" / "wav" / stem[:7] / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        speech = espeak.say(text, voice)
        soundfile.write(path, np.pad(speech.audio, speech.rate // 3), speech.rate)
        characters = [char for char in text if "一" <= char <= "鿿"]
        rows.append(f"{stem}.wav\t" + " ".join(f"{char} ?" for char in characters))
    (folder / "mandarin" / "content.txt").write_text("\n".join(rows), "utf-8")
    document = {
        "model": "test-base-1",
        "licence": "CC0-1.0",
        "source": "trained by a test",
        "parts": [
            {"layout": "ljspeech", "folder": "english", "licence": "CC0-1.0", "source": "generated"},
            {"layout": "aishell3", "folder": "mandarin", "licence": "CC0-1.0", "source": "generated"},
        ],
    }
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path


@pytest.fixture(scope="module")
def out(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    train_base.run("voice", manifest, folder, "tiny", Path(), 1, lambda fraction, message: None)
    return folder


@pytest.fixture(scope="module")
def base(out: Path) -> Base:
    return Base.load(out / MODEL_FILE)


@pytest.fixture(scope="module")
def tuned(base: Base, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_voice(corpus, TUNING, tmp_path_factory.mktemp("tuned"), seed=1, base=base)


def test_every_speaker_has_a_code_and_those_of_a_few_words_share_one(base: Base) -> None:
    assert base.speakers[0] == "en english"
    assert base.speakers[1:]
    assert set(base.speakers[1:]) <= {"zh high", "zh low"}


def test_what_is_written_can_be_imported_with_its_licences(out: Path) -> None:
    manifest, file, header = check_model(out / "base.yaml")
    assert (manifest.architecture, manifest.licence, file.name) == (room.ARCHITECTURE, "CC0-1.0", MODEL_FILE)
    assert header.metadata["name"] == "test-base-1"


def test_a_second_run_over_the_same_checkpoints_makes_the_same_file(manifest: Path, out: Path, tmp_path: Path) -> None:
    card = room.train(manifest, tmp_path, "tiny", checkpoints=out / "checkpoints")
    assert card["resumed"]
    assert (tmp_path / MODEL_FILE).read_bytes() == (out / MODEL_FILE).read_bytes()


def test_prepared_speech_is_the_same_when_a_run_goes_on(manifest: Path, tmp_path: Path) -> None:
    corpus = read_manifest(manifest)
    mandarin = corpus.model_copy(update={"parts": corpus.parts[1:]})
    first, second = (room.prepared(mandarin, tmp_path, lambda share, message: None, lambda: None) for _ in range(2))
    assert first.keys() == second.keys()
    for name, group in first.items():
        for one, other in zip(group, second[name], strict=True):
            assert np.array_equal(one.wave, other.wave)
            assert np.array_equal(one.frames, other.frames)


def test_a_base_voice_speaks_both_languages(base: Base, espeak: Espeak) -> None:
    front = FrontEnd(espeak)
    for speaker in base.speakers:
        voice = base.voice(speaker)
        for text, language in (("Good morning.", Language.EN_US), ("早上好。", Language.ZH_CN)):
            timed, frames = say_row(voice, spoken_row(front.words(text, language)))
            assert len(frames) == timed.edges[-1]
            assert np.isfinite(voice.sound(frames)).all()


def test_a_person_is_learned_without_changing_what_the_base_knows(base: Base, tuned: Trained) -> None:
    before, after = base.acoustic.state_dict(), tuned.model.acoustic.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder.speaker.weight", "leave.weight", "leave.bias"}
    new = set(after) - set(before)
    assert new
    assert all("adapter" in name for name in new)
    assert any(float(after[name].abs().max()) > 0 for name in new if ".up." in name)
    assert (tuned.model.tier, tuned.model.base) == (1, "test-base-1")


def test_tuning_learns(tuned: Trained) -> None:
    curve = [loss for _, loss in tuned.curves["acoustic"]]
    assert np.isfinite(curve).all()
    assert tuned.model.sizes.adapter == TUNING.adapter


def test_adapters_are_heard_for_the_person_only() -> None:
    torch.manual_seed(0)
    sizes = Sizes(10, 4, 6, stack=1, phone_hidden=4, frame_hidden=4, layers=1, speakers=3, adapter=2)
    network = AcousticModel(sizes).eval()
    inputs = (torch.ones(1, 3, dtype=torch.int64), torch.ones(1, 3, 4))
    rest = (torch.tensor([3]), torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 4))
    before = {speaker: network(*inputs, torch.tensor([speaker]), *rest) for speaker in (PERSON, 2)}
    for name, parameter in network.named_parameters():
        if ".up." in name or name.startswith("adapter.up"):
            torch.nn.init.ones_(parameter)
    assert torch.equal(network(*inputs, torch.tensor([2]), *rest), before[2])
    assert not torch.equal(network(*inputs, torch.tensor([PERSON]), *rest), before[PERSON])


def test_excitement_changes_the_voice_but_not_its_mean_pitch_or_length(base: Base, espeak: Espeak) -> None:
    voice = base.voice(base.speakers[0])
    row = spoken_row(FrontEnd(espeak).words("My father measured each piece of wood twice.", Language.EN_US))
    calm, moved = voice.durations(row), voice.durations(row, 1.5)
    assert not np.allclose(calm, moved)
    assert moved.sum() == pytest.approx(calm.sum(), rel=1e-4)
    edges = np.r_[0, np.cumsum(np.maximum(np.round(calm), 1))].astype(np.int32)
    spoken = np.repeat([number >= 0 for number in row.word], np.diff(edges))
    one, other = voice.frames(row, edges, 0.0), voice.frames(row, edges, 0.0, 1.5)
    assert not np.allclose(one, other)
    assert other[spoken, LF0].mean() == pytest.approx(one[spoken, LF0].mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"format": "somebody-elses-1"}, "another architecture"),
        ({}, "none named"),
        ({"format": room.ARCHITECTURE}, "phone table"),
    ],
)
def test_other_checkpoints_are_refused(metadata: dict[str, str], what: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(ModelRefused, match=what):
        Base.load(tmp_path / "x.safetensors")


def test_pickles_other_digests_and_missing_licences_are_refused(base: Base, out: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelRefused, match="cannot be read"):
        Base.load(tmp_path / "bad.safetensors")
    with pytest.raises(ModelRefused, match="not the one that was imported"):
        Base.load(out / MODEL_FILE, "0" * 64)
    base.__class__(**{**base.__dict__, "licence": ""}).save(tmp_path / "free.safetensors")
    with pytest.raises(ModelRefused, match="licence"):
        Base.load(tmp_path / "free.safetensors")


def test_a_speaker_with_much_speech_does_not_drown_one_with_little() -> None:
    def spoken(frames: int, speaker: int) -> Example:
        return Example(np.zeros(1, np.int64), np.zeros((1, 1), np.float32), np.array([0, frames], np.int32),
                       np.zeros((frames, 1), np.float32), speaker)  # fmt: skip

    found = shares([spoken(600, 2), spoken(300, 2), spoken(100, 3)])
    assert found[0] == pytest.approx(2 * found[1]), "of one speaker, by length"
    assert found[:2].sum() == pytest.approx(3 * found[2]), "nine times the speech, three times as often"


@pytest.fixture(scope="module")
def begun(manifest: Path, out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base voice of the shipped sizes, two steps after its beginning."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(out / "checkpoints" / "prepared", folder / "checkpoints" / "prepared")
    short = replace(BASES["cpu"], practice=4, steps=2, duration_steps=2, batch=4, window=20, rehearsed=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BASES, "short", short)
        room.train(manifest, folder, "short")
    return folder


def test_a_base_voice_begins_with_what_ships(begun: Path) -> None:
    learned, shipped = Base.load(begun / MODEL_FILE), pretrained()
    for own, known in ((learned.acoustic, shipped.acoustic), (learned.duration, shipped.duration)):
        before, after = known.state_dict(), own.state_dict()
        moved = {name: float((after[name] - before[name]).abs().max()) for name in before if "lstm" in name}
        assert 0.0 < max(moved.values()) < 0.02  # two steps from there, and not two steps from a draw of the lot
        codes, theirs = after["encoder.speaker.weight"], before["encoder.speaker.weight"]
        assert torch.allclose(codes[PRACTICE], theirs[PRACTICE], atol=0.01)
        assert torch.allclose(codes[PERSON:-4], theirs[PERSON + 1 :].mean(dim=0).expand(len(codes) - 5, -1), atol=0.01)
        assert torch.allclose(codes[-4:], theirs[-4:], atol=0.01)


def test_the_voices_that_ship_are_learned_on_beside_the_new_ones(begun: Path, espeak: Espeak) -> None:
    learned, shipped = Base.load(begun / MODEL_FILE), pretrained()
    assert learned.speakers[-4:] == tuple(f"{name}, generated" for name in shipped.speakers)
    row = spoken_row(FrontEnd(espeak).words("My father measured each piece of wood twice.", Language.EN_US))
    for name in shipped.speakers:
        before, after = shipped.voice(name), learned.voice(f"{name}, generated")
        assert np.allclose(np.log(after.durations(row)), np.log(before.durations(row)), atol=0.1)
        timed, frames = say_row(before, row)
        assert np.abs(after.frames(row, timed.edges) - frames).mean() < 0.2 * np.abs(frames - before.mean).mean()


def test_whoever_reads_the_card_learns_what_a_base_voice_began_with(begun: Path, out: Path) -> None:
    card = json.loads((begun / "card.json").read_text("utf-8"))
    assert card["corpora"][-1] == {"name": "pretrained", "licence": "Apache-2.0", "source": "ships with the studio"}
    assert card["speakers"] == len(Base.load(begun / MODEL_FILE).speakers) - 4, "people of the corpora only"
    assert "pretrained" not in (out / "card.json").read_text("utf-8")


def test_bases_of_the_shipped_sizes_rehearse_and_only_the_shipped_one_itself_does_not() -> None:
    sizes = asdict(pretrained().sizes)
    names = ("stack", "phone_hidden", "frame_hidden", "layers", "duration_hidden")
    same = {name for name, recipe in BASES.items() if all(getattr(recipe, key) == sizes[key] for key in names)}
    assert {name for name, recipe in BASES.items() if recipe.rehearsed} == same - {"pretrained"} == {"cpu"}


def test_too_little_speech_is_refused(manifest: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(manifest.read_text("utf-8"))
    part = document["parts"][0] | {"folder": str(manifest.parent / "english")}
    document["parts"] = [part | {"leave_out": [f"tape-{number}" for number in range(2, 9)]}]
    path = tmp_path / "little.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    with pytest.raises(InputRefused, match="1 problem"):
        room.train(path, tmp_path / "out", "tiny")
    assert not (tmp_path / "out" / MODEL_FILE).exists()
