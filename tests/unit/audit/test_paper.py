"""The PDF of a report: its text can be found again, in both languages, and its parts lead to each other."""

import re
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memorial_tasks.audit import report as reports
from memorial_tasks.audit.pages import pdf
from memorial_tasks.audit.paper import Paper
from memorial_tasks.errors import Unavailable
from memorial_tasks.video.fonts import cjk_font
from tests.unit.audit.test_report import entries, verification


def text_of(path: Path) -> str:
    """The letters of a document, read back the way a reader does: content streams through the map to Unicode."""
    streams = [zlib.decompress(part) for part in re.findall(rb"stream\n(.*?)\nendstream", path.read_bytes(), re.DOTALL)]
    unicode = next(part for part in streams if b"begincmap" in part).decode()
    letters = {
        code: bytes.fromhex(letter).decode("utf-16-be") for code, letter in re.findall(r"<(\w{4})> <(\w+)>", unicode)
    }
    shown = [code for part in streams for code in re.findall(rb"<([0-9A-F]+)> Tj", part)]
    return "\n".join("".join(letters[line.decode()[at : at + 4]] for at in range(0, len(line), 4)) for line in shown)


@pytest.fixture
def written(assets: Path, tmp_path: Path) -> Path:
    people = [reports.Person("o-1", "subject", "陈桂兰"), reports.Person("o-1", "daughter", "陈小雨")]
    facts = reports.build("o-1", "order", entries(), verification(), "note", datetime(2026, 11, 21, tzinfo=UTC), people)
    assert pdf(facts, tmp_path / "r.pdf", cjk_font(assets)) >= 2
    return tmp_path / "r.pdf"


def test_the_text_can_be_read_back_in_both_languages(written: Path) -> None:
    text = text_of(written)
    for part in (
        "审计报告",
        "逝者：陈桂兰",
        "委托人（女儿）：陈小雨",
        "影片已交付",
        "Audit report",
        "The film was delivered",
    ):
        assert part in text
    assert written.stat().st_size < 300_000  # the font is a subset


def test_every_object_stands_where_the_table_says(written: Path) -> None:
    content = written.read_bytes()
    start = int(re.findall(rb"startxref\n(\d+)", content)[0])
    table = content[start:].split(b"trailer")[0].splitlines()[3:]
    for number, line in enumerate(table, 1):
        assert content[int(line[:10]) :].startswith(f"{number} 0 obj".encode())


def test_a_font_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "font.otf").write_bytes(b"no font")
    with pytest.raises(Unavailable, match="font"):
        Paper(tmp_path / "font.otf", "t", "zh-CN")
