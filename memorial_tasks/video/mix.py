"""The sound of the film: speech in stereo at 48 kHz, music under it, one loudness for every film.

The mix is a stream of blocks that can be drawn again and gives the same samples every time: once to measure, once more
to measure what the limiter changed, once to write. Nothing is held, so an hour needs no more memory than a minute.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.signal import oaconvolve

from memorial_tasks.domain.timing import LEAD_IN, TAIL, SpeechTiming
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.loudness import LoudnessMeter, TruePeakMeter, true_peaks

RATE: Final = 48000
BLOCK: Final = RATE  # samples handed out at a time
LOUDNESS: Final = -16.0  # LUFS, integrated
CEILING: Final = -2.3  # dBTP before AAC, whose overshoot then stays under -1.5
DUCK: Final = -12.0  # dB
ATTACK, RELEASE = 0.050, 0.400  # seconds
MUSIC_BELOW: Final = 6.0  # LU: music alone against the voice
CLIP_BELOW: Final = 2.0  # LU: a clip's own sound against the voice
CLIP_FADE: Final = 0.6  # seconds in which a clip is faded in and out, as its picture is
SILENCES: Final = frozenset({"SIL", "SP", "PAU", ""})

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """The sound of a clip that is shown: a WAV file, heard from its beginning between two seconds of the film."""

    sound: Path
    start: float
    end: float
    gain: float = 1.0


@dataclass(frozen=True)
class Mix:
    """A mix that can be drawn as often as wanted. `gain` is linear and ends in `limit`ed sound."""

    speech: Path
    music: Path | None
    spoken: tuple[tuple[float, float], ...]  # seconds of the film in which the person speaks
    duration: float
    lead_in: float
    clips: tuple[Clip, ...] = ()
    music_gain: float = 1.0
    gain: float = 1.0
    loudness: float = float("nan")  # measured after everything
    true_peak: float = float("nan")

    @property
    def samples(self) -> int:
        """Length at 48 kHz."""
        return round(self.duration * RATE)

    def blocks(self) -> Iterator[Sound]:
        """The finished sound, float32 [n, 2] blocks of a second."""
        return _limited(self._raw(), self.gain)

    def _raw(self) -> Iterator[Sound]:
        voice = _placed(_resampled(self.speech, 2), self.lead_in, self.samples)
        for clip in self.clips:
            voice = _with_clip(voice, clip, self.samples)
        if self.music is None:
            yield from voice
            return
        duck = _Duck(sorted((*self.spoken, *((clip.start, clip.end) for clip in self.clips))))
        for index, (words, music) in enumerate(zip(voice, _looped(self.music, self.samples), strict=True)):
            start = index * BLOCK
            envelope = duck.gain(start, len(words)) * _fades(start, len(words), self.samples)
            yield words + music * (envelope * self.music_gain)[:, None]


def plan_mix(
    speech: Path,
    timing: SpeechTiming,
    music: Path | None = None,
    lead_in: float = LEAD_IN,
    tail: float = TAIL,
    loudness: float = LOUDNESS,
    clips: Sequence[Clip] = (),
) -> Mix:
    """Measures and settles the mix of one film. `speech` and `music` are WAV files of any rate, mono or stereo.

    Music plays for the whole film, looped with a cross-fade when it is shorter, `MUSIC_BELOW` LU under the voice and
    12 dB lower while the person speaks or a clip is heard; a clip is `CLIP_BELOW` LU under the voice. Raises
    `InputRefused` when a file is not sound.
    """
    spoken = tuple((start + lead_in, end + lead_in) for start, end in speech_spans(timing))
    duration = lead_in + timing.duration + tail
    mix = Mix(speech, music, spoken, duration, lead_in)
    voice = _measure(_resampled(speech, 2))[0]
    heard = []
    for clip in clips:
        own = _measure(_first(_resampled(clip.sound, 2), clip.end - clip.start))[0]
        aim = (voice if np.isfinite(voice) else -20.0) - CLIP_BELOW
        heard.append(replace(clip, gain=10 ** ((aim - own) / 20) if np.isfinite(own) else 0.0))
    mix = replace(mix, clips=tuple(heard))
    if music is not None:
        bed = _measure(_resampled(music, 2))[0]
        aim = (voice if np.isfinite(voice) else -20.0) - MUSIC_BELOW
        mix = replace(mix, music_gain=10 ** ((aim - bed) / 20) if np.isfinite(bed) else 0.0)
    raw = _measure(mix._raw())[0]
    if not np.isfinite(raw):
        return replace(mix, loudness=raw, true_peak=float("-inf"))
    mix = replace(mix, gain=10 ** ((loudness - raw) / 20))
    for _ in range(3):  # the limiter takes a little away: give it back
        got, peak = _measure(mix.blocks())
        mix = replace(mix, loudness=got, true_peak=peak)
        if abs(got - loudness) < 0.1:
            break
        mix = replace(mix, gain=mix.gain * 10 ** ((loudness - got) / 20))
    else:
        got, peak = _measure(mix.blocks())
        mix = replace(mix, loudness=got, true_peak=peak)
    return mix


def speech_spans(timing: SpeechTiming, bridge: float = 0.35) -> list[tuple[float, float]]:
    """Stretches of speech in seconds of the speech track; silences shorter than `bridge` do not part them."""
    spans: list[tuple[float, float]] = []
    for phone in timing.phones:
        if phone.phone.upper() in SILENCES:
            continue
        if spans and phone.start - spans[-1][1] < bridge:
            spans[-1] = (spans[-1][0], phone.end)
        else:
            spans.append((phone.start, phone.end))
    return spans


class _Duck:
    """Gain of the music: 12 dB down while somebody speaks, reached 50 ms after the first word, back in 400 ms."""

    def __init__(self, spoken: Sequence[tuple[float, float]]) -> None:
        times, levels = [0.0], [0.0]
        for start, end in spoken:
            if start - ATTACK > times[-1]:
                times += [max(times[-1] + 1e-4, start - ATTACK / 2), start + ATTACK / 2]
                levels += [float(np.interp(times[-2], times[: len(levels)], levels)), DUCK]
            else:  # the release of the stretch before is cut short
                times[-1], levels[-1] = max(times[-2] + 1e-4, start), DUCK
            times += [max(end, times[-1] + 1e-3), max(end, times[-1] + 1e-3) + RELEASE]
            levels += [DUCK, 0.0]
        self._times, self._levels = np.array(times), np.array(levels)

    def gain(self, start: int, count: int) -> NDArray[np.float32]:
        """Linear gain of `count` samples from sample `start`."""
        clock = (start + np.arange(count)) / RATE
        return np.asarray(10 ** (np.interp(clock, self._times, self._levels) / 20), np.float32)


def _with_clip(blocks: Iterator[Sound], clip: Clip, samples: int) -> Iterator[Sound]:
    """The sound with a clip laid over it while it is shown."""
    own = _placed(_first(_resampled(clip.sound, 2), clip.end - clip.start), clip.start, samples)
    for index, (words, sound) in enumerate(zip(blocks, own, strict=True)):
        clock = (index * BLOCK + np.arange(len(words))) / RATE
        share = np.clip(np.minimum(clock - clip.start, clip.end - clock) / CLIP_FADE, 0, 1)
        yield words + sound * (clip.gain * np.sin(share * np.pi / 2)).astype(np.float32)[:, None]


def _first(blocks: Iterator[Sound], seconds: float) -> Iterator[Sound]:
    """The beginning of a sound."""
    left = round(seconds * RATE)
    for block in blocks:
        if left <= 0:
            return
        yield block[:left]
        left -= len(block)


def _fades(start: int, count: int, total: int) -> NDArray[np.float32]:
    """The music's own beginning (0.6 s) and end (1.2 s)."""
    place = start + np.arange(count)
    rise = np.clip(place / (0.6 * RATE), 0, 1)
    fall = np.clip((total - place) / (1.2 * RATE), 0, 1)
    return np.asarray(np.sin(rise * np.pi / 2) * np.sin(fall * np.pi / 2), np.float32)


