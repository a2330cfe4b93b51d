"""The card of a trained voice: what it was made from, how good it is, and what would make it better."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.audio import Wave, spectrogram_png
from memorial_tasks.voice.corpus import Corpus, Utterance
from memorial_tasks.voice.evaluate import distortion, pitch_agreement, plain_words, word_errors
from memorial_tasks.voice.features import FRAME
from memorial_tasks.voice.model import VoiceModel
from memorial_tasks.voice.prepare import Recogniser
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.synthesize import say_row
from memorial_tasks.voice.train import Trained


@dataclass(frozen=True)
class Measured:
    """A voice against the recordings kept away from it: `figures` for the card, and the sounds for the picture."""

    figures: dict[str, Any]
    real: tuple[Wave, ...]
    made: tuple[Wave, ...]


def say_again(model: VoiceModel, utterance: Utterance) -> tuple[TimedRow, Any]:
    """The model saying what a recording says, with its own timing: timed row and frames."""
    return say_row(model, utterance.timed.row)


def measure(trained: Trained, language: Language) -> Measured:
    """The held-out utterances said again: distortion, pitch, and word errors where our judge knows the language."""
    made, real = [], []
    scores: list[float] = []
    pitch: list[tuple[float, float]] = []
    errors = {"real": 0, "made": 0, "words": 0}
    recogniser = Recogniser() if language == Language.EN_US and trained.held_out else None
    for utterance in trained.held_out:
        _, frames = say_again(trained.model, utterance)
        wave = trained.model.sound(frames)
        scores.append(distortion(utterance.frames, frames))
        timed = trained.model.frames(utterance.timed.row, utterance.timed.edges)
        pitch.append(pitch_agreement(utterance.frames, timed))
        real.append(utterance.wave)
        made.append(wave)
        if recogniser:
            words = plain_words(utterance.text)
            errors["words"] += len(words)
            errors["real"] += word_errors(words, plain_words(recogniser.words(utterance.wave)))
            errors["made"] += word_errors(words, plain_words(recogniser.words(wave)))
    figures = {
        "tier": trained.model.tier,
        "held_out": len(trained.held_out),
        "mcd_db": round(float(np.mean(scores)), 2) if scores else None,
        "pitch_rmse_cents": round(float(np.nanmean([cents for cents, _ in pitch])), 0) if pitch else None,
        "pitch_correlation": round(float(np.nanmean([r for _, r in pitch])), 2) if pitch else None,
        "wer_real": round(errors["real"] / errors["words"], 3) if errors["words"] else None,
        "wer_made": round(errors["made"] / errors["words"], 3) if errors["words"] else None,
        "wer_delta": round((errors["made"] - errors["real"]) / errors["words"], 3) if errors["words"] else None,
        "words": errors["words"],
    }
    return Measured(figures, tuple(real), tuple(made))


def better(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether the second voice's figures are the better ones: fewer word errors by more than two words, else less
    distortion. Without held-out recordings nothing was measured, and the first stays."""
    if first["mcd_db"] is None or second["mcd_db"] is None:
        return False
    if first["words"]:
        gained = (first["wer_made"] - second["wer_made"]) * first["words"]
        if abs(gained) > 2.5:
            return bool(gained > 0)
    return bool(second["mcd_db"] < first["mcd_db"])


def write_card(
    folder: Path,
    corpus: Corpus,
    trained: Trained,
    config: str,
    seconds: float,
    measured: Measured,
    other: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Draw real above made, write ``card.json`` and ``spectrogram.png``. `other` are the figures of the tier that was
    trained too and measured worse."""
    strips = [wave for pair in zip(measured.real[:2], measured.made[:2], strict=True) for wave in pair]
    spectrogram_png(folder / "spectrogram.png", strips or [corpus.utterances[0].wave])
    minutes = corpus.seconds / 60
    card: dict[str, Any] = {
        "format": 1,
        "tier": trained.model.tier,
        "base": trained.model.base or None,
        "config": config,
        "language": corpus.language.value,
        "minutes": round(minutes, 2),
        "utterances": len(corpus.utterances),
        "grades": {grade: sum(u.grade == grade for u in corpus.utterances) for grade in "ABC"},
        **{key: value for key, value in measured.figures.items() if key != "tier"},
        "tiers_compared": [measured.figures, other] if other else [measured.figures],
        "vocoder": {"used": "gan" if trained.model.vocoder else "world", **trained.vocoder},
        "breaths": len(trained.model.breaths),
        "expected_quality": expected_quality(corpus),
        "improve": improvements(corpus),
        "curves": trained.curves,
        "findings": [finding.model_dump(mode="json") for finding in corpus.findings],
        "method": "BiLSTM parametric synthesis with explicit durations, "
        + ("taught by a base voice" if trained.model.tier else "taught by generated speech")
        + ", then by this person's recordings",
    }
    folder.mkdir(parents=True, exist_ok=True)
    # what another run of the same training would not repeat stays out of the file, so that its digest is the same
    (folder / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1), "utf-8")
    return card | {"train_s": round(seconds, 1), "resumed": trained.resumed}


def expected_quality(corpus: Corpus) -> str:
    """``limited``, ``fair`` or ``good`` for what tier 0 can be, from the minutes and grades."""
    usable = sum(u.seconds for u in corpus.utterances if u.grade != "C") / 60
    return "good" if usable >= 3 else "fair" if usable >= 1 else "limited"


def improvements(corpus: Corpus) -> list[str]:
    """What the family could bring to make this voice better, most effective first."""
    out = []
    minutes = corpus.seconds / 60
    if minutes < 3:
        out.append(f"more recordings: {minutes:.1f} minutes are used, 3 to 10 make a clear difference")
    poor = sum(u.seconds for u in corpus.utterances if u.grade == "C") / max(corpus.seconds, 1e-6)
    if poor > 0.2:
        out.append("cleaner copies: much of the speech is noisy, clipped or narrow-band")
    if any(finding.code == "voice.transcript_recognised" for finding in corpus.findings):
        out.append("transcripts: the words were recognised by machine and contain mistakes")
    words = {word.text.lower() for u in corpus.utterances for word in u.timed.row.words}
    if len(words) < 150:
        out.append(f"more varied speech: only {len(words)} different words are heard")
    short = np.median([u.timed.edges[-1] * FRAME for u in corpus.utterances])
    if short < 1.2:
        out.append("longer sentences: most recordings are single words or very short phrases")
    return out
