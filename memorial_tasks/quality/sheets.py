"""Pictures for the reviewer: ten frames of the film with their times, and the spectrogram of its sound."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_CELL = (480, 270)
_BAR = 28


def contact_sheet(path: Path, shots: Sequence[tuple[float, NDArray[Any]]], columns: int = 5) -> None:
    """Write frames (time in s, uint8 RGB) as one PNG, each with its time beneath."""
    rows = max(-(-len(shots) // columns), 1)
    width, height = _CELL
    sheet = Image.new("RGB", (columns * width, rows * (height + _BAR)), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    for number, (time, rgb) in enumerate(shots):
        left, top = number % columns * width, number // columns * (height + _BAR)
        image = Image.fromarray(rgb)
        image.thumbnail(_CELL, Image.Resampling.BILINEAR)
        sheet.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
        minutes, seconds = divmod(time, 60)
        draw.text((left + 8, top + height + 4), f"{number + 1}   {int(minutes)}:{seconds:05.2f}", (235, 235, 235), font)
    sheet.save(path, "PNG")


def spectrogram(path: Path, sound: NDArray[np.float32], rate: int, top_hz: float = 10_000.0) -> None:
    """Write the spectrogram of mono sound as PNG: 1600 px wide, 0 Hz to `top_hz`, 80 dB deep, with a scale."""
    size, width, height = 1024, 1600, 400
    if len(sound) < size:
        sound = np.pad(sound, (0, size - len(sound)))
    hop = max((len(sound) - size) // width, 64)
    windows = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    power = np.abs(np.fft.rfft(windows * np.hanning(size).astype(np.float32), axis=1))[:, : int(size * top_hz / rate)]
    level = 20 * np.log10(power.T[::-1] + 1e-5)
    grey = ((level - level.max() + 80) / 80).clip(0, 1)
    picture = cv2.resize((grey * 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    image = Image.fromarray(cv2.cvtColor(cv2.applyColorMap(picture, cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB))
    framed = Image.new("RGB", (width + 60, height + 30), (24, 24, 24))
    framed.paste(image, (60, 0))
    draw = ImageDraw.Draw(framed)
    font = ImageFont.load_default(14)
    for kilohertz in range(0, int(top_hz // 1000) + 1, 2):
        at = max(int(height * (1 - 1000 * kilohertz / top_hz)) - 8, 2)
        draw.text((6, at), f"{kilohertz} kHz", (220, 220, 220), font)
    seconds = len(sound) / rate
    for tick in np.arange(0, seconds, max(round(seconds / 12), 1)):
        draw.text((60 + int(width * tick / seconds), height + 6), f"{tick:.0f} s", (220, 220, 220), font)
    framed.save(path, "PNG")
