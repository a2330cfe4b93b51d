"""Smaller orders of the generated demonstration family: real media, cut down to what a test or a benchmark needs."""

import shutil
from pathlib import Path
from typing import Any

import yaml


def write_order(
    full: Path, folder: Path, order: str, *, photos: int = 6, recordings: int = 14, lines: int = 2, **changes: Any
) -> Path:
    """Copy a whole family's folder and keep so many photos, recordings and script lines; 720p unless changed.

    `changes` replace parts of the order's document. Returns the path of its ``order.yaml``.
    """
    shutil.copytree(full, folder, dirs_exist_ok=True)
    for path in sorted((folder / "photos").iterdir())[photos:]:
        path.unlink()
    sounds = sorted((folder / "voice").glob("*.wav"))
    for path in sounds[recordings:]:
        path.unlink()
    kept = {path.name for path in sounds[:recordings]}
    table = folder / "voice" / "transcripts.csv"
    rows = [row for row in table.read_text("utf-8").splitlines() if row.split("|")[0] in kept]
    table.write_text("\n".join(rows) + "\n", "utf-8")
    document = yaml.safe_load((folder / "order.yaml").read_text("utf-8"))
    translation = {language: texts[:lines] for language, texts in document.get("translation", {}).items()}
    document |= {"order": order, "script": document["script"][:lines], "translation": translation}
    document["deliver"] |= {"size": "720p"}
    document |= changes
    (folder / "order.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    return folder / "order.yaml"
