"""VR180: an independent parser reads the metadata, the media survive, the eyes see the screen from two places."""

import av
import numpy as np
import pytest

from memorial_tasks.errors import InputRefused
from memorial_tasks.video.encode import FilmWriter, facts, pictures
from memorial_tasks.video.shots import Shot
from memorial_tasks.video.vr180 import VrShot, inject_spherical, read_spherical, write_vr180


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A second of film: dark, with a bright bar in the middle and a bright frame, and a tone."""
    path = tmp_path_factory.mktemp("flat") / "film.mp4"
    image = np.full((180, 320, 3), 60, np.uint8)
    image[:, 156:164] = 235
    image[:4] = image[-4:] = 235
    tone = (0.2 * np.sin(np.arange(1920) / 1920 * 2 * np.pi * 8)).astype(np.float32)
    with FilmWriter(path, (320, 180), 25, audio_bitrate=96_000) as writer:
        for _ in range(25):
            writer.picture(image)
            writer.sound(np.stack([tone, tone], 1))
    return path


@pytest.fixture(scope="module")
def vr(flat):
    bare = write_vr180(flat, flat.with_name("bare.mp4"), eye=360, workers=1)
    inject_spherical(bare, flat.with_name("vr180.mp4"))
    return flat.with_name("vr180.mp4")


def test_our_reader_finds_what_was_written(vr, flat):
    found = read_spherical(vr)
    assert found is not None
    assert (found.stereo, found.source, found.pose) == (2, "Memorial Studio", (0, 0, 0))
    assert (found.top, found.bottom, found.left, found.right) == (0, 0, 0.25, 0.25)
    assert read_spherical(flat) is None


def test_an_independent_parser_agrees(vr, flat):
    """FFmpeg's own demuxer hands the metadata on to the decoded pictures."""

    def sides(path):
        with av.open(str(path)) as film:
            frame = next(film.decode(video=0))
            return {str(data.type).rsplit(".", 1)[-1].upper() for data in frame.side_data}

    assert {"SPHERICAL", "STEREO3D"} <= sides(vr)
    assert not {"SPHERICAL", "STEREO3D"} & sides(flat)


def test_picture_and_sound_survive(vr, flat):
    one, two = facts(vr), facts(flat)
    assert (one.width, one.height, one.frames) == (720, 360, two.frames)
    assert len(list(pictures(vr))) == two.frames
    with av.open(str(vr)) as film:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert len(sound) / 48000 == pytest.approx(1.0, abs=0.06)
    assert sound[4000:40000].std() == pytest.approx(0.2 / np.sqrt(2), rel=0.1)


def test_injecting_changes_no_media(flat, tmp_path):
    inject_spherical(flat, tmp_path / "marked.mp4")
    one, two = list(pictures(flat)), list(pictures(tmp_path / "marked.mp4"))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_eyes_see_the_screen_from_two_places_and_the_room_from_one(vr):
    picture = list(pictures(vr))[5].astype(int)
    left, right = picture[:, :360, 0], picture[:, 360:, 0]
    middle = slice(150, 210)

    def bar(eye):
        row = eye[middle].mean(axis=0) > 150
        return float(np.flatnonzero(row).mean())

    parallax = (bar(left) - bar(right)) / 360 * 180
    assert parallax == pytest.approx(2 * np.degrees(np.arctan2(0.032, 2.2)), abs=0.5)
    assert left[10, 10] < 25
    assert left[180, 180 + 60] > 40, "inside the screen"


def test_the_screen_is_as_wide_as_asked(flat):
    VrShot(flat, eye=360, degrees=60)(Shot(0, 0, 3), flat.with_name("wide.mp4"))
    picture = next(pictures(flat.with_name("wide.mp4")))
    bright = np.flatnonzero(picture[180, :360, 0].astype(int) > 45)
    assert (bright[-1] - bright[0]) / 360 * 180 == pytest.approx(60, abs=3)


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x08free", b"junk" * 100])
def test_what_is_no_film_is_refused_and_leaves_nothing(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputRefused):
        inject_spherical(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with pytest.raises(InputRefused):
        write_vr180(tmp_path / "a.mp4", tmp_path / "b.mp4", eye=64)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
