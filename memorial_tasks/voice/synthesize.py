"""Speaking a direction plan with a trained voice, and telling exactly when each phone, word and line is heard.

Every line made by the networks is heard back (`listen`) and made again when a word of it cannot be told. Sound leaves
line by line, so a long script needs no more memory than its longest line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from memorial_tasks.domain.timing import DirectedLine, DirectionPlan, LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.audio import RATE, Wave, loudness, soft_limit
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import FRAME, HOP, LF0, VUV, Frames, PitchRange, analyse
from memorial_tasks.voice.listen import WordHeard
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.own_words import find_recording
from memorial_tasks.voice.phones import SILENCE, is_vowel, public_name
from memorial_tasks.voice.sequence import PhoneRow, TimedRow, spoken_row
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.markup import plain_text
from memorial_tasks.voice.text.units import PAUSE_LONG, PLAIN, Word

LEAD_IN, LOUDNESS = 0.35, -23.0  # seconds of quiet before the first line, LUFS of the track
LONGEST = 3600.0  # seconds of speech in one film
_OPENING, _CLOSING = 6, 13  # frames over which a line's sound comes and goes around its phones
_EDGE_FRAMES = 14  # quiet frames predicted on both sides of a line
_PAUSE_LIMITS = {1: (0.10, 0.45), PAUSE_LONG: (0.25, 0.75)}  # seconds, inside a line
_PHONE_SECONDS = 0.09  # usual length of a phone, for estimates
# a line that is not understood is said again: slower, then slower and more articulate
_TRIES = ((1.0, 1.0), (0.92, 1.0), (0.86, 1.25))
_ASTRAY = 0.25  # seconds a word may be found away from its place
_UNCLEAR_SHARE = 0.2  # of the words of a line
# how excited an emotion at full intensity is spoken, in standard deviations of the person's own speech
AROUSAL = {
    Emotion.NEUTRAL: 0.0, Emotion.WARM: -0.3, Emotion.HAPPY: 1.4, Emotion.SAD: -1.4, Emotion.CALM: -1.1,
    Emotion.PROUD: 0.9, Emotion.GRATEFUL: 0.3,
}  # fmt: skip
_BREATH_REST, _BREATH_LINE = 0.5, 1.5  # seconds of rest before, and of speech after a breath is drawn


@dataclass(frozen=True)
class SpokenLine:
    """One line as sound: `wave` at 24 kHz, `timed` its phones from the start of the wave; `tries` how often it was
    made, `unclear` how many of its words could still not be told."""

    wave: Wave
    timed: TimedRow
    source: str
    tries: int = 1
    unclear: int = 0


@dataclass(frozen=True)
class Spoken:
    """A whole plan spoken: its timing, how many lines were made again, and the indexes of lines still unclear."""

    timing: SpeechTiming
    remade: int
    unclear: tuple[int, ...]


_Progress = Callable[[float, str], None]


def _silent(fraction: float, message: str) -> None:
    """No progress wanted."""


def speak(
    model: VoiceModel,
    plan: DirectionPlan,
    lexicon: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: _Progress = _silent,
) -> tuple[Wave, SpeechTiming]:
    """The whole plan as one track at 24 kHz, about -23 LUFS, with room tone under it, and its timing.

    `lexicon` maps a name to how it is said. Raises `InputRefused` for lines that hold nothing speakable, for broken
    markup and for more than an hour of speech.
    """
    parts: list[Wave] = []
    spoken = speak_in_parts(model, plan, parts.append, lexicon, seed, progress)
    return np.concatenate(parts), spoken.timing


def speak_to(
    path: Path,
    model: VoiceModel,
    plan: DirectionPlan,
    lexicon: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: _Progress = _silent,
) -> Spoken:
    """As `speak`, written to `path` (PCM16) line by line; nothing is left there when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    try:
        with soundfile.SoundFile(draft, "w", RATE, 1, "PCM_16", format="WAV") as file:
            spoken = speak_in_parts(
                model, plan, lambda wave: file.write(np.clip(wave, -1.0, 1.0)), lexicon, seed, progress
            )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return spoken


def speak_in_parts(
    model: VoiceModel,
    plan: DirectionPlan,
    write: Callable[[Wave], None],
    lexicon: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: _Progress = _silent,
) -> Spoken:
    """As `speak`, handing each finished stretch of the track to `write` as soon as it is made."""
    texts = read_lines(plan, lexicon)
    track = _Track(model, np.random.default_rng(seed), _track_gain(plan, texts))
    write(track.begin())
    remade, unclear = 0, []
    for number, (line, words) in enumerate(zip(plan.lines, texts, strict=True)):
        part = say_line(model, line, words)
        remade += int(part.tries > 1)
        if part.unclear:
            unclear.append(line.index)
        coming = zip(plan.lines[number + 1 :], texts[number + 1 :], strict=True)
        write(track.add(line, part, next((_speech_seconds(*one) for one in coming), 0.0)))
        progress(0.9 * (number + 1) / len(texts), f"line {number + 1} of {len(texts)}")
    write(track.end())
    return Spoken(track.timing(), remade, tuple(unclear))


