"""The eyeballs: a layer of their own behind the lids, so that a blink closes over them and the gaze can wander."""

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.lids import seam
from memorial_tasks.face.pixels import cv2
from memorial_tasks.face.warp import Region, blend, remap, soft_polygon

LIT, BRIGHTEST = 0.93, 1.6  # brightness of a shut lid against the skin between the brows; the most it is raised by
HANG, TIPS = 0.09, 0.7  # of shut lashes: eye widths below the line, and how much they cover of what is behind them
EYES = (
    (True, topo.RIGHT_EYE, topo.RIGHT_IRIS, topo.RIGHT_UPPER[0]),
    (False, topo.LEFT_EYE, topo.LEFT_IRIS, topo.LEFT_UPPER[0]),
)


def paint_eyes(
    canvas: NDArray[np.uint8],
    portrait: NDArray[np.uint8],
    mesh: NDArray[np.float32],
    points: NDArray[np.float32],
    still: NDArray[np.float32],
    gaze: tuple[float, float],
    blink: tuple[float, float],
) -> None:
    """Paint both eyes into `canvas` in place.

    `portrait` and `mesh` are the base photo and its points; `points` and `still` the frame's surface points with and
    without lids (see `FaceState`); `gaze` in iris radii, `blink` right and left 0..1.
    """
    height, width = canvas.shape[:2]
    for (right, ring, iris, upper), shut in zip(EYES, blink, strict=True):
        outline = topo.polygon(points, ring)
        eye_width = float(np.linalg.norm(mesh[ring[0], :2] - mesh[ring[8], :2]))
        region = Region.around(outline, 4, width, height)
        if region.width < 4 or region.height < 4:
            continue
        rows, columns = region.slices
        if shut < 0.98:
            back = geo.affine(topo.polygon(still, ring), topo.polygon(mesh, ring))
            x = np.arange(region.width, dtype=np.float64) + region.left
            y = (np.arange(region.height, dtype=np.float64) + region.top)[:, None]
            sx = back[0, 0] * x + back[0, 1] * y + back[0, 2]
            sy = back[1, 0] * x + back[1, 1] * y + back[1, 2]
            centre = mesh[iris[0], :2].astype(np.float64)
            radius = max(float(np.linalg.norm(mesh[list(iris[1:]), :2] - centre, axis=1).mean()), 1.0)
            away = np.hypot(sx - centre[0], sy - centre[1]) / radius
            pull = 1 - geo.smoothstep(1.05, 2.3, away)
            map_x = (sx - gaze[0] * radius * pull).astype(np.float32)
            map_y = (sy - gaze[1] * radius * 0.8 * pull).astype(np.float32)
            eye = remap(portrait, map_x, map_y)
            shade = 1 - 0.35 * shut * geo.smoothstep(
                0.0, 1.0, 0.6 - (y - outline[:, 1].min()) / max(np.ptp(outline[:, 1]), 1.0)
            )
            eye = (eye * np.broadcast_to(shade, (region.height, region.width))[..., None]).astype(np.uint8)
            inner = outline.copy()
            inner[1:8, 1] += 0.035 * eye_width  # the lash line belongs to the lid
            inner[9:, 1] -= 0.010 * eye_width
            mask = soft_polygon(inner, region, max(0.6, 0.012 * eye_width))
            canvas[rows, columns] = blend(np.ascontiguousarray(canvas[rows, columns]), eye, mask)
        if shut > 0.05:
            _lit(canvas, points, right, shut)
        if shut > 0.55:
            _lash_line(canvas, portrait, mesh[list(upper), :2], seam(points, right), eye_width, (shut - 0.55) / 0.45)


