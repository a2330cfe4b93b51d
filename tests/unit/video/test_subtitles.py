"""Subtitles: cut by phrase, in time, never longer than the rules."""

from itertools import pairwise

import numpy as np
import pytest

from memorial_tasks.domain.timing import LEAD_IN
from memorial_tasks.domain.words import Language
from memorial_tasks.errors import InputRefused
from memorial_tasks.video.subtitles import (
    ASIDE,
    FASTEST,
    LONGER,
    ROW,
    Cue,
    SubtitlePainter,
    _settled,
    cues,
    read_srt,
    too_fast,
    write_srt,
    write_vtt,
)

ZH, EN = Language.ZH_CN, Language.EN_US
LONG_EN = (
    "My dear children, I have watched every one of you grow up and leave this little house by the river and come back "
    "again with children of your own, and at 3.5 or at 90 nothing made me prouder. Thank you."
)
LONG_ZH = "孩子们，今天是个好日子，奶奶看着你们一个一个长大成人，心里头真是说不出来的高兴和满足，比什么都强。谢谢你们！"


@pytest.mark.parametrize(("language", "text"), [(EN, LONG_EN), (ZH, LONG_ZH)])
def test_a_long_line_becomes_cues_of_two_short_rows(timing, language, text):
    found = cues(timing(14.0, language, (text,)), None, language)
    assert len(found) >= 3
    for cue in found:
        rows = cue.text.split("\n")
        assert 1 <= len(rows) <= 2
        assert all(len(row) <= ROW[language] + 2 for row in rows), rows
        assert all(row and row[0] not in "，。！？,.!?;" for row in rows), rows
    joined = "".join(cue.text for cue in found)
    assert joined.replace("\n", "").replace(" ", "") == text.replace(" ", ""), "words were lost"


def test_a_number_is_not_torn_apart(timing):
    assert any("3.5" in cue.text for cue in cues(timing(14.0, EN, (LONG_EN,)), None, EN))


@pytest.mark.parametrize(("language", "text"), [(EN, LONG_EN), (ZH, LONG_ZH)])
def test_cues_follow_the_words_and_never_overlap(timing, language, text):
    spoken = timing(14.0, language, (text,))
    found = cues(spoken, None, language, lead_in=0.8)
    for one, two in pairwise(found):
        assert one.start < one.end < two.start
    for cue in found:
        first = cue.text.replace("\n", " ").split()[0].strip(",.") if language is EN else cue.text[0]
        near = min(abs(word.start + 0.8 - cue.start) for word in spoken.words if word.text.startswith(first))
        assert near < 0.05, cue


def test_a_translation_is_shown_while_its_line_is_spoken(timing):
    spoken = timing(6.0, ZH, ("那天很热。", "我们去了河边。"))
    found = cues(spoken, ["It was a hot day.", "We went down to the river."], EN, lead_in=0.0)
    assert [cue.text for cue in found] == ["It was a hot day.", "We went down to the river."]
    for cue, line in zip(found, spoken.lines, strict=True):
        assert cue.start == pytest.approx(line.start)
        assert line.end <= cue.end <= line.end + 0.4


def test_a_translation_of_another_length_is_refused(timing):
    with pytest.raises(InputRefused, match="1 subtitle lines for 2 script lines"):
        cues(timing(4.0, ZH, ("一。", "二。")), ["One."], EN)


def test_srt_comes_back_as_it_was(tmp_path):
    found = [Cue(0.8, 2.25, "你好，\n世界"), Cue(3661.5, 3662.0, "later")]
    write_srt(tmp_path / "subtitles" / "zh-CN.srt", found)
    text = (tmp_path / "subtitles" / "zh-CN.srt").read_text("utf-8")
    assert "00:00:00,800 --> 00:00:02,250" in text
    assert "01:01:01,500" in text
    assert read_srt(tmp_path / "subtitles" / "zh-CN.srt") == found


def test_web_subtitles_cannot_carry_markup(tmp_path):
    write_vtt(tmp_path / "a.vtt", [Cue(0, 1, "a <b> & c")])
    text = (tmp_path / "a.vtt").read_text("utf-8")
    assert text.startswith("WEBVTT")
    assert "a &lt;b&gt; &amp; c" in text


def test_burned_subtitles_lie_low_in_the_middle_and_only_in_their_time(font_file):
    painter = SubtitlePainter({ZH: [Cue(1.0, 2.0, "你好世界")], EN: [Cue(1.0, 2.0, "Hello")]}, (1920, 1080), font_file)
    assert painter.at(0.5) is None
    assert painter.at(2.0) is None
    top, left, picture = painter.at(1.5)
    assert top > 0.75 * 1080
    assert top + picture.shape[0] < 1080 * 0.97
    assert left + picture.shape[1] / 2 == pytest.approx(960, abs=2)
    assert (picture[..., 3] > 200).mean() > 0.1, "nothing was drawn"


def test_chinese_letters_are_really_drawn(font_file):
    one, two = (
        SubtitlePainter({ZH: [Cue(0, 1, text)]}, (1280, 720), font_file).at(0.5)[2] for text in ("孩子", "高兴")
    )
    assert one.shape == two.shape
    assert not np.array_equal(one, two), "both are drawn as empty boxes"


FAST_EN = "Do you remember the summer when the whole family danced in the rain, and we laughed until the evening came?"


def test_a_fast_line_is_read_into_the_pause(timing):
    """22 letters a second while it is spoken: with silence behind it there is time enough."""
    fast = timing(4.9, EN, (FAST_EN,))
    found = cues(fast, None, EN)
    assert len(FAST_EN) / 4.9 > FASTEST[EN]
    assert too_fast(found, EN) == []
    assert found[-1].end <= 4.9 + LEAD_IN + LONGER
    for one, two in pairwise(found):
        assert one.start < one.end < two.start


def test_two_neighbours_share_the_time_and_stay_near_their_words():
    hurried, idle = Cue(1.0, 2.0, "The kitchen was always full"), Cue(2.0, 5.0, "of people.")
    one, two = _settled([hurried, idle], EN)
    assert one.end - one.start > 1.25
    assert one.start >= 1.0 - ASIDE
    assert 2.0 <= two.start <= 2.0 + ASIDE


def test_what_nobody_can_read_is_told(timing):
    found = cues(timing(2.5, EN, (FAST_EN,)), None, EN)
    assert max(too_fast(found, EN)) > FASTEST[EN]


@pytest.mark.parametrize(("language", "text"), [(EN, LONG_EN), (ZH, LONG_ZH)])
def test_one_row_is_one_row(timing, language, text):
    found = cues(timing(14.0, language, (text,)), None, language, rows=1)
    assert all("\n" not in cue.text and len(cue.text) <= ROW[language] + 2 for cue in found)
    assert "".join(cue.text for cue in found).replace(" ", "") == text.replace(" ", "")


def test_a_row_stays_where_it_is_when_the_other_language_falls_silent(font_file):
    painter = SubtitlePainter({ZH: [Cue(0, 2, "你好世界")], EN: [Cue(1, 2, "Hello")]}, (1920, 1080), font_file)
    alone, together = painter.at(0.5), painter.at(1.5)
    assert alone[0] == together[0]
    assert together[2].shape[0] > 1.5 * alone[2].shape[0]
    assert together[0] >= painter.top


def test_on_an_upright_screen_the_longest_row_is_seen_whole(font_file):
    painter = SubtitlePainter({ZH: [Cue(0, 1, "一二三四五六七八九十一二三四五六七八")]}, (1080, 1920), font_file)
    _, left, picture = painter.at(0.5)
    assert left >= 0
    assert picture.shape[1] <= 1080