def read_lines(plan: DirectionPlan, lexicon: Mapping[str, str] | None = None) -> list[list[Word]]:
    """The words of every line, before anything is made.

    Raises `InputRefused` with every problem of every line: ``script.empty``, ``script.unspeakable``,
    ``script.unpronounceable``, ``script.too_long`` and those of `markup.parse`.
    """
    problems: list[Problem] = []
    texts: list[list[Word]] = []
    with Espeak() as espeak:
        front = FrontEnd(espeak, lexicon)
        for number, line in enumerate(plan.lines):
            where = f"script[{number}]"
            try:
                words = front.line(line.text, line.language, where)
            except InputRefused as refusal:
                problems += refusal.problems
                continue
            texts.append(words)
            if not words:
                what = "the line holds nothing that can be spoken"
                problems.append(Problem("script.unspeakable", what, "write it in words", where))
    if not plan.lines:
        problems.append(Problem("script.empty", "the script has no line", "write at least one line", "script"))
    seconds = sum(_estimate(line, words) for line, words in zip(plan.lines, texts, strict=False))
    if seconds > LONGEST:
        what = f"the script would last about {seconds / 60:.0f} minutes, {LONGEST / 60:.0f} is the most for one film"
        problems.append(Problem("script.too_long", what, "divide it into several films", "script"))
    if problems:
        raise InputRefused(problems)
    return texts


def _estimate(line: DirectedLine, words: Sequence[Word]) -> float:
    """Seconds a line will take, roughly."""
    rests = sum((word.before or 0.0) + (word.after or 0.0) for word in words)
    return _speech_seconds(line, words) + rests + line.pause


def _speech_seconds(line: DirectedLine, words: Sequence[Word]) -> float:
    return sum(len(word.phones) for word in words) * _PHONE_SECONDS / line.pace


def say_line(model: VoiceModel, line: DirectedLine, words: list[Word]) -> SpokenLine:
    """The person's own recording of the line where there is one, else the networks' best of up to three tries."""
    plain = all(word.style == PLAIN and word.before is None and word.after is None for word in words)
    if plain and (recording := find_recording(words, model.clips, model.clip_index)):
        return SpokenLine(*recording, "recorded")
    best: SpokenLine | None = None
    for number, (tempo, liveliness) in enumerate(_TRIES):
        made = speak_line(model, replace_pace(line, line.pace * tempo), words, liveliness)
        made = replace(made, tries=number + 1, unclear=unclear_words(model, made))
        if best is None or made.unclear < best.unclear:
            best = made
        if best.unclear <= _UNCLEAR_SHARE * len(words):
            return replace(best, tries=number + 1, unclear=0)
    assert best is not None  # noqa: S101 - there is at least one try
    return replace(best, tries=len(_TRIES))


def replace_pace(line: DirectedLine, pace: float) -> DirectedLine:
    """The same line at another pace."""
    return line.model_copy(update={"pace": pace})


def hear_line(model: VoiceModel, wave: Wave, timed: TimedRow) -> list[WordHeard]:
    """Every word of `timed` looked for in `wave` again, from the sound alone."""
    return model.listener.hear(heard_frames(model, wave), timed)


def heard_frames(model: VoiceModel, wave: Wave) -> Frames:
    """The frames of a sound of this voice, float32 [frames, WIDTH] in its normal space."""
    middle = float(np.exp(model.mean[LF0]))
    frames = analyse(wave, PitchRange(max(55.0, middle * 0.45), min(600.0, middle * 2.4)), breath=False)
    return np.asarray((frames - model.mean) / model.std, np.float32)


def unclear_words(model: VoiceModel, line: SpokenLine) -> int:
    """How many words of a made line are not found in its sound where they should be, or cannot be told there."""
    heard = hear_line(model, line.wave, line.timed)
    return sum(word.score < model.listener.least or abs(word.shift) > _ASTRAY for word in heard)


