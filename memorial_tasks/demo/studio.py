"""The photographer: poses the head, lights it, takes the picture.

Skin light is gathered without colour, spread a few millimetres per channel (red furthest, as light under real skin),
and only then multiplied by the painted skin (d'Eon and Luebke, GPU Gems 3, ch. 14). Hair follows Kajiya and Kay (1989).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from memorial_tasks.demo import head
from memorial_tasks.demo.hair import Strands, grow_brows, grow_hair
from memorial_tasks.demo.head import CAP, CAVE, CLOTH, EAR, EYE, JADE, NECK, SKIN, TEETH, smooth
from memorial_tasks.demo.raster import (
    ALONG,
    DOWN,
    EXTRA,
    NORMAL,
    POSITION,
    TEXEL,
    Camera,
    Floats,
    Mesh,
    ShadowMap,
    cast,
    draw,
    draw_strands,
)
from memorial_tasks.demo.skin import Skin, cloud, paint_skin

PIVOT = np.array([0.0, -7.0, -8.5], np.float32)


class Light(NamedTuple):
    """Direction to the key light and linear colours of key, sky, ground and rim."""

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    rim: tuple[float, float, float] = (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Shot:
    """One photograph: pose in degrees, expression, light, clothes, backdrop and what time did to the print."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    face: Mapping[str, float] = field(default_factory=dict)
    light: str = "window"
    clothes: str = "plum"
    backdrop: str = "garden"
    print: str = "new"
    zoom: float = 1.0


LIGHTS = {
    "window": Light((-0.75, 0.45, 0.75), (2.35, 2.20, 1.98), (0.50, 0.54, 0.60), (0.30, 0.25, 0.20)),
    "garden": Light((0.55, 0.75, 0.65), (2.35, 2.15, 1.80), (0.52, 0.62, 0.62), (0.26, 0.27, 0.16), (0.6, 0.55, 0.4)),
    "evening": Light((0.85, 0.25, 0.55), (2.6, 2.00, 1.35), (0.38, 0.42, 0.55), (0.30, 0.22, 0.16), (0.5, 0.38, 0.22)),
    "soft": Light((-0.2, 0.6, 1.0), (1.75, 1.70, 1.62), (0.75, 0.78, 0.82), (0.42, 0.38, 0.34)),
    "lamp": Light((0.45, 0.35, 0.9), (2.15, 1.80, 1.35), (0.42, 0.40, 0.40), (0.32, 0.26, 0.20)),
    "side": Light((-1.0, 0.30, 0.25), (2.5, 2.35, 2.15), (0.48, 0.52, 0.58), (0.30, 0.27, 0.24), (0.4, 0.4, 0.42)),
}
CLOTHES = {
    "plum": ((0.075, 0.020, 0.035), (0.62, 0.58, 0.50)),
    "teal": ((0.028, 0.062, 0.064), (0.66, 0.62, 0.56)),
    "grey": ((0.135, 0.135, 0.145), (0.48, 0.24, 0.22)),
    "navy": ((0.024, 0.036, 0.085), (0.62, 0.60, 0.56)),
}


def _turned(mesh: Mesh, matrix: Floats) -> Mesh:
    attributes = mesh.attributes.copy()
    vectors = attributes[:, : DOWN.stop].reshape(len(attributes), 4, 3) @ matrix.T  # position, normal, two tangents
    vectors[:, 0] += PIVOT - matrix @ PIVOT
    attributes[:, : DOWN.stop] = vectors.reshape(len(attributes), -1)
    return Mesh(attributes, mesh.triangles, mesh.material, mesh.holes)


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Rotation matrix of a head turned by `yaw` to the picture's right, `pitch` up, `roll` clockwise; degrees."""
    y, p, r = np.radians([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float32)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9), dtype=np.float32)


class _Scene(NamedTuple):
    light: Light
    towards: Floats
    shadows: ShadowMap
    camera: Camera


def _ambient(normal: Floats, light: Light) -> Floats:
    up = (normal[:, 1:2] * 0.5 + 0.5).astype(np.float32)
    return np.asarray(np.array(light.sky, np.float32) * up + np.array(light.ground, np.float32) * (1 - up))


