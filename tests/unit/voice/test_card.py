"""The card: the better voice by measurement, and what was compared."""

import json
from pathlib import Path

import pytest

from memorial_tasks.domain.words import Language
from memorial_tasks.voice.card import better, measure, write_card
from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.train import Trained


@pytest.mark.parametrize(
    ("second", "won"),
    [
        ({"mcd_db": 7.0, "words": 40, "wer_made": 0.30}, False),  # six words worse
        ({"mcd_db": 7.5, "words": 40, "wer_made": 0.05}, True),  # four words better, whatever the distortion
        ({"mcd_db": 6.9, "words": 40, "wer_made": 0.20}, True),  # two words are chance: the distortion decides
        ({"mcd_db": 7.2, "words": 40, "wer_made": 0.15}, False),
        ({"mcd_db": None, "words": 0, "wer_made": None}, False),
    ],
)
def test_words_decide_before_distortion_and_nothing_decides_without_measurement(
    second: dict[str, float], won: bool
) -> None:
    assert better({"mcd_db": 7.1, "words": 40, "wer_made": 0.15}, second) is won


def test_the_card_names_what_was_compared_and_how_the_voice_learned(
    trained: Trained, corpus: Corpus, tmp_path: Path
) -> None:
    measured = measure(trained, Language.EN_US)
    assert measured.figures["mcd_db"] > 0
    assert len(measured.real) == len(measured.made) == len(trained.held_out)
    write_card(tmp_path, corpus, trained, "tiny", 1.0, measured, {"tier": 1, "mcd_db": 9.9})
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    assert [one["tier"] for one in card["tiers_compared"]] == [0, 1]
    assert card["curves"]["acoustic"]
    assert (card["vocoder"]["used"], card["base"], card["breaths"]) == ("world", None, len(trained.model.breaths))
    assert (tmp_path / "spectrogram.png").stat().st_size > 1000