def speak_line(model: VoiceModel, line: DirectedLine, words: list[Word], liveliness: float = 1.0) -> SpokenLine:
    """One line by the networks. The wave begins and ends with 70 ms of quiet."""
    excited = AROUSAL[line.emotion] * line.intensity
    timed, frames = say_row(model, spoken_row(words), line.pace, liveliness, excited)
    row, edges = timed.row, timed.edges
    per_frame = np.repeat(np.arange(len(row.phones)), np.diff(edges))
    quiet = np.array([phone.name == SILENCE for phone in row.phones])[per_frame]
    middle = float(model.mean[LF0])
    pitch, spread, gain = _styled(row, per_frame)
    frames[:, LF0] = middle + (frames[:, LF0] - middle) * line.pitch_range * spread
    frames[:, LF0] += (line.pitch_shift + pitch) * np.log(2) / 12
    frames[quiet, VUV] = 0.0
    frames[:, VUV] = signal.medfilt(frames[:, VUV], 3)
    wave = model.sound(frames)[: int(edges[-1]) * HOP]
    wave = np.pad(wave, (0, int(edges[-1]) * HOP - wave.size))
    level = _open(~quiet) * 10 ** (gain / 20)
    shape = np.interp(np.arange(wave.size) / HOP, np.arange(level.size) + 0.5, level)
    return SpokenLine((wave * shape).astype(np.float32), TimedRow(row, edges), "synthesized")