def _highlight(normal: Floats, view: Floats, towards: Floats, rough: float) -> Floats:
    """GGX lobe times Fresnel (Schlick, 2.8 %), [N]."""
    half = _unit(view + towards)
    nh = np.clip(np.sum(normal * half, -1), 0, 1)
    vh = np.clip(np.sum(view * half, -1), 0, 1)
    nv = np.clip(np.sum(normal * view, -1), 0.05, 1)
    nl = np.clip(normal @ towards, 0, 1)
    a2 = rough**4
    lobe = a2 / (np.pi * (nh * nh * (a2 - 1) + 1) ** 2)
    fresnel = 0.028 + 0.972 * (1 - vh) ** 5
    k = (rough + 1) ** 2 / 8
    return np.asarray(lobe * fresnel * nl / (4 * (nv * (1 - k) + k) * (np.clip(nl, 0.05, 1) * (1 - k) + k)) * 1.0)


def _occlusion(depth: Floats, pixels: float) -> Floats:
    """How open each pixel lies, 0..1: darker where the neighbourhood stands nearer (Luft et al., 2006)."""
    flat = np.minimum(depth, depth[np.isfinite(depth)].max() if np.isfinite(depth).any() else 0).astype(np.float32)
    small = cv2.resize(flat, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    closed = np.zeros_like(small)
    for reach, gain in ((0.22, 0.85), (0.6, 0.50), (1.6, 0.24)):
        blurred = cv2.GaussianBlur(small, (0, 0), reach * pixels * 0.5)
        closed += gain * np.clip(small - blurred - 0.01, 0, 0.9 * reach + 0.2)
    return np.asarray(np.exp(-1.25 * cv2.resize(closed, (depth.shape[1], depth.shape[0]))), dtype=np.float32)


def _skin_normal(buffer: Floats, skin: Skin, smile: float) -> Floats:
    relief = skin.sample(skin.relief, buffer[:, TEXEL])
    along, down = buffer[:, ALONG], buffer[:, DOWN]
    slope = relief[:, :2] + smile * relief[:, 2:]
    gradient = slope[:, :1] * along / (np.sum(along**2, -1, keepdims=True) + 1e-6) + slope[:, 1:2] * down / (
        np.sum(down**2, -1, keepdims=True) + 1e-6
    )
    return _unit(_unit(buffer[:, NORMAL]) - np.clip(gradient, -0.9, 0.9))


def _bodies(
    ids: NDArray[np.uint8],
    buffer: Floats,
    open_: Floats,
    scene: _Scene,
    skin: Skin,
    shot: Shot,
    rng: np.random.Generator,
) -> Floats:
    """Linear colours [H, W, 3] of everything solid."""
    height, width = ids.shape
    picture = np.zeros((height, width, 3), np.float32)
    light, towards = scene.light, scene.towards
    eye_point = np.array([0, 0, scene.camera.distance], np.float32)
    pixels = scene.camera.focal / scene.camera.distance
    key = np.array(light.key, np.float32)

    # Skin: gather light, spread it, colour it.
    flesh = (ids == SKIN) | (ids == NECK) | (ids == EAR)
    gathered = np.zeros_like(picture)
    colours = np.zeros_like(picture)
    shine = np.zeros((height, width, 3), np.float32)
    for material in (SKIN, NECK, EAR):
        mask = ids == material
        if not mask.any():
            continue
        data = buffer[mask]
        point, plain = data[:, POSITION], _unit(data[:, NORMAL])
        view = _unit(eye_point - point)
        if material == SKIN:
            normal = _skin_normal(data, skin, shot.face.get("smile", 0.0))
            colour = skin.sample(skin.colour, data[:, TEXEL])
            gloss = skin.sample(skin.gloss, data[:, TEXEL])[:, 0]
            inner = data[:, EXTRA : EXTRA + 1]
            colour = colour * (1 - 0.65 * inner) + np.array([0.20, 0.05, 0.045], np.float32) * 0.65 * inner
        else:
            normal, gloss = plain, np.full(len(data), 0.45, np.float32)
            colour = np.tile(np.array([[0.520, 0.300, 0.200]], np.float32), (len(data), 1))
            if material == EAR:
                colour = colour * np.array([1.02, 0.86, 0.84], np.float32)
                colour *= np.clip(0.72 + 0.75 * data[:, EXTRA : EXTRA + 1], 0.35, 1.1)
            else:
                u, v = data[:, TEXEL.start], data[:, TEXEL.start + 1]
                lines = np.exp(-((((v + 0.5 * np.sin(u * 0.35) + 10) % 1.9) - 0.9) ** 2) / 0.012)
                colour = colour * (1 - 0.24 * lines * smooth(7, 3, np.abs(u)))[:, None]
        lit = scene.shadows.lit(point)
        openness = open_[mask]
        nl, nl_plain = normal @ towards, plain @ towards
        total = np.empty((len(data), 3), np.float32)
        for channel, wrap in enumerate((0.34, 0.16, 0.10)):
            total[:, channel] = np.clip((0.75 * nl + 0.25 * nl_plain + wrap) / (1 + wrap) ** 1.5, 0, None)
        shadow = np.stack([lit**0.75, lit, lit**1.1], axis=1)
        total = total * shadow * key
        around = _ambient(normal, light) * np.stack([openness**0.75, openness, openness**1.08], axis=1)
        gathered[mask] = total + around
        colours[mask] = colour
        graze = (1 - np.clip(np.sum(normal * view, -1), 0, 1)) ** 4
        gloss_now = gloss * (0.4 + 0.6 * openness)
        spark = _highlight(normal, view, towards, 0.50) * 0.95 + _highlight(normal, view, towards, 0.33) * 0.30
        behind = _unit(np.array([[-towards[0], 0.25, -0.75]], np.float32))[0]
        rim = np.clip(plain @ behind + 0.25, 0, 1) ** 2 * graze
        shine[mask] = (
            (spark * gloss_now * lit)[:, None] * key
            + (0.10 * graze * gloss_now)[:, None] * _ambient(normal, light)
            + rim[:, None] * np.array(light.rim, np.float32)
        )
    weight = flesh.astype(np.float32)
    # spread each channel; divide by the spread mask so that edges do not darken
    for channel, (near, far, mix) in enumerate(((0.07, 0.22, 0.55), (0.045, 0.11, 0.35), (0.03, 0.06, 0.25))):
        plane = gathered[..., channel] * weight
        spread = np.zeros_like(plane)
        for reach, part in ((near, 1 - mix), (far, mix)):
            sigma = max(reach * pixels, 0.4)
            spread += part * cv2.GaussianBlur(plane, (0, 0), sigma) / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-3)
        picture[..., channel] = spread * colours[..., channel] * weight
    picture += shine * weight[..., None]

    _paint_eyes(picture, ids, buffer, scene, skin)
    _paint_rest(picture, ids, buffer, open_, scene, shot, rng)
    return picture


