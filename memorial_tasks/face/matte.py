"""Person and background: a soft matte that follows hair, and the background behind the person filled in."""

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2

DISTINCT = 20.0  # Lab: from here on a background is told from hair by its colour
SPILL = 90.0  # the height of a photo over how many pixels its background's colour may have bled inwards


def soft_matte(rgb: NDArray[np.uint8], coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Refine the segmenter's coarse outline (float32 [H, W]) along the picture's edges: a guided filter (He 2013) at
    two radii. Returns float32 [H, W] in 0..1."""
    height, width = coarse.shape
    scale = 512 / max(height, width)
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    alpha = cv2.resize(coarse, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    guide = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    for radius, softness in ((12, 1e-3), (4, 3e-4)):
        alpha = np.mean([_guided(guide[..., k], alpha, radius, softness) for k in range(3)], axis=0).astype(np.float32)
    alpha = ((alpha - 0.12) / 0.76).clip(0, 1)
    labels, marks, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.4).astype(np.uint8))
    if labels > 1:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        near = cv2.dilate((marks == largest).astype(np.uint8), np.ones((9, 9), np.uint8))
        alpha = alpha * near
    return np.asarray(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 1)


def _guided(
    guide: NDArray[np.float32], source: NDArray[np.float32], radius: int, softness: float
) -> NDArray[np.float32]:
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(image: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(image, size), np.float32)

    m_g, m_s = mean(guide), mean(source)
    slope = (mean(guide * source) - m_g * m_s) / (mean(guide * guide) - m_g * m_g + softness)
    return mean(slope) * guide + mean(m_s - slope * m_g)


def clean_plate(rgb: NDArray[np.uint8], matte: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The background with the person filled in from its borders (a pull-push pyramid): seen only in the narrow strips
    that a moving head uncovers."""
    weight = 1 - cv2.dilate((matte > 0.03).astype(np.uint8), np.ones((7, 7), np.uint8)).astype(np.float32)
    if weight.mean() < 0.02:
        return rgb.copy()
    plate = _filled(rgb.astype(np.float32), weight).clip(0, 255)
    keep = cv2.GaussianBlur(weight, (0, 0), 1.5)[..., None] * weight[..., None]
    return np.asarray(rgb * keep + plate * (1 - keep), np.uint8)


def without_spill(rgb: NDArray[np.uint8], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo without the tint that its background left on the person's outline: film and video keep colours more
    coarsely than light, so a bright wall colours the hair in front of it. `rgb` uint8 [H, W, 3], `matte` uint8 [H, W],
    255 = person; the light of every pixel stays, and so does everything farther in than `SPILL`.

    In Lab, what lies on the way from the person's colour farther in to the background's is taken back, in each of the
    two colour channels by itself: the red of an ear before a blue wall, of which only one has run, is a magenta rim."""
    reach = max(3, round(matte.shape[0] / SPILL))
    person, behind = (matte > 200).astype(np.uint8), (matte < 8).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = cv2.erode(person, kernel).astype(np.float32)
    outside = cv2.erode(behind, np.ones((5, 5), np.uint8)).astype(np.float32)
    if not inside.any() or not outside.any():
        return rgb
    lab = cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    own, wall = (_filled(lab[..., 1:], known) for known in (inside, outside))
    line = wall - own
    length = (line**2).sum(axis=2)
    share = ((lab[..., 1:] - own) * line / np.maximum(line**2, 1.0)).clip(0, 1)
    depth = cv2.distanceTransform((matte > 127).astype(np.uint8), cv2.DIST_L2, 3)
    weight = (length / (length + 15.0**2)) * ((1.5 * reach - depth) / (0.5 * reach)).clip(0, 1)
    lab[..., 1:] -= weight[..., None] * share * line
    cleaned = (cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255).round().clip(0, 255).astype(np.uint8)
    return np.asarray(np.where((matte > 0)[..., None], cleaned, rgb), np.uint8)


def without_gaps(
    rgb: NDArray[np.uint8], matte: NDArray[np.float32], points: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The matte, float32 [H, W] in 0..1, opened where the background is seen through loose hair beside the face: the
    segmenter takes what hair encloses for the person. `rgb` uint8 [H, W, 3], `points` the mesh in pixels.

    Only beside the face and above the chin, and only what has the colour of the nearest background, where that is far
    from the hair's: a shirt or an eye in the colour of the wall stays."""
    outside = cv2.erode((matte < 0.02).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
    oval = points[list(topo.OVAL), :2]
    tall = float(np.ptp(oval[:, 1]))
    face = np.zeros(matte.shape, np.uint8)
    cv2.fillPoly(face, [np.round(oval.mean(axis=0) + (oval - oval.mean(axis=0)) * 1.04).astype(np.int32)], 1)
    beside = (matte > 0.02) & (face == 0) & (np.arange(len(matte))[:, None] < oval[:, 1].max())
    if not outside.any() or not beside.any():
        return matte
    lab = cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    wall = _filled(lab, outside)
    hair = np.median(lab[beside], axis=0)
    distinct = np.linalg.norm(wall[..., 1:] - hair[1:], axis=2) > DISTINCT
    away = np.hypot(np.linalg.norm(lab[..., 1:] - wall[..., 1:], axis=2), 0.35 * (lab[..., 0] - wall[..., 0]))
    seen = (1 - (away - 12) / 10).clip(0, 1) * (beside & distinct)
    _, marks, stats, _ = cv2.connectedComponentsWithStats((seen > 0.5).astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] > (0.02 * tall) ** 2
    large[0] = False
    # Loose strands are thinner than a pixel: there a pixel is as much wall as its colour is on the way there.
    line = wall[..., 1:] - hair[1:]
    mixed = ((lab[..., 1:] - hair[1:]) * line).sum(axis=2) / np.maximum((line**2).sum(axis=2), 1.0)
    open_air = np.maximum(large[marks].astype(np.float32), outside)
    far = cv2.distanceTransform((open_air == 0).astype(np.uint8), cv2.DIST_L2, 3) / (0.12 * tall)
    strands = ((mixed - 0.3) / 0.5).clip(0, 1) * (beside & distinct) * (2 - 2 * far).clip(0, 1)
    # Not down to the chin: a shoulder may be there, in cloth that is neither hair nor wall.
    strands *= ((oval[:, 1].max() - 0.08 * tall - np.arange(len(matte))) / (0.08 * tall)).clip(0, 1)[:, None]
    near = cv2.dilate(large[marks].astype(np.uint8), np.ones((3, 3), np.uint8))
    opened = cv2.GaussianBlur(np.maximum(seen * near, strands).astype(np.float32), (0, 0), 0.8)
    return np.asarray(matte * (1 - opened), np.float32)


def _filled(picture: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colours where `weight` [H, W] is 1 spread over the whole picture [H, W, C] (a pull-push pyramid)."""
    levels = [(picture * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        colour, share = levels[-1]
        size = (max(1, share.shape[1] // 2), max(1, share.shape[0] // 2))
        levels.append(
            (
                cv2.resize(colour, size, interpolation=cv2.INTER_AREA),
                cv2.resize(share, size, interpolation=cv2.INTER_AREA),
            )
        )
    colour, share = levels[-1]
    filled = colour / np.maximum(share[..., None], 1e-4)
    for colour, share in reversed(levels[:-1]):
        up = cv2.resize(filled, (share.shape[1], share.shape[0]), interpolation=cv2.INTER_LINEAR)
        known = np.minimum(share * 4, 1)[..., None]
        filled = colour / np.maximum(share[..., None], 1e-4) * known + up * (1 - known)
    return np.asarray(filled, np.float32)
