"""The surface that is bent: the face mesh, rings of hair and neck around it, and a coarse grid over the rest.

One triangulation is made for a person's base photo and used for every frame, so that nothing flickers. The points are
laid out with mouth and eyes opened first: then no triangle crosses from the upper to the lower lip or lid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.pixels import cv2

SLIVER = 2e-4  # twice the area in ipd squared
RINGS = (1.1, 1.24, 1.42, 1.65)  # size of the rings, relative to the face oval


@dataclass(frozen=True)
class Surface:
    """All points of the moving picture and what each takes part in.

    `points` float32 [V, 3] (the first 468 are the mesh), `triangles` int32 [M, 3], `hole` bool [M] marks mouth and eye
    openings and slivers, `outer` int32 [V]: for ring points the index of the oval point they follow (else -1), `follow`
    float32 [V]: how much of that point's expression they take over, `head` float32 [V]: share of the head motion,
    `body`: of breathing.
    """

    points: NDArray[np.float32]
    triangles: NDArray[np.int32]
    hole: NDArray[np.bool_]
    outer: NDArray[np.int32]
    follow: NDArray[np.float32]
    head: NDArray[np.float32]
    body: NDArray[np.float32]


def build_surface(mesh: NDArray[np.float32], width: int, height: int) -> Surface:
    """The surface over a portrait of `width` x `height` pixels with the given mesh (float32 [478, 3], pixels)."""
    face = mesh[: topo.SURFACE].astype(np.float64)
    ipd = geo.interocular(mesh)
    oval = face[list(topo.OVAL)]
    centre = oval[:, :2].mean(axis=0)
    axes = _frame(mesh)
    points, layout = [face], [_opened(face, ipd)]
    outer, follow, head, body = [-1] * len(face), [0.0] * len(face), [1.0] * len(face), [0.0] * len(face)
    pivot = oval[:, 2].max()
    for size, share in zip(RINGS, (0.8, 0.5, 0.2, 0.0), strict=True):
        ring = oval.copy()
        ring[:, :2] = centre + (oval[:, :2] - centre) * size
        ring[:, 2] = pivot + (oval[:, 2] - pivot) * share
        points.append(ring)
        layout.append(ring)
        outer += list(topo.OVAL)
        follow += [share] * len(ring)
        weights = _head_share(ring[:, :2], centre, axes, oval)
        head += list(weights)
        body += list(0.4 * _below(ring[:, :2], centre, axes, oval))
    grid = _grid(centre, oval[:, :2], width, height, ipd)
    grid3 = np.hstack([grid, np.full((len(grid), 1), pivot)])
    points.append(grid3)
    layout.append(grid3)
    outer += [-1] * len(grid)
    follow += [0.0] * len(grid)
    head += list(_head_share(grid, centre, axes, oval))
    body += list(_below(grid, centre, axes, oval))
    flat = np.vstack([part[:, :2] for part in layout])
    triangles = Delaunay(flat).simplices.astype(np.int32)
    areas = geo.signed_areas(flat, triangles)
    triangles = triangles[np.abs(areas) > 1e-3]
    flipped = geo.signed_areas(flat, triangles) < 0
    triangles[flipped] = triangles[flipped][:, [0, 2, 1]]
    hole = np.zeros(len(triangles), bool)
    for ring_indices in (topo.INNER_MOUTH, topo.RIGHT_EYE, topo.LEFT_EYE):
        hole |= np.isin(triangles, ring_indices).all(axis=1)
    upper_lip = sum((ring[1:-1] for ring in topo.UPPER_LIP), ())
    lower_lip = sum((ring[1:-1] for ring in topo.LOWER_LIP), ())
    for upper, lower in (
        (upper_lip, lower_lip),
        (topo.RIGHT_UPPER[0], topo.RIGHT_LOWER[0][1:-1]),
        (topo.LEFT_UPPER[0], topo.LEFT_LOWER[0][1:-1]),
    ):  # slivers at the corners that span the opening belong to it
        hole |= np.isin(triangles, upper).any(axis=1) & np.isin(triangles, lower).any(axis=1)
    # Slivers hold no skin worth showing; stretched they would, so their neighbours are painted over them.
    hole |= np.abs(geo.signed_areas(np.vstack(points), triangles)) < SLIVER * ipd**2
    first = np.argsort(~hole, kind="stable")  # openings are painted first, skin over their rims
    triangles, hole = triangles[first], hole[first]
    return Surface(
        np.vstack(points).astype(np.float32),
        triangles,
        hole,
        np.array(outer, np.int32),
        np.array(follow, np.float32),
        np.array(head, np.float32),
        np.array(body, np.float32),
    )


def clear_rims(mesh: NDArray[np.float32], portrait: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
    """The mesh with the inner lip line of an open mouth drawn into the lips: the model often lays it on the rim of the
    teeth, and that rim would stay in the picture when the mouth closes, or show as a pale patch on the lip. `portrait`,
    uint8 [H, W, 3], shows how far the teeth really reach; without it a share of the gap is taken. Returns a copy
    [478, 3]."""
    result = mesh.copy()
    ipd = geo.interocular(mesh)
    down = _frame(mesh)[1].astype(np.float32)
    gaps = (mesh[list(topo.LIP_LOWER_INNER), :2] - mesh[list(topo.LIP_UPPER_INNER), :2]) @ down
    # The lower lip lies in its own shade, which is no tooth: it is trusted less.
    for rings, sign, weight, most in (
        ((topo.LIP_UPPER_INNER, topo.LIP_UPPER_NEAR, topo.LIP_UPPER_MIDDLE), -1.0, 1.0, 0.75),
        ((topo.LIP_LOWER_INNER, topo.LIP_LOWER_NEAR, topo.LIP_LOWER_MIDDLE), 1.0, 0.6, 0.3),
    ):
        shifts = weight * np.minimum(0.30 * np.maximum(gaps - 0.02 * ipd, 0.0), 0.03 * ipd)
        if portrait is not None and gaps.max() > 0.02 * ipd:
            shifts = np.maximum(shifts, _teeth_beyond(portrait, mesh, rings, np.float32(sign) * down, ipd, most))
        for place in range(1, 10):
            for ring, share in zip(rings, (1.0, 0.75, 0.4), strict=True):
                result[ring[place], :2] += down * np.float32(sign * share * shifts[place])
    for lower in (topo.RIGHT_LOWER, topo.LEFT_LOWER):  # likewise a rim of white would stay when the lids shut
        width = float(np.linalg.norm(mesh[lower[0][0], :2] - mesh[lower[0][-1], :2]))
        for ring, share in zip(lower[:2], (0.03, 0.015), strict=True):
            result[list(ring[1:-1]), :2] += down * np.float32(share * width)
    return result


def _teeth_beyond(
    portrait: NDArray[np.uint8],
    mesh: NDArray[np.float32],
    rings: tuple[tuple[int, ...], ...],
    outward: NDArray[np.float32],
    ipd: float,
    most: float,
) -> NDArray[np.float64]:
    """How far teeth or the dark reach beyond the inner lip line, in pixels for each of its 11 points: less red than the
    lip itself, measured `outward` from the line. At most `most` of the way to the middle of the lip."""
    lab = cv2.cvtColor(cv2.GaussianBlur(portrait, (0, 0), max(0.6, 0.006 * ipd)), cv2.COLOR_RGB2LAB).astype(np.float32)

    def seen(points: NDArray[np.float32]) -> NDArray[np.float32]:
        x = points[..., 0].round().astype(int).clip(0, portrait.shape[1] - 1)
        y = points[..., 1].round().astype(int).clip(0, portrait.shape[0] - 1)
        return np.asarray(lab[y, x], np.float32)

    inner, middle = mesh[list(rings[0]), :2], mesh[list(rings[2]), :2]
    lip = np.median(seen(middle[2:-2]), axis=0)
    way = np.linspace(0.0, 0.048, 13, dtype=np.float32) * np.float32(ipd)
    colours = seen(inner[:, None] + way[None, :, None] * outward)
    pale = (colours[..., 1] < lip[1] - 5).cumprod(axis=1)  # film and JPEG bleed the lip's red into the teeth: a margin
    reach = np.where(pale[:, 0] > 0, way[pale.sum(axis=1).clip(1) - 1] + 0.02 * ipd, 0.0)
    spread = np.maximum(reach, np.convolve(np.pad(reach, 1), (0.5, 0.0, 0.5), "valid"))
    room = ((middle - inner) @ outward).clip(0)
    return np.asarray(np.minimum(spread, most * room))


def _frame(mesh: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows: unit vectors of the face's own right-hand and down direction in the picture."""
    right, left = geo.eye_centres(mesh)
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    return np.array([across, [-across[1], across[0]]])


