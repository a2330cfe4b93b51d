"""Recordings and videos: honest headers, one file and no other, no voice lost on the way to mono."""

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from memorial_tasks.errors import InputRefused
from memorial_tasks.quality.decode import probe_video, read_frames, read_sound

RATE = 24_000


def tone(seconds: float = 1.0) -> Any:
    return (0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    return path


def code(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        read_sound(path)
    return caught.value.problems[0].code


def patched(path: Path, offset: int, layout: str, value: int) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, offset, value)
    path.write_bytes(content)
    return path


def test_an_honest_wav_is_read_whole(wav: Path) -> None:
    sound = read_sound(wav)
    assert sound.seconds == pytest.approx(1.0)
    assert np.abs(sound.samples - tone()).max() < 1e-3


def test_a_wav_that_declares_more_than_it_holds_lies(wav: Path) -> None:
    wav.write_bytes(wav.read_bytes()[: 44 + RATE])
    assert code(wav) == "sound.header_lies"


def test_a_wav_that_declares_less_than_it_holds_lies(wav: Path) -> None:
    assert code(patched(wav, 40, "<I", 4000)) == "sound.header_lies"


@pytest.mark.parametrize(("offset", "layout", "value"), [(22, "<H", 2), (28, "<I", 1), (32, "<H", 8), (34, "<H", 24)])
def test_a_wav_whose_format_fields_contradict_each_other_lies(wav: Path, offset: int, layout: str, value: int) -> None:
    assert code(patched(wav, offset, layout, value)) == "sound.header_lies"


def test_a_streamed_wav_promises_nothing_and_passes(wav: Path) -> None:
    patched(patched(wav, 40, "<I", 0xFFFFFFFF), 4, "<I", 0xFFFFFFFF)
    assert read_sound(wav).seconds == pytest.approx(1.0, abs=0.01)


def test_chunks_after_the_sound_are_no_lie(wav: Path) -> None:
    notes = b"LIST" + struct.pack("<I", 2000) + b"INFO" + b"\0" * 1996
    wav.write_bytes(wav.read_bytes() + notes)
    assert read_sound(wav).seconds == pytest.approx(1.0)


def test_a_truncated_flac_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[:-40_000])
    assert code(path) in ("sound.truncated", "sound.damaged")


def test_values_that_are_no_sound_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    broken = tone()
    broken[100] = np.nan
    soundfile.write(path, broken, RATE, subtype="FLOAT")
    assert code(path) == "sound.damaged"


@pytest.mark.parametrize("right", [-1.0, 0.0, 1.0])
def test_a_voice_survives_mono_on_one_channel_and_in_opposite_phase(tmp_path: Path, right: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.column_stack([tone(), right * tone()]), RATE)
    assert np.abs(read_sound(path).samples).max() == pytest.approx(0.3, abs=0.01)


def test_another_rate_is_resampled_to_the_same_length(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    sound = read_sound(path, 16_000)
    assert (sound.rate, sound.source_rate) == (16_000, RATE)
    assert len(sound.samples) == pytest.approx(16_000, abs=16)


# ---------------------------------------------------------------------------------------------- video


@pytest.fixture
def video(tmp_path: Path, photo: Callable[..., Any]) -> Path:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as box:
        picture = box.add_stream("libx264", rate=10)
        picture.width, picture.height, picture.pix_fmt = 160, 120, "yuv420p"
        sound = box.add_stream("aac", rate=RATE)
        sound.layout = "mono"
        for index in range(20):
            rgb = np.full((120, 160, 3), 10 * index, np.uint8)
            box.mux(picture.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        box.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(tone(2.0)[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        box.mux(sound.encode(frame))
        box.mux(sound.encode(None))
    return path


def test_a_video_is_probed_watched_and_heard(video: Path) -> None:
    info = probe_video(video)
    assert (info.width, info.height, info.has_picture, info.has_sound) == (160, 120, True, True)
    frames = list(read_frames(video, 5))
    assert [frame.index for frame in frames] == [0, 5, 10, 15]
    assert frames[2].rgb.mean() == pytest.approx(100, abs=3)
    assert read_sound(video).seconds == pytest.approx(2.0, abs=0.1)


def test_a_video_says_when_it_was_recorded(video: Path, tmp_path: Path) -> None:
    assert probe_video(video).taken is None
    for written in ("2021-05-06T10:11:12.000000Z", "no date"):
        dated = tmp_path / "dated.mp4"
        with av.open(str(video)) as source, av.open(str(dated), "w") as box:
            box.metadata["creation_time"] = written
            stream = box.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    box.mux(packet)
        taken = probe_video(dated).taken
        assert (taken.date().isoformat() if taken else "") == ("2021-05-06" if written[0] == "2" else "")


def test_only_the_frames_asked_for_are_decoded(video: Path) -> None:
    assert [frame.index for frame in read_frames(video, only={3, 7})] == [3, 7]


def test_a_truncated_mp4_is_refused(video: Path) -> None:
    video.write_bytes(video.read_bytes()[:2000])
    with pytest.raises(InputRefused):
        list(read_frames(video))


def test_a_playlist_in_disguise_makes_no_request(tmp_path: Path) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.6)

        def listen() -> None:
            try:
                server.accept()[0].close()
                asked.set()
            except TimeoutError:
                pass

        listener = threading.Thread(target=listen)
        listener.start()
        address = f"http://127.0.0.1:{port}/a.ts".encode()
        for name, content in (
            ("list.mp4", b"#EXTM3U\n#EXTINF:1,\n" + address + b"\n"),
            ("dressed.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41#EXTM3U\n#EXTINF:1,\n" + address + b"\n"),
            ("concat.mkv", b"ffconcat version 1.0\nfile '" + address + b"'\n"),
        ):
            path = tmp_path / name
            path.write_bytes(content)
            with pytest.raises(InputRefused):
                list(read_frames(path))
            with pytest.raises(InputRefused):
                probe_video(path)
        listener.join()
    assert not asked.is_set()
