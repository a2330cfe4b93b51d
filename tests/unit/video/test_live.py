"""A film that is watched while it is made: whole seconds leave at once, and nothing is ever gone back to."""

import io

import av
import numpy as np

from memorial_tasks.video.live import LiveFilm


class Socket:
    """Takes bytes and cannot do anything else."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data


def film(target, seconds):
    tone = (0.2 * np.sin(np.arange(48000) / 48000 * 2 * np.pi * 220)).astype(np.float32)
    with LiveFilm(target, (320, 240), 25) as out:
        for second in range(seconds):
            out.sound(np.stack([tone, tone], 1))
            for number in range(25):
                out.planes(np.full((360, 320), 60 + (second * 25 + number) % 100, np.uint8))
            yield second


def test_what_has_been_sent_can_be_played_before_the_end():
    target, seen = Socket(), []
    for _ in film(target, 4):
        with av.open(io.BytesIO(target.data)) as part:
            seen.append(sum(1 for _ in part.decode(video=0)))
    assert seen[1] >= 24
    assert seen[3] >= 74
    with av.open(io.BytesIO(target.data)) as whole:
        assert sum(1 for _ in whole.decode(video=0)) == 100
    with av.open(io.BytesIO(target.data)) as whole:
        assert sum(frame.samples for frame in whole.decode(audio=0)) >= 4 * 48000
    assert target.data[4:8] == b"ftyp"
    assert target.data.count(b"moof") >= 4