def _opened(face: NDArray[np.float64], ipd: float) -> NDArray[np.float64]:
    """The mesh laid out with the lips and lids apart, whatever the photo shows."""
    result = face.copy()
    axes = _frame(face.astype(np.float32))
    _part_lips(result, face, axes, ipd)
    _part_lids(result, face, axes[1])
    return result


def _part_lips(result: NDArray[np.float64], face: NDArray[np.float64], axes: NDArray[np.float64], ipd: float) -> None:
    """Lower the lower lip in `result`; the rows of the chin below are pressed together in their order."""
    down = axes[1]
    along = (face[:, :2] - face[13, :2]) @ axes[0]
    half = max(abs(along[308] - along[78]) / 2, 1e-6)
    for upper, lower, depth in (
        (topo.LIP_UPPER_INNER, topo.LIP_LOWER_INNER, 0.0),
        (topo.LIP_UPPER_NEAR, topo.LIP_LOWER_NEAR, 0.02),
        (topo.LIP_UPPER_MIDDLE, topo.LIP_LOWER_MIDDLE, 0.05),
        (topo.LIP_UPPER_OUTER, topo.LIP_LOWER_OUTER, 0.10),
    ):
        for up, low in zip(upper[1:-1], lower[1:-1], strict=True):
            profile = max(0.25, 1 - (along[low] / half) ** 2)
            gap = (face[low, :2] - face[up, :2]) @ down
            want = (0.16 + 2 * depth) * ipd * profile
            if gap < want:
                result[low, :2] += down * (want - gap)
    shift = (result[17, :2] - face[17, :2]) @ down
    room = max((face[topo.CHIN, :2] - face[17, :2]) @ down, 1e-6)
    fixed = {*topo.OVAL, *topo.OUTER_MOUTH, *topo.INNER_MOUTH, *topo.LIP_UPPER_NEAR, *topo.LIP_LOWER_NEAR}
    fixed |= {*topo.LIP_UPPER_MIDDLE, *topo.LIP_LOWER_MIDDLE}
    for index in range(topo.SURFACE):
        depth = (face[index, :2] - face[17, :2]) @ down
        if index in fixed or depth <= 0 or abs(along[index]) > 1.6 * half:
            continue
        fade = max(0.0, 1 - max(0.0, abs(along[index]) - half) / (0.6 * half))
        result[index, :2] += down * shift * max(0.0, 1 - depth / room) * fade


