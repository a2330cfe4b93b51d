"""Lips: closures close, rounded vowels round, silence rests."""

import numpy as np
import pytest

from memorial_tasks.domain.timing import PhoneTime
from memorial_tasks.performance.visemes import (
    ARPABET,
    PINYIN_FINALS,
    REST_PRESS,
    WIDEST,
    lip_curves,
    poses,
    shown,
)
from memorial_tasks.voice.phones import PHONES


def lips(text, length=0.1, gain=1.0):
    names = text.split()
    phones = [PhoneTime(phone=n, start=i * length, end=(i + 1) * length) for i, n in enumerate(names)]
    ticks = round((len(names) * length + 0.6) * 100)
    return lip_curves(phones, ticks, 100, np.full(ticks, gain), offset=0.3), length


def middle(curves, channel, index, length):
    return float(curves[channel][round((0.3 + (index + 0.5) * length) * 100)])


def test_every_phone_of_the_voice_has_lips():
    for name in PHONES:
        found = poses(name)
        assert found
        if name != "SIL":
            assert found != poses("?!"), f"{name} is unknown to the lips"


@pytest.mark.parametrize("phone", ["M", "B", "P", "m", "b", "p"])
@pytest.mark.parametrize("length", [0.03, 0.06, 0.12])
def test_bilabials_close_fully_however_short(phone, length):
    vowel = "AA" if phone.isupper() else "a"
    curves, length = lips(f"{vowel} {phone} {vowel}", length)
    press, jaw = curves["lip_press"], curves["jaw_open"]
    shut = (press > 0.99) & (jaw < 0.02)
    assert shut.sum() >= 4, "shut for less than a picture at 25 fps"
    centre = np.flatnonzero(shut).mean() / 100 - 0.3
    assert abs(centre - 1.5 * length) < 0.02, "the closure is early or late"


@pytest.mark.parametrize("phone", ["F", "V", "f"])
def test_labiodentals_tuck_the_lower_lip(phone):
    curves, length = lips(f"AA {phone} AA")
    assert middle(curves, "lip_tuck", 1, length) > 0.95
    assert middle(curves, "jaw_open", 1, length) < 0.35


def test_only_lip_sounds_close_the_lips():
    curves, _ = lips("AA T AA K AA S AA N AA")
    spoken = slice(38, 115)
    assert curves["lip_press"][spoken].max() < 0.15
    assert curves["lip_tuck"].max() == 0


def test_open_vowels_open_wider_than_close_ones():
    curves, length = lips("AA IY AA UW AA", 0.2, gain=0.75)
    assert middle(curves, "jaw_open", 0, length) > 2 * middle(curves, "jaw_open", 1, length)


def test_what_mixing_takes_is_given_back_without_gaping():
    """Short sounds open as far as a person's do; a long one opens no wider; order and rest are kept."""
    given = shown(np.linspace(0, 1.3, 131))
    assert given[0] == 0
    assert (np.diff(given) > 0).all()
    assert given[30] > 1.4 * 0.3
    assert given[-1] <= WIDEST
    assert given[8] < 0.12, "lips that nearly meet stay so"


@pytest.mark.parametrize(("rounded", "spread"), [("UW", "IY"), ("u", "i"), ("v", "ia")])
def test_rounded_vowels_round_and_spread_ones_spread(rounded, spread):
    curves, length = lips(f"{rounded} {rounded} {spread} {spread}", 0.15)
    assert middle(curves, "lip_pucker", 0, length) > 0.4 > 0.1 > middle(curves, "lip_pucker", 3, length)
    assert middle(curves, "lip_wide", 0, length) < 0 < middle(curves, "lip_wide", 3, length)


def test_tongue_sounds_take_their_lips_from_their_neighbours():
    round_, length = lips("UW T UW")
    spread, _ = lips("IY T IY")
    assert middle(round_, "lip_pucker", 1, length) > 0.3
    assert middle(spread, "lip_wide", 1, length) > 0.2


def test_the_mandarin_i_depends_on_what_stands_before_it():
    assert poses("i", "zh") != poses("i", "b")
    assert poses("u", "j") == poses("v", "j") != poses("u", "zh")
    assert poses("iang1") == poses("iang")


def test_a_final_moves_through_its_vowels():
    curves, length = lips("h uai", 0.4)
    part = slice(round((0.3 + length) * 100), round((0.3 + 2 * length) * 100))
    pucker, jaw, wide = (int(curves[name][part].argmax()) for name in ("lip_pucker", "jaw_open", "lip_wide"))
    assert pucker < jaw < wide


def test_a_louder_voice_opens_wider():
    quiet, length = lips("HH AA", gain=0.6)
    loud, _ = lips("HH AA", gain=1.1)
    assert middle(loud, "jaw_open", 1, length) > 1.3 * middle(quiet, "jaw_open", 1, length)


def test_the_mouth_rests_still_outside_speech():
    phones = [PhoneTime(phone="AA", start=0, end=0.2), PhoneTime(phone="SIL", start=0.2, end=1.5)]
    curves = lip_curves(phones, 200, 100, np.ones(200), offset=0.3)
    quiet = slice(75, 200)
    assert curves["jaw_open"][quiet].max() < 0.01
    assert np.ptp(curves["lip_press"][quiet]) < 0.01
    assert curves["lip_press"][100] == pytest.approx(REST_PRESS, abs=0.01)


def test_the_mouth_does_not_open_before_it_must():
    curves, _ = lips("AA")
    assert curves["jaw_open"][:18].max() < 0.03, "an anticipation lead was measured to hurt"


def test_every_target_stays_in_range():
    for table in (ARPABET, PINYIN_FINALS):
        for found in table.values():
            for pose in found:
                assert 0 <= pose.jaw <= 1
                assert -1 <= pose.wide <= 1
                assert 0 <= pose.pucker <= 1
