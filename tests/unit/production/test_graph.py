"""The way through the house: every step gets exactly what it needs, or does not run."""

import json
from pathlib import Path

import pytest

from memorial_tasks.domain.job import ArtifactRef
from memorial_tasks.domain.order import Order
from memorial_tasks.errors import MemorialError
from memorial_tasks.production.graph import INPUTS, ON_REQUEST_INPUTS, gather, seed_of, sources
from memorial_tasks.production.intake import collect, documents
from memorial_tasks.production.order_file import OrderFile
from memorial_tasks.steps.contract import ON_REQUEST, STEPS


def artifact(name: str) -> ArtifactRef:
    return ArtifactRef(name=name, uri=f"vault://orders/x/{name}", sha256="0" * 64, size=1)


def test_every_step_has_its_place() -> None:
    assert set(INPUTS) == set(STEPS)
    assert set(ON_REQUEST_INPUTS) == set(ON_REQUEST)


def test_the_steps_are_listed_in_an_order_in_which_they_can_run() -> None:
    seen: set[str] = set()
    for step in STEPS:
        assert set(sources(step)) <= seen, step
        seen.add(step)


def test_inputs_are_renamed_and_sorted() -> None:
    available = {
        "ingest": [artifact("photos/b.png"), artifact("photos/a.png"), artifact("voice/a.wav")],
        "quality_gate": [artifact("report.json"), artifact("measurements.json"), artifact("docs.tar.gz")],
    }
    names = [item.name for item in gather("prepare_face", available)]
    assert names == ["photos/a.png", "photos/b.png", "quality/measurements.json", "quality/report.json"]


def test_a_step_never_runs_on_half_its_inputs() -> None:
    with pytest.raises(MemorialError, match=r"quality_gate has no result report\.json"):
        gather("prepare_face", {"ingest": [artifact("photos/a.png")], "quality_gate": []})


def test_the_person_s_own_recordings_reach_the_preparation_by_their_ids(tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    folder.mkdir()
    for name in ("a tape.wav", "b visit.wav"):
        (folder / name).write_bytes(b"x")
    order = Order.model_validate(
        {
            "order": "test-001",
            "subject": {"name": "N", "born": "1931-04-02", "died": "2019-11-20"},
            "grantors": [{"name": "G", "relation": "daughter", "evidence": ["p.pdf"]}],
            "purpose": "family_private",
            "language": "en-US",
            "script": [{"text": "Hello"}],
            "materials": {"voice": "voice", "own_voice": ["b visit.wav"]},
        }
    )
    assert not isinstance(order.script, str)
    read = OrderFile(order, tmp_path, b"", order.script, ())
    made = documents(read, list(collect(order, tmp_path)))
    assert json.loads(made["own_voice.json"]) == ["voice-0002"]
    available = {
        "ingest": [artifact("voice/voice-0002.wav")],
        "document": [artifact("lexicon.json"), artifact("own_voice.json")],
    }
    assert "own_voice.json" in [item.name for item in gather("prepare_voice", available)]


def test_evidence_reaches_no_step() -> None:
    assert not any("evidence" in take.pattern for takes in INPUTS.values() for take in takes)


def test_another_script_trains_nothing_again() -> None:
    """What is learned of a person does not hang on what they are to say: `memorial render` reuses both models."""
    for step in ("prepare_face", "train_face", "prepare_voice", "train_voice"):
        assert not any(take.pattern == "script.json" for take in INPUTS[step]), step


def test_seeds_are_stable_and_differ() -> None:
    assert seed_of("a", "speak") == seed_of("a", "speak")
    assert len({seed_of(order, step) for order in ("a", "b") for step in STEPS}) == 2 * len(STEPS)


def test_a_step_that_is_to_be_done_otherwise_gets_another_seed_each_time() -> None:
    assert seed_of("a", "speak", 0) == seed_of("a", "speak")
    assert len({seed_of("a", "speak", revision) for revision in range(4)}) == 4