def _paint_eyes(picture: Floats, ids: NDArray[np.uint8], buffer: Floats, scene: _Scene, skin: Skin) -> None:
    mask = ids == EYE
    if not mask.any():
        return
    data = buffer[mask]
    light, towards = scene.light, scene.towards
    pixels = scene.camera.focal / scene.camera.distance
    local = data[:, TEXEL] / 1000.0
    r = np.hypot(local[:, 0], local[:, 1])
    angle = np.arctan2(local[:, 1], local[:, 0])
    normal = _unit(data[:, NORMAL])
    view = _unit(np.array([0, 0, scene.camera.distance], np.float32) - data[:, POSITION])
    iris_r, pupil_r = 0.475, 0.17
    fibre = 0.5 + 0.5 * np.sin(angle * 47 + 3 * np.sin(angle * 11)) * np.sin(angle * 29 + 1.3)
    depth_in = np.clip((r - pupil_r) / (iris_r - pupil_r), 0, 1)
    iris = np.array([0.070, 0.034, 0.016], np.float32) * (0.55 + 0.75 * fibre * (1 - 0.5 * depth_in))[:, None]
    iris *= (1 - 0.65 * smooth(0.78, 1.0, depth_in))[:, None]
    # the pale ring old eyes have
    iris += 0.045 * np.exp(-(((depth_in - 0.93) / 0.07) ** 2))[:, None] * np.array([0.8, 0.9, 1.0], np.float32)
    iris *= smooth(pupil_r - 0.02, pupil_r + 0.025, r)[:, None]
    white = np.array([0.42, 0.37, 0.32], np.float32) * (1 - 0.10 * np.clip(np.abs(local[:, :1]) - 0.45, 0, 1))
    vein = np.exp(-((np.sin(local[:, 1] * 30 + 4 * np.sin(local[:, 0] * 9)) / 0.16) ** 2)) * np.clip(r - 0.62, 0, 0.4)
    white = white * (1 - vein[:, None] * np.array([0.15, 0.75, 0.75], np.float32))
    colour = white + smooth(iris_r + 0.03, iris_r - 0.035, r)[:, None] * (iris - white)
    # lids shade the ball: most under the upper one
    seen = mask.astype(np.float32)
    around = cv2.GaussianBlur(seen, (0, 0), 0.10 * pixels)
    above = cv2.warpAffine(
        seen, np.array([[1, 0, 0], [0, 1, 0.20 * pixels]], np.float32), (seen.shape[1], seen.shape[0])
    )
    above = cv2.GaussianBlur(above, (0, 0), 0.11 * pixels)
    cover = (np.clip(around * 1.5 - 0.42, 0.12, 1) * (0.36 + 0.64 * above))[mask][:, None]
    nl = np.clip((normal @ towards + 0.25) / 1.25, 0, 1)[:, None]
    lit = scene.shadows.lit(data[:, POSITION] + 0.35 * normal)[:, None]
    shaded = colour * cover * (nl * (0.35 + 0.65 * lit) * np.array(light.key, np.float32) + _ambient(normal, light))
    # the wet cornea: a soft window and a small bright point
    half = _unit(view + towards)
    cornea = np.clip(np.sum(normal * half, -1), 0, 1)
    point = smooth(0.986, 0.992, cornea) * (0.4 + 0.6 * lit[:, 0])
    reflected = 2 * np.sum(normal * view, -1, keepdims=True) * normal - view
    sky = smooth(0.30, 0.75, reflected[:, 1]) * 0.040
    shaded += point[:, None] * np.array(light.key, np.float32) * 0.75 * smooth(0.2, 0.45, cover[:, 0])[:, None]
    shaded += (sky * cover[:, 0])[:, None] * np.array(light.sky, np.float32) * 2
    picture[mask] = shaded


