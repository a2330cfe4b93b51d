"""The three voice steps one after another on generated recordings, with a training killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from memorial_tasks.domain.timing import SpeechTiming
from memorial_tasks.domain.words import Language
from memorial_tasks.steps import prepare_voice, speak, train_voice
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.voice.base import Base
from memorial_tasks.voice.espeak import Espeak
from memorial_tasks.voice.features import WIDTH
from memorial_tasks.voice.networks import AcousticModel, DurationModel, Sizes
from memorial_tasks.voice.phones import PHONES
from memorial_tasks.voice.practice_texts import MANDARIN
from memorial_tasks.voice.sequence import DESCRIPTION

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SCRIPT = ["孩子们，你们好。😀", '我1931年出生, <break time="700ms"/>and I <emphasis>love</emphasis> you all.']
SHOWN = ["孩子们，你们好。😀", "我1931年出生, and I love you all."]
TRAIN = """
import sys, torch
from pathlib import Path
from memorial_tasks.steps import train_voice
from memorial_tasks.steps.contract import StepContext
from memorial_tasks.voice import learn
torch.set_num_threads(1)
learn.SAVE_EVERY = 0.5
here = Path(sys.argv[1])
context = StepContext("o", here / "in", here / "out", here / "checkpoints", 1, lambda f, m: None)
train_voice.run(context, train_voice.Params(config="tiny"))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step folder with ``in`` holding nine generated Mandarin recordings, their transcripts and a script."""
    here = tmp_path_factory.mktemp("house")
    voice = here / "in" / "voice"
    voice.mkdir(parents=True)
    rng = np.random.default_rng(0)
    texts = {}
    with Espeak() as espeak:
        for number, text in enumerate(MANDARIN[:9]):
            speech = espeak.say(text, "cmn+m7", rate=170, pitch=35)
            wave = np.pad(speech.audio, speech.rate // 3)
            soundfile.write(voice / f"r{number}.wav", wave + rng.normal(0, 3e-4, wave.size), speech.rate)
            texts[f"r{number}"] = text
    (voice / "transcripts.json").write_text(json.dumps(texts), "utf-8")
    lines = [
        {"index": n, "text": text, "language": "zh-CN", "emotion": "warm", "intensity": 0.6, "pace": 1.0, "pause": 0.5,
         "gaze": "camera"}
        for n, text in enumerate(SCRIPT)
    ]  # fmt: skip
    (here / "in" / "plan.json").write_text(json.dumps({"language": "zh-CN", "lines": lines}), "utf-8")
    (here / "in" / "lexicon.json").write_text("{}", "utf-8")
    return here


def _context(house: Path, out: str) -> StepContext:
    (house / out).mkdir(exist_ok=True)
    (house / "checkpoints").mkdir(exist_ok=True)
    return StepContext("o", house / "in", house / out, house / "checkpoints", 1, lambda fraction, message: None)


def _untrained_base() -> Base:
    """Networks with chance weights in the place of a base voice."""
    torch.manual_seed(0)
    sizes = Sizes(len(PHONES), DESCRIPTION, WIDTH, phone_hidden=8, frame_hidden=8, layers=1, speakers=3, style=1)
    frames, lengths = np.ones((3, WIDTH), np.float32), np.tile(np.array([2.7, 0.8, 3.8, 0.9], np.float32), (3, 1))
    networks = AcousticModel(sizes), DurationModel(sizes)
    return Base("chance-1", sizes, *networks, ("en chance",), 0 * frames, frames, lengths, "CC0-1.0")


def _as_inputs(house: Path, out: str) -> None:
    for path in (house / out).rglob("*"):
        if path.is_file():
            target = house / "in" / path.relative_to(house / out)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def test_recordings_to_speech_across_a_kill(house: Path) -> None:
    metrics = prepare_voice.run(_context(house, "prepared"), prepare_voice.Params(language=Language.ZH_CN))
    assert metrics["utterances"] == 9
    assert metrics["seconds"] > 20
    _as_inputs(house, "prepared")

    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", TRAIN, str(house)], env=dict(os.environ))
    checkpoint = house / "checkpoints" / "voice-training.safetensors"
    deadline = time.monotonic() + 300
    while not checkpoint.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.is_file()
    assert not (house / "out" / "voice" / "model.safetensors").exists()

    _untrained_base().save(house / "in" / "base" / "model.safetensors")
    trained = train_voice.run(_context(house, "out"), train_voice.Params(config="tiny"))
    card = json.loads((house / "out" / "voice" / "card.json").read_text("utf-8"))
    assert trained["resumed"]
    assert card["tier"] == trained["tier"] == 0
    compared = {one["tier"]: one["mcd_db"] for one in card["tiers_compared"]}
    assert compared[0] < compared[1], "a base voice that knows nothing is measured worse, and not taken"
    assert card["improve"], "half a minute of speech can be improved upon"
    assert (house / "out" / "voice" / "spectrogram.png").stat().st_size > 1000
    curves = EventAccumulator(str(house / "out" / "curves"))
    curves.Reload()
    assert {f"voice/{name}" for name in card["curves"]} == {*curves.Tags()["scalars"]}
    _as_inputs(house, "out")

    spoken = speak.run(_context(house, "spoken"), speak.Params())
    timing = SpeechTiming.model_validate_json((house / "spoken" / "timing.json").read_text("utf-8"))
    wave, rate = soundfile.read(house / "spoken" / "speech.wav")
    assert rate == timing.sample_rate == 24000
    assert timing.duration == pytest.approx(len(wave) / rate, abs=0.01)
    assert spoken["real_time_factor"] < 1.0
    assert [line.text for line in timing.lines] == SHOWN
    assert {finding["code"] for finding in spoken["findings"]} <= {"script.signs_unread", "voice.line_unclear"}
    assert any(finding["code"] == "script.signs_unread" for finding in spoken["findings"])
    words = [word for word in timing.words if word.start >= timing.lines[1].start]
    rest = next(after.start - word.end for word, after in pairwise(words) if after.text == "and")
    assert rest == pytest.approx(0.7, abs=0.01)
    assert {"zh", "iou", "uo", "AY", "L"} & {phone.phone for phone in timing.phones} >= {"uo", "AY", "L"}
    for line in timing.lines:
        piece = wave[int(line.start * rate) : int(line.end * rate)]
        assert 20 * np.log10(piece.std()) > -40
