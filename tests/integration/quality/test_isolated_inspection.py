"""A file that kills or hangs the decoder is named, and the others are still looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import Unavailable
from memorial_tasks.quality.isolate import Examiner

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[3]

# Stands for the face models, and for a decoder with a hole: dies on a red picture, hangs on a green one.
HOSTILE = """
import os, time
class Models:
    @classmethod
    def load(cls, assets):
        return cls()
    def detect(self, rgb):
        if rgb[0, 0, 0] > 200 and rgb[0, 0, 1] < 50:
            os._exit(11)
        if rgb[0, 0, 1] > 200 and rgb[0, 0, 0] < 50:
            time.sleep(60)
        return []
    def mesh(self, rgb, face):
        raise NotImplementedError
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hostile_models.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "order" / "photos"
    folder.mkdir(parents=True)
    for name, colour in (("a", (9, 9, 9)), ("b-kills", (255, 0, 0)), ("c-hangs", (0, 255, 0)), ("d", (99, 99, 99))):
        Image.new("RGB", (200, 200), colour).save(folder / f"{name}.png")
    return folder


def test_a_file_that_kills_the_decoder_is_named_and_the_rest_is_looked_at(photos: Path, tmp_path: Path) -> None:
    with Examiner(tmp_path, models="hostile_models:Models") as examiner:
        found = {
            path.stem: examiner.examine(path, MaterialKind.PHOTO, timeout=8.0)["problems"][0]["code"]
            for path in sorted(photos.iterdir())
        }
    assert found == {
        "a": "photo.no_face", "b-kills": "material.decoder_died", "c-hangs": "material.decoder_hung",
        "d": "photo.no_face",
    }  # fmt: skip


def test_models_that_are_missing_are_said_so(tmp_path: Path) -> None:
    with (
        Examiner(tmp_path, models="memorial_tasks.face.landmarks:FaceModels") as examiner,
        pytest.raises(Unavailable, match="memorial init"),
    ):
        examiner.examine(tmp_path / "a.png", MaterialKind.PHOTO)


def test_the_command_reads_an_order_and_writes_one_document(photos: Path, tmp_path: Path) -> None:
    for path in photos.glob("*-*"):
        path.unlink()
    order = {
        "order": "test-001", "subject": {"name": "N", "born": "1931-04-02", "died": "2019-11-20"},
        "grantors": [{"name": "G", "relation": "daughter", "evidence": ["p.pdf"]}], "purpose": "family_private",
        "language": "en-US", "script": [{"text": "Hello"}], "materials": {"photos": "photos", "voice": "voice"},
    }  # fmt: skip
    command = [
        sys.executable, "-m", "memorial_tasks.quality.inspect", "--order-folder", str(photos.parent),
        "--assets", str(tmp_path), "--models", "hostile_models:Models",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(tmp_path)])}
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, env=environment, check=True)
    found = json.loads(done.stdout)
    assert {(problem["code"], problem["file"]) for problem in found} == {
        ("photo.no_face", "photos/a.png"), ("photo.no_face", "photos/d.png"), ("material.missing", "voice"),
    }  # fmt: skip
    assert all(set(problem) == {"code", "what", "remedy", "field", "file"} for problem in found)