def _paint_rest(
    picture: Floats,
    ids: NDArray[np.uint8],
    buffer: Floats,
    open_: Floats,
    scene: _Scene,
    shot: Shot,
    rng: np.random.Generator,
) -> None:
    light, towards = scene.light, scene.towards
    key = np.array(light.key, np.float32)
    eye_point = np.array([0, 0, scene.camera.distance], np.float32)
    mask = ids == TEETH
    if mask.any():
        data = buffer[mask]
        normal = _unit(data[:, NORMAL])
        along, down = data[:, TEXEL.start] / 1000.0, data[:, TEXEL.start + 1] / 1000.0
        lower = data[:, EXTRA] > 0.5
        down = np.where(lower, 1 - down, down)
        gap = np.exp(-((np.sin(along * np.pi) / 0.16) ** 2))
        number = np.floor(along)
        tone = 1 + 0.05 * np.sin(number * 12.9898 + 4)
        colour = np.array([0.52, 0.45, 0.335], np.float32) * (tone * (1 - 0.42 * gap))[:, None]
        gum_line = 0.42 + 0.10 * (1 - np.abs(np.sin(along * np.pi))) - 0.05
        gum = smooth(gum_line + 0.03, gum_line - 0.03, down)[:, None]
        colour = colour * (1 - gum) + np.array([0.33, 0.11, 0.10], np.float32) * gum
        view = _unit(eye_point - data[:, POSITION])
        nl = np.clip((normal @ towards + 0.3) / 1.3, 0, 1)
        cover = np.clip(open_[mask] * 1.1, 0.55, 1) * np.exp(
            -0.55 * np.clip(np.abs(data[:, 0] - data[:, 0].mean()) - 0.9, 0, 3) ** 1.2
        )
        cover = cover * np.where(lower, 0.62, 0.86)
        shaded = colour * (cover[:, None] * (0.62 * nl[:, None] * key + _ambient(normal, light)))
        spark = _highlight(normal, view, towards, 0.28) * (1 - 0.6 * gum[:, 0]) * cover
        picture[mask] = shaded + 0.8 * spark[:, None] * key
    mask = ids == CAVE
    if mask.any():
        data = buffer[mask]
        tongue = data[:, EXTRA : EXTRA + 1]
        normal = _unit(data[:, NORMAL])
        colour = (
            np.array([0.055, 0.014, 0.012], np.float32) * (1 - tongue)
            + np.array([0.26, 0.085, 0.075], np.float32) * tongue
        )
        cover = np.clip(open_[mask], 0.45, 1)[:, None] * (0.40 + 0.35 * tongue)
        nl = np.clip((normal @ towards + 0.3) / 1.3, 0, 1)[:, None]
        picture[mask] = colour * cover * (nl * key + _ambient(normal, light))
    mask = ids == CAP
    if mask.any():
        normal = _unit(buffer[mask][:, NORMAL])
        nl = np.clip((normal @ towards + 0.2) / 1.2, 0, 1)[:, None]
        # At the hairline the ground under the hair is skin, further in the shade between the hairs.
        deep = smooth(0.1, 1.5, buffer[mask][:, EXTRA])[:, None]
        ground = (
            np.array([0.47, 0.27, 0.18], np.float32) * (1 - deep) + np.array([0.16, 0.145, 0.135], np.float32) * deep
        )
        picture[mask] = ground * (nl * key + _ambient(normal, light))
    mask = ids == JADE
    if mask.any():
        data = buffer[mask]
        normal = _unit(data[:, NORMAL])
        view = _unit(eye_point - data[:, POSITION])
        glow = np.clip((normal @ towards + 0.6) / 1.6, 0, 1)[:, None]
        spark = (_highlight(normal, view, towards, 0.2) * 2)[:, None]
        picture[mask] = (
            np.array([0.055, 0.20, 0.115], np.float32) * (glow * key + _ambient(normal, light)) + spark * key
        )
    mask = ids == CLOTH
    if mask.any():
        data = buffer[mask]
        picture[mask] = _cloth(data, open_[mask], scene, shot)


