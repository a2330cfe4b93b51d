"""The finished picture: person on the stage, scene behind, film of the right length, nothing half."""

import cv2
import numpy as np
import pytest

from memorial_tasks.domain.timing import LEAD_IN, TAIL
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.video.compose import compose_film
from memorial_tasks.video.encode import FilmWriter, facts, pictures
from memorial_tasks.video.inserts import Insert, Inserts, Still
from memorial_tasks.video.stage import Backdrop, Stage, extend_person, place_person, soft_matte, studio_backdrop
from memorial_tasks.video.subtitles import cues

CANVAS = (480, 270)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A background photo: blue above, brown below, a thin white line."""
    path = tmp_path_factory.mktemp("scene") / "background.png"
    image = np.zeros((400, 600, 3), np.uint8)
    image[:200], image[200:] = (200, 120, 60), (40, 70, 110)  # BGR
    image[198:202] = 255
    cv2.imwrite(str(path), image)
    return path


def test_shoulders_stand_on_the_lower_edge_and_the_head_has_air(drawn):
    matte = drawn()[1]
    placed = place_person(matte, CANVAS)
    rows = np.flatnonzero((cv2.resize(matte, placed.size) > 127).any(axis=1))
    assert placed.top + rows[-1] >= CANVAS[1] - 1, "a gap under the shoulders"
    assert placed.top + rows[0] == pytest.approx(0.115 * CANVAS[1], abs=4)
    assert placed.left + placed.size[0] / 2 == pytest.approx(CANVAS[0] / 2, abs=3)


def test_a_head_cut_off_by_the_photo_reaches_the_upper_edge(drawn):
    matte = drawn()[1][60:]
    placed = place_person(matte, CANVAS)
    assert placed.top <= 1


def test_shoulders_cut_off_by_the_photo_fade_out_instead_of_ending(drawn):
    matte = drawn()[1][:, 60:]
    placed = place_person(matte, CANVAS)
    alpha = soft_matte(matte, placed)
    assert alpha[:, 0].max() == 0
    assert np.abs(np.diff(alpha[-8, :60])).max() < 0.2
    whole = soft_matte(drawn()[1], place_person(drawn()[1], CANVAS))
    assert whole.max() == 1


def test_on_an_upright_screen_the_head_does_not_fill_the_picture(drawn):
    matte = drawn()[1]
    placed = place_person(matte, (270, 480))
    shown = cv2.resize(matte, placed.size) > 127
    columns, rows = np.flatnonzero(shown.any(axis=0)), np.flatnonzero(shown.any(axis=1))
    assert len(columns) <= 1.15 * 270
    assert placed.top + rows[-1] >= 479, "a gap under the shoulders"
    assert placed.top + rows[0] > 0.1 * 480


def test_a_photo_and_a_card_are_shown_in_their_time_and_dissolve(font_file, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((300, 500, 3), (200, 30, 30), np.uint8))
    shown = (
        Insert(1.0, 4.0, tmp_path / "photo.png"),
        Insert(6.0, 9.0, rows=("陈秀英", "1931 – 2019"), stays=True),
    )
    inserts, drawn_person = Inserts(shown, CANVAS, 25, font_file), []

    def person():
        drawn_person.append(1)
        return np.full((270, 480, 3), 90, np.uint8)

    at = {second: inserts.over(person, second).astype(int) for second in (0.5, 1.3, 2.5, 3.9, 5.0, 6.3, 8.9)}
    assert np.abs(at[0.5] - 90).max() == 0
    assert np.abs(at[2.5] - (30, 30, 200)).max() <= 2
    assert 100 < at[1.3][..., 2].mean() < 190, "half way in"
    assert np.abs(at[5.0] - 90).max() == 0
    assert at[8.9].max() > 200, "the name is written"
    assert at[8.9].mean() < 60
    assert len(drawn_person) == 5, "who cannot be seen is not drawn"


def test_a_photo_is_looked_at_slowly_and_keeps_its_shape(tmp_path):
    upright = np.zeros((600, 300, 3), np.uint8)
    cv2.circle(upright, (150, 250), 60, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "photo.png"), upright)
    still = Still(tmp_path / "photo.png", CANVAS, 4.0, 0)
    sizes = []
    for second in (0.0, 2.0, 4.0):
        mask = still.at(second).min(axis=2) > 200
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=2), "a circle stays a circle"
        sizes.append(np.ptp(rows))
    assert sizes[0] < sizes[1] < sizes[2] < 1.2 * sizes[0]
    step = np.abs(still.at(2.0).astype(int) - still.at(2.04).astype(int)).mean()
    assert step < 1.5, "no jump from picture to picture"


def test_an_empty_matte_is_refused():
    with pytest.raises(InputRefused, match="no person"):
        place_person(np.zeros((100, 100), np.uint8), CANVAS)


def test_no_rim_of_the_old_background_is_left(drawn, scene):
    photo, matte = drawn()
    matte = cv2.GaussianBlur(cv2.dilate(matte, np.ones((3, 3), np.uint8)), (0, 0), 1.0)  # outlines are never exact
    person = extend_person(photo, matte)
    assert np.array_equal(person[120, 120], photo[120, 120])
    picture = Stage(matte, person, Backdrop(scene, CANVAS, 25, 50)).picture(person, 0).astype(int)
    green = (picture[..., 1] > picture[..., 0] + 40) & (picture[..., 1] > picture[..., 2] + 40)
    assert green.sum() == 0
    raw = Stage(matte, photo, Backdrop(scene, CANVAS, 25, 50)).picture(photo, 0).astype(int)
    assert ((raw[..., 1] > raw[..., 0] + 40) & (raw[..., 1] > raw[..., 2] + 40)).sum() > 0, "the test sees no rim"


def test_skin_keeps_its_colour_within_a_few_percent(drawn, scene):
    photo, matte = drawn()
    picture = Stage(matte, photo, Backdrop(scene, CANVAS, 25, 50)).picture(photo, 0)
    placed = place_person(matte, CANVAS)
    x, y = round(placed.left + placed.size[0] / 2), round(placed.top + placed.size[1] * 0.48)
    assert np.abs(picture[y, x].astype(float) / photo[154, 120] - 1).max() < 0.08


def test_the_person_is_in_front_and_the_scene_behind(drawn, scene):
    photo, matte = drawn()
    picture = Stage(matte, photo, Backdrop(scene, CANVAS, 25, 50)).picture(photo, 0)
    assert picture[40, 20, 2] > picture[40, 20, 0] + 60, "blue above"
    assert picture[250, 20, 0] > picture[250, 20, 2] + 30, "brown below"


def test_a_still_background_comes_slowly_nearer_and_a_studio_stands_still(scene):
    backdrop = Backdrop(scene, CANVAS, 25, 100)
    first, near, last = (backdrop.at(n).astype(int) for n in (0, 1, 100))
    assert np.abs(first - last).mean() > 2 * np.abs(first - near).mean()
    studio = Backdrop(None, CANVAS, 25, 100)
    assert np.array_equal(studio.at(0), studio.at(99))


def test_a_filmed_background_keeps_its_tempo_and_begins_again(tmp_path):
    path = tmp_path / "background.mkv"
    with FilmWriter(tmp_path / "b.mp4", (480, 270), 50, crf=1, preset="ultrafast") as writer:
        for number in range(40):
            writer.picture(np.full((270, 480, 3), 5 * number, np.uint8))
    (tmp_path / "b.mp4").rename(path)
    backdrop = Backdrop(path, CANVAS, 25, 100)
    levels = [float(backdrop.at(n).mean()) for n in range(30)]
    assert levels[10] == pytest.approx(100, abs=4), "50 pictures a second shown at 25"
    assert levels[25] == pytest.approx(levels[5], abs=4)


def test_the_studio_wall_is_lit_behind_the_head_and_has_no_bands():
    wall = studio_backdrop((960, 540)).astype(float)
    assert wall[220, 480].mean() > wall[20, 20].mean() + 40
    row = wall[300, :, 1]
    assert (np.diff(row) == 0).mean() < 0.6, "flat bands"


def film(tmp_path, portrait, timing, speech_file, **options):
    path, matte = portrait
    spoken = timing(1.4)
    report = compose_film(
        path, matte, speech_file(tmp_path / "speech.wav", 1.4), spoken, tmp_path / "film.mp4", tmp_path / "poster.png",
        size=CANVAS, fps=25, **options,
    )  # fmt: skip
    return report, spoken


def test_the_film_is_as_long_as_lead_in_speech_and_tail(tmp_path, portrait, timing, speech_file):
    report, _ = film(tmp_path, portrait, timing, speech_file)
    about = facts(tmp_path / "film.mp4")
    assert (about.width, about.height) == CANVAS
    assert about.frames == report.frames == round((LEAD_IN + 1.4 + TAIL) * 25)
    assert about.duration == pytest.approx(LEAD_IN + 1.4 + TAIL, abs=0.1)
    assert report.loudness == pytest.approx(-16, abs=0.3)
    levels = [float(picture.mean()) for picture in pictures(tmp_path / "film.mp4")]
    assert levels[0] < 3
    assert levels[-1] < 5
    assert levels[40] > 50


def test_the_poster_is_a_full_picture_with_nobody_speaking(tmp_path, portrait, timing, speech_file):
    report, _ = film(tmp_path, portrait, timing, speech_file)
    poster = cv2.imread(str(tmp_path / "poster.png"))
    assert poster.shape == (270, 480, 3)
    assert poster.mean() > 50
    assert report.poster_at < LEAD_IN or report.poster_at > LEAD_IN + 1.4


def test_decoded_sound_keeps_the_agreed_peak_and_loudness(tmp_path, portrait, timing, speech_file):
    import av
    import pyloudnorm

    from memorial_tasks.video.loudness import TruePeakMeter

    film(tmp_path, portrait, timing, speech_file)
    with av.open(str(tmp_path / "film.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray().T for frame in container.decode(audio=0)])
    meter = TruePeakMeter()
    meter.feed(sound)
    assert meter.decibels() <= -1.5
    assert pyloudnorm.Meter(48000).integrated_loudness(sound.astype(float)) == pytest.approx(-16, abs=0.5)


def test_subtitles_are_burned_only_when_asked_for(tmp_path, portrait, timing, speech_file, font_file):
    plain, burned = tmp_path / "plain", tmp_path / "burned"
    plain.mkdir(), burned.mkdir()
    _, spoken = film(plain, portrait, timing, speech_file)
    tracks = {Language.EN_US: cues(spoken, None, Language.EN_US)}
    film(burned, portrait, timing, speech_file, burned=tracks, font_file=font_file)
    one, two = (list(pictures(folder / "film.mp4"))[40].astype(int) for folder in (plain, burned))
    assert np.abs(one - two)[200:265, 120:360].max() > 80
    assert np.abs(one - two)[:150].mean() < 2


def test_a_short_portrait_holds_its_last_picture(tmp_path, drawn, timing, speech_file):
    photo, matte = drawn()
    with FilmWriter(tmp_path / "portrait.mp4", (240, 320), 25) as writer:
        for _ in range(10):
            writer.picture(photo)
    report, _ = film(tmp_path, (tmp_path / "portrait.mp4", matte), timing, speech_file)
    assert facts(tmp_path / "film.mp4").frames == report.frames


def test_a_matte_of_another_size_is_refused(tmp_path, portrait, timing, speech_file):
    with pytest.raises(InputRefused, match="not of one size"):
        film(tmp_path, (portrait[0], portrait[1][:100]), timing, speech_file)


def test_progress_runs_from_0_to_1(tmp_path, portrait, timing, speech_file):
    seen = []
    film(tmp_path, portrait, timing, speech_file, progress=lambda share, what: seen.append(share))
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen == sorted(seen)


def test_an_interrupted_composition_leaves_nothing(tmp_path, portrait, timing, speech_file):
    def stop(share, what):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(tmp_path, portrait, timing, speech_file, progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"speech.wav"}
