"""Who speaks: the subject's speech told from that of others on the same recordings.

What was said is known phone by phone, so two stretches are compared over the same phones, and what is left is the
speaker and the room. Stretches are clustered by how far they stand apart (agglomerative, average linkage) and in pitch.
A room, a microphone or a tape shifts all phones alike; another mouth shifts each phone its own way. So groups whose
phones differ by one common shift only are put together again: one person in two rooms.

All distances are squared, in variances of one phone said again and again, a mean over the cepstra, and freed of what
chance alone would give: they do not depend on how long the stretches are. Measured ones stand in docs/voice.md.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pyworld
from numpy.typing import NDArray
from scipy import fft
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from memorial_tasks.domain.finding import Finding
from memorial_tasks.domain.words import Severity
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.audio import RATE, Wave
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.features import CEPSTRA, FRAME, Frames, analyse, pitch_range
from memorial_tasks.voice.phones import INDEX, PHONES, SILENCE, is_voiced
from memorial_tasks.voice.sequence import PhoneRow, TimedRow

_APART = 0.35  # stretches further apart than this on average begin as two groups; one person in one room: 0.3
_SAME_ROOM = 0.25  # groups nearer than this are one person; other people, even of one sex in one room, 0.33 and more
# ... by phone: one person in two rooms up to 0.19, two people 0.03 to 1.0. Within one recording there is one room only,
# and a few seconds say little
_OTHER_MOUTH, _ONE_ROOM, _FEW = 0.15, 0.05, 0.25
_FEW_SECONDS = 5.0
_PITCH, _LIVELY = 0.01, 2.0  # weight of a squared semitone; so many apart are one person in two moods
_SURE, _SOME = 0.6, 0.2  # seconds of voiced phones from which on a stretch forms groups, and is told at all
_REST = 20  # frames: a pause of 0.1 s ends a stretch
_SHORTEST = 0.5  # seconds of speech worth keeping of an utterance that was cut
_CEPSTRA = slice(1, 17)
# dB between speech and quiet under which a recording is noisy; dB under the loudest, where its noise is taken to be
_NOISY, _UNDER = 25.0, 30.0
_BANDS, _LOW, _HIGH, _DULL = 24, 150.0, 4500.0, slice(1, 13)  # bands in Hz in which noisy recordings are compared
_NAMED = 8  # stretches named in the finding
_Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class _Stretch:
    """Phones `first` to `after` (excluded) of an utterance, between two pauses."""

    utterance: int
    first: int
    after: int
    seconds: float


@dataclass(frozen=True)
class _Phones:
    """Every voiced phone said: which, in which stretch, its mean cepstra [n, 16], the same of what stands out of noise
    [n, 12], semitones (NaN unvoiced), seconds; and the signal-to-noise ratio of its recording."""

    name: NDArray[np.int64]
    stretch: NDArray[np.int64]
    point: _Doubles
    dull: _Doubles
    pitch: _Doubles
    seconds: _Doubles
    snr: _Doubles


def subject_alone(corpus: Corpus, recordings: Collection[str], own: Collection[str], least: float) -> Corpus:
    """The corpus without what others say (`without_others`), its pitch looked for again where the subject's is.

    Raises `InputRefused` (``voice.too_little``) when fewer than `least` seconds are left.
    """
    findings = list(corpus.findings)
    kept = without_others(corpus.utterances, findings, recordings, own)
    if len(findings) == len(corpus.findings):
        return corpus
    seconds = sum(utterance.seconds for utterance in kept)
    if seconds < least:
        raise InputRefused(
            [
                Problem(
                    "voice.too_little",
                    f"{seconds:.0f} s of one person's speech found, at least {least:.0f} s needed; the rest sounds "
                    "like somebody else",
                    "add recordings of this person speaking alone; where the rest is this person too, name those "
                    "recordings in materials.own_voice",
                    field="materials.voice",
                )
            ]
        )
    pitch = pitch_range([utterance.wave for utterance in kept])
    again = [replace(one, frames=analyse(one.wave, pitch)[: len(one.frames)]) for one in kept]
    return Corpus(corpus.language, tuple(again), tuple(findings))


def without_others(
    utterances: Sequence[Utterance], findings: list[Finding], recordings: Collection[str], own: Collection[str] = ()
) -> list[Utterance]:
    """What the subject says of `utterances`: whole ones, and those with two speakers cut at their pauses.

    An utterance is named as one of `recordings`, or as that and a number. The subject is who speaks most, or whoever
    speaks in the recordings named in `own`; those are kept whole. A finding (``voice.other_speaker``) says what was
    left out.
    """
    stretches = [one for number, utterance in enumerate(utterances) for one in _stretches(number, utterance)]
    if not stretches:
        return list(utterances)
    phones = _phones(utterances, stretches)
    source = [_recording(utterances[one.utterance].id, recordings) for one in stretches]
    trusted = np.array([name in own for name in source])
    seconds = np.array([one.seconds for one in stretches])
    place = np.array([one.utterance for one in stretches])
    theirs = _theirs(phones, seconds, np.unique(source, return_inverse=True)[1], place, trusted)
    if theirs.all():
        return list(utterances)
    kept: list[Utterance] = []
    gone: list[str] = []
    for number, utterance in enumerate(utterances):
        mine = [index for index, one in enumerate(stretches) if one.utterance == number]
        if mine and not theirs[mine].all():
            kept += _cut(utterance, [(stretches[index], bool(theirs[index])) for index in mine])
            gone.append(utterance.id)
        else:
            kept.append(utterance)
    findings.append(_finding(gone, int((~theirs).sum()), float(seconds[~theirs].sum()), float(seconds[theirs].sum())))
    return kept


def _recording(name: str, recordings: Collection[str]) -> str:
    return max((one for one in recordings if name == one or name.startswith(f"{one}-")), key=len, default=name)


def _finding(gone: list[str], count: int, seconds: float, left: float) -> Finding:
    more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    return Finding(
        code="voice.other_speaker",
        severity=Severity.WARNING,
        what=f"somebody else seems to speak in {count} stretches ({seconds:.0f} s beside {left:.0f} s of the person): "
        f"they were left out of {', '.join(gone[:_NAMED])}{more}; nothing is learned or quoted from them",
        remedy="listen to them; where it is the person after all, name those recordings in materials.own_voice",
        value=round(seconds, 1),
    )


def _stretches(number: int, utterance: Utterance) -> list[_Stretch]:
    """The parts of an utterance between pauses of 0.1 s and more."""
    row, edges = utterance.timed.row, utterance.timed.edges
    ends = [
        index
        for index, phone in enumerate(row.phones)
        if phone.name == SILENCE and (edges[index + 1] - edges[index] >= _REST or index in {0, len(row.phones) - 1})
    ]
    bounds = [-1, *ends, len(row.phones)]
    return [
        _Stretch(number, before + 1, after, float(edges[after] - edges[before + 1]) * FRAME)
        for before, after in pairwise(bounds)
        if after > before + 1
    ]


def _phones(utterances: Sequence[Utterance], stretches: Sequence[_Stretch]) -> _Phones:
    pitches = [_semitones(utterance.wave, len(utterance.frames)) for utterance in utterances]
    dull = [_out_of_noise(utterance.frames) for utterance in utterances]
    rows = []
    for number, one in enumerate(stretches):
        row, edges = utterances[one.utterance].timed.row, utterances[one.utterance].timed.edges
        frames, snr = utterances[one.utterance].frames, utterances[one.utterance].snr
        for index in range(one.first, one.after):
            name, part = row.phones[index].name, slice(int(edges[index]), int(edges[index + 1]))
            if name != SILENCE and is_voiced(name):
                point, other = frames[part, _CEPSTRA].mean(axis=0), dull[one.utterance][part].mean(axis=0)
                pitch = _middle(pitches[one.utterance][part])
                rows.append((INDEX[name], number, point, other, pitch, (part.stop - part.start) * FRAME, snr))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    points, dulls = (np.array(column, np.float64).reshape(len(rows), -1) for column in columns[2:4])
    return _Phones(
        np.array(columns[0], np.int64), np.array(columns[1], np.int64), points, dulls,
        *(np.array(column, np.float64) for column in columns[4:]),
    )  # fmt: skip


@cache
def _spread() -> tuple[_Doubles, _Doubles]:
    """From coded envelopes to log power in the bands: [CEPSTRA, bands] to multiply with, and [bands] to add."""
    steps = np.vstack([np.zeros(CEPSTRA), np.eye(CEPSTRA)])
    spectra = np.log(pyworld.decode_spectral_envelope(steps, RATE, 1024))
    low, high = 1127.01048 * np.log1p(np.array([_LOW, _HIGH]) / 700)
    hertz = 700 * np.expm1(np.linspace(low, high, _BANDS) / 1127.01048)
    bands = np.array([np.interp(hertz, np.linspace(0, RATE / 2, len(row)), row) for row in spectra])
    return bands[1:] - bands[0], bands[0]


def _out_of_noise(frames: Frames) -> _Doubles:
    """Cepstra [frames, 12] of what is low and loud enough to stand out of a noisy recording."""
    change, base = _spread()
    bands = frames[:, :CEPSTRA].astype(np.float64) @ change + base
    floor = np.percentile(bands.max(axis=1), 90) - _UNDER * np.log(10) / 10
    return np.asarray(fft.dct(np.maximum(bands, floor), norm="ortho", axis=1)[:, _DULL], np.float64)


def _semitones(wave: Wave, frames: int) -> _Doubles:
    """Pitch of every frame, NaN unvoiced, within limits that fit anybody: those of the analysis fit the subject, and
    would hear another person an octave off."""
    hertz, _ = pyworld.dio(wave.astype(np.float64), RATE, f0_floor=65.0, f0_ceil=500.0, frame_period=2000 * FRAME)
    hertz = np.repeat(hertz, 2)[:frames]
    hertz = np.pad(hertz, (0, frames - hertz.size))
    with np.errstate(divide="ignore"):
        return np.where(hertz > 0, 12 * np.log2(hertz), np.nan)


def _theirs(
    phones: _Phones, seconds: _Doubles, source: NDArray[np.int64], place: NDArray[np.int64], trusted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether each stretch is the subject's; `source` numbers the recordings, `place` the utterances."""
    count = len(seconds)
    voiced = np.bincount(phones.stretch, phones.seconds, count).astype(np.float64)
    sure = np.flatnonzero(voiced >= _SURE)
    if len(sure) < 2:
        return np.ones(count, np.bool_)
    group = np.full(count, -1)
    group[sure] = _rooms(phones, sure)
    group = _people(phones, group, seconds, source)
    weight = np.bincount(group[sure], seconds[sure])
    subject = set(group[sure][trusted[sure]].tolist()) or {int(weight.argmax())}
    if len(subject) == len(weight):
        return np.ones(count, np.bool_)
    out = np.isin(group, sorted(subject)) | trusted
    unsure = np.flatnonzero((group < 0) & ~trusted & (voiced >= _SOME))
    out[unsure] = _nearer(phones, group, out, unsure)
    for one in np.flatnonzero((voiced < _SOME) & ~trusted):  # nobody can tell by their sound whose they are
        beside = (place == place[one]) & (voiced >= _SOME)
        out[one] = bool(beside.any() and out[beside].all())
    return np.asarray(out, np.bool_)


