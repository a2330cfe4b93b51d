"""A finished film turned into numbers: what is seen, what is heard, and whether the two belong together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyloudnorm
import soxr
from numpy.typing import NDArray

from memorial_tasks.domain.timing import END_CARD, LEAD_IN, OPENING_CARD, TAIL, SpeechTiming
from memorial_tasks.quality.decode import decodable, identify, open_media, refusal
from memorial_tasks.quality.faces import FaceFinder, find_faces, mouth_opening
from memorial_tasks.quality.voice import VAD_STEP, SpeechDetector, clipped_share, runs

Rgb = NDArray[Any]
Samples = NDArray[np.float32]

NAN = float("nan")
SPEECH_START = OPENING_CARD + LEAD_IN  # s of the film at which second 0 of the speech track is heard
AROUND = OPENING_CARD + LEAD_IN + TAIL + END_CARD  # s that a film is longer than its speech
FACES_LOOKED_AT = 24
MOUTH_SECONDS = 12.0  # of speech in which every frame's mouth is measured
SHEET_FRAMES = 10
_SMALL = (160, 90)
_BLACK_LUMA, _FROZEN = 20.0, 0.35  # of 255


@dataclass(frozen=True)
class FilmMeasure:
    """What was measured on a film. Shares are 0..1, times in seconds, levels in dB."""

    duration: float
    video_seconds: float
    audio_seconds: float
    expected: float  # s, from the speech and the cards
    width: float
    height: float
    fps: float
    frames: float
    audio_rate: float
    subtitles: float  # number of tracks
    black_share: float
    black_longest: float
    frozen_longest: float  # s of an unchanging picture while the person speaks
    speech_faces: float  # share of frames during speech with exactly one face
    loudness: float  # LUFS
    true_peak: float  # dBTP
    clipped: float
    silence_share: float
    silence_longest: float
    speech_heard: float  # share of the words' time in which speech is heard
    speech_offset: float  # s by which speech comes later than planned
    sync_r: float = NAN  # peak correlation of mouth opening and loudness of the voice
    sync_lag: float = NAN  # s by which the mouth comes later than the sound
    bilabial_closed: float = NAN  # mouth at m, b, p over its median while speaking; 0 shut, 1 as open as ever
    word_errors: float = NAN  # English only: share of words a speech recogniser gets wrong

    def numbers(self) -> dict[str, float]:
        """Every measure, with the differences the rules ask about."""
        return {key: float(value) for key, value in asdict(self).items()} | {
            "longer": self.duration - self.expected,
            "av_difference": abs(self.audio_seconds - self.video_seconds),
            "speech_misplaced": abs(self.speech_offset),
            "sync_late": abs(self.sync_lag),
        }


@dataclass(frozen=True)
class FilmLook:
    """What is shown of a film to a reviewer: ten frames with their times, and its sound."""

    shots: tuple[tuple[float, Rgb], ...]
    sound: Samples  # mono
    rate: int


def measure_film(
    path: Path,
    timing: SpeechTiming,
    models: FaceFinder,
    detector: SpeechDetector,
    progress: Callable[[float, str], None],
    expected: float | None = None,
) -> tuple[FilmMeasure, FilmLook]:
    """Decode the whole film once, its sound once more, and measure both.

    Raises:
        InputRefused: it is no film that can be decoded.
    """
    sound, rate, stereo_peak = _sound(path)
    mono = sound.mean(axis=1, dtype=np.float32) if sound.ndim == 2 else sound
    heard = _Heard(mono, rate, detector, timing)
    progress(0.15, "sound measured")
    duration = _duration(path)
    seen = _Seen(timing, models, duration)
    facts: dict[str, float] = {}
    for frame, time, box in _pictures(path):
        if not facts:
            facts = box
        seen.take(frame, time)
        if seen.count % 50 == 0:
            progress(0.15 + 0.6 * min(time / max(duration, 1e-3), 1.0), "watching the film")
    if not seen.count:
        raise refusal("film.no_picture", "not one frame can be decoded", "compose and seal the film again")
    fps = facts["fps"]
    sync_r, lag = _sync(seen.mouth, mono, rate)
    measure = FilmMeasure(
        duration=duration,
        video_seconds=seen.count / fps,
        audio_seconds=len(mono) / rate,
        expected=expected if expected else timing.duration + AROUND,
        width=facts["width"],
        height=facts["height"],
        fps=fps,
        frames=seen.count,
        audio_rate=rate,
        subtitles=facts["subtitles"],
        black_share=float(np.mean(seen.black)),
        black_longest=_longest(seen.black) / fps,
        frozen_longest=_longest(seen.frozen) / fps,
        speech_faces=seen.faces_share,
        loudness=_loudness(sound, rate),
        true_peak=stereo_peak,
        clipped=clipped_share(mono),
        silence_share=heard.silence_share,
        silence_longest=heard.silence_longest,
        speech_heard=heard.share,
        speech_offset=heard.offset,
        sync_r=sync_r,
        sync_lag=lag,
        bilabial_closed=_bilabials(seen.mouth, timing),
    )
    return measure, FilmLook(tuple(seen.shots), mono, rate)


def _duration(path: Path) -> float:
    with open_media(path, identify(path, "video")) as box:
        return float(box.duration or 0) / 1_000_000


def _pictures(path: Path) -> Iterator[tuple[Any, float, dict[str, float]]]:
    with open_media(path, identify(path, "video")) as box:
        stream = decodable(box.streams.video)
        if stream is None:
            return
        stream.thread_type = "AUTO"
        facts = {
            "width": float(stream.codec_context.width),
            "height": float(stream.codec_context.height),
            "fps": float(stream.average_rate or 25),
            "subtitles": float(len(box.streams.subtitles)),
        }
        for frame in box.decode(stream):
            yield frame, float(frame.time or 0.0), facts


class _Seen:
    """Watches the frames as they are decoded: keeps numbers and ten pictures."""

    def __init__(self, timing: SpeechTiming, models: FaceFinder, duration: float) -> None:
        self.count = 0
        self.black: list[bool] = []
        self.frozen: list[bool] = []
        self.shots: list[tuple[float, Rgb]] = []
        self.mouth: list[tuple[float, float]] = []
        self._models = models
        self._before: NDArray[np.int16] | None = None
        # Whole lines: between two words of a sentence a living face moves too.
        self._spoken = [(one.start + SPEECH_START, one.end + SPEECH_START) for one in timing.lines or timing.words]
        first = self._spoken[0][0] if self._spoken else 0.0
        last = self._spoken[-1][1] if self._spoken else duration
        self._speech = (first, last)
        step = max((last - first) / FACES_LOOKED_AT, 0.04)
        self._look_at = list(np.arange(first + step / 2, last, step))
        self._show_at = list((np.arange(SHEET_FRAMES) + 0.5) * duration / SHEET_FRAMES)
        self._faces: list[int] = []
        self._tracked: Any = None
        self._since = 0

    @property
    def faces_share(self) -> float:
        """Share of the frames looked at that show exactly one face; NaN when nothing is spoken."""
        return float(np.mean([count == 1 for count in self._faces])) if self._faces else NAN

    def take(self, frame: Any, time: float) -> None:
        """The next frame."""
        self.count += 1
        small = frame.reformat(*_SMALL, format="gray").to_ndarray().astype(np.int16)
        self.black.append(bool(small.mean() < _BLACK_LUMA and small.std() < 6))
        speaking = any(start <= time <= end for start, end in self._spoken)
        # The largest change of any of 36 blocks: a still background with a living face is not frozen.
        change = np.inf if self._before is None else _block_change(small, self._before)
        self.frozen.append(bool(speaking and change < _FROZEN))
        self._before = small
        look = bool(self._look_at) and time >= self._look_at[0]
        show = bool(self._show_at) and time >= self._show_at[0]
        lips = self._speech[0] - 0.2 <= time <= min(self._speech[0] + MOUTH_SECONDS, self._speech[1] + 0.2)
        if not (look or show or lips):
            return
        rgb = frame.to_ndarray(format="rgb24")
        if show:
            self._show_at.pop(0)
            self.shots.append((time, rgb))
        if look:
            self._look_at.pop(0)
            self._faces.append(len(find_faces(rgb, self._models)))
        if lips:
            self._lips(rgb, time)

    def _lips(self, rgb: Rgb, time: float) -> None:
        # Detecting in every frame is ten times dearer than the mesh; the head moves little within half a second.
        if self._tracked is None or self._since >= 12:
            found = sorted(self._models.detect(rgb), key=lambda face: -float(face.score))
            self._tracked, self._since = (found[0] if found else None), 0
        self._since += 1
        if self._tracked is None:
            return
        mesh = self._models.mesh(rgb, self._tracked)
        if mesh is None or float(mesh.score) < 0.5:
            self._tracked = None
            return
        self.mouth.append((time, mouth_opening(np.asarray(mesh.points, np.float32))))


def _block_change(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    difference = np.abs(one - other).reshape(9, 10, 16, 10).mean(axis=(1, 3))
    return float(difference.max())


class _Heard:
    """Listens to the whole sound at once: an hour would be 0.7 GB, a film is minutes."""

    def __init__(self, mono: Samples, rate: int, detector: SpeechDetector, timing: SpeechTiming) -> None:
        step = max(int(rate * 0.02), 1)
        power = (mono[: len(mono) // step * step].reshape(-1, step).astype(np.float64) ** 2).mean(axis=1)
        silent = power < 1e-6  # -60 dBFS
        self.silence_share = float(silent.mean()) if len(silent) else 1.0
        self.silence_longest = _longest(list(silent)) * 0.02
        active = detector.speech(mono, rate) if len(mono) else np.zeros(0, bool)
        planned = np.zeros(len(active), bool)
        second = 16_000 / VAD_STEP
        for word in timing.words or timing.lines:
            planned[int((word.start + SPEECH_START) * second) : int((word.end + SPEECH_START) * second) + 1] = True
        self.share = float(active[planned].mean()) if planned.any() else NAN
        self.offset = _shift(active, planned, round(1.5 * second)) / second if planned.any() else NAN


def _shift(heard: NDArray[np.bool_], planned: NDArray[np.bool_], most: int) -> int:
    """Steps by which `heard` lies later than `planned`, by agreement; the smallest of equals."""
    best, best_score = 0, -1.0
    for shift in sorted(range(-most, most + 1), key=abs):
        moved = np.roll(planned, shift)
        score = float((heard == moved).mean())
        if score > best_score + 1e-9:
            best, best_score = shift, score
    return best


def _sound(path: Path) -> tuple[Samples, int, float]:
    """Stereo samples at the film's own rate, the rate, and the true peak in dBTP."""
    parts: list[Samples] = []
    rate = 48_000
    with open_media(path, identify(path, "video")) as box:
        stream = decodable(box.streams.audio)
        if stream is None:
            raise refusal("film.no_sound", "there is no sound track in it", "compose and seal the film again")
        rate = int(stream.rate)
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
        for frame in box.decode(stream):
            parts += [np.ascontiguousarray(piece.to_ndarray().T, np.float32) for piece in resampler.resample(frame)]
    sound = np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
    # AAC is decoded to more than full scale at times; four-fold oversampling shows what a player will make of it.
    peak = 0.0
    for start in range(0, len(sound), 10 * rate):
        block = sound[start : start + 10 * rate]
        peak = max(peak, float(np.abs(soxr.resample(block, rate, 4 * rate, quality="HQ")).max(initial=0.0)))
    return sound, rate, 20 * float(np.log10(max(peak, 1e-6)))


