"""A rendition is compared with its film: its shape, its length, its sound."""

from memorial_tasks.quality.renditions import Shape, compare, shape_of

FILM = Shape(1920, 1080, 60.0, 60.0)


def _codes(name, shape):
    return [finding.code for finding in compare(name, shape, FILM)]


def test_what_belongs_to_the_film_passes():
    assert _codes("film-vertical.mp4", Shape(1080, 1920, 60.04, 60.0)) == []
    assert _codes("film-vr180.mp4", Shape(2880, 1440, 60.0, 60.1)) == []
    assert _codes("audio.m4a", Shape(0, 0, 0.0, 60.0)) == []


def test_each_fault_is_named_with_the_rendition_it_is_in():
    assert _codes("film-vertical.mp4", Shape(1920, 1080, 60.0, 60.0)) == ["rendition.shape"]
    assert _codes("film-vr180.mp4", Shape(1920, 1080, 60.0, 60.0)) == ["rendition.shape"]
    assert _codes("audio.m4a", Shape(1920, 1080, 60.0, 60.0)) == ["rendition.shape"]
    assert _codes("film-vertical.mp4", Shape(1080, 1920, 30.0, 60.0)) == ["rendition.length"]
    assert _codes("film-vertical.mp4", Shape(1080, 1920, 60.0, 0.0)) == ["rendition.sound"]
    assert _codes("audio.m4a", Shape(0, 0, 0.0, 12.0)) == ["rendition.sound"]
    (finding,) = compare("film-vr180.mp4", None, FILM)
    assert finding.code == "rendition.unreadable"
    assert "film-vr180.mp4" in finding.what
    assert finding.severity == "critical"


def test_a_file_that_is_none_has_no_shape(tmp_path):
    (tmp_path / "film-vertical.mp4").write_bytes(b"no film")
    assert shape_of(tmp_path / "film-vertical.mp4") is None
    assert shape_of(tmp_path / "absent.mp4") is None
