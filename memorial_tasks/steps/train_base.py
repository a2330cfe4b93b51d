"""train_base: a licensed corpus -> a base model, and the manifest by which a studio imports it.

The one step that belongs to no order: no family's material goes in, so it needs no permit, no key and no vault. It
reads plain files beside the corpus manifest and writes plain files into a folder, on any machine that has the corpus:

    python -m memorial_tasks.steps.train_base face CORPUS.yaml --out FOLDER --config production --assets ASSETS

Several GPUs, or processes, train one face together when torchrun starts it: `torchrun --nproc_per_node 4 -m
memorial_tasks.steps.train_base face ...`; their number must divide the config's batch.

Progress, refusals and exit codes are those of every step (see `process`), so the control plane runs it as one.
"""

import argparse
import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open

from memorial_tasks.domain.corpus import free
from memorial_tasks.errors import InputRefused, ModelRefused, Problem
from memorial_tasks.observability.logs import set_up
from memorial_tasks.steps.process import die_with_parent, emit, failure_event, stop_cleanly

MODEL, MANIFEST = "model.safetensors", "base.yaml"
KINDS, CONFIGS = ("face", "voice"), ("tiny", "cpu", "production")
Progress = Callable[[float, str], None]


def run(kind: str, manifest: Path, out: Path, config: str, assets: Path, seed: int, progress: Progress) -> None:
    """Train a base of `kind` on what `manifest` names; `model.safetensors`, `base.yaml` (for the import) and the room's
    own card in `out`.

    Raises `InputRefused` for a faulty manifest or one without licences, `ModelRefused` for a licence that does not
    allow films for families, and what the training raises."""
    about = licensed(manifest)
    out.mkdir(parents=True, exist_ok=True)
    if kind == "face":
        from memorial_tasks.face.base import train_base
        from memorial_tasks.face.corpus import read_corpus
        from memorial_tasks.face.landmarks import FaceModels
        from memorial_tasks.face.team import Team

        corpus, models, team = read_corpus(manifest), FaceModels.load(assets), Team.gather()
        train_base(corpus, manifest.parent, out, config, models, seed, progress, team)
        team.part()
        if not team.leads:
            return
    else:
        from memorial_tasks.voice import base

        base.train(manifest, out, config, progress)
    with safe_open(str(out / MODEL), framework="np") as file:
        architecture = (file.metadata() or {}).get("format", "")
    digest = hashlib.sha256((out / MODEL).read_bytes()).hexdigest()
    origin = f"trained in this house, config {config}"
    document = {"kind": kind, "architecture": architecture, "file": MODEL, "sha256": digest, "source": origin, **about}
    (out / MANIFEST).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")


def licensed(manifest: Path) -> dict[str, Any]:
    """What the import manifest says of model and corpus; every licence in the corpus manifest is looked at, whichever
    room reads the rest of it.

    Raises `InputRefused` where one is missing, `ModelRefused` where one is not free."""
    try:
        document = yaml.safe_load(manifest.read_bytes()) if manifest.is_file() else None
    except yaml.YAMLError:
        document = None
    parts = document.get("items") or document.get("parts") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(parts, list):
        what, remedy = (
            "no readable corpus manifest with items or parts",
            "start from the example in docs/base-models.md",
        )
        raise InputRefused([Problem("corpus.manifest", what, remedy, file=manifest.name)])
    named = {"licence": document.get("licence")} | {
        f"{number}.licence": part.get("licence") if isinstance(part, Mapping) else None
        for number, part in enumerate(parts)
    }
    bare = [field for field, licence in named.items() if not isinstance(licence, str) or not licence.strip()]
    if bare:
        what, remedy = "is missing", "nothing is learned from without a licence"
        raise InputRefused([Problem("corpus.licence", what, remedy, field, manifest.name) for field in bare[:50]])
    for field, licence in named.items():
        if not free(str(licence)):
            raise ModelRefused(
                "the licence is not one that allows films for families and the public",
                where=f"{manifest.name} {field}",
                remedy="leave the item out, or use LicenseRef-own for recordings of the studio's own",
            )
    model = str(document.get("model", ""))
    all_of = " AND ".join(sorted({str(part["licence"]) for part in parts}))
    name, source = str(document.get("name") or model), str(document.get("source", ""))
    return {
        "model": model,
        "licence": document["licence"],
        "corpus": {"name": name, "licence": all_of, "source": source},
    }


def main(given: Sequence[str] | None = None) -> int:
    """Train one base model; exit 0 with its files in the folder, otherwise a code that says whether to retry."""
    parser = argparse.ArgumentParser(prog="python -m memorial_tasks.steps.train_base", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("manifest", type=Path, help="the corpus manifest; its files lie beside it")
    parser.add_argument("--out", type=Path, required=True, help="folder for model, card and import manifest")
    parser.add_argument("--config", choices=CONFIGS, default="cpu")
    parser.add_argument("--assets", type=Path, required=True, help="face model files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    chosen = parser.parse_args(given)
    stop_cleanly()
    if chosen.with_parent:
        die_with_parent()

    def tell(share: float, what: str) -> None:
        emit(progress=round(float(share), 4), message=what)

    try:
        run(chosen.kind, chosen.manifest, chosen.out, chosen.config, chosen.assets, chosen.seed, tell)
    except Exception as error:
        if os.environ.get("MEMORIAL_STEP_TRACEBACK"):
            traceback.print_exc()
        event, code = failure_event(error)
        emit(**event)
        return code
    return 0


if __name__ == "__main__":
    set_up("step")
    sys.exit(main())
