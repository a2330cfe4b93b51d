"""The audit report as a PDF that can be read, searched and read aloud, without a browser (see `paper`)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memorial_tasks.audit.paper import HEIGHT, WIDTH, Paper
from memorial_tasks.audit.report import Box, Report, layout, of_section, people, sentence, verdict, who
from memorial_tasks.audit.words import SECTIONS, STEPS, Tongue, word

_MARGIN = 53.0
_INK, _SOFT, _LINE, _GOOD, _BAD = "#22262b", "#5b6570", "#c9ced5", "#1d6b3c", "#a3211b"
_KINDS = {"order": ("委托", "Order"), "subject": ("逝者代号", "Subject"), "period": ("期间", "Period")}


def pdf(report: Report, path: Path, font: Path) -> int:
    """Writes the report to `path` with the given font file (one with Chinese letters); returns the pages.

    Raises:
        Unavailable: the font cannot be used.
    """
    pages = _Pages(font, report.about)
    tongues: tuple[Tongue, ...] = ("zh", "en")
    for tongue in tongues:
        if tongue == "en":
            pages.turn()
        _write(pages, report, tongue)
    pages.paper.save(path)
    return pages.paper.number


def _write(pages: "_Pages", report: Report, tongue: Tongue) -> None:
    zh = tongue == "zh"
    pick = 0 if zh else 1
    pages.paper.mark("审计报告" if zh else "Audit report")
    pages.text("审计报告" if zh else "Audit report", 20)
    made = report.made_at.strftime("%Y-%m-%d %H:%M UTC")
    pages.text(f"{_KINDS[report.kind][pick]} {report.about} · {made}", 10, _SOFT)
    for line in people(report, tongue):
        pages.text(line, 10.5)
    pages.space(7)
    pages.text(verdict(report, tongue), 11, _GOOD if report.verification.ok else _BAD)
    pages.text("时间均为协调世界时（UTC）。" if zh else "All times are UTC.", 9, _SOFT)
    for key, heading, types, none in SECTIONS:
        if key == "approved" and report.made and report.kind != "period":
            pages.need(47.0 * (max(box.column for box in layout(report.made)) + 1) + 60)
            pages.heading("由什么制作了什么" if zh else "What was made from what")
            pages.picture(layout(report.made), tongue)
        pages.heading(heading[pick])
        pages.rows(report, of_section(report, types), tongue, none[pick])
    pages.heading("全部记录，按先后" if zh else "Everything, in order")
    pages.rows(report, report.entries, tongue, "-")
    pages.heading("这份记录可信吗" if zh else "Can this record be trusted?")
    pages.text(verdict(report, tongue), 10)
    for fault in report.verification.faults[:20]:
        pages.text(str(fault), 9, _BAD)
    pages.text(
        "您可以不经过工作室自行核验：请索取导出的日志并用随附的程序检查。本报告所依据的检查点："
        if zh
        else "You can check this without the studio: ask for the exported log and run its verifier. The checkpoint:",
        10,
    )
    for line in report.checkpoint.splitlines():
        pages.text(line, 7.5, _SOFT)


class _Pages:
    """A pen that turns the page when it is full."""

    def __init__(self, font: Path, title: str) -> None:
        self.paper = Paper(font, f"审计报告 Audit report: {title}", "zh-CN")
        self._y = 0.0
        self._number()

    def turn(self) -> None:
        self.paper.turn()
        self._number()

    def _number(self) -> None:
        text = str(self.paper.number)
        self.paper.text(WIDTH - _MARGIN - self.paper.width(text, 8), HEIGHT - 30, text, 8, _SOFT)
        self._y = _MARGIN

    def need(self, height: float) -> None:
        """Turns the page unless so much fits on it."""
        if self._y + height > HEIGHT - _MARGIN - 10:
            self.turn()

    def space(self, height: float) -> None:
        self._y += height

    def text(self, text: str, size: float, colour: str = _INK) -> None:
        for line in self.wrap(text, size, WIDTH - 2 * _MARGIN):
            self.need(size * 1.55)
            self.paper.text(_MARGIN, self._y + size, line, size, colour)
            self.space(size * 1.55)

    def heading(self, text: str) -> None:
        self.need(90)
        self.space(13)
        self.paper.mark(text)
        self.text(text, 12.5)
        self.paper.line(_MARGIN, self._y, WIDTH - _MARGIN, self._y, _LINE)
        self.space(6)

    def rows(self, report: Report, entries: Iterable[dict[str, Any]], tongue: Tongue, none: str) -> None:
        """Number, time, what, who; the columns' widths are those of A4."""
        empty = True
        for entry in entries:
            empty = False
            lines, names = self.wrap(sentence(entry, tongue), 9, 270), self.wrap(who(entry, tongue), 8, 92)
            self.need(13 * max(len(lines), len(names)) + 3)
            top = self._y + 9
            self.paper.text(_MARGIN, top, f"#{entry['entry']}", 8, _SOFT)
            self.paper.text(_MARGIN + 38, top, entry["at"][:16].replace("T", " "), 8, _SOFT)
            for at, line in enumerate(lines):
                self.paper.text(_MARGIN + 115, top + 13 * at, line, 9, _INK)
            for at, line in enumerate(names):
                self.paper.text(WIDTH - _MARGIN - 92, top + 13 * at, line, 8, _SOFT)
            self.space(13 * max(len(lines), len(names)) + 3)
        if empty:
            self.text(none, 9, _SOFT)

    def picture(self, boxes: list[Box], tongue: Tongue) -> None:
        """What was made from what, from top to bottom."""
        across, down = (WIDTH - 2 * _MARGIN) / max(4, max(box.row for box in boxes) + 1), 47.0
        wide, tall = across - 22, 30.0
        self.need(down * (max(box.column for box in boxes) + 1))
        for box in boxes:
            for source in (boxes[index] for index in box.sources):
                start = (_MARGIN + across * source.row + wide / 2, self._y + down * source.column + tall)
                end = (_MARGIN + across * box.row + wide / 2, self._y + down * box.column)
                self.paper.line(*start, *end, "#8a93a0")
                for side in (-3, 3):
                    self.paper.line(end[0] + side, end[1] - 5, *end, "#8a93a0")
        for box in boxes:
            left, top = _MARGIN + across * box.row, self._y + down * box.column
            self.paper.box(left, top, wide, tall, "#eef2f6", "#b8c1cc")
            files = f"{box.made.files} {'个文件' if tongue == 'zh' else 'files'} · {box.made.digest[:8]}"
            for text, size, height, colour in (
                (word(STEPS, box.made.step, tongue), 8.5, 12.5, _INK),
                (files, 6.5, 24.0, _SOFT),
            ):
                line = self.wrap(text, size, wide)[0]
                self.paper.text(left + (wide - self.paper.width(line, size)) / 2, top + height, line, size, colour)
        self.space(down * (max(box.column for box in boxes) + 1) + 3)

    def wrap(self, text: str, size: float, width: float) -> list[str]:
        """Lines no wider than `width`; breaks at spaces, and inside text that has none (Chinese, digests)."""
        lines, line, used = [], "", 0.0
        for letter in text:
            line, used = line + letter, used + self.paper.width(letter, size)
            if used <= width:
                continue
            cut = line.rfind(" ", len(line) // 2)
            cut = cut if cut > 0 else len(line) - 1
            lines.append(line[:cut].rstrip())
            line = line[cut:].lstrip()
            used = self.paper.width(line, size)
        return [*lines, line] if line or not lines else lines
