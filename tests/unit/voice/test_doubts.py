"""Recordings that are not what they are said to be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.voice.audio import RATE, resample
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.doubts import warn_of_telephone, without_other_words
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.prepare import prepare_voice
from memorial_tasks.voice.segments import measure

Recordings = tuple[list[Path], dict[str, str]]


def test_transcripts_in_the_other_language_are_refused(recordings: Recordings) -> None:
    with pytest.raises(InputRefused) as refusal:
        prepare_voice(recordings[0], recordings[1], Language.ZH_CN)
    assert refusal.value.problems[0].code == "voice.wrong_language"
    chinese = dict.fromkeys(recordings[1], "孩子们你们好，我是爷爷。")
    with pytest.raises(InputRefused) as refusal:
        prepare_voice(recordings[0], chinese, Language.EN_US)
    assert refusal.value.problems[0].code == "voice.wrong_language"


def _moved(utterances: tuple[Utterance, ...], step: int) -> list[Utterance]:
    """Each utterance with the words and times of another, squeezed or stretched to its length."""
    out = []
    for number, one in enumerate(utterances):
        other = utterances[(number + step) % len(utterances)]
        edges = np.round(other.timed.edges * (len(one.frames) / int(other.timed.edges[-1]))).astype(np.int32)
        out.append(replace(one, timed=replace(other.timed, edges=edges), text=other.text))
    return out


def test_right_transcripts_raise_no_doubt(corpus: Corpus) -> None:
    findings: list[Finding] = []
    assert without_other_words(corpus.utterances, findings) == list(corpus.utterances)
    assert findings == []


def test_transcripts_of_other_recordings_are_refused(corpus: Corpus) -> None:
    with pytest.raises(InputRefused) as refusal:
        without_other_words(_moved((*corpus.utterances,) * 3, 4), [])
    assert refusal.value.problems[0].code == "voice.text_mismatch"


def test_one_wrong_transcript_is_left_out_and_named(corpus: Corpus) -> None:
    wrong = [*corpus.utterances, *corpus.utterances[:-1], _moved(corpus.utterances, 4)[-1]]
    findings: list[Finding] = []
    kept = without_other_words(wrong, findings)
    assert len(kept) == len(wrong) - 1
    assert [finding.code for finding in findings] == ["voice.other_words"]
    assert findings[0].material == wrong[-1].id


def test_what_a_machine_recognised_is_to_be_written_down(corpus: Corpus) -> None:
    wrong = _moved((*corpus.utterances,) * 3, 4)
    for recognised in ({one.id for one in wrong}, {wrong[0].id}):
        with pytest.raises(InputRefused) as refusal:
            without_other_words(wrong, [], recognised)
        problem = refusal.value.problems[0]
        assert problem.code == "voice.text_mismatch"
        assert "write down what is said (voice/transcripts.csv" in problem.remedy
        assert ("belongs to its recording" in problem.remedy) == (len(recognised) == 1)
        assert "machine" in problem.what


def test_one_wrongly_recognised_recording_is_to_be_written_down(corpus: Corpus) -> None:
    odd = replace(_moved(corpus.utterances, 4)[-1], id="tape-odd")
    findings: list[Finding] = []
    without_other_words([*corpus.utterances, *corpus.utterances[:-1], odd], findings, {"tape-odd"})
    assert [finding.material for finding in findings] == ["tape-odd"]
    assert "machine" in findings[0].what
    assert findings[0].remedy.startswith("write down what is said")


class _Mishearing:
    """A double of the recogniser that hears the words of another recording: the real one errs as it likes, and takes
    half a minute to do so."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts[4:] + texts[:4]

    def words(self, wave: object) -> str:
        return self._texts.pop(0)


def test_recordings_nobody_wrote_down_are_not_answered_with_a_remedy_for_transcripts(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(recordings[1].values())
    monkeypatch.setattr("memorial_tasks.voice.prepare.Recogniser", lambda: _Mishearing(texts))
    with pytest.raises(InputRefused) as refusal:
        prepare_voice(recordings[0], {}, Language.EN_US)
    problem = refusal.value.problems[0]
    assert problem.code == "voice.text_mismatch"
    assert problem.remedy.startswith("write down what is said")
    assert "transcript belongs" not in problem.remedy


def test_a_telephone_is_noticed(espeak: Espeak) -> None:
    speech = espeak.say("We walked along the river until the evening.", "en-us+m3")
    wave = np.pad(resample(speech.audio, speech.rate, RATE), RATE // 2)
    band = signal.butter(12, (300, 3400), "bandpass", fs=RATE, output="sos")
    rng = np.random.default_rng(0)
    narrow = signal.sosfilt(band, wave + rng.normal(0, 0.01, wave.size)) + rng.normal(0, 1e-4, wave.size)
    widths = [measure(np.asarray(sound, np.float32), RATE).bandwidth for sound in (wave, narrow)]
    findings: list[Finding] = []
    warn_of_telephone(widths[:1], [3.0], findings)
    assert findings == []
    warn_of_telephone(widths[1:], [3.0], findings)
    assert [finding.code for finding in findings] == ["voice.telephone_band"]
