"""Recordings become aligned speech, or a refusal that says what to do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.voice import prepare
from memorial_tasks.voice.audio import RATE, clean, hum_frequency, loudness, set_loudness
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import WIDTH
from memorial_tasks.voice.prepare import plausible, prepare_voice
from memorial_tasks.voice.segments import measure, speech_spans

Recordings = tuple[list[Path], dict[str, str]]


def test_every_sentence_is_kept_with_its_words_in_order(corpus: Corpus, recordings: Recordings) -> None:
    assert len(corpus.utterances) == len(recordings[0])
    for utterance in corpus.utterances:
        edges = utterance.timed.edges
        assert (np.diff(edges) >= 1).all()
        assert edges[-1] == len(utterance.frames)
        assert utterance.frames.shape[1] == WIDTH
        assert [word.text for word in utterance.timed.row.words] == [
            word.strip(".,") for word in utterance.text.split()
        ]
        assert plausible(utterance.timed)


def test_what_a_person_is_learned_from_has_its_phones_placed_by_our_own_model(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model itself is tried in `test_ctc`; a mark stands in for it, to see that it has the last word."""
    monkeypatch.setattr(prepare, "place_all", lambda found: [replace(one, text="placed") for one in found])
    found = prepare_voice(recordings[0], recordings[1], Language.EN_US)
    assert {one.text for one in found.utterances} == {"placed"}


def test_a_corpus_comes_back_from_disk_as_it_was(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path)
    again = Corpus.load(tmp_path)
    assert again.seconds == corpus.seconds
    for one, other in zip(corpus.utterances, again.utterances, strict=True):
        assert one.timed.row == other.timed.row
        assert np.array_equal(one.frames, other.frames)
        assert np.abs(one.wave - other.wave).max() < 1e-4


def test_too_little_speech_is_refused_with_what_was_found(recordings: Recordings) -> None:
    with pytest.raises(InputRefused) as refusal:
        prepare_voice(recordings[0][:3], recordings[1], Language.EN_US)
    problem = refusal.value.problems[0]
    assert problem.code == "voice.too_little"
    assert "20 s needed" in problem.what


def test_silence_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros(RATE * 30), RATE)
    with pytest.raises(InputRefused) as refusal:
        prepare_voice([tmp_path / "quiet.wav"], {"quiet": "hello"}, Language.EN_US)
    assert refusal.value.problems[0].code == "voice.too_little"


def test_no_recording_and_no_sound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no voice recording"):
        prepare_voice([], {}, Language.EN_US)
    (tmp_path / "lie.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEnothing")
    with pytest.raises(InputRefused) as refusal:
        prepare_voice([tmp_path / "lie.wav"], {}, Language.EN_US)
    assert refusal.value.problems[0].code == "voice.unreadable"
    assert refusal.value.problems[0].file == "lie.wav"


def test_mandarin_without_transcripts_is_refused(recordings: Recordings) -> None:
    with pytest.raises(InputRefused) as refusal:
        prepare_voice(recordings[0], {}, Language.ZH_CN)
    assert refusal.value.problems[0].code == "voice.transcript_missing"


def test_hum_is_found_and_removed() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    noise = rng.normal(0, 0.003, time.size)
    hum = sum(0.02 / h * np.sin(2 * np.pi * 50 * h * time) for h in (1, 2, 3))
    assert hum_frequency((noise + hum).astype(np.float32), RATE) == 50.0
    assert hum_frequency(noise.astype(np.float32), RATE) == 0.0
    cleaned = clean((noise + hum).astype(np.float32))
    assert cleaned.std() < 1.3 * noise.std()


def test_speech_is_found_where_it_is(espeak: Espeak) -> None:
    speech = espeak.say("Good morning, my dear friends.", "en-us+m3")
    gap = np.zeros(int(1.5 * speech.rate), np.float32)
    wave = np.concatenate([gap, speech.audio, gap, speech.audio, gap])
    spans = speech_spans(wave, speech.rate)
    assert len(spans) == 2
    assert abs(spans[0][0] - 1.5) < 0.3
    assert abs(spans[1][1] - (wave.size / speech.rate - 1.5)) < 0.5
    assert speech_spans(np.zeros(48000, np.float32), 24000) == []


def test_noise_and_clipping_lower_the_grade(espeak: Espeak) -> None:
    speech = espeak.say("We walked along the river until the evening.", "en-us+m3")
    wave = np.pad(speech.audio, 4000)
    rng = np.random.default_rng(1)
    fine = measure((wave + rng.normal(0, 2e-4, wave.size)).astype(np.float32), speech.rate)
    noisy = measure((wave + rng.normal(0, 0.1, wave.size)).astype(np.float32), speech.rate)
    clipped = measure(np.clip(wave * 20, -1, 1), speech.rate)
    assert fine.grade in {"A", "B"}
    assert noisy.grade == "C"
    assert clipped.grade == "C"
    assert fine.snr > noisy.snr + 15


def test_loudness_is_set_and_peaks_stay_below_full_scale(espeak: Espeak) -> None:
    speech = espeak.say("We walked along the river until the evening.", "en-us+m3")
    wave = set_loudness(speech.audio, -23.0, speech.rate)
    assert abs(loudness(wave, speech.rate) + 23.0) < 0.5
    assert np.abs(set_loudness(speech.audio, -5.0, speech.rate)).max() <= 0.8901
