import pytest

from memorial_tasks.errors import InputRefused
from memorial_tasks.provenance.subtitles import Cue, read_srt


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "zh-CN.srt"
    path.write_bytes(text.encode(encoding))
    return path


def test_cues_are_moved_by_the_opening_card(tmp_path):
    path = write(
        tmp_path, "1\r\n00:00:00,500 --> 00:00:02,000\r\n湖边\r\n早晨\r\n\r\n2\n01:00:03.5 --> 01:00:04,000\nb\n"
    )
    with_gap = read_srt(path, 3000)
    assert with_gap[0] == Cue(3500, 5000, "湖边\n早晨")
    assert with_gap[1].start == 3_600_000 + 3000 + 3000 + 5


def test_overlaps_are_cut_and_rubbish_is_left_out(tmp_path):
    text = "00:00:01,000 --> 00:00:09,000\na\n\n00:00:02,000 --> 00:00:03,000\nb\n\n"
    text += "nonsense\n\n00:00:05,000 --> 00:00:04,000\nc"
    assert read_srt(write(tmp_path, "\ufeff" + text)) == [Cue(1000, 2000, "a"), Cue(2000, 3000, "b")]


def test_packet_is_length_and_text():
    assert Cue(0, 1, "早").packet() == b"\x00\x03" + "早".encode()


def test_another_encoding_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="UTF-8"):
        read_srt(write(tmp_path, "1\n00:00:01,000 --> 00:00:02,000\n早晨\n", "gb18030"))
