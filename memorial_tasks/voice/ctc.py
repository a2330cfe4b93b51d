"""Which phone is heard when: our own model of both languages' phones, trained with CTC and read by forced alignment.

A convolutional network hears 50 ms to either side (its features reach 30 ms further) and gives every 5 ms the
logarithm of how likely each third of each phone is. It hears no further on purpose: recurrent networks tried here knew
a phone from what stands around it and put its edges 6 to 8 ms further astray. What ships (`FILE`) has heard generated
speech only (`taught`, called by `pretrain`). `place_all` teaches a copy of it how one person sounds, by the edges on
which their recordings have settled (`settle`), and lets it read them again: what is regular in those edges it learns,
what is accident it does not.

CTC: Graves et al. 2006, here over thirds of phones, so that "blank" is never needed; silence is a phone of the row.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import forced_align, merge_tokens

from memorial_tasks.tensors import save_tensors
from memorial_tasks.voice.align import MFCC, mfcc
from memorial_tasks.voice.audio import Wave
from memorial_tasks.voice.corpus import Utterance
from memorial_tasks.voice.features import FRAME
from memorial_tasks.voice.learn import tiny_is_zero
from memorial_tasks.voice.phones import INDEX, PHONES
from memorial_tasks.voice.practice import Reading
from memorial_tasks.voice.sequence import TimedRow
from memorial_tasks.voice.settle import heard_pauses, settle, without_rests

FILE = Path(__file__).with_name("aligner.safetensors")
_THIRDS = 3
_CLASSES = _THIRDS * len(PHONES)
_WIDTH = 160
_WINDOW = 300  # frames of 5 ms a training step looks at in one piece
_IGNORED = -100  # no label: past the end of a recording
_NEVER = -1e3  # log probability of the blank that CTC has and we do not use
_ROUNDS, _STEPS, _BATCH, _RATE = 2, 40, 8, 1.5e-3  # of a person
_NOISE = 0.3  # standard deviations added to what is heard while learning
_RARE = 5.0  # frames every class is counted as seen
_CTC_FROM, _CTC_EVERY = 300, 4  # steps; before, paths through nonsense teach nothing

Progress = Callable[[float, str], None]
_Ints = NDArray[np.int64]
_Floats = NDArray[np.float32]


class PhoneModel(nn.Module):
    """MFCC -> log probability of each third of each phone."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(MFCC, _WIDTH, 5, padding=2)
        self.first = nn.Conv1d(_WIDTH, _WIDTH, 5, padding=4, dilation=2)
        self.second = nn.Conv1d(_WIDTH, _WIDTH, 5, padding=4, dilation=2)
        self.leave = nn.Conv1d(_WIDTH, _CLASSES, 1)
        self.dropout = nn.Dropout(0.1)
        self.rarity: Tensor
        self.register_buffer("rarity", torch.zeros(_CLASSES))  # log share of each class in what it learned from

    def forward(self, heard: Tensor) -> Tensor:
        """`heard` [B, T, MFCC] every 5 ms -> [B, T, 3 * phones]."""
        out = torch.relu(self.enter(heard.transpose(1, 2)))
        out = out + torch.relu(self.first(self.dropout(out)))
        out = out + torch.relu(self.second(self.dropout(out)))
        return functional.log_softmax(self.leave(self.dropout(out)).transpose(1, 2), dim=2)


@cache
def _shipped() -> dict[str, Tensor]:
    return {name: value.float() for name, value in load_file(str(FILE)).items()}


def shipped() -> PhoneModel:
    """A new copy of the model that ships."""
    model = PhoneModel()
    model.load_state_dict(_shipped())
    return model.eval()


def thirds(timed: TimedRow, frames: int) -> _Ints:
    """The class of every frame, int64 [frames]: phone number times three, plus the third of the phone it is in."""
    out = np.full(frames, INDEX[timed.row.phones[-1].name] * _THIRDS + _THIRDS - 1, np.int64)
    for phone, start, end in zip(timed.row.phones, timed.edges, timed.edges[1:], strict=False):
        cuts = np.round(np.linspace(start, end, _THIRDS + 1)).astype(int)
        for third in range(_THIRDS):
            out[cuts[third] : cuts[third + 1]] = INDEX[phone.name] * _THIRDS + third
    return out