def _part_lids(result: NDArray[np.float64], face: NDArray[np.float64], down: NDArray[np.float64]) -> None:
    """Lift the upper lids of eyes that are nearly shut."""
    for above, below in ((topo.RIGHT_UPPER, topo.RIGHT_LOWER), (topo.LEFT_UPPER, topo.LEFT_LOWER)):
        width = float(np.linalg.norm(face[below[0][0], :2] - face[below[0][-1], :2]))
        for place, (up, low) in enumerate(zip(above[0], below[0][1:-1], strict=True)):
            want = 0.22 * width * (1 - ((place - 3) / 4.5) ** 2)
            gap = (face[low, :2] - face[up, :2]) @ down
            if gap < want:
                result[up, :2] -= down * (want - gap)
                result[above[1][place], :2] -= down * (want - gap) * 0.9
                result[above[2][place], :2] -= down * (want - gap) * 0.5


def _reach(
    points: NDArray[np.float64], centre: NDArray[np.float64], axes: NDArray[np.float64], oval: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from the face centre in units of the oval (1 on it), and direction: -1 up .. 1 down."""
    local = (points - centre) @ axes.T
    extent = np.abs((oval[:, :2] - centre) @ axes.T).max(axis=0)
    scaled = local / extent
    radius = np.linalg.norm(scaled, axis=1)
    return radius, scaled[:, 1] / np.maximum(radius, 1e-6)


def _head_share(
    points: NDArray[np.float64], centre: NDArray[np.float64], axes: NDArray[np.float64], oval: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 on head and hair, sinking to 0.2 on the shoulders: a neck bends, a shoulder follows a little."""
    radius, down = _reach(points, centre, axes, oval)
    near = 1.6 - 0.45 * geo.smoothstep(0.2, 0.9, down)
    far = near + 0.9
    return np.asarray(1 - 0.8 * geo.smoothstep(0.0, 1.0, (radius - near) / (far - near)))


def _below(
    points: NDArray[np.float64], centre: NDArray[np.float64], axes: NDArray[np.float64], oval: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much a point breathes: shoulders and chest do, the head hardly."""
    extent = np.abs((oval[:, :2] - centre) @ axes.T).max(axis=0)[1]
    drop = ((points - centre) @ axes[1]) / extent
    return geo.smoothstep(1.0, 2.0, drop)


def _grid(
    centre: NDArray[np.float64], oval: NDArray[np.float64], width: int, height: int, ipd: float
) -> NDArray[np.float64]:
    step = max(0.55 * ipd, min(width, height) / 24)
    columns = np.linspace(-0.04 * width, 1.04 * width, max(4, int(width / step) + 2))
    rows = np.linspace(-0.04 * height, 1.04 * height, max(4, int(height / step) + 2))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    edge = (grid[:, 0] < 0) | (grid[:, 0] > width) | (grid[:, 1] < 0) | (grid[:, 1] > height)
    angle = np.arctan2(*(oval - centre).T[::-1])
    order = np.argsort(angle)
    reach = np.linalg.norm(oval - centre, axis=1)[order]
    here = np.arctan2(*(grid - centre).T[::-1])
    limit = np.interp(here, angle[order], reach, period=2 * np.pi) * (RINGS[-1] + 0.12)
    return np.asarray(grid[edge | (np.linalg.norm(grid - centre, axis=1) > limit)])
