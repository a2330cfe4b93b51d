"""train_voice: the prepared speech -> a voice that can say anything, with an honest card."""

import time
from typing import Any

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Modality
from memorial_tasks.steps.contract import StepContext

ROOMS = ("voice",)
MODALITIES = (Modality.VOICE,)


class Params(Record):
    """`config`: tiny, cpu or production. The script is no input: the same voice says any script."""

    config: str = "cpu"


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """``voice/features.*``, and where the studio has one ``base/model.safetensors`` -> ``voice/model.safetensors``,
    ``voice/card.json``, ``voice/spectrogram.png``, and ``curves/events.out.tfevents``. With a base voice both tiers are
    trained, and the one that says the held-out recordings better is kept."""
    from memorial_tasks.steps.curves import write_curves
    from memorial_tasks.voice.base import Base
    from memorial_tasks.voice.card import better, measure, write_card
    from memorial_tasks.voice.corpus import Corpus
    from memorial_tasks.voice.recipe import recipe, tuning_recipe
    from memorial_tasks.voice.train import train_voice

    started = time.monotonic()
    corpus = Corpus.load(context.file("voice/features.json").parent)
    brought = context.optional("base/model.safetensors")
    base = Base.load(brought) if brought else None
    share = 0.6 if base else 1.0
    trained = train_voice(
        corpus,
        recipe(params.config),
        context.checkpoints,
        context.seed,
        lambda fraction, message: context.progress(share * fraction, message),
        context.save_checkpoint,
    )
    measured, other = measure(trained, corpus.language), None
    if base:
        tuned = train_voice(
            corpus,
            tuning_recipe(params.config),
            context.checkpoints,
            context.seed,
            lambda fraction, message: context.progress(share + (1 - share) * fraction, message),
            context.save_checkpoint,
            base,
        )
        second = measure(tuned, corpus.language)
        if better(measured.figures, second.figures):
            trained, measured, other = tuned, second, measured.figures
        else:
            other = second.figures
    trained.model.save(context.out / "voice" / "model.safetensors")
    write_curves(context.out, {f"voice/{name}": series for name, series in trained.curves.items()})
    seconds = time.monotonic() - started
    card = write_card(context.out / "voice", corpus, trained, params.config, seconds, measured, other)
    context.progress(1.0, "voice trained")
    keys = ("tier", "base", "minutes", "mcd_db", "wer_delta", "expected_quality", "train_s", "resumed")
    return {key: card[key] for key in keys}
