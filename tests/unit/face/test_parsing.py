"""Skin, hair and the rest of a portrait, on a drawn person of whom every pixel is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import SIDE, bank, mesh
from numpy.typing import NDArray

from memorial_tasks.face import topology as topo
from memorial_tasks.face.bank import write_parts
from memorial_tasks.face.parsing import PARTS, TINTS, parse, tinted

WALL, SHIRT, SKIN, HAIR = (96, 140, 170), (70, 60, 110), (205, 160, 132), (64, 48, 38)


def portrait(
    skin: tuple[int, int, int] = SKIN,
    hair: tuple[int, int, int] | None = HAIR,
    wall: tuple[int, int, int] = WALL,
    **pose: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
    """A head with neck, ears, shirt and, if any, hair in light that falls off to one side: the picture, its mesh, its
    matte and the truth by part."""
    points = mesh(**pose)
    oval = topo.polygon(points, topo.OVAL)
    centre, (wide, tall) = oval.mean(axis=0), np.ptp(oval, axis=0)
    label = np.zeros((SIDE, SIDE), np.uint8)  # 0 wall, 1 shirt, 2 skin, 3 hair

    def fill(outline: NDArray[np.floating], value: int) -> None:
        cv2.fillPoly(label, [np.round(outline).astype(np.int32)], value)

    chin = float(oval[:, 1].max())
    cv2.ellipse(label, (int(centre[0]), SIDE), (160, max(1, int(SIDE - chin) - 14)), 0, 0, 360, 1, -1)
    neck = np.array([[-0.28, 0], [0.28, 0], [0.28, 0.62], [-0.28, 0.62]]) * (wide, tall) + centre
    cap = centre + (oval - centre) * (1.16, 1.24) - (0, 0.09 * tall)
    cap[:, 1] = np.minimum(cap[:, 1], centre[1] + 0.1 * tall)
    fill(cap, 3 if hair else 2)
    fill(neck, 2)
    for side in (-1, 1):
        ear = (int(centre[0] + side * 0.54 * wide), int(centre[1] + 0.06 * tall))
        cv2.ellipse(label, ear, (int(0.05 * wide), int(0.1 * tall)), 0, 0, 360, 2, -1)
    fill(oval, 2)
    colours = np.array([wall, SHIRT, skin, hair or skin], np.float32)
    features = {"eyes": (226, 226, 226), "brows": (110, 96, 90), "lips": (176, 96, 96), "mouth": (60, 26, 26)}
    rings = {
        "brows": [(*b[:5], *reversed(b[5:])) for b in (topo.RIGHT_BROW, topo.LEFT_BROW)],
        "eyes": [topo.RIGHT_EYE, topo.LEFT_EYE],
        "lips": [topo.OUTER_MOUTH],
        "mouth": [topo.INNER_MOUTH] if pose else [],
    }
    picture = colours[label]
    skin_there = label == 2
    for name, found in rings.items():
        for ring in found:
            plane = np.zeros(label.shape, np.uint8)
            cv2.fillPoly(plane, [np.round(topo.polygon(points, ring)).astype(np.int32)], 1)
            picture[plane > 0] = features[name]
            skin_there &= plane == 0
    light = np.linspace(1.08, 0.82, SIDE, dtype=np.float32)[None, :, None]
    grain = np.random.default_rng(3).normal(0, 5, picture.shape)
    under = (np.arange(SIDE)[:, None] > chin) & (label == 2)  # the chin's shadow on the neck
    picture *= np.where(under, np.float32(0.78), np.float32(1))[..., None]
    rgb = (cv2.GaussianBlur(picture * light, (0, 0), 0.8) + grain).clip(0, 255).astype(np.uint8)
    matte = cv2.GaussianBlur((label > 0).astype(np.float32), (0, 0), 1.0)
    truth = {"skin": skin_there, "hair": (label == 3) & bool(hair), "clothes": label == 1}
    return rgb, points, np.asarray(matte, np.float32), truth


def overlap(found: NDArray[np.uint8], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float(((found > 0) & truth).sum() / ((found > 0) | truth).sum())


@pytest.mark.parametrize(
    ("skin", "hair"),
    [
        (SKIN, HAIR),
        (SKIN, (150, 150, 152)),  # grey
        (SKIN, (214, 190, 130)),  # blond
        (SKIN, (130, 74, 40)),  # red
        ((112, 74, 52), (34, 28, 26)),  # black on dark skin
    ],
)
def test_skin_hair_and_clothes_are_told_apart(skin: tuple[int, int, int], hair: tuple[int, int, int]) -> None:
    rgb, points, matte, truth = portrait(skin, hair)
    parts = parse(rgb, points, matte)
    assert overlap(parts["skin"], truth["skin"]) > 0.88
    assert overlap(parts["hair"], truth["hair"]) > 0.8
    assert overlap(parts["clothes"], truth["clothes"]) > 0.8


def test_a_grey_photo_is_told_by_its_light() -> None:
    rgb, points, matte, truth = portrait()
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    parts = parse(np.asarray(grey, np.uint8), points, matte)
    assert overlap(parts["skin"], truth["skin"]) > 0.7
    assert overlap(parts["hair"], truth["hair"]) > 0.7


def test_a_bald_head_has_no_hair() -> None:
    rgb, points, matte, truth = portrait(hair=None)
    parts = parse(rgb, points, matte)
    assert not parts["hair"].any()
    assert overlap(parts["skin"], truth["skin"]) > 0.88


@pytest.mark.parametrize("hat", [(20, 120, 40), (190, 24, 30), (30, 50, 140)])
def test_a_hat_in_a_colour_that_hair_has_not_is_clothes(hat: tuple[int, int, int]) -> None:
    rgb, points, matte, truth = portrait(hair=hat)
    parts = parse(rgb, points, matte)
    assert not parts["hair"].any()
    assert ((parts["clothes"] > 0) & truth["hair"]).sum() > 0.85 * truth["hair"].sum()
    assert overlap(parts["skin"], truth["skin"]) > 0.85


def test_a_wall_in_the_colour_of_the_hair_is_no_hair() -> None:
    rgb, points, matte, truth = portrait(wall=HAIR)
    parts = parse(rgb, points, matte)
    assert overlap(parts["hair"], truth["hair"]) > 0.8
    assert not (parts["hair"][matte < 0.4]).any()


def test_no_two_parts_share_a_pixel_and_all_lie_in_the_person() -> None:
    rgb, points, matte, _ = portrait(jaw_open=0.6)
    parts = parse(rgb, points, matte)
    assert tuple(parts) == PARTS
    assert all(part.dtype == np.uint8 and part.shape == matte.shape for part in parts.values())
    assert np.array_equal(parts["background"] > 0, parts["person"] == 0)
    own = np.stack([parts[name] > 0 for name in PARTS[2:]])
    assert own.sum(axis=0).max() == 1
    assert not (own.any(axis=0) & (parts["background"] > 0)).any()
    assert all(parts[name].any() for name in ("brows", "eyes", "mouth", "lips"))
    assert not parse(*portrait()[:3])["mouth"].any(), "a shut mouth has no inside"


def test_the_tinted_photo_shows_every_part_in_its_own_colour() -> None:
    rgb, points, matte, _ = portrait(jaw_open=0.6)
    parts = parse(rgb, points, matte)
    shown = tinted(rgb, parts)
    assert shown.shape == rgb.shape
    assert shown.dtype == np.uint8
    for name, colour in TINTS.items():
        where = parts[name] > 0
        toward = np.abs(shown[where].astype(float) - colour).mean()
        assert toward < 0.7 * np.abs(rgb[where].astype(float) - colour).mean() + 2, name


def test_the_operator_gets_a_picture_of_what_was_understood(tmp_path: Path) -> None:
    drawn = bank([{}])
    shares = write_parts(drawn, tmp_path / "parsing.png")
    shown = cv2.imread(str(tmp_path / "parsing.png"))
    assert shown.shape == drawn.base.shape
    assert shares["skin"] > 0.7
    assert 0 < sum(shares.values()) <= 1
