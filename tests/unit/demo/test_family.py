"""The fictional family: complete, believable to the machines, the same every time."""

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import yaml

from memorial_tasks.demo import broken_orders, make_family, portraits, studio
from memorial_tasks.demo.family import order_document
from memorial_tasks.demo.papers import draw_paper
from memorial_tasks.demo.scene import write_music
from memorial_tasks.demo.texts import FAMILIES
from memorial_tasks.demo.voice import record_voice
from memorial_tasks.domain.order import Order
from memorial_tasks.errors import InputRefused


def quiet(fraction: float, message: str) -> None:
    """Progress for nobody."""


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_order_is_valid_and_its_script_long_enough(language: str) -> None:
    order = Order.model_validate(order_document(language, "demo-1"))
    lines = order.script
    assert isinstance(lines, tuple)
    other = "en-US" if language == "zh-CN" else "zh-CN"
    assert len(order.translation[other]) == len(lines)
    # An unhurried speaker: five Chinese characters or three English words a second, pauses not counted.
    spoken = sum(len(line.text) / 5 if language == "zh-CN" else len(line.text.split()) / 3 for line in lines)
    assert spoken >= 20
    assert len({line.emotion for line in lines}) >= 5


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_script_never_claims_to_be_alive(language: str) -> None:
    text = " ".join(line["text"] for line in FAMILIES[language].order["script"]).lower()
    for claim in ("我还活着", "我在这里", "i am alive", "i am here", "still with you", "我一直在"):
        assert claim not in text


def test_every_paper_an_order_names_is_drawn() -> None:
    for family in FAMILIES.values():
        people = [*family.order["grantors"], *family.order["co_kin"], family.order["subject"]["lifetime_arrangement"]]
        named = {paper for person in people for paper in person.get("evidence", [])}
        assert named == {f"papers/{stem}.pdf" for stem in family.papers}


