"""The GAN vocoder: begins as WORLD, learns, goes on after a kill, and is judged on recordings."""

from pathlib import Path

import numpy as np
import pytest
import torch

from memorial_tasks.voice.corpus import Corpus
from memorial_tasks.voice.examples import statistics
from memorial_tasks.voice.features import HOP, WIDTH, Frames, resynthesise
from memorial_tasks.voice.recipe import VocoderRecipe
from memorial_tasks.voice.vocoder import (
    Generator,
    Judges,
    Vocoder,
    VocoderRun,
    copy_distances,
    fooling_loss,
    judge_loss,
    spectral_distance,
)

SMALL = VocoderRecipe(steps=40, warm=30, batch=2, frames=60, width=24, blocks=1, judge=2, rate=2e-3)


def _run(corpus: Corpus, path: Path, seed: int = 1) -> VocoderRun:
    torch.set_num_threads(1)
    mean, std = statistics(corpus.utterances)
    return VocoderRun(corpus.utterances[:2], mean, std, SMALL, path / "vocoder.safetensors", seed)


@pytest.fixture(scope="module")
def learned(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> VocoderRun:
    run = _run(corpus, tmp_path_factory.mktemp("vocoder"))
    run.train()
    return run


def test_before_training_it_says_what_world_says(corpus: Corpus) -> None:
    frames = corpus.utterances[0].frames
    vocoder = Vocoder(Generator(24, 1), np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    assert np.allclose(vocoder.sound(frames)[: len(frames) * HOP - 600], _world(frames)[:-600], atol=1e-4)


def _world(frames: Frames) -> np.ndarray:
    return np.asarray(resynthesise(frames)[: len(frames) * HOP])


def test_it_comes_nearer_to_the_recordings_than_world(learned: VocoderRun, corpus: Corpus) -> None:
    seen = corpus.utterances[:2]
    assert copy_distances(learned.vocoder().sound, seen) < 0.97 * copy_distances(resynthesise, seen)


def test_the_judges_play_after_the_warm_up_only(learned: VocoderRun) -> None:
    assert [judged > 0 for _, _, judged in learned.curve] == [step > SMALL.warm for step, _, _ in learned.curve]
    assert learned.curve[2][1] < learned.curve[0][1]


def test_a_killed_training_ends_with_the_same_weights(learned: VocoderRun, corpus: Corpus, tmp_path: Path) -> None:
    first = _run(corpus, tmp_path)
    first.train(until=lambda: first.step == 33)
    again = _run(corpus, tmp_path)
    again.resume()
    assert (again.resumed, again.step) == (True, 33)
    again.train()
    for name, value in learned.generator.state_dict().items():
        assert torch.equal(value, again.generator.state_dict()[name]), name
    other = _run(corpus, tmp_path, seed=2)
    other.resume()
    assert not other.resumed


def test_judges_look_at_periods_and_at_resolutions() -> None:
    waves = torch.randn(2, 4800)
    with torch.no_grad():
        maps = Judges(2)(waves)
    assert len(maps) == 7
    assert [one[-1].shape[3] for one in maps[:4]] == [2, 3, 5, 7]
    same = fooling_loss(maps, maps)
    assert float(same) == pytest.approx(float(torch.stack([(1 - one[-1]).pow(2).mean() for one in maps]).mean()))
    assert float(judge_loss(maps, maps)) > 0


def test_distance_is_zero_for_the_same_sound_and_grows_with_noise() -> None:
    sound = torch.sin(torch.arange(4800) * 0.05)[None]
    assert float(spectral_distance(sound, sound)) == pytest.approx(0.0, abs=1e-6)
    noise = torch.randn(sound.shape, generator=torch.Generator().manual_seed(0))
    near, far = spectral_distance(sound + 0.01 * noise, sound), spectral_distance(sound + 0.1 * noise, sound)
    assert 0 < float(near) < float(far)
