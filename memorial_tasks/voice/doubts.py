"""What makes a family's recordings doubtful as a whole: another language, other words, a telephone."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Language, Severity
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.listen import fit

# Mean word score of an utterance under phones fitted to all of them, against the same with the transcripts moved on by
# one, two and three. How often the own transcript wins: 0.93 to 1.00 where it is right (kathleen, generated English
# and Mandarin), 0.48 to 0.72 where all are wrong. Swapped ones among right ones lie 4.7 and more under the median.
_WINS, _FOREIGN, _BELOW_MEDIAN = 0.8, -1.5, 3.0
_ENOUGH = 8  # utterances for any of this
WRITE_DOWN = "write down what is said (voice/transcripts.csv, or a .txt of the same name beside the recording)"
_CHECK = "check that each transcript belongs to its recording (voice/transcripts.csv, or the .txt beside it)"
_HAN, _LATIN = re.compile(r"[㐀-鿿]"), re.compile(r"[A-Za-z]{2,}")


def refuse_other_language(transcripts: Mapping[str, str], language: Language) -> None:
    """Raise `InputRefused` (``voice.wrong_language``) when the transcripts are written in the other language."""
    text = " ".join(transcripts.values())
    chinese, latin = len(_HAN.findall(text)), len(_LATIN.findall(text))
    if chinese + latin < 10:
        return
    share = chinese / (chinese + latin)
    other = share < 0.15 if language == Language.ZH_CN else share > 0.5
    if other:
        raise InputRefused(
            [
                Problem(
                    "voice.wrong_language",
                    f"the order says {language.value}, but the transcripts are not in it",
                    "correct the language of the order, or give the transcripts of these recordings",
                    "language",
                )
            ]
        )


def without_other_words(
    utterances: Sequence[Utterance], findings: list[Finding], recognised: Collection[str] = ()
) -> list[Utterance]:
    """`utterances` without those whose sound does not fit their words; a finding names each.

    `recognised` are the ids of those whose words a machine heard: nobody wrote them, so nobody can correct them, and
    the remedy is to write down what is said. Raises `InputRefused` (``voice.text_mismatch``) when hardly any fits.
    Fewer than eight are left as they are.
    """
    if len(utterances) < _ENOUGH:
        return list(utterances)
    scores = _fitness(utterances, 0)
    moved = np.concatenate([_fitness(utterances, step) for step in (1, 2, 3)])
    middle = float(np.median(scores))
    if (scores[:, None] > moved[None]).mean() < _WINS:
        raise InputRefused([_mismatch(len(utterances), sum(one.id in recognised for one in utterances))])
    fits = scores >= min(_FOREIGN, middle - _BELOW_MEDIAN)
    for utterance, score, good in zip(utterances, scores, fits, strict=True):
        if not good:
            guessed = utterance.id in recognised
            words = "what a machine recognised in it is not" if guessed else "the transcript does not say"
            findings.append(
                Finding(
                    code="voice.other_words",
                    severity=Severity.WARNING,
                    what=f"{words} what is heard; the recording was not used",
                    remedy=WRITE_DOWN if guessed else "check that the transcript belongs to this recording",
                    material=utterance.id,
                    value=round(float(score), 2),
                    limit=round(min(_FOREIGN, middle - _BELOW_MEDIAN), 2),
                )
            )
    return [utterance for utterance, good in zip(utterances, fits, strict=True) if good]


def _mismatch(count: int, recognised: int) -> Problem:
    """The refusal of `count` recordings, with the remedy for those whose words somebody wrote and for the others."""
    heard = "the words a machine recognised in the recordings without a transcript"
    listen = f"{WRITE_DOWN}; if it is another language, correct the language of the order"
    if recognised == count:
        what, remedy = f"{heard} are not what is heard", listen
    elif recognised:
        what, remedy = f"the transcripts and {heard} do not say what is heard", f"{_CHECK}; for the others, {listen}"
    else:
        what, remedy = "the transcripts do not say what is heard in the recordings", _CHECK
    return Problem("voice.text_mismatch", what, remedy, "materials.voice")


def _fitness(utterances: Sequence[Utterance], step: int) -> NDArray[np.float64]:
    """Mean word score of every utterance when it is given the words, evenly stretched, of the one `step` further on."""
    spoken = np.concatenate(
        [u.frames[np.repeat(np.array(u.timed.row.word) >= 0, np.diff(u.timed.edges))] for u in utterances]
    )
    mean, spread = spoken.mean(axis=0), spoken.std(axis=0) + 1e-4
    rows = []
    for number, one in enumerate(utterances):
        timed = utterances[(number + step) % len(utterances)].timed
        edges = np.round(timed.edges * (len(one.frames) / int(timed.edges[-1]))).astype(np.int32)
        rows.append((replace(timed, edges=edges), (one.frames - mean) / spread))
    ear = fit(rows, [])
    return np.array([float(np.mean(ear.scores(frames, timed))) for timed, frames in rows])


def warn_of_telephone(bandwidths: Sequence[float], seconds: Sequence[float], findings: list[Finding]) -> None:
    """Add ``voice.telephone_band`` when most of the speech ends below 4.5 kHz, as it does over a telephone."""
    narrow = sum(s for width, s in zip(bandwidths, seconds, strict=True) if 0 < width < 4500)
    if seconds and narrow > 0.5 * sum(seconds):
        findings.append(
            Finding(
                code="voice.telephone_band",
                severity=Severity.WARNING,
                what="most of the speech sounds like a telephone: a voice learned from it will be hard to understand",
                remedy="look for tapes, videos or voice messages; even one minute of them makes a better voice",
                value=round(narrow / sum(seconds), 2),
                limit=0.5,
            )
        )
