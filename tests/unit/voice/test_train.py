"""Training: learns, resumes exactly, saves only what can be loaded safely, speaks with true times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy import signal

from memorial_tasks.domain.timing import DirectedLine, DirectionPlan
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused, ModelRefused
from memorial_tasks.voice.audio import RATE, Wave, loudness
from memorial_tasks.voice.base import pretrained
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import HOP, LF0, PitchRange, analyse
from memorial_tasks.voice.learn import frame_loss
from memorial_tasks.voice.material import breaths, practice_readings
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.phones import Phone
from memorial_tasks.voice.recipe import Recipe, recipe
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.synthesize import RoomTone, read_lines, speak, speak_line, speak_to
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.train import Trained, train_voice, with_better_vocoder
from memorial_tasks.voice.vocoder import Generator, Vocoder

SHORT = Recipe(practice=3, steps=14, duration_steps=10, batch=4, window=30)


@pytest.fixture(autouse=True)
def _few_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of these tests hear few sentences back: what they learn from it is not looked at."""
    monkeypatch.setattr("memorial_tasks.voice.train._OTHER_SENTENCES", 2)
    monkeypatch.setattr("memorial_tasks.voice.train._COMPARED", 1)


def _plan(*texts: str, **changes: float) -> DirectionPlan:
    return DirectionPlan(
        language=Language.EN_US,
        lines=tuple(
            DirectedLine(
                index=number, text=text, language=Language.EN_US, emotion=Emotion.WARM, intensity=0.5, gaze="camera",
                **{"pace": 1.0, "pause": 0.5, **changes},
            )
            for number, text in enumerate(texts)
        ),
    )  # fmt: skip


def test_the_loss_falls(trained: Trained) -> None:
    curve = [loss for _, loss in trained.curves["acoustic"]]
    assert curve[-1] < 0.82 * curve[0]


def test_a_killed_training_ends_with_the_same_weights(corpus: Corpus, tmp_path: Path) -> None:
    whole = train_voice(corpus, SHORT, tmp_path / "whole", seed=1)

    class Killed(Exception):
        pass

    saves = []

    def kill() -> None:
        saves.append(1)
        if len(saves) == 3:
            raise Killed

    def impatient(fraction: float, message: str) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memorial_tasks.voice.learn.SAVE_EVERY", 0.0)  # after every step
        with pytest.raises(Killed):
            train_voice(corpus, SHORT, tmp_path / "cut", seed=1, progress=impatient, save_checkpoint=kill)
    again = train_voice(corpus, SHORT, tmp_path / "cut", seed=1)
    assert again.resumed
    assert not whole.resumed
    for name, value in whole.model.acoustic.state_dict().items():
        assert torch.equal(value, again.model.acoustic.state_dict()[name]), name


def test_practice_speech_is_of_both_languages_and_read_once(corpus: Corpus, tmp_path: Path) -> None:
    rows = practice_readings(corpus, 4, tmp_path / "practice", 0, lambda fraction, message: None)
    spoken = [{word.language for word in timed.row.words} for timed, _ in rows]
    assert spoken.count({Language.EN_US}) == 3
    assert spoken.count({Language.ZH_CN}) == 1
    again = practice_readings(corpus, 400, tmp_path / "practice", 1, lambda fraction, message: None)
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(rows, again, strict=True))


def test_a_voice_begins_with_what_ships(corpus: Corpus, tmp_path: Path) -> None:
    shipped = pretrained().acoustic.state_dict()
    learned = train_voice(corpus, replace(SHORT, steps=2), tmp_path, seed=1).model.acoustic.state_dict()
    moved = {name: float((learned[name] - value).abs().max()) for name, value in shipped.items() if "lstm" in name}
    assert 0.0 < max(moved.values()) < 0.02  # two steps from there, and not two steps from a draw of the lot