def _cloth(data: Floats, openness: Floats, scene: _Scene, shot: Shot) -> Floats:
    light, towards = scene.light, scene.towards
    wool, shirt = (np.array(c, np.float32) for c in CLOTHES[shot.clothes])
    x, y = data[:, TEXEL.start], data[:, TEXEL.start + 1]
    a = np.abs(x)
    vee = 4.9 * np.clip((y + 27.5) / 12.5, 0, 1.2) ** 0.85  # half width of the opening of the cardigan
    inside = smooth(0.10, -0.10, a - vee)
    band = smooth(0.05, 0.15, a - vee) * smooth(1.6, 1.45, a - vee)
    # knitted stitches: slanted columns, flatter on the band
    column = x / 0.36
    slant = np.abs(((column % 1.0) - 0.5) * 2)
    stitch = np.cos(2 * np.pi * (y / 0.30 + 0.55 * slant))
    height_x = -np.sin(2 * np.pi * column) * 0.55
    rib = np.cos(2 * np.pi * (a - vee) / 0.30)
    bump_x = (1 - inside) * ((1 - band) * height_x + band * -np.sin(2 * np.pi * (a - vee) / 0.30) * 0.8 * np.sign(x))
    bump_y = (1 - inside) * (1 - band) * -np.sin(2 * np.pi * (y / 0.30 + 0.55 * slant)) * 0.35
    edge = np.exp(-(((a - vee) / 0.16) ** 2))
    bump_x = bump_x - edge * np.sign(x) * 0.8
    collar_edge = 3.6 * np.clip((y + 20.2) / 6.0, 0, 1) + 0.35
    collar = inside * smooth(-0.12, 0.12, a - collar_edge) * smooth(-21.5, -20.5, y)
    line = inside * np.exp(-(((a - collar_edge) / 0.14) ** 2)) * smooth(-21.5, -20.5, y)
    placket = inside * np.exp(-(((a - 0.9) / 0.06) ** 2)) * smooth(-19.5, -20.5, y)
    cells_x, cells_y = np.round(x / 1.5 + 0.5 * (np.round(y / 1.3) % 2)), np.round(y / 1.3)
    px, py = x - (cells_x - 0.5 * (cells_y % 2)) * 1.5, y - cells_y * 1.3
    petal = np.hypot(px, py) - 0.20 * (1 + 0.35 * np.cos(5 * np.arctan2(py, px)))
    flower = smooth(0.03, -0.03, petal) * inside * (1 - 0.0 * collar)
    cloth = shirt * (1 - 0.10 * collar[:, None])
    cloth = cloth * (1 - flower[:, None] * np.array([0.45, 0.62, 0.50], np.float32))
    wool_now = wool * (1 + 0.16 * stitch * (1 - band) + 0.12 * rib * band)[:, None]
    colour = wool_now * (1 - inside[:, None]) + cloth * inside[:, None]
    colour = colour * (1 - 0.45 * line - 0.22 * placket - 0.35 * edge * inside)[:, None]
    flat = _unit(data[:, NORMAL])
    normal = _unit(
        flat - np.stack([bump_x, bump_y, 0 * x], axis=1) * 0.55 + line[:, None] * np.array([0, 0.2, 0], np.float32)
    )
    lit = scene.shadows.lit(data[:, POSITION], 2.6)
    nl = np.clip((normal @ towards + 0.18) / 1.18, 0, 1)
    view = _unit(np.array([0, 0, scene.camera.distance], np.float32) - data[:, POSITION])
    fuzz = (1 - np.clip(np.sum(flat * view, -1), 0, 1)) ** 3 * 0.35
    shaded = colour * (
        (nl * lit)[:, None] * np.array(light.key, np.float32) + _ambient(normal, light) * openness[:, None]
    )
    shaded += (fuzz * (1 - inside))[:, None] * colour * np.array(light.sky, np.float32) * 3
    for spot in (-28.6, -33.0):  # buttons
        ring = np.hypot(x - 0.0, (y - spot)) - 0.62
        button = smooth(0.04, -0.04, ring)
        relief = 1 - 0.35 * np.exp(-(((ring + 0.12) / 0.07) ** 2))
        glint = 0.25 * np.exp(-(((x + 0.2) ** 2 + (y - spot - 0.22) ** 2) / 0.03))
        shaded = shaded * (1 - button[:, None]) + (button * relief)[:, None] * (wool * 0.6 + 0.05 + glint[:, None]) * (
            nl[:, None] * np.array(light.key, np.float32) + 0.4
        )
    return np.asarray(shaded, dtype=np.float32)


