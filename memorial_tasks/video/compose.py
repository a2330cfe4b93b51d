"""Composition: portrait, background, inserts, sound and subtitles become one film, shot by shot.

What a shot shows depends on its pictures' own numbers only, so shots are made side by side and joined as they are; the
sound is one stream over all of them.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.domain.timing import CLOSING_CARD, LEAD_IN, TAIL, SpeechTiming
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.video import shots
from memorial_tasks.video.encode import AUDIO_RATE, SIZES, FilmJoiner, FilmWriter, Sound, facts, pictures
from memorial_tasks.video.inserts import DISSOLVE, Insert, Inserts
from memorial_tasks.video.mix import Clip, Mix, plan_mix, speech_spans
from memorial_tasks.video.motion import Motion, film_motion
from memorial_tasks.video.stage import Backdrop, Stage
from memorial_tasks.video.subtitles import Cue, SubtitlePainter

Picture = NDArray[np.uint8]
Progress = Callable[[float, str], None]
FADE_IN, FADE_OUT = 0.5, 0.9  # seconds from and to black
POSTERS = 40  # pictures looked at for the poster


@dataclass(frozen=True)
class FilmReport:
    """What was made: pictures, seconds, loudness in LUFS, true peak in dBTP of the mix."""

    frames: int
    duration: float
    loudness: float
    true_peak: float
    poster_at: float


def film_frames(timing: SpeechTiming, fps: int, lead_in: float, tail: float, closing: float) -> int:
    """How many pictures a film has."""
    return max(1, round((lead_in + timing.duration + tail + closing) * fps))


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
    inserts: Sequence[Insert] = (),
    title: Sequence[str] = (),
    lead_in: float = LEAD_IN,
    tail: float = TAIL,
    curves: Mapping[str, NDArray[Any]] | None = None,
    kept: Path | None = None,
    saved: Callable[[], None] = lambda: None,
    workers: int | None = None,
    progress: Progress = lambda fraction, message: None,
) -> FilmReport:
    """Writes the unlabelled film (H.264, AAC 48 kHz) and its poster (PNG).

    `portrait` is a video of the whole base photo in motion, `matte` uint8 [H, W] of the same size (white: person).
    The film is `lead_in` + speech + `tail` long whatever the portrait's length: its last picture is held. With a
    `title` (the name, the years) it ends with a card that shows it, `CLOSING_CARD` seconds longer. `curves` are the
    score's at `fps`: the body follows them (`video.motion`). Finished shots lie
    in `kept` (a folder that survives a kill), `saved` is called after each; without it they are made in one go.
    Memory does not depend on the length. Raises `InputRefused` for a portrait and a matte of different sizes.
    """
    about = facts(portrait)
    if matte.shape != (about.height, about.width):
        raise InputRefused(
            [Problem("matte.size", "matte.png and portrait.mp4 are not of one size", "run the animate step again")]
        )
    closing = CLOSING_CARD if title else 0.0
    frames = film_frames(timing, fps, lead_in, tail, closing)
    duration = lead_in + timing.duration + tail + closing
    progress(0.0, "measuring the sound")
    clips = [Clip(one.sound, one.start, one.end) for one in inserts if one.sound is not None]
    mix = plan_mix(speech, timing, music, lead_in, tail + closing, clips=clips)
    progress(0.05, "setting the stage")
    if title:
        card = Insert(duration - closing - DISSOLVE / 2, duration, rows=tuple(title), stays=True)
        inserts = (*inserts, card)
    work = ComposeShot(
        portrait,
        matte,
        size,
        fps,
        frames,
        duration,
        background,
        dict(burned or {}),
        font_file,
        tuple(inserts),
        _poster_frames(timing, lead_in, duration, fps, frames, inserts),
        film_motion(frames, fps, curves),
    )
    with tempfile.TemporaryDirectory(dir=film.parent, prefix=".shots-") as scratch:
        folder = kept or Path(scratch)
        parts = shots.make(
            shots.cut(frames, fps),
            work,
            folder,
            workers=workers,
            saved=saved,
            progress=lambda share, what: progress(0.06 + 0.88 * share, what),
        )
        join_film(parts, film, fps, mix)
        poster_at = _best_poster(folder, poster)
    progress(1.0, "film composed")
    return FilmReport(frames, duration, mix.loudness, mix.true_peak, poster_at / fps)


def join_film(parts: Sequence[Path], film: Path, fps: int, mix: Mix | None) -> None:
    """The shots one behind the other, with the sound when there is one."""
    sound = _Feeder(mix.blocks()) if mix else None
    with FilmJoiner(film, parts[0], fps, 192_000 if mix else None) as out:
        for part in parts:
            out.append(part)
            if sound is not None:
                out.sound(sound.until(round(out.frames / fps * AUDIO_RATE)))
        if sound is not None and mix is not None:
            out.sound(sound.until(mix.samples))


@dataclass
class ComposeShot:
    """Makes one shot of the film; picklable, and what it opens it keeps for the next shot of the same process."""

    portrait: Path
    matte: Picture
    size: tuple[int, int]
    fps: int
    frames: int
    duration: float
    background: Path | None
    burned: Mapping[Language, Sequence[Cue]]
    font_file: Path | None
    inserts: tuple[Insert, ...]
    posters: frozenset[int]
    motion: Motion
    _stage: Stage | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stage": None}

    def __call__(self, shot: shots.Shot, target: Path) -> None:
        """Writes the shot, and beside it the best of its pictures for the poster."""
        painter = SubtitlePainter(self.burned, self.size, self.font_file) if self.burned and self.font_file else None
        if self._stage is None:
            self._stage = self._set(self.size[1])
            if painter is not None and self._stage.chin > painter.top:  # they would lie on the face: under the picture
                self._stage = self._set(painter.top)
        stage = self._stage
        inserts = Inserts(self.inserts, self.size, self.fps, self.font_file)
        best = _Best(target)
        with FilmWriter(target, self.size, self.fps, crf=12, preset="veryfast", threads=1) as writer:
            people = self._people(shot)
            for number in range(shot.first, shot.last):
                clock = number / self.fps
                person = next(people)
                picture = inserts.over(partial(self._scene, stage, person, number), clock)
                if number in self.posters:
                    best.look(number, picture)
                if painter is not None:
                    _stamp(picture, painter.at(clock))
                writer.picture(_faded(picture, clock, self.duration))
            best.write()  # before the shot appears: a shot that is there is whole

    def _set(self, height: int) -> Stage:
        """The stage in the upper `height` rows of the picture."""
        backdrop = Backdrop(self.background, (self.size[0], height), self.fps, self.frames)
        return Stage(self.matte, next(pictures(self.portrait)), backdrop, self.motion)

    def _scene(self, stage: Stage, person: Picture, number: int) -> Picture:
        """The stage, and under it what is left of the picture's height."""
        shown = stage.picture(person, number)
        under = self.size[1] - shown.shape[0]
        return np.concatenate([shown, np.zeros((under, *shown.shape[1:]), np.uint8)]) if under else shown

    def _people(self, shot: shots.Shot) -> Iterator[Picture]:
        """The person from the shot's first picture on; the portrait's last picture is held for ever."""
        about = facts(self.portrait)
        there = about.frames or shot.last
        last: Picture | None = None
        for last in pictures(self.portrait, start=min(shot.first, there - 1), threads=1):
            yield last
        while last is not None:
            yield last


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


