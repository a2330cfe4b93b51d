"""Printed pictures: a newspaper or book prints light and shade as a grid of dots, which a scan and then a film shows.

The grid is found in the picture's spectrum (averaged over many windows, so that a striped shirt is not taken for it):
two directions, not those of the pixels, in which one and the same distance returns. It is taken out by smoothing just
as far as the dots are apart; what is finer was never printed.
"""

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face.pixels import cv2

WINDOW = 128  # pixels; a bin of the spectrum is 1 / WINDOW cycles a pixel
FINEST, COARSEST = 0.45, 0.045  # cycles a pixel: dots 2.2 to 22 pixels apart
CLEAR = 60.0  # times stronger than its ring of the spectrum: photos, poor JPEGs too, stay below 30, print is above 200
VISIBLE = 0.02  # share of the variance in one bin: a trace nobody sees is left alone; print has 0.06 to 0.09
ON_AXIS = 2.5  # bins: the blocks of JPEG and film lie on the axes
SMOOTHED = 0.445  # of the dots' distance: a Gaussian of this width leaves 2 % of them


def dots_apart(rgb: NDArray[np.uint8]) -> float | None:
    """How many pixels the dots of a printed picture are apart, `rgb` uint8 [H, W, 3]; None for a photo."""
    light = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    rows, columns = (range(0, size - WINDOW + 1, max(WINDOW // 2, (size - WINDOW) // 7 or 1)) for size in light.shape)
    hann = np.outer(np.hanning(WINDOW), np.hanning(WINDOW))
    windows = [light[y : y + WINDOW, x : x + WINDOW].astype(np.float32) for y in rows for x in columns]
    windows = [window for window in windows if window.std() > 2]
    if len(windows) < 4:
        return None
    power = np.median([np.abs(np.fft.fft2((w - w.mean()) * hann)) ** 2 / w.var() for w in windows], axis=0)
    fy, fx = (np.fft.fftfreq(WINDOW)[:, None], np.fft.fftfreq(WINDOW)[None])
    radius = np.hypot(fx, fy)
    ring = np.round(radius * WINDOW).astype(int)
    usual = np.array([np.median(power[ring == r]) for r in range(ring.max() + 1)])
    clear = power / np.maximum(usual[ring], 1e-9)
    off_axis = np.minimum(np.abs(fx), np.abs(fy)) * WINDOW > ON_AXIS
    clear[(radius > FINEST) | (radius < COARSEST) | ~off_axis] = 0
    first = np.unravel_index(int(np.argmax(clear)), clear.shape)
    if clear[first] < CLEAR or power[first] < VISIBLE * power.sum():
        return None
    angle, apart = np.arctan2(fy[first[0], 0], fx[0, first[1]]), radius[first]
    turned = np.abs(np.sin(np.arctan2(fy, fx) - angle))
    second = clear * (turned > 0.7) * (np.abs(radius / apart - 1) < 0.15)
    return float(1 / apart) if second.max() >= CLEAR else None


def without_dots(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float | None]:
    """The picture without the dots it was printed in, and how many pixels they were apart; a photo is returned as it
    is, with None."""
    apart = dots_apart(rgb)
    if apart is None:
        return rgb, None
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), SMOOTHED * apart), np.uint8), apart
