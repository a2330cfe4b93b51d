"""The subject's speech told from that of others. Voices of espeak-ng with the times it reports stand in for people."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.voice.audio import RATE
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import PitchRange, analyse
from memorial_tasks.voice.own_words import find_recording, keep_clips
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.practice_texts import ENGLISH
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.speakers import subject_alone, without_others
from memorial_tasks.voice.text.front import FrontEnd

PITCH = PitchRange(65, 500)


def _said(espeak: Espeak, name: str, texts: Sequence[str], variant: str, pitch: int) -> list[Utterance]:
    front, out = FrontEnd(espeak), []
    for number, text in enumerate(texts):
        reading = read_words(espeak, front.words(text, Language.EN_US), variant=variant, rate=160, pitch=pitch)
        assert reading is not None
        frames = analyse(reading.audio, PITCH, breath=False)
        end = min(int(reading.timed.edges[-1]), len(frames))
        timed = TimedRow(reading.timed.row, np.minimum(reading.timed.edges, end))
        out.append(Utterance(f"{name}-{number:02d}", text, timed, frames[:end], reading.audio, "A", 40.0))
    return out


@pytest.fixture(scope="module")
def father(espeak: Espeak) -> list[Utterance]:
    return _said(espeak, "tape", ENGLISH[:6], "m3", 40)


@pytest.fixture(scope="module")
def daughter(espeak: Espeak) -> list[Utterance]:
    return _said(espeak, "visit", ENGLISH[9:12], "f2", 70)


def _without(utterances: Sequence[Utterance], own: Sequence[str] = ()) -> tuple[list[Utterance], list[Finding]]:
    findings: list[Finding] = []
    return without_others(utterances, findings, ["tape", "visit", "talk"], own), findings


def _in_another_room(utterance: Utterance) -> Utterance:
    """The same through a small loudspeaker: 8 dB more at 8 kHz than at 1 kHz, 8 dB less below."""
    spectrum = np.fft.rfft(utterance.wave)
    hertz = np.maximum(np.fft.rfftfreq(utterance.wave.size, 1 / RATE), 50)
    gain = 8 * np.clip(np.log2(hertz / 1000) / 3, -1, 1)
    wave = np.fft.irfft(spectrum * 10 ** (gain / 20), utterance.wave.size).astype(np.float32)
    return replace(utterance, wave=wave, frames=analyse(wave, PITCH, breath=False)[: len(utterance.frames)])


def _together(first: Utterance, second: Utterance) -> Utterance:
    """A question and its answer in one stretch of recording."""
    one, other = first.timed, second.timed
    word = tuple(number + len(one.row.words) if number >= 0 else -1 for number in other.row.word)
    row = PhoneRow(one.row.phones[:-1] + other.row.phones, one.row.word[:-1] + word, one.row.words + other.row.words)
    edges = np.r_[one.edges[:-1], other.edges[1:] + one.edges[-1]].astype(np.int32)
    waves = [np.resize(np.pad(u.wave, (0, 240)), len(u.frames) * 120) for u in (first, second)]
    return replace(
        first, id=f"talk-{first.id[-2:]}", text=f"{first.text} {second.text}", timed=TimedRow(row, edges),
        frames=np.concatenate([first.frames, second.frames]), wave=np.concatenate(waves),
    )  # fmt: skip


def test_one_person_alone_is_left_whole(father: list[Utterance]) -> None:
    assert _without(father) == (father, [])
    assert _without(father[:1]) == (father[:1], [])
    assert _without([]) == ([], [])


def test_one_person_in_two_rooms_is_one_person(father: list[Utterance]) -> None:
    both = [*father[:4], *(_in_another_room(replace(one, id=f"visit-{one.id[-2:]}")) for one in father[4:])]
    assert _without(both) == (both, [])


def test_what_somebody_else_says_is_left_out_and_named(father: list[Utterance], daughter: list[Utterance]) -> None:
    kept, findings = _without([*daughter, *father])
    assert kept == father
    assert [finding.code for finding in findings] == ["voice.other_speaker"]
    assert all(utterance.id in findings[0].what for utterance in daughter)
    assert "materials.own_voice" in findings[0].remedy
    assert findings[0].value == pytest.approx(sum(u.seconds for u in daughter), rel=0.15)


def test_what_somebody_else_says_is_never_quoted(father: list[Utterance], daughter: list[Utterance]) -> None:
    heard = find_recording(daughter[1].timed.row.words, *keep_clips([*father, *daughter]))
    assert heard is not None
    assert find_recording(daughter[1].timed.row.words, *keep_clips(_without([*father, *daughter])[0])) is None


def test_the_family_says_who_the_person_is(father: list[Utterance], daughter: list[Utterance]) -> None:
    kept, _ = _without([*father, *daughter], own=["visit"])
    assert kept == daughter
    everybody = [*father, *daughter]
    assert _without(everybody, own=["visit", "tape"]) == (everybody, [])


def test_a_question_is_cut_out_of_a_recording(father: list[Utterance], daughter: list[Utterance]) -> None:
    talk = _together(daughter[0], father[0])
    kept, findings = _without([talk, *father[1:]])
    assert kept[1:] == father[1:]
    answer = kept[0]
    assert answer.id == "talk-00-01"
    assert [word.text for word in answer.timed.row.words] == [word.text for word in father[0].timed.row.words]
    assert answer.timed.edges[-1] == len(answer.frames) == answer.wave.size // 120
    assert (np.diff(answer.timed.edges) >= 1).all()
    assert answer.timed.row.word[0] == answer.timed.row.word[-1] == -1
    assert findings[0].material == ""


def test_pitch_is_looked_for_again_where_the_person_speaks(father: list[Utterance], daughter: list[Utterance]) -> None:
    low = [replace(one, frames=analyse(one.wave, PitchRange(200, 400), False)[: len(one.frames)]) for one in father[:3]]
    corpus = Corpus(Language.EN_US, (*low, *daughter[:1]))
    alone = subject_alone(corpus, ["tape", "visit"], [], 5.0)
    assert [one.id for one in alone.utterances] == [one.id for one in low]
    assert [len(one.frames) for one in alone.utterances] == [len(one.frames) for one in low]
    assert np.median(alone.utterances[0].frames[:, 45]) < np.log(160) < np.median(low[0].frames[:, 45])
    assert [finding.code for finding in alone.findings] == ["voice.other_speaker"]


def test_too_little_of_one_person_is_refused(father: list[Utterance], daughter: list[Utterance]) -> None:
    corpus = Corpus(Language.EN_US, (*father, *daughter))
    with pytest.raises(InputRefused) as refusal:
        subject_alone(corpus, ["tape", "visit"], [], 300.0)
    assert refusal.value.problems[0].code == "voice.too_little"
    assert "somebody else" in refusal.value.problems[0].what
