"""What a step sees: its inputs as plain files, a place for its outputs, its checkpoints, its progress."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from memorial_tasks.errors import InputRefused, Problem

STEPS = (
    "ingest",
    "quality_gate",
    "prepare_face",
    "prepare_voice",
    "train_face",
    "train_voice",
    "direct",
    "speak",
    "animate",
    "compose",
    "seal",
    "output_gate",
    "package",
)
# Done when somebody asks, beside the way to a film.
ON_REQUEST = ("evaluate_face",)


@dataclass(frozen=True)
class SigningCredential:
    """What the seal step needs to sign a manifest: PEM certificate chain (leaf first) and PEM private key."""

    chain_pem: str
    key_pem: str
    anchors_pem: str


@dataclass(frozen=True)
class StepContext:
    """Everything a step may touch.

    `inputs` holds the decrypted input files under their artifact names, `out` becomes the outputs (every
    file left in it, named by its relative path), `checkpoints` survives a killed attempt once `save_checkpoint`
    returned. `progress(fraction, message)` takes 0..1 and a few words without personal data. All paths are on
    memory-backed or private storage that is removed when the step ends.
    """

    order: str
    inputs: Path
    out: Path
    checkpoints: Path
    seed: int
    progress: Callable[[float, str], None]
    save_checkpoint: Callable[[], None] = lambda: None
    assets: Path = Path()  # model files and fonts fetched at set-up
    signing: SigningCredential | None = field(default=None, repr=False)
    watermark_key: bytes = field(default=b"", repr=False)

    def file(self, name: str) -> Path:
        """The input called `name`; `InputRefused` when the job did not declare it."""
        path = self.inputs / name
        if not path.is_file():
            raise InputRefused(
                [Problem("step.input_missing", f"input {name} was not given", "declare it in the job", field=name)]
            )
        return path

    def optional(self, name: str) -> Path | None:
        """The input called `name`, or None."""
        path = self.inputs / name
        return path if path.is_file() else None

    def files(self, group: str) -> list[Path]:
        """All inputs below the folder `group`, sorted by name."""
        folder = self.inputs / group
        return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