def _paint_strands(
    picture: Floats, depth: Floats, strands: Strands, scene: _Scene, matrix: Floats | None, bias: float
) -> None:
    points, outward = strands.points, strands.outward
    if matrix is not None:
        points = (points - PIVOT) @ matrix.T + PIVOT
        outward = outward @ matrix.T
    light, towards = scene.light, scene.towards
    tangent = _unit(np.gradient(points, axis=1))
    view = _unit(np.array([0, 0, scene.camera.distance], np.float32) - points)
    tl, tv = tangent @ towards, np.sum(tangent * view, -1)
    sin_l, sin_v = np.sqrt(np.clip(1 - tl**2, 0, 1)), np.sqrt(np.clip(1 - tv**2, 0, 1))
    facing = np.clip((outward @ towards + 0.45) / 1.45, 0, 1)
    lit = scene.shadows.lit((points + 0.9 * outward).reshape(-1, 3)).reshape(points.shape[:2])
    gloss = np.clip(sin_l * sin_v - tl * tv, 0, 1)
    bury = (1 - 0.62 * strands.deep)[:, None]
    amount = facing * lit * bury
    diffuse = (0.30 + 0.70 * sin_l) * amount
    key = np.array(light.key, np.float32)
    up = np.clip(outward[..., 1:2] * 0.5 + 0.5, 0, 1)
    around = (np.array(light.sky, np.float32) * up + np.array(light.ground, np.float32) * (1 - up)) * bury[..., None]
    tint = strands.tint[:, None, :]
    colour = tint * (diffuse[..., None] * key * 0.72 + around * 0.9)
    colour = colour + (0.11 * gloss**24 * amount)[..., None] * key + (0.10 * gloss**9 * amount)[..., None] * tint * key
    rim = np.clip(1 - np.sum(outward * view, -1), 0, 1) ** 3
    colour = colour + (rim * 0.5 * bury)[..., None] * np.array(light.rim, np.float32) * (0.25 + tint)
    draw_strands(
        picture,
        depth,
        scene.camera,
        points.astype(np.float32),
        colour.astype(np.float32),
        strands.width,
        strands.alpha,
        bias,
    )


