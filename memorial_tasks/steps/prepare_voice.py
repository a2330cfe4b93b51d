"""prepare_voice: the person's recordings -> aligned, analysed speech."""

import json
from typing import Any

from memorial_tasks.domain.order import Record
from memorial_tasks.domain.words import Language, Modality
from memorial_tasks.steps.contract import StepContext

ROOMS = ("voice",)
MODALITIES = (Modality.VOICE,)


class Params(Record):
    """`language` of the recordings."""

    language: Language


def run(context: StepContext, params: Params) -> dict[str, Any]:
    """``voice/*.wav``, ``voice/transcripts.json`` and ``own_voice.json`` (ids of recordings in which only the person
    speaks) -> ``voice/features.safetensors`` and ``.json``."""
    from memorial_tasks.voice.prepare import prepare_voice

    transcripts = context.optional("voice/transcripts.json")
    texts = json.loads(transcripts.read_text("utf-8")) if transcripts else {}
    lexicon = context.optional("lexicon.json")
    names = json.loads(lexicon.read_text("utf-8")) if lexicon else {}
    only = context.optional("own_voice.json")
    own = json.loads(only.read_text("utf-8")) if only else []
    files = [path for path in context.files("voice") if path.suffix == ".wav"]
    corpus = prepare_voice(files, texts, params.language, context.progress, names, own)
    corpus.save(context.out / "voice")
    grades = [utterance.grade for utterance in corpus.utterances]
    return {
        "seconds": round(corpus.seconds, 1),
        "utterances": len(grades),
        "grade_a": grades.count("A"),
        "grade_b": grades.count("B"),
        "grade_c": grades.count("C"),
        "findings": [finding.model_dump(mode="json") for finding in corpus.findings],
    }