def _poster_frames(
    timing: SpeechTiming, lead_in: float, duration: float, fps: int, frames: int, inserts: Sequence[Insert]
) -> frozenset[int]:
    """Pictures that may become the poster: nobody speaks, no insert is seen, the film is neither begun nor over."""
    quiet = np.ones(frames, bool)
    for start, end in speech_spans(timing):
        quiet[max(0, int((start + lead_in - 0.1) * fps)) : int((end + lead_in + 0.2) * fps) + 1] = False
    for insert in inserts:
        quiet[max(0, int(insert.start * fps)) : int(insert.end * fps) + 1] = False
    quiet[: int((FADE_IN + 0.1) * fps)] = False
    quiet[max(0, int((duration - FADE_OUT - 0.1) * fps)) :] = False
    found = np.flatnonzero(quiet)
    if len(found) == 0:
        found = np.array([frames // 2])
    return frozenset(found[:: max(1, len(found) // POSTERS)].tolist())


class _Best:
    """The sharpest of the pictures looked at (closed eyes are the softest), kept beside a shot."""

    def __init__(self, shot: Path) -> None:
        self._shot, self._score, self._number = shot, -1.0, 0
        self._picture: Picture | None = None

    def look(self, number: int, picture: Picture) -> None:
        height, width = picture.shape[:2]
        head = cv2.cvtColor(picture[height // 8 : height * 5 // 8, width // 3 : width * 2 // 3], cv2.COLOR_RGB2GRAY)
        score = float(cv2.Laplacian(cv2.resize(head, None, fx=0.5, fy=0.5), cv2.CV_32F).var())
        if score > self._score:
            self._score, self._picture, self._number = score, picture.copy(), number

    def write(self) -> None:
        if self._picture is not None:
            cv2.imwrite(str(self._shot.with_suffix(".png")), cv2.cvtColor(self._picture, cv2.COLOR_RGB2BGR))
            about = {"score": self._score, "number": self._number}
            self._shot.with_suffix(".json").write_text(json.dumps(about))


def _best_poster(folder: Path, poster: Path) -> int:
    """Writes the best picture of all shots; returns its number."""
    found = [(json.loads(path.read_text()), path) for path in sorted(folder.glob("[0-9]*.json"))]
    about, path = max(found, key=lambda one: (one[0]["score"], -one[0]["number"]))
    poster.write_bytes(path.with_suffix(".png").read_bytes())
    return int(about["number"])


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
