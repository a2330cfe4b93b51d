"""A drawn person in motion and a spoken track made by program, small enough for seconds."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from memorial_tasks.domain.timing import LineTime, PhoneTime, SpeechTiming, WordTime
from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.video.encode import FilmWriter

ENGLISH = "The garden was full of light, and you were all there."
CHINESE = "那天花园里全是阳光，你们都在。"


def make_timing(duration=2.0, language=Language.EN_US, texts=(ENGLISH,), gap=0.5) -> SpeechTiming:
    """`texts` spoken evenly over `duration`, `gap` seconds of silence between them."""
    spoken = (duration - gap * (len(texts) - 1)) / len(texts)
    lines, words, phones = [], [], []
    clock = 0.0
    for index, text in enumerate(texts):
        pieces = text.split() if language is Language.EN_US else [c for c in text if c.isalnum()]
        step = spoken / len(pieces)
        lines.append(
            LineTime(
                index=index, text=text, language=language, emotion=Emotion.WARM, intensity=0.6, start=clock,
                end=clock + spoken,
            )
        )  # fmt: skip
        for piece in pieces:
            words.append(WordTime(text=piece.strip(".,"), start=clock, end=clock + step))
            phones.append(PhoneTime(phone="AA", start=clock, end=clock + step))
            clock += step
        if index + 1 < len(texts):
            phones.append(PhoneTime(phone="SIL", start=clock, end=clock + gap))
            clock += gap
    return SpeechTiming(
        sample_rate=24000, duration=duration, lines=tuple(lines), words=tuple(words), phones=tuple(phones)
    )


@pytest.fixture(scope="session")
def timing() -> Callable[..., SpeechTiming]:
    return make_timing


def person(size=(240, 320), shift=0):
    """(photo uint8 [H, W, 3], matte uint8 [H, W]): an oval head on shoulders before a loud green wall."""
    width, height = size
    photo = np.full((height, width, 3), (20, 220, 40), np.uint8)
    matte = np.zeros((height, width), np.uint8)
    for canvas, skin, cloth in ((photo, (205, 160, 135), (60, 70, 120)), (matte, 255, 255)):
        cv2.ellipse(canvas, (width // 2, height), (width * 3 // 8, height // 3), 0, 0, 360, cloth, -1, cv2.LINE_AA)
        cv2.ellipse(canvas, (width // 2, height * 2 // 5), (width // 5, height // 4), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x in (-1, 1):
        cv2.circle(photo, (width // 2 + x * width // 12 + shift, height * 3 // 8), 5, (30, 20, 20), -1, cv2.LINE_AA)
    return photo, matte


@pytest.fixture(scope="session")
def drawn():
    return person


def make_speech(path: Path, duration: float, loud=0.2, rate=24000) -> Path:
    clock = np.arange(round(duration * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 130 * k * clock) / k for k in range(1, 20)) * loud
    soundfile.write(path, (wave * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * clock))).astype(np.float32), rate, "PCM_16")
    return path


def make_music(path: Path, duration: float, rate=48000) -> Path:
    clock = np.arange(round(duration * rate)) / rate
    wave = sum(np.sin(2 * np.pi * note * clock) for note in (220, 277, 330)) * 0.1
    soundfile.write(path, np.stack([wave, wave], 1).astype(np.float32), rate, "PCM_16")
    return path


@pytest.fixture(scope="session")
def speech_file():
    return make_speech


@pytest.fixture(scope="session")
def music_file():
    return make_music


@pytest.fixture(scope="session")
def portrait(tmp_path_factory):
    """(portrait.mp4 of 3 s, matte)."""
    path = tmp_path_factory.mktemp("portrait") / "portrait.mp4"
    matte = person()[1]
    with FilmWriter(path, (240, 320), 25, crf=8, preset="ultrafast", pixel_format="yuv444p") as writer:
        for number in range(75):
            writer.picture(person(shift=round(3 * np.sin(number / 6)))[0])
    return path, matte


@pytest.fixture(scope="session")
def font_file() -> Path:
    from memorial_tasks.errors import Unavailable
    from memorial_tasks.settings import Settings
    from memorial_tasks.video.fonts import cjk_font

    try:
        return cjk_font(Settings().assets_dir)
    except Unavailable:
        pytest.skip("no font with Chinese letters: run `make setup`")
