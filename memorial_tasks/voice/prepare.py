"""From a family's recordings to what a model learns from: cleaned, cut, graded, transcribed, aligned, analysed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Language, Severity
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.align import SphinxAligner, by_dtw
from memorial_tasks.voice.audio import RATE, Wave, clean, read_wave, resample, set_loudness
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.ctc import place_all
from memorial_tasks.voice.doubts import (
    WRITE_DOWN,
    refuse_other_language,
    warn_of_telephone,
    without_other_words,
)
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.evaluate import plain_words, word_errors
from memorial_tasks.voice.features import FRAME, LF0, VUV, analyse, pitch_range
from memorial_tasks.voice.practice import read_words
from memorial_tasks.voice.restore import without_clicks, without_echo, without_noise
from memorial_tasks.voice.segments import Quality, measure, speech_spans
from memorial_tasks.voice.sequence import PhoneRow, TimedRow
from memorial_tasks.voice.settle import heard_pauses
from memorial_tasks.voice.speakers import subject_alone
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import Word

MINIMUM_SECONDS = 20.0
_LONG_FILE, _LONGEST = 20.0, 12.0
_NOISY, _ECHOING = 22.0, 0.45  # dB and seconds from which on noise and echo may be worth taking out
_JUDGED, _JUDGED_WORDS, _HELPS = 12, 3, 0.05  # pieces a recogniser judges that by, words of each, share of words gained
Reads = Callable[[str, Language], list[Word]]


@dataclass
class _Piece:
    """One stretch of speech on its way through preparation."""

    id: str
    wave: Wave
    quality: Quality
    text: str = ""
    words: list[Word] = field(default_factory=list)
    timed: TimedRow | None = None
    recognised: bool = False  # `text` was heard by the recogniser, nobody wrote it


def prepare_voice(
    files: Sequence[Path],
    transcripts: Mapping[str, str],
    language: Language,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
    lexicon: Mapping[str, str] | None = None,
    own: Collection[str] = (),
) -> Corpus:
    """Everything a voice model needs, from WAV files of one person.

    `transcripts` maps a file's stem to its words. English speech without a transcript is recognised (and says so in
    a finding); Mandarin without one is refused. What others say is left out (`speakers.py`); `own` are the stems of
    files in which only the person speaks. Raises `InputRefused` when less than 20 s of usable speech is left, when the
    transcripts are in the other language, and when they do not say what is heard.
    """
    if not files:
        raise InputRefused([Problem("voice.missing", "no voice recording was given", "add recordings", "voice")])
    refuse_other_language(transcripts, language)
    findings: list[Finding] = []
    pieces: list[_Piece] = []
    for number, path in enumerate(sorted(files)):
        progress(0.25 * number / len(files), "cleaning recordings")
        pieces += _pieces(path, transcripts.get(path.stem, "").strip())
    warn_of_telephone([p.quality.bandwidth for p in pieces], [p.wave.size / RATE for p in pieces], findings)
    _restore(pieces, language, findings)
    pieces = _choose(pieces, findings)
    pieces = _transcribe(pieces, language, findings, progress)
    with Espeak() as espeak:
        pieces = _align(pieces, language, FrontEnd(espeak, lexicon).words, espeak, findings, progress)
    _require(pieces, findings)
    corpus = _analyse(pieces, language, findings, progress)
    return subject_alone(corpus, [path.stem for path in files], own, MINIMUM_SECONDS)


def prepare_reading(
    files: Sequence[Path], transcripts: Mapping[str, str], language: Language, espeak: Espeak, reads: Reads
) -> list[Utterance]:
    """The utterances of one speaker of a corpus made for this purpose: its transcripts are true and complete, and
    nothing of it is too little. `transcripts` maps a file's stem to its words, `reads` turns them into phones."""
    pieces = [piece for path in files for piece in _pieces(path, transcripts[path.stem].strip())]
    return _utterances(_align(pieces, language, reads, espeak, [], lambda fraction, message: None))