def test_a_checkpoint_of_another_training_is_not_taken_up(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memorial_tasks.voice.learn.SAVE_EVERY", 0.0)
        train_voice(corpus, replace(SHORT, steps=2), tmp_path, seed=1)
    assert train_voice(corpus, replace(SHORT, steps=2), tmp_path, seed=1).resumed
    assert not train_voice(corpus, replace(SHORT, steps=3), tmp_path, seed=1).resumed


def test_the_adversary_is_a_switch(corpus: Corpus, tmp_path: Path) -> None:
    judged = train_voice(corpus, replace(SHORT, adversarial=1.0, adversarial_steps=8), tmp_path, seed=1)
    assert judged.curves["adversarial"][-1][1] == pytest.approx(2 * np.log(2), abs=0.5)


def test_loss_counts_pitch_only_where_there_is_voice() -> None:
    target = torch.zeros(1, 4, 50)
    made = target.clone()
    made[0, 0, LF0] = 1.0
    target[0, 0, LF0 + 1] = made[0, 0, LF0 + 1] = 1.0
    person = torch.ones(1, dtype=torch.int64)
    voiced = frame_loss(made, target, torch.ones(1, 4), person)
    target[0, 0, LF0 + 1] = made[0, 0, LF0 + 1] = -1.0
    assert float(voiced) == pytest.approx(10 * float(frame_loss(made, target, torch.ones(1, 4), person)), rel=1e-4)


def test_times_cover_the_track_and_name_every_word(trained: Trained) -> None:
    plan = _plan("My dear children, I love you.", "Was it 1931? Yes.")
    wave, timing = speak(trained.model, plan, {}, seed=1)
    assert timing.duration == pytest.approx(wave.size / RATE)
    assert " ".join(word.text for word in timing.words) == "My dear children I love you Was it 1931 Yes"
    assert timing.phones[0].start == 0.0
    for one, other in zip(timing.phones, timing.phones[1:], strict=False):
        assert one.end == pytest.approx(other.start, abs=1e-6)
        assert one.end > one.start
    assert timing.phones[-1].end == pytest.approx(timing.duration, abs=1e-3)
    assert timing.lines[1].start - timing.lines[0].end >= 0.4
    assert all(line.source == "synthesized" for line in timing.lines)
    assert abs(loudness(wave) + 23) < 1.0


def test_quiet_is_room_tone_and_not_digital_zero(trained: Trained) -> None:
    wave, timing = speak(trained.model, _plan("My dear children.", "I love you."), {}, seed=1)
    start, end = timing.lines[0].end, timing.lines[1].start
    gap = wave[int((start + 0.15) * RATE) : int((end - 0.15) * RATE)]
    assert 1e-5 < float(gap.std()) < 3e-3
    tone = RoomTone(trained.model, np.random.default_rng(0)).next(RATE)
    cut = RoomTone(trained.model, np.random.default_rng(0))
    assert np.allclose(np.concatenate([cut.next(5000), cut.next(RATE - 5000)]), tone, atol=1e-6)
    assert 20 * np.log10(tone.std()) == pytest.approx(trained.model.tone_level, abs=0.5)


def test_the_same_seed_gives_the_same_sound(trained: Trained) -> None:
    one, _ = speak(trained.model, _plan("Look after each other, always."), {}, seed=4)
    other, _ = speak(trained.model, _plan("Look after each other, always."), {}, seed=4)
    assert np.array_equal(one, other)


def test_a_track_is_written_line_by_line_and_whole_or_not_at_all(trained: Trained, tmp_path: Path) -> None:
    plan = _plan("Good morning.", "I love you.")
    spoken = speak_to(tmp_path / "speech.wav", trained.model, plan, {}, seed=4)
    whole, timing = speak(trained.model, plan, {}, seed=4)
    written, rate = soundfile.read(tmp_path / "speech.wav", dtype="float32")
    assert rate == RATE
    assert np.abs(written - whole).max() < 1e-3
    assert spoken.timing == timing
    with pytest.raises(InputRefused):
        speak_to(tmp_path / "broken.wav", trained.model, _plan("Hello.", "…"), {})
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]


