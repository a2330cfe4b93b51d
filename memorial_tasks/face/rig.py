"""The driver rig: performance channels to positions of the surface points.

Hand-made offsets after the Facial Action Coding System (Ekman & Friesen 1978), laid on the person's own mesh: jaw
AU26/27, stretch AU20, pucker AU18, press AU24, tuck, smile AU12 with cheek AU6, corners down AU15, brows AU1/2/4, lids
AU43/7. All offsets are linear in the channels except the lips' meeting line: mouth opening is absolute, so 0 closes the
lips of any base photo, also of a toothy smile. Head turns are rotations of the mesh about the neck, with the mesh's
depth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.lids import Lids
from memorial_tasks.face.surface import Surface

Field = NDArray[np.float64]

CHANNELS = (
    "jaw_open",
    "lip_wide",
    "lip_pucker",
    "lip_press",
    "lip_tuck",
    "smile",
    "smile_lean",
    "cheek",
    "brow_inner",
    "brow_outer",
    "brow_lower",
    "blink_left",
    "blink_right",
    "squint",
    "gaze_x",
    "gaze_y",
    "head_yaw",
    "head_pitch",
    "head_roll",
    "head_x",
    "head_y",
    "breath",
)
WIDEST = 0.30  # ipd between the inner lips at jaw_open = 1
TURN_LIMIT = 15.0  # degrees


@dataclass(frozen=True)
class FaceState:
    """One frame: surface points float32 [V, 3] in pixels, and what the layers need to know.

    `still` are the points without the motion of lids, which bend the picture on their own (`lids.py`), and so that the
    eyeball does not shrink with the blink; `opening` and `width` are of the inner mouth in ipd; `gaze` in units of the
    iris radius; `blink` right, left; `lids` 0..1: how far upper and lower lid are shut, right eye, left eye.
    """

    points: NDArray[np.float32]
    still: NDArray[np.float32]
    opening: float
    width: float
    gaze: tuple[float, float]
    blink: tuple[float, float]
    lids: tuple[tuple[float, float], tuple[float, float]]


class Rig:
    """Offsets of one base photo's surface. Build once, then call `pose` for each frame."""

    def __init__(
        self,
        surface: Surface,
        mesh: NDArray[np.float32],
        opening_limit: float = 1.0,
        photo: NDArray[np.uint8] | None = None,
    ) -> None:
        """`mesh` float32 [478, 3] of the base photo in pixels; `opening_limit` 0..1 scales the widest mouth; the
        `photo`, uint8 [H, W, 3], tells how broad the lashes are."""
        self.surface, self.mesh, self.opening_limit = surface, mesh, opening_limit
        self.ipd = geo.interocular(mesh)
        right, left = geo.eye_centres(mesh)
        across = (left - right) / np.linalg.norm(left - right)
        self.axes = np.array([across, [-across[1], across[0]]])
        self.origin = (right + left) / 2
        face = mesh[: topo.SURFACE].astype(np.float64)
        self.flat = (face[:, :2] - self.origin) @ self.axes.T / self.ipd  # x to the picture's right, y down, ipd
        self.fields = self._fields()
        self._lips()
        self._lids(photo)
        self.neighbours = _adjacency(len(surface.points), surface.triangles)
        self._head()
        rims = (*topo.INNER_MOUTH, *topo.RIGHT_EYE, *topo.LEFT_EYE)
        self.seams = np.array(sorted(set(rims)))  # closing lips and lids must not be relaxed apart
        self.sides = np.sign(geo.signed_areas(surface.points, surface.triangles))
        self.sides[np.abs(geo.signed_areas(surface.points, surface.triangles)) < 0.02] = 0

    def sample(self, curves: Mapping[str, NDArray[np.floating]], index: int) -> dict[str, float]:
        """The channel values of one frame; channels that are not given rest at 0."""
        return {name: float(curves[name][index]) if name in curves else 0.0 for name in CHANNELS}

    def pose(self, values: Mapping[str, float]) -> FaceState:
        """Surface points for one frame of channel values."""
        v = {name: float(values.get(name, 0.0)) for name in CHANNELS}
        offset = np.zeros_like(self.flat)
        for name, field in self.fields.items():
            positive, negative = field
            amount = v[name]
            offset += amount * positive if amount >= 0 else -amount * negative
        offset += self._mouth(v)
        placed = self._place(offset, v)
        still = self._unfold(placed)
        lids, lowered = self._blinks(v), offset.copy()
        for fields, amounts in zip(self.lid_fields, lids, strict=True):
            for field, amount in zip(fields, amounts, strict=True):
                lowered += amount * field
        points = still + (self._place(lowered, v) - placed)
        lips = (points[list(topo.INNER_MOUTH), :2] - points[78, :2]) / self.ipd
        middle = float(np.linalg.norm(points[13, :2] - points[14, :2]) / self.ipd)
        width = float(np.linalg.norm(lips[10]))
        gaze = (0.75 * np.clip(v["gaze_x"], -1, 1), 0.36 * np.clip(v["gaze_y"], -1, 1))
        blink = (float(np.clip(v["blink_right"], 0, 1)), float(np.clip(v["blink_left"], 0, 1)))
        return FaceState(points, still, middle, width, (float(gaze[0]), float(gaze[1])), blink, lids)

    def neutral(self) -> FaceState:
        """The face at rest: lips touching, eyes as in the photo."""
        return self.pose({})

    # --- fields, in ipd, [468, 2] for a channel at +1 and at -1 -------------------------------------------------

    def _bump(self, where: Sequence[int] | tuple[float, float], sx: float, sy: float) -> Field:
        """A Gaussian weight [468, 1] around a mesh point's or a group's middle (or an explicit place)."""
        if isinstance(where, tuple) and len(where) == 2 and isinstance(where[0], float):
            centre = np.array(where)
        else:
            centre = self.flat[[int(i) for i in where]].mean(axis=0)
        delta = (self.flat - centre) / (sx, sy)
        return np.asarray(np.exp(-0.5 * (delta**2).sum(axis=1))[:, None])

    def _fields(self) -> dict[str, tuple[Field, Field]]:
        flat = self.flat
        middle = flat[[78, 308]].mean(axis=0)
        half = max((flat[308, 0] - flat[78, 0]) / 2, 0.2)
        side = np.sign(flat[:, :1] - middle[0])
        x, y = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        corners = self._bump((61,), 0.22, 0.22) + self._bump((291,), 0.22, 0.22)
        lips = ((flat[:, :1] - middle[0]) / half).clip(-1.25, 1.25) * self._bump((13, 14), 0.42, 0.26)
        wide = np.maximum(np.abs(lips), corners.clip(0, 1) * 0.9) * side * x
        cheeks = self._bump((50, 205), 0.26, 0.24) + self._bump((280, 425), 0.26, 0.24)
        lower_lids = self._bump((145, 153, 163), 0.24, 0.10) + self._bump((374, 380, 390), 0.24, 0.10)
        below_eyes = lower_lids * (flat[:, 1:] > flat[[145, 374], 1].min() - 0.02)
        upper = self._bump(topo.LIP_UPPER_OUTER[3:8], 0.28, 0.14)
        lower = self._bump(topo.LIP_LOWER_OUTER[3:8], 0.28, 0.16)
        smile = (
            0.075 * corners.clip(0, 1) * side * x
            - 0.085 * corners.clip(0, 1) * y
            - 0.035 * cheeks * y
            + 0.012 * cheeks * side * x
        )
        smile = smile - 0.012 * below_eyes * y + 0.4 * 0.075 * np.abs(lips) * side * x - 0.01 * upper * y
        frown = 0.065 * corners.clip(0, 1) * y - 0.012 * corners.clip(0, 1) * side * x + 0.012 * lower * y
        pucker = (
            -0.135 * np.abs(lips) * side * x
            - 0.05 * corners.clip(0, 1) * side * x
            - 0.028 * upper * y
            + 0.028 * lower * y
        )
        inner = self._bump((55, 107), 0.17, 0.20) + self._bump((285, 336), 0.17, 0.20)
        outer = self._bump((46, 53, 63, 105), 0.24, 0.20) + self._bump((276, 283, 293, 334), 0.24, 0.20)
        brows = self._bump((52, 65, 55), 0.26, 0.14) + self._bump((282, 295, 285), 0.26, 0.14)
        calm = 1 - 0.85 * np.exp(-0.5 * ((flat[:, 1:] - flat[[159, 386], 1].mean()) / 0.10) ** 2)  # lids keep still
        lift_in, lift_out = inner.clip(0, 1) * calm, outer.clip(0, 1) * calm
        frown_in = brows.clip(0, 1) * calm
        none = np.zeros_like(flat)
        return {
            "lip_wide": (0.085 * wide, -0.085 * wide),
            "lip_pucker": (pucker, none),
            "smile": (smile, frown),
            "smile_lean": (0.5 * smile * side, -0.5 * smile * side),
            "cheek": (-0.045 * cheeks * y - 0.02 * below_eyes * y, none),
            "brow_inner": (-0.085 * lift_in * y, 0.04 * lift_in * y),
            "brow_outer": (-0.075 * lift_out * y, 0.035 * lift_out * y),
            "brow_lower": (0.05 * frown_in * y - 0.035 * inner.clip(0, 1) * calm * np.sign(flat[:, :1]) * x, none),
            "squint": (-0.02 * below_eyes * y - 0.008 * cheeks * y, none),
        }

    def _lips(self) -> None:
        """Weights by which the skin follows the upper lip, the lower lip and the jaw, and the closing of the base
        photo."""
        flat = self.flat
        inner_u, inner_l = flat[list(topo.LIP_UPPER_INNER)], flat[list(topo.LIP_LOWER_INNER)]
        span = max(inner_u[-1, 0] - inner_u[0, 0], 0.2)
        self.mouth_x = inner_u[0, 0]
        self.mouth_span = span
        along = ((flat[:, 0] - self.mouth_x) / span).clip(0, 1)
        self.along = along
        grid = np.linspace(0, 1, 41)

        def curve(ring: NDArray[np.float64]) -> Field:
            place = (ring[:, 0] - self.mouth_x) / span
            order = np.argsort(place)
            return np.asarray(np.interp(grid, place[order], ring[order, 1]))

        upper_c, lower_c = curve(inner_u), curve(inner_l)
        gap = np.maximum(lower_c - upper_c, 0.0)
        self.base_gap = float(gap[20])
        meet = upper_c + 0.35 * gap
        corner = np.interp(along, grid, meet)
        depth = flat[:, 1] - corner  # below (+) or above (-) the line where the lips meet
        outside = np.maximum(np.abs(flat[:, 0] - (self.mouth_x + span / 2)) - span / 2, 0)
        near = np.exp(-0.5 * (outside / 0.10) ** 2)
        nose = max(corner.mean() - flat[2, 1], 0.2)
        chin = max(flat[topo.CHIN, 1] - corner.mean(), 0.4)
        upper_ring = set(topo.LIP_UPPER_INNER + topo.LIP_UPPER_NEAR + topo.LIP_UPPER_MIDDLE + topo.LIP_UPPER_OUTER)
        lower_ring = set(topo.LIP_LOWER_INNER + topo.LIP_LOWER_NEAR + topo.LIP_LOWER_MIDDLE + topo.LIP_LOWER_OUTER)
        corners = set(topo.LIP_CORNERS_RIGHT + topo.LIP_CORNERS_LEFT)
        is_upper = np.array([i in upper_ring and i not in corners for i in range(len(flat))])
        is_lower = np.array([i in lower_ring and i not in corners for i in range(len(flat))])
        above = np.where(is_upper | (~is_lower & (depth < 0)), 1.0, 0.0)
        below = 1.0 - above
        thick_u, thick_l = 0.12, 0.14
        fall_u = 1 - geo.smoothstep(thick_u * 0.8, nose, -depth)
        fall_l = 1 - geo.smoothstep(thick_l * 0.8, chin * 1.05, depth)
        self.upper = (above * fall_u * near)[:, None]
        self.lower = (below * fall_l * near)[:, None]
        closing = np.zeros_like(flat)
        closing[:, 1] = self.upper[:, 0] * np.interp(along, grid, meet - upper_c) + self.lower[:, 0] * np.interp(
            along, grid, meet - lower_c
        )
        for ring, line in ((topo.LIP_UPPER_INNER, meet), (topo.LIP_LOWER_INNER, meet)):  # the seam itself: exact
            for index in ring[1:-1]:
                closing[index, 1] = np.interp(along[index], grid, line) - flat[index, 1]
        self.closing = closing
        profile = (1 - (2 * along - 1) ** 2).clip(0, 1) ** 0.75
        seam = np.zeros(len(flat), bool)
        seam[list(topo.LIP_UPPER_INNER + topo.LIP_LOWER_INNER)] = True
        # Jaw: full at lower lip and chin, fading towards the jaw angle and the cheeks.
        x_off = np.abs(flat[:, 0] - (self.mouth_x + span / 2))
        jaw_y = geo.smoothstep(-0.10, 0.30 * chin, depth)
        jaw_x = 1 - geo.smoothstep(0.30, 1.15, x_off)
        lip_part = np.where(seam, profile, np.maximum(profile, 0.55 * jaw_y + 0.25 * (depth > 0)))
        jaw = (
            np.where(is_lower | (seam & (below > 0)), lip_part, jaw_y * jaw_x * np.where(depth > 0.0, 1.0, 0.6)) * below
        )
        for index in corners:
            jaw[index] = 0.30 if index not in (78, 308) else 0.26
        self.jaw = jaw[:, None]
        self.profile = profile[:, None]
        self.depth = depth[:, None]
        self.seam_upper = (np.isin(np.arange(len(flat)), topo.LIP_UPPER_INNER[1:-1]))[:, None]
        self.seam_lower = (np.isin(np.arange(len(flat)), topo.LIP_LOWER_INNER[1:-1]))[:, None]
        inward = -np.sign(flat[:, :1] - (self.mouth_x + span / 2))
        near_corner = (self._bump((61,), 0.16, 0.2) + self._bump((291,), 0.16, 0.2)).clip(0, 1)
        self.narrow = inward * near_corner * np.array([[1.0, 0.0]])
        lips_u = np.where(is_upper, 1.0, 0.0)[:, None]
        lips_l = np.where(is_lower, 1.0, 0.0)[:, None]
        self.thin_u = lips_u * np.array([[0.0, 1.0]]) * (np.interp(along, grid, upper_c) - flat[:, 1]).clip(0)[:, None]
        self.thin_l = lips_l * np.array([[0.0, -1.0]]) * (flat[:, 1] - np.interp(along, grid, lower_c)).clip(0)[:, None]

    def _mouth(self, v: Mapping[str, float]) -> Field:
        down = np.array([[0.0, 1.0]])
        press, tuck = np.clip(v["lip_press"], 0, 1), np.clip(v["lip_tuck"], 0, 1)
        jaw = np.clip(v["jaw_open"], 0, 1) * self.opening_limit * WIDEST
        gap = jaw * (1 - press) * (1 - 0.8 * tuck)
        held = jaw - gap  # the jaw stays down behind closed lips
        offset = self.closing.copy()
        offset += down * gap * 0.88 * self.jaw
        offset -= down * gap * 0.12 * np.where(self.seam_upper, self.profile, self.upper * self.profile)
        offset += down * 0.30 * held * self.jaw * geo.smoothstep(0.10, 0.45, self.depth)
        offset += 0.16 * gap * self.narrow
        offset += 0.30 * press * (self.thin_u + self.thin_l) - 0.012 * press * self.narrow
        offset += tuck * 0.40 * self.thin_l
        return np.asarray(offset)

    def _lids(self, photo: NDArray[np.uint8] | None) -> None:
        self.lids = (Lids.of(self.mesh, True, photo), Lids.of(self.mesh, False, photo))
        moved = [eye.fall_at(self.mesh[: topo.SURFACE]) for eye in self.lids]
        self.lid_fields = [tuple(way @ self.axes.T / self.ipd for way in pair) for pair in moved]

    def _blinks(self, v: Mapping[str, float]) -> tuple[tuple[float, float], tuple[float, float]]:
        """How far the right eye's upper and lower lid are shut, 0..1, and the left eye's."""
        look = 0.22 * np.clip(v["gaze_y"], 0, 1) + 0.10 * np.clip(v["squint"], 0, 1) + 0.08 * np.clip(v["smile"], 0, 1)
        shut = [float(np.clip(v[name], 0, 1)) for name in ("blink_right", "blink_left")]
        right, left = ((s + float(look) * (1 - s), s) for s in shut)
        return right, left

    # --- head ----------------------------------------------------------------------------------------------------

    def _head(self) -> None:
        points = self.surface.points.astype(np.float64)
        flat = (points[:, :2] - self.origin) @ self.axes.T / self.ipd
        pivot_z = self.mesh[list(topo.OVAL), 2].max()
        ears_y = ((self.mesh[[234, 454], :2] - self.origin) @ self.axes.T / self.ipd)[:, 1].mean()
        chin_y = self.flat[topo.CHIN, 1]
        self.body_flat = flat
        self.turn_point = np.array([self.flat[topo.CHIN, 0] * 0.5, ears_y + 0.2])
        self.neck_point = np.array([self.flat[topo.CHIN, 0] * 0.5, chin_y + 0.25])
        depths = (points[:, 2] - pivot_z) / self.ipd * 0.85
        oval = flat[list(topo.OVAL)]
        rim = np.linalg.norm((flat - oval.mean(axis=0)) / np.ptp(oval, axis=0) * 2, axis=1)
        rim = geo.smoothstep(0.45, 0.95, rim)
        for _ in range(16):  # a steep cheek would fold over itself when the head turns
            depths = depths * (1 - 0.6 * rim) + 0.6 * rim * (self.neighbours @ depths)
        self.depths = depths

    def _place(self, offset: Field, v: Mapping[str, float]) -> NDArray[np.float32]:
        surface = self.surface
        full = np.zeros_like(self.body_flat)
        full[: topo.SURFACE] = offset
        ring = surface.outer >= 0
        full[ring] = offset[surface.outer[ring]] * surface.follow[ring, None]
        flat = self.body_flat + full
        share = surface.head[:, None].astype(np.float64)
        yaw, pitch, roll = (
            np.radians(np.clip(v[n], -TURN_LIMIT, TURN_LIMIT)) for n in ("head_yaw", "head_pitch", "head_roll")
        )
        rel = flat - self.turn_point
        z = self.depths
        is_face = np.zeros(len(flat))
        is_face[: topo.SURFACE] = 1.0
        # Yaw moves the near parts sideways, pitch up and down; the outline, at the pivot's depth, stays.
        dx = -z * np.sin(yaw) + rel[:, 0] * (np.cos(yaw) - 1) * is_face
        dy = -z * np.sin(pitch) + rel[:, 1] * (np.cos(pitch) - 1) * is_face
        turned = flat + share * np.stack([dx, dy], axis=1)
        spin = turned - self.neck_point
        rolled = np.stack(
            [
                spin[:, 0] * np.cos(roll) - spin[:, 1] * np.sin(roll),
                spin[:, 0] * np.sin(roll) + spin[:, 1] * np.cos(roll),
            ],
            axis=1,
        )
        turned = turned + (rolled - spin) * ((share - 0.2) / 0.8).clip(0, 1)
        turned = turned + share * np.array([[v["head_x"], v["head_y"]]])
        lift = -0.022 * np.clip(v["breath"], -1, 1) * (surface.body[:, None] + 0.3 * share)
        turned = turned + lift * np.array([[0.0, 1.0]])
        result = surface.points.copy()
        result[:, :2] = turned * self.ipd @ self.axes + self.origin
        return result

    def _unfold(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Relax points of triangles that turned over until none is folded: a fold shows as a dark speck."""
        surface = self.surface
        watch = (~surface.hole) & (self.sides != 0)
        for attempt in range(14):
            areas = geo.signed_areas(points, surface.triangles) * self.sides
            folded = watch & (areas <= 0)
            if not folded.any():
                break
            touched = np.zeros(len(points), bool)
            touched[surface.triangles[folded]] = True
            touched[self.seams] = False
            if attempt > 5:  # stubborn: let go of the surroundings too
                touched = self.neighbours[touched].sum(axis=0) > 0
                touched[self.seams] = False
            bad = np.flatnonzero(touched)
            if len(bad) == 0:
                break
            moved = points[:, :2] - surface.points[:, :2]
            mean = self.neighbours[bad] @ moved
            points = points.copy()
            points[bad, :2] = surface.points[bad, :2] + 0.5 * moved[bad] + 0.5 * mean
        return points


def _adjacency(count: int, triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Row-normalised neighbour matrix float32 [V, V]."""
    matrix = np.zeros((count, count), np.float32)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        matrix[triangles[:, a], triangles[:, b]] = 1
        matrix[triangles[:, b], triangles[:, a]] = 1
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), np.float32)
