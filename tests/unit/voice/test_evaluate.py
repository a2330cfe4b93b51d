"""The measures are what they say."""

import numpy as np
import pytest

from memorial_tasks.voice.audio import spectrogram_png
from memorial_tasks.voice.card import expected_quality, improvements
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.evaluate import distortion, frame_distortion, pitch_agreement, plain_words, word_errors
from memorial_tasks.voice.features import LF0, PitchRange, analyse, fill_pitch, resynthesise


def test_word_errors_count_edits() -> None:
    assert word_errors(list("abc"), list("abc")) == 0
    assert word_errors(list("abc"), list("axcd")) == 2
    assert word_errors([], ["a"]) == 1
    assert word_errors(["a", "b"], []) == 2
    assert plain_words("Don't stop, me!") == ["don't", "stop", "me"]


def test_copying_a_voice_costs_little_and_another_sentence_much(corpus: Corpus) -> None:
    one, other = corpus.utterances[0], corpus.utterances[1]
    copy = analyse(resynthesise(one.frames), PitchRange(60, 300))
    assert distortion(one.frames, one.frames) == pytest.approx(0.0, abs=1e-6)
    assert distortion(one.frames, copy) < 6.0  # generated speech is harder to copy than a person's (2 to 3)
    assert distortion(one.frames, other.frames) > 1.5 * distortion(one.frames, copy)
    assert frame_distortion(one.frames, one.frames) == 0.0


def test_pitch_agreement_is_in_cents(corpus: Corpus) -> None:
    real = corpus.utterances[0].frames
    higher = real.copy()
    higher[:, LF0] += np.log(2) / 12
    cents, correlation = pitch_agreement(real, higher)
    assert cents == pytest.approx(100.0, abs=0.5)
    assert correlation == pytest.approx(1.0, abs=1e-4)


def test_unvoiced_pitch_is_bridged() -> None:
    filled = fill_pitch(np.array([0.0, 100.0, 0.0, 400.0, 0.0]))
    assert filled == pytest.approx(np.log([100, 100, 200, 400, 400]))
    assert fill_pitch(np.zeros(3)) == pytest.approx(np.log(150))


def test_a_short_corpus_says_how_to_improve(corpus: Corpus) -> None:
    assert expected_quality(corpus) == "limited"
    advice = " ".join(improvements(corpus))
    assert "more recordings" in advice
    assert "varied" in advice


def test_a_picture_is_drawn(corpus: Corpus, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    spectrogram_png(tmp_path / "s.png", [u.wave for u in corpus.utterances[:2]])
    picture = np.asarray(Image.open(tmp_path / "s.png"))
    assert picture.shape[1] >= 200
    assert picture.std() > 20