def test_a_line_dies_away_and_is_not_cut(trained: Trained, espeak: Espeak, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame is made equally loud, so that only the shape of the line is heard: no network does that to order."""
    flat = trained.model.mean.copy()
    monkeypatch.setattr(VoiceModel, "frames", lambda self, row, edges, *rest: np.tile(flat, (int(edges[-1]), 1)))
    words = FrontEnd(espeak).words("She laughed, shook her head.", Language.EN_US)
    made = speak_line(trained.model, _plan("x").lines[0], words)

    def level(frame: int) -> float:
        return float(made.wave[(frame - 2) * HOP : (frame + 2) * HOP].std())

    edges = made.timed.edges
    end, speech = int(edges[-2]), float(np.median([level(frame) for frame in range(int(edges[1]), int(edges[-2]))]))
    assert 0.3 * speech < level(end + 5) < 0.9 * speech
    assert level(end + 12) < 0.25 * speech
    assert abs(made.wave[-24:]).max() < 0.02
    assert level(int(edges[1]) - 10) < 0.05 * speech


def test_pace_pitch_and_energy_are_heard(trained: Trained) -> None:
    text = "Every Sunday the family gathered here."
    plain, timing = speak(trained.model, _plan(text), {})
    _, slow = speak(trained.model, _plan(text, pace=0.75), {})
    length = timing.lines[0].end - timing.lines[0].start
    assert (slow.lines[0].end - slow.lines[0].start) / length == pytest.approx(1 / 0.75, rel=0.12)
    high, _ = speak(trained.model, _plan(text, pitch_shift=4.0), {})
    pitches = []
    for wave in (plain, high):
        frames = analyse(wave, PitchRange(60, 400))
        pitches.append(float(np.median(frames[frames[:, LF0 + 1] > 0.5, LF0])))
    assert (pitches[1] - pitches[0]) * 12 / np.log(2) == pytest.approx(4.0, abs=1.2)


def test_the_lexicon_of_the_family_decides(trained: Trained) -> None:
    _, plain = speak(trained.model, _plan("Nguyen sang."), {})
    _, said = speak(trained.model, _plan("Nguyen sang."), {"Nguyen": "W IH N"})
    assert [p.phone for p in said.phones if p.phone != "SIL"][:3] == ["W", "IH", "N"]
    assert [p.phone for p in plain.phones if p.phone != "SIL"][:3] != ["W", "IH", "N"]


def test_a_line_without_words_is_refused_by_number(trained: Trained) -> None:
    with pytest.raises(InputRefused) as refusal:
        speak(trained.model, _plan("Hello.", "…"), {})
    assert [problem.field for problem in refusal.value.problems] == ["script[1]"]
    with pytest.raises(InputRefused):
        speak(trained.model, DirectionPlan(language=Language.EN_US, lines=()), {})


def test_a_script_of_hours_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InputRefused) as refusal:
        read_lines(_plan(*["Yes, my dear."] * 400, pause=10.0))
    (problem,) = refusal.value.problems
    assert problem.code == "script.too_long"
    assert "several films" in problem.remedy
    assert len(read_lines(_plan(*["Yes, my dear."] * 300, pause=10.0))) == 300


def test_every_problem_of_a_script_is_named_at_once() -> None:
    with pytest.raises(InputRefused) as refusal:
        read_lines(_plan("Hello.", "Привет", "<b>x</b>", "…"))
    assert [(problem.code, problem.field) for problem in refusal.value.problems] == [
        ("script.unpronounceable", "script[1]"),
        ("script.markup_unknown", "script[2]"),
        ("script.unspeakable", "script[3]"),
    ]


def test_own_words_are_the_recording(trained: Trained, corpus: Corpus) -> None:
    wave, timing = speak(trained.model, _plan("You were such a good boy!", "You were such a good girl!"), {})
    assert [line.source for line in timing.lines] == ["recorded", "synthesized"]
    original = next(u for u in corpus.utterances if u.text.startswith("You were"))
    middle = original.wave[original.wave.size // 2 - 2000 : original.wave.size // 2 + 2000]
    heard = np.correlate(wave[: int(timing.lines[0].end * RATE)], middle, "valid")
    energy = np.convolve(wave[: int(timing.lines[0].end * RATE)] ** 2, np.ones(middle.size), "valid")
    assert (heard / np.sqrt(energy * (middle**2).sum() + 1e-9)).max() > 0.97


def test_a_model_survives_the_disk_and_foreign_files_are_refused(trained: Trained, tmp_path: Path) -> None:
    trained.model.save(tmp_path / "model.safetensors")
    again = VoiceModel.load(tmp_path / "model.safetensors")
    one, _ = speak(trained.model, _plan("Good morning."), {}, seed=1)
    other, _ = speak(again, _plan("Good morning."), {}, seed=1)
    assert np.allclose(one, other, atol=1e-6)
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelRefused):
        VoiceModel.load(tmp_path / "bad.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelRefused):
        VoiceModel.load(tmp_path / "cut.safetensors")


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(InputRefused, match="1 problem"):
        recipe("huge")


def test_mixed_lines_are_spoken(trained: Trained, espeak: Espeak) -> None:
    plan = DirectionPlan(
        language=Language.ZH_CN,
        lines=(
            DirectedLine(
                index=0, text="我爱你们, I love you, 再见。", language=Language.ZH_CN, emotion=Emotion.WARM,
                intensity=0.5, pace=1.0, pause=0.3, gaze="camera",
            ),
        ),
    )  # fmt: skip
    _, timing = speak(trained.model, plan, {})
    assert [word.text for word in timing.words] == ["我", "爱", "你们", "I", "love", "you", "再见"]
    names = [phone.phone for phone in timing.phones]
    assert "uo" in names
    assert "AH" in names


def _with_pause(corpus: Corpus, sound: Wave) -> Utterance:
    """A recording with `sound` in a pause of its middle."""
    one = corpus.utterances[0]
    middle = int(one.timed.edges[4])
    pause = sound.size // HOP
    row = one.timed.row
    phones = (*row.phones[:4], Phone("SIL"), *row.phones[4:])
    edges = np.r_[one.timed.edges[:5], one.timed.edges[4:] + pause].astype(np.int32)
    frames = np.insert(
        one.frames, [middle] * pause, one.frames[-1] * [[*[1.0] * (LF0 + 1), 0.0, 1.0, 1.0, 1.0]], axis=0
    )
    wave = np.r_[one.wave[: middle * HOP], sound, one.wave[middle * HOP :]].astype(np.float32)
    timed = TimedRow(replace(row, phones=phones, word=(*row.word[:4], -1, *row.word[4:])), edges)
    return replace(one, wave=wave, timed=timed, frames=frames.astype(np.float32))


def test_breaths_are_cut_out_of_the_persons_own_pauses_and_never_invented(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(0, 2e-4, RATE // 2)
    breath = quiet.copy()
    air = signal.sosfilt(signal.butter(2, [700, 4000], "bandpass", fs=RATE, output="sos"), rng.normal(0, 1, RATE // 4))
    breath[RATE // 8 : RATE // 8 + RATE // 4] += 0.01 * air
    (found,) = breaths([_with_pause(corpus, breath)])
    assert found.size / RATE == pytest.approx(0.25, abs=0.05)
    assert breaths([_with_pause(corpus, quiet)]) == ()
    loud = 0.3 * np.sin(np.arange(RATE // 2) * 0.05)
    assert breaths([_with_pause(corpus, loud)]) == ()


def test_a_breath_is_drawn_before_a_long_line_only(trained: Trained) -> None:
    breath = np.full(RATE // 4, 0.05, np.float32)
    model = replace(trained.model, breaths=(breath,))
    plan = _plan(
        "I love you.", "Every Sunday the whole family gathered around the old kitchen table.", "Yes.", pause=0.9
    )
    plain, timing = speak(trained.model, plan, {}, seed=1)
    breathing, _ = speak(model, plan, {}, seed=1)
    louder = np.flatnonzero(np.abs(breathing - plain) > 0.01) / RATE
    assert louder.size
    assert timing.lines[0].end < louder.min()
    assert louder.max() < timing.lines[1].start


def test_a_vocoder_travels_with_the_model_and_is_taken_only_when_nearer(trained: Trained, tmp_path: Path) -> None:
    model = replace(trained.model)
    torch.manual_seed(0)
    noisy = Generator(8, 1)
    torch.nn.init.normal_(noisy.leave.weight)
    worse = with_better_vocoder(model, Vocoder(noisy, model.mean, model.std), trained.held_out)
    assert model.vocoder is None
    assert worse["gan_copy"] > worse["world_copy"]
    model = replace(
        trained.model, vocoder=Vocoder(noisy.eval(), model.mean, model.std), breaths=(np.ones(9, np.float32),)
    )
    model.save(tmp_path / "model.safetensors")
    again = VoiceModel.load(tmp_path / "model.safetensors")
    frames = trained.held_out[0].frames
    assert np.allclose(again.sound(frames), model.sound(frames), atol=1e-5)
    assert not np.allclose(again.sound(frames), trained.model.sound(frames), atol=1e-2)
    assert [breath.size for breath in again.breaths] == [9]


def test_arithmetic_is_whole_again_after_a_training(trained: Trained) -> None:
    assert trained.model is not None
    assert np.finfo(np.float64).tiny / np.float64(2) > 0
