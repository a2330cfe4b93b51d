"""Composition: portrait, background, sound and subtitles become one film, picture by picture."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.timing import LEAD_IN, TAIL, SpeechTiming
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video.encode import AUDIO_RATE, SIZES, FilmWriter, Sound, facts, pictures
from memorial_tasks.video.mix import plan_mix, speech_spans
from memorial_tasks.video.stage import Backdrop, Stage
from memorial_tasks.video.subtitles import Cue, SubtitlePainter

Picture = NDArray[np.uint8]
Progress = Callable[[float, str], None]
FADE_IN, FADE_OUT = 0.5, 0.9  # seconds from and to black


@dataclass(frozen=True)
class FilmReport:
    """What was made: pictures, seconds, loudness in LUFS, true peak in dBTP of the mix."""

    frames: int
    duration: float
    loudness: float
    true_peak: float
    poster_at: float


def compose_film(
    portrait: Path,
    matte: Picture,
    speech: Path,
    timing: SpeechTiming,
    film: Path,
    poster: Path,
    *,
    size: tuple[int, int] = SIZES["1080p"],
    fps: int = 25,
    background: Path | None = None,
    music: Path | None = None,
    burned: Mapping[Language, Sequence[Cue]] | None = None,
    font_file: Path | None = None,
    lead_in: float = LEAD_IN,
    tail: float = TAIL,
    progress: Progress = lambda fraction, message: None,
) -> FilmReport:
    """Writes the unlabelled film (H.264, AAC 48 kHz) and its poster (PNG).

    `portrait` is a video of the whole base photo in motion, `matte` uint8 [H, W] of the same size (white: person).
    The film is `lead_in` + speech + `tail` long whatever the portrait's length: its last picture is held.
    Memory does not depend on the length. Raises `InputRefused` for a portrait and a matte of different sizes.
    """
    about = facts(portrait)
    if matte.shape != (about.height, about.width):
        raise InputRefused(
            [Problem("matte.size", "matte.png and portrait.mp4 are not of one size", "run the animate step again")]
        )
    duration = lead_in + timing.duration + tail
    frames = max(1, round(duration * fps))
    progress(0.0, "measuring the sound")
    mix = plan_mix(speech, timing, music, lead_in, tail)
    progress(0.05, "setting the stage")
    stage = Stage(matte, next(pictures(portrait)), Backdrop(background, size, fps, frames))
    painter = SubtitlePainter(burned, size, font_file) if burned and font_file else None
    chooser = _PosterChooser(timing, lead_in, duration, fps)
    sound = _Feeder(mix.blocks())
    with FilmWriter(film, size, fps, crf=12, preset="veryfast", audio_bitrate=192_000) as writer:
        for number, person in enumerate(_held(pictures(portrait), frames)):
            picture = stage.picture(person, number)
            chooser.look(number, picture)
            if painter is not None:
                _stamp(picture, painter.at(number / fps))
            writer.picture(_faded(picture, number / fps, duration))
            writer.sound(sound.until(round((number + 1) / fps * AUDIO_RATE)))
            if number % fps == 0:
                progress(0.06 + 0.93 * number / frames, f"picture {number} of {frames}")
        writer.sound(sound.until(mix.samples))
    chooser.write(poster)
    progress(1.0, "film composed")
    return FilmReport(frames, duration, mix.loudness, mix.true_peak, chooser.number / fps)


class _Feeder:
    """Hands out a stream of sound up to a given sample."""

    def __init__(self, blocks: Iterator[Sound]) -> None:
        self._blocks, self._kept, self._given = blocks, np.zeros((0, 2), np.float32), 0

    def until(self, sample: int) -> Sound:
        wanted = sample - self._given
        while len(self._kept) < wanted:
            block = next(self._blocks, None)
            if block is None:
                break
            self._kept = np.concatenate([self._kept, block])
        out, self._kept = self._kept[:wanted], self._kept[max(0, wanted) :]
        self._given += len(out)
        return out


class _PosterChooser:
    """Picks the picture for the poster while the film goes by: nobody speaks, eyes open (the sharpest eyes)."""

    def __init__(self, timing: SpeechTiming, lead_in: float, duration: float, fps: int) -> None:
        spans = [(start + lead_in, end + lead_in) for start, end in speech_spans(timing)]
        quiet = np.ones(round(duration * fps) + 1, bool)
        for start, end in spans:
            quiet[int((start - 0.1) * fps) : int((end + 0.2) * fps) + 1] = False
        quiet[: int((FADE_IN + 0.1) * fps)] = False
        quiet[int((duration - FADE_OUT - 0.1) * fps) :] = False
        found = np.flatnonzero(quiet)
        if len(found) == 0:
            found = np.array([len(quiet) // 2])
        self._wanted = set(found[:: max(1, len(found) // 40)].tolist())
        self._best, self._picture, self.number = -1.0, None, 0

    _picture: Picture | None

    def look(self, number: int, picture: Picture) -> None:
        if number not in self._wanted and self._picture is not None:
            return
        height, width = picture.shape[:2]
        head = cv2.cvtColor(picture[height // 8 : height * 5 // 8, width // 3 : width * 2 // 3], cv2.COLOR_RGB2GRAY)
        sharp = float(cv2.Laplacian(cv2.resize(head, None, fx=0.5, fy=0.5), cv2.CV_32F).var())
        score = sharp if number in self._wanted else 0.0
        if score > self._best:
            self._best, self._picture, self.number = score, picture.copy(), number

    def write(self, path: Path) -> None:
        if self._picture is not None:
            done, data = cv2.imencode(".png", cv2.cvtColor(self._picture, cv2.COLOR_RGB2BGR))
            if done:
                path.write_bytes(data.tobytes())


def _held(found: Iterator[Picture], frames: int) -> Iterator[Picture]:
    """Exactly `frames` pictures: cut off, or the last one repeated."""
    last: Picture | None = None
    for _ in range(frames):
        last = next(found, last)
        if last is not None:
            yield last


def _faded(picture: Picture, seconds: float, duration: float) -> Picture:
    share = min(1.0, seconds / FADE_IN, max(0.0, (duration - seconds) / FADE_OUT))
    if share >= 1:
        return picture
    return np.asarray(cv2.convertScaleAbs(picture, alpha=share * share * (3 - 2 * share)), np.uint8)


def _stamp(picture: Picture, drawn: tuple[int, int, Picture] | None) -> None:
    """Lays a drawn subtitle over the picture, in place."""
    if drawn is None:
        return
    top, left, rgba = drawn
    left, top = max(0, left), max(0, top)
    area = picture[top : top + rgba.shape[0], left : left + rgba.shape[1]]
    ink = rgba[: area.shape[0], : area.shape[1]]
    alpha = ink[..., 3:].astype(np.float32) / 255
    area[:] = (area * (1 - alpha) + ink[..., :3] * alpha + 0.5).astype(np.uint8)