def _pieces(path: Path, text: str) -> list[_Piece]:
    original = read_wave(path)
    if original.size < RATE // 3:
        return []
    wave, _ = without_clicks(clean(original), RATE)
    spans = speech_spans(wave, RATE, longest=_LONGEST)
    if not spans:
        return []
    if text and wave.size / RATE <= _LONG_FILE:  # one utterance a file: keep it whole, without the empty ends
        spans = [(spans[0][0], spans[-1][1])]
    elif text:
        spans = [(max(0.0, spans[0][0]), spans[-1][1])]  # cut after alignment
    out = []
    for number, (start, end) in enumerate(spans):
        part = slice(int(start * RATE), int(end * RATE))
        quality = measure(wave[part], RATE, original[part])
        name = path.stem if len(spans) == 1 else f"{path.stem}-{number + 1:02d}"
        out.append(_Piece(name, set_loudness(wave[part], -23.0), quality, text))
    return out


def _choose(pieces: list[_Piece], findings: list[Finding]) -> list[_Piece]:
    """Leave grade C out when enough better speech exists; say so either way."""
    good = [piece for piece in pieces if piece.quality.grade != "C"]
    poor = [piece for piece in pieces if piece.quality.grade == "C"]
    seconds = sum(piece.wave.size for piece in good) / RATE
    for piece in poor:
        dropped = seconds >= 3 * MINIMUM_SECONDS
        fate = "left out" if dropped else "used for want of better"
        findings.append(
            Finding(
                code="voice.poor_recording",
                severity=Severity.INFO if dropped else Severity.WARNING,
                what=f"noisy, clipped, echoing or narrow-band speech, {fate}",
                remedy="look for another copy of this recording, nearer to the original",
                material=piece.id,
                value=round(piece.quality.snr, 1),
                limit=13.0,
            )
        )
    return good if seconds >= 3 * MINIMUM_SECONDS else good + poor


def _restore(pieces: list[_Piece], language: Language, findings: list[Finding]) -> None:
    """Take noise or echo out of all pieces where they are heard and a recogniser then misses clearly fewer of the words
    that are known to be said. Nobody can tell for Mandarin, or without transcripts: then they stay as they are."""
    known = [piece for piece in pieces if len(plain_words(piece.text)) >= _JUDGED_WORDS][:_JUDGED]
    noisy = bool(pieces) and float(np.median([piece.quality.snr for piece in pieces])) < _NOISY
    echoing = bool(pieces) and float(np.median([piece.quality.echo for piece in pieces])) > _ECHOING
    if language != Language.EN_US or not known or not (noisy or echoing):
        return
    ear = Recogniser()
    total = sum(len(plain_words(piece.text)) for piece in known)

    def missed(change: Callable[[Wave, int], Wave]) -> int:
        return sum(
            word_errors(plain_words(piece.text), plain_words(ear.words(change(piece.wave, RATE)))) for piece in known
        )

    before = missed(lambda wave, rate: wave)
    for wanted, what, change in ((echoing, "echo", without_echo), (noisy, "noise", without_noise)):
        if not wanted:
            continue
        after = missed(change)
        if before - after <= max(2, _HELPS * total):
            continue
        for piece in pieces:
            piece.wave = set_loudness(change(piece.wave, RATE), -23.0)
        findings.append(
            Finding(
                code=f"voice.{what}_removed",
                severity=Severity.INFO,
                what=f"{what} was taken out: a recogniser misses {after} of {total} words instead of {before}",
                remedy="another copy, nearer to the original, would still be better",
                value=round(after / total, 2),
                limit=round(before / total, 2),
            )
        )
        before = after


