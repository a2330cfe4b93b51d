"""Writing films: whole or not at all, the right colours, playable while it loads."""

import av
import numpy as np
import pytest

from memorial_tasks.errors import InputRefused
from memorial_tasks.video import encode
from memorial_tasks.video.encode import FilmWriter, facts, pictures


def colours():
    image = np.zeros((96, 128, 3), np.uint8)
    for index, colour in enumerate(
        [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (230, 180, 150), (20, 20, 20)]
    ):
        image[(index // 3) * 48 : (index // 3 + 1) * 48, (index % 3) * 42 : (index % 3 + 1) * 43] = colour
    return image


def write(path, frames=25, fail_at=None, **options):
    with FilmWriter(path, (128, 96), 25, crf=4, **options) as writer:
        for number in range(frames):
            if number == fail_at:
                raise RuntimeError("killed")
            writer.picture(colours())
            writer.sound(np.full((1920, 2), 0.1, np.float32))
    return path


def test_a_film_has_the_length_size_and_sound_it_was_given(tmp_path):
    path = write(tmp_path / "film.mp4", 50, audio_bitrate=96_000)
    about = facts(path)
    assert (about.width, about.height, about.fps, about.frames) == (128, 96, 25, 50)
    with av.open(str(path)) as film:
        sound = film.streams.audio[0]
        assert (sound.rate, sound.layout.name) == (48000, "stereo")
        assert float(sound.duration * sound.time_base) == pytest.approx(2.0, abs=0.05)


def test_the_index_lies_before_the_media(tmp_path):
    data = write(tmp_path / "film.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("planes", ["yuv420p", "yuv444p"])
def test_colours_come_back_and_are_tagged_bt709(tmp_path, planes):
    path = write(tmp_path / "film.mp4", 5, pixel_format=planes)
    with av.open(str(path)) as film:
        assert film.streams.video[0].codec_context.colorspace == 1
    seen = next(pictures(path)).astype(int)
    for y in (20, 70):
        for x in (20, 62, 105):
            assert np.abs(seen[y, x] - colours()[y, x]).max() <= 6, (y, x)


def test_a_failure_leaves_no_file_at_all(tmp_path):
    with pytest.raises(RuntimeError, match="killed"):
        write(tmp_path / "film.mp4", fail_at=10)
    assert list(tmp_path.iterdir()) == []


def test_an_older_film_stays_until_the_new_one_is_whole(tmp_path):
    path = write(tmp_path / "film.mp4")
    before = path.read_bytes()
    with pytest.raises(RuntimeError):
        write(path, fail_at=3)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_metadata_is_kept(tmp_path):
    path = write(tmp_path / "film.mp4", metadata={"title": "a title"})
    with av.open(str(path)) as film:
        assert film.metadata["title"] == "a title"


def test_a_picture_of_another_size_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="does not fit"), FilmWriter(tmp_path / "f.mp4", (128, 96), 25) as writer:
        writer.picture(np.zeros((96, 120, 3), np.uint8))


def test_pictures_are_scaled_and_repeated_on_request(tmp_path):
    path = write(tmp_path / "film.mp4", 5)
    found = pictures(path, (64, 48), loop=True)
    assert [next(found).shape for _ in range(12)] == [(48, 64, 3)] * 12
    assert len(list(pictures(path))) == 5


@pytest.mark.parametrize("content", [b"", b"not a film at all" * 50])
def test_what_is_no_film_is_refused(tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(InputRefused, match="not a video"):
        next(pictures(path))
    with pytest.raises(InputRefused, match="not a video"):
        facts(path)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_the_conversion_is_ffmpegs_own_to_one_level(pixel_format):
    noise = np.random.default_rng(3).integers(0, 256, (64, 90, 3), np.uint8)
    noise[:, :30] = (255, 0, 0)  # colours at the edge of the gamut
    ours = encode._in_planes(noise, pixel_format)
    theirs = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(
        format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG", interpolation="AREA"
    )
    for index in range(3):
        apart = encode._plane(ours, index).astype(int) - encode._plane(theirs, index)
        assert np.abs(apart).max() <= (1 if index == 0 or pixel_format == "yuv444p" else 2)
    if pixel_format == "yuv444p":
        assert np.abs(encode._as_rgb(ours).astype(int) - noise).max() <= 4


def test_an_unknown_pixel_format_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="yuv411p"):
        encode.FilmWriter(tmp_path / "film.mp4", (64, 64), 25, pixel_format="yuv411p")
    assert list(tmp_path.iterdir()) == []
