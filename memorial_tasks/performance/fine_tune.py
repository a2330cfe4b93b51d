"""Transfer learning for the text encoder: a pretrained encoder from the operator learns our seven emotions.

`python -m memorial_tasks.performance.fine_tune BASE OUT --licence Apache-2.0` reads a folder in Hugging Face's layout
and writes an encoder that `direct` uses when OUT is `emotion/` below the model files. First the head learns on the
frozen encoder, then its last layers learn along at a small rate, as transfer to few sentences needs (Howard and Ruder
2018).
The sentences are our own (`sentences.csv`, Chinese and English) and the terms of the lexicon in short sentences.
"""

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from memorial_tasks.domain.words import Emotion, Language
from memorial_tasks.errors import InputRefused, Problem
from memorial_tasks.performance.emotion import lexicon, propose
from memorial_tasks.performance.encoder import CARD, FORMAT, HEAD, LABELS, WEIGHTS, file_digests, from_folder, pooled

HELD_OUT: Final = 5  # every fifth of the written sentences is not learned from
FRAMES: Final = {
    Language.EN_US: ("{}.", "That was {}.", "I say {}."),
    Language.ZH_CN: ("{}。", "我说{}。", "{}，是的。"),
}
BATCH: Final = 32


@dataclass(frozen=True)
class Labelled:
    """One sentence and its emotion."""

    text: str
    language: Language
    emotion: Emotion


@dataclass(frozen=True)
class Recipe:
    """`head_epochs` with the encoder frozen at `head_rate`, then `body_epochs` of its last `layers` at `body_rate`;
    more `layers` than there are means all of it, words too."""

    head_epochs: int = 40
    head_rate: float = 5e-3
    body_epochs: int = 4
    body_rate: float = 2e-5
    layers: int = 2
    decay: float = 0.01


def written() -> list[Labelled]:
    """The sentences written for this project, ten for each emotion and language."""
    text = (files(__package__) / "sentences.csv").read_text("utf-8")
    return [
        Labelled(row["text"], Language(row["language"]), Emotion(row["emotion"]))
        for row in csv.DictReader(text.splitlines())
    ]


def from_lexicon() -> list[Labelled]:
    """The terms of the lexicon in short sentences, each with the emotion that the lexicon itself proposes for it."""
    found = []
    for language, frames in FRAMES.items():
        for number, term in enumerate(lexicon(language)):
            text = frames[number % len(frames)].format(term)
            seen = propose(text, language)
            if seen.emotion is not Emotion.NEUTRAL:
                found.append(Labelled(text, language, seen.emotion))
    return found


