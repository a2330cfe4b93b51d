"""Photos become numbers that move with what is wrong with them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from memorial_tasks.quality.faces import find_faces
from memorial_tasks.quality.photos import PhotoMeasure, measure_photo, measure_set, usable

Draw = Callable[..., Any]


def measured(rgb: Any, finder: Any) -> PhotoMeasure:
    return measure_photo(rgb, finder)[0]


def good(**changes: Any) -> PhotoMeasure:
    base = PhotoMeasure(
        800, 600, 1, face_width=200, inter_ocular=80, score=0.9, in_frame=1, sharpness=0.4, luma=130, contrast=40,
        yaw=0, pitch=0, roll=0, mouth=0.05, eyes=0.3,
    )  # fmt: skip
    return replace(base, **changes)


def test_faces_are_counted_and_measured_in_pixels(photo: Draw, finder: Any) -> None:
    one = measured(photo((600, 400), span=60), finder)
    assert one.faces == 1
    assert one.inter_ocular == pytest.approx(60, rel=0.05)
    assert measured(photo((600, 400), faces=2, span=50), finder).faces == 2
    assert measured(photo((600, 400), faces=0), finder).faces == 0


def test_pixels_are_counted_in_the_photo_not_in_the_copy_that_is_searched(photo: Draw, finder: Any) -> None:
    large = photo((3200, 2400), span=500)
    assert measured(large, finder).inter_ocular == pytest.approx(500, rel=0.03)


def test_a_small_face_far_behind_is_not_a_second_person(photo: Draw, finder: Any) -> None:
    rgb = photo((800, 600), span=120)
    for x in (30, 40):
        cv2.circle(rgb, (x, 560), 2, (255, 0, 255), -1)
    assert len(finder.detect(rgb)) == 2
    assert len(find_faces(rgb, finder)) == 1


def test_roll_is_read_from_the_eyes(photo: Draw, finder: Any) -> None:
    assert measured(photo((600, 400), span=80, roll=12), finder).roll == pytest.approx(12, abs=1.5)


def test_sharpness_falls_with_blur_and_not_with_contrast(photo: Draw, finder: Any) -> None:
    rgb = photo((600, 400), span=80)
    noise = np.random.default_rng(1).normal(0, 25, rgb.shape)
    crisp = (rgb * 0.7 + 30 + noise * (rgb.max(axis=2, keepdims=True) < 250)).clip(0, 254).astype(np.uint8)
    crisp[np.all(rgb == (255, 0, 255), axis=2)] = (255, 0, 255)
    levels = []
    for blur in (0, 2, 4):
        soft = cv2.GaussianBlur(crisp, (0, 0), blur) if blur else crisp.copy()
        soft[np.all(rgb == (255, 0, 255), axis=2)] = (255, 0, 255)
        levels.append(measured(soft, finder).sharpness)
    assert levels[0] > levels[1] > levels[2]
    pale = (crisp.astype(float) * 0.4 + 110).astype(np.uint8)
    pale[np.all(rgb == (255, 0, 255), axis=2)] = (255, 0, 255)
    assert measured(pale, finder).sharpness == pytest.approx(levels[0], abs=0.1)


def test_grey_and_faded_prints_are_told_apart_from_colour(photo: Draw, finder: Any) -> None:
    rgb = photo(faces=0)
    colour = measured(rgb, finder)
    grey = measured(np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8), finder)
    assert (colour.grey, grey.grey) == (False, True)
    sepia = (grey_of(rgb)[..., None] * np.array([1.0, 0.85, 0.65])).astype(np.uint8)
    assert measured(sepia, finder).grey
    pale = (rgb.astype(float) * 0.3 + 150).astype(np.uint8)
    assert measured(pale, finder).faded


def grey_of(rgb: Any) -> Any:
    return rgb.mean(axis=2)


@pytest.mark.parametrize(
    "change",
    [
        {"faces": 0}, {"faces": 2}, {"inter_ocular": 15.0}, {"sharpness": 0.05}, {"luma": 12.0}, {"luma": 250.0},
        {"contrast": 3.0}, {"yaw": 70.0}, {"yaw": -70.0}, {"in_frame": 0.8}, {"duplicate": 1.0},
    ],
)  # fmt: skip
def test_each_thing_that_makes_a_photo_useless(change: dict[str, Any]) -> None:
    assert usable(good())
    assert not usable(good(**change))


def test_a_copy_is_a_duplicate_and_the_larger_one_is_kept(photo: Draw, finder: Any) -> None:
    shots = {"a": photo((600, 400), span=80, seed=1), "b": photo((600, 400), span=80, seed=2)}
    shots["small"] = cv2.resize(shots["a"], (420, 280), interpolation=cv2.INTER_AREA)
    found = {name: measure_photo(rgb, finder) for name, rgb in shots.items()}
    judged = measure_set({n: m for n, (m, _) in found.items()}, {n: p for n, (_, p) in found.items()})
    assert {name: measure.duplicate for name, measure in judged.items()} == {"a": 0, "b": 0, "small": 1}


def test_two_shots_of_one_sitting_are_no_duplicates(photo: Draw, finder: Any) -> None:
    rgb = photo((600, 400), span=80, seed=1)
    moved = np.roll(rgb, 6, axis=1)
    found = {name: measure_photo(shot, finder) for name, shot in (("a", rgb), ("b", moved))}
    judged = measure_set({n: m for n, (m, _) in found.items()}, {n: p for n, (_, p) in found.items()})
    assert not any(measure.duplicate for measure in judged.values())
