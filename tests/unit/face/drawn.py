"""A face painted from a mesh, so that the tests of the face room need no photo, no detector and no model file."""

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.face import geometry as geo
from memorial_tasks.face import topology as topo
from memorial_tasks.face.bank import CROP, CROP_IPD, PhotoBank, crop_matrix
from memorial_tasks.face.rig import Rig
from memorial_tasks.face.surface import build_surface

SIDE = 384


def mesh(**channels: float) -> NDArray[np.float32]:
    """The drawn person's mesh in a 384-pixel picture, posed by rig channels, float32 [478, 3]."""
    stored = json.loads((Path(__file__).parent / "drawn_mesh.json").read_text("utf-8"))["points"]
    points = np.array(stored, np.float32) * np.float32(SIDE / 512)
    if not channels:
        return points
    posed = points.copy()
    rig = Rig(build_surface(points, SIDE, SIDE), points)
    posed[: topo.SURFACE, :2] = rig.pose(channels).points[: topo.SURFACE, :2]
    return posed


def paint(points: NDArray[np.float32], seed: int = 0) -> NDArray[np.uint8]:
    """A portrait with skin grain, eyes, brows, lips and, in an open mouth, teeth: uint8 [384, 384, 3]."""
    rng = np.random.default_rng(7)
    picture = np.full((SIDE, SIDE, 3), (96, 120, 134), np.float32)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 1.2) * 9
    oval = topo.polygon(points, topo.OVAL)

    def fill(outline: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], colour, cv2.LINE_AA)

    centre = oval.mean(axis=0)
    cv2.ellipse(picture, (int(centre[0]), SIDE), (150, 110), 0, 0, 360, (70, 60, 110), -1)
    fill(centre + (oval - centre) * (1.2, 1.25) - (0, 12), (150, 150, 152))
    fill(oval, (205, 160, 132))
    for brow in (topo.RIGHT_BROW, topo.LEFT_BROW):
        fill(points[[*brow[:5], *reversed(brow[5:])], :2], (110, 96, 90))
    for ring, iris in ((topo.RIGHT_EYE, topo.RIGHT_IRIS), (topo.LEFT_EYE, topo.LEFT_IRIS)):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(mask, [np.round(topo.polygon(points, ring)).astype(np.int32)], 255)
        eye = np.full_like(picture, 226)
        where = (int(points[iris[0], 0]), int(points[iris[0], 1]))
        cv2.circle(eye, where, int(0.075 * geo.interocular(points)), (70, 46, 30), -1, cv2.LINE_AA)
        picture[mask > 0] = eye[mask > 0]
    fill(topo.polygon(points, topo.OUTER_MOUTH), (176, 96, 96))
    if geo.mouth_opening(points) > 0.02:
        fill(topo.polygon(points, topo.INNER_MOUTH), (60, 26, 26))
        teeth = points[[*topo.LIP_UPPER_INNER[2:9]], :2]
        fill(np.vstack([teeth, np.add(teeth[::-1], (0, 0.06 * geo.interocular(points)))]), (228, 222, 204))
    picture += grain[..., None] + rng.normal(0, 1.5, picture.shape) * (seed > 0)
    return cv2.GaussianBlur(picture, (0, 0), 0.8).clip(0, 255).astype(np.uint8)


def bank(poses: list[dict[str, float]]) -> PhotoBank:
    """A photo bank of the drawn person; the first pose is the base."""
    base = mesh(**poses[0])
    portrait = paint(base)
    crops, points = [], []
    for seed, pose in enumerate(poses):
        shape = mesh(**pose)
        matrix = crop_matrix(shape, CROP, CROP_IPD)
        crops.append(cv2.warpAffine(paint(shape, seed), matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE))
        points.append(geo.apply(matrix, shape))
    matte = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(matte, [np.round(topo.polygon(base, topo.OVAL)).astype(np.int32)], 1.0)
    facts = [
        {"id": f"p{i}", "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "grey": False, "eye_distance": 100.0, "eyes": 0.3,
         "opening": geo.mouth_opening(p), "role": "base" if i == 0 else "auxiliary", "sharpness": 4.0}
        for i, p in enumerate(points)
    ]  # fmt: skip
    names = tuple(f"p{i}" for i in range(len(points)))
    return PhotoBank(
        portrait,
        base,
        cv2.GaussianBlur(matte, (0, 0), 2),
        np.stack(crops),
        np.stack(points),
        names,
        0,
        {"photos": facts},
    )


TALKING = [{}, {"jaw_open": 0.3}, {"jaw_open": 0.6}, {"jaw_open": 0.9}, {"lip_wide": 0.8, "jaw_open": 0.2},
           {"lip_pucker": 0.8}, {"smile": 0.7, "jaw_open": 0.3}, {"blink_left": 0.9, "blink_right": 0.9}]  # fmt: skip
