"""Speaking a direction plan with a trained voice, and telling exactly when each phone, word and line is heard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from memorial_tasks.domain.timing import DirectedLine, DirectionPlan, LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.voice.audio import RATE, Wave, loudness, soft_limit
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import FRAME, HOP, LF0, VUV, Frames, resynthesise
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.own_words import find_recording
from memorial_tasks.voice.phones import SILENCE, is_vowel, public_name
from memorial_tasks.voice.sequence import PhoneRow, TimedRow, spoken_row
from memorial_tasks.voice.text.front import FrontEnd
from memorial_tasks.voice.text.units import PAUSE_LONG, Word

LEAD_IN, LOUDNESS = 0.35, -23.0  # seconds of quiet before the first line, LUFS of the track
_EDGE_FRAMES = 14  # quiet frames predicted on both sides of a line
_PAUSE_LIMITS = {1: (0.10, 0.45), PAUSE_LONG: (0.25, 0.75)}  # seconds, inside a line


@dataclass(frozen=True)
class SpokenLine:
    """One line as sound: `wave` at 24 kHz, `timed` its phones from the start of the wave."""

    wave: Wave
    timed: TimedRow
    source: str


def speak(
    model: VoiceModel,
    plan: DirectionPlan,
    lexicon: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> tuple[Wave, SpeechTiming]:
    """The whole plan as one track at 24 kHz, about -23 LUFS, with room tone under it, and its timing.

    `lexicon` maps a name to how it is said. Raises `InputRefused` for lines that hold nothing speakable.
    """
    rng = np.random.default_rng(seed)
    with Espeak() as espeak:
        front = FrontEnd(espeak, lexicon)
        texts = [front.words(line.text, line.language) for line in plan.lines]
    silent = [number for number, words in enumerate(texts) if not words]
    if silent or not texts:
        raise InputRefused(
            [
                Problem(
                    "script.unspeakable",
                    "the line holds nothing that can be spoken",
                    "write it in words",
                    f"script[{n}]",
                )
                for n in silent
            ]
            or [Problem("script.empty", "the script has no line", "write at least one line", "script")]
        )
    spoken = []
    for number, (line, words) in enumerate(zip(plan.lines, texts, strict=True)):
        recording = find_recording(words, model.clips, model.clip_index)
        if recording:
            spoken.append(SpokenLine(*recording, "recorded"))
        else:
            spoken.append(speak_line(model, line, words))
        progress(0.9 * (number + 1) / len(texts), f"line {number + 1} of {len(texts)}")
    return _assemble(model, plan, spoken, rng)


def speak_line(model: VoiceModel, line: DirectedLine, words: list[Word]) -> SpokenLine:
    """One line by the networks. The wave begins and ends with 70 ms of quiet."""
    timed, frames = say_row(model, spoken_row(words), line.pace)
    row, edges = timed.row, timed.edges
    per_frame = np.repeat(np.arange(len(row.phones)), np.diff(edges))
    quiet = np.array([phone.name == SILENCE for phone in row.phones])[per_frame]
    middle = float(model.mean[LF0])
    frames[:, LF0] = middle + (frames[:, LF0] - middle) * line.pitch_range + line.pitch_shift * np.log(2) / 12
    frames[quiet, VUV] = 0.0
    frames[:, VUV] = signal.medfilt(frames[:, VUV], 3)
    wave = resynthesise(frames)[: int(edges[-1]) * HOP]
    wave = np.pad(wave, (0, int(edges[-1]) * HOP - wave.size))
    gate = np.convolve((~quiet).astype(np.float64), np.ones(9) / 9, "same")
    gain = np.interp(np.arange(wave.size) / HOP, np.arange(gate.size) + 0.5, np.minimum(1, gate * 1.6))
    return SpokenLine((wave * gain).astype(np.float32), TimedRow(row, edges), "synthesized")


def say_row(model: VoiceModel, row: PhoneRow, pace: float = 1.0) -> tuple[TimedRow, Frames]:
    """Times and WORLD frames of a phone row; `pace` 1.0 is the person's own tempo."""
    edges = _edges(row, model.durations(row), pace)
    return TimedRow(row, edges), model.frames(row, edges)


