"""Intake: every problem at once, with field, file and remedy, and nothing decoded in the caller."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from memorial_tasks.domain.order import Materials, Order
from memorial_tasks.quality.inspect import inspect_order, inspect_with
from memorial_tasks.quality.inventory import list_material


def order(**materials: Any) -> Order:
    return Order.model_validate(
        {
            "order": "test-001",
            "subject": {"name": "N", "born": "1931-04-02", "died": "2019-11-20"},
            "grantors": [{"name": "G", "relation": "daughter", "evidence": ["p.pdf"]}],
            "purpose": "family_private",
            "language": "en-US",
            "script": [{"text": "Hello"}],
            "materials": materials,
        }
    )


@pytest.fixture
def folder(tmp_path: Path, photo: Callable[..., Any], speech: Callable[..., Any]) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "voice").mkdir()
    for number in range(3):
        Image.fromarray(photo((600, 400), span=80, seed=number)).save(tmp_path / "photos" / f"{number}.png")
    soundfile.write(tmp_path / "voice" / "one.wav", speech(3.0), 24_000)
    return tmp_path


def test_litter_and_transcripts_are_passed_over(folder: Path) -> None:
    for name in (".DS_Store", "Thumbs.db"):
        (folder / "photos" / name).write_bytes(b"x")
    (folder / "voice" / "transcripts.csv").write_text("one.wav|a")
    (folder / "voice" / "one.txt").write_text("a")
    files, problems = list_material(folder, Materials(photos="photos", voice="voice"))
    assert problems == []
    assert [file.file for file in files] == ["photos/0.png", "photos/1.png", "photos/2.png", "voice/one.wav"]


def test_places_that_are_wrong_are_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(b"x")
    (folder / "photos" / "link.png").symlink_to(outside)
    (folder / "video").mkdir()
    (folder / "music").mkdir()
    for name in ("a.mp3", "b.mp3"):
        (folder / "music" / name).write_bytes(b"x")
    _files, problems = list_material(folder, Materials(photos="photos", voice="nowhere", video="video", music="music"))
    assert {(problem.code, problem.field, problem.file) for problem in problems} == {
        ("material.outside", "materials.photos", "photos/link.png"),
        ("material.missing", "materials.voice", "nowhere"),
        ("material.none", "materials.video", "video"),
        ("material.too_many", "materials.music", "music"),
    }


def test_good_material_has_no_problem(folder: Path, finder: Any) -> None:
    assert inspect_order(folder, order(photos="photos", voice="voice"), finder) == []


def test_all_problems_come_at_once(folder: Path, finder: Any, photo: Callable[..., Any]) -> None:
    photos, voice = folder / "photos", folder / "voice"
    Image.fromarray(photo((600, 400), faces=2, span=60)).save(photos / "family.png")
    Image.fromarray(photo((600, 400), faces=0)).save(photos / "garden.png")
    Image.fromarray(photo((600, 400), span=8)).save(photos / "far.png")
    whole = photos / "cut.jpg"
    Image.fromarray(photo((600, 400), span=80)).save(whole, quality=90)
    whole.write_bytes(whole.read_bytes()[:9000])
    soundfile.write(voice / "silence.wav", np.zeros(24_000), 24_000)
    soundfile.write(voice / "lies.wav", np.zeros(24_000), 24_000)
    (voice / "lies.wav").write_bytes((voice / "lies.wav").read_bytes()[:20_000])
    (voice / "letter.mp3").write_text("Dear all,")
    (voice / "transcripts.csv").write_text("lost.wav|words")
    found = inspect_order(folder, order(photos="photos", voice="voice"), finder)
    assert {(problem.code, problem.file) for problem in found} == {
        ("photo.several_faces", "photos/family.png"),
        ("photo.no_face", "photos/garden.png"),
        ("photo.face_too_small", "photos/far.png"),
        ("photo.truncated", "photos/cut.jpg"),
        ("voice.silent", "voice/silence.wav"),
        ("sound.header_lies", "voice/lies.wav"),
        ("material.type", "voice/letter.mp3"),
        ("transcript.no_recording", "voice/transcripts.csv"),
    }
    assert all(problem.remedy and problem.field.startswith("materials.") for problem in found)


def test_a_date_after_the_death_is_a_note_and_no_refusal(
    tmp_path: Path, finder: Any, detector: Any, photo: Callable[..., Any]
) -> None:
    from memorial_tasks.domain.words import MaterialKind
    from memorial_tasks.quality.examine import examine

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:05:06 10:11:12"
    path = tmp_path / "a.jpg"
    Image.fromarray(photo((600, 400), span=80)).save(path, quality=95, exif=exif, subsampling=0)
    for died, notes in ((date(2019, 11, 20), ["photo.dated_after_death"]), (date(2022, 1, 1), [])):
        seen = examine(path, MaterialKind.PHOTO, finder, detector, died)
        assert seen.problems == ()
        assert [note.code for note in seen.notes] == notes
        assert all("2021" not in str(note) for note in seen.notes)
        assert seen.captured == "2021-05-06", "told apart, for the rules of consent"


def test_the_person_s_own_recordings_are_named_by_files_that_are_there(folder: Path) -> None:
    asked = order(voice="voice", own_voice=["one.wav", "two.wav"])
    problems, _ = inspect_with(folder, asked, lambda path, kind: {"problems": [], "notes": [], "faces": 0, "speech": 3})
    assert [(one.code, one.field, one.file) for one in problems] == [
        ("material.own_voice", "materials.own_voice", "two.wav")
    ]


def test_a_misspelt_recording_is_listed_beside_one_that_cannot_be_read(folder: Path) -> None:
    """Everything wrong at once; the unreadable one is there, so it is not called missing."""
    unreadable = {"code": "voice.unreadable", "what": "it cannot be read", "remedy": "export it again"}
    asked = order(voice="voice", own_voice=["one.wav", "two.wav"])
    problems, _ = inspect_with(
        folder, asked, lambda path, kind: {"problems": [unreadable], "notes": [], "faces": 0, "speech": 0}
    )
    found = [(one.code, Path(one.file).name) for one in problems]
    assert ("voice.unreadable", "one.wav") in found
    assert [name for code, name in found if code == "material.own_voice"] == ["two.wav"]


def test_no_material_at_all_is_a_problem(tmp_path: Path) -> None:
    problems, _ = inspect_with(tmp_path, order(), lambda path, kind: {})
    assert [problem.code for problem in problems] == ["material.nothing"]


def test_the_caller_of_the_inspection_loads_no_decoder() -> None:
    heavy = ("cv2", "PIL", "av", "numpy", "soundfile", "torch", "pandas", "great_expectations", "onnxruntime")
    program = (
        "import sys; from memorial_tasks.quality import inspect, inventory, transcripts;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": str(Path(__file__).parents[3])})  # fmt: skip
    assert done.stdout.strip() == "[]"