def _resampled(path: Path, channels: int) -> Iterator[Sound]:
    """The file at 48 kHz as blocks float32 [n, channels]; mono is doubled, more channels are folded."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            stream: Any = soxr.ResampleStream(file.samplerate, RATE, channels, dtype="float32", quality="HQ")
            while True:
                block = file.read(file.samplerate, dtype="float32", always_2d=True)
                last = len(block) < file.samplerate
                if block.shape[1] > channels:
                    block = np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)
                elif block.shape[1] < channels:
                    block = np.repeat(block[:, :1], channels, axis=1)
                yield np.nan_to_num(stream.resample_chunk(np.ascontiguousarray(block), last=last))
                if last:
                    return
    except soundfile.LibsndfileError as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> InputRefused:
    return InputRefused(
        [Problem("sound.unreadable", "this is not sound that can be read", "export it as WAV", file=path.name)]
    )


def _placed(blocks: Iterator[Sound], lead_in: float, samples: int) -> Iterator[Sound]:
    """The same sound in blocks of `BLOCK`, starting after `lead_in`, exactly `samples` long."""
    kept = np.zeros((round(lead_in * RATE), 2), np.float32)
    given = 0
    while given < samples:
        wanted = min(BLOCK, samples - given)
        while len(kept) < wanted:
            block = next(blocks, None)
            if block is None:
                block = np.zeros((wanted - len(kept), 2), np.float32)
            kept = np.concatenate([kept, block])
        yield kept[:wanted]
        kept = kept[wanted:]
        given += wanted


def _looped(path: Path, samples: int) -> Iterator[Sound]:
    """Music as long as the film: begun again where it ends, over a cross-fade of two seconds, or a third of it."""
    try:
        about = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise _unreadable(path) from error
    length = int(about.frames * RATE / max(1, about.samplerate))
    if length < RATE // 2:
        raise InputRefused(
            [Problem("music.short", "the music is shorter than half a second", "choose another", file=path.name)]
        )
    overlap = min(2 * RATE, length // 3)
    rise = np.sin(np.arange(overlap) / overlap * np.pi / 2)[:, None].astype(np.float32)

    def forever() -> Iterator[Sound]:
        ending = np.zeros((0, 2), np.float32)
        while True:
            held = np.zeros((0, 2), np.float32)
            mixed = len(ending) == 0
            for block in _resampled(path, 2):
                held = np.concatenate([held, block])
                if not mixed and len(held) >= overlap:
                    held[:overlap] = held[:overlap] * rise + ending * rise[::-1]
                    mixed = True
                if mixed and len(held) > overlap:
                    yield held[:-overlap]
                    held = held[-overlap:]
            ending = held[-overlap:]

    return _placed(forever(), 0.0, samples)


def _limited(blocks: Iterator[Sound], gain: float) -> Iterator[Sound]:
    """Applies `gain` and keeps the true peak under the ceiling.

    The gain at a sample is the smallest that any sound within 10 ms needs, averaged over 10 ms: never above what
    a peak needs, never a step.
    """
    width = round(0.010 * RATE)
    radius = width + 24  # the peak meter reports a peak up to 24 samples late
    context = radius + width
    window = np.hanning(2 * width + 3)[1:-1]
    window /= window.sum()
    ceiling = 10 ** (CEILING / 20)
    needs, waiting = np.ones(context), np.zeros((0, 2), np.float32)
    tail: NDArray[np.float64] | None = None
    while True:
        block = next(blocks, None)
        if block is None:
            needs = np.concatenate([needs, np.ones(context)])
        else:
            loud = block * np.float32(gain)
            peaks, tail = true_peaks(loud, tail)
            needs = np.concatenate([needs, np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))])
            waiting = np.concatenate([waiting, loud])
        ready = len(needs) - 2 * context
        if ready > 0:
            if needs.min() < 1:
                lowest = minimum_filter1d(needs, 2 * radius + 1)[radius:-radius]
                gains = np.asarray(oaconvolve(lowest, window, mode="valid"), np.float32)
                yield waiting[:ready] * gains[:, None]
            else:
                yield waiting[:ready]
            waiting, needs = waiting[ready:], needs[ready:]
        if block is None:
            return


def _measure(blocks: Iterator[Sound]) -> tuple[float, float]:
    meter, peak = LoudnessMeter(RATE), TruePeakMeter()
    for block in blocks:
        meter.feed(block)
        peak.feed(block)
    return meter.integrated(), peak.decibels()