def frame_loss(likely: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log probability of the labels int64 [B, T] that are known."""
    return functional.nll_loss(likely.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED)


def row_loss(likely: Tensor, labels: Tensor) -> Tensor:
    """CTC loss a frame: of the order of the thirds in `labels` int64 [B, T] only, wherever they may lie."""
    orders = [torch.unique_consecutive(row[row != _IGNORED]) for row in labels]
    loss = functional.ctc_loss(
        _with_blank(likely).transpose(0, 1),
        torch.cat(orders),
        (labels != _IGNORED).sum(dim=1),
        torch.tensor([len(order) for order in orders]),
        blank=_CLASSES,
        reduction="sum",
        zero_infinity=True,
    )
    return loss / (labels != _IGNORED).sum()


def _with_blank(likely: Tensor) -> Tensor:
    return functional.pad(likely, (0, 1), value=_NEVER)


def place(model: PhoneModel, heard: _Floats, timed: TimedRow) -> TimedRow:
    """The row of `timed` where `model` hears it in `heard` float32 [frames, MFCC]; as it was where that is too short
    for its phones. How often a phone was said while the model learned says nothing here, and is taken out again."""
    total = int(timed.edges[-1])
    row = timed.row
    if min(total, len(heard)) < _THIRDS * len(row.phones):
        return timed
    with torch.no_grad():
        likely = model(torch.from_numpy(heard[:total])[None]) - model.rarity
    order = [INDEX[phone.name] * _THIRDS + third for phone in row.phones for third in range(_THIRDS)]
    path, score = forced_align(_with_blank(likely), torch.tensor([order]), blank=_CLASSES)
    starts = [span.start for span in merge_tokens(path[0], score[0], blank=_CLASSES)][::_THIRDS]
    return TimedRow(row, np.array([0, *starts[1:], total], np.int32))


def place_all(utterances: Sequence[Utterance], seed: int = 0) -> list[Utterance]:
    """The same utterances with the times at which their phones are heard. A pause that is not heard is taken out of its
    row. About four seconds of one core, however much speech there is, and two more for every four minutes."""
    if not utterances:
        return []
    sounds = [mfcc(one.wave, FRAME) for one in utterances]
    settled = settle(utterances)
    heard = [one.timed for one in settled]
    with _drawing(seed) as random:
        model = shipped()
        for _ in range(_ROUNDS):
            labels = [thirds(timed, len(sound)) for timed, sound in zip(heard, sounds, strict=True)]
            _learn(model, sounds, labels, _STEPS, _BATCH, _RATE, random)
            heard = [place(model, sound, timed) for sound, timed in zip(sounds, heard, strict=True)]
    return [replace(one, timed=heard_pauses(without_rests(timed))) for one, timed in zip(settled, heard, strict=True)]


def taught(
    readings: Sequence[Reading], steps: int = 4000, seed: int = 0, progress: Progress = lambda fraction, message: None
) -> PhoneModel:
    """A model from generated speech, whose times are known. Every reading is heard once, played faster or slower and
    coloured as if by another mouth and room."""
    with _drawing(seed) as random:
        sounds, labels = [], []
        for reading in readings:
            wave, factor = _disguised(reading.audio, random)
            sounds.append(mfcc(wave, FRAME))
            edges = np.round(reading.timed.edges * factor).astype(np.int32)
            labels.append(thirds(TimedRow(reading.timed.row, edges), len(sounds[-1])))
        model = PhoneModel()
        _learn(model, sounds, labels, steps, 16, 2e-3, random, strange=True, progress=progress)
    return model


def write(model: PhoneModel, target: Path) -> None:
    """Write the model to `target` in half precision."""
    about = {"format": "memorial-aligner-1", "licence": "Apache-2.0", "phones": " ".join(PHONES)}
    save_tensors({name: value.to(torch.float16) for name, value in model.state_dict().items()}, target, about)


@contextmanager
def _drawing(seed: int) -> Iterator[np.random.Generator]:
    """Random numbers, NumPy's and torch's, that are the same every time and disturb nobody else's. One thread: sums
    divided among more come out a little different, and the same recordings have to give the same bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), tiny_is_zero():
            torch.manual_seed(seed)
            yield np.random.default_rng(seed)
    finally:
        torch.set_num_threads(threads)


def _learn(
    model: PhoneModel,
    sounds: Sequence[_Floats],
    labels: Sequence[_Ints],
    steps: int,
    batch: int,
    rate: float,
    random: np.random.Generator,
    strange: bool = False,
    progress: Progress = lambda fraction, message: None,
) -> None:
    """Teach `model` the labels int64 [frames] of `sounds` float32 [frames, MFCC] in windows. With `strange`, speakers
    it never hears are imitated by moving each coefficient, and the order of the phones alone (CTC) teaches too."""
    optimiser = torch.optim.Adam(model.parameters(), rate)
    share = np.array([len(sound) for sound in sounds], np.float64)
    counts = np.bincount(np.concatenate(labels), minlength=_CLASSES) + _RARE
    model.rarity = torch.from_numpy(np.log(counts / counts.sum())).float()
    model.train()
    for step in range(steps):
        heard, wanted = torch.zeros(batch, _WINDOW, MFCC), torch.full((batch, _WINDOW), _IGNORED)
        for row, number in enumerate(random.choice(len(sounds), batch, p=share / share.sum())):
            start = int(random.integers(0, max(1, len(sounds[number]) - _WINDOW + 1)))
            part = sounds[number][start : start + _WINDOW]
            if strange:
                stretch, shift = random.uniform(0.85, 1.15, MFCC), random.normal(0, 0.2, MFCC)
                part = np.asarray(part * stretch + shift, np.float32)
            heard[row, : len(part)] = torch.from_numpy(part)
            wanted[row, : len(part)] = torch.from_numpy(labels[number][start : start + _WINDOW])
        likely = model(heard + _NOISE * torch.randn_like(heard))
        loss = frame_loss(likely, wanted)
        if strange and step > _CTC_FROM and step % _CTC_EVERY == 0:
            loss = loss + row_loss(likely, wanted)
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, steps, rate)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            progress(step / steps, f"teaching the aligner: {float(loss.detach()):.2f} a frame")
    model.eval()


def _rate(step: int, steps: int, top: float) -> float:
    """Short warm-up, level, then a straight fall to a twentieth."""
    return top * min(1.0, (step + 1) / 10) * min(1.0, max(0.05, 1 - (step / steps - 0.4) / 0.6))


def _disguised(wave: Wave, random: np.random.Generator) -> tuple[Wave, float]:
    """`wave` as another mouth in another room would have said it, and how much longer it is now."""
    speed = float(np.exp(random.uniform(-0.13, 0.13)))  # formants and tempo together, as a longer or shorter throat
    out = np.interp(np.arange(int(wave.size / speed)) * speed, np.arange(wave.size), wave)
    out = signal.lfilter([1.0, random.uniform(-0.6, 0.6)], [1.0], out)
    out = signal.lfilter([1.0], [1.0, random.uniform(-0.5, 0.5)], out)
    noise = np.sqrt((out**2).mean()) * 10 ** (-random.uniform(14, 45) / 20)
    return np.asarray(out + noise * random.standard_normal(out.size), np.float32), 1 / speed
