"""The networks of the voice. torch only; LSTMs because they learn from minutes on a CPU core.

All speakers share every weight but a small code vector: 0 is the practice voice (espeak-ng), 1 the person, the others
are those of a base voice (tier 1). What they teach about a phone the person never recorded reaches the person through
the shared weights. A base voice stays as it is when a person is learned: adapters (Houlsby et al. 2019) beside its
layers, heard for the person only, take up the difference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

POSITIONS = 4  # numbers that tell a frame where it stands inside its phone
PRACTICE, PERSON = 0, 1


@dataclass(frozen=True)
class Sizes:
    """Everything needed to build the networks again. `stack` frames are predicted at once."""

    phones: int
    description: int
    width: int  # columns of a frame
    stack: int = 2
    phone_embedding: int = 24
    phone_hidden: int = 64
    frame_hidden: int = 128
    layers: int = 2
    duration_hidden: int = 48
    speaker: int = 8
    speakers: int = 2
    style: int = 0  # columns of a description that say how the utterance is spoken (arousal)
    adapter: int = 0  # units of the person's adapters, 0 for none


class Adapter(nn.Module):
    """What the person has of their own: a bottleneck beside a layer, silent until trained and for everybody else."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, units), nn.Linear(units, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor, speaker: Tensor) -> Tensor:
        """[B, T, width] of `speaker` int64 [B]."""
        out: Tensor = (
            hidden + self.up(torch.relu(self.down(hidden))) * (speaker == PERSON).to(hidden.dtype)[:, None, None]
        )
        return out


def _adapter(width: int, units: int) -> Adapter | None:
    return Adapter(width, units) if units else None


class PhoneEncoder(nn.Module):
    """Phones in context: embedding + description + speaker -> BiLSTM.
    [batch, phones] -> [batch, phones, 4 * hidden]."""

    def __init__(self, sizes: Sizes, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.phones, sizes.phone_embedding)
        self.speaker = nn.Embedding(sizes.speakers, sizes.speaker)
        self.inner = nn.Linear(sizes.phone_embedding + sizes.description + sizes.style + sizes.speaker, 2 * hidden)
        self.adapter = _adapter(4 * hidden, sizes.adapter)
        self.lstm = nn.LSTM(2 * hidden, hidden, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor, description: Tensor, speaker: Tensor, lengths: Tensor) -> Tensor:
        """`ids` int64 [B, P], `description` [B, P, D], `speaker` int64 [B], `lengths` int64 [B] (on the CPU)."""
        code = self.speaker(speaker)[:, None, :].expand(-1, ids.shape[1], -1)
        hidden = torch.relu(self.inner(torch.cat([self.embedding(ids), description, code], dim=2)))
        packed = nn.utils.rnn.pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])
        both = torch.cat([out, hidden], dim=2)
        return both if self.adapter is None else self.adapter(both, speaker)


class AcousticModel(nn.Module):
    """Phones and their durations -> normalised WORLD frames."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = PhoneEncoder(sizes, sizes.phone_hidden)
        self.enter = nn.Linear(4 * sizes.phone_hidden + POSITIONS + sizes.speaker, sizes.frame_hidden)
        self.dropout = nn.Dropout(0.2)
        self.lstm = nn.LSTM(
            sizes.frame_hidden,
            sizes.frame_hidden,
            num_layers=sizes.layers,
            batch_first=True,
            bidirectional=True,
            dropout=0.2 if sizes.layers > 1 else 0.0,
        )
        self.adapter = _adapter(2 * sizes.frame_hidden, sizes.adapter)
        self.leave = nn.Linear(2 * sizes.frame_hidden, sizes.stack * sizes.width)

    def forward(
        self, ids: Tensor, description: Tensor, speaker: Tensor, lengths: Tensor, owner: Tensor, position: Tensor
    ) -> Tensor:
        """`owner` int64 [B, T]: phone of each stacked frame; `position` [B, T, POSITIONS].
        Returns [B, T * stack, width]."""
        phones = self.encoder(ids, description, speaker, lengths)
        spread = torch.gather(phones, 1, owner[:, :, None].expand(-1, -1, phones.shape[2]))
        code = self.encoder.speaker(speaker)[:, None, :].expand(-1, owner.shape[1], -1)
        hidden = self.dropout(torch.relu(self.enter(torch.cat([spread, position, code], dim=2))))
        spoken = self.lstm(hidden)[0]
        if self.adapter is not None:
            spoken = self.adapter(spoken, speaker)
        out = self.leave(self.dropout(spoken))
        frames: Tensor = out.reshape(out.shape[0], -1, self.sizes.width)
        return frames


class DurationModel(nn.Module):
    """Phones -> normalised log duration, [B, P]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = PhoneEncoder(sizes, sizes.duration_hidden)
        self.dropout = nn.Dropout(0.2)
        self.leave = nn.Linear(4 * sizes.duration_hidden, 1)

    def forward(self, ids: Tensor, description: Tensor, speaker: Tensor, lengths: Tensor) -> Tensor:
        """Shapes as in `PhoneEncoder`."""
        hidden = self.dropout(self.encoder(ids, description, speaker, lengths))
        out: Tensor = self.leave(hidden).squeeze(2)
        return out


class Discriminator(nn.Module):
    """LSTM judge of cepstral windows, real or predicted: [B, T, C] -> one logit a window [B]."""

    def __init__(self, columns: int, hidden: int = 96) -> None:
        super().__init__()
        self.lstm = nn.LSTM(columns, hidden, batch_first=True, bidirectional=True)
        self.leave = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * hidden, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Mean over time of the frame logits."""
        out: Tensor = self.leave(self.lstm(frames)[0]).mean(dim=(1, 2))
        return out