def test_papers_have_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        draw_paper(tmp_path / name, "Death certificate (FICTIONAL)", (("Name", "Nobody"),), None)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_recordings_are_speech_and_the_same_every_time(tmp_path: Path) -> None:
    sentences = FAMILIES["zh-CN"].recordings[:2]
    seconds = record_voice(tmp_path / "a", sentences, "zh-CN", 7, quiet)
    record_voice(tmp_path / "b", sentences, "zh-CN", 7, quiet)
    record_voice(tmp_path / "c", sentences, "zh-CN", 8, quiet)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a")["recording-001.wav"] != digest(tmp_path / "c")["recording-001.wav"]
    with (tmp_path / "a" / "transcripts.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="|"))
    assert [row["text"] for row in rows] == list(sentences)
    assert seconds > 7
    for row in rows:
        sound, rate = soundfile.read(tmp_path / "a" / row["file"])
        assert (rate, sound.ndim) == (24000, 1)
        frames = np.sqrt(np.mean(sound[: len(sound) // 480 * 480].reshape(-1, 480) ** 2, axis=1))
        assert np.percentile(frames, 90) > 0.04  # somebody speaks
        assert np.percentile(frames, 5) < 0.01  # and stops between words
        assert np.abs(sound).max() < 0.99  # nothing clips


def test_whole_voice_lasts_minutes() -> None:
    """Counted at a pace faster than any recording is made, so that the sum holds for every seed."""
    assert sum(len(text) for text in FAMILIES["zh-CN"].recordings) / 5 > 150
    assert sum(len(text.split()) for text in FAMILIES["en-US"].recordings) / 3 > 150


def test_music_is_stereo_and_soft(tmp_path: Path) -> None:
    write_music(tmp_path / "music.wav", 7, seconds=8.0)
    sound, rate = soundfile.read(tmp_path / "music.wav")
    assert (rate, sound.shape[1], len(sound)) == (48000, 2, 8 * 48000)
    assert 0.3 < np.abs(sound).max() <= 0.51


@pytest.fixture(scope="module")
def sitter() -> studio.Sitter:
    return studio.invite(7)


SMALL = (456, 570)


def test_portrait_is_the_same_every_time(sitter: studio.Sitter) -> None:
    backdrops = portraits.backdrops(SMALL, 7)
    first = portraits.photograph(sitter, portraits.ALBUM[0], backdrops, 0, SMALL)
    again = portraits.photograph(sitter, portraits.ALBUM[0], backdrops, 0, SMALL)
    other = portraits.photograph(sitter, portraits.ALBUM[6], backdrops, 6, SMALL)
    assert first.shape == (SMALL[1], SMALL[0], 3)
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 3


def test_album_shows_what_training_needs() -> None:
    album = portraits.ALBUM
    assert len(album) >= 24
    assert max(shot.yaw for shot in album) > 25
    assert min(shot.yaw for shot in album) < -25
    assert sum(shot.face.get("jaw", 0) > 0.2 for shot in album) >= 4
    assert sum(shot.face.get("jaw", 0) == 0 for shot in album) >= 8
    assert any(shot.face.get("blink") == 1 for shot in album)
    assert {"grey", "faded", "scratched", "sepia"} <= {shot.print for shot in album}


@pytest.mark.parametrize("number", [0, 4, 6, 19])
def test_detector_finds_one_face_with_eyes_and_mouth_in_place(sitter: studio.Sitter, number: int, assets: Path) -> None:
    from memorial_tasks.face.landmarks import FaceModels

    shot = portraits.ALBUM[number]
    photo = portraits.photograph(sitter, shot, portraits.backdrops(SMALL, 7), number, SMALL)
    models = FaceModels.load(assets)
    faces = models.detect(photo)
    assert len(faces) == 1
    assert faces[0].score > 0.85
    mesh = models.mesh(photo, faces[0])
    assert mesh.score > 0.9
    eyes = {33: -1, 263: 1}  # outer corners of the eyes, numbers of the MediaPipe mesh
    for point, side in eyes.items():
        drawn = portraits.where(shot, (side * 4.6, 0.0, -1.6), SMALL)
        assert np.hypot(*(mesh.points[point, :2] - drawn)) < 0.035 * SMALL[0]


def test_a_family_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memorial_tasks.demo import family

    made: list[str] = []

    def album(folder: Path, seed: int, progress: object) -> None:
        made.append("album")
        folder.mkdir(parents=True)
        for number in range(1, 5):
            cv2.imwrite(str(folder / f"photo-{number:02d}.jpg"), np.full((60, 50, 3), 40 * number, np.uint8))

    short = {"zh-CN": type(FAMILIES["zh-CN"])(**{**vars(FAMILIES["zh-CN"]), "recordings": ("你好。", "谢谢。")})}
    monkeypatch.setattr(family, "draw_portraits", album)
    monkeypatch.setattr(family, "FAMILIES", short)
    monkeypatch.setattr(family, "write_music", lambda path, seed: path.write_bytes(b"music"))
    order_file = make_family(tmp_path / "f", "zh-CN", "demo-1")
    document = yaml.safe_load(order_file.read_text("utf-8"))
    order = Order.model_validate(document)
    for place in (order.materials.photos, order.materials.voice, order.materials.background, order.materials.music):
        assert place is not None
        assert (tmp_path / "f" / place).exists()
    assert all((tmp_path / "f" / paper.file).is_file() for paper in order.grantors[0].evidence)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "f").rglob("*")}
    assert make_family(tmp_path / "f", "zh-CN", "demo-1") == order_file
    assert made == ["album"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "f").rglob("*")} == before
    make_family(tmp_path / "f", "zh-CN", "demo-2")
    assert made == ["album", "album"]

    orders = {
        order.fault: order for order in broken_orders(tmp_path / "broken", tmp_path / "f", photos=2, recordings=1)
    }
    assert len(orders) >= 10
    assert all(len(list((order.path.parent / "photos").iterdir())) == 2 for order in orders.values())
    for fault in ("died-before-born", "path-outside", "unknown-key"):
        with pytest.raises(ValueError, match="validation error"):
            Order.model_validate(yaml.safe_load(orders[fault].path.read_text("utf-8")))
    broken_jpeg = orders["truncated-jpeg"].path.parent / "photos" / "photo-01.jpg"
    assert broken_jpeg.stat().st_size < (tmp_path / "f" / "photos" / "photo-01.jpg").stat().st_size
    silent = soundfile.read(orders["silent-voice"].path.parent / "voice" / "recording-001.wav")[0]
    assert np.abs(silent).max() == 0


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused):
        make_family(tmp_path, "fr-FR", "demo-1")
    with pytest.raises(InputRefused):
        make_family(tmp_path, "zh-CN", "../x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_portrait_holds_exactly_one_face(tmp_path: Path, assets: Path) -> None:
    from memorial_tasks.face.landmarks import FaceModels

    portraits.draw_portraits(tmp_path, 7, quiet)
    models = FaceModels.load(assets)
    for path in sorted(tmp_path.glob("*.jpg")):
        photo = np.ascontiguousarray(np.asarray(cv2.imread(str(path)))[..., ::-1])
        faces = models.detect(photo)
        assert len(faces) == 1, path.name
        assert models.mesh(photo, faces[0]).score > 0.9, path.name
