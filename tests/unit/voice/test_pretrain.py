"""What ships: networks that nobody was recorded for, and from which every voice begins."""

import shutil
from pathlib import Path

import pytest
import torch

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import StepFailed
from memorial_tasks.voice import pretrain
from memorial_tasks.voice.audio import set_loudness
from memorial_tasks.voice.base import SHIPPED, Base, pretrained
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.evaluate import plain_words, word_errors
from memorial_tasks.voice.licensed import read_manifest, read_part
from memorial_tasks.voice.phones import FINALS, INITIALS, PHONES, SILENCE
from memorial_tasks.voice.prepare import Recogniser
from memorial_tasks.voice.pretrain_texts import sentences
from memorial_tasks.voice.sequence import spoken_row
from memorial_tasks.voice.synthesize import say_row
from memorial_tasks.voice.text.front import FrontEnd

LINES = ("We used to listen to music by the fire.", "Thank you for every letter you sent.", "I hope you will be happy.")


def test_what_ships_is_small_and_names_where_it_comes_from() -> None:
    shipped = pretrained()
    assert SHIPPED.stat().st_size < 20e6
    assert shipped.licence == "Apache-2.0"
    assert set(shipped.speakers) == {f"en {voice}" for voice in ("slt", "rms", "awb", "kal16")}
    assert all(value.dtype == torch.float32 for value in shipped.acoustic.state_dict().values())


def test_a_recogniser_hears_its_words_before_it_has_learned_anybody(espeak: Espeak) -> None:
    voice, front, ear = pretrained().voice("en rms"), FrontEnd(espeak), Recogniser()
    wrong = 0
    for line in LINES:
        _, frames = say_row(voice, spoken_row(front.words(line, Language.EN_US)))
        wrong += word_errors(plain_words(line), plain_words(ear.words(set_loudness(voice.sound(frames)))))
    assert wrong < 0.4 * sum(len(plain_words(line)) for line in LINES)


def test_whoever_learns_from_it_leaves_it_as_it_was() -> None:
    shipped = pretrained()
    before = shipped.acoustic.leave.weight.clone()
    _, acoustic, _ = shipped.for_person(0)
    with torch.no_grad():
        acoustic.leave.weight += 1.0
    assert torch.equal(pretrained().acoustic.leave.weight, before)


def test_half_precision_changes_weights_by_a_thousandth(tmp_path: Path) -> None:
    whole = pretrained()
    with torch.no_grad():
        for value in (odd := whole.for_person(0)[1]).parameters():
            value += 1e-5 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    Base(
        whole.name, whole.sizes, odd, whole.duration, whole.speakers, whole.mean, whole.std, whole.stats, whole.licence
    ).save(tmp_path / "whole.safetensors")
    pretrain.halve(tmp_path / "whole.safetensors", tmp_path / "half.safetensors")
    half = Base.load(tmp_path / "half.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * (tmp_path / "whole.safetensors").stat().st_size
    for name, value in odd.state_dict().items():
        assert torch.allclose(half.acoustic.state_dict()[name], value, rtol=1e-3, atol=1e-6), name
    assert (half.mean == whole.mean).all()


def test_the_sentences_are_different_the_same_every_time_and_hold_every_english_phone(espeak: Espeak) -> None:
    texts = list(sentences(780, 1))
    assert len(set(texts)) == 780
    assert texts == list(sentences(780, 1))
    front = FrontEnd(espeak)
    said = {p.name for text in texts[:80] for word in front.words(text, Language.EN_US) for p in word.phones}
    english = {name for name in PHONES if name not in FINALS and name not in INITIALS and name != SILENCE}
    assert english <= said, english - said


def test_without_flite_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StepFailed, match="flite is not installed"):
        pretrain.speak_corpus(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_flite_speaks_a_corpus_that_a_base_voice_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain, "_VOICES", {"slt": 2, "rms": 1})
    manifest = read_manifest(pretrain.speak_corpus(tmp_path))
    assert [len(read_part(part)) for part in manifest.parts] == [2, 1]
    first = tmp_path / "slt" / "slt-0000.wav"
    before = first.stat().st_mtime_ns
    pretrain.speak_corpus(tmp_path)
    assert first.stat().st_mtime_ns == before
