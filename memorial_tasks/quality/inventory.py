"""Which files of an order's folder are material, by the order's `materials` entry. Opens none of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memorial_tasks.domain.order import Materials
from memorial_tasks.domain.points import SUFFIX
from memorial_tasks.domain.words import MaterialKind
from memorial_tasks.errors import Problem
from memorial_tasks.quality.limits import FILES_PER_KIND
from memorial_tasks.quality.transcripts import TABLE

ENTRIES = {
    "photos": MaterialKind.PHOTO,
    "voice": MaterialKind.VOICE,
    "video": MaterialKind.VIDEO,
    "background": MaterialKind.BACKGROUND,
    "music": MaterialKind.MUSIC,
    "interludes": MaterialKind.INTERLUDE,
}
_LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db"}  # left behind by file managers


@dataclass(frozen=True)
class MaterialFile:
    """One file of the family: what it is meant to be and where it lies, relative to the order's folder."""

    kind: MaterialKind
    field: str
    file: str


def list_material(order_folder: Path, materials: Materials) -> tuple[list[MaterialFile], list[Problem]]:
    """Every material file the order names, sorted, and what is wrong with the places themselves.

    A folder is read one level deep; hidden files, file managers' litter, transcripts and points set on photos are
    passed over. Files that a symbolic link takes out of the order's folder are refused.
    """
    found: list[MaterialFile] = []
    problems: list[Problem] = []
    for entry, kind in ENTRIES.items():
        given = getattr(materials, entry)
        if given is None:
            continue
        field = f"materials.{entry}"
        place = order_folder / given
        if not place.exists():
            problems.append(
                Problem("material.missing", "nothing is there", "correct the path or add the files", field, given)
            )
            continue
        paths = sorted(_files(place, kind)) if place.is_dir() else [place]
        if not paths:
            problems.append(Problem("material.none", "the folder holds no material", "add the files", field, given))
        if len(paths) > FILES_PER_KIND or (len(paths) > 1 and kind in (MaterialKind.BACKGROUND, MaterialKind.MUSIC)):
            most = FILES_PER_KIND if len(paths) > FILES_PER_KIND else 1
            problems.append(
                Problem("material.too_many", f"{len(paths)} files, at most {most} are taken", "choose", field, given)
            )
            continue
        for path in paths:
            relative = path.relative_to(order_folder).as_posix()
            if not path.resolve().is_relative_to(order_folder.resolve()):
                problems.append(
                    Problem(
                        "material.outside",
                        "a link leads out of the order's folder",
                        "put the file itself there",
                        field,
                        relative,
                    )
                )
            else:
                found.append(MaterialFile(kind, field, relative))
    return found, problems


def _files(folder: Path, kind: MaterialKind) -> Iterator[Path]:
    for path in folder.iterdir():
        litter = path.name.startswith(".") or path.name.lower() in _LITTER
        transcript = kind in (MaterialKind.VOICE, MaterialKind.VIDEO) and (
            path.name == TABLE or path.suffix.lower() == ".txt"
        )
        points = kind is MaterialKind.PHOTO and path.name.lower().endswith(SUFFIX)
        if path.is_file() and not litter and not transcript and not points:
            yield path