def _transcribe(
    pieces: list[_Piece], language: Language, findings: list[Finding], progress: Callable[[float, str], None]
) -> list[_Piece]:
    missing = [piece for piece in pieces if not piece.text]
    if not missing:
        return pieces
    if language == Language.ZH_CN:
        have = sum(piece.wave.size for piece in pieces if piece.text) / RATE
        if have < MINIMUM_SECONDS:
            raise InputRefused(
                [
                    Problem(
                        "voice.transcript_missing",
                        f"{len(missing)} stretches of Mandarin speech have no transcript",
                        WRITE_DOWN,
                        field="materials.voice",
                    )
                ]
            )
        findings.append(
            Finding(
                code="voice.transcript_missing",
                severity=Severity.WARNING,
                what=f"{len(missing)} stretches of speech without a transcript were not used",
                remedy=WRITE_DOWN,
                value=float(len(missing)),
            )
        )
        return [piece for piece in pieces if piece.text]
    recogniser = Recogniser()
    for number, piece in enumerate(missing):
        progress(0.25 + 0.2 * number / len(missing), "recognising speech")
        piece.text, piece.recognised = recogniser.words(piece.wave), True
    findings.append(
        Finding(
            code="voice.transcript_recognised",
            severity=Severity.WARNING,
            what=f"{len(missing)} stretches of speech without a transcript were recognised by machine, with mistakes",
            remedy="give the words that are said: it improves the voice more than anything else",
            value=float(len(missing)),
        )
    )
    return [piece for piece in pieces if piece.text]