def _edges(row: PhoneRow, lengths: NDArray[np.float32], pace: float) -> NDArray[np.int32]:
    frames = lengths / pace
    last = len(row.phones) - 1
    for index, phone in enumerate(row.phones):
        if index in {0, last}:
            frames[index] = _EDGE_FRAMES
        elif phone.name == SILENCE:
            low, high = _PAUSE_LIMITS[min(2, max(1, row.words[row.word[index - 1]].pause))]
            frames[index] = np.clip(frames[index], low / FRAME, high / FRAME)
        else:
            frames[index] = np.clip(frames[index], 5.0, 120.0)
    return np.asarray(np.r_[0, np.round(np.cumsum(frames))], np.int32)


def room_noise(model: VoiceModel, samples: int, rng: np.random.Generator) -> Wave:
    """Quiet coloured like the person's own recordings, float32 [samples]."""
    size = 1024
    white = rng.standard_normal(samples + 2 * size)
    _, _, frames = signal.stft(white, RATE, nperseg=size)
    _, shaped = signal.istft(frames * model.tone[:, None], RATE, nperseg=size)
    noise = shaped[size : size + samples]
    level = 10 ** (model.tone_level / 20)
    return np.asarray(noise / (np.sqrt((noise**2).mean()) + 1e-9) * level, np.float32)


def _assemble(
    model: VoiceModel, plan: DirectionPlan, spoken: list[SpokenLine], rng: np.random.Generator
) -> tuple[Wave, SpeechTiming]:
    """Join the lines with their pauses, level the track, lay room tone under it."""
    parts: list[Wave] = [np.zeros(int(LEAD_IN * RATE), np.float32)]
    lines: list[LineTime] = []
    words: list[WordTime] = []
    phones: list[PhoneTime] = []
    at = parts[0].size
    for line, part in zip(plan.lines, spoken, strict=True):
        level = loudness(part.wave)
        gain = 10 ** ((LOUDNESS - level) / 20) if np.isfinite(level) else 1.0
        parts.append((part.wave * gain * line.energy).astype(np.float32))
        start = at / RATE
        _add_times(part.timed, start, words, phones)
        times = part.timed.edges * FRAME + start
        lines.append(
            LineTime(
                index=line.index, text=line.text, language=line.language, emotion=line.emotion,
                intensity=line.intensity, start=round(float(times[1]), 4), end=round(float(times[-2]), 4),
                source=part.source,
            )
        )  # fmt: skip
        pause = np.zeros(int(max(0.0, line.pause - 2 * _EDGE_FRAMES * FRAME) * RATE), np.float32)
        parts.append(pause)
        at += part.wave.size + pause.size
    parts.append(np.zeros(int(0.2 * RATE), np.float32))
    track = np.concatenate(parts)
    level = loudness(track)
    if np.isfinite(level):
        track = track * np.float32(10 ** ((LOUDNESS - level) / 20))
    track = soft_limit(track + room_noise(model, track.size, rng))
    timing = SpeechTiming(
        sample_rate=RATE,
        duration=track.size / RATE,
        lines=tuple(lines),
        words=tuple(words),
        phones=tuple(_filled(phones, track.size / RATE)),
    )
    return track, timing


def _add_times(timed: TimedRow, start: float, words: list[WordTime], phones: list[PhoneTime]) -> None:
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


def _filled(phones: list[PhoneTime], duration: float) -> list[PhoneTime]:
    """One row of phones without gaps: neighbouring silences joined, the track covered from 0 to its end."""
    out: list[PhoneTime] = []
    at = 0.0
    for phone in phones:
        if phone.start > at + 1e-6:
            out.append(PhoneTime(phone=SILENCE, start=at, end=phone.start))
        out.append(phone)
        at = phone.end
    if duration > at + 1e-6:
        out.append(PhoneTime(phone=SILENCE, start=at, end=duration))
    joined: list[PhoneTime] = []
    for phone in out:
        if joined and phone.phone == SILENCE and joined[-1].phone == SILENCE:
            joined[-1] = PhoneTime(phone=SILENCE, start=joined[-1].start, end=phone.end)
        else:
            joined.append(phone)
    return joined
