"""The finished picture: person on the stage, scene behind, film of the right length, nothing half."""

import cv2
import numpy as np
import pytest

from memorial_tasks.domain.timing import LEAD_IN, TAIL
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.video.bust import Bust
from memorial_tasks.video.compose import compose_film
from memorial_tasks.video.cutout import exact_matte, extend_person
from memorial_tasks.video.encode import FilmWriter, facts, pictures
from memorial_tasks.video.inserts import Clip, Insert, Inserts, Still
from memorial_tasks.video.motion import LIFT, SWAY, Motion, film_motion
from memorial_tasks.video.stage import (
    FAR,
    HORIZON,
    WALL,
    Backdrop,
    Stage,
    chin_row,
    place_person,
    soft_matte,
    studio_backdrop,
)
from memorial_tasks.video.subtitles import Cue, SubtitlePainter, cues

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


def test_a_clip_that_ends_early_is_held_also_where_a_shot_begins_after_its_end(tmp_path):
    with FilmWriter(tmp_path / "clip.mp4", (128, 96), 25) as film:
        for number in range(25):
            film.picture(np.full((96, 128, 3), 60 + 4 * number, np.uint8))
    whole, late = Clip(tmp_path / "clip.mp4", (128, 96), 25), Clip(tmp_path / "clip.mp4", (128, 96), 25)
    assert whole.at(0.9).mean() > 140
    held = whole.at(2.0)
    assert held.mean() > 140
    assert np.array_equal(late.at(2.0), held)


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


def test_a_still_background_comes_slowly_nearer(scene):
    backdrop = Backdrop(scene, CANVAS, 25, 100)
    first, near, last = (backdrop.at(n).astype(int) for n in (0, 1, 100))
    assert np.abs(first - last).mean() > 2 * np.abs(first - near).mean()