class Recogniser:
    """English speech to words by pocketsphinx, for missing transcripts and as a judge of intelligibility."""

    def __init__(self) -> None:
        import pocketsphinx

        self._decoder: Any = pocketsphinx.Decoder(loglevel="FATAL")

    def words(self, wave: Wave, rate: int = RATE) -> str:
        """Lower-case words heard in `wave`, empty when none."""
        pcm = (np.clip(resample(wave, rate, 16000), -1, 1) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, no_search=False, full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis else ""


def _align(
    pieces: list[_Piece],
    language: Language,
    reads: Reads,
    espeak: Espeak,
    findings: list[Finding],
    progress: Callable[[float, str], None],
) -> list[_Piece]:
    sphinx = SphinxAligner()
    out: list[_Piece] = []
    failed: list[_Piece] = []
    for number, piece in enumerate(pieces):
        progress(0.45 + 0.25 * number / max(1, len(pieces)), "aligning words")
        piece.words = reads(piece.text, language)
        if not piece.words:
            failed.append(piece)
            continue
        english = all(word.language == Language.EN_US for word in piece.words)
        piece.timed = sphinx.align(piece.wave, piece.words) if english else None
        if piece.timed is None and piece.wave.size / RATE <= 60 and (reading := read_words(espeak, piece.words)):
            piece.timed, _ = by_dtw(piece.wave, reading)
        if piece.timed is None or not plausible(piece.timed):
            failed.append(piece)
            continue
        out += _split(piece)
    recognised = sum(piece.recognised for piece in failed)
    for count, words, remedy in (
        (len(failed) - recognised, "their transcript", "check that the transcript says exactly what is heard"),
        (recognised, "the words a machine recognised in them", WRITE_DOWN),
    ):
        if count:
            findings.append(
                Finding(
                    code="voice.text_mismatch",
                    severity=Severity.WARNING,
                    what=f"{count} recordings do not match {words} and were not used",
                    remedy=f"{remedy}; cut recordings longer than a minute",
                    value=float(count),
                )
            )
    return out


def plausible(timed: TimedRow) -> bool:
    """False when the phones are too fast or too slow for anyone's speech: the text is not what is said."""
    frames = np.diff(timed.edges)
    spoken = np.array([index >= 0 for index in timed.row.word])
    if not spoken.any():
        return False
    mean = float(frames[spoken].mean()) * FRAME
    squeezed = float((frames[spoken] <= 3).mean())
    return 0.035 < mean < 0.35 and squeezed < 0.5


def _split(piece: _Piece) -> list[_Piece]:
    """Cut a long aligned recording at its pauses into utterances of at most about 12 s."""
    if piece.timed is None or piece.wave.size / RATE <= _LONGEST * 1.3:
        return [piece]
    row, edges = piece.timed.row, piece.timed.edges
    pauses = [i for i, word in enumerate(row.word) if word < 0]
    cuts, start = [pauses[0]], pauses[0]
    for previous, pause in pairwise(pauses):
        if (edges[pause + 1] - edges[start]) * FRAME > _LONGEST and previous != start:
            cuts.append(previous)
            start = previous
    if cuts[-1] != pauses[-1]:
        cuts.append(pauses[-1])
    out = []
    for number, (left, right) in enumerate(pairwise(cuts)):
        begin = max(int(edges[left]), int(edges[left + 1]) - 30)
        end = min(int(edges[right + 1]), int(edges[right]) + 30)
        used = sorted({index for index in row.word[left : right + 1] if index >= 0})
        word = tuple(index - used[0] if index >= 0 else -1 for index in row.word[left : right + 1])
        part = edges[left : right + 2].astype(np.int64) - begin
        part[0], part[-1] = 0, end - begin
        words = row.words[used[0] : used[-1] + 1]
        timed = TimedRow(PhoneRow(row.phones[left : right + 1], word, words), part.astype(np.int32))
        wave = piece.wave[int(begin * FRAME * RATE) : int(end * FRAME * RATE)]
        text = " ".join(item.text for item in words)
        out.append(
            _Piece(f"{piece.id}-{number + 1:02d}", wave, piece.quality, text, list(words), timed, piece.recognised)
        )
    return out


def _require(pieces: list[_Piece], findings: list[Finding]) -> None:
    seconds = sum(piece.wave.size for piece in pieces) / RATE
    if seconds < MINIMUM_SECONDS:
        raise InputRefused(
            [
                Problem(
                    "voice.too_little",
                    f"{seconds:.0f} s of usable speech found, at least {MINIMUM_SECONDS:.0f} s needed",
                    "add recordings of this person speaking alone, with transcripts; three minutes make a good voice",
                    field="materials.voice",
                )
            ]
        )
    if seconds < 120:
        findings.append(
            Finding(
                code="voice.limited",
                severity=Severity.WARNING,
                what=f"only {seconds:.0f} s of usable speech: the voice will be limited",
                remedy="three minutes or more make it clearly better",
                value=round(seconds, 1),
                limit=120.0,
            )
        )


def _utterances(
    pieces: list[_Piece], progress: Callable[[float, str], None] = lambda fraction, message: None
) -> list[Utterance]:
    pitch = pitch_range([piece.wave for piece in pieces])
    utterances = []
    for number, piece in enumerate(pieces):
        progress(0.7 + 0.3 * number / len(pieces), "analysing the voice")
        if piece.timed is None:
            continue
        frames = analyse(piece.wave, pitch)
        timed = heard_pauses(piece.timed)
        count = min(len(frames), int(timed.edges[-1]))
        edges = np.minimum(timed.edges, count)
        if (np.diff(edges) < 1).any():
            continue
        utterances.append(
            Utterance(
                piece.id, piece.text, TimedRow(timed.row, edges), frames[:count], piece.wave, piece.quality.grade,
                piece.quality.snr,
            )
        )  # fmt: skip
    return utterances


def _analyse(
    pieces: list[_Piece], language: Language, findings: list[Finding], progress: Callable[[float, str], None]
) -> Corpus:
    utterances = _utterances(pieces, progress)
    voiced = np.concatenate([u.frames[u.frames[:, VUV] > 0.5, LF0] for u in utterances]) if utterances else np.zeros(0)
    if voiced.size < 100:
        raise InputRefused(
            [
                Problem(
                    "voice.no_voice", "no voiced speech was found", "add recordings of this person", "materials.voice"
                )
            ]
        )
    recognised = {piece.id for piece in pieces if piece.recognised}
    utterances = without_other_words(utterances, findings, recognised)
    progress(0.97, "placing phones")
    utterances = place_all(utterances)
    progress(1.0, "voice prepared")
    return Corpus(language, tuple(utterances), tuple(findings))