def parted(sentences: Sequence[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """(learned from, held out), each with every emotion and language."""
    held = [one for number, one in enumerate(sentences) if number % HELD_OUT == HELD_OUT - 1]
    return [one for one in sentences if one not in held], held


def fine_tune(
    base: Path,
    out: Path,
    licence: str,
    recipe: Recipe | None = None,
    seed: int = 0,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> dict[str, Any]:
    """Learns and writes the encoder into `out`, which appears whole or not at all; returns its card.

    Raises `InputRefused` without a licence or when `out` exists, `ModelRefused` for a base that cannot be used.
    """
    if not licence.strip():
        what = "the licence of the base model is not named"
        raise InputRefused([Problem("encoder.licence", what, "say under which licence it may be used", "licence")])
    if out.exists():
        raise InputRefused([Problem("encoder.exists", "the target exists", "remove it or choose another", "out")])
    plan = recipe or Recipe()
    torch.manual_seed(seed)
    tokenizer, body = from_folder(base)
    learned, held = parted(written())
    learned += from_lexicon()
    head = nn.Linear(body.config.hidden_size, len(LABELS))
    steps = plan.head_epochs + plan.body_epochs
    _learn_head(tokenizer, body, head, learned, plan, seed)
    progress(plan.head_epochs / steps, "head learned")
    _learn_body(tokenizer, body, head, learned, plan, seed)
    body.eval()
    about = {
        "format": FORMAT,
        "licence": licence,
        "labels": [label.value for label in LABELS],
        "sentences": len(learned),
        "held_out": len(held),
        "accuracy": round(_accuracy(tokenizer, body, head, held), 3),
        "accuracy_lexicon": round(sum(propose(o.text, o.language).emotion is o.emotion for o in held) / len(held), 3),
        "recipe": vars(plan),
        "seed": seed,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".encoder-", dir=out.parent) as scratch:
        folder = Path(scratch) / "encoder"
        body.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
        save_file({name: value.detach().contiguous() for name, value in head.named_parameters()}, folder / HEAD)
        about["sha256"] = file_digests(folder)
        (folder / CARD).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
        shutil.move(str(folder), str(out))
    progress(1.0, "encoder written")
    return about


def _learn_head(
    tokenizer: Any, body: Any, head: nn.Linear, learned: Sequence[Labelled], plan: Recipe, seed: int
) -> None:
    """The head alone: what the frozen encoder says of each sentence is computed once."""
    with torch.no_grad():
        texts = [one.text for one in learned]
        states = torch.cat([pooled(tokenizer, body, texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])
    wanted, weights = _targets(learned), _weights(learned)
    optimiser = torch.optim.AdamW(head.parameters(), lr=plan.head_rate, weight_decay=plan.decay)
    random = torch.Generator().manual_seed(seed)
    for _ in range(plan.head_epochs):
        order = torch.randperm(len(learned), generator=random)
        for at in range(0, len(learned), BATCH):
            batch = order[at : at + BATCH]
            loss = nn.functional.cross_entropy(head(states[batch]), wanted[batch], weights)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()


def _learn_body(
    tokenizer: Any, body: Any, head: nn.Linear, learned: Sequence[Labelled], plan: Recipe, seed: int
) -> None:
    """The encoder's last layers, or all of it, and the head together."""
    if not plan.body_epochs:
        return
    for value in body.parameters():
        value.requires_grad_(False)
    layers = body.encoder.layer if hasattr(body, "encoder") else body.transformer.layer
    whole = plan.layers > len(layers)
    own = [value for part in ([body] if whole else layers[-plan.layers :]) for value in part.parameters()]
    for value in own:
        value.requires_grad_(True)
    groups = [{"params": own, "lr": plan.body_rate}, {"params": list(head.parameters()), "lr": plan.body_rate * 10}]
    optimiser = torch.optim.AdamW(groups, weight_decay=plan.decay)
    wanted, weights = _targets(learned), _weights(learned)
    random = torch.Generator().manual_seed(seed + 1)
    body.train()
    for _ in range(plan.body_epochs):
        order = torch.randperm(len(learned), generator=random)
        for at in range(0, len(learned), BATCH):
            batch = order[at : at + BATCH]
            states = pooled(tokenizer, body, [learned[index].text for index in batch.tolist()])
            loss = nn.functional.cross_entropy(head(states), wanted[batch], weights)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(own, 1.0)
            optimiser.step()


def _targets(sentences: Sequence[Labelled]) -> Tensor:
    return torch.tensor([LABELS.index(one.emotion) for one in sentences])


def _weights(sentences: Sequence[Labelled]) -> Tensor:
    """Rare emotions count as much as frequent ones."""
    counts = torch.bincount(_targets(sentences), minlength=len(LABELS)).float().clamp(min=1)
    return counts.mean() / counts


def _accuracy(tokenizer: Any, body: Any, head: nn.Linear, held: Sequence[Labelled]) -> float:
    with torch.no_grad():
        found = head(pooled(tokenizer, body, [one.text for one in held])).argmax(dim=1)
    return float((found == _targets(held)).float().mean())


def main() -> None:
    """The command of the docstring above."""
    parser = argparse.ArgumentParser(prog="fine_tune", description="teach a text encoder the seven emotions")
    parser.add_argument("base", type=Path, help=f"folder with config.json, a tokenizer and {WEIGHTS}")
    parser.add_argument("out", type=Path, help="where the encoder is written; it must not exist")
    parser.add_argument("--licence", required=True, help="licence of the base model")
    given = parser.parse_args()
    card = fine_tune(given.base, given.out, given.licence)
    print(json.dumps({key: card[key] for key in ("accuracy", "accuracy_lexicon", "held_out")}))  # noqa: T201


if __name__ == "__main__":
    main()