def _open(spoken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far speech is let through at each frame, 0..1: it opens in the 30 ms before a phone and closes in the 65 ms
    after one, as breath dies away; shut at once, a final s would end like a cut tape."""
    frames = np.arange(spoken.size)
    since = frames - np.maximum.accumulate(np.where(spoken, frames, -_CLOSING))
    until = np.minimum.accumulate(np.where(spoken, frames, spoken.size + _OPENING)[::-1])[::-1] - frames
    level = np.maximum(1 - since / _CLOSING, 1 - until / _OPENING)
    return np.asarray(np.clip(level, 0.0, 1.0), np.float64)


def _styled(row: PhoneRow, per_frame: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Semitones, factor on the range of pitch, and dB of every frame, from the words' styles, without steps."""
    styles = [row.words[number].style if number >= 0 else PLAIN for number in row.word]
    values = np.array([[s.pitch + 1.5 * s.emphasis, 0.25 * s.emphasis, s.gain + 2.5 * s.emphasis] for s in styles])
    if not values.any():
        return np.zeros(per_frame.size), np.ones(per_frame.size), np.zeros(per_frame.size)
    kernel = np.hanning(15) / np.hanning(15).sum()
    pitch, spread, gain = (np.convolve(np.pad(column, 7, "edge"), kernel, "valid") for column in values[per_frame].T)
    return pitch, 1.0 + spread, gain


def say_row(
    model: VoiceModel, row: PhoneRow, pace: float = 1.0, liveliness: float = 1.0, arousal: float = 0.0
) -> tuple[TimedRow, Frames]:
    """Times and WORLD frames of a phone row; `pace` 1.0 is the person's own tempo, `arousal` as in `VoiceModel`."""
    edges = _edges(row, model.durations(row, arousal), pace)
    return TimedRow(row, edges), model.frames(row, edges, liveliness, arousal)


def _edges(row: PhoneRow, lengths: NDArray[np.float32], pace: float) -> NDArray[np.int32]:
    frames = lengths / pace
    last = len(row.phones) - 1
    for index, phone in enumerate(row.phones):
        if index in {0, last}:
            rest = row.words[0].before if index == 0 else row.words[-1].after
            frames[index] = _EDGE_FRAMES + (rest or 0.0) / FRAME
        elif phone.name == SILENCE:
            word = row.words[row.word[index - 1]]
            low, high = _PAUSE_LIMITS[min(2, max(1, word.pause))]
            usual = np.clip(frames[index], low / FRAME, high / FRAME)
            frames[index] = usual if word.after is None else max(1.0, word.after / FRAME)
        else:
            style = row.words[row.word[index]].style
            frames[index] = np.clip(frames[index] / style.rate * (1 + 0.18 * style.emphasis), 5.0, 120.0)
    return np.asarray(np.r_[0, np.round(np.cumsum(frames))], np.int32)


class RoomTone:
    """Endless quiet coloured like the person's own recordings, the same for a seed however it is cut."""

    _TAPS = 1024

    def __init__(self, model: VoiceModel, rng: np.random.Generator) -> None:
        shape = np.fft.irfft(model.tone.astype(np.float64), self._TAPS)
        taps = np.roll(shape, self._TAPS // 2) * np.hanning(self._TAPS)
        self._taps = taps / np.sqrt((taps**2).sum()) * 10 ** (model.tone_level / 20)
        self._rng = rng
        self._past = rng.standard_normal(self._TAPS - 1)

    def next(self, samples: int) -> Wave:
        """The following `samples` samples."""
        white = np.r_[self._past, self._rng.standard_normal(samples)]
        self._past = white[samples:]
        return np.asarray(signal.oaconvolve(white, self._taps, "valid"), np.float32)


def _track_gain(plan: DirectionPlan, texts: Sequence[Sequence[Word]]) -> float:
    """Factor that brings lines of -23 LUFS with their own energies to -23 LUFS as a track."""
    weight = np.array([sum(len(word.phones) for word in words) / line.pace for line, words in zip(plan.lines, texts,
                       strict=True)])  # fmt: skip
    energy = np.array([line.energy for line in plan.lines])
    return float(1.0 / np.sqrt((weight * energy**2).sum() / max(weight.sum(), 1e-9)))


class _Track:
    """Joins lines with their pauses, levels them, lays room tone under them, and keeps the time."""

    def __init__(self, model: VoiceModel, rng: np.random.Generator, gain: float) -> None:
        self._tone = RoomTone(model, rng)
        self._gain = gain
        self._breaths = model.breaths
        self._samples = 0
        self._lines: list[LineTime] = []
        self._words: list[WordTime] = []
        self._phones: list[PhoneTime] = []

    def _finish(self, wave: Wave) -> Wave:
        self._samples += wave.size
        return soft_limit(wave + self._tone.next(wave.size))

    def begin(self) -> Wave:
        """The quiet before the first line."""
        return self._finish(np.zeros(int(LEAD_IN * RATE), np.float32))

    def add(self, line: DirectedLine, part: SpokenLine, following: float = 0.0) -> Wave:
        """One line and the pause after it; before `following` seconds of speech a breath is drawn in the pause, if
        there is time for it and the person's own was found."""
        level = loudness(part.wave)
        gain = 10 ** ((LOUDNESS - level) / 20) if np.isfinite(level) else 1.0
        start = self._samples / RATE
        add_times(part.timed, start, self._words, self._phones)
        times = part.timed.edges * FRAME + start
        self._lines.append(
            LineTime(
                index=line.index, text=plain_text(line.text), language=line.language, emotion=line.emotion,
                intensity=line.intensity, start=round(float(times[1]), 4), end=round(float(times[-2]), 4),
                source=part.source,
            )
        )  # fmt: skip
        pause = int(max(0.0, line.pause - 2 * _EDGE_FRAMES * FRAME) * RATE)
        wave = np.pad(part.wave * np.float32(gain * line.energy * self._gain), (0, pause))
        if self._breaths and following >= _BREATH_LINE and pause >= _BREATH_REST * RATE:
            breath = self._breaths[(len(self._lines) - 1) % len(self._breaths)][-pause:]
            wave[wave.size - breath.size :] += breath * np.float32(self._gain)
        return self._finish(wave)

    def end(self) -> Wave:
        """The quiet after the last line."""
        return self._finish(np.zeros(int(0.2 * RATE), np.float32))

    def timing(self) -> SpeechTiming:
        """Times of everything added so far."""
        duration = self._samples / RATE
        return SpeechTiming(
            sample_rate=RATE,
            duration=duration,
            lines=tuple(self._lines),
            words=tuple(self._words),
            phones=tuple(without_gaps(self._phones, duration)),
        )


def add_times(timed: TimedRow, start: float, words: list[WordTime], phones: list[PhoneTime]) -> None:
    """Appends the times of a timed row that begins at `start` seconds of the track."""
    times = [round(float(edge) * FRAME + start, 4) for edge in timed.edges]
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for index, phone in enumerate(timed.row.phones):
        stress = phone.stress
        if phone.tone:
            stress = 0.2 if phone.tone == 5 else 1.0 if is_vowel(phone.name) else 0.0
        phones.append(PhoneTime(phone=public_name(phone.name), start=times[index], end=times[index + 1], stress=stress))
        number = timed.row.word[index]
        if number >= 0:
            first.setdefault(number, times[index])
            last[number] = times[index + 1]
    words += [WordTime(text=timed.row.words[n].text, start=first[n], end=last[n]) for n in sorted(first)]


def without_gaps(phones: list[PhoneTime], duration: float) -> list[PhoneTime]:
    """One row of phones without gaps: neighbouring silences joined, the track covered from 0 to its end."""
    out: list[PhoneTime] = []
    for phone in _covering(phones, duration):
        if out and phone.phone == SILENCE and out[-1].phone == SILENCE:
            out[-1] = PhoneTime(phone=SILENCE, start=out[-1].start, end=phone.end)
        else:
            out.append(phone)
    return out


def _covering(phones: list[PhoneTime], duration: float) -> Iterator[PhoneTime]:
    at = 0.0
    for phone in phones:
        if phone.start > at + 1e-6:
            yield PhoneTime(phone=SILENCE, start=at, end=phone.start)
        yield phone
        at = phone.end
    if duration > at + 1e-6:
        yield PhoneTime(phone=SILENCE, start=at, end=duration)
