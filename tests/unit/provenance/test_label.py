import cv2
import numpy as np
import pytest

from memorial_tasks.errors import Unavailable
from memorial_tasks.provenance import label

ID = "MS-order-1"
SIZES = [(1920, 1080), (1280, 720), (1080, 1920), (640, 360)]


def picture(width, height, level, texture=0.0):
    frame = np.full((height * 3 // 2, width), 128, np.uint8)
    noise = np.random.default_rng(0).normal(0, texture, (height, width)) if texture else 0
    frame[:height] = np.clip(level + noise, 16, 235)
    return frame


def luma(frame):
    return label.planes(frame)[0]


def glyph_heights(plane, box):
    """Heights of the separate pieces of ink in a box, measured on the picture itself."""
    x, y, w, h = box
    ink = plane[y - 3 : y + h + 3, x - 3 : x + w + 3] > 125
    columns = np.flatnonzero(np.diff(np.concatenate([[0], ink.any(axis=0).astype(int), [0]])))
    return [int(np.ptp(np.flatnonzero(ink[:, a:b].any(axis=1)))) + 1 for a, b in columns.reshape(-1, 2)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_ink_is_as_high_as_the_standard_asks(assets, width, height):
    plan = label.layout(assets, width, height, ID)
    labeller = label.Labeller(plan)
    short = min(width, height)
    frame = picture(width, height, 20)
    labeller.corner(frame)
    assert min(glyph_heights(luma(frame), plan.corner.box)[:2]) >= 0.05 * short  # "A" and "I", the lowest
    card = labeller.opening(picture(width, height, 20), 75, 25)[10]
    for line in plan.opening:
        pieces = [piece for piece in glyph_heights(luma(card), line.box) if piece > line.ink * 0.4]
        assert min(pieces) >= 0.07 * short
    end = labeller.ending(picture(width, height, 20), 62, 25)[50]
    assert min(glyph_heights(luma(end), plan.ending[1].box)) >= 0.05 * short


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_lies_inside_the_picture(assets, width, height):
    plan = label.layout(assets, width, height, "MS-" + "x" * 61)
    for line in (plan.corner, *plan.opening, *plan.ending):
        x, y, w, h = line.box
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    assert plan.corner.x > width / 2
    assert plan.corner.y < height / 5


@pytest.mark.parametrize(("level", "texture"), [(235, 0), (16, 0), (128, 0), (200, 40), (128, 80)])
def test_corner_label_is_read_over_every_scene_and_not_without(assets, level, texture):
    plan = label.layout(assets, 1280, 720)
    frame = picture(1280, 720, level, texture)
    assert label.line_score(luma(frame), plan.corner) < 0.3
    label.Labeller(plan).corner(frame)
    assert label.line_score(luma(frame), plan.corner) > label.SEEN


def test_a_faint_or_covered_label_is_not_read(assets):
    plan = label.layout(assets, 1280, 720)
    bare, frame = picture(1280, 720, 90), picture(1280, 720, 90)
    label.Labeller(plan).corner(frame)
    faint = cv2.addWeighted(bare, 0.9, frame, 0.1, 0)
    assert label.line_score(luma(faint), plan.corner) == 0
    x, y, w, h = plan.corner.box
    for rows, columns in (
        (slice(y + h // 2, y + h + 4), slice(x, x + w)),
        (slice(y - 4, y + h // 2), slice(x, x + w)),
        (slice(y, y + h + 4), slice(x, x + w // 2)),
        (slice(y, y + h + 4), slice(x + w // 2, x + w)),
    ):
        covered = luma(frame).copy()
        covered[rows, columns] = 90
        assert label.line_score(covered, plan.corner) < label.SEEN


def test_only_the_label_itself_changes(assets):
    plan = label.layout(assets, 1280, 720)
    frame = picture(1280, 720, 120)
    label.Labeller(plan).corner(frame)
    changed = np.argwhere(luma(frame) != 120)
    assert len(changed)
    assert changed[:, 0].max() < 720 * 0.2
    assert changed[:, 1].min() > 1280 * 0.7


def test_opening_card_holds_its_text_for_two_seconds_and_clears(assets):
    plan = label.layout(assets, 640, 360, ID)
    card = label.Labeller(plan).opening(picture(640, 360, 150), 75, 25)
    assert len(card) == 75
    for index in (0, 25, 50, 60):
        assert label.card_score(luma(card[index]), plan.opening) > 0.9
    assert abs(int(luma(card[74]).mean()) - 150) < 12
    assert luma(card[0]).mean() < 90  # dimmed
    with pytest.raises(IndexError):
        card[75]


def test_end_card_names_this_film(assets):
    plan, other = (label.layout(assets, 1280, 720, name) for name in (ID, "MS-order-7f"))
    card = label.Labeller(plan).ending(picture(1280, 720, 150), 63, 25)
    assert label.card_score(luma(card[62]), plan.ending) > 0.9
    assert label.card_score(luma(card[62]), other.ending) < label.SEEN
    assert label.card_score(luma(card[12]), plan.ending) > 0.9  # two seconds before the end


def test_the_rhythm_is_heard_through_noise_and_not_in_other_sound():
    rate = 16000
    notice = label.opening_sound(rate)
    rng = np.random.default_rng(0)
    assert label.rhythm_score(notice, rate) > 0.9
    assert label.rhythm_score(notice + rng.normal(0, 0.01, len(notice)).astype(np.float32), rate) > 0.8
    t = np.arange(3 * rate) / rate
    others = {
        "silence": np.zeros(3 * rate),
        "noise": rng.normal(0, 0.1, 3 * rate),
        "steady tone": 0.1 * np.sin(2 * np.pi * label.RHYTHM_HZ[0] * t),
        "beats": 0.1 * np.sin(2 * np.pi * label.RHYTHM_HZ[0] * t) * (np.sin(2 * np.pi * 2.5 * t) > 0),
        "vowel": 0.1 * np.sign(np.sin(2 * np.pi * 140 * t)) * (1 + np.sin(2 * np.pi * 3 * t)),
        "backwards": notice[::-1],
    }
    for name, sound in others.items():
        assert label.rhythm_score(sound.astype(np.float32), rate) < 0.8, name


def test_the_notice_is_modest_and_in_order():
    sound = label.opening_sound(48000)
    assert 0.03 < np.abs(sound).max() < 0.1
    loud = np.abs(sound) > 0.01
    envelope = cv2.dilate(loud.astype(np.uint8).reshape(-1, 1), np.ones((200, 1))).ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], envelope, [0]]).astype(int)))
    lengths = (edges[1::2] - edges[::2]) / 48000 / label.RHYTHM_UNIT
    assert [round(length) for length in lengths] == [1, 3, 1, 1]


def test_without_a_font_the_remedy_is_named(tmp_path):
    with pytest.raises(Unavailable, match="memorial init"):
        label.layout(tmp_path, 1280, 720)
