"""Fictional orders for the stand-in steps (`tests.support.noop_steps`), placed without looking at their material.

Everything `memorial order submit` does is done, with one exception: the inspection of the material, which decodes
photos and listens to recordings for seconds and would refuse the stand-ins' bytes. Order document, rules of consent,
encryption, registry, consent record and audit entry are the real ones.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from memorial_tasks.production import intake
from memorial_tasks.production.studio import Studio, command_actor

PHOTO = b"a photo that nobody will look at"
PAPERS = ("death.pdf", "kinship.pdf", "identity.pdf")


def write(folder: Path, order: str, *, photos: Sequence[bytes] = (PHOTO, PHOTO), **changes: Any) -> Path:
    """An order document with its files; returns the document's path."""
    for name in ("photos", "voice", "papers"):
        (folder / name).mkdir()
    for number, content in enumerate(photos, start=1):
        (folder / "photos" / f"p{number:02d}.jpg").write_bytes(content + b" %d" % number)
    (folder / "voice" / "v01.wav").write_bytes(b"a recording that nobody will hear")
    for name in PAPERS:
        (folder / "papers" / name).write_bytes(b"%PDF-1.4 a paper of a fictional family")
    document = {
        "order": order,
        "subject": {"name": "Ada Example", "born": "1931-04-02", "died": "2019-11-20", "domicile": "CN"},
        "grantors": [
            {"name": "Bea Example", "relation": "daughter", "evidence": [f"papers/{name}" for name in PAPERS]}
        ],
        "purpose": "family_private",
        "jurisdictions": ["CN"],
        "language": "en-US",
        "script": [{"text": "I am well where I am."}],
        "materials": {"photos": "photos/", "voice": "voice/"},
        "deliver": {"size": "720p", "fps": 25, "subtitles": ["en-US"], "formats": ["mp4"]},
    }
    path = folder / "order.yaml"
    path.write_text(yaml.safe_dump(document | changes, allow_unicode=True), "utf-8")
    return path


def place(studio: Studio, order: str, *, photos: Sequence[bytes] = (PHOTO, PHOTO), **changes: Any) -> str:
    """Submit an order of stand-in material. `photos` are the photos' bytes: see `noop_steps` for what they decide;
    `changes` are keys of the order document, such as ``priority=5``."""
    with tempfile.TemporaryDirectory(prefix="noop-order-") as folder:
        path = write(Path(folder), order, photos=photos, **changes)
        with patch.object(intake, "inspect_material", lambda *_: intake.Inspection([], [], {})):
            return intake.submit(studio, path, command_actor(studio.settings))
