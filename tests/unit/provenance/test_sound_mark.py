import io

import av
import numpy as np
import pytest

from memorial_tasks.provenance import sound_mark, watermark

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PAYLOAD = watermark.payload_of("MS-order-1")
RATE = sound_mark.RATE


@pytest.fixture(scope="module")
def voice():
    """Sixteen seconds of something like speech: a gliding buzz with formants, syllables and pauses, and breath."""
    rng = np.random.default_rng(6)
    t = np.arange(16 * RATE) / RATE
    pitch = 140 + 25 * np.sin(2 * np.pi * 0.4 * t) + 8 * np.sin(2 * np.pi * 2.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = np.zeros(len(t))
    for harmonic in range(1, 50):
        hz = harmonic * pitch
        loud = sum(a / (1 + ((hz - f) / w) ** 2) for f, w, a in ((600, 200, 1), (1500, 300, 0.5), (2800, 500, 0.3)))
        wave += (loud + 0.02) * np.sin(harmonic * phase + harmonic)
    wave += 0.15 * rng.normal(0, 1, len(t))
    gate = np.clip(np.sin(2 * np.pi * 3.1 * t) + 0.6, 0, 1) * (np.sin(2 * np.pi * 0.3 * t) > -0.6)
    wave = wave * gate + 0.002 * rng.normal(0, 1, len(t))
    return (0.07 * wave / np.std(wave)).astype(np.float32)


@pytest.fixture(scope="module")
def marked(voice):
    return mark(voice[None])[0]


def mark(sound, block=1000):
    embed = sound_mark.SoundEmbedder(KEY, PAYLOAD)
    parts = [embed(sound[:, i : i + block]) for i in range(0, sound.shape[1], block)]
    return np.concatenate([*parts, embed.flush()], axis=1)


def aac(sound, kbit):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=RATE, layout="mono")
        stream.bit_rate = kbit * 1000
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def test_same_length_same_place_and_close(voice, marked):
    assert marked.shape == voice.shape
    assert 10 * np.log10(np.sum(voice**2) / np.sum((marked - voice) ** 2)) > 22  # gains, not noise
    loud = np.abs(voice) > 0.1
    assert np.corrcoef(voice[loud], marked[loud])[0, 1] > 0.995


@pytest.mark.parametrize("block", [1, 1024, 5000])
def test_blocks_of_any_length_give_the_same(voice, block):
    part = voice[None, : 4000 if block == 1 else 40000]
    assert np.allclose(mark(part, block), mark(part, 777), atol=1e-6)


def test_stereo_silence_and_very_short_sound_pass(voice):
    assert not mark(np.zeros((2, 3000), np.float32)).any()
    assert mark(np.zeros((2, 10), np.float32)).shape == (2, 10)
    assert sound_mark.SoundEmbedder(KEY, PAYLOAD).flush().shape[1] == 0


@pytest.mark.parametrize("kbit", [192, 64])
def test_it_survives_coding_and_cutting(marked, kbit):
    heard = aac(marked, kbit)
    assert sound_mark.detect(heard, KEY, PAYLOAD).belongs(PAYLOAD)
    assert sound_mark.detect(heard[54321:], KEY, PAYLOAD).belongs(PAYLOAD)


def test_unmarked_wrong_key_other_film_and_silence(voice, marked):
    assert not sound_mark.detect(voice, KEY, PAYLOAD).present
    assert not sound_mark.detect(marked, OTHER, PAYLOAD).present
    assert not sound_mark.detect(np.zeros(9 * RATE, np.float32), KEY, PAYLOAD).present
    assert not sound_mark.detect(marked[:500], KEY, PAYLOAD).present
    other = watermark.payload_of("MS-order-2")
    assert not sound_mark.detect(marked, KEY, other).belongs(other)


def test_without_a_mark_the_statistic_stays_below_its_threshold(voice):
    found = [sound_mark.detect(voice, n.to_bytes(16, "big"), PAYLOAD) for n in range(12)]
    assert not any(mark.present for mark in found)
    assert max(max(mark.z, mark.match) for mark in found) < 5.5  # the best of 512 places each
