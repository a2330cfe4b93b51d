"""A film is watched and heard through its numbers; each thing that can be wrong with it shows in one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from memorial_tasks.domain.timing import LineTime, SpeechTiming, WordTime
from memorial_tasks.quality.film import AROUND, SPEECH_START, FilmMeasure, measure_film, word_errors
from memorial_tasks.quality.gate import run_suite
from memorial_tasks.quality.sheets import contact_sheet, spectrogram

FPS, RATE, SECONDS = 12, 48_000, 4.0


def quiet(fraction: float, message: str) -> None:
    assert 0 <= fraction <= 1


@pytest.fixture(scope="module")
def sound(speech: Callable[..., Any]) -> Any:
    return speech(SECONDS, rate=RATE, seed=4, pauses=0.0)


def timing() -> SpeechTiming:
    words = tuple(WordTime(text="w", start=0.1 + 0.5 * n, end=0.5 + 0.5 * n) for n in range(7))
    line = LineTime(index=0, text="w", language="en-US", emotion="calm", intensity=0.5, start=0.1, end=3.9)
    return SpeechTiming(sample_rate=24_000, duration=SECONDS, lines=(line,), words=words, phones=())


def film(path: Path, photo: Callable[..., Any], sound: Any, *, frozen: bool = False, black: bool = False,
         late: float = 0.0, faces: int = 1) -> Path:  # fmt: skip
    total = SECONDS + AROUND
    base = photo((320, 180), faces=faces, span=40)
    with av.open(str(path), "w") as box:
        picture = box.add_stream("libx264", rate=FPS, options={"crf": "12", "preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 320, 180, "yuv444p"
        audio = box.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        for index in range(round(total * FPS)):
            rgb = base.copy()
            if not frozen:
                cv2.circle(rgb, (30 + index % 20, 150), 12, (240, 240, 240), -1)
            if black:
                rgb[:] = 0
            box.mux(picture.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        box.mux(picture.encode(None))
        track = np.zeros(round(total * RATE), np.float32)
        start = round((SPEECH_START + late) * RATE)
        track[start : start + len(sound)] = sound[: len(track) - start]
        frame = av.AudioFrame.from_ndarray(track[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        box.mux(audio.encode(frame))
        box.mux(audio.encode(None))
    return path


def codes(measure: FilmMeasure) -> set[str]:
    return {finding.code for finding in run_suite("film", {"all": measure.numbers()}).findings}


@pytest.fixture
def watch(tmp_path: Path, photo: Callable[..., Any], sound: Any, finder: Any, detector: Any) -> Callable[..., Any]:
    def measured(**faults: Any) -> Any:
        track = sound * faults.pop("gain", 1.0)
        return measure_film(film(tmp_path / "f.mp4", photo, track, **faults), timing(), finder, detector, quiet)

    return measured


def test_a_whole_film_is_measured_and_shown(watch: Callable[..., Any], tmp_path: Path) -> None:
    measure, look = watch()
    assert measure.duration == pytest.approx(SECONDS + AROUND, abs=0.15)
    assert measure.speech_faces == 1
    assert measure.speech_heard > 0.8
    assert abs(measure.speech_offset) < 0.2
    assert measure.frozen_longest < 0.5
    assert measure.black_share == 0
    assert not codes(measure) & {"film.frozen", "film.black", "film.no_face", "film.not_heard", "film.too_short"}
    assert len(look.shots) == 10
    contact_sheet(tmp_path / "sheet.png", look.shots)
    spectrogram(tmp_path / "sound.png", look.sound, look.rate)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    assert (tmp_path / "sound.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"frozen": True}, "film.frozen"),
        ({"black": True}, "film.black"),
        ({"faces": 2}, "film.no_face"),
        ({"faces": 0}, "film.no_face"),
        ({"gain": 0.0}, "film.not_heard"),
        ({"gain": 0.02}, "film.loudness_off"),
        ({"late": 0.9}, "film.misplaced"),
    ],
)
def test_each_fault_closes_or_warns(watch: Callable[..., Any], faults: dict[str, Any], code: str) -> None:
    assert code in codes(watch(**faults)[0])


def test_a_film_that_ends_early_is_too_short(tmp_path: Path, photo: Callable[..., Any], sound: Any, finder: Any,
                                             detector: Any) -> None:  # fmt: skip
    path = film(tmp_path / "f.mp4", photo, sound)
    measure, _ = measure_film(path, timing(), finder, detector, quiet, expected=SECONDS + AROUND + 5)
    assert "film.too_short" in codes(measure)


def test_a_recogniser_hears_no_words_in_noise() -> None:
    noise = (0.05 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)
    assert word_errors(noise, RATE, ["we had a good life"]) >= 0.6