@dataclass(frozen=True)
class Sitter:
    """What is made once for an album: skin and hair."""

    skin: Skin
    hair: Strands
    seed: int


def invite(seed: int) -> Sitter:
    """Make the invented woman for `seed`."""
    return Sitter(paint_skin(seed), grow_hair(seed), seed)


def camera_for(shot: Shot, width: int, height: int) -> Camera:
    """The camera of `shot` for a picture of `width` by `height`: it gives a turned head room to look into."""
    aside = np.sin(np.radians(shot.yaw)) * width * 0.05
    return Camera(width * 3.05 * shot.zoom, (float(width / 2 - aside), height * 0.46), 86.0)


def expose(sitter: Sitter, shot: Shot, width: int, height: int, backdrop: Floats, rng: np.random.Generator) -> Floats:
    """Take the picture: linear light [height, width, 3] before development, the sitter before `backdrop`."""
    matrix = rotation(shot.yaw, shot.pitch, shot.roll)
    still = rotation(shot.yaw * 0.30, 0.0, 0.0)
    moving = head.head_meshes(shot.face)
    meshes = [_turned(mesh, matrix) for mesh in moving]
    meshes += [_turned(mesh, still) for mesh in head.body_meshes()]
    camera = camera_for(shot, width, height)
    light = LIGHTS[shot.light]
    towards = _unit(np.array(light.direction, np.float32))
    shadows = cast([m for m in meshes if m.material not in (EYE, TEETH, CAVE)], towards)
    depth, ids, buffer = draw(meshes, camera, width, height, head.lid_table(shot.face))
    scene = _Scene(light, towards, shadows, camera)
    open_ = _occlusion(depth, camera.focal / camera.distance)
    solid = _bodies(ids, buffer, open_, scene, sitter.skin, shot, rng)
    there = (ids > 0)[..., None]
    picture = np.where(there, solid, backdrop).astype(np.float32)
    _paint_strands(picture, depth, sitter.hair, scene, matrix, 0.45)
    upper = moving[0]
    brows = grow_brows(sitter.seed, upper.attributes[:, POSITION], upper.attributes[:, NORMAL], shot.face)
    _paint_strands(picture, depth, brows, scene, matrix, 0.25)
    return picture


def develop(picture: Floats, exposure: float = 0.70) -> Floats:
    """Linear light to display values 0..1 with a soft shoulder (Hable-like filmic curve), then sRGB."""
    x = np.clip(picture, 0, None) * exposure
    curve = (x * (2.51 * x * 0.62 + 0.03)) / (x * (2.43 * x * 0.62 + 0.59) + 0.14)
    return np.asarray(
        np.clip(np.where(curve <= 0.0031308, 12.92 * curve, 1.055 * curve ** (1 / 2.4) - 0.055), 0, 1), dtype=np.float32
    )


__all__ = [
    "CLOTHES",
    "LIGHTS",
    "PIVOT",
    "Light",
    "Shot",
    "Sitter",
    "camera_for",
    "cloud",
    "develop",
    "expose",
    "invite",
    "rotation",
]