def _residuals(phones: _Phones, used: NDArray[np.bool_]) -> _Doubles:
    """How far each phone lies from the mean of the same phone over those `used`."""
    total = np.zeros((len(PHONES), phones.point.shape[1]))
    np.add.at(total, phones.name[used], phones.point[used])
    count = np.bincount(phones.name[used], minlength=len(PHONES))
    return np.asarray(phones.point - (total / np.maximum(count, 1)[:, None])[phones.name], np.float64)


def _rooms(phones: _Phones, sure: NDArray[np.int64]) -> NDArray[np.int64]:
    """A group for each of the stretches `sure`: one person in one room, or a part of that."""
    used = np.isin(phones.stretch, sure)
    place = np.searchsorted(sure, phones.stretch[used])
    residual = _residuals(phones, used)[used]
    count = np.bincount(place).astype(np.float64)
    centre = np.zeros((len(sure), residual.shape[1]))
    np.add.at(centre, place, residual)
    centre /= count[:, None]
    variance = ((residual - centre[place]) ** 2).sum(axis=0) / max(1, len(residual) - len(sure))
    scaled = centre / np.sqrt(variance * centre.shape[1] + 1e-9)
    apart = squareform(pdist(scaled, "sqeuclidean")) - 1 / count[:, None] - 1 / count[None]
    pitch = np.array([_middle(phones.pitch[used][place == index]) for index in range(len(sure))])
    apart += _tune(pitch[:, None] - pitch[None])
    lowest = min(0.0, float(apart.min()))  # freed of chance, near ones may fall below 0, which a linkage cannot take
    apart -= lowest
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), "average")
    return np.asarray(fcluster(tree, _APART - lowest, "distance") - 1, np.int64)


