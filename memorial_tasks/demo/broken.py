"""Orders that must be refused: small copies of a family's order, each with one thing wrong."""

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
import yaml

Document = dict[str, Any]


@dataclass(frozen=True)
class BrokenOrder:
    """`path` of an order.yaml that is wrong in one way; `fault` names it; `file` or `field` is where."""

    fault: str
    path: Path
    field: str = ""
    file: str = ""


def _first_photo(folder: Path) -> Path:
    return sorted((folder / "photos").glob("*.jpg"))[0]


def _no_face(folder: Path, document: Document) -> None:
    y, x = np.mgrid[0:1100, 0:900].astype(np.float32)
    wall = np.stack([140 + 50 * np.sin(x / 90), 150 + 40 * np.cos(y / 70), 120 + 0 * x], axis=-1)
    cv2.imwrite(str(_first_photo(folder)), wall.astype(np.uint8))


def _two_faces(folder: Path, document: Document) -> None:
    path = _first_photo(folder)
    picture = np.asarray(cv2.imread(str(path)))
    other: Any = np.asarray(cv2.imread(str(sorted((folder / "photos").glob("*.jpg"))[1])))
    other = cv2.resize(other, (picture.shape[1], picture.shape[0]))
    cv2.imwrite(str(path), np.concatenate([picture, other[:, ::-1]], axis=1))


def _truncated(folder: Path, document: Document) -> None:
    path = _first_photo(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def _silent(folder: Path, document: Document) -> None:
    for path in (folder / "voice").glob("*.wav"):
        soundfile.write(path, np.zeros(soundfile.info(path).frames, np.float32), 24000, subtype="PCM_16")


def _lying_header(folder: Path, document: Document) -> None:
    path = sorted((folder / "voice").glob("*.wav"))[0]
    data = bytearray(path.read_bytes())
    place = data.find(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0x7FFFFF00)  # two gigabytes promised, a few seconds there
    path.write_bytes(bytes(data))


def _died_first(folder: Path, document: Document) -> None:
    document["subject"] = {**document["subject"], "died": "1901-01-01"}


def _future(folder: Path, document: Document) -> None:
    document["subject"] = {**document["subject"], "died": "2199-01-01"}


def _outside(folder: Path, document: Document) -> None:
    document["materials"] = {**document["materials"], "background": "../secret.jpg"}


def _unknown_key(folder: Path, document: Document) -> None:
    document["favourite_colour"] = "blue"


def _empty_script(folder: Path, document: Document) -> None:
    document["script"], document["translation"] = [], {}


def _missing_file(folder: Path, document: Document) -> None:
    document["materials"] = {**document["materials"], "music": "no-such-music.wav"}


_FAULTS: dict[str, tuple[Callable[[Path, Document], None], str, str]] = {
    "photo-without-face": (_no_face, "materials.photos", "photos/photo-01.jpg"),
    "photo-with-two-faces": (_two_faces, "materials.photos", "photos/photo-01.jpg"),
    "truncated-jpeg": (_truncated, "materials.photos", "photos/photo-01.jpg"),
    "silent-voice": (_silent, "materials.voice", ""),
    "lying-wav-header": (_lying_header, "materials.voice", "voice/recording-001.wav"),
    "died-before-born": (_died_first, "subject", ""),
    "died-in-the-future": (_future, "subject.died", ""),
    "path-outside": (_outside, "materials.background", ""),
    "unknown-key": (_unknown_key, "favourite_colour", ""),
    "empty-script": (_empty_script, "script", ""),
    "missing-file": (_missing_file, "materials.music", ""),
}


def broken_orders(folder: Path, family: Path, photos: int = 3, recordings: int = 3) -> list[BrokenOrder]:
    """Write one folder a fault below `folder`, copied from the order folder `family`, and list them.

    Every copy keeps only the first `photos` and `recordings`, so that the tests stay quick.
    """
    orders: list[BrokenOrder] = []
    for fault, (spoil, field, file) in _FAULTS.items():
        target = folder / fault
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(family, target, ignore=shutil.ignore_patterns(".family.json"))
        for path in sorted((target / "photos").glob("*.jpg"))[photos:]:
            path.unlink()
        for path in sorted((target / "voice").glob("*.wav"))[recordings:]:
            path.unlink()
        table = target / "voice" / "transcripts.csv"
        table.write_text("".join(table.read_text("utf-8").splitlines(keepends=True)[: recordings + 1]), "utf-8")
        document = yaml.safe_load((family / "order.yaml").read_text("utf-8"))
        document["order"] = f"broken-{fault}"
        spoil(target, document)
        (target / "order.yaml").write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "utf-8")
        orders.append(BrokenOrder(fault, target / "order.yaml", field, file))
    return orders