def _lit(canvas: NDArray[np.uint8], points: NDArray[np.float32], right: bool, shut: float) -> None:
    """The unfolded upper lid, up to its crease, catches the light. Its skin comes from the fold under the brow, which
    lay in shadow; a person's is `LIT` as bright as the skin between the brows (27 tracked pictures of shut eyes,
    GRID)."""
    height, width = canvas.shape[:2]
    rings = topo.RIGHT_UPPER if right else topo.LEFT_UPPER
    line = seam(points, right)
    outline = np.concatenate([line, points[list(rings[1]), :2][::-1]]).astype(np.float32)
    span = float(np.linalg.norm(line[-1] - line[0]))
    region = Region.around(outline, 0.1 * span + 2, width, height)
    rows, columns = region.slices
    mask = soft_polygon(outline, region, max(1.0, 0.07 * span))
    between = np.round(points[[8, 9], :2]).astype(int)
    skin = canvas[between[:, 1].clip(0, height - 1), between[:, 0].clip(0, width - 1)].astype(np.float32).mean(axis=0)
    patch = canvas[rows, columns].astype(np.float32)
    now = (patch * mask[..., None]).sum(axis=(0, 1)) / max(float(mask.sum()), 1e-6)
    wanted = LIT * skin - now
    # added, not multiplied: shadow in a fold is redder than skin, and brightened it would be orange
    light = np.clip(wanted.mean(), 0.0, (BRIGHTEST - 1) * now.mean()) / max(float(wanted.mean()), 1e-6) * wanted
    light = 0.5 * (light + light.mean())
    lit = patch + np.float32(shut) * mask[..., None] * light.astype(np.float32)
    canvas[rows, columns] = np.clip(lit + 0.5, 0, 255).astype(np.uint8)


def _lash_line(
    canvas: NDArray[np.uint8],
    portrait: NDArray[np.uint8],
    lashes: NDArray[np.float32],
    line: NDArray[np.float32],
    eye_width: float,
    strength: float,
) -> None:
    """Where shut lids meet there is a soft dark `line` [N, 2] from the outer to the inner corner, in the colour of the
    person's own `lashes` (places in the portrait), and the lashes hang down from it."""
    height, width = canvas.shape[:2]
    region = Region.around(line, 0.16 * eye_width + 3, width, height)
    rows, columns = region.slices
    places = np.round(lashes).astype(int)
    found = portrait[places[:, 1].clip(0, portrait.shape[0] - 1), places[:, 0].clip(0, portrait.shape[1] - 1)]
    colour = np.median(found, axis=0) * 0.5
    along = np.linspace(0, 1, len(line))
    taper = (np.sin(np.pi * along**0.8) ** 0.7)[:, None]  # broadest towards the outer corner: the longest lashes
    band = _stroke(line, np.ones_like(taper) * max(1.5, 0.035 * eye_width), region, max(0.8, 0.02 * eye_width))
    stroke = _stroke(line, taper * max(0.4, 0.022 * eye_width), region, max(0.5, 0.016 * eye_width))
    across = _across(line)
    hanging = (line + across * HANG * eye_width * taper / 2).astype(np.float32)
    tips = _stroke(hanging, taper * HANG * eye_width / 2, region, max(0.6, 0.025 * eye_width))
    share = np.float32(np.clip(strength, 0, 1))
    # Upper lashes and lower lid meet without any pixel between them: that edge is softened before it is drawn over.
    patch = np.ascontiguousarray(canvas[rows, columns])
    soft = np.asarray(cv2.GaussianBlur(patch, (0, 0), max(0.9, 0.02 * eye_width)), np.uint8)
    patch = blend(patch, soft, band * share)
    drawn = np.broadcast_to(colour.astype(np.uint8), patch.shape).copy()
    dark = np.maximum(stroke * np.float32(0.85), tips * np.float32(TIPS))
    canvas[rows, columns] = blend(patch, drawn, dark * share)


def _across(line: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit vectors [N, 2] across a line [N, 2] of picture pixels, towards the picture's lower edge."""
    step = np.gradient(line.astype(np.float64), axis=0)
    across = np.stack([-step[:, 1], step[:, 0]], axis=1) / np.maximum(np.linalg.norm(step, axis=1), 1e-6)[:, None]
    return np.asarray(across if across[:, 1].sum() > 0 else -across)


def _stroke(
    line: NDArray[np.float32], half: NDArray[np.float64], region: Region, feather: float
) -> NDArray[np.float32]:
    """A soft stroke along points [N, 2] (picture pixels) inside `region`, `half` [N, 1] pixels to each side of them,
    float32 [H, W] in 0..1."""
    away = _across(line) * half
    outline = np.concatenate([line + away, (line - away)[::-1]])
    return soft_polygon(outline.astype(np.float32), region, feather, smooth=False)
