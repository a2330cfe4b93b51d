"""What makes a family's recordings doubtful as a whole: another language, other words, another person."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Language, Severity
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.features import LF0, VUV
from memorial_tasks.voice.listen import fit

# Mean word score of an utterance under phones fitted to all of them, against the same with the transcripts moved on by
# one, two and three. How often the own transcript wins: 0.93 to 1.00 where it is right (kathleen, generated English
# and Mandarin), 0.48 to 0.72 where all are wrong. Swapped ones among right ones lie 4.7 and more under the median.
_WINS, _FOREIGN, _BELOW_MEDIAN = 0.8, -1.5, 3.0
_ENOUGH = 8  # utterances for any of this
_TWO_VOICES = 8.0  # measured: one woman in two sessions 3.1, her and five recordings of another 22 to 62
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


def without_other_words(utterances: Sequence[Utterance], findings: list[Finding]) -> list[Utterance]:
    """`utterances` without those whose sound does not fit their words; a finding says how many.

    Raises `InputRefused` (``voice.text_mismatch``) when hardly any fits. Fewer than eight are left as they are.
    """
    if len(utterances) < _ENOUGH:
        return list(utterances)
    scores = _fitness(utterances, 0)
    moved = np.concatenate([_fitness(utterances, step) for step in (1, 2, 3)])
    middle = float(np.median(scores))
    if (scores[:, None] > moved[None]).mean() < _WINS:
        raise InputRefused(
            [
                Problem(
                    "voice.text_mismatch",
                    "the transcripts do not say what is heard in the recordings",
                    "check that each transcript belongs to its recording (voice/transcripts.json, or .txt beside it)",
                    "materials.voice",
                )
            ]
        )
    fits = scores >= min(_FOREIGN, middle - _BELOW_MEDIAN)
    for utterance, score, good in zip(utterances, scores, fits, strict=True):
        if not good:
            findings.append(
                Finding(
                    code="voice.other_words",
                    severity=Severity.WARNING,
                    what="the transcript does not say what is heard; the recording was not used",
                    remedy="check that the transcript belongs to this recording",
                    material=utterance.id,
                    value=round(float(score), 2),
                    limit=round(min(_FOREIGN, middle - _BELOW_MEDIAN), 2),
                )
            )
    return [utterance for utterance, good in zip(utterances, fits, strict=True) if good]


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


def voices_apart(utterances: Sequence[Utterance]) -> float:
    """How far apart the two halves of the recordings stand that differ most in timbre and pitch, in spreads around
    them; 0 for fewer than eight utterances or a half of fewer than three."""
    points = []
    for utterance in utterances:
        voiced = utterance.frames[utterance.frames[:, VUV] > 0.5]
        if len(voiced) >= 60:
            points.append(np.r_[voiced[:, 1:16].mean(axis=0), 4.0 * np.median(voiced[:, LF0])])
    if len(points) < _ENOUGH:
        return 0.0
    cloud = np.array(points)
    cloud = (cloud - cloud.mean(axis=0)) / (cloud.std(axis=0) + 1e-6)
    axis = np.linalg.svd(cloud, full_matrices=False)[2][0]
    order = np.sort(cloud @ axis)
    best = 0.0
    for cut in range(3, len(order) - 2):
        left, right = order[:cut], order[cut:]
        around = np.sqrt((left.var() * left.size + right.var() * right.size) / order.size)
        best = max(best, float((right.mean() - left.mean()) / (around + 1e-6)))
    return best


def warn_of_two_voices(utterances: Sequence[Utterance], findings: list[Finding]) -> None:
    """Add the finding ``voice.two_voices`` when the recordings fall into two groups as two people's do."""
    apart = voices_apart(utterances)
    if apart > _TWO_VOICES:
        findings.append(
            Finding(
                code="voice.two_voices",
                severity=Severity.WARNING,
                what="the recordings fall into two groups that sound like two people, or like two very different rooms",
                remedy="listen, and leave out every recording in which somebody else speaks",
                value=round(apart, 1),
                limit=_TWO_VOICES,
            )
        )


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