def _tune(semitones: Any) -> Any:
    """What a difference in pitch adds to a distance; nothing where it is not known."""
    return _PITCH * np.maximum(np.abs(np.nan_to_num(semitones)) - _LIVELY, 0.0) ** 2


def _middle(pitch: _Doubles) -> float:
    heard = pitch[np.isfinite(pitch)]
    return float(np.median(heard)) if heard.size else np.nan


def _people(
    phones: _Phones, group: NDArray[np.int64], seconds: _Doubles, source: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`group` (-1 for none) with those put together that are one person, nearest first."""
    group = group.copy()
    while (count := int(group.max()) + 1) > 1:
        mine = group[phones.stretch]
        pitch = np.array([_middle(phones.pitch[mine == index]) for index in range(count)])
        noisy = np.array([np.median(phones.snr[mine == index]) < _NOISY for index in range(count)])
        clear, dull = _tables(phones, group, phones.point), _tables(phones, group, phones.dull)
        spoken = np.zeros((count, int(source.max()) + 1))
        np.add.at(spoken, (group[group >= 0], source[group >= 0]), seconds[group >= 0])
        above = np.full((count, count), np.inf)  # the limit of being one person
        for left, right in combinations(range(count), 2):
            shift, other = _differences(*(dull if noisy[left] or noisy[right] else clear), left, right)
            tune = float(_tune(pitch[left] - pitch[right]))
            limit = _limit(spoken[left], spoken[right])
            above[left, right] = min(shift + tune - _SAME_ROOM, other + tune - limit)
        left, right = (int(index) for index in np.unravel_index(int(above.argmin()), above.shape))
        if above[left, right] > 0:
            break
        group[group == right] = left
        group[group > right] -= 1
    return group


def _limit(left: _Doubles, right: _Doubles) -> float:
    """How differently one person may say the phones in two groups with so many seconds in each recording."""
    less, more = (left, right) if left.sum() < right.sum() else (right, left)
    if less[more > 1.0].sum() > 0.5 * less.sum():
        return _ONE_ROOM
    return _FEW if less.sum() < _FEW_SECONDS else _OTHER_MOUTH


def _tables(phones: _Phones, group: NDArray[np.int64], points: _Doubles) -> tuple[_Doubles, _Doubles, _Doubles]:
    """Of every group and phone the mean and the count, and the variance of a phone within its group."""
    mine = group[phones.stretch]
    used, cells = mine >= 0, (int(group.max()) + 1) * len(PHONES)
    cell = mine[used] * len(PHONES) + phones.name[used]
    counts = np.bincount(cell, minlength=cells).astype(np.float64)
    means = np.zeros((cells, points.shape[1]))
    np.add.at(means, cell, points[used])
    means /= np.maximum(counts, 1)[:, None]
    free = max(1, int(used.sum()) - int((counts > 0).sum()))
    variance = ((points[used] - means[cell]) ** 2).sum(axis=0) / free + 1e-9
    return means.reshape(-1, len(PHONES), means.shape[1]), counts.reshape(-1, len(PHONES)), variance


def _differences(means: _Doubles, counts: _Doubles, variance: _Doubles, left: int, right: int) -> tuple[float, float]:
    """How far two groups stand apart over the phones they share: the shift common to all phones, and what is left."""
    both = (counts[left] > 0) & (counts[right] > 0)
    if both.sum() < 2:
        return np.inf, np.inf
    weight = 1 / (1 / counts[left, both] + 1 / counts[right, both])
    apart = means[left, both] - means[right, both]
    shift = (weight[:, None] * apart).sum(axis=0) / weight.sum()
    rest = float((weight[:, None] * (apart - shift) ** 2 / variance).mean(axis=1).sum())
    return float((shift**2 / variance).mean() - 1 / weight.sum()), (rest - float(both.sum() - 1)) / float(weight.sum())


def _nearer(
    phones: _Phones, group: NDArray[np.int64], theirs: NDArray[np.bool_], unsure: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the nearest group, by the common shift and the pitch, of each of the short stretches `unsure` is the
    subject's."""
    mine = group[phones.stretch]
    residual = _residuals(phones, mine >= 0)
    variance = _tables(phones, group, phones.point)[2]
    groups = range(int(group.max()) + 1)
    centres = np.array([residual[mine == index].mean(axis=0) for index in groups])
    pitch = np.array([_middle(phones.pitch[mine == index]) for index in groups])
    subject = np.array([bool(theirs[group == index].any()) for index in groups])
    out = []
    for one in unsure:
        said = phones.stretch == one
        apart = ((residual[said].mean(axis=0) - centres) ** 2 / variance).mean(axis=1)
        apart += _tune(_middle(phones.pitch[said]) - pitch)
        out.append(bool(subject[int(apart.argmin())]))
    return np.array(out, np.bool_)


def _cut(utterance: Utterance, parts: Sequence[tuple[_Stretch, bool]]) -> list[Utterance]:
    """The runs of stretches of an utterance that are the subject's, each an utterance of its own."""
    runs: list[list[_Stretch]] = [[]]
    for one, theirs in parts:
        if theirs:
            runs[-1].append(one)
        elif runs[-1]:
            runs.append([])
    return [
        _part(utterance, run[0].first, run[-1].after, number)
        for number, run in enumerate(run for run in runs if sum(one.seconds for one in run) >= _SHORTEST)
    ]


def _part(utterance: Utterance, first: int, after: int, number: int) -> Utterance:
    """Phones `first` to `after` of an utterance with half of the pauses around, as an utterance."""
    row, edges = utterance.timed.row, utterance.timed.edges.astype(np.int64)
    pause = (max(0, first - 1), min(len(row.phones), after + 1))
    begin = int(edges[first] + edges[pause[0]]) // 2
    end = int(edges[after] + edges[pause[1]] + 1) // 2
    phones, word = row.phones[pause[0] : pause[1]], row.word[pause[0] : pause[1]]
    used = sorted({index for index in word if index >= 0})
    words = row.words[used[0] : used[-1] + 1]
    part = edges[pause[0] : pause[1] + 1] - begin
    part[0], part[-1] = 0, end - begin
    timed = TimedRow(
        PhoneRow(phones, tuple(index - used[0] if index >= 0 else -1 for index in word), words), part.astype(np.int32)
    )
    hop = int(FRAME * RATE)
    return replace(
        utterance, id=f"{utterance.id}-{number + 1:02d}", text=" ".join(item.text for item in words), timed=timed,
        frames=utterance.frames[begin:end], wave=utterance.wave[begin * hop : end * hop],
    )  # fmt: skip
