"""The person cut out of a photo: an outline that follows hair, and no rim of the old background.

A segmenter's outline is soft over several pixels and holds some of what was behind. Where person and background differ
in colour, the share of each in a pixel can be read from the pixel itself: it lies on the line between the two
(compositing equation; Smith and Blinn 1996). Where they do not differ the segmenter's word stays.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]
REACH: Final = 64  # the height of a photo over how many pixels its outline may be wrong by
TELLS: Final = 42.0  # colour difference (of 255) from which a pixel is believed more than the segmenter


def exact_matte(photo: Picture, matte: Picture) -> Picture:
    """The matte with its edge decided by the photo's own colours, uint8 [H, W]. Far from the edge nothing changes."""
    height = matte.shape[0]
    reach = max(3, round(height / REACH))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    alpha = matte.astype(np.float32) / 255
    inside = cv2.erode((alpha > 0.9).astype(np.uint8), kernel)
    outside = 1 - cv2.dilate((alpha > 0.1).astype(np.uint8), kernel)
    if not inside.any() or not outside.any():
        return matte
    # colours are taken from farther off than the edge can be wrong, and smoothed: one stray pixel decides nothing
    colour = cv2.GaussianBlur(photo, (0, 0), 1.0).astype(np.float32)
    person, behind = _spread(colour, inside), _spread(colour, outside)
    line = person - behind
    length = (line**2).sum(axis=2)
    share = ((photo.astype(np.float32) - behind) * line).sum(axis=2) / np.maximum(length, 1.0)
    share = np.clip((np.clip(share, 0, 1) - 0.10) / 0.80, 0, 1)
    trust = length / (length + TELLS**2)
    mixed = trust * share + (1 - trust) * alpha
    # A shirt or a highlight in the colour of the wall must not become a hole: inside only the rim is asked.
    depth = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    mixed = np.maximum(mixed, np.clip((depth - 0.6 * reach) / (0.4 * reach), 0, 1))
    mixed[outside > 0] = 0
    mixed[inside > 0] = 1
    fine = cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), 0.6)
    return _largest(np.asarray(np.clip(fine * 255 + 0.5, 0, 255), np.uint8))


def _largest(matte: Picture) -> Picture:
    """Without specks of the background that happened to have the person's colour."""
    count, marks, stats, _ = cv2.connectedComponentsWithStats((matte > 60).astype(np.uint8))
    if count <= 2:
        return matte
    person = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    near = cv2.dilate((marks == person).astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(matte * near, np.uint8)


def extend_person(photo: Picture, matte: Picture) -> Picture:
    """The photo with everything that is not the person replaced by the person's own colours, drawn outwards.

    An outline is never quite right, and a moving head slides under it: what shows there must be hair and cloth, not a
    rim of the old background. `photo` uint8 [H, W, 3], `matte` uint8 [H, W]; the inside stays untouched.
    """
    height = matte.shape[0]
    alpha = matte.astype(np.float32) / 255
    times = max(2, height // 240)
    sure = cv2.erode((alpha > 0.95).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=times)
    if not sure.any():
        return photo
    filled = _spread(photo.astype(np.float32), sure)
    own = cv2.GaussianBlur(sure.astype(np.float32), (0, 0), max(1.0, height / 700))
    own = (np.clip(own * 2 - 1, 0, 1) * sure)[..., None]
    return np.asarray(np.clip(photo * own + filled * (1 - own) + 0.5, 0, 255), np.uint8)


def _spread(picture: Plane, known: NDArray[Any]) -> Plane:
    """The colours where `known` (0 or 1) spread over the whole picture, float32 [H, W, 3] (a pull-push pyramid)."""
    weight = known.astype(np.float32)
    colour = picture * weight[..., None]
    levels = [(colour, weight)]
    while min(levels[-1][1].shape) > 3:
        colour, weight = levels[-1]
        size = max(1, weight.shape[1] // 2), max(1, weight.shape[0] // 2)
        levels.append((_shrunk(colour, size), _shrunk(weight, size)))
    colour, weight = levels[-1]
    filled = colour / np.maximum(weight[..., None], 1e-4)
    for colour, weight in reversed(levels[:-1]):
        wider = cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        sure = np.clip(weight * 3, 0, 1)[..., None]
        filled = colour / np.maximum(weight[..., None], 1e-4) * sure + wider * (1 - sure)
    return np.asarray(filled, np.float32)


def _shrunk(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