def _loudness(sound: Samples, rate: int) -> float:
    if len(sound) < 0.5 * rate:
        return NAN
    value = float(pyloudnorm.Meter(rate).integrated_loudness(sound.astype(np.float64)))
    return value if np.isfinite(value) else -99.0


def _longest(flags: Sequence[bool]) -> int:
    return max((end - start for start, end in runs(np.asarray(flags, bool))), default=0)


def _sync(mouth: Sequence[tuple[float, float]], mono: Samples, rate: int) -> tuple[float, float]:
    """Correlation of mouth opening with the level of the sound, and the lag of the mouth in seconds.

    People themselves reach 0.4 to 0.7 with a flat peak, so a lag is only believed when it agrees clearly better.
    """
    if len(mouth) < 50:
        return NAN, NAN
    times = np.array([time for time, _ in mouth])
    opening = np.array([value for _, value in mouth])
    step = max(int(rate * 0.01), 1)
    power = (mono[: len(mono) // step * step].reshape(-1, step).astype(np.float64) ** 2).mean(axis=1)
    level = np.log(np.convolve(np.sqrt(power), np.hanning(9) / np.hanning(9).sum(), mode="same") + 0.003)
    clock = np.arange(len(level)) * 0.01
    lags = np.arange(-20, 21) * 0.02
    if opening.std() < 1e-6 or level.std() < 1e-6:
        return 0.0, 0.0
    found = []
    for lag in lags:
        sound = np.interp(times - lag, clock, level)
        found.append(float(np.corrcoef(opening, sound)[0, 1]) if sound.std() > 1e-6 else 0.0)
    here = max(found[17:24])  # within 60 ms
    best = int(np.argmax(found))
    return (found[best], float(lags[best])) if found[best] > here + 0.1 else (here, 0.0)


def _bilabials(mouth: Sequence[tuple[float, float]], timing: SpeechTiming) -> float:
    """How far the mouth is open in the middle of m, b and p, over its median while speaking, both above what the
    landmark model reads of this very mouth when it is shut (never 0: the inner lines of two lips that touch lie 1 % of
    the eyes' distance apart)."""
    if len(mouth) < 50:
        return NAN
    times = np.array([time for time, _ in mouth])
    opening = np.array([value for _, value in mouth])
    least = []
    for phone in timing.phones:
        start, end = phone.start + SPEECH_START, phone.end + SPEECH_START
        if phone.phone.upper() in ("M", "B", "P") and times[0] <= start and end <= times[-1]:
            near = (times >= start - 0.04) & (times <= end + 0.04)
            if near.any():
                least.append(float(opening[near].min()))
    shut = float(np.percentile(opening, 2))
    return float((np.median(least) - shut) / max(float(np.median(opening)) - shut, 1e-3)) if least else NAN


def word_errors(sound: Samples, rate: int, said: Sequence[str]) -> float:
    """Share of words that PocketSphinx (English, BSD, offline) gets wrong. A judge that errs on people too."""
    from pocketsphinx import Decoder

    mono = soxr.resample(sound, rate, 16_000)
    pcm = (np.clip(mono, -1, 1) * 32767).astype("<i2").tobytes()
    decoder = Decoder(samprate=16000, loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    heard = _words(hypothesis.hypstr if hypothesis else "")
    wanted = _words(" ".join(said))
    return _edits(wanted, heard) / max(len(wanted), 1)


def _words(text: str) -> list[str]:
    kept = "".join(char if char.isalnum() or char == "'" else " " for char in text.lower())
    return kept.split()


def _edits(wanted: Sequence[str], heard: Sequence[str]) -> int:
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
