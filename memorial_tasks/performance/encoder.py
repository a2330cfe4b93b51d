"""A text encoder that proposes emotions, where the studio has installed one; without one the lexicon decides.

The encoder is a folder in Hugging Face's layout (``config.json``, ``tokenizer.json`` and so on, ``model.safetensors``:
BERT, RoBERTa, XLM-R and their kin) with our own ``head.safetensors`` and ``emotion.json``, the card that `fine_tune`
writes: licence, labels, measured accuracy, and the SHA-256 of every file. It is read from this machine only: no
network, no code from the folder, no pickle; a file that is not on the card, or not as it says, is refused.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import ModelRefused, Unavailable
from memorial_tasks.performance.emotion import Proposal

FOLDER: Final = "emotion"  # below the model files
CARD: Final = "emotion.json"
HEAD: Final = "head.safetensors"
WEIGHTS: Final = "model.safetensors"
FORMAT: Final = "memorial-emotion-1"
LONGEST: Final = 128  # tokens of a line that are read
SURE: Final = 0.35  # least probability of an emotion; below it the line is taken as neutral
ALLOWED: Final = frozenset({".json", ".txt", ".safetensors", ".model"})
LABELS: Final = tuple(Emotion)


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder. `digest` is that of its card and names it in results."""

    tokenizer: Any
    body: Any
    weight: Tensor  # [labels, hidden]
    bias: Tensor  # [labels]
    digest: str

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """float32 [N, labels] in the order of `LABELS`."""
        with torch.no_grad():
            return torch.softmax(pooled(self.tokenizer, self.body, texts) @ self.weight.T + self.bias, dim=1)

    def propose(self, text: str, language: Language) -> Proposal:
        """The emotion of one line, as `emotion.propose` gives it; `language` is read from the words themselves."""
        found = self.probabilities([text])[0].tolist()
        scores = dict(zip(LABELS, found, strict=True))
        best = max(scores, key=lambda emotion: scores[emotion])
        second = sorted(found)[-2]
        reasons = (f"text encoder {self.digest[:8]}: {best} {scores[best]:.2f}, next {second:.2f}",)
        if best is Emotion.NEUTRAL or scores[best] < SURE:
            return Proposal(Emotion.NEUTRAL, 0.3, reasons, scores)
        return Proposal(best, round(min(0.95, 0.4 + 0.5 * (scores[best] - second)), 2), reasons, scores)


def pooled(tokenizer: Any, body: Any, texts: Sequence[str]) -> Tensor:
    """The mean of the last hidden states over a text's own tokens, float32 [N, hidden]."""
    given = tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
    states = body(**{name: given[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    seen = given["attention_mask"][..., None].to(states.dtype)
    mean: Tensor = (states * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
    return mean


def installed(assets: Path) -> str:
    """The digest of the card of the encoder that is installed below `assets`, or "" where none is."""
    card = assets / FOLDER / CARD
    return hashlib.sha256(card.read_bytes()).hexdigest() if card.is_file() else ""


def load_encoder(folder: Path, digest: str = "") -> Encoder:
    """Reads an encoder that `fine_tune` wrote, after every file was found to be what its card says.

    Raises `ModelRefused` for a folder that is not whole, holds other files or another encoder than `digest`, and
    `Unavailable` where the extra "direction" is not installed.
    """
    card = _checked(folder, digest)
    tokenizer, body = from_folder(folder)
    try:
        head = load_file(folder / HEAD)
        weight, bias = head["weight"], head["bias"]
    except (SafetensorError, KeyError, OSError) as error:
        raise _refused("its head cannot be read") from error
    if weight.shape != (len(LABELS), body.config.hidden_size) or bias.shape != (len(LABELS),):
        raise _refused("its head does not fit the encoder")
    return Encoder(tokenizer, body, weight.float(), bias.float(), card)


def from_folder(folder: Path) -> tuple[Any, Any]:
    """(tokenizer, model in evaluation mode, float32) of a folder in Hugging Face's layout. Nothing is fetched, and a
    configuration that asks for code of its own is refused (`ModelRefused`)."""
    check_folder(folder)
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"  # read when the library is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import transformers
    except ImportError as error:
        raise Unavailable(
            "the text encoder needs a library that is not installed",
            where="transformers",
            remedy="install the extra 'direction', or remove the encoder: the lexicon does without",
        ) from error
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **given)
        body = transformers.AutoModel.from_pretrained(
            str(folder), use_safetensors=True, dtype=torch.float32, add_pooling_layer=False, **given
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _refused(f"it cannot be loaded ({type(error).__name__})") from error
    return tokenizer, body.eval()


def check_folder(folder: Path) -> None:
    """Raises `ModelRefused` unless the folder holds a model as safetensors and nothing that could run."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if WEIGHTS not in names or "config.json" not in names:
        raise _refused("config.json or model.safetensors is missing")
    odd = [name for name in names if Path(name).suffix not in ALLOWED or not (folder / name).is_file()]
    if odd:
        raise _refused(f"{len(odd)} file(s) in it are neither safetensors, JSON nor text")
    for path in folder.glob("*.json"):
        try:
            said = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise _refused(f"{path.name} is not JSON") from error
        if isinstance(said, Mapping) and said.get("auto_map"):
            raise _refused(f"{path.name} asks for code of its own")


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the folder but the card."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != CARD:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _checked(folder: Path, digest: str) -> str:
    path = folder / CARD
    if not path.is_file():
        raise _refused(f"{CARD} is missing")
    body = path.read_bytes()
    own = hashlib.sha256(body).hexdigest()
    if digest and own != digest:
        raise _refused("it is another one than the order names")
    try:
        card = json.loads(body)
        fits = card["format"] == FORMAT and card["labels"] == [label.value for label in LABELS] and card["licence"]
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(f"{CARD} cannot be read") from error
    if not fits:
        raise _refused(f"{CARD} is of another format or names no licence")
    check_folder(folder)
    if file_digests(folder) != card.get("sha256"):
        raise _refused("its files are not those on its card")
    return own


def _refused(what: str) -> ModelRefused:
    return ModelRefused(f"the text encoder is refused: {what}", where=FOLDER, remedy="install it again")