def _shift_of(one, other, rows):
    """By how many pixels `other` lies right of `one` in these rows (phase correlation)."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[rows].astype(np.float32) for picture in (one, other)]
    return cv2.phaseCorrelate(*grey, cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F))[0][0]


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    """A photo with detail everywhere and a loud magenta frame three pixels wide."""
    path = tmp_path_factory.mktemp("leaves") / "background.png"
    noise = np.random.default_rng(1).random((90, 160, 3)).astype(np.float32)
    image = (cv2.resize(noise, (1920, 1080), interpolation=cv2.INTER_CUBIC) * 200).clip(0, 200).astype(np.uint8)
    image[..., 0] = image[..., 2] = 40
    image[:3], image[-3:], image[:, :3], image[:, -3:] = ((255, 0, 255),) * 4
    cv2.imwrite(str(path), image)
    return path


def test_distance_moves_more_than_ground_when_the_camera_does(leaves):
    backdrop = Backdrop(leaves, (960, 540), 25, 100)
    left, right = backdrop.at(50, -1.0), backdrop.at(50, 1.0)
    far, middle, near = (_shift_of(left, right, rows) for rows in (slice(20, 260), slice(340, 420), slice(470, 538)))
    assert far == pytest.approx(-2 * FAR * 960, abs=1.5)
    assert abs(far) > abs(middle) + 1 > abs(near) + 2
    step = np.abs(backdrop.at(50, 0.0).astype(int) - backdrop.at(50, 0.01).astype(int)).mean()
    assert step < 1, "no jump"


def test_the_photo_never_ends_inside_the_picture_and_its_planes_do_not_part(leaves):
    backdrop = Backdrop(leaves, (960, 540), 25, 100)
    for number, camera in ((0, -1.0), (0, 1.0), (0, 0.0), (100, 1.0)):
        picture = backdrop.at(number, camera).astype(int)
        rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert not ((rim[:, 0] > 150) & (rim[:, 1] < 60) & (rim[:, 2] > 150)).any(), "the frame is seen"
        horizon = round(HORIZON * 270) * 2
        jumps = np.abs(np.diff(picture, axis=0)).mean(axis=(1, 2))
        assert jumps[horizon - 3 : horizon + 3].max() < 1.6 * np.median(jumps), "a seam along the horizon"


def test_the_studio_wall_moves_too_and_ends_nowhere():
    studio = Backdrop(None, CANVAS, 25, 100)
    assert studio.at(0, -1.0).shape == studio.at(0, 1.0).shape == (270, 480, 3)
    rows = slice(20, 250)
    assert _shift_of(studio.at(0, -1.0), studio.at(99, 1.0), rows) == pytest.approx(-2 * WALL * 480, abs=0.5)


def test_the_body_sways_from_the_ground_up_and_rises_with_the_breath(drawn, scene):
    photo, matte = drawn()
    still = Motion(*(np.float32([0, 0, 0]) for _ in range(3)))
    moving = Motion(np.float32([0, SWAY, 0]), np.float32([0, 0, LIFT]), np.float32([0, 0, 0]))
    size = (960, 540)
    stage = Stage(matte, photo, Backdrop(scene, size, 25, 50), moving)
    rest, swayed, full = (stage.picture(photo, n) for n in range(3))
    head, foot = slice(70, 200), slice(500, 540)
    assert _shift_of(rest[:, 330:630], swayed[:, 330:630], head) == pytest.approx(0.8 * SWAY * 540, abs=1.2)
    assert abs(_shift_of(rest[:, 330:630], swayed[:, 330:630], foot)) < 0.7, "it stands where it stands"
    up = [cv2.cvtColor(p[70:330, 330:630], cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (rest, full)]
    assert cv2.phaseCorrelate(*up)[0][1] == pytest.approx(-LIFT * 540, abs=0.5)
    for picture in (rest, swayed, full):
        lowest = picture[-1, 400:560].astype(int)
        assert (lowest[:, 2] > lowest[:, 0] + 20).all(), "cloth down to the lower edge, no gap under the body"
    assert np.array_equal(rest, Stage(matte, photo, Backdrop(scene, size, 25, 50), still).picture(photo, 0))


def test_a_films_motion_follows_the_score_and_is_the_same_for_every_shot():
    clock = np.arange(500) / 25
    curves = {
        "head_x": 0.05 * np.sin(clock), "head_yaw": np.zeros(500), "breath": np.sin(1.6 * clock)
    }  # fmt: skip
    moved = film_motion(600, 25, curves)
    assert np.corrcoef(moved.sway[:500], np.sin(clock))[0, 1] > 0.95
    assert np.corrcoef(moved.lift[:500], curves["breath"])[0, 1] > 0.98
    assert np.abs(moved.sway).max() <= SWAY
    assert np.abs(np.diff(moved.sway)).max() * 1080 < 0.8, "pixels from one picture to the next"
    assert moved.at(9999) == moved.at(599), "held after the end"
    alone = film_motion(600, 25)
    assert not alone.sway.any()
    assert not alone.lift.any()
    assert np.ptp(alone.camera) > 1
    assert np.abs(alone.camera).max() <= 1


def test_the_outline_is_read_from_the_photos_own_colours(drawn):
    photo, truth = drawn()
    for number in range(8):  # strands of hair that no segmenter sees
        for canvas, colour in ((photo, (205, 160, 135)), (truth, 255)):
            cv2.line(canvas, (90 + 8 * number, 60), (86 + 9 * number, 44), colour, 1, cv2.LINE_AA)
    coarse = cv2.GaussianBlur(cv2.dilate(drawn()[1], np.ones((5, 5), np.uint8)), (0, 0), 3.0)
    exact = exact_matte(photo, coarse)
    far = np.abs(truth.astype(int) - coarse).mean(), np.abs(truth.astype(int) - exact).mean()
    assert far[1] < 0.35 * far[0], far
    strands = (truth > 200) & (drawn()[1] == 0)
    near = strands & (cv2.dilate(drawn()[1], np.ones((9, 9), np.uint8)) > 0)
    assert exact[near].mean() > 150
    alike = np.full_like(photo, 128)  # a person in the colour of the wall: the segmenter's word stays
    assert np.abs(exact_matte(alike, coarse).astype(int) - coarse).mean() < 1


def test_a_head_without_shoulders_is_given_some(drawn):
    photo, matte = drawn()
    assert Bust.under(matte, photo) is None, "these shoulders are the person's own"
    head, outline = np.ascontiguousarray(photo[:200]), matte[:200].copy()
    outline[190:] = 0  # cut at the chin
    bust = Bust.under(outline, head)
    assert bust is not None
    dressed = bust.dress(head)
    assert dressed.shape[:2] == bust.matte.shape
    widths = (bust.matte > 127).sum(axis=1)
    assert widths[-5] > 2 * widths[100], "shoulders broader than the head"
    assert (np.diff((bust.matte > 127).astype(int), axis=1) != 0).sum(axis=1)[-20:].max() <= 2, "in one piece"
    left = (dressed.shape[1] - head.shape[1]) // 2
    change = np.abs(dressed[60:180, left + 90 : left + 150].astype(int) - head[60:180, 90:150])
    assert change.max() <= 1, "the face is untouched"
    placed = place_person(bust.matte, CANVAS)
    picture = Stage(outline, head, Backdrop(None, CANVAS, 25, 10)).picture(head, 0)
    assert placed.top + placed.size[1] >= CANVAS[1] - 1
    assert picture[-8, 200:280].max(axis=1).mean() < 90, "dark cloth at the lower edge"


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


def silhouette(shoulders=True):
    """A matte of human proportions, uint8 [320, 240]: the head 88 wide, from row 24 to row 150."""
    matte = np.zeros((320, 240), np.uint8)
    if shoulders:
        cv2.ellipse(matte, (120, 250), (130, 90), 0, 0, 360, 255, -1)
        cv2.rectangle(matte, (94, 120), (146, 200), 255, -1)
    cv2.ellipse(matte, (120, 87), (44, 63), 0, 0, 360, 255, -1)
    return matte


@pytest.mark.parametrize("shoulders", [True, False])
def test_the_chin_is_found_by_the_head_alone(shoulders):
    assert 148 <= chin_row(silhouette(shoulders)) <= 162


def test_subtitles_never_lie_on_the_face(tmp_path, timing, speech_file, font_file):
    """A close portrait under rows of two languages: the person moves up, and the rows stand under the picture."""
    matte = silhouette()[:178]
    photo = np.where(matte[..., None] > 127, np.uint8(200), np.uint8(90)).repeat(3, axis=2)
    with FilmWriter(tmp_path / "portrait.mp4", (240, 178), 25) as writer:
        for _ in range(50):
            writer.picture(photo)
    tracks = {
        language: [Cue(0.0, 9.0, text)] for language, text in ((Language.ZH_CN, "那天很热。"), (Language.EN_US, "Hot."))
    }
    film(tmp_path, (tmp_path / "portrait.mp4", matte), timing, speech_file, burned=tracks, font_file=font_file)
    top = SubtitlePainter(tracks, CANVAS, font_file).top
    picture = list(pictures(tmp_path / "film.mp4"))[30].astype(int)
    whole = place_person(matte, CANVAS)
    assert whole.top + chin_row(matte) * whole.size[1] / matte.shape[0] > top, "the rows would not have touched it"
    assert picture[top + 1 :, :60].max() < 40, "nothing but the rows is under the picture"
    assert picture[top - 3, 200:280].min() > 120, "the person ends above the rows"
    lit = np.flatnonzero((picture[:top, 240] > 150).all(axis=1))
    assert lit[0] >= 0.08 * top, "the head keeps its air"


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
